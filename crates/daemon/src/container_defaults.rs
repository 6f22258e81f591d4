//! What the daemon's settings say about containers that say nothing themselves.

use crate::flag_values;
use anyhow::{Context, Result, bail};
use dhow_api::types::{HostConfig, Ulimit};
use dhow_engine::model::Seccomp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where CDI files are unless somebody says otherwise.
const CDI_DIRS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// Limits of a process that may be named.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Flags, under dockerd's names.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Flags {
    /// Default ulimits for containers
    #[arg(long = "default-ulimit", value_name = "ulimit")]
    ulimits: Vec<String>,
    /// Default shm size for containers
    #[arg(long = "default-shm-size", value_name = "bytes")]
    shm_size: Option<String>,
    /// Default mode for containers ipc ("shareable" | "private")
    #[arg(long = "default-ipc-mode", value_name = "string")]
    ipc_mode: Option<String>,
    /// Default mode for containers cgroup namespace ("host" | "private")
    #[arg(long = "default-cgroupns-mode", value_name = "string")]
    cgroupns_mode: Option<String>,
    /// Set no-new-privileges by default for new containers
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag_values::boolean)]
    no_new_privileges: Option<bool>,
    /// Path to seccomp profile. Set to "unconfined" to disable the default seccomp profile
    #[arg(long, value_name = "string")]
    seccomp_profile: Option<String>,
    /// Run an init in the container to forward signals and reap processes
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag_values::boolean)]
    init: Option<bool>,
    /// CDI specification directories to use
    #[arg(long = "cdi-spec-dir", value_name = "list")]
    cdi_spec_dirs: Vec<PathBuf>,
    /// Enable feature in the daemon
    #[arg(long = "feature", value_name = "map", value_parser = feature)]
    features: Vec<(String, bool)>,
}

/// `NAME`, or `NAME=false`.
fn feature(text: &str) -> Result<(String, bool), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), flag_values::boolean(value)?)),
        None => Ok((text.to_owned(), true)),
    }
}

/// Keys of `daemon.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Keys {
    default_ulimits: BTreeMap<String, Ulimit>,
    default_shm_size: Option<Size>,
    default_ipc_mode: Option<String>,
    default_cgroupns_mode: Option<String>,
    no_new_privileges: Option<bool>,
    seccomp_profile: Option<String>,
    init: Option<bool>,
    cdi_spec_dirs: Option<Vec<PathBuf>>,
    features: BTreeMap<String, bool>,
}

/// Bytes as a number or with a unit.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(i64),
    Text(String),
}

/// What holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Defaults {
    pub(crate) ulimits: Vec<Ulimit>,
    /// 0: Docker's.
    pub(crate) shm_size: i64,
    pub(crate) ipc_mode: String,
    pub(crate) cgroupns_mode: String,
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: Seccomp,
    pub(crate) init: bool,
    pub(crate) cdi_dirs: Vec<PathBuf>,
    /// As given.
    pub(crate) features: BTreeMap<String, bool>,
}

