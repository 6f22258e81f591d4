//! Health checks: Docker's HealthConfig made the engine's, and its results shown.

use crate::error::{Failure, Result};
use dhow_api::types::{Config, Health, HealthConfig, HealthResult, ImageConfig, Words};
use dhow_api::{duration, time};
use dhow_engine::model;

/// The shortest time that may be asked for.
const SHORTEST: i64 = 1_000_000;
/// What runs a command line where nothing else is configured.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];
/// Time of a probe where none is given.
const TIMEOUT: i64 = 30_000_000_000;

/// Checks what was asked for.
pub(crate) fn check(config: &Config) -> Result<()> {
    let Some(check) = &config.healthcheck else { return Ok(()) };
    let times = [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ];
    for (name, value) in times {
        if value != 0 && value < SHORTEST {
            return Err(Failure::invalid(format!("{name} in Healthcheck cannot be less than {}", duration::format(SHORTEST))));
        }
    }
    if check.retries < 0 {
        return Err(Failure::invalid("Retries in Healthcheck cannot be negative"));
    }
    Ok(())
}

/// Takes from the image what the request leaves open, field by field, and the shell that runs command lines.
pub(crate) fn merge(config: &mut Config, image: &ImageConfig) {
    if config.shell.as_ref().is_none_or(|shell| shell.0.is_empty()) {
        config.shell.clone_from(&image.shell);
    }
    let Some(theirs) = &image.healthcheck else { return };
    let Some(own) = &mut config.healthcheck else {
        config.healthcheck = Some(theirs.clone());
        return;
    };
    if own.test.is_empty() {
        own.test.clone_from(&theirs.test);
    }
    let fields = [
        (&mut own.interval, theirs.interval),
        (&mut own.timeout, theirs.timeout),
        (&mut own.start_period, theirs.start_period),
        (&mut own.start_interval, theirs.start_interval),
        (&mut own.retries, theirs.retries),
    ];
    for (own, theirs) in fields.into_iter().filter(|(own, _)| **own == 0) {
        *own = theirs;
    }
}

/// What the engine runs; nothing where there is no check, or one of a kind that Docker passes over.
pub(crate) fn to_engine(config: &Config) -> Option<model::HealthCheck> {
    let check = config.healthcheck.as_ref()?;
    let command = words(check, config.shell.as_ref())?;
    Some(model::HealthCheck {
        command,
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    })
}

fn words(check: &HealthConfig, shell: Option<&Words>) -> Option<Vec<String>> {
    let (kind, rest) = check.test.split_first()?;
    match kind.as_str() {
        "CMD" => Some(rest.to_vec()).filter(|words| !words.is_empty()),
        "CMD-SHELL" => {
            let shell = shell.map(|shell| shell.0.clone()).filter(|shell| !shell.is_empty());
            let mut words = shell.unwrap_or_else(|| SHELL.map(str::to_owned).into());
            words.extend(rest.iter().cloned());
            Some(words)
        }
        "NONE" => None,
        other => {
            tracing::warn!("Unknown healthcheck type '{other}' (expected 'CMD')");
            None
        }
    }
}

/// Nanoseconds that a probe may take.
pub(crate) fn timeout(check: Option<&model::HealthCheck>) -> i64 {
    check.map(|check| check.timeout).filter(|timeout| *timeout > 0).unwrap_or(TIMEOUT)
}

