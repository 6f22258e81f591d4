//! What a request may not say. Everything is checked here, before anything is made.

use super::{limits, log};
use crate::error::{Error, Kind, Result};
use crate::failure;
use crate::host::Host;
use crate::model::{self, IpcMode, Log, Mount, MountKind, NamespaceMode, NetworkMode, Request};
use crate::paths::clean;
use crate::registry::Registry;
use crate::{policy, signal, spec};
use std::collections::HashSet;
use std::path::{Component, Path};

fn bad<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(Kind::Invalid, message))
}

/// The kernel's limit of host and domain names.
const NAME_MAX: usize = 64;

/// Checks what stands in the request alone, and completes limits. Answers warnings.
pub(crate) fn request(request: &mut Request, host: &Host, log_defaults: &Log) -> Result<Vec<String>> {
    for entry in &request.env {
        if entry.is_empty() || entry.starts_with('=') || entry.contains('\0') {
            return bad(format!("invalid environment variable: {entry}"));
        }
    }
    for (what, name) in [("hostname", &request.hostname), ("domainname", &request.domainname)] {
        if name.len() > NAME_MAX {
            return bad(format!("{what} {name:?} is too long (maximum {NAME_MAX} bytes)"));
        }
    }
    let h = &mut request.host;
    let warnings = limits::check(&mut h.resources, host)?;
    policy::capabilities::resolve(&h.cap_add, &h.cap_drop).map_err(|message| Error::new(Kind::Invalid, message))?;
    mounts(&h.mounts)?;
    if h.mounts.iter().any(|m| m.bind.read_only_below) && !host.recursive_read_only {
        return bad("recursive read-only mounts need Linux 5.12 or newer");
    }
    log::own_defaults(&mut h.log, log_defaults);
    log::check(&h.log)?;
    ulimits(h)?;
    sysctl_names(h)?;
    if !(-1000..=1000).contains(&h.oom_score_adj) {
        return bad(format!("Invalid value {}, range for oom score adj is [-1000, 1000]", h.oom_score_adj));
    }
    if let Some(parent) = &h.cgroup_parent {
        cgroup_parent(parent)?;
    }
    if h.annotations.keys().any(String::is_empty) {
        return bad("invalid Annotations: the empty string is not permitted as an annotation key");
    }
    devices(h)?;
    restart(request)?;
    modes(request)?;
    Ok(warnings)
}

/// A path within the hierarchies that stays in them.
fn cgroup_parent(parent: &str) -> Result<()> {
    let wrong = Path::new(parent).components().any(|c| c == Component::ParentDir) || parent.contains('\0') || parent.len() > 1024;
    if wrong { bad(format!("invalid cgroup parent {parent:?}: it must be a path without '..'")) } else { Ok(()) }
}

fn devices(host: &model::Host) -> Result<()> {
    for device in &host.devices {
        if !Path::new(&device.container).is_absolute() || clean(Path::new(&device.container)) == Path::new("/") {
            return bad(format!("{} is not an absolute path", device.container));
        }
        let letters = |letter: u8| matches!(letter, b'r' | b'w' | b'm');
        if !device.access.bytes().all(letters) {
            return bad(format!("bad mode specified: {}", device.access));
        }
    }
    Ok(())
}

/// Checks what may have come from the image too.
pub(crate) fn merged(request: &Request) -> Result<Vec<String>> {
    let dir = &request.working_dir;
    if !dir.is_empty() && !dir.starts_with('/') {
        return bad(format!("the working directory '{dir}' is invalid, it needs to be an absolute path"));
    }
    if let Some(text) = request.stop_signal.as_deref().filter(|s| !s.is_empty()) {
        signal::parse(text)?;
    }
    if request.env.iter().any(|e| e.contains('\0')) {
        return bad("invalid environment variable: it contains a zero byte");
    }
    spec::user::parse(&request.user)?;
    Ok(Vec::new())
}

/// Checks that the containers which it refers to exist. It is the request that is wrong where they do not: a client takes "not found" for its
/// image.
pub(crate) fn references(request: &Request, registry: &Registry) -> Result<()> {
    let h = &request.host;
    let network = match &h.network {
        NetworkMode::Container(id) => Some(id),
        _ => None,
    };
    let pid = match &h.pid {
        NamespaceMode::Container(id) => Some(id),
        _ => None,
    };
    let others = [&h.uts, &h.cgroupns].into_iter().filter_map(|mode| match mode {
        NamespaceMode::Container(id) => Some(id),
        _ => None,
    });
    let ipc = match &h.ipc {
        IpcMode::Container(id) => Some(id),
        _ => None,
    };
    for id in ipc.into_iter().chain(pid).chain(network).chain(others) {
        registry.get(id).map_err(|e| Error::new(Kind::Invalid, e.message))?;
    }
    Ok(())
}

