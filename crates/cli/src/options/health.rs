//! The health check's flags.

use dhow_api::duration;
use dhow_api::types::HealthConfig;

use crate::flags::Parsed;

/// The check that the flags describe, if they describe one.
pub(super) fn check(parsed: &Parsed) -> Result<Option<HealthConfig>, String> {
    let time = |flag: &str| -> Result<i64, String> {
        let value = parsed.value(flag).map_or(Ok(0), duration::parse).map_err(|error| error.to_string())?;
        if value < 0 { Err(format!("--{flag} cannot be negative")) } else { Ok(value) }
    };
    let (interval, timeout) = (time("health-interval")?, time("health-timeout")?);
    let (start_period, start_interval) = (time("health-start-period")?, time("health-start-interval")?);
    let retries = parsed.int("health-retries").unwrap_or(0);
    let command = parsed.text("health-cmd");
    let described = interval != 0 || timeout != 0 || start_period != 0 || start_interval != 0 || retries != 0 || !command.is_empty();
    if parsed.is("no-healthcheck") {
        if described {
            return Err("--no-healthcheck conflicts with --health-* options".to_owned());
        }
        return Ok(Some(HealthConfig { test: vec!["NONE".to_owned()], ..HealthConfig::default() }));
    }
    if !described {
        return Ok(None);
    }
    if retries < 0 {
        return Err("--health-retries cannot be negative".to_owned());
    }
    let test = if command.is_empty() { Vec::new() } else { vec!["CMD-SHELL".to_owned(), command.to_owned()] };
    Ok(Some(HealthConfig { test, interval, timeout, start_period, start_interval, retries }))
}
