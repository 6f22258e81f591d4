//! What is kept of a container between two commands, and what it says about now.

use crate::error::{At, Result};
use dhow_runtime::Rdt;
use dhow_runtime::cgroup::Cgroup;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// One container. What a newer release adds is skipped by an older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The specification's version.
    pub(crate) oci_version: String,
    /// Its name in this root.
    pub(crate) id: String,
    /// Its first process; 0 while it is being created.
    pub(crate) pid: i32,
    /// When that began, in clock ticks since boot: the number alone may come to mean another process.
    pub(crate) start_time: u64,
    /// Absolute.
    pub(crate) bundle: PathBuf,
    /// Absolute.
    pub(crate) rootfs: PathBuf,
    /// RFC 3339.
    pub(crate) created: String,
    /// As in the specification.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Its control group. Without directories where the caller may make none.
    pub(crate) cgroup: Cgroup,
    /// Where systemd knows the group, if it made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    /// The class of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rdt: Option<Rdt>,
    /// Its root among the caller's mounts, where it has no mount namespace of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mount: Option<u64>,
    /// In a user namespace of its own.
    pub(crate) user_namespace: bool,
    /// In a pid namespace of its own: its processes end with the first.
    pub(crate) pid_namespace: bool,
}

/// Where in its life a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Somebody is making it, or was killed over it.
    Creating,
    /// It waits for its start.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl Status {
    /// As the specification spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// What `state` and `list` show. The order of the fields is runc's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View<'a> {
    oci_version: &'a str,
    id: &'a str,
    pid: i32,
    status: Status,
    bundle: &'a PathBuf,
    rootfs: &'a PathBuf,
    created: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    owner: &'a str,
}

impl View<'_> {
    /// One line of `list`.
    pub(crate) fn row(&self, created: &str) -> [String; 6] {
        let bundle = self.bundle.display().to_string();
        [self.id.to_owned(), self.pid.to_string(), self.status.name().to_owned(), bundle, created.to_owned(), self.owner.to_owned()]
    }
}

impl Record {
    /// For people and callers. A container that has ended has no process.
    pub(crate) fn view<'a>(&'a self, status: Status, owner: &'a str) -> View<'a> {
        let pid = if status == Status::Stopped { 0 } else { self.pid };
        View {
            oci_version: &self.oci_version,
            id: &self.id,
            pid,
            status,
            bundle: &self.bundle,
            rootfs: &self.rootfs,
            created: &self.created,
            annotations: &self.annotations,
            owner,
        }
    }
}

impl Record {
    /// Whether the container's first process still lives.
    pub(crate) fn lives(&self) -> Result<bool> {
        let file = format!("/proc/{}/stat", self.pid);
        match std::fs::read_to_string(&file) {
            Ok(stat) => Ok(lives(&stat, self.start_time)),
            Err(e) if matches!(e.raw_os_error(), Some(nix::libc::ENOENT | nix::libc::ESRCH)) => Ok(false),
            Err(e) => Err(e).at(format!("read {file}")),
        }
    }

    /// A handle of the container's first process; `None` if that has ended. The number alone may mean another process by now.
    pub(crate) fn live(&self) -> Result<Option<OwnedFd>> {
        if self.pid == 0 {
            return Ok(None);
        }
        let pidfd = match dhow_sys::process::pidfd_open(self.pid) {
            Err(e) if e.raw_os_error() == Some(nix::libc::ESRCH) => return Ok(None),
            other => other.at(format!("open process {}", self.pid))?,
        };
        Ok(self.lives()?.then_some(pidfd))
    }
}

/// Whether the process that began at `start_time` still lives, by the text of `/proc/PID/stat`. One that waits to be reaped does not.
fn lives(stat: &str, start_time: u64) -> bool {
    // The name in parentheses may hold anything.
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next().unwrap_or("X");
    let began = fields.nth(18).and_then(|field| field.parse::<u64>().ok());
    !matches!(state, "Z" | "X" | "x") && began == Some(start_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_runtime::cgroup::Mode;

    #[test]
    fn a_process_is_its_number_and_its_start() {
        let stat = |state: &str| format!("7 (a) b) {state} {}555 0 0", "1 ".repeat(18));
        assert!(lives(&stat("S"), 555));
        assert!(!lives(&stat("S"), 556));
        assert!(!lives(&stat("Z"), 555));
        assert!(!lives("", 555));
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert!(lives(&own, dhow_sys::process::start_time(std::process::id() as i32).unwrap()));
    }

    #[test]
    fn shown_as_runc_shows_it() {
        let record = Record {
            oci_version: "1.2.0".into(),
            id: "box".into(),
            pid: 7,
            start_time: 1,
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            created: "2026-01-02T03:04:05.6Z".into(),
            annotations: BTreeMap::from([("a".into(), "b".into())]),
            cgroup: Cgroup { mode: Mode::V2, dirs: Vec::new() },
            unit: None,
            rdt: None,
            mount: None,
            user_namespace: false,
            pid_namespace: true,
        };
        let expect = concat!(
            r#"{"ociVersion":"1.2.0","id":"box","pid":7,"status":"running","bundle":"/b","rootfs":"/b/rootfs","#,
            r#""created":"2026-01-02T03:04:05.6Z","annotations":{"a":"b"},"owner":""}"#
        );
        assert_eq!(serde_json::to_string(&record.view(Status::Running, "")).unwrap(), expect);
        assert_eq!(record.view(Status::Running, "root").row(&record.created)[..3], ["box", "7", "running"]);
        assert!(serde_json::to_string(&record.view(Status::Stopped, "")).unwrap().contains("\"pid\":0"));
        let mut newer = serde_json::to_value(&record).unwrap();
        newer["more"] = 1.into();
        assert_eq!(serde_json::from_value::<Record>(newer).unwrap(), record);
    }
}