fn restart(request: &Request) -> Result<()> {
    request.host.restart.as_ref().map_or(Ok(()), |asked| policy(asked, request.auto_remove))
}

/// Checks a restart policy.
pub(crate) fn policy((name, maximum): &(String, i64), auto_remove: bool) -> Result<()> {
    match name.as_str() {
        "no" | "always" | "unless-stopped" if *maximum > 0 => {
            bad("invalid restart policy: maximum retry count can only be used with 'on-failure'")
        }
        "no" | "always" | "unless-stopped" if *maximum < 0 => {
            bad("invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative")
        }
        "on-failure" if *maximum < 0 => bad("invalid restart policy: maximum retry count cannot be negative"),
        "" | "no" => Ok(()),
        "always" | "unless-stopped" | "on-failure" if auto_remove => bad("can't create 'AutoRemove' container with restart policy"),
        "always" | "unless-stopped" | "on-failure" => Ok(()),
        other => {
            bad(format!("invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"))
        }
    }
}

fn modes(request: &Request) -> Result<()> {
    let h = &request.host;
    if matches!(h.network, NetworkMode::Container(_)) {
        if !request.hostname.is_empty() {
            return bad("conflicting options: hostname and the network mode");
        }
        if !h.extra_hosts.is_empty() {
            return bad("conflicting options: custom host-to-IP mapping and the network mode");
        }
    }
    if h.uts == NamespaceMode::Host && !request.hostname.is_empty() {
        return bad("conflicting options: hostname and the UTS mode");
    }
    if matches!(h.uts, NamespaceMode::Container(_)) {
        return bad("invalid UTS mode: container");
    }
    if matches!(h.cgroupns, NamespaceMode::Container(_)) {
        return bad("invalid cgroup namespace mode: container");
    }
    for line in &h.extra_hosts {
        match line.split_once(':') {
            Some((name, address)) if !name.is_empty() && (address == "host-gateway" || address.parse::<std::net::IpAddr>().is_ok()) => {}
            _ => return bad(format!("bad format for add-host: \"{line}\"")),
        }
    }
    Ok(())
}

const PROPAGATIONS: [&str; 7] = ["", "private", "rprivate", "shared", "rshared", "slave", "rslave"];

fn mounts(mounts: &[Mount]) -> Result<()> {
    let mut targets = HashSet::new();
    for mount in mounts {
        let kind = match mount.kind {
            MountKind::Bind => "bind",
            MountKind::Tmpfs => "tmpfs",
            MountKind::Volume => "volume",
            MountKind::Image => "image",
        };
        let refuse = |why: String| bad(format!("invalid mount config for type \"{kind}\": {why}"));
        let target = clean(&mount.target);
        if !mount.target.is_absolute() {
            return refuse(format!("invalid mount path: '{}' mount path must be absolute", mount.target.display()));
        }
        if target == Path::new("/") {
            return refuse("invalid specification: destination can't be '/'".into());
        }
        if mount.kind == MountKind::Bind {
            if !mount.source.is_absolute() {
                return refuse(format!("invalid mount path: '{}' mount path must be absolute", mount.source.display()));
            }
            if !PROPAGATIONS.contains(&mount.propagation.as_str()) {
                return refuse(format!("invalid propagation mode: {}", mount.propagation));
            }
        }
        if !targets.insert(target.clone()) {
            return bad(format!("Duplicate mount point: {}", target.display()));
        }
    }
    Ok(())
}

fn ulimits(host: &model::Host) -> Result<()> {
    for limit in &host.ulimits {
        if spec::resources::rlimit_type(&limit.name).is_none() {
            return bad(format!("invalid ulimit type: {}", limit.name));
        }
        // -1 stands for no limit.
        if limit.hard != -1 && (limit.soft == -1 || limit.soft > limit.hard) {
            return bad(format!("ulimit soft limit must be less than or equal to hard limit: {} > {}", limit.soft, limit.hard));
        }
    }
    Ok(())
}

/// Parameters that belong to the ipc namespace.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

fn sysctl_names(host: &model::Host) -> Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
    match host.sysctls.keys().find(|name| !name.bytes().all(plain) || name.contains("..")) {
        Some(name) => bad(format!("invalid sysctl name: {name}")),
        None => Ok(()),
    }
}

