//! Rotated files are compressed by a child of the shim, so that the container's output goes on meanwhile.

use dhow_sys::clone::{Forked, fork};
use dhow_sys::process::{close_from, exit_now, pidfd_signal};
use flate2::{Compression, GzBuilder};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const SIGKILL: i32 = 9;

/// A child at work. When this is dropped the child is ended; the file is then as it was.
#[derive(Debug)]
pub(super) struct Child(OwnedFd);

impl Child {
    /// Begins to make `path.gz` of `path`. Whoever reaps the shim's children reaps this one.
    pub(super) fn start(path: &Path) -> io::Result<Self> {
        match fork()? {
            Forked::Parent { pidfd, .. } => Ok(Self(pidfd)),
            Forked::Child => {
                // Nothing here returns, so no owner of a descriptor sees it closed. A client's connection, or the root, that stayed open in
                // this process would not end when the shim closes it.
                let done = close_from(3).and_then(|()| compress(path));
                exit_now(i32::from(done.is_err()))
            }
        }
    }

    /// Whether it has ended.
    pub(super) fn is_done(&self) -> bool {
        self.ended(Some(&Timespec::default()))
    }

    /// Waits for its end.
    pub(super) fn finish(self) {
        self.ended(None);
    }

    fn ended(&self, limit: Option<&Timespec>) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        // What cannot be waited for is not waited for.
        rustix::io::retry_on_intr(|| poll(&mut fds, limit)).map_or(true, |ready| ready > 0)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_done() {
            // It may end this instant.
            let _ = pidfd_signal(&self.0, SIGKILL);
            self.ended(None);
        }
    }
}

/// `PATH.gz`.
pub(super) fn packed(path: &Path) -> PathBuf {
    with(path, ".gz")
}

/// What a compressed file is called until it is whole.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    with(path, ".gz.tmp")
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn compress(path: &Path) -> io::Result<()> {
    let common = OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut from = File::from(rustix::fs::open(path, OFlags::RDONLY | common, Mode::empty())?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | common;
    let to = File::from(rustix::fs::open(unfinished(path), flags, Mode::from_raw_mode(0o640))?);
    let extra = crate::packed::Origin::of(&from.metadata()?).extra();
    let mut encoder = GzBuilder::new().extra(extra).write(to, Compression::fast());
    let done = io::copy(&mut from, &mut encoder).and_then(|_| encoder.finish());
    match done.and_then(|_| std::fs::rename(unfinished(path), packed(path))) {
        // Readers look for the plain name first: there is always one of both.
        Ok(()) => std::fs::remove_file(path),
        Err(error) => {
            std::fs::remove_file(unfinished(path))?;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_file_becomes_a_smaller_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l.1");
        let text = "a line\n".repeat(10_000);
        std::fs::write(&path, &text).unwrap();
        let origin = crate::packed::Origin::of(&path.metadata().unwrap());
        compress(&path).unwrap();
        assert_eq!(crate::packed::Origin::read(&std::fs::read(packed(&path)).unwrap()), Some(origin));
        assert!(!path.exists() && !unfinished(&path).exists());
        let mut back = String::new();
        flate2::read::MultiGzDecoder::new(File::open(packed(&path)).unwrap()).read_to_string(&mut back).unwrap();
        assert_eq!(back, text);
        assert!(packed(&path).metadata().unwrap().len() < 1000);
        assert!(compress(&path).is_err() && !unfinished(&path).exists());
    }
}
