//! Names of volumes.

use crate::error::{Error, Kind, Result};

/// Docker's rule for names of local volumes.
pub(crate) fn check(name: &str) -> Result<()> {
    let refuse = |why: String| Err(Error::new(Kind::Invalid, format!("create {name}: {why}")));
    if name.len() < 2 {
        return refuse("volume name is too short, names should be at least two alphanumeric characters".into());
    }
    let good = name.bytes().enumerate().all(|(at, b)| b.is_ascii_alphanumeric() || (at > 0 && b"_.-".contains(&b)));
    if !good {
        return refuse(format!(
            "{name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended \
             to pass a host directory, use absolute path"
        ));
    }
    // It becomes the name of a directory.
    if name.len() > 255 { refuse("volume name is too long, names have at most 255 characters".into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["ab", "a.b", "A_-.9", &"x".repeat(255)] {
            assert!(check(good).is_ok(), "{good}");
        }
        let words = |name: &str| check(name).unwrap_err().message;
        assert_eq!(words("a"), "create a: volume name is too short, names should be at least two alphanumeric characters");
        for bad in ["../x", ".ab", "a/b", "a b", "-ab", "ä2", "ab\0"] {
            assert!(words(bad).contains("includes invalid characters for a local volume name"), "{bad}");
        }
        assert!(words(&"x".repeat(256)).contains("too long"));
    }
}