/// Puts the flags over the file.
pub(crate) fn merge(flags: Flags, keys: Keys) -> Result<Defaults> {
    let mut ulimits = BTreeMap::new();
    for (name, limit) in keys.default_ulimits {
        ulimits.insert(name.clone(), check_ulimit(Ulimit { name, ..limit })?);
    }
    for text in &flags.ulimits {
        let limit = parse_ulimit(text)?;
        ulimits.insert(limit.name.clone(), limit);
    }
    let parse = |text: &str| dhow_api::size::parse_binary(text).with_context(|| format!("default-shm-size {text:?}"));
    let shm_size = match (flags.shm_size, keys.default_shm_size) {
        (Some(text), _) | (None, Some(Size::Text(text))) => parse(&text)?,
        (None, Some(Size::Bytes(bytes))) => bytes,
        (None, None) => 0,
    };
    let ipc_mode = flags.ipc_mode.or(keys.default_ipc_mode).unwrap_or_else(|| "private".into());
    if !matches!(ipc_mode.as_str(), "private" | "shareable") {
        let words = match ipc_mode.as_str() {
            mode if mode == "none" || mode == "host" || mode.starts_with("container:") => {
                format!("IPC mode \"{mode}\" is not supported as default value")
            }
            mode => format!("default IPC mode setting ({mode}) is invalid"),
        };
        bail!("{words}; use \"shareable\" or \"private\"");
    }
    let cgroupns_mode = flags.cgroupns_mode.or(keys.default_cgroupns_mode).unwrap_or_else(|| "private".into());
    if !matches!(cgroupns_mode.as_str(), "private" | "host") {
        bail!("invalid default cgroup namespace ({cgroupns_mode}): use \"host\" or \"private\"");
    }
    let dirs = if flags.cdi_spec_dirs.is_empty() { keys.cdi_spec_dirs } else { Some(flags.cdi_spec_dirs) };
    let mut cdi_dirs = dirs.unwrap_or_else(|| CDI_DIRS.map(PathBuf::from).into());
    let mut features = keys.features;
    features.extend(flags.features);
    // One empty name, or the feature off, means none.
    if features.get("cdi") == Some(&false) || cdi_dirs == [PathBuf::new()] {
        cdi_dirs.clear();
    }
    Ok(Defaults {
        ulimits: ulimits.into_values().collect(),
        shm_size,
        ipc_mode,
        cgroupns_mode,
        no_new_privileges: flags.no_new_privileges.or(keys.no_new_privileges).unwrap_or(false),
        seccomp: seccomp(&flags.seccomp_profile.or(keys.seccomp_profile).unwrap_or_default())?,
        init: flags.init.or(keys.init).unwrap_or(false),
        cdi_dirs,
        features,
    })
}

fn seccomp(text: &str) -> Result<Seccomp> {
    Ok(match text {
        "" | "builtin" => Seccomp::Default,
        "unconfined" => Seccomp::Unconfined,
        path => Seccomp::Profile(std::fs::read_to_string(path).with_context(|| format!("opening seccomp profile ({path}) failed"))?),
    })
}

/// `nofile=1024:2048`.
fn parse_ulimit(text: &str) -> Result<Ulimit> {
    let (name, values) = text.split_once('=').with_context(|| format!("invalid ulimit argument: {text}"))?;
    let number = |text: &str| text.parse::<i64>().with_context(|| format!("ulimit {name}: {text:?} is no number"));
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    check_ulimit(Ulimit { name: name.to_owned(), soft: number(soft)?, hard: number(hard)? })
}

fn check_ulimit(limit: Ulimit) -> Result<Ulimit> {
    if !ULIMITS.contains(&limit.name.as_str()) {
        bail!("invalid ulimit type: {}", limit.name);
    }
    if limit.hard != -1 && (limit.soft == -1 || limit.soft > limit.hard) {
        bail!("ulimit soft limit must be less than or equal to hard limit: {} > {}", limit.soft, limit.hard);
    }
    Ok(limit)
}

impl Defaults {
    /// The same with what may change while the engine runs.
    pub(crate) fn reloaded(&self, new: &Self) -> Self {
        let Self { shm_size, ipc_mode, cgroupns_mode, .. } = new.clone();
        Self { shm_size, ipc_mode, cgroupns_mode, ..self.clone() }
    }

