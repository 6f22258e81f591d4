//! `GET /info`.

use super::SERVER_VERSION;
use crate::app::App;
use crate::config::open_to;
use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use dhow_api::time;
use dhow_api::types::Info;
use dhow_api::types::system::{AddressPool, Commit, DiscoveredDevice, FirewallBackend, Plugins, Swarm};
use dhow_api::version::Shape;
use dhow_engine::firewall::Firewall;
use dhow_engine::model::Status;
use std::path::Path;

/// What is known of engine and host.
pub(crate) async fn get(cx: &Cx) -> Result<Reply> {
    let images = cx.app.engine.images().await?.len();
    reply::shaped(Shape::Info, cx.version, &info(&cx.app, images))
}

fn info(app: &App, images: usize) -> Info {
    let all = app.engine.containers();
    let count = |test: fn(Status) -> bool| number(all.iter().filter(|container| test(container.state.status)).count());
    let host = &app.facts.host;
    let limits = |controller| host.has(controller);
    let (live, runtimes) = (app.live.get(), app.facts.runtimes.get());
    let proxies = &live.registries.client.proxies;
    let bridged = app.settings.network.bridge.is_some();
    let firewall = if bridged { app.engine.firewall() } else { Firewall::default() };
    let version = || Commit { id: env!("CARGO_PKG_VERSION").into() };
    Info {
        id: app.facts.id.clone(),
        containers: number(all.len()),
        containers_running: count(|status| matches!(status, Status::Running | Status::Restarting)),
        containers_paused: count(|status| status == Status::Paused),
        containers_stopped: count(|status| !matches!(status, Status::Running | Status::Paused | Status::Restarting)),
        images: number(images),
        driver: app.engine.storage_driver().into(),
        driver_status: Some(driver_status(&app.settings.data_root, app.engine.layer_form(), app.engine.copies_roots())),
        plugins: plugins(),
        default_address_pools: pools(app),
        firewall_backend: bridged.then(|| backend(&firewall)),
        memory_limit: limits("memory"),
        swap_limit: host.swap_limit,
        cpu_cfs_period: limits("cpu"),
        cpu_cfs_quota: limits("cpu"),
        cpu_shares: limits("cpu"),
        cpu_set: limits("cpuset"),
        pids_limit: limits("pids"),
        ipv4_forwarding: std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|text| text.trim() == "1"),
        debug: live.debug(),
        nfd: std::fs::read_dir("/proc/self/fd").map_or(0, |entries| number(entries.count())),
        oom_kill_disable: limits("memory") && !host.cgroup2,
        system_time: time::rfc3339(super::now()),
        logging_driver: app.settings.log_driver.clone(),
        events_listener: number(app.engine.listeners()),
        cgroup_driver: "cgroupfs".into(),
        cgroup_version: if host.cgroup2 { "2" } else { "1" }.into(),
        kernel_version: host.kernel.clone(),
        operating_system: host.os.clone(),
        os_version: host.os_version.clone(),
        os_type: "linux".into(),
        architecture: host.machine.clone(),
        index_server_address: "https://index.docker.io/v1/".into(),
        registry_config: Some(live.registries.info()),
        ncpu: host.cpus,
        mem_total: host.memory,
        docker_root_dir: app.settings.data_root.to_string_lossy().into_owned(),
        http_proxy: proxies.http.as_deref().map(without_password).unwrap_or_default(),
        https_proxy: proxies.https.as_deref().map(without_password).unwrap_or_default(),
        no_proxy: proxies.none.clone(),
        name: host.name.clone(),
        server_version: SERVER_VERSION.into(),
        runtimes: runtimes.shown(),
        default_runtime: runtimes.default_name().to_owned(),
        labels: live.labels.clone(),
        swarm: Swarm { local_node_state: "inactive".into(), ..Swarm::default() },
        live_restore_enabled: live.live_restore,
        experimental_build: app.settings.experimental,
        init_binary: "dhow init".into(),
        containerd_commit: version(),
        runc_commit: version(),
        init_commit: version(),
        security_options: security(app),
        cdi_spec_dirs: app.settings.containers.cdi_dirs.iter().map(|dir| dir.to_string_lossy().into_owned()).collect(),
        discovered_devices: app.engine.devices().into_iter().map(|id| DiscoveredDevice { source: "cdi".into(), id }).collect(),
        warnings: Some(warnings(app, &firewall)).filter(|list| !list.is_empty()),
        ..Info::default()
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn driver_status(root: &Path, form: &str, copies: bool) -> Vec<[String; 2]> {
    let mut status = vec![("Backing Filesystem", super::host::filesystem(root)), ("Layers", form)];
    if copies {
        status.push(("Roots", "copies"));
    } else {
        status.extend([("Supports d_type", "true"), ("Native Overlay Diff", "true")]);
    }
    status.into_iter().map(|(key, value)| [key.to_owned(), value.to_owned()]).collect()
}

/// An address that everybody may read: who is named in it stays secret.
fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((who, _)) => format!("{scheme}://xxxxx:xxxxx{}", &rest[who.len()..]),
        None => address.to_owned(),
    }
}

