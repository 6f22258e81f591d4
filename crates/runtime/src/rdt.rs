//! `linux.intelRdt`: shares of caches and of memory's bandwidth, by directories of the kernel's resctrl filesystem.

use crate::error::{At, Failure, Kind, Result, Step};
use oci_spec::runtime::{LinuxIntelRdt, Spec};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// A container's class of service, made or found. As data it is enough to take away later what was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rdt {
    /// Where the class is.
    class: PathBuf,
    /// Its directory is the container's alone.
    made: bool,
    /// The monitoring group of the container.
    monitor: Option<PathBuf>,
}

impl Rdt {
    /// Makes what a specification asks for; `None` where it asks for nothing. On an error nothing is left.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] without a mounted resctrl filesystem, or where a class that is there has another schema.
    pub fn create(spec: &Spec, id: &str) -> Result<Option<Self>> {
        let Some(wanted) = spec.linux().as_ref().and_then(|linux| linux.intel_rdt().as_ref()) else { return Ok(None) };
        let root = mounted()?.ok_or_else(|| Failure::invalid("linux.intelRdt", "no resctrl filesystem is mounted"))?;
        Self::make(&root, wanted, id).map(Some)
    }

    /// Changes the schemas of a container's class; `None` and what is empty stay. `class` is what was made for the container, if anything was.
    ///
    /// # Errors
    /// In runc's words where this machine has no such control, or the container no class.
    pub fn update(class: Option<&Self>, l3: Option<&str>, bandwidth: Option<&str>) -> Result<()> {
        let schema = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let mut wanted = LinuxIntelRdt::default();
        wanted.set_l3_cache_schema(schema(l3)).set_mem_bw_schema(schema(bandwidth));
        if wanted == LinuxIntelRdt::default() {
            return Ok(());
        }
        Self::change(mounted()?.as_deref(), class, &wanted)
    }

    fn change(root: Option<&Path>, class: Option<&Self>, wanted: &LinuxIntelRdt) -> Result<()> {
        let has = |names: &[&str]| root.is_some_and(|root| names.iter().any(|name| root.join("info").join(name).is_dir()));
        if wanted.l3_cache_schema().is_some() && !has(&["L3", "L3CODE"]) {
            return Err(refused("Intel RDT/CAT", "l3 cache schema is not enabled"));
        }
        if wanted.mem_bw_schema().is_some() && !has(&["MB"]) {
            return Err(refused("Intel RDT/MBA", "memory bandwidth schema is not enabled"));
        }
        let Some(class) = class else {
            return Err(refused("Intel RDT", "updating a non-existent Intel RDT configuration is not supported"));
        };
        let lines = schemata(wanted)?;
        class.write(&lines)
    }

    fn write(&self, lines: &[&str]) -> Result<()> {
        let file = self.class.join("schemata");
        lines.iter().try_for_each(|line| fs::write(&file, format!("{line}\n")).at_path(Step::Cgroup, &file))
    }

    fn make(root: &Path, wanted: &LinuxIntelRdt, id: &str) -> Result<Self> {
        let own = wanted.clos_id().is_none();
        let name = wanted.clos_id().as_deref().unwrap_or(id);
        let class = if name == "/" { root.to_owned() } else { root.join(plain(name)?) };
        let lines = schemata(wanted)?;
        let made = match (class.is_dir(), lines.is_empty()) {
            (true, _) => false,
            (false, true) if !own => return Err(Failure::invalid("linux.intelRdt.closID", format!("{name} does not exist"))),
            (false, _) => {
                fs::create_dir(&class).at_path(Step::Cgroup, &class)?;
                true
            }
        };
        let mut all = Self { class, made: made && own, monitor: None };
        match all.fill(&lines, made, wanted.enable_monitoring().unwrap_or(false), id) {
            Ok(()) => Ok(all),
            Err(failure) => {
                // What is told is why it failed.
                let _ = all.remove();
                if made {
                    let _ = fs::remove_dir(&all.class);
                }
                Err(failure)
            }
        }
    }

