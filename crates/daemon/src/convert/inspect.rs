//! A container as inspect and ps show it.

use super::document::Document;
use super::{health, mounts, network, ports, status};
use crate::facts::Facts;
use dhow_api::time;
use dhow_api::types::{Config, ContainerInspect, ContainerSummary, GraphDriver, HostConfig, SummaryHostConfig, SummaryNetworks, Words};
use dhow_engine::model::{BlockValue, Container};

/// `GET /containers/{id}/json`.
pub(crate) fn container(container: &Container, facts: &Facts) -> ContainerInspect {
    let document = Document::of(container);
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let sandbox = &container.sandbox;
    let mode = document.host_config.network_mode.clone();
    ContainerInspect {
        id: container.id.clone(),
        created: time::rfc3339(container.created),
        path: container.path.clone(),
        args: container.args.clone(),
        state: status::state(&container.state, health::timeout(container.request.health.as_ref())),
        image: container.image_id.clone(),
        resolv_conf_path: path(&sandbox.resolv_conf),
        hostname_path: path(&sandbox.hostname),
        hosts_path: path(&sandbox.hosts),
        log_path: log_path(container),
        name: format!("/{}", container.name),
        restart_count: i64::try_from(container.state.restarts.count).unwrap_or(i64::MAX),
        driver: driver(container).into(),
        platform: "linux".into(),
        apparmor_profile: apparmor(container, facts),
        exec_ids: Some(container.execs.clone()).filter(|execs| !execs.is_empty()),
        graph_driver: graph(container),
        mounts: mounts::points(&document.host_config, container),
        network_settings: network::settings(container, &mode, &document),
        config: with_hardware_address(config(document.config, container), container, &mode),
        host_config: host_config(document.host_config, container),
        ..ContainerInspect::default()
    }
}

/// A hardware address that was asked for is one of a place since 1.44; the container's own field shows that of its first place, in every
/// version.
fn with_hardware_address(mut config: Config, container: &Container, mode: &str) -> Config {
    if config.mac_address.is_empty() && (mode == "bridge" || network::is_user_defined(mode)) {
        let place = container.networks.get(mode);
        config.mac_address = place.and_then(|place| place.mac.clone()).unwrap_or_default();
    }
    config
}

/// The file of a log that others may read. A cache is nobody's but ours.
fn log_path(container: &Container) -> String {
    match container.request.host.log.driver.as_str() {
        "journald" | "syslog" => String::new(),
        _ => container.log_path.clone(),
    }
}

/// Before the first start the profile that was asked for; then the one that it got, where there is AppArmor at all.
fn apparmor(container: &Container, facts: &Facts) -> String {
    let host = &container.request.host;
    if container.state.started_at.is_none() {
        return host.apparmor.clone().unwrap_or_default();
    }
    match dhow_engine::policy::apparmor::profile(host, facts.host.apparmor) {
        None if facts.host.apparmor => "unconfined".into(),
        profile => profile.unwrap_or_default(),
    }
}

/// Docker's name for what the root is.
fn driver(container: &Container) -> &'static str {
    if container.graph.is_empty() { "vfs" } else { "overlay2" }
}

/// Docker shows the id of the container beside its directories, and nothing of a copy.
fn graph(container: &Container) -> GraphDriver {
    if container.graph.is_empty() {
        return GraphDriver { data: None, name: driver(container).into() };
    }
    let mut data = container.graph.clone();
    data.insert("ID".into(), container.id.clone());
    GraphDriver { data: Some(data), name: driver(container).into() }
}

/// What was asked for, with what the image gave, and the name of the host.
pub(crate) fn config(mut config: Config, container: &Container) -> Config {
    let request = &container.request;
    let words = |words: &Option<Vec<String>>| words.clone().filter(|words| !words.is_empty()).map(Words);
    config.hostname.clone_from(&request.hostname);
    config.user.clone_from(&request.user);
    config.working_dir.clone_from(&request.working_dir);
    config.env = Some(request.env.clone()).filter(|env| !env.is_empty() || config.env.is_some());
    config.cmd = words(&request.command);
    config.entrypoint = words(&request.entrypoint);
    config.labels = Some(request.labels.clone());
    config.stop_signal = request.stop_signal.clone().unwrap_or_default();
    config
}

