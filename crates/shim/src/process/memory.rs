//! The kernel's word that it killed a process of the container for lack of memory.

use super::poll::{Poll, Token, Watched};
use dhow_runtime::cgroup::Cgroup;
use rustix::event::EventfdFlags;
use rustix::event::epoll::EventFlags;
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Watches the memory controller: the events file of cgroup v2 changes, or an eventfd of v1 counts.
#[derive(Debug)]
pub(crate) struct Memory {
    notice: Watched,
    flags: EventFlags,
}

impl Memory {
    /// `None` where there is no memory controller.
    pub(crate) fn watch(poll: &Poll, cgroup: &Cgroup) -> io::Result<Option<Self>> {
        let v1 = cgroup.dirs.iter().find(|(controllers, _)| controllers.split(',').any(|name| name == "memory"));
        let found = match (v1, cgroup.unified_dir()) {
            (Some((_, dir)), _) if dir.join("cgroup.event_control").exists() => Some((v1_notice(dir)?, EventFlags::IN)),
            (_, Some(dir)) => v2_notice(dir)?.map(|file| (file, EventFlags::PRI)),
            _ => None,
        };
        Ok(found.map(|(fd, flags)| Self { notice: Watched::new(poll, fd, Token::Memory), flags }))
    }

    /// Watches on.
    pub(crate) fn arm(&mut self) -> io::Result<()> {
        self.notice.arm(Some(self.flags))
    }

    /// Takes the notice, so that the next one is seen. Whether it means a kill by itself (v1), or the counter must be looked at (v2: limits
    /// that were reached are told too).
    pub(crate) fn take(&self) -> bool {
        let mut buffer = [0; 512];
        if self.flags == EventFlags::IN {
            return rustix::io::read(&*self.notice, &mut buffer).is_ok();
        }
        // Reading is what takes it; what it says is asked of the cgroup.
        let _ = rustix::io::pread(&*self.notice, &mut buffer, 0);
        false
    }
}

fn v1_notice(dir: &Path) -> io::Result<OwnedFd> {
    let notice = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let control = rustix::fs::open(dir.join("memory.oom_control"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let register = rustix::fs::open(dir.join("cgroup.event_control"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&register, format!("{} {}", notice.as_raw_fd(), control.as_raw_fd()).as_bytes())?;
    Ok(notice)
}

fn v2_notice(dir: &Path) -> io::Result<Option<OwnedFd>> {
    match rustix::fs::open(dir.join("memory.events"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => {
            // A first read, since only what changes after one is told.
            rustix::io::pread(&file, &mut [0; 512], 0)?;
            Ok(Some(file))
        }
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