    fn fill(&mut self, lines: &[&str], made: bool, monitor: bool, id: &str) -> Result<()> {
        let file = self.class.join("schemata");
        if made || self.made {
            self.write(lines)?;
        } else if !lines.is_empty() {
            let now = fs::read_to_string(&file).at_path(Step::Cgroup, &file)?;
            if let Some(line) = lines.iter().find(|line| !agrees(&now, line)) {
                return Err(Failure::invalid("linux.intelRdt", format!("{line:?} is not the schema of {}", self.class.display())));
            }
        }
        if monitor {
            let dir = self.class.join("mon_groups").join(plain(id)?);
            fs::create_dir(&dir).at_path(Step::Cgroup, &dir)?;
            self.monitor = Some(dir);
        }
        Ok(())
    }

    /// Puts a process into it.
    pub(crate) fn enter(&self, pid: i32) -> Result<()> {
        for dir in std::iter::once(&self.class).chain(&self.monitor) {
            let file = dir.join("tasks");
            fs::write(&file, pid.to_string()).at_path(Step::Cgroup, &file)?;
        }
        Ok(())
    }

    /// Takes away what was made for the container. What is gone is fine.
    pub fn remove(&self) -> Result<()> {
        let own = self.made.then_some(&self.class);
        for dir in self.monitor.iter().chain(own) {
            match fs::remove_dir(dir) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Failure::io(Step::Cgroup, dir.to_string_lossy(), e)),
                _ => {}
            }
        }
        Ok(())
    }
}

fn refused(what: &str, why: &str) -> Failure {
    Failure::new(Step::Runtime, what, Kind::Invalid, why)
}

/// Where the filesystem is, if it is mounted.
fn mounted() -> Result<Option<PathBuf>> {
    let file = "/proc/self/mountinfo";
    fs::read_to_string(file).map(|mounts| mount_point(&mounts)).at(Step::Cgroup, file)
}

fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    let line = mountinfo.lines().find(|line| line.split_once(" - ").is_some_and(|(_, fs)| fs.starts_with("resctrl ")))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

/// One name, which leads nowhere else.
fn plain(name: &str) -> Result<&Path> {
    let path = Path::new(name);
    let mut parts = path.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) if !name.ends_with('/') => Ok(path),
        _ => Err(Failure::invalid("linux.intelRdt.closID", format!("{name:?} is no name of a class"))),
    }
}

/// In the order in which they must be written.
fn schemata(wanted: &LinuxIntelRdt) -> Result<Vec<&str>> {
    let mut all = Vec::new();
    for (field, prefix, schema) in [("l3CacheSchema", "L3", wanted.l3_cache_schema()), ("memBwSchema", "MB:", wanted.mem_bw_schema())] {
        let Some(schema) = schema.as_deref().filter(|schema| !schema.is_empty()) else { continue };
        if !schema.starts_with(prefix) {
            return Err(Failure::invalid(format!("linux.intelRdt.{field}"), format!("must begin with {prefix}")));
        }
        all.push((format!("linux.intelRdt.{field}"), schema));
    }
    for (n, line) in wanted.schemata().iter().flatten().enumerate() {
        all.push((format!("linux.intelRdt.schemata[{n}]"), line.as_str()));
    }
    match all.iter().find(|(_, line)| line.contains('\n')) {
        Some((field, _)) => Err(Failure::invalid(field.as_str(), "must be one line")),
        None => Ok(all.into_iter().map(|(_, line)| line).collect()),
    }
}

