//! The body of create, out of flags and arguments.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dhow_api::mount::{VolumeFlag, is_outdated, parse_mount, parse_tmpfs, volume_flag};
use dhow_api::size;
use dhow_api::types::{Config, CreateBody, HostConfig, LogConfig, Nothing, Resources, ThrottleDevice, WeightDevice, Words};

use super::values::{pairs, some_if_any};
use super::{devices, env, health, network, ports, resources, security};
use crate::error::Error;
use crate::flags::Parsed;
use crate::output::warn;

/// What does not come from flags.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// Variables that every container gets unless the person says otherwise: proxies.
    pub(crate) variables: Vec<String>,
    /// Rows and columns of the terminal.
    pub(crate) console_size: [u32; 2],
}

/// The body of create for an image, its arguments, and the flags.
pub(crate) fn create_body(parsed: &Parsed, extra: Extra) -> Result<CreateBody, Error> {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let host_config = host_config(parsed, &here, extra.console_size)?;
    let (network_mode, networking) = network::networking(parsed).map_err(Error::new)?;
    let (exposed, bindings) = ports::parse(&parsed.all("publish"), &parsed.all("expose")).map_err(Error::new)?;
    let mut config = config(parsed, &here, extra.variables)?;
    config.exposed_ports = exposed;
    let host_config = HostConfig { network_mode, port_bindings: Some(bindings), ..host_config };
    if host_config.auto_remove && !matches!(host_config.restart_policy.name.as_str(), "" | "no") {
        return Err(Error::new("conflicting options: cannot specify both --restart and --rm"));
    }
    Ok(CreateBody { config, host_config: Some(host_config), networking_config: Some(networking) })
}

fn config(parsed: &Parsed, here: &std::path::Path, variables: Vec<String>) -> Result<Config, Error> {
    let (image, command) = parsed.args.split_first().ok_or_else(|| Error::new("no image"))?;
    let attach: Vec<String> = parsed.all("attach").iter().map(|stream| stream.to_lowercase()).collect();
    let interactive = parsed.is("interactive");
    let detached = parsed.is("detach");
    let attached = |stream: &str| attach.iter().any(|given| given == stream);
    let by_default = attach.is_empty();
    let mut environment = env::read_environment(&parsed.all("env-file"), &parsed.all("env"))?;
    for variable in variables {
        let name = variable.split('=').next().unwrap_or_default();
        if !environment.iter().any(|given| given.split('=').next() == Some(name)) {
            environment.push(variable);
        }
    }
    let labels = env::read_labels(&parsed.all("label-file"), &parsed.all("label"))?;
    let anonymous = volumes(parsed, here)?.into_iter().filter_map(|volume| match volume {
        VolumeFlag::Anonymous(path) => Some((path, Nothing {})),
        VolumeFlag::Bind(_) => None,
    });
    Ok(Config {
        hostname: parsed.text("hostname").to_owned(),
        domainname: parsed.text("domainname").to_owned(),
        user: parsed.text("user").to_owned(),
        attach_stdin: !detached && (attached("stdin") || (by_default && interactive)),
        attach_stdout: !detached && (attached("stdout") || by_default),
        attach_stderr: !detached && (attached("stderr") || by_default),
        tty: parsed.is("tty"),
        open_stdin: interactive,
        stdin_once: !detached && interactive && (attached("stdin") || by_default),
        env: some_if_any(environment),
        cmd: some_if_any(command.to_vec()).map(Words::from),
        healthcheck: health::check(parsed).map_err(Error::new)?,
        image: image.clone(),
        volumes: Some(anonymous.collect()),
        working_dir: parsed.text("workdir").to_owned(),
        entrypoint: parsed.value("entrypoint").map(|program| Words::from(vec![program.to_owned()])),
        labels: Some(pairs(&labels)),
        stop_signal: parsed.text("stop-signal").to_owned(),
        stop_timeout: parsed.int("stop-timeout"),
        ..Config::default()
    })
}

