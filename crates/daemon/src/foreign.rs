//! What dockerd can be told that means nothing here: flags and keys of its configuration. They are taken, checked as Docker checks them, and
//! where they ask for something else than what is done anyway, a warning says once what that is.

use crate::flag_values::{self, Given};
use crate::key_kinds::Kind;
use anyhow::{Result, bail};
use clap::{Arg, ArgAction};
use serde_json::Value;
use std::path::Path;

/// One thing that dockerd can be told.
#[derive(Debug)]
struct Foreign {
    /// The flag's name; empty: there is only the key.
    flag: &'static str,
    short: Option<char>,
    /// The key's name in the file.
    key: &'static str,
    kind: Kind,
    /// In the list of flags; empty: Docker does not list it.
    help: &'static str,
    /// Values that ask for what is done here anyway.
    same: &'static [&'static str],
    /// What holds in its place.
    instead: &'static str,
}

/// One that may ask for copies.
pub(crate) const STORAGE_DRIVER: &str = "storage-driver";
/// Nobody has to be told anything.
const ANY: &[&str] = &["*"];
const NO_SWARM: &str = "this engine is in no swarm";
const NO_CONTAINERD: &str = "no containerd is asked, the engine keeps containers and images itself";
const OWN_RELAY: &str = "what the packet filter cannot translate is relayed by the container's shim, without a further process";
const NO_REAL_TIME: &str = "the group above the containers has the kernel's own limits";

const fn flag(flag: &'static str, kind: Kind, help: &'static str, same: &'static [&'static str], instead: &'static str) -> Foreign {
    Foreign { flag, short: None, key: flag, kind, help, same, instead }
}

const ALL: [Foreign; 25] = [
    Foreign {
        key: "authorization-plugins",
        ..flag("authorization-plugin", Kind::List, "Authorization plugins to load (there are none: refused)", ANY, "")
    },
    flag("containerd", Kind::Text, "containerd grpc address (no effect)", &[""], NO_CONTAINERD),
    flag("containerd-namespace", Kind::Text, "Containerd namespace to use (no effect)", &["", "moby"], NO_CONTAINERD),
    flag(
        "containerd-plugins-namespace",
        Kind::Text,
        "Containerd namespace to use for plugins (no effect)",
        &["", "plugins.moby"],
        NO_CONTAINERD,
    ),
    flag("cri-containerd", Kind::Switch, "start containerd with cri (no effect)", &["false"], "there is no containerd to start"),
    flag("cpu-rt-period", Kind::Number, "Limit the CPU real-time period for all containers (no effect)", &["0"], NO_REAL_TIME),
    flag("cpu-rt-runtime", Kind::Number, "Limit the CPU real-time runtime for all containers (no effect)", &["0"], NO_REAL_TIME),
    Foreign {
        key: "exec-opts",
        ..flag(
            "exec-opt",
            Kind::List,
            "Runtime execution options (native.cgroupdriver=cgroupfs)",
            &["native.cgroupdriver=cgroupfs"],
            "the engine makes the groups of containers itself (cgroupfs)",
        )
    },
    flag("init-path", Kind::Text, "Path to the docker-init binary (no effect)", &[""], "the engine's own init is used"),
    flag("ip-forward-no-drop", Kind::Switch, "Leave the filter-FORWARD policy alone, as is done anyway", ANY, ""),
    flag(
        "ip6tables",
        Kind::Switch,
        "Filter IPv6 packets too (always, with --iptables)",
        &["true"],
        "one table filters IPv4 and IPv6, and --iptables=false leaves both alone",
    ),
    flag(
        "network-control-plane-mtu",
        Kind::Number,
        "Network Control plane MTU (no effect)",
        &["0", "1500"],
        "there are no overlay networks",
    ),
    flag("network-diagnostic-port", Kind::Number, "", &["0"], "there is no network diagnostic server"),
    Foreign {
        key: "node-generic-resources",
        ..flag("node-generic-resource", Kind::List, "Advertise user-defined resource (no effect)", &[], NO_SWARM)
    },
    flag("raw-logs", Kind::Switch, "Full timestamps without ANSI coloring, as always", ANY, ""),
    flag("rootless", Kind::Switch, "Enable rootless mode (no effect)", &["false"], "the daemon has the rights that it was started with"),
    flag("selinux-enabled", Kind::Switch, "Enable selinux support (no effect)", &["false"], "containers get no SELinux labels"),
    Foreign {
        short: Some('s'),
        ..flag(
            STORAGE_DRIVER,
            Kind::Text,
            "Storage driver to use (overlay2, or vfs: a copy of its image for each container)",
            &["", "overlay2", "overlayfs", "vfs"],
            "containers and images are kept as with overlay2",
        )
    },
    flag("swarm-default-advertise-addr", Kind::Text, "Set default address for swarm (no effect)", &[""], NO_SWARM),
    flag("userland-proxy", Kind::Switch, "Use userland proxy for loopback traffic (the container's shim does)", &["true"], OWN_RELAY),
    flag("userland-proxy-path", Kind::Text, "Path to the userland proxy binary (no effect)", &[""], OWN_RELAY),
    // Those that Docker does not list any more, and keys without a flag.
    flag("allow-nondistributable-artifacts", Kind::List, "", &[], "such layers are always pushed"),
    flag("api-cors-header", Kind::Text, "", ANY, ""),
    Foreign { short: Some('r'), ..flag("restart", Kind::Switch, "", ANY, "") },
    Foreign { flag: "", key: "containerd-plugin-namespace", ..flag("", Kind::Text, "", &["", "plugins.moby"], NO_CONTAINERD) },
];

