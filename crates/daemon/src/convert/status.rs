//! The words for where a container stands.

use dhow_api::types::State;
use dhow_api::{duration, time};
use dhow_engine::model::{self, Status};

/// `Up 2 seconds`, `Exited (0) 3 minutes ago`: the STATUS column.
pub(crate) fn line(state: &model::State, now: i64) -> String {
    let up = || duration::human(now - state.started_at.unwrap_or(now));
    let ago = || duration::human(now - state.finished_at.unwrap_or(now));
    match state.status {
        Status::Running => match health(state) {
            Some("starting") => format!("Up {} (health: starting)", up()),
            Some(word) => format!("Up {} ({word})", up()),
            None => format!("Up {}", up()),
        },
        Status::Paused => format!("Up {} (Paused)", up()),
        Status::Restarting => format!("Restarting ({}) {} ago", state.exit_code, ago()),
        Status::Removing => "Removal In Progress".into(),
        Status::Dead => "Dead".into(),
        Status::Created => "Created".into(),
        Status::Exited if state.finished_at.is_none() => String::new(),
        Status::Exited => format!("Exited ({}) {} ago", state.exit_code, ago()),
    }
}

/// Docker's word for the health of a container that has a check and has started.
pub(crate) fn health(state: &model::State) -> Option<&'static str> {
    state.health.as_ref().map(|health| health.status.as_str())
}

/// The State object. A paused or restarting container counts as running. `timeout` is that of a probe, in nanoseconds.
pub(crate) fn state(state: &model::State, timeout: i64) -> State {
    let status = state.status;
    State {
        status: status.as_str().into(),
        running: matches!(status, Status::Running | Status::Paused | Status::Restarting),
        paused: status == Status::Paused,
        restarting: status == Status::Restarting,
        oom_killed: state.oom_killed,
        dead: status == Status::Dead,
        pid: state.pid.into(),
        exit_code: state.exit_code.into(),
        error: state.error.clone(),
        started_at: time::rfc3339_or_zero(state.started_at),
        finished_at: time::rfc3339_or_zero(state.finished_at),
        health: state.health.as_ref().map(|health| super::health::shown(health, timeout)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        const SECOND: i64 = 1_000_000_000;
        let check = |status, expect: &str| {
            let state = model::State {
                status,
                pid: 0,
                pid_start_time: 0,
                exit_code: 137,
                error: String::new(),
                oom_killed: false,
                started_at: Some(0),
                finished_at: Some(10 * SECOND),
                ..model::State::default()
            };
            assert_eq!(line(&state, 10 * SECOND), expect);
        };
        check(Status::Running, "Up 10 seconds");
        check(Status::Paused, "Up 10 seconds (Paused)");
        for (status, expect) in [
            (model::HealthStatus::Starting, "Up 10 seconds (health: starting)"),
            (model::HealthStatus::Healthy, "Up 10 seconds (healthy)"),
            (model::HealthStatus::Unhealthy, "Up 10 seconds (unhealthy)"),
        ] {
            let health = Some(Box::new(model::Health { status, failing_streak: 0, log: Vec::new() }));
            let state = model::State { status: Status::Running, started_at: Some(0), health, ..model::State::default() };
            assert_eq!(line(&state, 10 * SECOND), expect);
        }
        check(Status::Exited, "Exited (137) Less than a second ago");
        check(Status::Created, "Created");
        check(Status::Removing, "Removal In Progress");
        check(Status::Dead, "Dead");
        check(Status::Restarting, "Restarting (137) Less than a second ago");
    }
}
