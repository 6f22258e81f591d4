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
pub(crate) mod run;
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
    let one = |key: &str, what: &str| {
        let text = cx.query.get(key);
        let cells = cells(text).map_err(|why| Failure::invalid(format!("invalid resize {what} {text:?}: {why}")))?;
        Ok::<_, Failure>(u16::try_from(cells).unwrap_or(u16::MAX))
    };
    Ok((one("h", "height")?, one("w", "width")?))
}

/// A number of 32 bits; else what is wrong with it.
fn cells(text: &str) -> std::result::Result<u32, &'static str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("invalid syntax");
    }
    text.parse().map_err(|_| "value out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_terminals() {
        let check = |text: &str, expect| assert_eq!(cells(text), expect, "{text}");
        check("24", Ok(24));
        check("", Err("invalid syntax"));
        check("+1", Err("invalid syntax"));
        check("x", Err("invalid syntax"));
        check("-1", Err("value out of range"));
        check("4294967296", Err("value out of range"));
    }
}
