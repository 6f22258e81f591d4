//! `spec`: a specification to begin with.

use super::Command;
use crate::args::{Order, Parsed, switch};
use crate::context::Context;
use crate::error::{At, Error, Result};
use crate::make;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

pub(super) const COMMAND: Command = Command {
    name: "spec",
    usage: "",
    about: "create a new specification file",
    flags: &[make::BUNDLE, switch("rootless", None, "generate a configuration for a rootless container")],
    order: Order::Mixed,
    words: (0, 0),
    run,
};

fn run(_: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    let path = Path::new(parsed.text("bundle").unwrap_or(".")).join("config.json");
    let mut spec = example();
    if parsed.is("rootless") {
        make_rootless(&mut spec, rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    }
    let text = serde_json::to_string_pretty(&spec).map_err(|e| Error::new(format!("spec: {e}")))?;
    let mut file = match std::fs::File::options().write(true).create_new(true).open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::new("File config.json exists. Remove it first"));
        }
        other => other.at(format!("open {}", path.display()))?,
    };
    file.write_all(format!("{text}\n").as_bytes()).at(format!("write {}", path.display()))?;
    Ok(0)
}

/// A shell in a container, with few rights.
fn example() -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": crate::SPEC_VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "dhow",
        "mounts": mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": namespaces(&["pid", "network", "ipc", "uts", "mount", "cgroup"]),
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

fn namespaces(kinds: &[&str]) -> Value {
    kinds.iter().map(|kind| json!({"type": kind})).collect()
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| match options {
        [] => json!({"destination": destination, "type": kind, "source": source}),
        options => json!({"destination": destination, "type": kind, "source": source, "options": options}),
    };
    json!([
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ])
}

/// Whoever has no rights gets a user namespace, keeps the network, and asks for no limits.
fn make_rootless(spec: &mut Value, uid: u32, gid: u32) {
    let map = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
    spec["linux"]["namespaces"] = namespaces(&["pid", "ipc", "uts", "mount", "cgroup", "user"]);
    spec["linux"]["uidMappings"] = map(uid);
    spec["linux"]["gidMappings"] = map(gid);
    if let Some(linux) = spec["linux"].as_object_mut() {
        linux.remove("resources");
    }
    let Some(mounts) = spec["mounts"].as_array_mut() else { return };
    for mount in mounts {
        match mount["destination"].as_str() {
            // Only a group that is mapped can be given away.
            Some("/dev/pts") => mount["options"] = json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            Some("/sys") => {
                *mount = json!({"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]});
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_specifications() {
        let mut spec = example();
        crate::bundle::parse(spec.to_string().as_bytes()).unwrap();
        make_rootless(&mut spec, 1000, 1001);
        crate::bundle::parse(spec.to_string().as_bytes()).unwrap();
        assert_eq!((&spec["linux"]["uidMappings"][0]["hostID"], &spec["linux"]["resources"]), (&json!(1000), &Value::Null));
        assert!(!spec.to_string().contains("gid=5"));
    }
}