/// The Health object.
pub(crate) fn shown(health: &model::Health, timeout: i64) -> Health {
    let result = |probe: &model::ProbeResult| HealthResult {
        start: time::rfc3339(probe.start),
        end: time::rfc3339(probe.end),
        exit_code: probe.exit_code.into(),
        output: match (probe.timed_out, probe.output.as_str()) {
            (false, output) => output.to_owned(),
            (true, "") => format!("Health check exceeded timeout ({})", duration::format(timeout)),
            (true, output) => format!("Health check exceeded timeout ({}): {output}", duration::format(timeout)),
        },
    };
    Health {
        status: health.status.as_str().into(),
        failing_streak: i64::try_from(health.failing_streak).unwrap_or(i64::MAX),
        log: Some(health.log.iter().map(result).collect::<Vec<_>>()).filter(|log| !log.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(test: &[&str], times: [i64; 5], shell: Option<&[&str]>) -> Config {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let [interval, timeout, start_period, start_interval, retries] = times;
        let check = HealthConfig { test: list(test), interval, timeout, start_period, start_interval, retries };
        Config { healthcheck: Some(check), shell: shell.map(|words| Words(list(words))), ..Config::default() }
    }

    #[test]
    fn commands() {
        let check = |test: &[&str], shell: Option<&[&str]>, expect: Option<&[&str]>| {
            let got = to_engine(&config(test, [0; 5], shell)).map(|check| check.command);
            assert_eq!(got.as_ref().map(|words| words.iter().map(String::as_str).collect::<Vec<_>>()), expect.map(<[&str]>::to_vec));
        };
        check(&["CMD", "curl", "-f"], None, Some(&["curl", "-f"]));
        check(&["CMD-SHELL", "a | b"], None, Some(&["/bin/sh", "-c", "a | b"]));
        check(&["CMD-SHELL", "a | b"], Some(&["/bin/bash", "-ec"]), Some(&["/bin/bash", "-ec", "a | b"]));
        check(&["NONE"], None, None);
        check(&[], None, None);
        check(&["CMD"], None, None);
        check(&["FOO", "x"], None, None);
    }

    #[test]
    fn what_is_refused() {
        let refused = |times: [i64; 5], expect: &str| {
            assert_eq!(check(&config(&["CMD", "x"], times, None)).unwrap_err().0.message, expect);
        };
        refused([999_999, 0, 0, 0, 0], "Interval in Healthcheck cannot be less than 1ms");
        refused([0, -1, 0, 0, 0], "Timeout in Healthcheck cannot be less than 1ms");
        refused([0, 0, 1, 0, 0], "StartPeriod in Healthcheck cannot be less than 1ms");
        refused([0, 0, 0, 1, 0], "StartInterval in Healthcheck cannot be less than 1ms");
        refused([0, 0, 0, 0, -1], "Retries in Healthcheck cannot be negative");
        assert!(check(&config(&[], [1_000_000; 5], None)).is_ok());
    }

    #[test]
    fn the_image_fills_what_is_open() {
        let theirs = config(&["CMD", "image"], [1, 2, 3, 4, 5], None);
        let image = ImageConfig { healthcheck: theirs.healthcheck, ..ImageConfig::default() };
        let check = |mut own: Config, test: &str, expect: [i64; 5]| {
            merge(&mut own, &image);
            let got = own.healthcheck.unwrap();
            assert_eq!(got.test.last().map(String::as_str), Some(test));
            assert_eq!([got.interval, got.timeout, got.start_period, got.start_interval, got.retries], expect);
        };
        check(Config::default(), "image", [1, 2, 3, 4, 5]);
        check(config(&[], [9, 0, 0, 0, 8], None), "image", [9, 2, 3, 4, 8]);
        check(config(&["NONE"], [0; 5], None), "NONE", [1, 2, 3, 4, 5]);
    }

    #[test]
    fn results_are_shown() {
        let probe =
            |exit_code, timed_out, output: &str| model::ProbeResult { start: 0, end: 0, exit_code, timed_out, output: output.into() };
        let log = vec![probe(0, false, "ok"), probe(-1, true, ""), probe(-1, true, "slow")];
        let health = model::Health { status: model::HealthStatus::Unhealthy, failing_streak: 2, log };
        let texts: Vec<String> = shown(&health, 90_000_000_000).log.unwrap().into_iter().map(|result| result.output).collect();
        assert_eq!(texts, ["ok", "Health check exceeded timeout (1m30s)", "Health check exceeded timeout (1m30s): slow"]);
        let none = model::Health { status: model::HealthStatus::Starting, failing_streak: 0, log: Vec::new() };
        assert_eq!(shown(&none, 1).log, None);
    }
}