/// As the parser of words wants them.
pub(crate) fn flags() -> impl Iterator<Item = Arg> {
    ALL.iter().filter(|foreign| !foreign.flag.is_empty()).map(|foreign| {
        let arg = Arg::new(foreign.flag).long(foreign.flag).short(foreign.short).help(foreign.help).hide(foreign.help.is_empty());
        match foreign.kind {
            Kind::Switch => {
                let switch = arg.value_name("bool").num_args(0..=1).require_equals(true).default_missing_value("true");
                switch.value_parser(flag_values::boolean)
            }
            Kind::Number => arg.value_name("int").allow_negative_numbers(true).value_parser(flag_values::whole),
            Kind::Text => arg.value_name("string"),
            _ => arg.value_name("list").action(ArgAction::Append),
        }
    })
}

/// What is to be said of the flags that were given.
///
/// # Errors
/// One of them has a value that Docker refuses, or must not be passed over.
pub(crate) fn of_flags(given: &Given) -> Result<Vec<String>> {
    let namespace = |flag: &str, default: &str| given.get(flag).and_then(|values| values.last().cloned()).unwrap_or_else(|| default.into());
    if namespace("containerd-namespace", "moby") == namespace("containerd-plugins-namespace", "plugins.moby") {
        bail!("containers namespace and plugins namespace cannot be the same");
    }
    let mut said = Vec::new();
    for foreign in &ALL {
        let Some(values) = given.get(foreign.flag) else { continue };
        let values: Vec<String> = values.iter().map(|value| foreign.plain(value)).collect();
        said.extend(foreign.effect(&values)?.map(|instead| format!("the flag --{} has no effect: {instead}", foreign.flag)));
    }
    Ok(said)
}

/// Whether this is a key of the file that means nothing here, and what is to be said of it.
///
/// # Errors
/// It has a value that Docker refuses, or must not be passed over.
pub(crate) fn of_key(file: &Path, key: &str, value: &Value) -> Result<Option<Vec<String>>> {
    let Some(foreign) = ALL.iter().find(|foreign| foreign.key == key) else { return Ok(None) };
    let said = foreign.effect(&foreign.values(value)?)?;
    Ok(Some(said.map(|instead| format!("{}: the key {key:?} has no effect: {instead}", file.display())).into_iter().collect()))
}

impl Foreign {
    /// A switch may be written in many ways.
    fn plain(&self, value: &str) -> String {
        match self.kind {
            Kind::Switch => flag_values::boolean(value).unwrap_or(true).to_string(),
            _ => value.to_owned(),
        }
    }

    /// The values that stand in the file, if they are of the right kind.
    fn values(&self, value: &Value) -> Result<Vec<String>> {
        self.kind.check(self.key, value)?;
        Ok(match value {
            Value::Null => Vec::new(),
            Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Value::String(text) => vec![text.clone()],
            other => vec![other.to_string()],
        })
    }

    /// What holds instead of what these values ask for; `None` where they ask for just that.
    fn effect(&self, values: &[String]) -> Result<Option<&'static str>> {
        for value in values {
            check(self.key, value)?;
        }
        let same = |value: &String| self.same == ANY || self.same.contains(&value.as_str());
        let quiet = match self.key {
            // Words around the sign do not count.
            "exec-opts" => values.iter().all(|value| self.same.contains(&value.replace(' ', "").to_ascii_lowercase().as_str())),
            _ => values.iter().all(same),
        };
        Ok((!quiet).then_some(self.instead))
    }
}

/// Refuses what Docker refuses, in its words.
fn check(key: &str, value: &str) -> Result<()> {
    match key {
        "authorization-plugins" => bail!("authorization-plugins: there are no plugins in this release that could decide who may do what"),
        "api-cors-header" if !value.is_empty() => bail!(
            "DEPRECATED: The \"api-cors-header\" config parameter and the dockerd \"--api-cors-header\" option have been removed; use a reverse \
             proxy if you need CORS headers"
        ),
        "network-diagnostic-port" if value.parse::<u16>().is_err() => {
            bail!("invalid network-diagnostic-port ({value}): value must be between 0 and 65535")
        }
        "node-generic-resources" if !value.contains('=') => {
            bail!("invalid node-generic-resource format `{value}` expected `name=value`")
        }
        "exec-opts" => exec_option(value),
        STORAGE_DRIVER => storage_driver(value),
        _ => Ok(()),
    }
}

fn exec_option(text: &str) -> Result<()> {
    let (name, value) = text.split_once('=').map_or(("", ""), |(name, value)| (name.trim(), value.trim()));
    if name.is_empty() || value.is_empty() {
        bail!("invalid exec-opt ({text}): must be formatted 'opt=value'");
    }
    match (name.to_ascii_lowercase().as_str(), value) {
        ("native.cgroupdriver", "cgroupfs" | "systemd") => Ok(()),
        ("native.cgroupdriver", "none") => {
            bail!("native.cgroupdriver option none is internally used and cannot be specified manually")
        }
        ("native.cgroupdriver", other) => bail!("native.cgroupdriver option {other} not supported"),
        ("isolation", _) => bail!("invalid exec-opt ({text}): option 'isolation' is only supported on windows"),
        (other, _) => bail!("invalid exec-opt ({text}): unknown option: '{other}'"),
    }
}

fn storage_driver(name: &str) -> Result<()> {
    const KNOWN: [&str; 9] = ["", "overlay2", "overlayfs", "fuse-overlayfs", "btrfs", "zfs", "vfs", "native", "stargz"];
    if KNOWN.contains(&name) { Ok(()) } else { bail!("error initializing graphdriver: driver not supported: {name}") }
}

#[cfg(test)]
#[path = "foreign_tests.rs"]
mod tests;
