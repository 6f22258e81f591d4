//! Who makes the container: this program itself, or a foreign runtime.

use crate::config::{NetworkConfig, ShimConfig};
use crate::foreign::{self, Driver};
use dhow_network::resolver::Sockets;
use dhow_runtime::cgroup::{Cgroup, Unfinished};
use dhow_runtime::hooks::{Hooks, Moment};
use dhow_runtime::{Create, Failure, Kind, Manner, Root, Stdio, Step};
use oci_spec::runtime::Spec;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What is done when nothing is left but to wait for the program: with the cgroup, the process and its network namespace.
pub(crate) type Beside<'a> = &'a mut dyn FnMut(&Cgroup, i32, BorrowedFd<'_>);

/// Makes the container, and afterwards does what must be asked of whoever made it.
#[derive(Debug)]
pub(crate) enum Launcher {
    /// The runtime in this program, and the container's hooks.
    Own(Option<Box<Hooks>>),
    /// Another one, by its command line.
    Foreign(Box<Driver>),
}

/// A root filesystem, and the layers of it that somebody else holds.
pub(crate) type Mounted = (OwnedFd, Vec<OwnedFd>);

/// A container whose program runs.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) start_time: u64,
    pub(crate) root: OwnedFd,
    /// Layers of the root that the daemon holds too.
    pub(crate) layers: Vec<OwnedFd>,
    pub(crate) netns: Option<OwnedFd>,
    pub(crate) console: Option<OwnedFd>,
    /// Where its questions for names arrive, where there is to be such a place.
    pub(crate) resolver: Option<Sockets>,
    pub(crate) timings: Vec<(String, u64)>,
    /// What hooks have failed at that does not concern the program.
    pub(crate) complaint: Option<Failure>,
}

impl Launcher {
    /// The one that the configuration asks for.
    pub(crate) fn of(config: &ShimConfig) -> Self {
        match &config.runtime {
            None => Self::Own(None),
            Some(runtime) => Self::Foreign(Box::new(Driver::new(runtime.clone(), &config.id, &config.dir))),
        }
    }

    /// The foreign one.
    pub(crate) fn foreign(&self) -> Option<&Driver> {
        match self {
            Self::Own(_) => None,
            Self::Foreign(driver) => Some(driver),
        }
    }

    /// The container's cgroup with its limits, begun; a foreign runtime makes its own, and only at the creation.
    pub(crate) fn cgroup(&self, path: &str, config: &ShimConfig) -> Result<(Cgroup, Unfinished), Failure> {
        let linux = config.spec.linux().as_ref();
        match self {
            Self::Own(_) => Cgroup::begin(path, linux.and_then(|linux| linux.resources().as_ref()), true),
            Self::Foreign(_) => Ok((Cgroup::at(path)?, Unfinished::default())),
        }
    }

    /// Whether [`Self::launch`] calls `beside`, given a root that is mounted.
    pub(crate) fn stands_by(&self, config: &ShimConfig) -> bool {
        matches!(self, Self::Own(_)) && connects_beside(config)
    }

    /// Creates the container and starts its program. `mounted` is its root filesystem, where that is there already; `root` keeps that of one
    /// that did not start. `beside` is called once, or, where the container is not made like that, not at all. A foreign runtime's cgroup is
    /// known for good afterwards.
    pub(crate) fn launch(
        &mut self,
        config: &ShimConfig,
        (cgroup, unfinished): (&mut Cgroup, Unfinished),
        stdio: Stdio,
        (mounted, trees): (Option<Mounted>, &[(PathBuf, OwnedFd)]),
        root: &mut Option<OwnedFd>,
        beside: Beside<'_>,
    ) -> Result<Launched, Failure> {
        match self {
            Self::Own(kept) => {
                let hooks = hooks(config)?;
                // From here on there is something that `poststop` can look after.
                *kept = hooks.map(Box::new);
                own(config, (cgroup, unfinished), stdio, (mounted, trees), root, (kept.as_deref(), beside))
            }
            Self::Foreign(driver) => foreign_launch(driver, config, cgroup, &stdio, trees),
        }
    }

    /// Runs the last hooks and removes what a foreign runtime has of the container, which has ended.
    pub(crate) fn forget(&self, dir: &Path) -> io::Result<()> {
        // Hooks may still need the bundle, so that goes after.
        let deleted = match self {
            Self::Own(None) => return Ok(()),
            Self::Own(Some(hooks)) => hooks.run(Moment::Poststop, 0),
            Self::Foreign(driver) => driver.delete(true),
        };
        let deleted = deleted.map_err(io::Error::other);
        deleted.and(foreign::remove_files(dir))
    }
}

/// Makes its places in networks. Where that fails what was made goes with the namespace.
fn connect(network: &NetworkConfig, netns: BorrowedFd<'_>) -> Result<Option<Sockets>, Failure> {
    dhow_network::endpoint::apply(&network.plan, netns).map_err(network_failure)
}

/// The same, where there is a network, and how many microseconds it took.
fn connect_in_time(config: &ShimConfig, netns: BorrowedFd<'_>) -> Option<(Result<Option<Sockets>, Failure>, u64)> {
    let begun = Instant::now();
    config.network.as_ref().map(|network| (connect(network, netns), micros(begun)))
}