/// A class that is there has this line, whatever blanks and leading zeros the kernel writes.
fn agrees(now: &str, line: &str) -> bool {
    let parts = |line: &str| {
        let (name, values) = line.split_once(':')?;
        let value = |value: &str| {
            let (cache, mask) = value.split_once('=')?;
            Some((cache.trim().to_owned(), mask.trim().trim_start_matches('0').to_lowercase()))
        };
        Some((name.trim().to_owned(), values.split(';').map(value).collect::<Option<Vec<_>>>()?))
    };
    let Some((name, wanted)) = parts(line) else { return false };
    now.lines().filter_map(parts).any(|(other, has)| other == name && wanted.iter().all(|value| has.contains(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn make(root: &Path, wanted: Value) -> Result<Rdt> {
        Rdt::make(root, &serde_json::from_value(wanted).unwrap(), "box")
    }

    fn resctrl() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("there")).unwrap();
        fs::write(dir.path().join("there/schemata"), "    L3:0=07f;1=1f\n    MB:0= 20;1= 70\n").unwrap();
        dir
    }

    #[test]
    fn where_it_is() {
        let line = "40 30 0:50 / /sys/fs/resctrl rw shared:9 - resctrl resctrl rw";
        assert_eq!(mount_point(line), Some(PathBuf::from("/sys/fs/resctrl")));
        assert_eq!(mount_point("22 1 8:1 / / rw - ext4 resctrl rw"), None);
    }

    #[test]
    fn classes_of_the_containers_own() {
        let root = resctrl();
        let rdt = make(root.path(), json!({"l3CacheSchema": "L3:0=f"})).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("box/schemata")).unwrap(), "L3:0=f\n");
        rdt.enter(7).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("box/tasks")).unwrap(), "7");
        // The kernel's files go with their directory.
        for file in ["schemata", "tasks"] {
            fs::remove_file(root.path().join("box").join(file)).unwrap();
        }
        rdt.remove().unwrap();
        assert!(!root.path().join("box").exists());
        rdt.remove().unwrap();
    }

    #[test]
    fn schemas_are_changed() {
        let root = resctrl();
        let wanted = |wanted: Value| serde_json::from_value::<LinuxIntelRdt>(wanted).unwrap();
        let (cache, bandwidth) = (wanted(json!({"l3CacheSchema": "L3:0=3"})), wanted(json!({"memBwSchema": "MB:0=50"})));
        let rdt = make(root.path(), json!({"l3CacheSchema": "L3:0=f"})).unwrap();
        let said = |place: Option<&Path>, class: Option<&Rdt>, wanted: &LinuxIntelRdt| {
            Rdt::change(place, class, wanted).err().map(|failure| crate::words::of(&failure)).unwrap_or_default()
        };
        assert_eq!(said(None, Some(&rdt), &cache), "Intel RDT/CAT: l3 cache schema is not enabled");
        fs::create_dir_all(root.path().join("info/L3")).unwrap();
        assert_eq!(said(Some(root.path()), Some(&rdt), &bandwidth), "Intel RDT/MBA: memory bandwidth schema is not enabled");
        assert_eq!(said(Some(root.path()), None, &cache), "Intel RDT: updating a non-existent Intel RDT configuration is not supported");
        assert_eq!(
            said(Some(root.path()), Some(&rdt), &wanted(json!({"l3CacheSchema": "MB:0=1"}))),
            "specification: linux.intelRdt.l3CacheSchema: must begin with L3"
        );
        assert_eq!(said(Some(root.path()), Some(&rdt), &cache), "");
        assert_eq!(fs::read_to_string(root.path().join("box/schemata")).unwrap(), "L3:0=3\n");
        assert!(Rdt::update(None, None, Some("")).is_ok());
    }

    #[test]
    fn classes_that_are_there() {
        let root = resctrl();
        let rdt = make(root.path(), json!({"closID": "there", "l3CacheSchema": "L3:0=7f", "memBwSchema": "MB:0=20"})).unwrap();
        rdt.remove().unwrap();
        assert!(root.path().join("there").exists());
        for (wanted, field) in [
            (json!({"closID": "there", "memBwSchema": "MB:0=30"}), "linux.intelRdt"),
            (json!({"closID": "nowhere"}), "linux.intelRdt.closID"),
            (json!({"closID": "../x"}), "linux.intelRdt.closID"),
            (json!({"memBwSchema": "L3:0=1"}), "linux.intelRdt.memBwSchema"),
            (json!({"schemata": ["L3:0=1\nMB:0=1"]}), "linux.intelRdt.schemata[0]"),
        ] {
            assert_eq!(make(root.path(), wanted).unwrap_err().object, field);
            assert!(!root.path().join("box").exists());
        }
        assert_eq!(make(root.path(), json!({"closID": "/"})).unwrap().class, root.path());
    }
}