fn plugins() -> Plugins {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Plugins {
        volume: list(&["local"]),
        network: list(&["bridge", "host", "ipvlan", "macvlan", "null"]),
        authorization: None,
        log: list(&["journald", "json-file", "local", "none", "syslog"]),
    }
}

fn security(app: &App) -> Vec<String> {
    let mut options = vec!["name=seccomp,profile=builtin".to_owned()];
    if app.engine.options().userns.is_some() {
        options.push("name=userns".into());
    }
    if app.facts.host.cgroup2 || !app.settings.cgroup_parent.is_empty() {
        options.push("name=cgroupns".into());
    }
    options
}

/// Those that were given; the usual ones are not told.
fn pools(app: &App) -> Vec<AddressPool> {
    let bases = &app.settings.network.bases;
    let given = *bases != dhow_engine::network::default_bases();
    let one = |base: &dhow_engine::network::Base| AddressPool { base: base.subnet.to_string(), size: i64::from(base.size) };
    bases.iter().filter(|_| given).map(one).collect()
}

/// The packet filter: which containers are reached from outside, by what, and where a rule of ours is in somebody else's chains.
fn backend(firewall: &Firewall) -> FirewallBackend {
    let reachable =
        firewall.reachable.iter().map(|(name, ports)| ["Reachable from outside".to_owned(), format!("{name} {}", ports.join(" "))]);
    let opened = firewall.obstacles.iter().filter_map(|(chain, opened)| {
        let at = opened.as_ref()?;
        let at = if at == chain { String::new() } else { format!(" by a rule in {at}") };
        Some(["Opened".to_owned(), format!("{chain}{at}")])
    });
    FirewallBackend { driver: "nftables".into(), info: reachable.chain(opened).collect() }
}

fn unreachable(firewall: &Firewall) -> impl Iterator<Item = String> {
    let closed = firewall.obstacles.iter().filter(|(_, opened)| opened.is_none());
    closed.map(|(chain, _)| {
        format!("WARNING: {chain} drops what it does not know: published ports and what containers ask for outside are lost there")
    })
}

fn warnings(app: &App, firewall: &Firewall) -> Vec<String> {
    let host = &app.facts.host;
    let checks = [
        (!host.has("memory"), "WARNING: No memory limit support"),
        (!host.swap_limit, "WARNING: No swap limit support"),
        (!host.has("cpu"), "WARNING: No cpu cfs quota support"),
        (!host.has("cpuset"), "WARNING: No cpuset support"),
        (!host.has("pids"), "WARNING: No pids limit support"),
        (host.apparmor, "WARNING: AppArmor is on, but this release loads no profile"),
    ];
    let open = app.settings.hosts.iter().filter_map(|host| open_to(host, app.settings.tls.as_ref()));
    let missing = checks.iter().filter(|(missing, _)| *missing).map(|(_, text)| (*text).to_owned());
    missing.chain(open.map(|text| format!("WARNING: {text}"))).chain(unreachable(firewall)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_uses_a_proxy_is_not_told() {
        let check = |address: &str, expect: &str| assert_eq!(without_password(address), expect);
        check("http://proxy.example:3128", "http://proxy.example:3128");
        check("http://me:secret@proxy.example:3128/x@y", "http://xxxxx:xxxxx@proxy.example:3128/x@y");
        check("http://me:se@cret@proxy.example", "http://xxxxx:xxxxx@proxy.example");
        check("proxy.example", "proxy.example");
    }

    #[test]
    fn where_layers_lie() {
        let status = driver_status(Path::new("/proc"), "dir", false);
        assert_eq!(status[0], ["Backing Filesystem", "<unknown>"]);
    }
}
