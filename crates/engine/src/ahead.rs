//! Shims for containers that are about to be started: forked while their container is still being created, or a while before, where containers
//! have been started lately.

use crate::parts::Parts;
use dhow_shim::handle::{Prepared, Spare};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;

/// How long one waits. What a network namespace takes over from the host's settings is as old as that at most: any start may take one, also of
/// another client than the one it was made for.
pub(crate) const LIFE: Duration = Duration::from_millis(50);

/// How many wait at once.
const MOST: usize = 4;

/// How long after a start a shim stands by for the next one. It has nothing of a container yet, so no setting of the host is in it; at rest
/// there is none.
pub(crate) const STAND_BY: Duration = Duration::from_secs(5);

/// Those that wait, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    waiting: Mutex<Vec<Waiting>>,
    standing_by: Mutex<StandingBy>,
}

/// The one that stands by for whoever comes next.
#[derive(Debug, Default)]
enum StandingBy {
    #[default]
    Nobody,
    /// It is being made, or will be.
    Coming,
    /// It is there, until this ends.
    Here(Spare, AbortHandle),
}

impl StandingBy {
    fn relieve(&mut self) -> Option<Spare> {
        match std::mem::take(self) {
            Self::Here(spare, end) => {
                end.abort();
                Some(spare)
            }
            other => {
                *self = other;
                None
            }
        }
    }
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

    /// Takes the one that stands by.
    pub(crate) fn relieve(&self) -> Option<Spare> {
        self.standing_by().relieve()
    }

    /// Whether the caller is to make one that stands by, which nobody else does until [`Ahead::install`].
    fn wants_one(&self) -> bool {
        let mut standing_by = self.standing_by();
        let nobody = matches!(*standing_by, StandingBy::Nobody);
        if nobody {
            *standing_by = StandingBy::Coming;
        }
        nobody
    }

    /// This one stands by until it is taken, or `end` ends. Without one there may be another try.
    fn install(&self, spare: Option<(Spare, AbortHandle)>) {
        *self.standing_by() = spare.map_or(StandingBy::Nobody, |(spare, end)| StandingBy::Here(spare, end));
    }

    /// The one with this end has stood by long enough.
    fn stand_down(&self, end: tokio::task::Id) {
        let mut standing_by = self.standing_by();
        if matches!(&*standing_by, StandingBy::Here(_, of) if of.id() == end) {
            *standing_by = StandingBy::Nobody;
        }
    }

    fn standing_by(&self) -> MutexGuard<'_, StandingBy> {
        self.standing_by.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has a shim stand by for the next container, once nobody waits for one.
pub(crate) fn refill(parts: &Arc<Parts>) {
    if !parts.ahead.wants_one() {
        return;
    }
    let parts = Arc::clone(parts);
    parts.background.clone().spawn(async move {
        parts.burials.lull.come().await;
        let spare = if parts.is_closing() { None } else { Some(parts.spawner.spare().await) };
        let spare = spare.and_then(|spare| spare.inspect_err(|error| tracing::debug!(%error, "no shim stands by")).ok());
        let with_end = |spare| {
            let parts = Arc::downgrade(&parts);
            let end = tokio::spawn(async move {
                tokio::time::sleep(STAND_BY).await;
                if let Some(parts) = parts.upgrade() {
                    parts.ahead.stand_down(tokio::task::id());
                }
            });
            (spare, end.abort_handle())
        };
        parts.ahead.install(spare.map(with_end));
    });
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
