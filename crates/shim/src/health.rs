//! Health checks as a state machine: when the next probe runs, what its result makes of the container, which results are kept. Pure: whoever
//! uses it has the clock and the processes.
//!
//! ```text
//!            new, resume                    due, begun
//!   Off ───────────────────▶ Waiting ──────────────────────▶ Probing ──┐ due after the time-out: kill, once
//!    ▲                        ▲   │            ended            │ ▲     │
//!    │                        └───┼─────────────────────────────┘ └─────┘
//!    └───── pause, stop ──────────┴──────────── pause, stop ────┘
//! ```

use dhow_runtime::Failure;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Results kept.
const KEPT: usize = 5;
/// Bytes kept of a probe's output.
pub const OUTPUT_MAX: usize = 4096;

/// When probes run, and how many may fail. Times in nanoseconds, nothing is left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Between the end of one probe and the next.
    pub interval: u64,
    /// Of one probe.
    pub timeout: u64,
    /// From the start on in which failures do not count.
    pub start_period: u64,
    /// Between probes in the start period, while none has succeeded.
    pub start_interval: u64,
    /// Failures in a row that make a container unhealthy.
    pub retries: u64,
}

/// What the probes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "Docker's words")]
pub enum Status {
    Starting,
    Healthy,
    /// Also of a container that is not probed any more.
    Unhealthy,
    /// From a newer release.
    #[serde(other)]
    Unknown,
}

/// How one probe ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// By itself: exit code, 128+n for a signal.
    Exited {
        /// The code.
        code: i32,
    },
    /// It was killed for taking too long.
    TimedOut,
    /// It could not be run.
    NotRun {
        /// Why.
        failure: Failure,
    },
    /// From a newer release.
    #[serde(other)]
    Unknown,
}

/// One probe. Times are the wall clock's, nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When it began.
    pub start: i64,
    /// When its result was there.
    pub at: i64,
    /// How it ended.
    #[serde(flatten)]
    pub end: End,
    /// What it wrote, at most [`OUTPUT_MAX`] bytes and three dots.
    #[serde(default)]
    pub output: String,
}

/// What is known of a container's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The verdict.
    pub status: Status,
    /// Failures in a row.
    pub streak: u64,
    /// The last results, oldest first.
    pub log: Vec<Probe>,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// Begin a probe.
    Probe,
    /// Kill the one that runs.
    Kill,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Off,
    Waiting { until: Instant },
    Probing { since: Instant, killed: bool },
}

/// The checks of one run of a container.
#[derive(Debug)]
pub(crate) struct Machine {
    plan: Plan,
    started: Instant,
    phase: Phase,
    report: Report,
}

impl Machine {
    /// For a container that starts now.
    pub(crate) fn new(plan: Plan, now: Instant) -> Self {
        let report = Report { status: Status::Starting, streak: 0, log: Vec::new() };
        let mut machine = Self { plan, started: now, phase: Phase::Off, report };
        machine.resume(now);
        machine
    }

    /// What is known.
    pub(crate) fn report(&self) -> &Report {
        &self.report
    }

