//! The kernel's word that it killed a process of the container for lack of memory.

use super::poll::{Poll, Token, Watched};
use dhow_runtime::cgroup::{Cgroup, Notice};
use rustix::event::epoll::EventFlags;
use std::io;

/// Watches the memory controller: the events file of cgroup v2 changes, or an eventfd of v1 counts.
#[derive(Debug)]
pub(crate) struct Memory {
    notice: Watched,
    flags: EventFlags,
}

impl Memory {
    /// `None` where there is no memory controller.
    pub(crate) fn watch(poll: &Poll, cgroup: &Cgroup) -> io::Result<Option<Self>> {
        let found = cgroup.oom_notice()?.map(|notice| match notice {
            Notice::Counter(fd) => (fd, EventFlags::IN),
            Notice::File(fd) => (fd, EventFlags::PRI),
        });
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
