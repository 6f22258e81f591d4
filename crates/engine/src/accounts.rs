//! The account files of a container, read by the host: nothing in it is trusted (class 11: CVE-2022-1227, CVE-2024-9676).
//!
//! Paths are resolved inside the container's root, no link is followed, only regular files of a bounded size are read, and no open
//! waits (a FIFO). What an image says is kept, because it cannot change.

use crate::error::{Error, Result};
use crate::spec::user::Accounts;
use dhow_sys::overlay::{Lower, Overlay};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Largest account file read.
const LIMIT: u64 = 4 * 1024 * 1024;
/// Chains whose files are kept.
const KEPT: usize = 32;
/// How long a mount inside the container may take to give its files.
const PATIENCE: Duration = Duration::from_secs(5);

/// Account files by the layers that they come from.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    kept: Mutex<HashMap<Vec<Lower>, Arc<Accounts>>>,
}

impl Cache {
    /// The account files of a container that does not run. Costs nothing where its own layer has no `/etc` and its image was seen before.
    pub(crate) fn stopped(&self, overlay: &Overlay) -> Result<Arc<Accounts>> {
        let plain = overlay.as_plain().is_some();
        let touched = plain || overlay.upper.as_ref().is_some_and(|upper| upper.join("etc").symlink_metadata().is_ok());
        if touched {
            // Its own layer becomes the topmost of a read-only view: no second writable mount, and nothing to sync afterwards.
            let lower = overlay.upper.iter().cloned().map(Lower::Dir).chain(overlay.lower.iter().cloned()).collect();
            return view(lower).map(Arc::new);
        }
        if let Some(accounts) = self.lock().get(&overlay.lower) {
            return Ok(accounts.clone());
        }
        let accounts = Arc::new(view(overlay.lower.clone())?);
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(overlay.lower.clone(), accounts.clone());
        Ok(accounts)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<Lower>, Arc<Accounts>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn view(lower: Vec<Lower>) -> Result<Accounts> {
    let overlay = Overlay { lower, upper: None, work: None, volatile: false };
    let root = overlay.mount_detached().map_err(|e| Error::internal("mount", "the container's layers", e))?;
    read(&root, ResolveFlags::NO_XDEV)
}

/// The account files of a running container, by its root's descriptor. A mount over them is entered on a thread of its own with a
/// deadline: it may hang.
pub(crate) async fn running(root: OwnedFd) -> Result<Accounts> {
    match read(&root, ResolveFlags::NO_XDEV) {
        Err(e) if is_crossing(&e) => {}
        done => return done,
    }
    let work = tokio::task::spawn_blocking(move || read(&root, ResolveFlags::empty()));
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(Ok(done)) => done,
        Ok(Err(e)) => Err(Error::internal("read", "the container's /etc/passwd", e)),
        Err(e) => Err(Error::internal("read", "the container's /etc/passwd", e)),
    }
}

fn is_crossing(error: &Error) -> bool {
    let errno = error.source.as_ref().and_then(|s| s.downcast_ref::<Errno>());
    errno == Some(&Errno::XDEV)
}

fn read(root: impl AsFd, extra: ResolveFlags) -> Result<Accounts> {
    Ok(Accounts { passwd: file(&root, "etc/passwd", extra)?, group: file(&root, "etc/group", extra)? })
}

/// One file; empty where there is none, or what is there is no plain file.
fn file(root: impl AsFd, path: &str, extra: ResolveFlags) -> Result<Vec<u8>> {
    // Only looked at: a pipe would block, and the mere opening of some devices (a watchdog) does something.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | extra;
    let fail = |e: Errno| Error::internal("read the container's", format!("/{path}"), e);
    let opened = loop {
        match openat2(&root, path, flags, Mode::empty(), resolve) {
            // A rename raced with the walk.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => break other,
        }
    };
    let fd = match opened {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Ok(Vec::new()),
        Err(e) => return Err(fail(e)),
    };
    let stat = fstat(&fd).map_err(fail)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(Vec::new());
    }
    let same = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let fd = rustix::fs::open(same, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
    let mut bytes = Vec::new();
    File::from(fd).take(LIMIT + 1).read_to_end(&mut bytes).map_err(|e| Error::internal("read the container's", format!("/{path}"), e))?;
    if bytes.len() as u64 > LIMIT {
        return Err(Error::internal("read the container's", format!("/{path}"), "it is larger than 4 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(make: impl FnOnce(&std::path::Path)) -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        make(&dir.path().join("etc"));
        let fd = File::open(dir.path()).unwrap();
        (dir, fd)
    }

    #[test]
    fn plain_files_are_read() {
        let (_dir, fd) = root(|etc| std::fs::write(etc.join("passwd"), "a:x:1:1::/:").unwrap());
        let accounts = read(&fd, ResolveFlags::NO_XDEV).unwrap();
        assert_eq!(accounts, Accounts { passwd: b"a:x:1:1::/:".to_vec(), group: vec![] });
    }

    #[test]
    fn class_11_cve_2024_9676_a_fifo_does_not_block_and_links_lead_nowhere() {
        let (_dir, fd) = root(|etc| {
            rustix::fs::mknodat(rustix::fs::CWD, etc.join("passwd"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
            std::os::unix::fs::symlink("/etc/hostname", etc.join("group")).unwrap();
        });
        assert_eq!(read(&fd, ResolveFlags::NO_XDEV).unwrap(), Accounts::default());
    }

    #[test]
    fn class_11_cve_2022_1227_a_linked_directory_stays_inside() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("etc")).unwrap();
        let fd = File::open(dir.path()).unwrap();
        // "/etc" inside the root is the link itself: it turns in a circle instead of reaching the host's.
        assert_eq!(read(&fd, ResolveFlags::NO_XDEV).unwrap(), Accounts::default());
    }

    #[test]
    fn class_11_size_is_bounded() {
        let (_dir, fd) = root(|etc| File::create(etc.join("passwd")).unwrap().set_len(LIMIT + 1).unwrap());
        assert!(read(&fd, ResolveFlags::NO_XDEV).unwrap_err().message.contains("larger than 4 MiB"));
    }
}
