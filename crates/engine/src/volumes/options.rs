//! Options of the driver `local`: where a volume's data is.

use crate::error::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backing {
    /// In the volume's own directory.
    Own,
    /// In a directory of the host.
    Directory {
        /// Absolute.
        path: PathBuf,
        /// Nobody may write to it.
        read_only: bool,
    },
}

/// Reads options. Filesystems of other kinds than directories are refused.
pub(crate) fn backing(name: &str, options: &BTreeMap<String, String>) -> Result<Backing> {
    let refuse = |kind: Kind, why: String| Err(Error::new(kind, format!("create {name}: {why}")));
    if options.is_empty() {
        return Ok(Backing::Own);
    }
    if let Some(key) = options.keys().find(|key| !matches!(key.as_str(), "type" | "o" | "device" | "size")) {
        return refuse(Kind::Invalid, format!("invalid option: {key:?}"));
    }
    if options.contains_key("size") {
        return refuse(Kind::NotImplemented, "quota size requested but no quota support".into());
    }
    for needed in ["device", "type"] {
        if !options.contains_key(needed) {
            return refuse(Kind::Invalid, format!("missing required option: {needed:?}"));
        }
    }
    let text = |key: &str| options.get(key).map_or("", String::as_str);
    let words: Vec<&str> = text("o").split(',').filter(|word| !word.is_empty()).collect();
    let bind = words.iter().any(|word| matches!(*word, "bind" | "rbind"));
    if !bind || !matches!(text("type"), "none" | "bind" | "") {
        return refuse(Kind::NotImplemented, format!("a volume of type {:?} is not supported by this release", text("type")));
    }
    if let Some(word) = words.iter().find(|word| !matches!(**word, "bind" | "rbind" | "rw" | "ro")) {
        return refuse(Kind::NotImplemented, format!("the option {word:?} is not supported by this release"));
    }
    let path = PathBuf::from(text("device"));
    if !path.is_absolute() {
        return refuse(Kind::Invalid, format!("invalid mount path: '{}' mount path must be absolute", path.display()));
    }
    Ok(Backing::Directory { path, read_only: words.contains(&"ro") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)]) -> std::result::Result<Backing, String> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        backing("v1", &options).map_err(|error| error.message)
    }

    #[test]
    fn what_is_understood() {
        assert_eq!(read(&[]), Ok(Backing::Own));
        let bind = |o: &str| read(&[("type", "none"), ("o", o), ("device", "/srv")]);
        assert_eq!(bind("bind"), Ok(Backing::Directory { path: "/srv".into(), read_only: false }));
        assert_eq!(bind("bind,ro"), Ok(Backing::Directory { path: "/srv".into(), read_only: true }));
    }

    #[test]
    fn what_is_refused() {
        let check = |options: &[(&str, &str)], expect: &str| assert_eq!(read(options), Err(format!("create v1: {expect}")));
        check(&[("foo", "1")], "invalid option: \"foo\"");
        check(&[("type", "none")], "missing required option: \"device\"");
        check(&[("o", "bind"), ("device", "/a")], "missing required option: \"type\"");
        check(&[("size", "1g")], "quota size requested but no quota support");
        check(&[("type", "nfs"), ("device", ":/a")], "a volume of type \"nfs\" is not supported by this release");
        check(&[("type", "none"), ("o", "bind,uid=1"), ("device", "/a")], "the option \"uid=1\" is not supported by this release");
        check(&[("type", "none"), ("o", "bind"), ("device", "a")], "invalid mount path: 'a' mount path must be absolute");
    }
}
