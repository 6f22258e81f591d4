//! What answers say that are not content.

use crate::error::{Error, Result};
use crate::http::Target;
use crate::protocol::{ErrorEntry, Errors, codes};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

/// Most bytes of an error that are read.
const ERROR_MAX: usize = 64 * 1024;
/// Most characters of a body that are shown.
const SHOWN_MAX: usize = 300;
/// Longest wait for a short body.
const PATIENCE: Duration = Duration::from_secs(60);

/// A body of at most `max` bytes.
pub(super) async fn read(what: &str, target: &Target, answer: Response<Incoming>, max: usize) -> Result<Bytes> {
    let reading = Limited::new(answer.into_body(), max).collect();
    match timeout(PATIENCE, reading).await {
        Ok(Ok(all)) => Ok(all.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Error::Invalid(format!("{what} of {} is longer than {max} bytes", target.shown())))
        }
        Ok(Err(_)) => Err(broken(target, "unexpected EOF")),
        Err(_) => Err(broken(target, "net/http: request canceled (Client.Timeout or context cancellation while reading body)")),
    }
}

/// Reading the body failed.
pub(super) fn broken(target: &Target, message: &str) -> Error {
    Error::Transport { method: "Get", url: target.shown(), message: message.into(), temporary: true, plain: false }
}

/// The answer if its status is a success, else the error that its body tells.
pub(super) async fn success(target: &Target, answer: Response<Incoming>) -> Result<Response<Incoming>> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let retry_after = retry_after(answer.headers());
    let narrow = is_scope_missing(answer.headers());
    // An error without words is an error too.
    let body = read("the error", target, answer, ERROR_MAX).await.unwrap_or_default();
    match error(status, &body, retry_after) {
        // The token is right and does not allow this.
        Error::Refused { entry, .. } if narrow && entry.code == codes::UNAUTHORIZED => Err(error(StatusCode::FORBIDDEN, b"", None)),
        other => Err(other),
    }
}

/// `WWW-Authenticate: Bearer ...,error="insufficient_scope"`.
fn is_scope_missing(headers: &HeaderMap) -> bool {
    headers.get_all(WWW_AUTHENTICATE).iter().any(|value| value.to_str().is_ok_and(|text| text.contains("error=\"insufficient_scope\"")))
}

/// The error that a status and a body tell.
pub(super) fn error(status: StatusCode, body: &[u8], retry_after: Option<Duration>) -> Error {
    let number = status.as_u16();
    if let Some(entry) = Errors::parse(number, body).and_then(|found| found.errors.into_iter().next()) {
        return Error::Refused { status: number, entry: clean(entry), retry_after };
    }
    let entry = match status {
        StatusCode::UNAUTHORIZED => ErrorEntry { code: codes::UNAUTHORIZED.into(), message: "authentication required".into() },
        StatusCode::FORBIDDEN => ErrorEntry { code: codes::DENIED.into(), message: "requested access to the resource is denied".into() },
        StatusCode::TOO_MANY_REQUESTS => ErrorEntry { code: codes::TOO_MANY_REQUESTS.into(), message: shown(body) },
        _ => return Error::Status { status: number, reason: status.canonical_reason().unwrap_or_default(), retry_after },
    };
    Error::Refused { status: number, entry, retry_after }
}

/// A server's words stand on a terminal: no control characters, no endless text.
fn clean(entry: ErrorEntry) -> ErrorEntry {
    ErrorEntry { code: shown(entry.code.as_bytes()), message: shown(entry.message.as_bytes()) }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect::<String>().trim().to_owned()
}

/// Seconds, or a date. What is neither counts as nothing said.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    // One that is over: at once.
    Some(Duration::from_secs(date(text)?).saturating_sub(now))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` in seconds since 1970: the one form that HTTP's servers may send.
fn date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let [_, day, month, year, clock, "GMT"] = text.split(' ').collect::<Vec<_>>()[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? as u64;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let parts: Vec<u64> = clock.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hour, minute, second] = parts[..] else { return None };
    if !(1..=31).contains(&day) || !(1970..=9999).contains(&year) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // The year begins in March, so that a leap day is its last.
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    (days.checked_sub(719_468)? * 86_400 + hour * 3600 + minute * 60 + second).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, expect) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 12:00:00 GMT", Some(1_709_208_000)),
            ("Fri, 01 Mar 2024 00:00:00 GMT", Some(1_709_251_200)),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Nov 99999 08:49:37 GMT", None),
            ("Sun, 0 Nov 1994 08:49:37 GMT", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(date(text), expect, "{text}");
        }
    }

    #[test]
    fn when_to_come_again() {
        let check = |text: &str| retry_after(&[(RETRY_AFTER, text.parse().unwrap())].into_iter().collect());
        assert_eq!(check("7"), Some(Duration::from_secs(7)));
        assert_eq!(check("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(check("Fri, 31 Dec 9999 23:59:59 GMT").is_some_and(|wait| wait > Duration::from_secs(86_400)));
        assert_eq!(check("-1"), None);
    }

    #[test]
    fn errors() {
        for (status, body, expect) in [
            (
                404,
                r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}"#,
                "name unknown: repository name not known to registry",
            ),
            (401, "", "unauthorized: authentication required"),
            (403, "<html>", "denied: requested access to the resource is denied"),
            (429, "slow\x1b[2J down", "toomanyrequests: slow[2J down"),
            (500, "{\"a\":", "received unexpected HTTP status: 500 Internal Server Error"),
            (404, "junk", "received unexpected HTTP status: 404 Not Found"),
        ] {
            let error = error(StatusCode::from_u16(status).unwrap(), body.as_bytes(), None);
            assert_eq!(error.to_string(), expect);
            assert_eq!(error.is_temporary(), matches!(status, 429 | 500), "{status}");
        }
    }
}
