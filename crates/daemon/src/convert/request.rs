//! A create body made the engine's request and our document.

use super::document::Document;
use super::lookup::Resolve;
use super::{console, defaults, devices, health, links, mounts, network, ports, security, volumes};
use crate::error::{Failure, Result};
use crate::facts::Facts;
use dhow_api::types::{self, Config, CreateBody, HostConfig};
use dhow_engine::model::{self, IpcMode, NamespaceMode, Request};
use dhow_engine::network::Wishes;

/// Checks what only Docker's side knows, fills defaults, and answers the engine's request (without a name) and warnings.
pub(crate) fn convert(body: CreateBody, image: &[u8], facts: &Facts, resolve: &Resolve<'_>) -> Result<(Request, Vec<String>)> {
    let CreateBody { mut config, host_config, networking_config } = body;
    let mut host = host_config.unwrap_or_default();
    let networking = networking_config.unwrap_or_default();
    if config.network_disabled {
        host.network_mode = "none".into();
    }
    refuse(&host, facts)?;
    let mut warnings = drop_foreign(&mut host.resources);
    health::check(&config)?;
    defaults::host_config(&mut host, facts);
    warnings.extend(network::warnings(&host, facts.bridged));
    let (mode, network) = network::mode_of(&host, facts.bridged, resolve)?;
    let mut memberships = network::memberships(&mode, &network, &networking)?;
    if let Some(own) = memberships.get_mut(&mode) {
        own.mac = own.mac.take().or(network::mac(&config.mac_address)?);
    }
    host.network_mode = mode;
    let mut engine_host = engine_host(&mut host, network, facts, resolve)?;
    engine_host.runtime = facts.runtimes.get().engine_name(&host.runtime);
    let mut request = request(&config, &host, engine_host);
    let image = defaults::image_config_of(image);
    defaults::image_config(&mut config, &image);
    // Docker shows none as null, whatever was asked.
    config.volumes = config.volumes.take().filter(|volumes| !volumes.is_empty());
    request.volumes = config.volumes.iter().flatten().map(|(path, _)| path.into()).collect();
    request.volumes_from = volumes::from_others(&host, resolve)?;
    request.health = health::to_engine(&config);
    check_joined(&config, &host)?;
    // What is no port is refused also where none is published.
    let wanted = ports::wanted(&config, &host)?;
    let published = if request.host.network == model::NetworkMode::Networks { wanted } else { Vec::new() };
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    request.network = Wishes {
        memberships,
        ports: published,
        dns: [list(&host.dns), list(&host.dns_search), list(&host.dns_options)],
        links: links::to_engine(&mut host)?,
        exposed: ports::exposed(&config),
    };
    request.document = Document { config, host_config: host, networking }.to_text();
    Ok((request, warnings))
}

fn request(config: &Config, host: &HostConfig, engine_host: model::Host) -> Request {
    let words = |words: &Option<types::Words>| words.as_ref().map(|words| words.0.clone());
    Request {
        name: None,
        image: config.image.clone(),
        entrypoint: words(&config.entrypoint),
        command: words(&config.cmd),
        env: config.env.clone().unwrap_or_default(),
        working_dir: config.working_dir.clone(),
        user: config.user.clone(),
        hostname: config.hostname.clone(),
        domainname: config.domainname.clone(),
        tty: config.tty,
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        labels: config.labels.clone().unwrap_or_default(),
        stop_signal: Some(config.stop_signal.clone()).filter(|signal| !signal.is_empty()),
        stop_timeout: config.stop_timeout,
        health: None,
        network: Wishes::default(),
        volumes: Vec::new(),
        volumes_from: Vec::new(),
        auto_remove: host.auto_remove,
        console_size: console::size_of(host.console_size),
        host: engine_host,
        document: String::new(),
    }
}

