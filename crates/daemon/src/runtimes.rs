//! OCI runtimes by name: our own, and those that the configuration names.

use anyhow::{Result, bail};
use dhow_api::types::system::Runtime;
use dhow_engine::Foreign;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Docker's name for the runtime that comes with the engine, which clients look for.
const STOCK: &str = "runc";
/// Names that all mean it.
const OWN: [&str; 4] = [STOCK, "io.containerd.runc.v2", "dhow", ""];

/// One entry of `runtimes` in `daemon.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Configured {
    path: String,
    #[serde(rename = "runtimeArgs")]
    args: Vec<String>,
    #[serde(rename = "runtimeType")]
    kind: String,
    options: Option<serde_json::Value>,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Runtimes {
    configured: BTreeMap<String, Configured>,
    default: Option<String>,
}

impl Runtimes {
    /// Checks what the file says, adds `NAME=PATH` of the flags, and the default.
    pub(crate) fn of(mut configured: BTreeMap<String, Configured>, flags: &[String], default: Option<String>) -> Result<Self> {
        for flag in flags {
            let (name, path) = flag.split_once('=').map_or(("", ""), |(name, path)| (name.trim(), path.trim()));
            if name.is_empty() || path.is_empty() {
                bail!("invalid runtime argument: {flag}: expected NAME=PATH");
            }
            if configured.contains_key(name) {
                bail!("runtime '{name}' was already defined");
            }
            configured.insert(name.to_lowercase(), Configured { path: path.to_owned(), ..Configured::default() });
        }
        for (name, runtime) in &configured {
            check(name, runtime)?;
        }
        let runtimes = Self { configured, default: default.filter(|name| !name.is_empty()) };
        if !runtimes.has(runtimes.default_name()) {
            bail!("specified default runtime '{}' does not exist", runtimes.default_name());
        }
        Ok(runtimes)
    }

    /// Whether a container may ask for it.
    pub(crate) fn has(&self, name: &str) -> bool {
        OWN.contains(&name) || self.configured.contains_key(name)
    }

    /// The one of containers that name none.
    pub(crate) fn default_name(&self) -> &str {
        self.default.as_deref().unwrap_or(STOCK)
    }

    /// The name under which the engine knows it: empty for our own.
    pub(crate) fn engine_name(&self, name: &str) -> String {
        if OWN.contains(&name) { String::new() } else { name.to_owned() }
    }

    /// For the engine: programs named without a directory are looked up as a shell does.
    pub(crate) fn foreign(&self) -> BTreeMap<String, Foreign> {
        let search = std::env::var_os("PATH").unwrap_or_default();
        let foreign = |runtime: &Configured| Foreign { path: find(&runtime.path, &search), args: runtime.args.clone() };
        self.configured.iter().map(|(name, runtime)| (name.clone(), foreign(runtime))).collect()
    }

    /// For `info`.
    pub(crate) fn shown(&self) -> BTreeMap<String, Runtime> {
        let own = Runtime { path: "dhow".into(), ..Runtime::default() };
        let others = self.configured.iter().map(|(name, runtime)| {
            let shown = Runtime { path: runtime.path.clone(), runtime_args: runtime.args.clone(), ..Runtime::default() };
            (name.clone(), shown)
        });
        others.chain([(STOCK.to_owned(), own)]).collect()
    }
}

fn check(name: &str, runtime: &Configured) -> Result<()> {
    if OWN.contains(&name) {
        bail!("runtime name '{name}' is reserved");
    }
    let options = runtime.options.as_ref().is_some_and(|options| options.as_object().is_none_or(|map| !map.is_empty()));
    match (runtime.path.is_empty(), runtime.kind.is_empty()) {
        (true, true) => bail!("runtime {name}: either a runtimeType or a path must be configured"),
        (false, false) => bail!("runtime {name}: cannot configure both path and runtimeType for the same runtime"),
        (true, false) => bail!("runtime {name}: a runtimeType names a shim of containerd, and this engine has its own; configure a path"),
        (false, true) if options => bail!("runtime {name}: options cannot be used with a path runtime"),
        (false, true) => Ok(()),
    }
}

/// The program of that name. What is not found stays as it is: its first use will tell.
fn find(name: &str, search: &OsStr) -> PathBuf {
    if name.contains('/') {
        return std::path::absolute(name).unwrap_or_else(|_| name.into());
    }
    let found = std::env::split_paths(search).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| Path::new(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str, flags: &[&str], default: Option<&str>) -> Result<Runtimes, String> {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        Runtimes::of(serde_json::from_str(json).unwrap(), &flags, default.map(str::to_owned)).map_err(|e| e.to_string())
    }

    #[test]
    fn named_by_file_and_flags() {
        let json = r#"{"crun":{"path":"/usr/bin/crun","runtimeArgs":["--debug"]}}"#;
        let runtimes = of(json, &["other=/opt/other"], Some("crun")).unwrap();
        assert!(["runc", "", "dhow", "io.containerd.runc.v2", "crun", "other"].iter().all(|name| runtimes.has(name)));
        assert!(!runtimes.has("nope"));
        assert_eq!(
            (runtimes.default_name(), runtimes.engine_name("runc").as_str(), runtimes.engine_name("crun").as_str()),
            ("crun", "", "crun")
        );
        assert_eq!(runtimes.shown().keys().map(String::as_str).collect::<Vec<_>>(), ["crun", "other", "runc"]);
        assert_eq!(runtimes.foreign()["crun"], Foreign { path: "/usr/bin/crun".into(), args: vec!["--debug".into()] });
        assert_eq!(Runtimes::default().default_name(), "runc");
    }

    #[test]
    fn refusals_in_dockers_words() {
        let check = |json: &str, flags: &[&str], default: Option<&str>, expect: &str| {
            assert_eq!(of(json, flags, default).unwrap_err(), expect);
        };
        check(r#"{"runc":{"path":"/x"}}"#, &[], None, "runtime name 'runc' is reserved");
        check(r#"{"x":{}}"#, &[], None, "runtime x: either a runtimeType or a path must be configured");
        check(
            r#"{"x":{"path":"/x","runtimeType":"y"}}"#,
            &[],
            None,
            "runtime x: cannot configure both path and runtimeType for the same runtime",
        );
        check(r#"{"x":{"path":"/x","options":{"a":1}}}"#, &[], None, "runtime x: options cannot be used with a path runtime");
        check("{}", &["x"], None, "invalid runtime argument: x: expected NAME=PATH");
        check(r#"{"x":{"path":"/x"}}"#, &["x=/y"], None, "runtime 'x' was already defined");
        check("{}", &[], Some("y"), "specified default runtime 'y' does not exist");
        assert!(of(r#"{"x":{"runtimeType":"io.containerd.kata.v2"}}"#, &[], None).unwrap_err().contains("shim of containerd"));
    }

    #[test]
    fn programs_are_looked_up() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("here"), "").unwrap();
        let search = std::env::join_paths(["relative".into(), dir.path().to_owned()]).unwrap();
        assert_eq!(find("here", &search), dir.path().join("here"));
        assert_eq!(find("gone", &search), Path::new("gone"));
        assert_eq!(find("/a/b", &search), Path::new("/a/b"));
    }
}
