//! Mounts as people write them: `-v`, `--mount`, `--tmpfs`, and HostConfig's `Binds`. Pure text to types; the texts of errors are Docker's.

mod bind;
mod flag;

pub use bind::{Bind, BindKind, VolumeFlag, parse_bind, valid_mode, volume_flag};
pub use flag::{is_outdated, parse_mount, parse_tmpfs};

use crate::types::{Mount, TmpfsOptions};

/// Why a mount is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MountError(pub String);

impl From<MountError> for crate::error::ApiError {
    fn from(error: MountError) -> Self {
        Self::invalid(error.0)
    }
}

fn fail<T>(message: impl Into<String>) -> Result<T, MountError> {
    Err(MountError(message.into()))
}

/// Propagation modes of bind mounts.
pub const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];

/// A path with `.`, `..` and doubled slashes resolved as text.
pub fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            other => parts.push(other),
        }
    }
    let joined = parts.join("/");
    match (absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".into(),
        (false, false) => joined,
    }
}

/// Checks a target: given, absolute, not the root.
pub fn check_target(target: &str) -> Result<(), MountError> {
    if target.is_empty() {
        return fail("field Target must not be empty");
    }
    if clean(target) == "/" {
        return fail("invalid specification: destination can't be '/'");
    }
    absolute(target)
}

fn absolute(path: &str) -> Result<(), MountError> {
    if path.starts_with('/') { Ok(()) } else { fail(format!("invalid mount path: '{path}' mount path must be absolute")) }
}

/// Checks one entry of HostConfig's `Mounts`, all but the existence of a source.
pub fn validate(mount: &Mount) -> Result<(), MountError> {
    check(mount).map_err(|error| MountError(format!("invalid mount config for type {:?}: {error}", mount.kind)))
}

fn check(mount: &Mount) -> Result<(), MountError> {
    check_target(&mount.target)?;
    let extra = |given: bool, name: &str| if given { fail(format!("field {name} must not be specified")) } else { Ok(()) };
    let source = || if mount.source.is_empty() { fail("field Source must not be empty") } else { Ok(()) };
    match mount.kind.as_str() {
        "bind" => {
            source()?;
            let propagation = mount.bind_options.as_ref().map_or("", |options| options.propagation.as_str());
            if !propagation.is_empty() && !PROPAGATIONS.contains(&propagation) {
                return fail(format!("invalid propagation mode: {propagation}"));
            }
            extra(mount.volume_options.is_some(), "VolumeOptions")?;
            extra(mount.image_options.is_some(), "ImageOptions")?;
            absolute(&mount.source)
        }
        "volume" => {
            extra(mount.bind_options.is_some(), "BindOptions")?;
            extra(mount.image_options.is_some(), "ImageOptions")?;
            let part = mount.volume_options.as_ref().map_or("", |options| options.subpath.as_str());
            if !part.is_empty() && mount.source.is_empty() {
                return fail("must not set Subpath when using anonymous volumes");
            }
            if !is_within(part) {
                return fail("subpath must be a relative path within the volume");
            }
            if mount.read_only && mount.source.is_empty() {
                return fail("must not set ReadOnly mode when using anonymous volumes");
            }
            Ok(())
        }
        "tmpfs" => {
            extra(mount.bind_options.is_some(), "BindOptions")?;
            extra(mount.image_options.is_some(), "ImageOptions")?;
            extra(!mount.source.is_empty(), "Source")?;
            tmpfs_words(mount.tmpfs_options.as_ref()).map(|_| ())
        }
        "image" => {
            extra(mount.bind_options.is_some(), "BindOptions")?;
            extra(mount.volume_options.is_some(), "VolumeOptions")?;
            source()?;
            let part = mount.image_options.as_ref().map_or("", |options| options.subpath.as_str());
            if is_within(part) { Ok(()) } else { fail("subpath must be a relative path within the volume") }
        }
        _ => fail("mount type unknown"),
    }
}

/// A path that does not lead out of where it begins, by its letters. Links are another matter.
fn is_within(path: &str) -> bool {
    let mut depth = 0_usize;
    std::path::Path::new(path).components().all(|name| match name {
        std::path::Component::Normal(_) => {
            depth += 1;
            true
        }
        std::path::Component::CurDir => true,
        std::path::Component::ParentDir if depth > 0 => {
            depth -= 1;
            true
        }
        _ => false,
    })
}

/// Options of a tmpfs as mount(8) takes them.
pub fn tmpfs_words(options: Option<&TmpfsOptions>) -> Result<Vec<String>, MountError> {
    let Some(options) = options else { return Ok(Vec::new()) };
    let mut words = Vec::new();
    if options.mode != 0 {
        words.push(format!("mode={:o}", options.mode));
    }
    if options.size_bytes != 0 {
        words.push(format!("size={}", options.size_bytes));
    }
    for option in &options.options {
        if option.is_empty() || option.len() > 2 {
            return fail("invalid option array length");
        }
        if !matches!(option[0].as_str(), "exec" | "noexec") {
            return fail(format!("invalid option: {}", option[0]));
        }
        words.push(option.join("="));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cleaning() {
        for (path, expect) in [("/a//b/../c/.", "/a/c"), ("/..", "/"), ("a/..", "."), ("../a", "../a"), ("/", "/"), ("", ".")] {
            assert_eq!(clean(path), expect);
        }
    }

    #[test]
    fn validation_in_docker_words() {
        let check = |mount: Mount, expect: &str| assert_eq!(validate(&mount).unwrap_err().0, expect);
        let mount = |kind: &str, source: &str, target: &str| Mount {
            kind: kind.into(),
            source: source.into(),
            target: target.into(),
            ..Mount::default()
        };
        check(mount("bind", "/a", ""), "invalid mount config for type \"bind\": field Target must not be empty");
        check(mount("bind", "/a", "/x/.."), "invalid mount config for type \"bind\": invalid specification: destination can't be '/'");
        check(mount("bind", "/a", "x"), "invalid mount config for type \"bind\": invalid mount path: 'x' mount path must be absolute");
        check(mount("bind", "", "/x"), "invalid mount config for type \"bind\": field Source must not be empty");
        check(mount("tmpfs", "/a", "/x"), "invalid mount config for type \"tmpfs\": field Source must not be specified");
        check(mount("foo", "", "/x"), "invalid mount config for type \"foo\": mount type unknown");
        assert!(validate(&mount("bind", "/a", "/x")).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            let _ = parse_mount(&text, std::path::Path::new("/"));
            let _ = parse_bind(&text);
            let _ = volume_flag(&text, std::path::Path::new("/"));
            let _ = parse_tmpfs(&text);
            let _ = clean(&text);
        }
    }
}