    /// Fills what a container leaves open, before Docker's own defaults.
    pub(crate) fn fill(&self, host: &mut HostConfig) {
        if host.shm_size == 0 {
            host.shm_size = self.shm_size;
        }
        if host.ipc_mode.is_empty() {
            host.ipc_mode.clone_from(&self.ipc_mode);
        }
        if host.cgroupns_mode.is_empty() && self.cgroupns_mode == "host" {
            host.cgroupns_mode = "host".into();
        }
        // Nothing to add: what was left open stays so, and shows so.
        if !self.ulimits.is_empty() {
            let own = host.resources.ulimits.get_or_insert_default();
            let missing: Vec<_> = self.ulimits.iter().filter(|limit| !own.iter().any(|other| other.name == limit.name)).cloned().collect();
            own.extend(missing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(json: &str) -> Keys {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn flags_stand_over_keys() {
        let keys = keys(
            r#"{"default-ulimits":{"nofile":{"Name":"nofile","Hard":20,"Soft":10},"nproc":{"Name":"nproc","Hard":5,"Soft":5}},
                "default-shm-size":"1m","default-ipc-mode":"shareable","no-new-privileges":true,"init":true,"cdi-spec-dirs":["/a"]}"#,
        );
        let flags = Flags { ulimits: vec!["nofile=1:2".into()], init: Some(false), ..Flags::default() };
        let defaults = merge(flags, keys).unwrap();
        let limits: Vec<_> = defaults.ulimits.iter().map(|l| (l.name.as_str(), l.soft, l.hard)).collect();
        assert_eq!(limits, [("nofile", 1, 2), ("nproc", 5, 5)]);
        assert_eq!((defaults.shm_size, defaults.ipc_mode.as_str(), defaults.init), (1 << 20, "shareable", false));
        assert!(defaults.no_new_privileges && defaults.cdi_dirs == [PathBuf::from("/a")]);
    }

    #[test]
    fn nothing_said() {
        let defaults = merge(Flags::default(), Keys::default()).unwrap();
        assert_eq!(defaults.cdi_dirs, CDI_DIRS.map(PathBuf::from));
        let mut host = HostConfig::default();
        defaults.fill(&mut host);
        assert_eq!((host.ipc_mode.as_str(), host.cgroupns_mode.as_str(), host.shm_size), ("private", "", 0));
        for json in [r#"{"features":{"cdi":false}}"#, r#"{"cdi-spec-dirs":[""]}"#] {
            assert!(merge(Flags::default(), keys(json)).unwrap().cdi_dirs.is_empty(), "{json}");
        }
    }

    #[test]
    fn a_containers_own_limits_stay() {
        let defaults = merge(Flags { ulimits: vec!["nofile=1:2".into(), "nproc=7".into()], ..Flags::default() }, Keys::default()).unwrap();
        let mut host = HostConfig::default();
        host.resources.ulimits = Some(vec![Ulimit { name: "nofile".into(), soft: 8, hard: 9 }]);
        defaults.fill(&mut host);
        let limits: Vec<_> = host.resources.ulimits.unwrap().into_iter().map(|l| (l.name, l.soft)).collect();
        assert_eq!(limits, [("nofile".to_owned(), 8), ("nproc".to_owned(), 7)]);
    }

    #[test]
    fn refusals() {
        let with = |flags: Flags| merge(flags, Keys::default()).unwrap_err().to_string();
        assert_eq!(with(Flags { ulimits: vec!["x=1".into()], ..Flags::default() }), "invalid ulimit type: x");
        assert_eq!(
            with(Flags { ulimits: vec!["nofile=2:1".into()], ..Flags::default() }),
            "ulimit soft limit must be less than or equal to hard limit: 2 > 1"
        );
        assert!(with(Flags { ipc_mode: Some("host".into()), ..Flags::default() }).starts_with("IPC mode \"host\" is not supported"));
        assert!(
            with(Flags { cgroupns_mode: Some("x".into()), ..Flags::default() }).starts_with("invalid default cgroup namespace (x): use")
        );
        assert!(with(Flags { seccomp_profile: Some("/nope".into()), ..Flags::default() }).contains("/nope"));
        assert!(merge(Flags::default(), keys(r#"{"default-ulimits":{"x":{"Hard":1,"Soft":1}}}"#)).is_err());
    }
}
