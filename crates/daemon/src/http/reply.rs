//! Answers.

use super::body::Body;
use crate::error::{Failure, Result};
use bytes::Bytes;
use dhow_api::version::{Shape, downgrade};
use dhow_api::{ApiError, ApiVersion};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

/// An answer.
pub(crate) type Reply = Response<Body>;

/// Content type of JSON.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Headers that every answer has. The server's name is our own: clients compare only `Api-Version`.
pub(crate) const STANDARD: [(&str, &str); 4] = [
    ("Api-Version", "1.51"),
    ("Docker-Experimental", "false"),
    ("Ostype", "linux"),
    ("Server", concat!("dhow/", env!("CARGO_PKG_VERSION"), " (linux)")),
];

/// Puts the standard headers in.
pub(crate) fn add_standard(headers: &mut HeaderMap) {
    const NAMES: [HeaderName; 4] = [
        HeaderName::from_static("api-version"),
        HeaderName::from_static("docker-experimental"),
        HeaderName::from_static("ostype"),
        http::header::SERVER,
    ];
    for (name, (_, value)) in NAMES.into_iter().zip(STANDARD) {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Where experimental features were asked for.
pub(crate) fn add_experimental(headers: &mut HeaderMap) {
    headers.insert(HeaderName::from_static("docker-experimental"), HeaderValue::from_static("true"));
}

fn with(status: StatusCode, kind: Option<HeaderValue>, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    if let Some(kind) = kind {
        reply.headers_mut().insert(CONTENT_TYPE, kind);
    }
    reply
}

fn bytes_of(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value).map_err(|error| Failure::internal(format!("encoding the answer: {error}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// JSON with a status.
pub(crate) fn json_with(status: StatusCode, value: &impl Serialize) -> Result<Reply> {
    Ok(with(status, Some(JSON), Body::full(bytes_of(value)?)))
}

/// JSON with 200.
pub(crate) fn json(value: &impl Serialize) -> Result<Reply> {
    json_with(StatusCode::OK, value)
}

/// JSON in the shape of a version.
pub(crate) fn shaped(shape: Shape, version: ApiVersion, value: &impl Serialize) -> Result<Reply> {
    if version == ApiVersion::MAX {
        return json(value);
    }
    let mut value = to_value(value)?;
    downgrade(shape, version, &mut value);
    json(&value)
}

/// A list of JSON objects in the shape of a version.
pub(crate) fn shaped_list(shape: Shape, version: ApiVersion, values: &[impl Serialize]) -> Result<Reply> {
    if version == ApiVersion::MAX {
        return json(&values);
    }
    let mut list = Vec::with_capacity(values.len());
    for value in values {
        let mut value = to_value(value)?;
        downgrade(shape, version, &mut value);
        list.push(value);
    }
    json(&list)
}

fn to_value(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Failure::internal(format!("encoding the answer: {error}")))
}

/// No body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    with(status, None, Body::empty())
}

/// 204.
pub(crate) fn no_content() -> Result<Reply> {
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Plain text.
pub(crate) fn text(text: &'static str) -> Reply {
    with(StatusCode::OK, Some(HeaderValue::from_static("text/plain; charset=utf-8")), Body::full(Bytes::from_static(text.as_bytes())))
}

/// 200 with a body that comes in pieces.
pub(crate) fn stream(kind: &'static str, body: Body) -> Reply {
    with(StatusCode::OK, Some(HeaderValue::from_static(kind)), body)
}

/// An error's answer; 304 has no body.
pub(crate) fn failure(error: &ApiError) -> Reply {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status == StatusCode::NOT_MODIFIED {
        return empty(status);
    }
    with(status, Some(JSON), Body::full(error.to_body()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_in_the_header_is_the_newest() {
        assert_eq!(STANDARD[0].1, ApiVersion::MAX.to_string());
    }

    #[test]
    fn errors() {
        let reply = failure(&ApiError::new(304, "nothing to do"));
        assert!(reply.headers().get(CONTENT_TYPE).is_none());
        assert_eq!(failure(&ApiError::not_found("x")).status(), 404);
    }
}
