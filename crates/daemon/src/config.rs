//! Settings: flags over `daemon.json` over defaults, and the names on the host that derive from the roots.

use crate::args::Args;
use crate::container_defaults::{self, Defaults};
use crate::file_keys;
use crate::flag_values::Given;
use crate::foreign::{self, STORAGE_DRIVER};
use crate::http::address::Address;
use crate::key_kinds;
use crate::process::log::Format;
use crate::registries::{self, Registries};
use crate::runtimes::{self, Runtimes};
use crate::tls;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tracing::Level;

/// Where things are unless somebody says otherwise.
pub(crate) const DATA_ROOT: &str = "/var/lib/dhow";
/// Where run-time state is unless somebody says otherwise.
pub(crate) const EXEC_ROOT: &str = "/run/dhow";
/// Docker's socket, served as well when nobody else does.
pub(crate) const DOCKER_SOCKET: &str = "/var/run/docker.sock";
const CONFIG_FILE: &str = "/etc/dhow/daemon.json";

/// Docker's, in seconds.
const SHUTDOWN_TIMEOUT: i64 = 15;

/// Everything that flags and file decide.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) data_root: PathBuf,
    pub(crate) exec_root: PathBuf,
    /// Sockets that must be served.
    pub(crate) hosts: Vec<Address>,
    /// Serve Docker's socket too, if nobody does.
    pub(crate) docker_socket: bool,
    /// What is spoken on the network, if it is TLS.
    pub(crate) tls: Option<tls::Files>,
    pub(crate) pidfile: PathBuf,
    pub(crate) level: Level,
    pub(crate) format: Format,
    /// Where measurements are to be had by HTTP; empty: nowhere.
    pub(crate) metrics: String,
    pub(crate) experimental: bool,
    pub(crate) log_driver: String,
    pub(crate) log_opts: BTreeMap<String, String>,
    pub(crate) cgroup_parent: String,
    pub(crate) live_restore: bool,
    pub(crate) shutdown_timeout: i64,
    /// Of the engine.
    pub(crate) labels: Vec<String>,
    pub(crate) group: Option<String>,
    pub(crate) runtimes: Runtimes,
    /// Whose subordinate ids containers get; empty: none.
    pub(crate) userns_remap: String,
    /// How new layers of images are kept.
    pub(crate) layers: dhow_engine::layers::Layers,
    pub(crate) registries: Registries,
    pub(crate) network: dhow_engine::network::Settings,
    pub(crate) config_file: PathBuf,
    /// For containers that say nothing themselves.
    pub(crate) containers: Defaults,
    pub(crate) background: bool,
    /// What to say once the log is open.
    pub(crate) warnings: Vec<String>,
    /// The flags, which stand over the file also when that is read again.
    args: Args,
}

/// The keys of `daemon.json` that this release acts on.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct File {
    data_root: Option<PathBuf>,
    exec_root: Option<PathBuf>,
    hosts: Option<Vec<String>>,
    log_level: Option<String>,
    log_driver: Option<String>,
    log_opts: BTreeMap<String, String>,
    cgroup_parent: Option<String>,
    pidfile: Option<PathBuf>,
    live_restore: Option<bool>,
    labels: Vec<String>,
    group: Option<String>,
    runtimes: BTreeMap<String, runtimes::Configured>,
    default_runtime: Option<String>,
    userns_remap: Option<String>,
    storage_opts: Vec<String>,
    debug: Option<bool>,
    log_format: Option<String>,
    metrics_addr: Option<String>,
    experimental: Option<bool>,
    shutdown_timeout: Option<i64>,
    #[serde(flatten)]
    tls: tls::Keys,
    #[serde(flatten)]
    containers: container_defaults::Keys,
    #[serde(flatten)]
    registries: registries::Keys,
    #[serde(flatten)]
    network: crate::network_config::File,
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

impl Settings {
    /// Reads the file, if there is one, and puts the flags over it.
    pub(crate) fn load(args: Args) -> Result<Self> {
        let path = args.config_file.clone().unwrap_or_else(|| CONFIG_FILE.into());
        let file = read(&path, args.config_file.is_some(), &args.given)?;
        Self::merge(args, file, path)
    }

    /// The same flags over the file as it is now.
    pub(crate) fn again(&self) -> Result<Self> {
        let args = self.args.clone();
        let file = read(&self.config_file, args.config_file.is_some(), &args.given)?;
        Self::merge(args, file, self.config_file.clone())
    }