fn engine_host(host: &mut HostConfig, network: model::NetworkMode, facts: &Facts, resolve: &Resolve<'_>) -> Result<model::Host> {
    let security = security::parse(host.security_opt.as_deref().unwrap_or_default(), &facts.containers.get())?;
    let user_paths = |paths: &Option<Vec<String>>, privileged: bool| paths.clone().filter(|_| !privileged);
    Ok(model::Host {
        privileged: host.privileged,
        cap_add: host.cap_add.clone().unwrap_or_default().0,
        cap_drop: host.cap_drop.clone().unwrap_or_default().0,
        read_only: host.readonly_rootfs,
        init: host.init.unwrap_or(facts.containers.get().init),
        network,
        ipc: ipc(&mut host.ipc_mode, resolve)?,
        pid: namespace("PID", &mut host.pid_mode, &["host"], resolve)?,
        uts: namespace("UTS", &mut host.uts_mode, &["host"], resolve)?,
        cgroupns: namespace("cgroup namespace", &mut host.cgroupns_mode, &["host", "private"], resolve)?,
        userns_host: host.userns_mode == "host",
        cgroup_parent: Some(host.resources.cgroup_parent.clone()).filter(|parent| !parent.is_empty()),
        mounts: mounts::to_engine(host, &facts.data_root)?,
        devices: devices::mappings(&host.resources),
        device_rules: host.resources.device_cgroup_rules.clone().unwrap_or_default(),
        device_requests: devices::requests(&host.resources),
        annotations: host.annotations.clone(),
        resources: resources(&host.resources),
        shm_size: u64::try_from(host.shm_size).map_err(|_| Failure::invalid("SHM size can not be less than 0"))?,
        group_add: host.group_add.clone().unwrap_or_default(),
        ulimits: host
            .resources
            .ulimits
            .iter()
            .flatten()
            .map(|limit| model::Ulimit { name: limit.name.clone(), soft: limit.soft, hard: limit.hard })
            .collect(),
        sysctls: host.sysctls.clone(),
        oom_score_adj: host.oom_score_adj,
        no_new_privileges: security.no_new_privileges,
        seccomp: security.seccomp,
        apparmor: security.apparmor,
        writable_cgroups: security.writable_cgroups,
        masked_paths: user_paths(&host.masked_paths, host.privileged),
        readonly_paths: user_paths(&host.readonly_paths, host.privileged),
        log: model::Log { driver: host.log_config.kind.clone(), options: host.log_config.config.clone().unwrap_or_default() },
        extra_hosts: host.extra_hosts.clone().unwrap_or_default(),
        restart: Some((host.restart_policy.name.clone(), host.restart_policy.maximum_retry_count)),
        runtime: String::new(),
    })
}

fn ipc(mode: &mut String, resolve: &Resolve<'_>) -> Result<IpcMode> {
    match mode.as_str() {
        "none" => return Ok(IpcMode::None),
        "shareable" => return Ok(IpcMode::Shareable),
        _ => {}
    }
    Ok(match namespace("IPC", mode, &["host", "private"], resolve)? {
        NamespaceMode::Private => IpcMode::Private,
        NamespaceMode::Host => IpcMode::Host,
        NamespaceMode::Container(id) => IpcMode::Container(id),
    })
}

/// A mode's namespace; `container:NAME` becomes `container:ID` in the mode itself.
fn namespace(what: &str, mode: &mut String, words: &[&str], resolve: &Resolve<'_>) -> Result<NamespaceMode> {
    let text = mode.clone();
    match text.strip_prefix("container:") {
        Some(name) if !name.is_empty() && matches!(what, "PID" | "IPC") => {
            let id = resolve(name)?;
            *mode = format!("container:{id}");
            Ok(NamespaceMode::Container(id))
        }
        None if text.is_empty() => Ok(NamespaceMode::Private),
        None if words.contains(&text.as_str()) => Ok(if text == "host" { NamespaceMode::Host } else { NamespaceMode::Private }),
        _ => Err(Failure::invalid(format!("invalid {what} mode: {text}"))),
    }
}

/// The policy that an update brings, if it brings one.
pub(crate) fn new_policy(policy: &types::RestartPolicy) -> Option<(String, i64)> {
    (!policy.name.is_empty()).then(|| (policy.name.clone(), policy.maximum_retry_count))
}