fn host_config(parsed: &Parsed, here: &std::path::Path, console_size: [u32; 2]) -> Result<HostConfig, Error> {
    check_modes(parsed)?;
    let (security_opt, open_paths) = security::options(&parsed.all("security-opt")).map_err(Error::new)?;
    let storage = parsed.all("storage-opt");
    if storage.iter().any(|option| !option.contains('=')) {
        return Err(Error::new("invalid storage option"));
    }
    let log_options = parsed.all("log-opt");
    if parsed.text("log-driver") == "none" && !log_options.is_empty() {
        return Err(Error::new("invalid logging opts for driver none"));
    }
    let binds = volumes(parsed, here)?.into_iter().filter_map(|volume| match volume {
        VolumeFlag::Bind(bind) => Some(bind),
        VolumeFlag::Anonymous(_) => None,
    });
    for _ in parsed.all("mount").iter().filter(|text| is_outdated(text)) {
        let time = jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string().replace("+00:00", "Z");
        warn(&format!("time=\"{time}\" level=warning msg=\"bind-nonrecursive is deprecated, use bind-recursive=disabled instead\""));
    }
    let given_mounts: Result<Vec<_>, _> = parsed.all("mount").iter().map(|text| parse_mount(text, here)).collect();
    let extra_hosts: Result<Vec<String>, String> = parsed.all("add-host").iter().map(|text| network::extra_host(text)).collect();
    let mut dns_options = parsed.all("dns-option");
    dns_options.extend(parsed.all("dns-opt"));
    Ok(HostConfig {
        binds: some_if_any(binds.collect()),
        container_id_file: parsed.text("cidfile").to_owned(),
        log_config: LogConfig { kind: parsed.text("log-driver").to_owned(), config: Some(pairs(&log_options)) },
        restart_policy: resources::restart_policy(parsed.value("restart").unwrap_or("no")).map_err(Error::new)?,
        auto_remove: parsed.is("rm"),
        volume_driver: parsed.text("volume-driver").to_owned(),
        volumes_from: some_if_any(parsed.all("volumes-from")),
        console_size,
        annotations: pairs(&parsed.all("annotation")),
        cap_add: security::capabilities(&parsed.all("cap-add")).map(Words::from),
        cap_drop: security::capabilities(&parsed.all("cap-drop")).map(Words::from),
        cgroupns_mode: parsed.text("cgroupns").to_owned(),
        dns: Some(parsed.all("dns")),
        dns_options: Some(dns_options),
        dns_search: Some(parsed.all("dns-search")),
        extra_hosts: some_if_any(extra_hosts.map_err(Error::new)?),
        group_add: some_if_any(parsed.all("group-add")),
        ipc_mode: parsed.text("ipc").to_owned(),
        links: some_if_any(parsed.all("link")),
        oom_score_adj: parsed.int("oom-score-adj").and_then(|score| i32::try_from(score).ok()).unwrap_or(0),
        pid_mode: parsed.text("pid").to_owned(),
        privileged: parsed.is("privileged"),
        publish_all_ports: parsed.is("publish-all"),
        readonly_rootfs: parsed.is("read-only"),
        security_opt: parsed.given("security-opt").then_some(security_opt),
        storage_opt: pairs(&storage),
        tmpfs: parsed.all("tmpfs").iter().map(|text| parse_tmpfs(text)).collect(),
        uts_mode: parsed.text("uts").to_owned(),
        userns_mode: parsed.text("userns").to_owned(),
        shm_size: parsed.value("shm-size").and_then(|text| size::parse_binary(text).ok()).unwrap_or(0),
        sysctls: pairs(&parsed.all("sysctl")),
        runtime: parsed.text("runtime").to_owned(),
        isolation: parsed.text("isolation").to_owned(),
        resources: all_resources(parsed)?,
        mounts: given_mounts.map_err(|error| Error::new(error.to_string()))?,
        masked_paths: open_paths.then(Vec::new),
        readonly_paths: open_paths.then(Vec::new),
        init: parsed.given("init").then(|| parsed.is("init")),
        ..HostConfig::default()
    })
}

/// What `-v` asks for.
fn volumes(parsed: &Parsed, here: &std::path::Path) -> Result<Vec<VolumeFlag>, Error> {
    parsed.all("volume").iter().map(|text| volume_flag(text, here).map_err(|error| Error::new(error.to_string()))).collect()
}

/// Modes that the client knows to be wrong.
fn check_modes(parsed: &Parsed) -> Result<(), Error> {
    let is = |flag: &str, allowed: &[&str]| allowed.contains(&parsed.text(flag));
    let joins = |flag: &str| parsed.text(flag).strip_prefix("container:").is_some_and(|name| !name.is_empty());
    if !is("pid", &["", "host"]) && !joins("pid") {
        return Err(Error::new("--pid: invalid PID mode"));
    }
    if !is("uts", &["", "host"]) {
        return Err(Error::new("--uts: invalid UTS mode"));
    }
    if !is("userns", &["", "host"]) {
        return Err(Error::new("--userns: invalid USER mode"));
    }
    if !is("cgroupns", &["", "host", "private"]) {
        return Err(Error::new("--cgroupns: invalid CGROUP mode"));
    }
    match parsed.int("memory-swappiness") {
        Some(value) if value != -1 && !(0..=100).contains(&value) => {
            Err(Error::new(format!("invalid value: {value}. Valid memory swappiness range is 0-100")))
        }
        _ => Ok(()),
    }
}