    fn merge(args: Args, file: File, config_file: PathBuf) -> Result<Self> {
        let kept = args.clone();
        let given = crate::network_config::File::of(&args.network)?;
        // An empty path is none.
        let path = |flag: Option<PathBuf>, key: Option<PathBuf>| flag.or(key).filter(|path| !path.as_os_str().is_empty());
        let data_root = absolute(path(args.data_root, file.data_root).unwrap_or_else(|| DATA_ROOT.into()))?;
        let exec_root = absolute(path(args.exec_root, file.exec_root).unwrap_or_else(|| EXEC_ROOT.into()))?;
        let own_roots = data_root == Path::new(DATA_ROOT) && exec_root == Path::new(EXEC_ROOT);
        let tls = tls::merge(args.tls, file.tls, &tls::directory());
        let given_hosts = if args.hosts.is_empty() { file.hosts.unwrap_or_default() } else { args.hosts };
        let hosts = if given_hosts.is_empty() {
            vec![Address::Unix(exec_root.join("dhow.sock"))]
        } else {
            given_hosts.iter().map(|text| Ok(Address::parse(text, tls.is_some())?)).collect::<Result<_>>()?
        };
        let level = if args.debug.or(file.debug).unwrap_or(false) {
            "debug".into()
        } else {
            args.log_level.or(file.log_level).unwrap_or_else(|| "info".into())
        };
        let mut log_opts = file.log_opts;
        for option in &args.log_opts {
            let (key, value) = option.split_once('=').with_context(|| format!("invalid logging option: {option} (expected KEY=VALUE)"))?;
            log_opts.insert(key.into(), value.into());
        }
        let log_driver = args.log_driver.or(file.log_driver).unwrap_or_else(|| "json-file".into());
        let log = dhow_engine::model::Log { driver: log_driver.clone(), options: log_opts.clone() };
        dhow_engine::check_log(&log).map_err(|error| anyhow::anyhow!("failed to set log opts: {error}"))?;
        let mut warnings = foreign::of_flags(&args.given)?;
        warnings.extend(file_keys::unread(&config_file, file.others.iter()).with_context(|| unusable(&config_file))?);
        warnings.extend(hosts.iter().filter_map(|host| open_to(host, tls.as_ref())));
        let driver = args.given.get(STORAGE_DRIVER).and_then(|values| values.last().cloned());
        let driver = driver.or_else(|| file.others.get(STORAGE_DRIVER)?.as_str().map(str::to_owned));
        let default_runtime = args.default_runtime.or(file.default_runtime);
        let runtimes = Runtimes::of(file.runtimes, &args.runtimes, default_runtime)?;
        let name = if own_roots { None } else { Some(format!("dhow-{:08x}", hash(&data_root, &exec_root))) };
        let network = given.over(file.network).settings(name.as_deref())?;
        let default_parent = format!("/{}", name.as_deref().unwrap_or("dhow"));
        Ok(Self {
            docker_socket: given_hosts.is_empty() && own_roots,
            tls,
            hosts,
            pidfile: absolute(path(args.pidfile, file.pidfile).unwrap_or_else(|| exec_root.join("dhow.pid")))?,
            level: parse_level(&level)?,
            format: args.log_format.or(file.log_format).unwrap_or_default().parse()?,
            metrics: args.metrics_addr.or(file.metrics_addr).unwrap_or_default(),
            experimental: args.experimental.or(file.experimental).unwrap_or(false),
            log_driver,
            log_opts,
            cgroup_parent: args.cgroup_parent.or(file.cgroup_parent).unwrap_or(default_parent),
            live_restore: args.live_restore.or(file.live_restore).unwrap_or(true),
            shutdown_timeout: args.shutdown_timeout.or(file.shutdown_timeout).unwrap_or(SHUTDOWN_TIMEOUT),
            labels: crate::labels::merge(args.labels, file.labels)?,
            group: args.group.or(file.group),
            runtimes,
            userns_remap: args.userns_remap.or(file.userns_remap).unwrap_or_default(),
            layers: crate::storage_options::merge(&args.storage_opts, &file.storage_opts, driver.as_deref())?,
            registries: registries::merge(args.registries, file.registries, &|name| std::env::var(name).ok())?,
            network,
            background: args.background,
            containers: container_defaults::merge(args.containers, file.containers)?,
            data_root,
            exec_root,
            config_file,
            warnings,
            args: kept,
        })
    }
}

/// What is to be said of an address that more people reach than root of this host: whoever speaks with the engine is root by it.
pub(crate) fn open_to(host: &Address, tls: Option<&tls::Files>) -> Option<String> {
    let Address::Tcp(address) = host else { return None };
    match tls {
        None => Some(format!("API is accessible on http://{address} without encryption: whoever reaches it is root on this host")),
        Some(tls::Files { authority: None, .. }) => {
            Some(format!("API is accessible on https://{address} without TLS client verification: whoever reaches it is root on this host"))
        }
        Some(_) => None,
    }
}