/// Limits in the engine's form.
pub(crate) fn resources(r: &types::Resources) -> model::Resources {
    let positive = |n: i64| u64::try_from(n).unwrap_or(0);
    model::Resources {
        memory: r.memory,
        memory_reservation: r.memory_reservation,
        memory_swap: r.memory_swap,
        memory_swappiness: r.memory_swappiness.and_then(|n| u64::try_from(n).ok()),
        oom_kill_disable: r.oom_kill_disable.unwrap_or(false),
        nano_cpus: r.nano_cpus,
        cpu_shares: positive(r.cpu_shares),
        cpu_period: positive(r.cpu_period),
        cpu_quota: r.cpu_quota,
        cpuset_cpus: r.cpuset_cpus.clone(),
        cpuset_mems: r.cpuset_mems.clone(),
        pids_limit: r.pids_limit,
        blkio_weight: r.blkio_weight,
        cpu_realtime_period: positive(r.cpu_realtime_period),
        cpu_realtime_runtime: r.cpu_realtime_runtime,
        weight_devices: devices::weights(&r.blkio_weight_device),
        read_bps: devices::rates(&r.blkio_device_read_bps),
        write_bps: devices::rates(&r.blkio_device_write_bps),
        read_iops: devices::rates(&r.blkio_device_read_iops),
        write_iops: devices::rates(&r.blkio_device_write_iops),
    }
}

/// What belongs to the network of another container cannot be asked for here.
fn check_joined(config: &Config, host: &HostConfig) -> Result<()> {
    if !host.network_mode.starts_with("container:") {
        return Ok(());
    }
    let given = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let published = host.publish_all_ports || host.port_bindings.as_ref().is_some_and(|bindings| !bindings.is_empty());
    let checks = [
        (given(&host.dns), "dns and the network mode"),
        (!config.mac_address.is_empty(), "mac-address and the network mode"),
        (published, "port publishing and the container type network mode"),
        (!config.exposed_ports.is_empty(), "port exposing and the container type network mode"),
    ];
    match checks.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(Failure::invalid(format!("conflicting options: {what}"))),
        None => Ok(()),
    }
}

/// Refuses, by name, what this release cannot do. Nothing that was asked for is dropped in silence.
fn refuse(host: &HostConfig, facts: &Facts) -> Result<()> {
    if !host.cgroup.is_empty() {
        return Err(Failure::unsupported("HostConfig.Cgroup"));
    }
    if let Some(key) = host.storage_opt.keys().next() {
        // Docker's words for every filesystem but xfs with quotas.
        return Err(Failure::internal(match key.to_lowercase().as_str() {
            "size" => "--storage-opt is supported only for overlay over xfs with 'pquota' mount option".to_owned(),
            _ => format!("Unknown option {key}"),
        }));
    }
    if !matches!(host.userns_mode.as_str(), "" | "host") {
        return Err(Failure::invalid(format!("invalid userns mode: {}", host.userns_mode)));
    }
    if !facts.runtimes.get().has(&host.runtime) {
        return Err(Failure::invalid(format!("unknown or invalid runtime name: {}", host.runtime)));
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        return Err(Failure::invalid(format!("invalid isolation '{}' on linux", host.isolation)));
    }
    check_resources(&host.resources)
}

/// What Docker on Linux refuses to do with resources, whatever the kernel can.
pub(crate) fn check_resources(r: &types::Resources) -> Result<()> {
    if r.io_maximum_iops != 0 || r.io_maximum_bandwidth != 0 {
        return Err(Failure::invalid("Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps"));
    }
    if r.cpu_shares < 0 {
        return Err(Failure::invalid(format!("invalid CPU shares ({}): value must be a positive integer", r.cpu_shares)));
    }
    // Others than these are looked at with what the kernel can.
    if r.cpu_period < 0 {
        return Err(Failure::invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"));
    }
    if let Some(value) = r.memory_swappiness
        && value < -1
    {
        return Err(Failure::invalid(format!("Invalid value: {value}, valid memory swappiness range is 0-100")));
    }
    Ok(())
}

/// Drops, with a warning, what means nothing on Linux.
pub(crate) fn drop_foreign(r: &mut types::Resources) -> Vec<String> {
    let mut warnings = Vec::new();
    if std::mem::take(&mut r.cpu_percent) > 0 {
        warnings.push("linux does not support CPU percent. Percent discarded.".into());
    }
    if std::mem::take(&mut r.kernel_memory) > 0 {
        let why = "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.";
        warnings.push(why.into());
    }
    r.kernel_memory_tcp = 0;
    warnings
}
