//! What the daemon changes about its own process, and what it tells the one that started it. All before any thread exists, but `notify`.

pub(crate) mod activation;
pub(crate) mod group;
mod json_lines;
pub(crate) mod log;

use anyhow::{Context, Result};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

/// Leaves the caller's directory and umask.
pub(crate) fn settle() -> Result<()> {
    // A signal that the caller had blocked would never reach us.
    dhow_sys::signal::unblock().context("unblock signals")?;
    std::env::set_current_dir("/").context("chdir /")?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    Ok(())
}

/// Leaves the caller's session and cgroups. Where that is not permitted the daemon stays in them, which is no harm to containers: they get
/// their own.
pub(crate) fn leave_caller() {
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "staying in the caller's session");
    }
    leave_cgroups();
}

/// Moves this (still single-threaded) process to the root of every hierarchy, by `tasks` on v1, which does not wait for a grace period.
fn leave_cgroups() {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for line in mounts.lines() {
        let Some((target, kind, options)) = cgroup_mount(line) else { continue };
        if is_at_root(&own, kind, options) {
            continue;
        }
        let file = Path::new(target).join(if kind == "cgroup2" { "cgroup.procs" } else { "tasks" });
        if let Err(error) = std::fs::write(&file, "0") {
            tracing::debug!(file = %file.display(), %error, "staying in the caller's cgroup");
        }
    }
}

/// Mount point, type and superblock options of a line of mountinfo, if it is a whole cgroup hierarchy.
fn cgroup_mount(line: &str) -> Option<(&str, &str, &str)> {
    let (left, right) = line.split_once(" - ")?;
    let mut right = right.split(' ');
    let kind = right.next().filter(|kind| matches!(*kind, "cgroup" | "cgroup2"))?;
    let options = right.nth(1)?;
    let mut left = left.split(' ').skip(3);
    let root = left.next()?;
    (root == "/").then_some((left.next()?, kind, options))
}

/// True where `/proc/self/cgroup` says that the hierarchy's root is where this process is already.
fn is_at_root(own: &str, kind: &str, options: &str) -> bool {
    own.lines().any(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next(), parts.next().unwrap_or_default(), parts.next());
        let same = match kind {
            "cgroup2" => number == Some("0") && controllers.is_empty(),
            _ => !controllers.is_empty() && controllers.split(',').all(|c| options.split(',').any(|o| o == c)),
        };
        same && path == Some("/")
    })
}

/// Writes the process id.
pub(crate) fn write_pidfile(path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(parent).with_context(|| format!("create {}", parent.display()))?;
    }
    std::fs::write(path, std::process::id().to_string()).with_context(|| format!("write {}", path.display()))
}

/// Tells a service manager that asked for it (`NOTIFY_SOCKET`).
pub(crate) fn notify(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return };
    let sent = address(name.as_bytes()).and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(%error, "the service manager was not notified");
    }
}

fn address(name: &[u8]) -> std::io::Result<SocketAddr> {
    match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_mounts() {
        let v1 = "30 25 0:27 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory";
        assert_eq!(cgroup_mount(v1), Some(("/sys/fs/cgroup/memory", "cgroup", "rw,memory")));
        assert_eq!(cgroup_mount("30 25 0:27 /x /mnt rw - cgroup2 none rw"), None);
        assert_eq!(cgroup_mount("30 25 0:27 / / rw - ext4 /dev/vda rw"), None);
        let own = "5:cpu,cpuacct:/\n4:memory:/user\n0::/\n";
        assert!(is_at_root(own, "cgroup", "rw,cpu,cpuacct") && !is_at_root(own, "cgroup", "rw,memory") && is_at_root(own, "cgroup2", "rw"));
    }

    #[test]
    fn abstract_and_path_names() {
        assert!(address(b"@x").unwrap().as_abstract_name().is_some());
        assert_eq!(address(b"/run/n").unwrap().as_pathname(), Some(Path::new("/run/n")));
    }
}
