//! Docker's defaults for what a request leaves open.

use crate::facts::Facts;
use dhow_api::types::{Config, HostConfig, ImageConfig};

/// Paths of /proc and /sys that containers do not see.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// Paths of /proc that containers cannot write.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const SHM: i64 = 64 << 20;

/// Fills HostConfig.
pub(crate) fn host_config(host: &mut HostConfig, facts: &Facts) {
    if matches!(host.network_mode.as_str(), "" | "default") {
        host.network_mode = "bridge".into();
    }
    facts.containers.get().fill(host);
    let fill = |field: &mut String, value: &str| {
        if field.is_empty() {
            *field = value.into();
        }
    };
    fill(&mut host.ipc_mode, "private");
    // What sees the machine's own has no label, whether SELinux is there or not.
    let labelled = host.security_opt.iter().flatten().any(|option| option.split('=').next() == Some("label"));
    if !labelled && (host.privileged || host.pid_mode == "host" || host.ipc_mode == "host") {
        host.security_opt.get_or_insert_default().push("label=disable".into());
    }
    // Docker gives the host's on cgroup v1; here it is private there too (docs/differences.md), but for privileged containers.
    fill(&mut host.cgroupns_mode, if host.privileged && !facts.host.cgroup2 { "host" } else { "private" });
    fill(&mut host.restart_policy.name, "no");
    fill(&mut host.runtime, facts.runtimes.get().default_name());
    if host.log_config.kind.is_empty() {
        host.log_config.kind.clone_from(&facts.log_driver);
    }
    host.log_config.config.get_or_insert_default();
    if host.shm_size == 0 {
        host.shm_size = SHM;
    }
    let resources = &mut host.resources;
    resources.pids_limit = resources.pids_limit.filter(|limit| *limit > 0);
    resources.memory_swappiness = resources.memory_swappiness.filter(|value| *value != -1);
    if resources.oom_kill_disable.is_none() && !facts.host.cgroup2 {
        resources.oom_kill_disable = Some(false);
    }
    if !host.privileged {
        host.masked_paths.get_or_insert_with(|| MASKED.map(str::to_owned).into_iter().chain(facts.host.thermal.iter().cloned()).collect());
        host.readonly_paths.get_or_insert_with(|| READ_ONLY.map(str::to_owned).into());
    }
}

/// Takes from the image what only Docker's side knows of; the engine merges the rest.
pub(crate) fn image_config(config: &mut Config, image: &ImageConfig) {
    for port in image.exposed_ports.keys() {
        config.exposed_ports.entry(port.clone()).or_default();
    }
    if let Some(volumes) = image.volumes.as_ref().filter(|volumes| !volumes.is_empty()) {
        let own = config.volumes.get_or_insert_default();
        for path in volumes.keys() {
            own.entry(path.clone()).or_default();
        }
    }
    super::health::merge(config, image);
}

/// The `config` object of an image's configuration.
pub(crate) fn image_config_of(raw: &[u8]) -> ImageConfig {
    #[derive(serde::Deserialize, Default)]
    struct Image {
        #[serde(default)]
        config: Option<ImageConfig>,
    }
    serde_json::from_slice::<Image>(raw).ok().and_then(|image| image.config).unwrap_or_default()
}