    /// When there is something to do, if nothing else happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Off | Phase::Probing { killed: true, .. } => None,
            Phase::Waiting { until } => Some(until),
            Phase::Probing { since, .. } => later(since, self.plan.timeout),
        }
    }

    /// What is to be done now. A kill is asked for once.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        if self.deadline().is_none_or(|at| now < at) {
            return Due::Nothing;
        }
        match &mut self.phase {
            Phase::Probing { killed, .. } => {
                *killed = true;
                Due::Kill
            }
            _ => Due::Probe,
        }
    }

    /// A probe begins.
    pub(crate) fn begun(&mut self, now: Instant) {
        self.phase = Phase::Probing { since: now, killed: false };
    }

    /// The probe has ended: takes the result, unless nobody wants it any more. One that was killed for its time is a failure, whatever it ended
    /// with. Gives the result as it is kept.
    pub(crate) fn ended(&mut self, now: Instant, mut probe: Probe) -> Option<&Probe> {
        let Phase::Probing { since, killed } = self.phase else { return None };
        if killed {
            probe.end = End::TimedOut;
        }
        let report = &mut self.report;
        if probe.end == (End::Exited { code: 0 }) {
            report.streak = 0;
            report.status = Status::Healthy;
        } else {
            let grace =
                report.status == Status::Starting && since.duration_since(self.started) < Duration::from_nanos(self.plan.start_period);
            if !grace {
                report.streak += 1;
                if report.streak >= self.plan.retries {
                    report.status = Status::Unhealthy;
                }
            }
        }
        if report.log.len() >= KEPT {
            report.log.drain(..=report.log.len() - KEPT);
        }
        report.log.push(probe);
        self.wait(now);
        self.report.log.last()
    }

    /// The container is frozen, or has ended: no probes, and Docker calls that unhealthy.
    pub(crate) fn stop(&mut self) {
        self.phase = Phase::Off;
        self.report.status = Status::Unhealthy;
    }

    /// The container is thawed.
    pub(crate) fn resume(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Off) {
            self.wait(now);
        }
    }

    fn wait(&mut self, now: Instant) {
        let early = now.duration_since(self.started) < Duration::from_nanos(self.plan.start_period);
        let interval = if early && self.report.status == Status::Starting { self.plan.start_interval } else { self.plan.interval };
        // A moment that no clock can show never comes.
        self.phase = later(now, interval).map_or(Phase::Off, |until| Phase::Waiting { until });
    }
}

fn later(from: Instant, nanos: u64) -> Option<Instant> {
    from.checked_add(Duration::from_nanos(nanos))
}

/// The output of a probe while it comes.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    bytes: Vec<u8>,
    cut: bool,
}

