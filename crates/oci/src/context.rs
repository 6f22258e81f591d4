//! What the global flags say to every command.

use crate::args::Parsed;
use crate::error::{Error, Result};
use crate::log::Log;
use crate::store::Store;
use std::path::PathBuf;

/// Handed to every command.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// Where containers are kept.
    pub(crate) store: Store,
    /// Where callers read.
    pub(crate) log: &'a Log,
    /// Control groups are systemd's.
    pub(crate) systemd: bool,
    /// The caller may not be allowed to make control groups, and a container that asks for no limit does without.
    pub(crate) rootless: bool,
}

impl<'a> Context<'a> {
    /// Of the global flags and of who calls.
    pub(crate) fn of(global: &Parsed, log: &'a Log) -> Result<Self> {
        let unprivileged = !rustix::process::geteuid().is_root() || in_user_namespace();
        let rootless = match global.text("rootless") {
            None | Some("auto") => unprivileged,
            Some("true" | "1") => true,
            Some("false" | "0") => false,
            Some(other) => return Err(Error::new(format!("invalid value {other:?} for flag -rootless"))),
        };
        let root = match global.text("root") {
            Some(root) => std::path::absolute(root).map_err(|e| Error::new(format!("root {root}: {e}")))?,
            None => default_root(unprivileged)?,
        };
        Ok(Self { store: Store::at(root), log, systemd: global.is("systemd-cgroup"), rootless })
    }
}

/// The whole range of ids is ours only outside of all user namespaces but the first.
fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let whole = map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    !map.is_empty() && !whole
}

fn default_root(unprivileged: bool) -> Result<PathBuf> {
    if !unprivileged {
        return Ok(PathBuf::from("/run").join(crate::NAME));
    }
    let dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    match dir {
        Some(dir) => Ok(PathBuf::from(dir).join(crate::NAME)),
        None if rustix::process::geteuid().is_root() => Ok(PathBuf::from("/run").join(crate::NAME)),
        None => Err(Error::new("XDG_RUNTIME_DIR is not set, and --root is not given")),
    }
}
