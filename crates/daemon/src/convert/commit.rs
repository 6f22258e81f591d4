//! The configuration of a committed image: what was asked for over what the container has.

use super::changes;
use crate::error::{Failure, Result};
use dhow_api::types::{Config, HealthConfig};
use serde_json::Value;

/// `own`: the container's configuration. `given`: the request's, in its place. The lines are applied last but for what they leave open.
pub(crate) fn config(own: &Config, given: Option<Config>, lines: &[&str]) -> Result<Config> {
    let base = given.unwrap_or_else(|| own.clone());
    let encoded = serde_json::to_value(&base).map_err(|e| Failure::internal(format!("encoding a configuration: {e}")))?;
    let Value::Object(base) = encoded else { return Err(Failure::internal("a configuration is no object")) };
    let changed = changes::apply_to(base, lines)?;
    let mut config: Config =
        serde_json::from_value(Value::Object(changed)).map_err(|e| Failure::invalid(format!("invalid config: {e}")))?;
    merge(&mut config, own);
    Ok(config)
}

/// Fills in what a configuration leaves open.
fn merge(config: &mut Config, own: &Config) {
    let fill = |field: &mut String, from: &String| {
        if field.is_empty() {
            field.clone_from(from);
        }
    };
    fill(&mut config.user, &own.user);
    fill(&mut config.working_dir, &own.working_dir);
    fill(&mut config.stop_signal, &own.stop_signal);
    for port in own.exposed_ports.keys() {
        config.exposed_ports.entry(port.clone()).or_default();
    }
    merge_env(config, own);
    let labels = config.labels.get_or_insert_default();
    for (key, value) in own.labels.iter().flatten() {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    if config.entrypoint.as_ref().is_none_or(|words| words.is_empty()) {
        if config.cmd.as_ref().is_none_or(|words| words.is_empty()) {
            config.cmd.clone_from(&own.cmd);
            config.args_escaped = own.args_escaped;
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&own.entrypoint);
        }
    }
    if let Some(volumes) = own.volumes.as_ref().filter(|volumes| !volumes.is_empty()) {
        let all = config.volumes.get_or_insert_default();
        all.extend(volumes.keys().map(|path| (path.clone(), Default::default())));
    }
    if let Some(own) = &own.healthcheck {
        merge_health(config.healthcheck.get_or_insert_default(), own);
    }
}

fn merge_env(config: &mut Config, own: &Config) {
    fn name(entry: &str) -> &str {
        entry.split('=').next().unwrap_or_default()
    }
    let Some(own) = &own.env else { return };
    let all = config.env.get_or_insert_default();
    for entry in own {
        if !all.iter().any(|known| name(known) == name(entry)) {
            all.push(entry.clone());
        }
    }
}

fn merge_health(check: &mut HealthConfig, own: &HealthConfig) {
    if check.test.is_empty() {
        check.test.clone_from(&own.test);
    }
    let fill = |field: &mut i64, from: i64| {
        if *field == 0 {
            *field = from;
        }
    };
    fill(&mut check.interval, own.interval);
    fill(&mut check.timeout, own.timeout);
    fill(&mut check.start_period, own.start_period);
    fill(&mut check.start_interval, own.start_interval);
    fill(&mut check.retries, own.retries);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: Value) -> Config {
        serde_json::from_value(value).unwrap()
    }

    fn check(own: Value, given: Option<Value>, lines: &[&str], expect: Value) {
        let got = config(&of(own), given.map(of), lines).unwrap();
        assert_eq!(serde_json::to_value(&got).unwrap(), serde_json::to_value(of(expect)).unwrap(), "{lines:?}");
    }

    #[test]
    fn the_container_s_own_is_the_start() {
        check(
            json!({"Cmd": ["sh"], "Env": ["A=1"], "Labels": {"a": "b"}}),
            None,
            &["ENV A=2", "EXPOSE 80"],
            json!({"Cmd": ["sh"], "Env": ["A=2"], "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}}),
        );
    }

    #[test]
    fn a_given_config_is_filled_up() {
        check(
            json!({"Cmd": ["sh"], "Env": ["A=1", "B=2"], "User": "me", "Volumes": {"/v": {}}, "Healthcheck": {"Test": ["NONE"], "Retries": 3}}),
            Some(json!({"Env": ["B=3"], "User": "you", "Healthcheck": {"Retries": 5}})),
            &[],
            json!({
                "Cmd": ["sh"], "Env": ["B=3", "A=1"], "User": "you", "Labels": {}, "Volumes": {"/v": {}},
                "Healthcheck": {"Test": ["NONE"], "Retries": 5}
            }),
        );
    }

    #[test]
    fn a_new_entry_point_drops_the_command() {
        check(json!({"Cmd": ["sh"], "Labels": {}}), None, &["ENTRYPOINT [\"x\"]"], json!({"Entrypoint": ["x"], "Labels": {}}));
    }
}
