//! Health checks: what the shim is told, and what its results make of a container's state. The probes run in the shim.

use crate::container::tell::tell;
use crate::failure;
use crate::model::{Container, Health, HealthCheck, HealthStatus, ProbeResult, Request, State};
use crate::parts::Parts;
use crate::spec::{self, user};
use dhow_shim::config::HealthConfig;
use dhow_shim::handle;
use dhow_shim::health::{End, Plan, Probe, Report, Status};
use oci_spec::runtime::Capability;

/// Results kept.
const KEPT: usize = 5;
const SECOND: i64 = 1_000_000_000;
/// The shortest time that a plan has: an image may ask for less.
const SHORTEST: i64 = 1_000_000;

/// A check with Docker's defaults for what it leaves open.
fn plan(check: &HealthCheck) -> Plan {
    let time = |given: i64, default: i64| {
        let nanos = if given <= 0 { default } else { given.max(SHORTEST) };
        u64::try_from(nanos).unwrap_or(0)
    };
    Plan {
        interval: time(check.interval, 30 * SECOND),
        timeout: time(check.timeout, 30 * SECOND),
        start_period: time(check.start_period, 0),
        start_interval: time(check.start_interval, 5 * SECOND),
        retries: u64::try_from(check.retries).ok().filter(|retries| *retries > 0).unwrap_or(3),
    }
}

/// For the shim: a probe is an exec of the container's user.
pub(crate) fn config(
    container: &Container,
    check: &HealthCheck,
    user: &user::Resolved,
    capabilities: &[Capability],
    linked: &[String],
) -> HealthConfig {
    let request = &container.request;
    let mut process = spec::common_process(request, user, capabilities);
    process
        .set_terminal(Some(false))
        .set_args(Some(check.command.clone()))
        .set_env(Some(spec::env::exec(request, linked, false, &[], &user.home)))
        .set_cwd(spec::working_dir(&request.working_dir));
    HealthConfig { plan: plan(check), process }
}

/// The container starts: everything is open again, but the results of former runs stay.
pub(crate) fn started(request: &Request, state: &mut State) {
    if request.health.is_none() {
        state.health = None;
        return;
    }
    let health = state.health.get_or_insert_with(|| Box::new(fresh()));
    health.status = HealthStatus::Starting;
    health.failing_streak = 0;
}

fn fresh() -> Health {
    Health { status: HealthStatus::Starting, failing_streak: 0, log: Vec::new() }
}

/// It is not probed any more: Docker calls that unhealthy.
pub(crate) fn ended(state: &mut State) {
    if let Some(health) = &mut state.health {
        health.status = HealthStatus::Unhealthy;
    }
}

/// Takes a result. True where the verdict changed.
pub(crate) fn probed(state: &mut State, probe: Probe, status: Status, streak: u64) -> bool {
    let health = state.health.get_or_insert_with(|| Box::new(fresh()));
    if health.log.len() >= KEPT {
        health.log.drain(..=health.log.len() - KEPT);
    }
    health.log.push(result(probe));
    health.failing_streak = streak;
    let before = std::mem::replace(&mut health.status, verdict(status));
    before != health.status
}

fn verdict(status: Status) -> HealthStatus {
    match status {
        Status::Starting => HealthStatus::Starting,
        Status::Healthy => HealthStatus::Healthy,
        Status::Unhealthy | Status::Unknown => HealthStatus::Unhealthy,
    }
}

fn result(probe: Probe) -> ProbeResult {
    let Probe { start, at, end, output } = probe;
    let (exit_code, output) = match &end {
        End::Exited { code } => (*code, output),
        End::NotRun { failure } => {
            let why = failure::of_exec(&handle::Error::Refused(failure.clone()));
            (-1, format!("{}: unknown", why.message))
        }
        End::TimedOut | End::Unknown => (-1, output),
    };
    ProbeResult { start, end: at, exit_code, timed_out: end == End::TimedOut, output }
}

/// A shim was found again: its results of this run follow those of former ones, and a verdict that changed while nobody looked is told.
pub(crate) fn adopted(parts: &Parts, container: &mut Container, report: &Report, runs: bool) {
    if container.request.health.is_none() {
        return;
    }
    let state = &mut container.state;
    let mut health = state.health.take().unwrap_or_else(|| Box::new(fresh()));
    let first = report.log.first().map_or(i64::MAX, |probe| probe.start);
    health.log.retain(|kept| kept.start < first);
    health.log.extend(report.log.iter().cloned().map(result));
    health.log.drain(..health.log.len().saturating_sub(KEPT));
    health.failing_streak = report.streak;
    let before = std::mem::replace(&mut health.status, verdict(report.status));
    let changed = before != health.status;
    state.health = Some(health);
    // An end, and a pause, is told by itself.
    if changed && runs && state.status == crate::model::Status::Running {
        parts.store.state_later(&container.id, &container.state);
        tell_status(parts, container);
    }
}

/// The event about a new verdict.
pub(crate) fn tell_status(parts: &Parts, container: &Container) {
    if let Some(health) = &container.state.health {
        tell(parts, container, &format!("health_status: {}", health.status.as_str()), &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(start: i64, end: End, output: &str) -> Probe {
        Probe { start, at: start + 1, end, output: output.into() }
    }

    #[test]
    fn what_is_left_open_gets_dockers_defaults() {
        let open = plan(&HealthCheck::default());
        let s = 1_000_000_000;
        assert_eq!(open, Plan { interval: 30 * s, timeout: 30 * s, start_period: 0, start_interval: 5 * s, retries: 3 });
        let check = HealthCheck { interval: 1, timeout: 2 * SECOND, start_period: 3 * SECOND, retries: 1, ..HealthCheck::default() };
        assert_eq!(plan(&check), Plan { interval: 1_000_000, timeout: 2 * s, start_period: 3 * s, start_interval: 5 * s, retries: 1 });
    }

    #[test]
    fn results_and_verdicts() {
        let mut state = State::default();
        let exited = |code| End::Exited { code };
        assert!(!probed(&mut state, probe(1, exited(1), "a"), Status::Starting, 1));
        assert!(probed(&mut state, probe(2, exited(0), "b"), Status::Healthy, 0));
        for n in 3..7 {
            assert!(!probed(&mut state, probe(n, End::TimedOut, "c"), Status::Healthy, 1));
        }
        let health = state.health.clone().unwrap();
        assert_eq!(health.log.iter().map(|p| p.start).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
        assert_eq!((health.log[4].exit_code, health.log[4].timed_out, health.log[0].exit_code), (-1, true, 0));
        ended(&mut state);
        assert_eq!(state.health.as_ref().unwrap().status, HealthStatus::Unhealthy);
        let request = Request { health: Some(HealthCheck::default()), ..Request::default() };
        started(&request, &mut state);
        let health = state.health.unwrap();
        assert_eq!((health.status, health.failing_streak, health.log.len()), (HealthStatus::Starting, 0, 5));
    }

    #[test]
    fn a_program_that_is_not_there() {
        let failure = dhow_runtime::Failure {
            step: dhow_runtime::Step::Exec,
            object: "nosuch".into(),
            kind: dhow_runtime::Kind::NotFound,
            errno: 2,
            message: String::new(),
        };
        let got = result(probe(1, End::NotRun { failure }, ""));
        let text = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"nosuch\": executable file not found in $PATH: unknown";
        assert_eq!((got.exit_code, got.output.as_str()), (-1, text));
    }
}
