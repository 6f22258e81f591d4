//! Names of vendors, classes and devices.

fn letters(text: &str, first: fn(&u8) -> bool, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let (Some(start), Some(end)) = (bytes.first(), bytes.last()) else { return false };
    first(start) && end.is_ascii_alphanumeric() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || inner.contains(byte))
}

/// `vendor/class`, each a word that begins with a letter and ends with a letter or digit.
pub(super) fn check_kind(kind: &str) -> Result<(), String> {
    let (vendor, class) = kind.split_once('/').ok_or_else(|| format!("invalid kind {kind:?}, expected vendor/class"))?;
    for (what, word) in [("vendor", vendor), ("class", class)] {
        if !letters(word, u8::is_ascii_alphabetic, b"_-.") {
            return Err(format!("invalid {what}. {word:?}"));
        }
    }
    Ok(())
}

/// A device's own name.
pub(super) fn check_device(name: &str) -> Result<(), String> {
    if letters(name, u8::is_ascii_alphanumeric, b"_-.:") { Ok(()) } else { Err(format!("invalid device name {name:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for good in ["vendor.com/class", "a/b", "v-1.x/c_2"] {
            assert_eq!(check_kind(good), Ok(()));
        }
        for bad in ["", "vendor", "/class", "vendor/", "1v/c", "v./c", "v/c/d", "v/-", "v d/c"] {
            assert!(check_kind(bad).is_err(), "{bad}");
        }
        for good in ["0", "all", "gpu0:1", "a.b-c_d"] {
            assert_eq!(check_device(good), Ok(()));
        }
        for bad in ["", "-a", "a-", "a=b", "a/b", "a b"] {
            assert!(check_device(bad).is_err(), "{bad}");
        }
    }
}
