//! Directories of containers made before anybody asks: see the storage's spares, which are of the same kind.

use crate::error::{Error, Result};
use crate::sandbox;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many are kept: as many as are used while containers come and go before more are made.
const MOST: usize = 16;

/// Those that wait, each with the empty files of a sandbox.
#[derive(Debug)]
pub(crate) struct Spares {
    dir: PathBuf,
    ready: Mutex<Ready>,
}

#[derive(Debug, Default)]
struct Ready {
    paths: Vec<PathBuf>,
    made: u64,
}

impl Spares {
    /// Opens the place, and empties it of an earlier engine's.
    pub(crate) fn open(data_root: &Path) -> Result<Self> {
        let dir = data_root.join("spare");
        match std::fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::internal("empty", dir.display(), e)),
            _ => {}
        }
        make(&dir)?;
        if let Err(error) = std::fs::File::open(&dir).and_then(dhow_sys::file::spread) {
            tracing::debug!(%error, "directories of containers are not spread over the disk");
        }
        Ok(Self { dir, ready: Mutex::default() })
    }

    /// Makes as many as are missing.
    pub(crate) fn fill(&self) -> Result<()> {
        loop {
            let path = {
                let mut ready = self.lock();
                if ready.paths.len() >= MOST {
                    return Ok(());
                }
                ready.made += 1;
                self.dir.join(ready.made.to_string())
            };
            make(&path)?;
            if let Err(error) = sandbox::empty(&path) {
                // The first error is the one to tell; what stays goes with the next opening.
                let _ = std::fs::remove_dir_all(&path);
                return Err(error);
            }
            self.lock().paths.push(path);
        }
    }

    /// Makes a container's directory: of one that waits, or anew.
    pub(crate) fn take(&self, to: &Path) -> Result<()> {
        let spare = self.lock().paths.pop();
        match spare {
            Some(spare) if std::fs::rename(&spare, to).is_ok() => Ok(()),
            _ => make(to),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make(dir: &Path) -> Result<()> {
    std::fs::DirBuilder::new().mode(0o700).create(dir).map_err(|e| Error::internal("create", dir.display(), e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn of_one_that_waits_or_anew() {
        let root = tempfile::tempdir().unwrap();
        let spares = Spares::open(root.path()).unwrap();
        let at = |name: &str| root.path().join(name);
        spares.take(&at("none")).unwrap();
        assert!(names(&at("none")).is_empty());
        spares.fill().unwrap();
        spares.fill().unwrap();
        assert_eq!(names(&at("spare")).len(), MOST);
        spares.take(&at("one")).unwrap();
        assert_eq!(names(&at("one")), ["hostname", "hosts", "resolv.conf", "resolv.hash"]);
        assert_eq!(std::fs::metadata(at("one")).unwrap().permissions().mode() & 0o7777, 0o700);
        assert_eq!(std::fs::metadata(at("one/hosts")).unwrap().permissions().mode() & 0o7777, 0o644);
        assert_eq!(names(&at("spare")).len(), MOST - 1);
        // One that somebody took away is not missed.
        std::fs::remove_dir_all(at("spare")).unwrap();
        spares.take(&at("two")).unwrap();
        assert!(names(&at("two")).is_empty());
        // What an engine leaves, the next one does not keep.
        let spares = Spares::open(root.path()).unwrap();
        spares.fill().unwrap();
        assert!(names(&Spares::open(root.path()).unwrap().dir).is_empty());
    }
}
