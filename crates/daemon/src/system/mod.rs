//! The engine as a whole.

pub(crate) mod auth;
pub(crate) mod df;
pub(crate) mod events;
pub(crate) mod host;
pub(crate) mod info;
pub(crate) mod prune;
pub(crate) mod timings;
pub(crate) mod version;

use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA};
use std::time::{SystemTime, UNIX_EPOCH};

/// What clients take for the version of the server. They parse it as a semantic version and some refuse old ones, so it starts with the
/// Docker release whose behaviour this is; the build part says who answers.
pub(crate) const SERVER_VERSION: &str = concat!("28.5.2+dhow.", env!("CARGO_PKG_VERSION"));

/// Nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// `GET` and `HEAD /_ping`.
pub(crate) fn ping(_cx: &Cx, head: bool) -> Result<Reply> {
    let mut answer = reply::text(if head { "" } else { "OK" });
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("builder-version"), HeaderValue::from_static("2"));
    headers.insert(HeaderName::from_static("swarm"), HeaderValue::from_static("inactive"));
    Ok(answer)
}
