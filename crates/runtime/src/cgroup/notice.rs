//! The kernel's word about a container's memory: that a process was killed for lack of it, or that it runs short.

use super::Cgroup;
use rustix::event::EventfdFlags;
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// A descriptor to poll.
#[derive(Debug)]
pub enum Notice {
    /// Of v1: readable when there is something, and reading it takes it. It is readable, too, when the group has gone.
    Counter(OwnedFd),
    /// Of v2: a priority event when the file has changed. A file that was read first tells of later changes.
    File(OwnedFd),
}

/// How short memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the kernel's")]
pub enum Level {
    Low,
    Medium,
    Critical,
}

impl Cgroup {
    /// Tells of kills (v1), or of changes of `memory.events` (v2), whose counters then say what happened. `None` without a memory controller.
    pub fn oom_notice(&self) -> io::Result<Option<Notice>> {
        match (self.v1_dir("memory"), self.unified_dir()) {
            (Some(dir), _) if dir.join("cgroup.event_control").exists() => counter(dir, "memory.oom_control", "").map(Some),
            (_, Some(dir)) => match open(&dir.join("memory.events"), OFlags::RDONLY) {
                Ok(file) => {
                    // A first read, since only what changes after one is told.
                    rustix::io::pread(&file, &mut [0; 512], 0)?;
                    Ok(Some(Notice::File(file)))
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e),
            },
            _ => Ok(None),
        }
    }

    /// Tells when memory runs short: at a level of v1's, on v2 when processes have waited for memory long enough in one second. `None` where the
    /// kernel does not watch it.
    pub fn pressure_notice(&self, level: Level) -> io::Result<Option<Notice>> {
        match (self.v1_dir("memory"), self.unified_dir()) {
            (Some(dir), _) if dir.join("memory.pressure_level").exists() => counter(dir, "memory.pressure_level", level.word()).map(Some),
            (_, Some(dir)) => match open(&dir.join("memory.pressure"), OFlags::RDWR | OFlags::NONBLOCK) {
                Ok(file) => {
                    rustix::io::write(&file, format!("{} 1000000\0", level.trigger()).as_bytes())?;
                    Ok(Some(Notice::File(file)))
                }
                Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP)) => Ok(None),
                Err(e) => Err(e),
            },
            _ => Ok(None),
        }
    }
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::Critical => "critical",
        }
    }

    /// Whose waiting counts, and microseconds of it.
    fn trigger(self) -> &'static str {
        match self {
            Self::Low => "some 50000",
            Self::Medium => "some 150000",
            Self::Critical => "full 100000",
        }
    }
}

fn open(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())?)
}

/// An eventfd that the kernel counts up.
fn counter(dir: &Path, file: &str, argument: &str) -> io::Result<Notice> {
    let notice = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let watched = open(&dir.join(file), OFlags::RDONLY)?;
    let register = open(&dir.join("cgroup.event_control"), OFlags::WRONLY)?;
    rustix::io::write(&register, format!("{} {} {argument}", notice.as_raw_fd(), watched.as_raw_fd()).trim_end().as_bytes())?;
    Ok(Notice::Counter(notice))
}
