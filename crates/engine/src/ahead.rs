//! Shims for containers that are about to be started: forked while their container is still being created.

use dhow_shim::handle::Prepared;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;

/// How long one waits. What a network namespace takes over from the host's settings is as old as that at most: any start may take one, also of
/// another client than the one it was made for.
pub(crate) const LIFE: Duration = Duration::from_millis(50);

/// How many wait at once.
const MOST: usize = 4;

/// Those that wait, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    waiting: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    shim: Prepared,
    /// Who will start a container (its pidfd). When it has gone nobody takes the shim any more: who changes a setting of the host between
    /// `create` and `start`, two commands, has it in the container.
    client: OwnedFd,
    /// What takes it away when its time is over.
    end: AbortHandle,
}

impl Ahead {
    /// Whether there is room for one more.
    pub(crate) fn has_room(&self) -> bool {
        self.lock().len() < MOST
    }

    /// Keeps one until it is taken, or `end` ends.
    pub(crate) fn keep(&self, shim: Prepared, client: OwnedFd, end: AbortHandle) {
        self.lock().push(Waiting { shim, client, end });
    }

    /// Takes the oldest whose client lives.
    pub(crate) fn take(&self) -> Option<Prepared> {
        let mut waiting = self.lock();
        let at = waiting.iter().position(|one| lives(&one.client))?;
        let one = waiting.remove(at);
        one.end.abort();
        Some(one.shim)
    }

    /// Drops those whose time is over: the one with this end, and all whose clients have gone.
    pub(crate) fn drop_late(&self, end: tokio::task::Id) {
        self.lock().retain(|one| one.end.id() != end && lives(&one.client));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process that has ended is told of by its descriptor.
fn lives(pidfd: &OwnedFd) -> bool {
    matches!(poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&Timespec::default())), Ok(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_sys::process::pidfd_open;

    #[test]
    fn a_client_that_has_gone() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let pidfd = pidfd_open(child.id() as i32).unwrap();
        assert!(lives(&pidfd));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!lives(&pidfd));
    }
}
