//! An error as the API carries it: a status and a message.

use crate::types::ErrorBody;

/// What a server answered, or is to answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// Text of `message`.
    pub message: String,
}

impl ApiError {
    /// Any status.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
    /// 400.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }
    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, message)
    }
    /// 409.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, message)
    }
    /// 501.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(501, message)
    }

    /// The error in an answer's body. A body that is not Docker's shape is the message itself, cut to a sane length.
    pub fn from_body(status: u16, body: &[u8]) -> Self {
        let message = match serde_json::from_slice::<ErrorBody>(body) {
            Ok(parsed) if !parsed.message.is_empty() => parsed.message.trim().to_owned(),
            _ => {
                let text = String::from_utf8_lossy(body);
                let text: String = text.trim().chars().take(4096).collect();
                if text.is_empty() { format!("request returned {status} with no message") } else { text }
            }
        };
        Self { status, message }
    }

    /// The body that carries it, with its newline.
    pub fn to_body(&self) -> Vec<u8> {
        let mut body = serde_json::to_vec(&ErrorBody { message: self.message.clone() }).unwrap_or_default();
        body.push(b'\n');
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_and_back() {
        let error = ApiError::not_found("No such container: <x> & y");
        assert_eq!(error.to_body(), b"{\"message\":\"No such container: <x> & y\"}\n");
        assert_eq!(ApiError::from_body(404, &error.to_body()), error);
        assert_eq!(ApiError::from_body(500, b" plain \n").message, "plain");
    }
}
