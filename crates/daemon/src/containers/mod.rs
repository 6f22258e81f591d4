//! Containers: one file per verb.

pub(crate) mod archive;
pub(crate) mod attach;
pub(crate) mod attach_ws;
pub(crate) mod changes;
pub(crate) mod commit;
pub(crate) mod create;
pub(crate) mod export;
pub(crate) mod inspect;
pub(crate) mod lifecycle;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod prune;
pub(crate) mod remove;
pub(crate) mod stats;
pub(crate) mod top;
pub(crate) mod wait;

use crate::error::{Failure, Result};
use crate::http::Cx;
use dhow_api::{ApiVersion, stream};

/// Content type of a container's streams.
pub(crate) fn content_type(tty: bool, version: ApiVersion) -> &'static str {
    if tty || version < ApiVersion::v1(42) { stream::RAW } else { stream::MULTIPLEXED }
}

/// `h` and `w` of a resize.
pub(crate) fn size_query(cx: &Cx) -> Result<(u16, u16)> {
    let one = |key: &str| {
        let text = cx.query.get(key);
        text.parse::<u32>()
            .map(|n| u16::try_from(n).unwrap_or(u16::MAX))
            .map_err(|_| Failure::invalid(format!("strconv.ParseUint: parsing {text:?}: invalid syntax")))
    };
    Ok((one("h")?, one("w")?))
}
