//! What the global flags say to every command.

use crate::args::Parsed;
use crate::error::{At, Error, Result};
use crate::log::Log;
use crate::store::Store;
use dhow_runtime::Failure;
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
        let is_root = rustix::process::geteuid().is_root();
        let nested = is_root && in_user_namespace()?;
        let rootless = choice(global.text("rootless"))?.unwrap_or(!is_root || nested);
        let root = match global.text("root") {
            Some(root) => std::path::absolute(root).map_err(|e| Error::new(format!("root {root}: {e}")))?,
            // Whoever only looks like root may still be called so on purpose.
            None => default_root(!is_root || (nested && std::env::var_os("USER").is_none_or(|user| user != "root")))?,
        };
        Ok(Self { store: Store::at(root), log, systemd: global.is("systemd-cgroup"), rootless })
    }

    /// Where a command fails for want of a right, says where that may come from.
    pub(crate) fn cgroups<T>(&self, command: &str, result: std::result::Result<T, Failure>) -> Result<T> {
        if let Err(failure) = &result
            && matches!(failure.errno, nix::libc::EACCES | nix::libc::EPERM)
        {
            self.log.warn(&format!("{} {command} failure might be caused by lack of full access to cgroups", crate::NAME));
        }
        Ok(result?)
    }
}

/// Words that mean yes or no; `None`: it depends on who calls.
fn choice(text: Option<&str>) -> Result<Option<bool>> {
    match text {
        None => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("auto") => Ok(None),
        Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(Some(true)),
        Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(Some(false)),
        Some(other) => Err(Error::new(format!("strconv.ParseBool: parsing {other:?}: invalid syntax"))),
    }
}

/// The whole range of ids is ours only outside of all user namespaces but the first. A kernel without the file has none.
fn in_user_namespace() -> Result<bool> {
    let file = "/proc/self/uid_map";
    match std::fs::read_to_string(file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        other => Ok(!other.at(format!("read {file}"))?.split_ascii_whitespace().eq(["0", "0", "4294967295"])),
    }
}

fn default_root(of_a_user: bool) -> Result<PathBuf> {
    if !of_a_user {
        return Ok(PathBuf::from("/run").join(crate::NAME));
    }
    let dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    match dir {
        Some(dir) => Ok(PathBuf::from(dir).join(crate::NAME)),
        None if rustix::process::geteuid().is_root() => Ok(PathBuf::from("/run").join(crate::NAME)),
        None => Err(Error::new("XDG_RUNTIME_DIR is not set, and --root is not given")),
    }
}

#[cfg(test)]
mod tests {
    use super::choice;

    #[test]
    fn yes_no_and_auto() {
        for (text, expect) in
            [("auto", None), ("AUTO", None), ("true", Some(true)), ("1", Some(true)), ("F", Some(false)), ("False", Some(false))]
        {
            assert_eq!(choice(Some(text)).unwrap(), expect, "{text}");
        }
        assert_eq!(choice(None).unwrap(), None);
        assert_eq!(choice(Some("maybe")).unwrap_err().message, "strconv.ParseBool: parsing \"maybe\": invalid syntax");
    }
}
