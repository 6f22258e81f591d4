//! Options of the driver `local`: where a volume's data is.

use super::call::Call;
use crate::error::{Error, Kind, Result};
use crate::model::volume::Volume;
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
        /// With what is mounted below it.
        recursive: bool,
    },
    /// In a filesystem that is mounted while somebody uses it.
    Filesystem(Call),
}

/// Reads options.
pub(crate) fn backing(name: &str, options: &BTreeMap<String, String>) -> Result<Backing> {
    let refuse = |kind: Kind, why: String| Err(Error::new(kind, format!("create {name}: {why}")));
    if options.is_empty() {
        return Ok(Backing::Own);
    }
    if let Some(key) = options.keys().find(|key| !matches!(key.as_str(), "type" | "o" | "device" | "size")) {
        return refuse(Kind::Invalid, format!("invalid option: {key:?}"));
    }
    if options.contains_key("size") {
        return refuse(Kind::Invalid, "quota size requested but no quota support".into());
    }
    for needed in ["device", "type"] {
        if !options.contains_key(needed) {
            return refuse(Kind::Invalid, format!("missing required option: {needed:?}"));
        }
    }
    let call = call(options);
    if call.kind == "cifs" && has_port(&call.device) {
        return refuse(Kind::Invalid, "port not allowed in CIFS device URL, include 'port' in 'o='".into());
    }
    Ok(if call.is_bind() {
        Backing::Directory { path: PathBuf::from(&call.device), read_only: call.is_read_only(), recursive: call.is_recursive() }
    } else {
        Backing::Filesystem(call)
    })
}

/// The call of mount(2) that options stand for.
fn call(options: &BTreeMap<String, String>) -> Call {
    let text = |key: &str| options.get(key).map_or("", String::as_str);
    Call::new(text("device"), text("type"), text("o"))
}

/// Docker's words for a volume whose data is not there.
pub(crate) fn complaint(volume: &Volume, why: &str) -> String {
    let place = volume.mountpoint.display();
    let what = call(&volume.options).shown(&volume.mountpoint);
    format!("error while mounting volume '{place}': failed to mount local volume: {what}: {why}")
}

fn has_port(device: &str) -> bool {
    let host = device.trim_start_matches('/').split('/').next().unwrap_or_default();
    !host.ends_with(']') && host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(options: &[(&str, &str)]) -> BTreeMap<String, String> {
        options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn read(options: &[(&str, &str)]) -> std::result::Result<Backing, String> {
        backing("v1", &map(options)).map_err(|error| error.message)
    }

    #[test]
    fn what_is_understood() {
        assert_eq!(read(&[]), Ok(Backing::Own));
        let bind = |o: &str| read(&[("type", "none"), ("o", o), ("device", "/srv")]);
        let directory = |read_only, recursive| Ok(Backing::Directory { path: "/srv".into(), read_only, recursive });
        assert_eq!(bind("bind"), directory(false, false));
        assert_eq!(bind("rbind"), directory(false, true));
        assert_eq!(bind("bind,ro,nosuid,uid=1"), directory(true, false));
        assert!(matches!(read(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")]), Ok(Backing::Filesystem(_))));
        assert!(matches!(read(&[("type", "cifs"), ("device", "//host/share")]), Ok(Backing::Filesystem(_))));
    }

    #[test]
    fn what_is_refused() {
        let check = |options: &[(&str, &str)], expect: &str| assert_eq!(read(options), Err(format!("create v1: {expect}")));
        check(&[("foo", "1")], "invalid option: \"foo\"");
        check(&[("type", "none")], "missing required option: \"device\"");
        check(&[("o", "bind"), ("device", "/a")], "missing required option: \"type\"");
        check(&[("size", "1g")], "quota size requested but no quota support");
        check(&[("type", "cifs"), ("device", "//host:445/share")], "port not allowed in CIFS device URL, include 'port' in 'o='");
    }

    #[test]
    fn complaints() {
        let volume = Volume {
            name: "v".into(),
            created: 0,
            labels: BTreeMap::new(),
            options: map(&[("type", "none"), ("device", "/none"), ("o", "bind")]),
            mountpoint: "/d/v/_data".into(),
        };
        assert_eq!(
            complaint(&volume, "no such file or directory"),
            "error while mounting volume '/d/v/_data': failed to mount local volume: mount /none:/d/v/_data, flags: 0x1000: no such file or \
             directory"
        );
    }
}