fn all_resources(parsed: &Parsed) -> Result<Resources, Error> {
    let (devices, cdi) = devices::devices(&parsed.all("device")).map_err(Error::new)?;
    let gpus: Result<Vec<_>, String> = parsed.all("gpus").iter().map(|text| devices::gpus(text)).collect();
    let mut requests = gpus.map_err(Error::new)?;
    requests.extend(cdi);
    let ulimits: Result<Vec<_>, String> = parsed.all("ulimit").iter().map(|text| resources::ulimit(text)).collect();
    let rates = |flag: &str, read: fn(&str) -> Result<ThrottleDevice, String>| -> Result<_, Error> {
        let rates: Result<Vec<_>, String> = parsed.all(flag).iter().map(|text| read(text)).collect();
        rates.map(Some).map_err(Error::new)
    };
    let weights: Result<Vec<WeightDevice>, String> = parsed.all("blkio-weight-device").iter().map(|text| devices::weight(text)).collect();
    Ok(Resources {
        cgroup_parent: parsed.text("cgroup-parent").to_owned(),
        blkio_weight_device: Some(weights.map_err(Error::new)?),
        blkio_device_read_bps: rates("device-read-bps", devices::bytes_rate)?,
        blkio_device_write_bps: rates("device-write-bps", devices::bytes_rate)?,
        blkio_device_read_iops: rates("device-read-iops", devices::operations_rate)?,
        blkio_device_write_iops: rates("device-write-iops", devices::operations_rate)?,
        devices: Some(devices),
        device_cgroup_rules: some_if_any(parsed.all("device-cgroup-rule")),
        device_requests: if requests.is_empty() { None } else { Some(requests) },
        memory_swappiness: Some(parsed.int("memory-swappiness").unwrap_or(-1)),
        oom_kill_disable: Some(parsed.is("oom-kill-disable")),
        pids_limit: Some(parsed.int("pids-limit").unwrap_or(0)),
        ulimits: Some(last_of_each(ulimits.map_err(Error::new)?)),
        cpu_count: parsed.int("cpu-count").unwrap_or(0),
        cpu_percent: parsed.int("cpu-percent").unwrap_or(0),
        io_maximum_iops: parsed.value("io-maxiops").and_then(|text| text.parse().ok()).unwrap_or(0),
        io_maximum_bandwidth: parsed
            .value("io-maxbandwidth")
            .and_then(|text| size::parse_binary(text).ok())
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or(0),
        ..resources::resources(parsed)
    })
}

/// Of several limits with one name, the last one counts.
fn last_of_each(limits: Vec<dhow_api::types::Ulimit>) -> Vec<dhow_api::types::Ulimit> {
    let by_name: BTreeMap<String, _> = limits.into_iter().map(|limit| (limit.name.clone(), limit)).collect();
    by_name.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags;
    use crate::options::RUN_FLAGS;

    fn body(words: &[&str]) -> Result<serde_json::Value, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let parsed = flags::parse(RUN_FLAGS, &words, true).map_err(|error| error.0)?;
        let body = create_body(&parsed, Extra::default()).map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(body).unwrap())
    }

    /// What Docker's client 28.2 sends for `run busybox true`.
    const PLAIN: &str = include_str!("../../tests/data/create-plain.json");

    #[test]
    fn nothing_given() {
        let expect: serde_json::Value = serde_json::from_str(PLAIN).unwrap();
        assert_eq!(body(&["busybox", "true"]).unwrap(), expect);
    }

    #[test]
    fn streams() {
        let check = |words: &[&str], expect: [bool; 5]| {
            let body = body(words).unwrap();
            let on = ["AttachStdin", "AttachStdout", "AttachStderr", "OpenStdin", "StdinOnce"].map(|key| body[key] == true);
            assert_eq!(on, expect, "{words:?}");
        };
        check(&["x"], [false, true, true, false, false]);
        check(&["-i", "x"], [true, true, true, true, true]);
        check(&["-d", "-i", "x"], [false, false, false, true, false]);
        check(&["-a", "stdin", "x"], [true, false, false, false, false]);
        check(&["-a", "STDOUT", "x"], [false, true, false, false, false]);
    }

    #[test]
    fn conflicts() {
        let error = |words: &[&str]| body(words).unwrap_err();
        assert_eq!(error(&["--rm", "--restart", "always", "x"]), "conflicting options: cannot specify both --restart and --rm");
        assert_eq!(error(&["--pid", "foo", "x"]), "--pid: invalid PID mode");
        assert_eq!(error(&["--log-driver", "none", "--log-opt", "a=b", "x"]), "invalid logging opts for driver none");
        assert_eq!(error(&["--storage-opt", "a", "x"]), "invalid storage option");
        assert_eq!(
            error(&["--network", "a", "--network", "host", "x"]),
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
        );
    }
}