/// What went wrong with a network, as daemons are told.
pub(crate) fn network_failure(error: dhow_network::Error) -> Failure {
    Failure {
        step: Step::Network,
        object: format!("{} {}", error.operation, error.object),
        kind: Kind::Other,
        errno: error.source.raw_os_error().unwrap_or(0),
        message: error.source.to_string(),
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The hooks of the specification, with their bundle.
fn hooks(config: &ShimConfig) -> Result<Option<Hooks>, Failure> {
    let dir = config.dir.join(foreign::BUNDLE);
    let hooks = Hooks::of(&config.spec, &config.id, &dir)?;
    if hooks.is_some() {
        foreign::bundle::write(&dir, &config.spec).map_err(|e| Failure::io(Step::Io, dir.to_string_lossy(), e))?;
    }
    Ok(hooks)
}

fn own(
    config: &ShimConfig,
    (cgroup, group): (&Cgroup, Unfinished),
    stdio: Stdio,
    (mounted, trees): (Option<Mounted>, &[(PathBuf, OwnedFd)]),
    root: &mut Option<OwnedFd>,
    (hooks, beside): (Option<&Hooks>, Beside<'_>),
) -> Result<Launched, Failure> {
    let begun = Instant::now();
    let manner = Manner { listener: config.listener.as_deref().cloned(), group, ..Manner::default() };
    let keep = mounted.as_ref().and_then(|(root, _)| root.try_clone().ok());
    let filesystem = mounted.map_or_else(|| Root::Mapped(config.root.clone()), |mounted| Root::Mounted(Arc::new(mounted)));
    let seccomp = config.seccomp.as_ref();
    let create = Create { spec: &config.spec, root: filesystem, cgroup, seccomp, stdio, trees, hooks, manner };
    // Beside the mounts, which take as long, unless the container's own settings come first. Whose root we have is started by it, too: in case
    // that it does not start, we keep it mounted.
    let (mut connected, mut started) = (None, false);
    let made = match connects_beside(config) {
        true => create.run_beside(
            &mut |netns| {
                connected = connect_in_time(config, netns);
                started = keep.is_some() && connected.as_ref().is_none_or(|(done, _)| done.is_ok());
                started
            },
            &mut |pid, netns| beside(cgroup, pid, netns),
        ),
        false => create.run(),
    };
    let mut created = made.inspect_err(|_| *root = keep)?;
    let mut timings: Vec<_> = created.timings.iter().map(|(name, time)| (format!("create.{name}"), *time)).collect();
    timings.push(("create".to_owned(), micros(begun)));
    let mut resolver = None;
    if let Some((sockets, took)) = connected.or_else(|| connect_in_time(config, created.netns.as_fd())) {
        match sockets {
            Ok(sockets) => resolver = sockets,
            Err(failure) => {
                *root = Some(created.root);
                return Err(failure);
            }
        }
        timings.push(("network".to_owned(), took));
    }
    if !started {
        let begun = Instant::now();
        if let Err(failure) = created.start() {
            *root = Some(created.root);
            return Err(failure);
        }
        timings.push(("start".to_owned(), micros(begun)));
    }
    // The program runs: it is too late to undo that.
    let complaint = hooks.and_then(|hooks| hooks.run(Moment::Poststart, created.pid).err());
    Ok(Launched {
        pid: created.pid,
        pidfd: created.pidfd,
        start_time: created.start_time,
        root: created.root,
        layers: created.layers,
        netns: Some(created.netns),
        console: created.console,
        resolver,
        timings,
        complaint,
    })
}

/// Whether the places in networks are made while the container's process does its own part.
fn connects_beside(config: &ShimConfig) -> bool {
    config.network.is_some() && !sets_networks(&config.spec)
}

/// Whether the specification writes settings of the network that links take over when they are made. What Docker sets in every container
/// is about sockets.
fn sets_networks(spec: &Spec) -> bool {
    const SOCKETS: [&str; 2] = ["net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"];
    let settings = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    // Both ways of writing them name the same.
    let dotted = |name: &String| name.replace('/', ".");
    settings.is_some_and(|settings| settings.keys().map(dotted).any(|name| name.starts_with("net.") && !SOCKETS.contains(&name.as_str())))
}

fn foreign_launch(
    driver: &mut Driver,
    config: &ShimConfig,
    cgroup: &mut Cgroup,
    stdio: &Stdio,
    trees: &[(PathBuf, OwnedFd)],
) -> Result<Launched, Failure> {
    let begun = Instant::now();
    let made = driver.create(&config.spec, &config.root, stdio, trees)?;
    // What it has not made is not there to be asked.
    cgroup.dirs.retain(|(_, dir)| dir.exists());
    let created = micros(begun);
    let resolver = match (&config.network, &made.netns) {
        (Some(network), Some(netns)) => connect(network, netns.as_fd())?,
        _ => None,
    };
    let begun = Instant::now();
    driver.start()?;
    let timings = vec![("create".to_owned(), created), ("start".to_owned(), micros(begun))];
    let foreign::Made { pid, pidfd, start_time, root, layers, netns, console } = made;
    Ok(Launched { pid, pidfd, start_time, root, layers, netns, console, resolver, timings, complaint: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_that_links_take_over() {
        for (name, expect) in [
            ("net.ipv6.conf.default.disable_ipv6", true),
            ("net/ipv4/conf/eth0.1/rp_filter", true),
            ("net.core.somaxconn", true),
            ("net.ipv4.ip_unprivileged_port_start", false),
            ("net/ipv4/ping_group_range", false),
            ("kernel.msgmax", false),
        ] {
            let spec: Spec = serde_json::from_value(json!({"ociVersion": "1.2.0", "linux": {"sysctl": {name: "1"}}})).unwrap();
            assert_eq!(sets_networks(&spec), expect, "{name}");
        }
        assert!(!sets_networks(&serde_json::from_value(json!({"ociVersion": "1.2.0"})).unwrap()));
    }
}
