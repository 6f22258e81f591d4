//! The body of an error.

use serde::{Deserialize, Serialize};

/// The codes that decide something.
pub mod codes {
    /// The name has no such tag or digest.
    pub const MANIFEST_UNKNOWN: &str = "MANIFEST_UNKNOWN";
    /// There is no such repository.
    pub const NAME_UNKNOWN: &str = "NAME_UNKNOWN";
    /// Who asks is not known.
    pub const UNAUTHORIZED: &str = "UNAUTHORIZED";
    /// Who asks may not.
    pub const DENIED: &str = "DENIED";
    /// Too often.
    pub const TOO_MANY_REQUESTS: &str = "TOOMANYREQUESTS";
    /// There is no such blob.
    pub const BLOB_UNKNOWN: &str = "BLOB_UNKNOWN";
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorEntry {
    /// One of [`codes`], or another.
    #[serde(default)]
    pub code: String,
    /// For people.
    #[serde(default)]
    pub message: String,
}

impl std::fmt::Display for ErrorEntry {
    /// As Docker shows it: the code in small letters, with blanks.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.code.to_lowercase().replace('_', " ");
        match (code.is_empty(), self.message.is_empty()) {
            (true, _) => write!(f, "unknown: {}", self.message),
            (false, true) => f.write_str(&code),
            (false, false) => write!(f, "{code}: {}", self.message),
        }
    }
}

/// The body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// At least one.
    pub errors: Vec<ErrorEntry>,
}

/// The body that token servers and proxies use.
#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    details: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl Errors {
    /// Reads a body; `None` where it is none.
    #[must_use]
    pub fn parse(status: u16, body: &[u8]) -> Option<Self> {
        if let Ok(found) = serde_json::from_slice::<Self>(body)
            && !found.errors.is_empty()
        {
            return Some(found);
        }
        let found: Details = serde_json::from_slice(body).ok()?;
        let message = found.details.or(found.message)?;
        let code = match status {
            401 => codes::UNAUTHORIZED,
            403 => codes::DENIED,
            429 => codes::TOO_MANY_REQUESTS,
            _ => return None,
        };
        Some(Self { errors: vec![ErrorEntry { code: code.into(), message }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let check = |status: u16, body: &str| Errors::parse(status, body.as_bytes()).map(|found| found.errors[0].to_string());
        let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}"#;
        assert_eq!(check(404, unknown).as_deref(), Some("manifest unknown: manifest unknown"));
        assert_eq!(
            check(401, r#"{"details":"incorrect username or password"}"#).as_deref(),
            Some("unauthorized: incorrect username or password")
        );
        assert_eq!(check(429, r#"{"message":"slow down"}"#).as_deref(), Some("toomanyrequests: slow down"));
        for body in ["", "<html>", "{}", r#"{"errors":[]}"#, "[1]"] {
            assert_eq!(check(500, body), None, "{body}");
        }
    }
}
