//! A sandbox: a network namespace with its files, an object of its own which containers refer to.
//!
//! ```text
//! DATA/containers/ID/hosts        bound over /etc/hosts
//! DATA/containers/ID/hostname     bound over /etc/hostname
//! DATA/containers/ID/resolv.conf  bound over /etc/resolv.conf
//! EXEC/netns/SHORT                the namespace, pinned by the shim while it lives
//! ```

use crate::error::{Error, Result};
use crate::model::{Container, NetworkMode, Sandbox};
use crate::parts::Parts;
use crate::userns::Userns;
use crate::{ids, links, network};
use dhow_network::resolv::{self, Form, Overrides};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a container's own namespace is pinned; `None` where it has none of its own.
pub(crate) fn pin(parts: &Parts, container: &Container) -> Option<PathBuf> {
    let own = matches!(container.request.host.network, NetworkMode::None | NetworkMode::Networks);
    own.then(|| parts.options.exec_root.join("netns").join(ids::short(&container.id)))
}

/// Fills a container's sandbox before its start: its files, or another container's. A container that has run keeps its files as they are:
/// what it wrote into them stays over a restart.
/// In a user namespace they belong to its root.
pub(crate) fn prepare(parts: &Parts, container: &Container, joined: Option<&Sandbox>, userns: Option<&Userns>) -> Result<Sandbox> {
    if let Some(other) = joined {
        return Ok(Sandbox { id: other.id.clone(), ..other.clone() });
    }
    let dir = parts.container_dir(&container.id);
    let fresh = container.state.started_at.is_none();
    write(&dir.join("hostname"), format!("{}\n", container.request.hostname).as_bytes(), fresh)?;
    if container.request.host.network == NetworkMode::Networks {
        // The address is another one at each start.
        write(&dir.join("hosts"), hosts(parts, container).as_bytes(), true)?;
        let (path, text) = (dir.join("resolv.conf"), resolv_conf(parts, container));
        if fresh { rewrite_anew(&path, &text) } else { rewrite(&path, &text) }?;
    } else {
        write(&dir.join("hosts"), hosts(parts, container).as_bytes(), fresh)?;
        write(&dir.join("resolv.conf"), resolv_conf(parts, container).as_bytes(), fresh)?;
    }
    if let Some((uid, gid)) = userns.and_then(Userns::root) {
        for name in ["hostname", "hosts", "resolv.conf"] {
            let path = dir.join(name);
            std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).map_err(|e| Error::internal("give away", path.display(), e))?;
        }
    }
    Ok(described(parts, container))
}

/// A container's own sandbox as it is once it was started.
pub(crate) fn described(parts: &Parts, container: &Container) -> Sandbox {
    let dir = parts.container_dir(&container.id);
    let key = pin(parts, container).unwrap_or_else(|| parts.options.exec_root.join("netns/default"));
    Sandbox {
        id: container.sandbox.id.clone(),
        key: key.to_string_lossy().into_owned(),
        resolv_conf: dir.join("resolv.conf"),
        hostname: dir.join("hostname"),
        hosts: dir.join("hosts"),
    }
}

/// Writes a file of the sandbox, or leaves the one that is there. It is cut afterwards, where it was longer: ext4 writes a file to the disk when
/// it is closed that was emptied before, also one that was empty.
fn write(path: &Path, bytes: &[u8], anew: bool) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).mode(0o644);
    if anew {
        options.create(true)
    } else {
        options.create_new(true)
    };
    let fill = |mut file: std::fs::File| {
        file.write_all(bytes)?;
        let length = bytes.len() as u64;
        if anew && file.metadata()?.len() > length { file.set_len(length) } else { Ok(()) }
    };
    match options.open(path) {
        Ok(file) => fill(file).map_err(|e| Error::internal("write", path.display(), e)),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(Error::internal("create", path.display(), e)),
    }
}

/// The container's name as its own hosts file has it, with its domain where it has one.
fn own_names(container: &Container) -> String {
    let request = &container.request;
    let whole = match request.domainname.as_str() {
        "" => request.hostname.clone(),
        domain => format!("{}.{domain}", request.hostname),
    };
    match whole.split_once('.') {
        Some((first, _)) => format!("{whole} {first}"),
        None => whole,
    }
}

