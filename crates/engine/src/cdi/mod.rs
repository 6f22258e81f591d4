//! CDI, the Container Device Interface: files of the host say what a container needs to use a device that is named `vendor/class=name`.
//!
//! The directories are read when a container that asks for such a device starts: files may come and go at any time, and nobody else pays
//! for it. A file that is wrong takes nothing from the others; a name that two files of the same directory claim belongs to neither, and
//! later directories win over earlier ones.

mod edits;
mod name;
mod spec;
mod yaml;

pub(crate) use edits::Edits;

use spec::File;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The largest file that is read, and how many of a directory are.
const MOST_BYTES: u64 = 4 << 20;
const MOST_FILES: usize = 1024;

/// Where a device is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    file: usize,
    device: usize,
    /// Number of the directory.
    priority: usize,
}

/// What the directories hold.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    files: Vec<File>,
    devices: BTreeMap<String, Place>,
    /// What was wrong: path and reason.
    pub(crate) errors: Vec<(PathBuf, String)>,
}

impl Registry {
    /// Reads them, in the order of their precedence. A directory that is missing is empty.
    pub(crate) fn read(dirs: &[PathBuf]) -> Self {
        let mut registry = Self::default();
        let mut conflicts = BTreeSet::new();
        for (priority, dir) in dirs.iter().enumerate() {
            for path in spec_files(dir) {
                match read_file(&path).and_then(|text| spec::parse(&path, &text)) {
                    Ok(file) => registry.add(file, priority, &mut conflicts),
                    Err(why) => registry.errors.push((path, format!("failed to load CDI Spec {why}"))),
                }
            }
        }
        for name in conflicts {
            registry.devices.remove(&name);
        }
        registry
    }

    fn add(&mut self, file: File, priority: usize, conflicts: &mut BTreeSet<String>) {
        let number = self.files.len();
        for (device, one) in file.devices.iter().enumerate() {
            let name = format!("{}={}", file.kind, one.name);
            match self.devices.get(&name) {
                Some(known) if known.priority == priority => {
                    self.errors.push((file.path.clone(), format!("conflicting device {name:?}")));
                    conflicts.insert(name);
                }
                _ => {
                    // One that wins over all that came before ends their quarrel.
                    conflicts.remove(&name);
                    self.devices.insert(name, Place { file: number, device, priority });
                }
            }
        }
        self.files.push(file);
    }

    /// Whether there is a device of this kind (`vendor/class`).
    pub(crate) fn has_kind(&self, kind: &str) -> bool {
        self.devices.keys().any(|name| name.split('=').next() == Some(kind))
    }

    /// Full names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.devices.keys().map(String::as_str)
    }

    /// What the devices of these names ask for: of each file its own wishes first, once. The error is Docker's text.
    pub(crate) fn edits(&self, names: &[String]) -> Result<Edits, String> {
        let missing: Vec<&str> = names.iter().filter(|name| !self.devices.contains_key(*name)).map(String::as_str).collect();
        if !missing.is_empty() {
            return Err(format!("CDI device injection failed: unresolvable CDI devices {}", missing.join(", ")));
        }
        let mut edits = Edits::default();
        let mut seen = BTreeSet::new();
        let refuse = |why: String| format!("CDI device injection failed: failed to inject devices: {why}");
        for place in names.iter().filter_map(|name| self.devices.get(name)) {
            let file = &self.files[place.file];
            if seen.insert(place.file) {
                edits.add(&file.container_edits).map_err(refuse)?;
            }
            edits.add(&file.devices[place.device].container_edits).map_err(refuse)?;
        }
        Ok(edits)
    }
}

/// The `.json` and `.yaml` files of a directory, by name.
fn spec_files(dir: &Path) -> Vec<PathBuf> {
    let wanted = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "json" || ext == "yaml") && !path.is_dir();
    let mut files: Vec<_> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).filter(wanted).collect();
    files.sort();
    files.truncate(MOST_FILES);
    files
}

fn read_file(path: &Path) -> Result<String, String> {
    let fail = |why: String| format!("{:?}: {why}", path.display().to_string());
    let metadata = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        return Err(fail(format!("not a file of at most {MOST_BYTES} bytes")));
    }
    std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))
}

#[cfg(test)]
mod tests;
