//! How many kills for lack of memory there were, by what the kernel tells of them.

use std::time::{Duration, Instant};

/// v1 gives notice before a kill is counted, and once for each process that asks for memory meanwhile. Notices so close are one kill, unless the
/// counter says otherwise afterwards.
const MOMENT: Duration = Duration::from_millis(100);

/// Which kills for lack of memory were told, so that each is told once.
#[derive(Debug, Default)]
pub struct Tally {
    told: u64,
    at: Option<Instant>,
    /// When the counter is looked at again.
    again: Option<Instant>,
}

impl Tally {
    /// A notice, or a look: how many kills there are to tell of. `certain`: the notice means a kill by itself (v1). `kills`: how many the counter
    /// says there were.
    pub fn news(&mut self, certain: bool, kills: u64, now: Instant) -> u64 {
        let unsure = certain && kills <= self.told;
        if unsure && self.at.is_some_and(|at| now.saturating_duration_since(at) < MOMENT) {
            self.again.get_or_insert(now + MOMENT);
            return 0;
        }
        let known = if unsure { self.told + 1 } else { kills };
        let news = known.saturating_sub(self.told);
        if news > 0 {
            self.told = known;
            self.at = Some(now);
        }
        news
    }

    /// When to look again.
    pub fn deadline(&self) -> Option<Instant> {
        self.again
    }

    /// Whether it is time to look.
    pub fn is_due(&mut self, now: Instant) -> bool {
        self.again.take_if(|again| now >= *again).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kill_is_told_once() {
        let begun = Instant::now();
        // Milliseconds, whether the notice means a kill by itself, the counter then; and how many are told.
        let cases: &[(&str, &[(u64, bool, u64, u64)])] = &[
            ("v2 counts", &[(0, false, 0, 0), (1, false, 1, 1), (2, false, 1, 0), (3, false, 3, 2)]),
            ("v1 before it counts", &[(0, true, 0, 1), (1, true, 0, 0), (2, true, 1, 0), (150, false, 1, 0)]),
            ("v1 after it has counted", &[(0, true, 1, 1), (1, true, 1, 0), (150, false, 1, 0)]),
            ("two kills in a moment", &[(0, true, 0, 1), (1, true, 1, 0), (101, false, 2, 1)]),
            ("two kills apart", &[(0, true, 0, 1), (500, true, 1, 1), (501, true, 2, 0)]),
            ("none that counts", &[(0, true, 0, 1), (1, true, 0, 0), (5000, true, 0, 1)]),
        ];
        for (name, steps) in cases {
            let mut tally = Tally::default();
            for (at, certain, kills, expect) in *steps {
                let told = tally.news(*certain, *kills, begun + Duration::from_millis(*at));
                assert_eq!(told, *expect, "{name}, {at} ms");
            }
        }
    }

    #[test]
    fn what_is_unsure_is_looked_at_again() {
        let begun = Instant::now();
        let mut tally = Tally::default();
        assert!(tally.news(true, 0, begun) == 1 && tally.deadline().is_none());
        assert_eq!([tally.news(true, 1, begun), tally.news(true, 1, begun + MOMENT / 2)], [0, 0]);
        assert_eq!(tally.deadline(), Some(begun + MOMENT));
        assert!(!tally.is_due(begun + MOMENT / 2) && tally.is_due(begun + MOMENT) && !tally.is_due(begun + MOMENT));
    }
}