fn hosts(parts: &Parts, container: &Container) -> String {
    let host = &container.request.host;
    if host.network == NetworkMode::Host
        && host.extra_hosts.is_empty()
        && let Ok(text) = std::fs::read_to_string("/etc/hosts")
    {
        return text;
    }
    let gateways = || {
        let found = parts.networks.host_gateways();
        // Without a bridge of ours the gateway to the host is the host itself.
        let reached = host.network == NetworkMode::Networks || !parts.options.network.host_gateways.is_empty();
        if reached && !found.is_empty() { found } else { vec![std::net::Ipv4Addr::LOCALHOST.into()] }
    };
    let extra = host.extra_hosts.iter().filter_map(|line| line.split_once(':')).flat_map(|(name, address)| {
        let addresses =
            if address == "host-gateway" { gateways().iter().map(ToString::to_string).collect() } else { vec![address.to_owned()] };
        addresses.into_iter().map(|address| (address, name.to_owned()))
    });
    let extra = extra.chain(links::lines(&parts.registry, container));
    let places = container.networks.values().filter_map(|membership| membership.place.as_ref());
    let own = places.flat_map(|place| place.ipv4.iter().chain(&place.ipv6)).map(|(address, _)| (*address, own_names(container)));
    resolv::hosts(&extra.collect::<Vec<_>>(), &own.collect::<Vec<_>>(), true)
}

/// Who answers a container's questions for names.
fn resolver(container: &Container) -> Form {
    match &container.request.host.network {
        NetworkMode::Host => Form::Host,
        _ if network::has_names(container) => Form::Internal,
        _ => Form::Legacy,
    }
}

fn resolv_conf(parts: &Parts, container: &Container) -> String {
    // What the container says, else what the engine was told.
    let asked = |which: usize| {
        let own = &container.request.network.dns[which];
        if own.is_empty() { parts.options.network.dns[which].clone() } else { own.clone() }
    };
    let overrides = Overrides { servers: asked(0), search: asked(1), options: asked(2) };
    resolv::compose(&network::host_resolv_conf(), &overrides, resolver(container)).0
}

/// Writes the files of a running container anew whose networks or links have changed. What somebody else wrote into its hosts file stays.
/// `gone`: the name of a link that it has no more.
pub(crate) fn refresh(parts: &Parts, container: &Container, gone: Option<&str>) -> Result<()> {
    if container.request.host.network != NetworkMode::Networks {
        return Ok(());
    }
    let dir = parts.container_dir(&container.id);
    let (path, own) = (dir.join("hosts"), own_names(container));
    let aliases: Vec<&str> = container.request.network.links.iter().map(|link| link.alias.as_str()).chain(gone).collect();
    let ours = |names: &str| names == own || names.split(' ').next().is_some_and(|first| aliases.contains(&first));
    let now = std::fs::read_to_string(&path).map_err(|e| Error::internal("read", path.display(), e))?;
    let wanted = resolv::merge_hosts(&now, &hosts(parts, container), ours);
    if now != wanted {
        write(&path, wanted.as_bytes(), true)?;
    }
    rewrite(&dir.join("resolv.conf"), &resolv_conf(parts, container))
}

/// Who answers a container's questions for names.
pub(crate) fn names_source(parts: &Arc<Parts>, container: &Container) -> network::Source {
    let (known, answering) = (parts.clone(), parts.clone());
    network::Source {
        id: container.id.clone(),
        all: Box::new(move || known.registry.all().iter().map(|slot| slot.get()).collect()),
        servers: Box::new(move |container| {
            let [own, ..] = &container.request.network.dns;
            let [engines, ..] = &answering.options.network.dns;
            let given = if own.is_empty() { engines } else { own };
            if given.is_empty() { network::host_resolv_conf().servers } else { given.clone() }
        }),
    }
}

/// Rewrites a file whose content depends on the networks, unless somebody else has changed it since we wrote it.
fn rewrite(path: &Path, text: &str) -> Result<()> {
    let mark = mark(path);
    let ours = match (std::fs::read(path), std::fs::read_to_string(&mark)) {
        (Ok(now), Ok(mark)) => mark == digest(&now),
        (Err(_), _) => true,
        (Ok(_), Err(_)) => false,
    };
    if ours { rewrite_anew(path, text) } else { Ok(()) }
}

/// The same of one that nobody has changed.
fn rewrite_anew(path: &Path, text: &str) -> Result<()> {
    write(path, text.as_bytes(), true)?;
    write(&mark(path), digest(text.as_bytes()).as_bytes(), true)
}

/// Where it stands what we wrote last.
fn mark(path: &Path) -> PathBuf {
    path.with_extension("hash")
}

/// The files, without anything in them, in a new directory.
pub(crate) fn empty(dir: &Path) -> Result<()> {
    let resolv = dir.join("resolv.conf");
    [&dir.join("hostname"), &dir.join("hosts"), &mark(&resolv), &resolv].into_iter().try_for_each(|path| write(path, b"", false))
}

/// Tells our own text from another's, nothing more (FNV-1a).
fn digest(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_changed_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        rewrite(&path, "one").unwrap();
        rewrite(&path, "two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        std::fs::write(&path, "mine").unwrap();
        rewrite(&path, "three").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn a_file_that_is_there_is_left_but_at_the_first_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        write(&path, b"one", true).unwrap();
        write(&path, b"two", false).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        write(&path, b"3", true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"3");
        write(&path, b"four", true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"four");
    }
}
