//! The life of a container as a state machine. Pure: nothing here touches the world.
//!
//! ```text
//!              Start                 Pause
//!   Created ──────────▶ Running ◀──────────▶ Paused
//!      │                 ▲ │ ▲     Unpause     │
//!      │           Start │ │ │ Start           │ Exit
//!      │                 │ │ └──────────┐      │
//!      │                 │ │ Exit       │      │
//!      │                 │ ├─────▶ Exited ◀────┘
//!      │                 │ │        ▲   │
//!      │                 │ │ Retry  │   │ Remove
//!      │                 │ ▼        │   │
//!      │             Restarting ────┘   │
//!      │                       Exit     │
//!      │ Remove                         ▼
//!      └───────────────────────────▶ Removing ──▶ (gone)
//!                                    ▲     │
//!                             Remove │     │ Fail
//!                                    └─ Dead ◀┘
//! ```
//!
//! A start that fails leaves the state as it was. `Restarting` is entered by restart policies only, from
//! `Paused` too.

use crate::model::Status;

/// What can happen to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Its program runs.
    Start,
    /// Its program has ended.
    Exit,
    /// All its processes are frozen.
    Pause,
    /// They are thawed.
    Unpause,
    /// Its program has ended and will be started again after a while.
    Retry,
    /// It is being removed.
    Remove,
    /// The removal did not succeed.
    Fail,
}

/// The state after a move, or `None` where the move is not legal.
pub fn next(from: Status, step: Move) -> Option<Status> {
    use Status::{Created, Dead, Exited, Paused, Removing, Restarting, Running};
    match (from, step) {
        (Created | Exited | Restarting, Move::Start) | (Paused, Move::Unpause) => Some(Running),
        (Running | Paused | Restarting, Move::Exit) => Some(Exited),
        (Running, Move::Pause) => Some(Paused),
        (Running | Paused, Move::Retry) => Some(Restarting),
        (Created | Exited | Dead, Move::Remove) => Some(Removing),
        (Removing, Move::Fail) => Some(Dead),
        _ => None,
    }
}

/// A process of the container exists (Docker's `Running`, which a frozen and a restarting one have too).
pub fn is_active(status: Status) -> bool {
    matches!(status, Status::Running | Status::Paused | Status::Restarting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATES: [Status; 7] =
        [Status::Created, Status::Running, Status::Paused, Status::Restarting, Status::Removing, Status::Exited, Status::Dead];
    const MOVES: [Move; 7] = [Move::Start, Move::Exit, Move::Pause, Move::Unpause, Move::Retry, Move::Remove, Move::Fail];

    #[test]
    fn nothing_leads_back_to_created_and_all_else_is_reachable() {
        let mut seen = vec![Status::Created];
        let mut at = 0;
        while at < seen.len() {
            for step in MOVES {
                if let Some(to) = next(seen[at], step) {
                    assert_ne!(to, Status::Created);
                    if !seen.contains(&to) {
                        seen.push(to);
                    }
                }
            }
            at += 1;
        }
        assert_eq!(seen.len(), STATES.len());
    }

    proptest! {
        #[test]
        fn invariants_hold_on_every_walk(walk in proptest::collection::vec(0usize..7, 0..60)) {
            let mut state = Status::Created;
            let mut started = false;
            let mut removing = false;
            for step in walk.into_iter().map(|i| MOVES[i]) {
                let Some(to) = next(state, step) else { continue };
                // What runs is never removed, and what is being removed never runs again.
                prop_assert!(!(is_active(state) && to == Status::Removing));
                prop_assert!(!(removing && is_active(to)));
                // Only what has started can end.
                started |= to == Status::Running;
                prop_assert!(to != Status::Exited || started);
                // Only a move out of freezing thaws, and only a running one freezes.
                prop_assert!(to != Status::Paused || state == Status::Running);
                removing |= to == Status::Removing;
                state = to;
            }
        }

        #[test]
        fn a_move_changes_the_state(from in 0usize..7, step in 0usize..7) {
            if let Some(to) = next(STATES[from], MOVES[step]) {
                prop_assert_ne!(to, STATES[from]);
            }
        }
    }
}
