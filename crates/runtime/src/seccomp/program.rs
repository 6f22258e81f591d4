//! Classic BPF, written from its end: jumps only go forward, so every target is known when the jump is written.

use super::rules::{Action, Condition, Test, Verdict};
use std::collections::HashMap;

pub(super) const LOAD: u16 = 0x20;
pub(super) const AND: u16 = 0x54;
pub(super) const JUMP: u16 = 0x05;
pub(super) const IF_EQUAL: u16 = 0x15;
pub(super) const IF_ABOVE: u16 = 0x25;
pub(super) const IF_AT_LEAST: u16 = 0x35;
pub(super) const RETURN: u16 = 0x06;

/// Offsets in `seccomp_data`.
pub(super) const NUMBER: u32 = 0;
pub(super) const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// A place in the program, counted from its end.
pub(super) type Place = usize;

/// Where a jump goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Place(Place),
    /// Any instruction that returns this.
    Return(Action),
}

/// A program under construction.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The last instruction first.
    code: Vec<(u16, u8, u8, u32)>,
    /// The foremost return of each action.
    returns: HashMap<Action, Place>,
}

impl Writer {
    pub(super) fn finish(mut self) -> Vec<(u16, u8, u8, u32)> {
        self.code.reverse();
        self.code
    }

    fn push(&mut self, code: u16, yes: u8, no: u8, value: u32) -> Place {
        self.code.push((code, yes, no, value));
        self.code.len() - 1
    }

    fn ret(&mut self, action: Action) -> Place {
        let place = self.push(RETURN, 0, 0, action);
        self.returns.insert(action, place);
        place
    }

    /// A conditional jump to two different places. Both are brought within reach of its 8-bit offsets first.
    pub(super) fn branch(&mut self, code: u16, value: u32, yes: Target, no: Target) -> Target {
        if yes == no {
            return yes;
        }
        // Bringing the other one near may put one instruction in between.
        let no = self.near(no, 1);
        let yes = self.near(yes, 0);
        let here = self.code.len();
        Target::Place(self.push(code, (here - yes - 1) as u8, (here - no - 1) as u8, value))
    }

    /// A place with the target's effect that the next instruction but `room` can reach.
    fn near(&mut self, target: Target, room: usize) -> Place {
        let here = self.code.len();
        let reachable = |place: &Place| here + room - place - 1 <= usize::from(u8::MAX);
        match target {
            Target::Place(place) if reachable(&place) => place,
            Target::Place(place) => self.push(JUMP, 0, 0, (here - place - 1) as u32),
            Target::Return(action) => match self.returns.get(&action).copied().filter(reachable) {
                Some(place) => place,
                None => self.ret(action),
            },
        }
    }

    /// Writes an instruction after which the target is executed.
    pub(super) fn load_before(&mut self, offset: u32, target: Target) -> Target {
        let here = self.code.len();
        match target {
            Target::Place(place) if place + 1 == here => {}
            Target::Place(place) => drop(self.push(JUMP, 0, 0, (here - place - 1) as u32)),
            Target::Return(action) => drop(self.ret(action)),
        }
        Target::Place(self.push(LOAD, 0, 0, offset))
    }

    /// Searches the ranges by bisection. The accumulator holds the number.
    pub(super) fn search(&mut self, ranges: &[(u32, Verdict)]) -> Target {
        match ranges {
            [] => Target::Return(super::rules::KILL_THREAD),
            [(_, verdict)] => self.verdict(verdict),
            _ => {
                let (low, high) = ranges.split_at(ranges.len() / 2);
                let above = self.search(high);
                let below = self.search(low);
                self.branch(IF_AT_LEAST, high[0].0, above, below)
            }
        }
    }

    fn verdict(&mut self, verdict: &Verdict) -> Target {
        match verdict {
            Verdict::Always(action) => Target::Return(*action),
            Verdict::Depends(rules, default) => rules.iter().rev().fold(Target::Return(*default), |next, (conditions, action)| {
                conditions.iter().rev().fold(Target::Return(*action), |hit, condition| self.condition(condition, hit, next))
            }),
        }
    }

    fn condition(&mut self, condition: &Condition, hit: Target, miss: Target) -> Target {
        let low = ARGUMENTS + 8 * condition.argument + if cfg!(target_endian = "big") { 4 } else { 0 };
        let high = if condition.narrow { None } else { Some(low ^ 4) };
        match condition.test {
            Test::Masked { mask, value, equal } => {
                let (yes, no) = if equal { (hit, miss) } else { (miss, hit) };
                let rest = self.masked(low, mask as u32, value as u32, yes, no);
                match high {
                    Some(high) => self.masked(high, (mask >> 32) as u32, (value >> 32) as u32, rest, no),
                    None => rest,
                }
            }
            Test::AtLeast { value, holds } => {
                let (yes, no) = if holds { (hit, miss) } else { (miss, hit) };
                self.ordered(IF_AT_LEAST, low, high, value, yes, no)
            }
            Test::Above { value, holds } => {
                let (yes, no) = if holds { (hit, miss) } else { (miss, hit) };
                self.ordered(IF_ABOVE, low, high, value, yes, no)
            }
        }
    }

    fn masked(&mut self, offset: u32, mask: u32, value: u32, yes: Target, no: Target) -> Target {
        // Without a mask this half is always equal, for the value was masked too.
        if mask == 0 || yes == no {
            return yes;
        }
        let mut test = self.branch(IF_EQUAL, value, yes, no);
        if mask != u32::MAX {
            test = Target::Place(self.push(AND, 0, 0, mask));
        }
        self.load_before(offset, test)
    }

    fn ordered(&mut self, code: u16, low: u32, high: Option<u32>, value: u64, yes: Target, no: Target) -> Target {
        let test = self.branch(code, value as u32, yes, no);
        let rest = self.load_before(low, test);
        let Some(high) = high.filter(|_| yes != no) else { return rest };
        let equal = self.branch(IF_EQUAL, (value >> 32) as u32, rest, no);
        let test = self.branch(IF_ABOVE, (value >> 32) as u32, yes, equal);
        self.load_before(high, test)
    }
}
