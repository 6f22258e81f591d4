//! Nodes behind a path of the host: one device, or those below a directory.

use super::{Device, failed};
use crate::error::{Result, plain};
use crate::policy;
use oci_spec::runtime::LinuxDevice;
use std::fs::{self, Metadata};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Directories are followed down no further than this, and give no more nodes than that.
const DEPTH: usize = 16;
const MOST: usize = 4096;

/// Gathers them, under the names that they have in the container.
pub(super) fn nodes(asked: &Device) -> Result<Vec<LinuxDevice>> {
    let given = Path::new(&asked.host);
    let real = resolve(given);
    let inside = PathBuf::from(&asked.container);
    let why = match fs::symlink_metadata(&real) {
        Ok(metadata) if is_device(&metadata) => return Ok(vec![policy::devices::device(&inside, &metadata)]),
        Ok(metadata) if metadata.is_dir() => {
            let mut found = Vec::new();
            walk(&real, &inside, DEPTH, &mut found);
            if !found.is_empty() {
                return Ok(found);
            }
            "not a device node".to_owned()
        }
        Ok(_) => "not a device node".to_owned(),
        Err(error) => plain(&error),
    };
    Err(failed(format!("error gathering device information while adding custom device {:?}: {why}", asked.host)))
}

/// Where a link leads; anything else is itself.
fn resolve(path: &Path) -> PathBuf {
    let linked = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    if linked && let Ok(real) = path.canonicalize() { real } else { path.to_owned() }
}

fn is_device(metadata: &Metadata) -> bool {
    let kind = metadata.file_type();
    kind.is_char_device() || kind.is_block_device() || kind.is_fifo()
}

/// Everything in there that is a device; what cannot be read is left out.
fn walk(dir: &Path, inside: &Path, depth: usize, found: &mut Vec<LinuxDevice>) {
    let mut entries: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(metadata) = entry.metadata() else { continue };
        let inside = inside.join(entry.file_name());
        if metadata.is_dir() && depth > 0 {
            walk(&entry.path(), &inside, depth - 1, found);
        } else if is_device(&metadata) && found.len() < MOST {
            found.push(policy::devices::device(&inside, &metadata));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn asked(host: &Path, container: &str) -> Device {
        Device { host: host.to_string_lossy().into_owned(), container: container.into(), access: String::new() }
    }

    #[test]
    fn links_are_resolved_and_directories_walked() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        symlink("/dev/zero", &link).unwrap();
        let found = nodes(&asked(&link, "/dev/z")).unwrap();
        assert_eq!((found[0].major(), found[0].minor()), (1, 5));
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        fs::create_dir(dir.path().join("sub")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("sub/pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        // A link inside a directory is not followed.
        let found = nodes(&asked(dir.path(), "/dev/all")).unwrap();
        let paths: Vec<_> = found.iter().map(|node| node.path().to_string_lossy().into_owned()).collect();
        assert_eq!(paths, ["/dev/all/sub/pipe"]);
    }

    #[test]
    fn an_empty_directory_is_no_device() {
        let dir = tempfile::tempdir().unwrap();
        let error = nodes(&asked(dir.path(), "/dev/all")).unwrap_err();
        assert!(error.message.ends_with(": not a device node"), "{}", error.message);
    }
}
