//! The kernel's word that it killed a process of the container for lack of memory.

use super::poll::{Poll, Token, Watched};
use dhow_runtime::cgroup::{Cgroup, Notice};
use rustix::event::epoll::EventFlags;
use std::io;
use std::time::{Duration, Instant};

/// v1 gives notice before a kill is counted, and once for each process that asks for memory meanwhile. Notices so close are one kill, unless the
/// counter says otherwise afterwards.
const MOMENT: Duration = Duration::from_millis(100);

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

/// Which kills were told.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    told: u64,
    at: Option<Instant>,
    /// When the counter is looked at again.
    again: Option<Instant>,
}

impl Tally {
    /// A notice, or a look: whether there is a kill to tell of. `certain` is as [`Memory::take`] says, `kills` what the counter says.
    pub(crate) fn tells(&mut self, certain: bool, kills: u64, now: Instant) -> bool {
        let unsure = certain && kills <= self.told;
        if unsure && self.at.is_some_and(|at| now.saturating_duration_since(at) < MOMENT) {
            self.again.get_or_insert(now + MOMENT);
            return false;
        }
        let told = unsure || kills > self.told;
        if told {
            self.told = kills.max(self.told + 1);
            self.at = Some(now);
        }
        told
    }

    /// When to look again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.again
    }

    /// Whether it is time to look.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        self.again.take_if(|again| now >= *again).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kill_is_told_once() {
        let begun = Instant::now();
        // Milliseconds, whether the notice means a kill by itself, the counter then; and whether it is told.
        let cases: &[(&str, &[(u64, bool, u64, bool)])] = &[
            ("v2 counts", &[(0, false, 0, false), (1, false, 1, true), (2, false, 1, false), (3, false, 3, true)]),
            ("v1 before it counts", &[(0, true, 0, true), (1, true, 0, false), (2, true, 1, false), (150, false, 1, false)]),
            ("v1 after it has counted", &[(0, true, 1, true), (1, true, 1, false), (150, false, 1, false)]),
            ("two kills in a moment", &[(0, true, 0, true), (1, true, 1, false), (101, false, 2, true)]),
            ("two kills apart", &[(0, true, 0, true), (500, true, 1, true), (501, true, 2, false)]),
            ("none that counts", &[(0, true, 0, true), (1, true, 0, false), (5000, true, 0, true)]),
        ];
        for (name, steps) in cases {
            let mut tally = Tally::default();
            for (at, certain, kills, expect) in *steps {
                let told = tally.tells(*certain, *kills, begun + Duration::from_millis(*at));
                assert_eq!(told, *expect, "{name}, {at} ms");
            }
        }
    }

    #[test]
    fn what_is_unsure_is_looked_at_again() {
        let begun = Instant::now();
        let mut tally = Tally::default();
        assert!(tally.tells(true, 0, begun) && tally.deadline().is_none());
        assert!(!tally.tells(true, 1, begun) && !tally.tells(true, 1, begun + MOMENT / 2));
        assert_eq!(tally.deadline(), Some(begun + MOMENT));
        assert!(!tally.is_due(begun + MOMENT / 2) && tally.is_due(begun + MOMENT) && !tally.is_due(begun + MOMENT));
    }
}
