//! Bodies of requests.

use bytes::Bytes;
use http_body_util::Full;

/// The body of a request: all at once, so that it can be sent again.
pub(crate) type Body = Full<Bytes>;
