//! Restart policies: whether a container is started again, when, and in what order after the engine's own start. Pure.

use crate::model::{Container, IpcMode, NamespaceMode, NetworkMode, Restarts};
use std::collections::HashMap;
use std::time::Duration;

/// First wait, longest wait, and the run that makes the next wait the first again.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
const LONG_RUN: Duration = Duration::from_secs(10);

/// When a container is started again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    No,
    Always,
    UnlessStopped,
    /// With the most restarts in a row; 0 for any number.
    OnFailure(u64),
}

impl Policy {
    /// By Docker's name and maximum, which were validated at create.
    pub(crate) fn of(asked: Option<&(String, i64)>) -> Self {
        match asked.map(|(name, maximum)| (name.as_str(), *maximum)) {
            Some(("always", _)) => Self::Always,
            Some(("unless-stopped", _)) => Self::UnlessStopped,
            Some(("on-failure", maximum)) => Self::OnFailure(u64::try_from(maximum).unwrap_or(0)),
            _ => Self::No,
        }
    }

    fn allows(self, code: i32, past: &Restarts) -> bool {
        match self {
            Self::No => false,
            Self::Always => true,
            Self::UnlessStopped => !past.by_hand,
            Self::OnFailure(maximum) => code != 0 && (maximum == 0 || past.count < maximum),
        }
    }
}

/// What follows an exit: the wait before the next start, or nothing. `ran` is how long the program lived.
pub(crate) fn after_exit(policy: Policy, code: i32, ran: Duration, past: &Restarts) -> Option<Duration> {
    if past.canceled || !policy.allows(code, past) {
        return None;
    }
    let before = if ran >= LONG_RUN { Duration::ZERO } else { Duration::from_millis(past.delay_ms) };
    Some(if before.is_zero() { FIRST } else { (before * 2).min(LONGEST) })
}

/// Whether a container that does not run is started when the engine starts. What was stopped by hand because of its failures stays so.
pub(crate) fn at_open(container: &Container) -> bool {
    let (state, policy) = (&container.state, Policy::of(container.request.host.restart.as_ref()));
    let by_hand = state.restarts.by_hand && matches!(policy, Policy::OnFailure(_));
    state.started_at.is_some() && !by_hand && policy.allows(state.exit_code, &state.restarts)
}

/// The containers, each after those whose namespaces it joins, in rounds: all of one round can be started side by side.
pub(crate) fn rounds<'a>(containers: impl Iterator<Item = &'a Container>) -> Vec<Vec<String>> {
    let mut left: HashMap<&str, &Container> = containers.map(|c| (c.id.as_str(), c)).collect();
    let mut rounds = Vec::new();
    while !left.is_empty() {
        let ready = |c: &Container| targets(c).all(|id| id == c.id || !left.contains_key(id));
        let mut round: Vec<&Container> = left.values().copied().filter(|c| ready(c)).collect();
        if round.is_empty() {
            // Two that wait for each other: their starts will say what is wrong.
            round = left.values().copied().collect();
        }
        round.sort_by_key(|c| (c.created, c.id.as_str()));
        left.retain(|id, _| round.iter().all(|c| c.id != *id));
        rounds.push(round.into_iter().map(|c| c.id.clone()).collect());
    }
    rounds
}