/// Parameters that the container has not to itself. Docker's runtime refuses them when the container starts; so do we, in its words.
pub(crate) fn sysctls(host: &model::Host) -> Result<()> {
    let bad = |words: String| Err(failure::of_specification(&words));
    for name in host.sysctls.keys() {
        let dotted = name.replace('/', ".");
        if dotted.starts_with("net.") {
            if host.network == NetworkMode::Host {
                return bad(format!("sysctl \"{name}\" not allowed in host network namespace"));
            }
        } else if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
            if host.ipc == IpcMode::Host {
                return bad(format!("sysctl \"{name}\" is not allowed in the hosts ipc namespace"));
            }
        } else if !matches!(dotted.as_str(), "kernel.domainname") {
            return bad(format!("sysctl \"{name}\" is not in a separate kernel namespace"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn host() -> Host {
        Host::sample()
    }

    fn refused(change: impl FnOnce(&mut Request), message: &str) {
        let mut r = Request::default();
        change(&mut r);
        let error = request(&mut r, &host(), &Log::default()).and_then(|_| merged(&r)).unwrap_err();
        assert_eq!(error.message, message);
    }

    fn bind(source: &str, target: &str) -> Mount {
        Mount {
            kind: MountKind::Bind,
            source: source.into(),
            target: target.into(),
            read_only: false,
            bind: model::BindForm::default(),
            propagation: String::new(),
            create_source: false,
            options: vec![],
            volume: None,
            image: None,
            inherited: false,
        }
    }

    #[test]
    fn refusals_in_dockers_words() {
        refused(|r| r.env = vec!["=x".into()], "invalid environment variable: =x");
        refused(|r| r.working_dir = "rel".into(), "the working directory 'rel' is invalid, it needs to be an absolute path");
        refused(|r| r.stop_signal = Some("FOO".into()), "invalid signal: FOO");
        refused(
            |r| r.host.mounts = vec![bind("/", "/")],
            "invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
        );
        refused(|r| r.host.mounts = vec![bind("/tmp", "/x"), bind("/var", "/x/")], "Duplicate mount point: /x");
        refused(
            |r| r.host.restart = Some(("always".into(), 3)),
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        );
        refused(
            |r| r.host.restart = Some(("foo".into(), 0)),
            "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        );
        refused(
            |r| {
                r.auto_remove = true;
                r.host.restart = Some(("always".into(), 0));
            },
            "can't create 'AutoRemove' container with restart policy",
        );
        refused(
            |r| {
                r.hostname = "h".into();
                r.host.network = NetworkMode::Container("x".into());
            },
            "conflicting options: hostname and the network mode",
        );
        refused(|r| r.host.oom_score_adj = 2000, "Invalid value 2000, range for oom score adj is [-1000, 1000]");
        refused(
            |r| r.host.ulimits = vec![model::Ulimit { name: "nofile".into(), soft: 2, hard: 1 }],
            "ulimit soft limit must be less than or equal to hard limit: 2 > 1",
        );
        refused(|r| r.host.ulimits = vec![model::Ulimit { name: "nope".into(), soft: 1, hard: 1 }], "invalid ulimit type: nope");
        refused(|r| drop(r.host.sysctls.insert("net.../../x".into(), "1".into())), "invalid sysctl name: net.../../x");
        refused(|r| r.host.extra_hosts = vec!["x".into()], "bad format for add-host: \"x\"");
    }

    #[test]
    fn parameters_of_the_machine() {
        let check = |name: &str, network: NetworkMode, ipc: IpcMode, expect: Option<&str>| {
            let host = model::Host { sysctls: [(name.to_owned(), "1".to_owned())].into(), network, ipc, ..model::Host::default() };
            let words = sysctls(&host).err().map(|error| error.message);
            assert_eq!(words.as_deref().map(|text| text.split("runc create failed: ").nth(1).unwrap()), expect, "{name}");
        };
        let odd = "sysctl \"kernel.core_pattern\" is not in a separate kernel namespace: unknown";
        check("kernel.core_pattern", NetworkMode::None, IpcMode::Private, Some(odd));
        check("net.ipv4.x", NetworkMode::None, IpcMode::Private, None);
        let shared = "sysctl \"net.ipv4.x\" not allowed in host network namespace: unknown";
        check("net.ipv4.x", NetworkMode::Host, IpcMode::Private, Some(shared));
        check("fs.mqueue.x", NetworkMode::None, IpcMode::Private, None);
        let shared = "sysctl \"kernel.sem\" is not allowed in the hosts ipc namespace: unknown";
        check("kernel.sem", NetworkMode::None, IpcMode::Host, Some(shared));
    }

    #[test]
    fn paths_are_cleaned_by_text() {
        for (path, expect) in [("/a/../b", "/b"), ("/..", "/"), ("/a//b/./c/", "/a/b/c")] {
            assert_eq!(clean(Path::new(path)), PathBuf::from(expect));
        }
    }
}