/// What was asked for, with the limits in force: an update changes those.
fn host_config(mut host: HostConfig, container: &Container) -> HostConfig {
    if let Some((name, maximum)) = &container.request.host.restart {
        host.restart_policy.name.clone_from(name);
        host.restart_policy.maximum_retry_count = *maximum;
    }
    let now = &container.request.host.resources;
    let resources = &mut host.resources;
    resources.memory = now.memory;
    resources.memory_reservation = now.memory_reservation;
    resources.memory_swap = now.memory_swap;
    resources.memory_swappiness = now.memory_swappiness.and_then(|n| i64::try_from(n).ok());
    resources.nano_cpus = now.nano_cpus;
    resources.cpu_shares = i64::try_from(now.cpu_shares).unwrap_or(i64::MAX);
    resources.cpu_period = i64::try_from(now.cpu_period).unwrap_or(i64::MAX);
    resources.cpu_quota = now.cpu_quota;
    resources.cpuset_cpus.clone_from(&now.cpuset_cpus);
    resources.cpuset_mems.clone_from(&now.cpuset_mems);
    resources.pids_limit = now.pids_limit;
    resources.blkio_weight = now.blkio_weight;
    resources.cpu_realtime_period = i64::try_from(now.cpu_realtime_period).unwrap_or(i64::MAX);
    resources.cpu_realtime_runtime = now.cpu_realtime_runtime;
    resources.oom_kill_disable = resources.oom_kill_disable.map(|_| now.oom_kill_disable);
    // What the kernel cannot do was dropped.
    fn kept<T>(shown: &mut Option<Vec<T>>, now: &[BlockValue]) {
        if let Some(list) = shown.as_mut().filter(|_| now.is_empty()) {
            list.clear();
        }
    }
    kept(&mut resources.blkio_weight_device, &now.weight_devices);
    kept(&mut resources.blkio_device_read_bps, &now.read_bps);
    kept(&mut resources.blkio_device_write_bps, &now.write_bps);
    kept(&mut resources.blkio_device_read_iops, &now.read_iops);
    kept(&mut resources.blkio_device_write_iops, &now.write_iops);
    // Docker shows the container's own options, not those of the engine that were put under them.
    host
}

/// One entry of `GET /containers/json`, without sizes. `image_moved`: the name it was made from means another image now.
pub(crate) fn summary(container: &Container, document: &Document, now: i64, image_moved: bool) -> ContainerSummary {
    let mode = document.host_config.network_mode.clone();
    ContainerSummary {
        id: container.id.clone(),
        names: vec![format!("/{}", container.name)],
        image: if image_moved { container.image_id.clone() } else { container.request.image.clone() },
        image_id: container.image_id.clone(),
        command: command(container),
        created: container.created.div_euclid(1_000_000_000),
        ports: ports::listed(container, &document.config),
        labels: container.request.labels.clone(),
        state: container.state.status.as_str().into(),
        status: status::line(&container.state, now),
        network_settings: SummaryNetworks { networks: Some(network::endpoints(container, &mode, &document.networking)) },
        host_config: SummaryHostConfig { network_mode: mode, annotations: document.host_config.annotations.clone() },
        mounts: mounts::points(&document.host_config, container),
        ..ContainerSummary::default()
    }
}

/// Path and arguments; an argument with blanks is in single quotes.
fn command(container: &Container) -> String {
    let quoted = container.args.iter().map(|arg| if arg.contains(' ') { format!("'{arg}'") } else { arg.clone() });
    std::iter::once(container.path.clone()).chain(quoted).collect::<Vec<_>>().join(" ")
}