fn targets(container: &Container) -> impl Iterator<Item = &str> {
    let host = &container.request.host;
    let network = match &host.network {
        NetworkMode::Container(id) => Some(id.as_str()),
        _ => None,
    };
    let modes = [&host.pid, &host.uts, &host.cgroupns].into_iter().filter_map(|mode| match mode {
        NamespaceMode::Container(id) => Some(id.as_str()),
        _ => None,
    });
    let ipc = match &host.ipc {
        IpcMode::Container(id) => Some(id.as_str()),
        _ => None,
    };
    network.into_iter().chain(modes).chain(ipc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::container;

    fn past(count: u64, delay_ms: u64) -> Restarts {
        Restarts { count, delay_ms, ..Restarts::default() }
    }

    #[test]
    fn after_an_exit() {
        let by_hand = Restarts { by_hand: true, ..Restarts::default() };
        let canceled = Restarts { canceled: true, ..Restarts::default() };
        let table = [
            (Policy::No, 1, 0, past(0, 0), None),
            (Policy::Always, 0, 0, past(0, 0), Some(100)),
            (Policy::Always, 1, 0, past(1, 100), Some(200)),
            (Policy::Always, 1, 9_999, past(9, 800), Some(1600)),
            (Policy::Always, 1, 10_000, past(9, 800), Some(100)),
            (Policy::Always, 1, 0, past(40, 51_200), Some(60_000)),
            (Policy::Always, 1, 0, past(50, 60_000), Some(60_000)),
            (Policy::Always, 1, 0, by_hand.clone(), Some(100)),
            (Policy::Always, 1, 0, canceled.clone(), None),
            (Policy::UnlessStopped, 0, 0, past(3, 200), Some(400)),
            (Policy::UnlessStopped, 0, 0, by_hand.clone(), None),
            (Policy::UnlessStopped, 0, 0, canceled.clone(), None),
            (Policy::OnFailure(0), 0, 0, past(0, 0), None),
            (Policy::OnFailure(0), 7, 0, past(99, 100), Some(200)),
            (Policy::OnFailure(2), 7, 0, past(1, 100), Some(200)),
            (Policy::OnFailure(2), 7, 0, past(2, 200), None),
            (Policy::OnFailure(2), 7, 0, canceled, None),
        ];
        for (policy, code, ran, past, expect) in table {
            let got = after_exit(policy, code, Duration::from_millis(ran), &past).map(|wait| wait.as_millis());
            assert_eq!(got, expect, "{policy:?} {code} {ran} {past:?}");
        }
    }

    #[test]
    fn policies_by_name() {
        let of = |name: &str, maximum| Policy::of(Some(&(name.to_owned(), maximum)));
        assert_eq!(of("always", 0), Policy::Always);
        assert_eq!(of("unless-stopped", 0), Policy::UnlessStopped);
        assert_eq!(of("on-failure", 3), Policy::OnFailure(3));
        assert_eq!(of("no", 0), Policy::No);
        assert_eq!(of("", 0), Policy::No);
        assert_eq!(Policy::of(None), Policy::No);
    }

    #[test]
    fn when_the_engine_starts() {
        let check = |policy: &str, maximum, started: bool, code, count, by_hand, expect| {
            let mut c = container("a", "a");
            c.request.host.restart = Some((policy.into(), maximum));
            c.state.started_at = started.then_some(1);
            c.state.exit_code = code;
            c.state.restarts = Restarts { count, by_hand, canceled: by_hand, ..Restarts::default() };
            assert_eq!(at_open(&c), expect, "{policy} {maximum} {started} {code} {count} {by_hand}");
        };
        check("no", 0, true, 255, 0, false, false);
        check("always", 0, true, 0, 0, false, true);
        check("always", 0, true, 0, 0, true, true);
        check("always", 0, false, 0, 0, false, false);
        check("unless-stopped", 0, true, 0, 0, false, true);
        check("unless-stopped", 0, true, 0, 0, true, false);
        check("on-failure", 0, true, 255, 0, false, true);
        check("on-failure", 0, true, 0, 0, false, false);
        check("on-failure", 2, true, 1, 2, false, false);
        check("on-failure", 0, true, 143, 0, true, false);
    }

    #[test]
    fn those_that_join_come_after_their_targets() {
        let named = |id: &str, created, joins: Option<&str>| {
            let mut c = container(id, id);
            c.created = created;
            c.request.host.network = joins.map_or(NetworkMode::None, |id| NetworkMode::Container(id.into()));
            c
        };
        let check = |containers: &[Container], expect: &[&[&str]]| assert_eq!(rounds(containers.iter()), expect);
        check(&[], &[]);
        check(&[named("b", 2, None), named("a", 1, None)], &[&["a", "b"]]);
        check(&[named("a", 1, Some("b")), named("b", 2, None), named("c", 3, Some("a"))], &[&["b"], &["a"], &["c"]]);
        // One whose target is not among them does not wait.
        check(&[named("a", 1, Some("x"))], &[&["a"]]);
        check(&[named("a", 1, Some("b")), named("b", 2, Some("a")), named("c", 3, None)], &[&["c"], &["a", "b"]]);
    }
}