impl Capture {
    /// More output.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let room = OUTPUT_MAX - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.cut |= bytes.len() > room;
    }

    /// All of it, as text.
    pub(crate) fn text(self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        if self.cut {
            text.push_str("...");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn plan(start_period: u64) -> Plan {
        Plan { interval: 100 * MS, timeout: 30 * MS, start_period: start_period * MS, start_interval: 10 * MS, retries: 2 }
    }

    fn probe(code: i32) -> Probe {
        Probe { start: 0, at: 0, end: End::Exited { code }, output: code.to_string() }
    }

    /// Plays what happens at a time in milliseconds; expects what is due, or the state after it.
    struct Play {
        zero: Instant,
        machine: Machine,
    }

    impl Play {
        fn new(plan: Plan) -> Self {
            let zero = Instant::now();
            Self { zero, machine: Machine::new(plan, zero) }
        }

        fn at(&self, ms: u64) -> Instant {
            self.zero + Duration::from_millis(ms)
        }

        /// The next deadline, and that nothing is due before it.
        fn next(&mut self) -> Option<u64> {
            let deadline = self.machine.deadline()?;
            assert_eq!(self.machine.due(deadline - Duration::from_nanos(1)), Due::Nothing);
            Some(deadline.duration_since(self.zero).as_millis() as u64)
        }

        /// A probe that begins at one time and ends at another.
        fn run(&mut self, from: u64, to: u64, code: i32) -> (Status, u64) {
            assert_eq!(self.machine.due(self.at(from)), Due::Probe);
            self.machine.begun(self.at(from));
            assert!(self.machine.ended(self.at(to), probe(code)).is_some());
            (self.machine.report().status, self.machine.report().streak)
        }
    }

    #[test]
    fn from_starting_to_healthy_to_unhealthy_and_back() {
        let mut play = Play::new(plan(0));
        assert_eq!(play.next(), Some(100));
        assert_eq!(play.run(100, 105, 1), (Status::Starting, 1));
        assert_eq!(play.next(), Some(205));
        assert_eq!(play.run(205, 206, 0), (Status::Healthy, 0));
        assert_eq!(play.run(306, 307, 1), (Status::Healthy, 1));
        assert_eq!(play.run(407, 408, 127), (Status::Unhealthy, 2));
        assert_eq!(play.run(508, 509, 1), (Status::Unhealthy, 3));
        assert_eq!(play.run(609, 610, 0), (Status::Healthy, 0));
    }

    #[test]
    fn failures_of_the_start_period_do_not_count() {
        let mut play = Play::new(plan(35));
        assert_eq!(play.next(), Some(10));
        assert_eq!(play.run(10, 11, 1), (Status::Starting, 0));
        assert_eq!(play.run(21, 22, 1), (Status::Starting, 0));
        assert_eq!(play.next(), Some(32));
        // It began in the period, though it ended after.
        assert_eq!(play.run(32, 40, 1), (Status::Starting, 0));
        assert_eq!(play.next(), Some(140));
        assert_eq!(play.run(140, 141, 1), (Status::Starting, 1));
        assert_eq!(play.run(241, 242, 1), (Status::Unhealthy, 2));
    }

    #[test]
    fn a_success_ends_the_start_period() {
        let mut play = Play::new(plan(1000));
        assert_eq!(play.run(10, 11, 0), (Status::Healthy, 0));
        assert_eq!(play.next(), Some(111));
        assert_eq!(play.run(111, 112, 1), (Status::Healthy, 1));
    }

    #[test]
    fn a_probe_that_takes_too_long_is_killed_once_and_fails() {
        let mut play = Play::new(plan(0));
        play.machine.begun(play.at(100));
        assert_eq!(play.next(), Some(130));
        assert_eq!(play.machine.due(play.at(131)), Due::Kill);
        assert_eq!((play.machine.due(play.at(200)), play.next()), (Due::Nothing, None));
        assert_eq!(play.machine.ended(play.at(205), probe(0)).unwrap().end, End::TimedOut);
        assert_eq!((play.machine.report().streak, play.next()), (1, Some(305)));
    }

    #[test]
    fn a_frozen_container_is_not_probed() {
        let mut play = Play::new(plan(0));
        assert_eq!(play.run(100, 101, 0), (Status::Healthy, 0));
        play.machine.begun(play.at(201));
        play.machine.stop();
        assert_eq!((play.next(), play.machine.due(play.at(999))), (None, Due::Nothing));
        assert!(play.machine.ended(play.at(202), probe(1)).is_none());
        assert_eq!(play.machine.report().status, Status::Unhealthy);
        play.machine.resume(play.at(500));
        assert_eq!(play.next(), Some(600));
        // One that is not frozen is not thawed.
        play.machine.resume(play.at(550));
        assert_eq!(play.next(), Some(600));
        assert_eq!(play.run(600, 601, 0), (Status::Healthy, 0));
    }

    #[test]
    fn times_without_end() {
        let mut endless = Plan { interval: u64::MAX, ..plan(0) };
        endless.timeout = u64::MAX;
        let mut machine = Machine::new(endless, Instant::now());
        assert_eq!(machine.due(Instant::now()), Due::Nothing);
        machine.begun(Instant::now());
        assert_eq!(machine.due(Instant::now()), Due::Nothing);
    }

    #[test]
    fn output_is_cut() {
        let text = |pieces: &[&[u8]]| {
            let mut capture = Capture::default();
            pieces.iter().for_each(|piece| capture.take(piece));
            capture.text()
        };
        assert_eq!(text(&[b"a", b"b\xff"]), "ab\u{fffd}");
        assert_eq!(text(&[&[b'x'; OUTPUT_MAX]]), "x".repeat(OUTPUT_MAX));
        assert_eq!(text(&[&[b'x'; 4000], &[b'x'; 97], b"y"]), format!("{}...", "x".repeat(OUTPUT_MAX)));
    }

    proptest! {
        #[test]
        fn the_last_five_are_kept_and_the_streak_is_true(codes in proptest::collection::vec(0..3, 0..20)) {
            let mut play = Play::new(plan(0));
            for code in &codes {
                let from = play.next().unwrap();
                play.run(from, from, *code);
            }
            let report = play.machine.report();
            let kept: Vec<String> = codes.iter().rev().take(KEPT).rev().map(ToString::to_string).collect();
            prop_assert_eq!(report.log.iter().map(|p| p.output.clone()).collect::<Vec<_>>(), kept);
            prop_assert_eq!(report.streak as usize, codes.iter().rev().take_while(|code| **code != 0).count());
        }
    }
}
