//! A bundle: the directory with `config.json`, whose relative paths are its own.

use crate::error::{At, Error, Result};
use crate::json;
use dhow_runtime::{is_bind, tolerance};
use oci_spec::runtime::Spec;
use std::path::{Path, PathBuf};

/// What is read of a bundle.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Absolute, without links.
    pub(crate) dir: PathBuf,
    /// Absolute.
    pub(crate) rootfs: PathBuf,
    /// With absolute paths.
    pub(crate) spec: Spec,
    /// Its text, as it is.
    pub(crate) text: Vec<u8>,
    /// What was overlooked in it.
    pub(crate) warnings: Vec<String>,
}

impl Bundle {
    /// Reads the bundle at `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let dir = std::fs::canonicalize(dir).at(format!("chdir {}", dir.display()))?;
        let path = dir.join("config.json");
        let text = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::new("JSON specification file config.json not found"));
            }
            other => other.at(format!("read {}", path.display()))?,
        };
        let (mut spec, warnings) = read(&text)?;
        let root = spec.root().as_ref().ok_or_else(|| Error::new("root: is missing"))?;
        if root.path().as_os_str().is_empty() {
            return Err(Error::new("root.path: is empty"));
        }
        let given = dir.join(root.path());
        let rootfs = std::fs::canonicalize(&given).at(format!("root.path: {}", given.display()))?;
        if !rootfs.is_dir() {
            return Err(Error::new(format!("root.path: {}: is not a directory", rootfs.display())));
        }
        absolute_sources(&mut spec, &dir);
        Ok(Self { dir, rootfs, spec, text, warnings })
    }
}

/// Reads a specification. Fields that nobody knows are skipped; of one with a wrong type the name is told.
pub(crate) fn parse(text: &[u8]) -> Result<Spec> {
    read(text).map(|(spec, _)| spec)
}

/// The same with what had to be overlooked.
fn read(text: &[u8]) -> Result<(Spec, Vec<String>)> {
    let (spec, warnings): (Spec, _) = json::tolerant("config.json", text, tolerance::of_spec)?;
    check_version(spec.version())?;
    Ok((spec, warnings))
}

/// All of version 1 is alike to us, releases to come and those in development included.
fn check_version(version: &str) -> Result<()> {
    let (numbers, _) = version.split_at(version.find(['-', '+']).unwrap_or(version.len()));
    let numbers: Vec<_> = numbers.split('.').map(|part| part.parse::<u64>().ok()).collect();
    match numbers.as_slice() {
        [Some(1), Some(_), Some(_)] => Ok(()),
        [Some(_), Some(_), Some(_)] => Err(Error::new(format!("ociVersion: {version}: is not supported"))),
        _ if version.is_empty() => Err(Error::new("ociVersion: is missing")),
        _ => Err(Error::new(format!("ociVersion: {version}: is no version"))),
    }
}

/// The source of a bind may be relative to the bundle.
fn absolute_sources(spec: &mut Spec, dir: &Path) {
    let Some(mounts) = spec.mounts_mut() else { return };
    for mount in mounts {
        let bind = is_bind(mount);
        if let Some(source) = mount.source().clone().filter(|source| bind && source.is_relative()) {
            mount.set_source(Some(dir.join(source)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(config: &str) -> (tempfile::TempDir, Result<Bundle>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("rootfs")).unwrap();
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        let bundle = Bundle::open(dir.path());
        (dir, bundle)
    }

    #[test]
    fn paths_become_absolute_and_unknown_fields_are_skipped() {
        let (dir, bundle) = bundle(
            r#"{"ociVersion": "1.2.0", "odd": {"a": [1]}, "root": {"path": "rootfs", "odd": 1},
                "mounts": [{"destination": "/a", "source": "a", "options": ["bind"]}, {"destination": "/b", "type": "tmpfs", "source": "b"}]}"#,
        );
        let bundle = bundle.unwrap();
        let dir = dir.path().canonicalize().unwrap();
        assert_eq!(bundle.rootfs, dir.join("rootfs"));
        let sources: Vec<_> = bundle.spec.mounts().iter().flatten().map(|mount| mount.source().clone().unwrap()).collect();
        assert_eq!(sources, [dir.join("a"), PathBuf::from("b")]);
    }

    #[test]
    fn refusals_name_the_field() {
        let check = |config: &str, expect: &str| {
            let (_dir, bundle) = bundle(config);
            let message = bundle.unwrap_err().message;
            assert!(message.contains(expect), "{config}: {message}");
        };
        check(r#"{"root": {"path": "rootfs"}}"#, "ociVersion: is missing");
        check(r#"{"ociVersion": "2.0.0", "root": {"path": "rootfs"}}"#, "ociVersion: 2.0.0: is not supported");
        check(r#"{"ociVersion": "one", "root": {"path": "rootfs"}}"#, "ociVersion: one: is no version");
        check(r#"{"ociVersion": "1.0.0"}"#, "root: is missing");
        check(r#"{"ociVersion": "1.0.0", "root": {"path": ""}}"#, "root.path: is empty");
        check(r#"{"ociVersion": "1.0.0", "root": {"path": "none"}}"#, "root.path: ");
        check(r#"{"ociVersion": "1.0.0", "root": {"path": "config.json"}}"#, "is not a directory");
        check(r#"{"ociVersion": "1.0.0", "root": {"path": 5}}"#, "root.path");
        check("{", "config.json");
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Bundle::open(dir.path()).unwrap_err().message, "JSON specification file config.json not found");
    }
}
