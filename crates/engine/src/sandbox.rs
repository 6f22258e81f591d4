//! A sandbox: a network namespace with its files, an object of its own which containers refer to.
//!
//! ```text
//! DATA/containers/ID/hosts        bound over /etc/hosts
//! DATA/containers/ID/hostname     bound over /etc/hostname
//! DATA/containers/ID/resolv.conf  bound over /etc/resolv.conf
//! EXEC/netns/SHORT                the namespace, pinned by the shim while it lives
//! ```

use crate::error::{Error, Result};
use crate::ids;
use crate::model::{Container, NetworkMode, Sandbox};
use crate::parts::Parts;
use crate::userns::Userns;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where a container's own namespace is pinned; `None` where it has none of its own.
pub(crate) fn pin(parts: &Parts, container: &Container) -> Option<PathBuf> {
    let own = container.request.host.network == NetworkMode::None;
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
    for (name, text) in [
        ("hostname", format!("{}\n", container.request.hostname)),
        ("hosts", hosts(container)),
        ("resolv.conf", resolv_conf(container.request.host.network == NetworkMode::Host)),
    ] {
        let path = dir.join(name);
        write(&path, text.as_bytes(), fresh)?;
        if let Some((uid, gid)) = userns.and_then(Userns::root) {
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

/// Writes a file of the sandbox, or leaves the one that is there.
fn write(path: &Path, bytes: &[u8], anew: bool) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).mode(0o644);
    if anew {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    match options.open(path) {
        Ok(mut file) => file.write_all(bytes).map_err(|e| Error::internal("write", path.display(), e)),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(Error::internal("create", path.display(), e)),
    }
}

fn hosts(container: &Container) -> String {
    let host = &container.request.host;
    if host.network == NetworkMode::Host
        && host.extra_hosts.is_empty()
        && let Ok(text) = std::fs::read_to_string("/etc/hosts")
    {
        return text;
    }
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for line in &host.extra_hosts {
        if let Some((name, address)) = line.split_once(':') {
            // Without a bridge of ours the gateway to the host is the host itself.
            let address = if address == "host-gateway" { "127.0.0.1" } else { address };
            let _ = writeln!(text, "{address}\t{name}");
        }
    }
    text
}

/// The host's resolver file, where systemd-resolved hides it too.
fn host_resolv_conf() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let text = read("/etc/resolv.conf");
    let servers: Vec<&str> = nameservers(&text).collect();
    if servers == ["127.0.0.53"] {
        let behind = read("/run/systemd/resolve/resolv.conf");
        if !behind.is_empty() {
            return behind;
        }
    }
    text
}

fn nameservers(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")).map(str::trim)
}

fn resolv_conf(host_network: bool) -> String {
    compose_resolv_conf(&host_resolv_conf(), host_network)
}

/// The host's servers (those on its own loopback are out of reach but for its own network), search domains and options.
fn compose_resolv_conf(host: &str, host_network: bool) -> String {
    let mut out = String::from(
        "# Generated by Docker Engine.\n# This file can be edited; Docker Engine will not make further changes once it\n# has been modified.\n\n",
    );
    for line in host.lines().map(str::trim) {
        let keep = match line.split_whitespace().next() {
            Some("nameserver") => {
                let address = line.trim_start_matches("nameserver").trim();
                host_network || !(address.starts_with("127.") || address == "::1")
            }
            Some("search" | "options" | "domain") => true,
            _ => false,
        };
        if keep {
            out.push_str(line);
            out.push('\n');
        }
    }
    out.push_str("\n# Based on host file: '/etc/resolv.conf' (legacy)\n# Overrides: []\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_servers_are_left_out_but_for_the_hosts_own_network() {
        let host = "# c\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch example.org\noptions edns0\njunk\n";
        let none = compose_resolv_conf(host, false);
        assert!(none.contains("\nnameserver 9.9.9.9\nsearch example.org\noptions edns0\n"));
        assert!(!none.contains("127.0.0.53") && !none.contains("junk"));
        assert!(compose_resolv_conf(host, true).contains("nameserver 127.0.0.53\n"));
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
    }
}
