//! Names of content: `sha256:` and 64 lower-case hex digits. A value of these types is always well formed.

use crate::error::Error;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

const PREFIX: &str = "sha256:";

/// Digest of a layer's uncompressed tar.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DiffId(String);

/// Digest of a stack of layers (image-spec, "ChainID").
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChainId(String);

impl ChainId {
    /// The chain made by putting `diff` on `parent`; a bottom layer's chain id is its diff id.
    #[must_use]
    pub fn of(parent: Option<&ChainId>, diff: &DiffId) -> Self {
        match parent {
            None => Self(diff.0.clone()),
            Some(parent) => {
                let digest = Sha256::digest(format!("{parent} {diff}"));
                Self(format!("{PREFIX}{}", hex::encode(digest)))
            }
        }
    }

    /// The chain of a whole stack, lowest first; `None` of no layers.
    #[must_use]
    pub fn of_stack(diffs: &[DiffId]) -> Option<Self> {
        diffs.iter().fold(None, |parent, diff| Some(Self::of(parent.as_ref(), diff)))
    }
}

/// A well-formed `sha256:` digest, or [`Error::Invalid`].
fn check(what: &'static str, text: String) -> Result<String, Error> {
    let good = text
        .strip_prefix(PREFIX)
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    if good { Ok(text) } else { Err(Error::Invalid { what, value: text }) }
}

macro_rules! digest_type {
    ($name:ident, $what:literal) => {
        impl $name {
            /// Parses `sha256:` and 64 lower-case hex digits.
            pub fn parse(text: &str) -> Result<Self, Error> {
                Self::try_from(text.to_owned())
            }

            /// From the raw digest.
            #[must_use]
            pub fn from_bytes(digest: &[u8; 32]) -> Self {
                Self(format!("{PREFIX}{}", hex::encode(digest)))
            }

            /// `sha256:…`.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The 64 hex digits alone.
            #[must_use]
            pub fn hex(&self) -> &str {
                &self.0[PREFIX.len()..]
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                check($what, text).map(Self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

digest_type!(DiffId, "diff id");
digest_type!(ChainId, "chain id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_only_sha256() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(DiffId::parse(&good).unwrap().hex(), "0a".repeat(32));
        for bad in [
            "",
            "sha256:",
            &good[7..],
            &good.to_uppercase(),
            &format!("{good}0"),
            &good.replace("0a", "0A"),
            &format!("sha256:{}/", "a".repeat(63)),
        ] {
            assert!(DiffId::parse(bad).is_err(), "{bad}");
            assert!(serde_json::from_value::<ChainId>(bad.into()).is_err(), "{bad}");
        }
    }

    #[test]
    fn chains_as_the_image_spec_says() {
        let a = DiffId::from_bytes(&[1; 32]);
        let b = DiffId::from_bytes(&[2; 32]);
        let bottom = ChainId::of(None, &a);
        assert_eq!(bottom.as_str(), a.as_str());
        let top = ChainId::of(Some(&bottom), &b);
        let expect = hex::encode(Sha256::digest(format!("sha256:{} sha256:{}", "01".repeat(32), "02".repeat(32))));
        assert_eq!(top.hex(), expect);
        assert_eq!(ChainId::of_stack(&[a, b]), Some(top));
        assert_eq!(ChainId::of_stack(&[]), None);
    }
}
