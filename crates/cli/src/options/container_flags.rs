//! The flags of `create` and `run`.

use dhow_api::mount::parse_mount;

use super::{check_env, devices, env, network, resources};
use crate::flags::{Flag, bytes, duration, int, list, map, special, string, switch};

/// Flags of `create`.
pub(crate) static CREATE_FLAGS: &[Flag] = COMMON;

/// Flags of `run`: those of `create`, and what only matters while it runs.
pub(crate) static RUN_FLAGS: &[Flag] = &with_run(COMMON);

const COMMON: &[Flag] = &[
    list("add-host", "Extra host:ip line for /etc/hosts").check(network::check_extra_host),
    map("annotation", "Annotation passed on to the OCI runtime").default("map[]"),
    list("attach", "Which std streams to attach").short('a').check(check_attach),
    special("blkio-weight", "uint16", "Relative IO weight 10-1000, 0 off", resources::check_u16).default("0"),
    list("blkio-weight-device", "Relative IO weight for one device").check(check_weight).default("[]"),
    list("cap-add", "Add a capability"),
    list("cap-drop", "Drop a capability"),
    string("cgroup-parent", "Parent cgroup"),
    string("cgroupns", "Cgroup namespace: host or private"),
    string("cidfile", "File to receive the container ID"),
    int("cpu-count", "CPU count (Windows)"),
    int("cpu-percent", "CPU percent (Windows)"),
    int("cpu-period", "CFS period in microseconds"),
    int("cpu-quota", "CFS quota in microseconds"),
    int("cpu-rt-period", "Real-time period in microseconds"),
    int("cpu-rt-runtime", "Real-time budget in microseconds"),
    int("cpu-shares", "Relative CPU weight").short('c'),
    special("cpus", "decimal", "CPU limit as a decimal count", resources::check_cpus),
    string("cpuset-cpus", "Allowed CPUs"),
    string("cpuset-mems", "Allowed memory nodes"),
    list("device", "Host device host[:ctr[:rwm]] or CDI name"),
    list("device-cgroup-rule", "Device cgroup rule").check(devices::check_cgroup_rule),
    list("device-read-bps", "Read bytes/s limit for a device").check(check_bytes_rate).default("[]"),
    list("device-read-iops", "Read ops/s limit for a device").check(check_operations_rate).default("[]"),
    list("device-write-bps", "Write bytes/s limit for a device").check(check_bytes_rate).default("[]"),
    list("device-write-iops", "Write ops/s limit for a device").check(check_operations_rate).default("[]"),
    switch("disable-content-trust", "Skip trust (default true)").default("true"),
    list("dns", "DNS server").check(network::check_dns),
    list("dns-opt", "Hidden old name of --dns-option").hidden(),
    list("dns-option", "Resolver option"),
    list("dns-search", "Search domain"),
    string("domainname", "NIS domain name"),
    string("entrypoint", "Replace ENTRYPOINT"),
    list("env", "Environment variable; bare name copies from the caller").short('e').check(check_env),
    list("env-file", "File of KEY=value lines"),
    list("expose", "Expose ports without publishing"),
    special("gpus", "gpu-request", "GPUs to pass", check_gpus),
    list("group-add", "Extra group"),
    string("health-cmd", "Health command (CMD-SHELL)"),
    duration("health-interval", "Time between checks").default("0s"),
    int("health-retries", "Failures before unhealthy"),
    duration("health-start-interval", "Time between checks in the start period").default("0s"),
    duration("health-start-period", "Grace time at start").default("0s"),
    duration("health-timeout", "Time limit of one check").default("0s"),
    string("hostname", "Host name inside").short('h'),
    switch("init", "Run a tiny init as PID 1"),
    switch("interactive", "Keep stdin open").short('i'),
    bytes("io-maxbandwidth", "IO limit (Windows)"),
    special("io-maxiops", "uint", "IO ops limit (Windows)", check_uint),
    string("ip", "Fixed IPv4 address"),
    string("ip6", "Fixed IPv6 address"),
    string("ipc", "IPC mode: none, private, shareable, host, container:ID"),
    string("isolation", "Isolation kind (Windows)"),
    bytes("kernel-memory", "Kernel memory limit (dead)"),
    list("label", "Label key=value").short('l').check(env::check_label),
    list("label-file", "File of label lines"),
    list("link", "Legacy link to another container").check(network::check_link),
    list("link-local-ip", "Link-local address"),
    string("log-driver", "Logging driver"),
    list("log-opt", "Logging option"),
    string("mac-address", "Fixed MAC address"),
    bytes("memory", "Memory limit").short('m'),
    bytes("memory-reservation", "Soft memory limit"),
    special("memory-swap", "bytes", "Memory plus swap limit, -1 unlimited", resources::check_swap),
    int("memory-swappiness", "Swappiness 0-100, -1 default").default("-1"),
    special("mount", "mount", "Mount in key=value form", check_mount),
    string("name", "Name to give"),
    special("net", "network", "Hidden old name of --network", network::check).hidden(),
    list("net-alias", "Hidden old name of --network-alias").hidden(),
    special("network", "network", "Network to join (name or key=value form)", network::check),
    list("network-alias", "Extra DNS name on the network"),
    switch("no-healthcheck", "Switch the image's check off"),
    switch("oom-kill-disable", "No OOM killer"),
    int("oom-score-adj", "OOM score -1000..1000"),
    string("pid", "PID mode: host or container:ID"),
    int("pids-limit", "Process count limit"),
    string("platform", "Platform os[/arch[/variant]]"),
    switch("privileged", "All capabilities and devices"),
    list("publish", "Publish [ip:][host:]ctr[/proto]").short('p'),
    switch("publish-all", "Publish every exposed port").short('P'),
    string("pull", "Pull policy").default("missing"),
    switch("quiet", "Less output").short('q'),
    switch("read-only", "Read-only root file system"),
    string("restart", "Restart policy no, on-failure[:n], always, unless-stopped").default("no"),
    switch("rm", "Delete it when it exits"),
    string("runtime", "OCI runtime"),
    list("security-opt", "Security option"),
    bytes("shm-size", "Size of /dev/shm"),
    string("stop-signal", "Stop signal"),
    int("stop-timeout", "Seconds before KILL"),
    list("storage-opt", "Storage driver option"),
    map("sysctl", "Namespaced sysctl").check(check_sysctl).default("map[]"),
    list("tmpfs", "Tmpfs path[:options]"),
    switch("tty", "Allocate a terminal").short('t'),
    special("ulimit", "ulimit", "Name=soft[:hard]", resources::check_ulimit).default("[]"),
    switch("use-api-socket", "Mount the engine socket and credentials"),
    string("user", "User[:group]").short('u'),
    string("userns", "User namespace: host"),
    string("uts", "UTS mode: host"),
    list("volume", "Bind or volume src:dst[:opts]").short('v'),
    string("volume-driver", "Driver for the named volumes"),
    list("volumes-from", "Mounts of another container"),
    string("workdir", "Working directory").short('w'),
];