fn unusable(path: &Path) -> String {
    format!("unable to configure the daemon with file {}", path.display())
}

/// What the file says, and no flag with it. An empty one says nothing.
fn read(path: &Path, must_exist: bool, given: &Given) -> Result<File> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => return Ok(File::default()),
        Err(error) => return Err(error).with_context(|| unusable(path)),
    };
    // Some editors begin a file with a mark that says in which order its bytes are.
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Ok(File::default());
    }
    let parse = || -> Result<File> {
        let file: serde_json::Value = serde_json::from_str(text)?;
        let Some(keys) = file.as_object() else { bail!("json: cannot unmarshal this into Go value of type map[string]interface {{}}") };
        file_keys::conflicts(given, keys)?;
        key_kinds::check(keys)?;
        // By way of the value: of a key that is there twice the last one counts.
        Ok(serde_json::from_value(file)?)
    };
    parse().with_context(|| unusable(path))
}

/// The daemon changes its directory, so paths are made absolute first.
fn absolute(path: PathBuf) -> Result<PathBuf> {
    std::path::absolute(&path).with_context(|| format!("path {}", path.display()))
}

fn parse_level(text: &str) -> Result<Level> {
    Ok(match text {
        "trace" => Level::TRACE,
        "debug" => Level::DEBUG,
        "info" => Level::INFO,
        "warn" | "warning" => Level::WARN,
        "error" | "fatal" | "panic" => Level::ERROR,
        _ => bail!("invalid logging level: {text}"),
    })
}

/// FNV-1a: tells engines on one host apart, nothing more.
fn hash(data_root: &Path, exec_root: &Path) -> u32 {
    let bytes = data_root.as_os_str().as_encoded_bytes().iter().chain(&[0]).chain(exec_root.as_os_str().as_encoded_bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network_config::NetworkFlags;

    fn merge(args: Args, json: &str) -> Result<Settings> {
        Settings::merge(args, serde_json::from_str(json).unwrap(), "/etc/dhow/daemon.json".into())
    }

    #[test]
    fn defaults() {
        let settings = merge(Args::default(), "{}").unwrap();
        assert_eq!(settings.hosts, [Address::Unix("/run/dhow/dhow.sock".into())]);
        assert!(settings.docker_socket && settings.live_restore);
        assert_eq!(settings.cgroup_parent, "/dhow");
        assert_eq!(settings.pidfile, Path::new("/run/dhow/dhow.pid"));
    }

    #[test]
    fn names_derive_from_the_roots() {
        let with = |data: &str, exec: &str| {
            merge(Args { data_root: Some(data.into()), exec_root: Some(exec.into()), ..Args::default() }, "{}").unwrap()
        };
        let (one, two) = (with("/t/a", "/t/b"), with("/t/a", "/t/c"));
        assert_eq!(one.hosts, [Address::Unix("/t/b/dhow.sock".into())]);
        assert!(!one.docker_socket);
        assert_eq!(one.cgroup_parent.len(), "/dhow-12345678".len());
        assert_ne!(one.cgroup_parent, two.cgroup_parent);
    }

    #[test]
    fn flags_stand_over_the_file() {
        let json = r#"{"data-root":"/f","log-level":"error","live-restore":false,"log-opts":{"max-size":"1m"},"selinux-enabled":true}"#;
        let args = Args { data_root: Some("/g".into()), log_opts: vec!["max-file=2".into()], ..Args::default() };
        let settings = merge(args, json).unwrap();
        assert_eq!(settings.data_root, Path::new("/g"));
        assert_eq!((settings.level, settings.live_restore), (Level::ERROR, false));
        assert_eq!(settings.log_opts.len(), 2);
        assert_eq!(
            settings.warnings,
            ["/etc/dhow/daemon.json: the key \"selinux-enabled\" has no effect: containers get no SELinux labels"]
        );
    }

    #[test]
    fn refusals() {
        assert!(merge(Args { log_level: Some("loud".into()), ..Args::default() }, "{}").is_err());
        let unknown = format!("{:#}", merge(Args::default(), r#"{"bogus":1}"#).unwrap_err());
        let named = "unable to configure the daemon with file /etc/dhow/daemon.json: the following directives don't match any \
                     configuration option: bogus";
        assert_eq!(unknown, named);
        let network = NetworkFlags { bridge: Some("a name that is too long".into()), ..NetworkFlags::default() };
        assert!(merge(Args { network, ..Args::default() }, "{}").is_err());
        assert!(merge(Args::default(), r#"{"bip":"10.0.0.1"}"#).is_err());
    }
}
