//! API versions as they stand in paths and headers: `1.51`.

use std::fmt;
use std::str::FromStr;

/// The newest version that this client speaks.
pub const CLIENT_VERSION: ApiVersion = ApiVersion { major: 1, minor: 51 };

/// What an engine speaks that does not say.
pub(super) const OLDEST: ApiVersion = ApiVersion { major: 1, minor: 24 };

/// A version of the API; they are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    /// The part before the point.
    pub major: u16,
    /// The part after the point.
    pub minor: u16,
}

impl ApiVersion {
    /// `1.minor`.
    pub const fn v1(minor: u16) -> Self {
        Self { major: 1, minor }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that is not of the form `1.51`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid API version: {0}")]
pub struct VersionError(String);

impl FromStr for ApiVersion {
    type Err = VersionError;

    /// Reads `1.51` or `v1.51`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let bare = text.trim().trim_start_matches('v');
        let parts = bare.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let (major, minor) = parts.ok_or_else(|| VersionError(text.to_owned()))?;
        Ok(Self { major, minor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_not_texts() {
        let parse = |text: &str| text.parse::<ApiVersion>().unwrap();
        assert!(parse("1.9") < parse("1.24"));
        assert_eq!(parse("v1.51").to_string(), "1.51");
        assert!("1".parse::<ApiVersion>().is_err());
        assert!("1.x".parse::<ApiVersion>().is_err());
    }
}
