//! What a handler gets.

use super::body::Asked;
use super::hijack::{Slot, Takeover};
use super::{Reply, limits};
use crate::app::App;
use crate::error::{Failure, Result};
use dhow_api::{ApiError, ApiVersion, Query};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, UPGRADE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// One request, its path already taken apart.
pub(crate) struct Cx {
    pub(crate) app: Arc<App>,
    pub(crate) version: ApiVersion,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Asked,
    pub(crate) slot: Slot,
}

impl Cx {
    /// True where the client is at least this new.
    pub(crate) fn since(&self, minor: u16) -> bool {
        self.version >= ApiVersion::v1(minor)
    }

    /// True where the client asks to upgrade the connection.
    pub(crate) fn wants_upgrade(&self) -> bool {
        self.headers.contains_key(UPGRADE)
    }

    /// The body as JSON, which must be there and be nothing else.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T> {
        self.json_or_none().await?.ok_or_else(|| Failure::invalid("invalid JSON: got EOF while reading request body"))
    }

    /// The body as JSON; `None` where there is no body.
    pub(crate) async fn json_or_none<T: DeserializeOwned>(self) -> Result<Option<T>> {
        check_content_type(&self.headers, self.body.is_end_stream())?;
        let bytes = read(self.body).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        parse(&bytes).map(Some).map_err(Failure::from)
    }

    /// Hands the connection over and waits for ever: the loop of the connection drops this future.
    pub(crate) async fn take_over(slot: Slot, takeover: Takeover) -> Result<Reply> {
        slot.put(takeover);
        std::future::pending().await
    }
}

/// A body of bounded size.
pub(crate) async fn read(body: Asked) -> Result<bytes::Bytes> {
    match Limited::new(body, limits::JSON_BODY).collect().await {
        Ok(all) => Ok(all.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Failure(ApiError::new(413, format!("request body is larger than {} bytes", limits::JSON_BODY))))
        }
        Err(error) => Err(Failure::invalid(format!("reading the request body: {error}"))),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // Nothing is an object that says nothing.
    let bytes = if bytes.trim_ascii() == b"null" { b"{}" } else { bytes };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let words = |error: serde_json::Error| dhow_api::types::gojson::words(bytes, &error).unwrap_or_else(|| error.to_string());
    let value = T::deserialize(&mut deserializer).map_err(|error| ApiError::invalid(format!("invalid JSON: {}", words(error))))?;
    deserializer.end().map_err(|_| ApiError::invalid("unexpected content after JSON"))?;
    Ok(value)
}

fn check_content_type(headers: &HeaderMap, empty: bool) -> Result<(), ApiError> {
    let given = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default();
    if given.is_empty() && empty {
        return Ok(());
    }
    let kind = given.split(';').next().unwrap_or_default().trim().to_lowercase();
    if kind == "application/json" {
        return Ok(());
    }
    Err(ApiError::invalid(format!("unsupported Content-Type header ({given}): must be 'application/json'")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_api::types::ExecStartBody;

    #[test]
    fn json_bodies() {
        let check = |text: &str, expect: &str| {
            let message = parse::<ExecStartBody>(text.as_bytes()).unwrap_err().message;
            assert!(message.starts_with(expect), "{message}");
        };
        assert!(parse::<ExecStartBody>(b" {\"Detach\":true}\n").unwrap().detach);
        check("{", "invalid JSON: ");
        assert!(!parse::<ExecStartBody>(b" null\n").unwrap().detach);
        check("{\"Tty\":true,}", "invalid JSON: invalid character '}' looking for beginning of object key string");
        check("{Tty:true}", "invalid JSON: invalid character 'T' looking for beginning of object key string");
        check("{\"Tty\" true}", "invalid JSON: invalid character 't' after object key");
        check("{\"Tty\":true \"x\"}", "invalid JSON: invalid character '\"' after object key:value pair");
        check("{\"x\":[1,]}", "invalid JSON: invalid character ']' looking for beginning of value");
        check("{\"x\":[1 2]}", "invalid JSON: invalid character '2' after array element");
        check("{} x", "unexpected content after JSON");
        let expect = "invalid JSON: json: cannot unmarshal number into Go struct field ExecStartOptions.Detach of type bool";
        check("{\"Detach\":3}", expect);
    }

    #[test]
    fn content_types() {
        let check = |kind: Option<&str>, empty: bool| {
            let mut headers = HeaderMap::new();
            if let Some(kind) = kind {
                headers.insert(CONTENT_TYPE, kind.parse().unwrap());
            }
            check_content_type(&headers, empty).map_err(|error| error.message)
        };
        assert_eq!(check(Some("application/json; charset=utf-8"), false), Ok(()));
        assert_eq!(check(None, true), Ok(()));
        assert_eq!(
            check(Some("text/plain"), false),
            Err("unsupported Content-Type header (text/plain): must be 'application/json'".into())
        );
        assert_eq!(check(None, false), Err("unsupported Content-Type header (): must be 'application/json'".into()));
    }
}
