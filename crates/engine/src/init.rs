//! The program behind `--init`: a copy of the engine's own file, made once for each release and bound read-only into containers.
//! A copy, so that nothing in a container can reach the file that the engine runs from (class 1).

use crate::error::{Error, Result};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The copy under `dir`, made where it is missing.
pub(crate) fn program(dir: &Path) -> Result<PathBuf> {
    let own = Path::new("/proc/self/exe");
    let fail = |e: std::io::Error| Error::internal("copy the init to", dir.display(), e);
    let meta = own.metadata().map_err(fail)?;
    let name = format!("docker-init-{:x}-{:x}-{:x}", meta.ino(), meta.size(), meta.mtime());
    let path = dir.join(&name);
    if path.metadata().is_ok_and(|m| m.size() == meta.size()) {
        return Ok(path);
    }
    std::fs::create_dir_all(dir).map_err(fail)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711)).map_err(fail)?;
    let temporary = dir.join(format!("{name}.new"));
    let mut from = std::fs::File::open(own).map_err(fail)?;
    let mut to = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o555).open(&temporary).map_err(fail)?;
    std::io::copy(&mut from, &mut to).map_err(fail)?;
    drop(to);
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o555)).map_err(fail)?;
    std::fs::rename(&temporary, &path).map_err(fail)?;
    // Those of other releases: where one is still bound, it lives on there.
    for entry in std::fs::read_dir(dir).map_err(fail)?.flatten() {
        if entry.file_name().to_string_lossy() != name
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::debug!(path = %entry.path().display(), %error, "an old init was left");
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_copied_once_and_read_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = program(dir.path()).unwrap();
        let first = path.metadata().unwrap();
        assert_eq!(first.permissions().mode() & 0o777, 0o555);
        assert_eq!(first.size(), std::fs::metadata("/proc/self/exe").unwrap().size());
        assert_ne!(first.ino(), std::fs::metadata("/proc/self/exe").unwrap().ino());
        assert_eq!(program(dir.path()).unwrap().metadata().unwrap().ino(), first.ino());
    }
}