const RUN_ONLY: &[Flag] = &[
    switch("detach", "Leave in the background").short('d'),
    string("detach-keys", "Key sequence that detaches"),
    switch("sig-proxy", "Forward signals").default("true"),
];

/// Both tables in one.
const fn with_run(common: &[Flag]) -> [Flag; COMMON.len() + RUN_ONLY.len()] {
    let mut all = [RUN_ONLY[0]; COMMON.len() + RUN_ONLY.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < common.len() { common[at] } else { RUN_ONLY[at - common.len()] };
        at += 1;
    }
    all
}

fn check_attach(text: &str) -> Result<(), String> {
    match text.to_lowercase().as_str() {
        "stdin" | "stdout" | "stderr" => Ok(()),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
    }
}

fn check_mount(text: &str) -> Result<(), String> {
    parse_mount(text, std::path::Path::new("/")).map(|_| ()).map_err(|error| error.to_string())
}

fn check_weight(text: &str) -> Result<(), String> {
    devices::weight(text).map(|_| ())
}

fn check_bytes_rate(text: &str) -> Result<(), String> {
    devices::bytes_rate(text).map(|_| ())
}

fn check_operations_rate(text: &str) -> Result<(), String> {
    devices::operations_rate(text).map(|_| ())
}

fn check_gpus(text: &str) -> Result<(), String> {
    devices::gpus(text).map(|_| ())
}

fn check_uint(text: &str) -> Result<(), String> {
    match text.parse::<u64>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("strconv.ParseUint: parsing {}: {}", crate::flags::quote(text), crate::flags::unsigned_problem(text))),
    }
}

/// What the kernel keeps apart for each container: System V and POSIX queues, and the network.
const NAMESPACED: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

fn check_sysctl(text: &str) -> Result<(), String> {
    let allowed =
        text.split_once('=').is_some_and(|(key, _)| NAMESPACED.contains(&key) || key.starts_with("net.") || key.starts_with("fs.mqueue."));
    if allowed { Ok(()) } else { Err(format!("sysctl '{text}' is not allowed")) }
}
