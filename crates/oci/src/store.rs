//! The directory that holds one directory for each container: its record, its specification, its gate.

use crate::error::{At, Error, Result};
use crate::record::{Record, Status};
use rustix::fs::{Mode, OFlags};
use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The record.
const RECORD: &str = "state.json";
/// The specification as it was at the creation.
const CONFIG: &str = "config.json";
/// The socket at which a created container waits.
const GATE: &str = "gate.sock";
/// Longest name of a container.
const LONGEST: usize = 1024;

/// All containers of one root.
#[derive(Debug)]
pub(crate) struct Store(PathBuf);

/// One container's directory.
#[derive(Debug)]
pub(crate) struct Place(PathBuf);

/// A name is one plain component of a path.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    if id.is_empty() || id.len() > LONGEST || id == "." || id == ".." || !id.chars().all(plain) {
        return Err(Error::new(format!("invalid container ID format: {id}")));
    }
    Ok(())
}

impl Store {
    /// At this directory, which need not exist.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self(root)
    }

    /// An empty directory in it, whose name no container can have.
    pub(crate) fn scratch(&self) -> Result<PathBuf> {
        let dir = self.0.join("@empty");
        let made = DirBuilder::new().mode(0o700).create(&dir);
        match made {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(dir),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(&dir).at(format!("mkdir {}", dir.display())).map(|()| dir)
            }
            other => other.at(format!("mkdir {}", dir.display())).map(|()| dir),
        }
    }

    fn place(&self, id: &str) -> Result<Place> {
        check_id(id)?;
        Ok(Place(self.0.join(id)))
    }

    /// A new container's directory: of two who want the same name, one gets it.
    pub(crate) fn claim(&self, id: &str) -> Result<Place> {
        let place = self.place(id)?;
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        let made = match builder.create(&place.0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(&self.0).at(format!("mkdir {}", self.0.display()))?;
                builder.create(&place.0)
            }
            other => other,
        };
        match made {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(Error::new("container with given ID already exists")),
            other => other.at(format!("mkdir {}", place.0.display())).map(|()| place),
        }
    }

    /// A container that is there.
    pub(crate) fn find(&self, id: &str) -> Result<(Place, Record)> {
        let place = self.place(id)?;
        let record = place.record()?;
        Ok((place, record))
    }

    /// The directory of one of which there is no record: whoever made it was killed at the very beginning.
    pub(crate) fn remains(&self, id: &str) -> Result<Option<Place>> {
        let place = self.place(id)?;
        Ok(place.0.is_dir().then_some(place))
    }

    /// All that can be read, by name, with the user who made each.
    pub(crate) fn list(&self) -> Result<Vec<(Place, Record, u32)>> {
        let entries = match std::fs::read_dir(&self.0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.at(format!("read {}", self.0.display()))?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry.at(format!("read {}", self.0.display()))?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            // What is no container, or is gone meanwhile, is not listed.
            if let (Ok((place, record)), Ok(meta)) = (self.find(&name), entry.metadata()) {
                all.push((place, record, meta.uid()));
            }
        }
        all.sort_by(|a, b| a.1.id.cmp(&b.1.id));
        Ok(all)
    }
}

impl Place {
    fn record(&self) -> Result<Record> {
        let path = self.0.join(RECORD);
        let text = match std::fs::read(&path) {
            Err(e) if matches!(e.raw_os_error(), Some(nix::libc::ENOENT | nix::libc::ENOTDIR)) => return Err(Error::no_container()),
            other => other.at(format!("read {}", path.display()))?,
        };
        serde_json::from_slice(&text).map_err(|e| Error::new(format!("read {}: {e}", path.display())))
    }

    /// Keeps the record: whole, or the one before.
    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        let body = serde_json::to_vec(record).map_err(|e| Error::new(format!("write {RECORD}: {e}")))?;
        write_whole(&self.0.join(RECORD), &body, 0o600)
    }

    /// Keeps the specification, before the first record: nobody reads it who has not read that.
    pub(crate) fn save_config(&self, text: &[u8]) -> Result<()> {
        let path = self.0.join(CONFIG);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let write = || std::fs::File::from(rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600))?).write_all(text);
        write().at(format!("write {}", path.display()))
    }

    /// The specification as it was at the creation.
    pub(crate) fn config(&self) -> Result<Vec<u8>> {
        let path = self.0.join(CONFIG);
        std::fs::read(&path).at(format!("read {}", path.display()))
    }

    /// Where a created container waits.
    pub(crate) fn gate(&self) -> Result<dhow_runtime::gate::Gate> {
        Ok(dhow_runtime::gate::Gate::listen(&self.0, GATE)?)
    }

    /// Lets it go, and returns once its program runs. Without a failure the container is a started one from here on.
    pub(crate) fn open_gate(&self) -> std::result::Result<(), dhow_runtime::Failure> {
        dhow_runtime::gate::open(&self.0, GATE)?;
        self.forget_gate();
        Ok(())
    }

    /// From here on the container is a started one.
    fn forget_gate(&self) {
        // The directory is ours; what is gone already is fine.
        let _ = rustix::fs::unlink(self.0.join(GATE));
    }

    /// Where in its life the container is.
    pub(crate) fn status(&self, record: &Record) -> Result<Status> {
        if record.pid == 0 {
            return Ok(Status::Creating);
        }
        if !record.lives()? {
            return Ok(Status::Stopped);
        }
        if record.cgroup.is_frozen()? {
            return Ok(Status::Paused);
        }
        Ok(if self.0.join(GATE).exists() { Status::Created } else { Status::Running })
    }

    /// Removes the directory.
    pub(crate) fn remove(self) -> Result<()> {
        match std::fs::remove_dir_all(&self.0) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).at(format!("remove {}", self.0.display())),
            _ => Ok(()),
        }
    }
}

/// Writes a file of which nobody ever sees a part.
pub(crate) fn write_whole(path: &Path, body: &[u8], mode: u32) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let write = || -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut file = std::fs::File::from(rustix::fs::open(&temporary, flags, Mode::from_raw_mode(mode))?);
        file.write_all(body)?;
        std::fs::rename(&temporary, path)
    };
    write().at(format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_runtime::cgroup::{self, Cgroup};
    use std::collections::BTreeMap;

    fn record(id: &str) -> Record {
        Record {
            oci_version: "1.2.0".into(),
            id: id.into(),
            pid: 0,
            start_time: 0,
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            created: String::new(),
            annotations: BTreeMap::new(),
            cgroup: Cgroup { mode: cgroup::Mode::V2, dirs: Vec::new() },
            unit: None,
            rdt: None,
            mount: None,
            user_namespace: false,
            pid_namespace: true,
        }
    }

    #[test]
    fn names() {
        for good in ["a", "A_b+c-d.e", "..."] {
            check_id(good).unwrap();
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a\n", &"x".repeat(1025)] {
            assert_eq!(check_id(bad).unwrap_err().message, format!("invalid container ID format: {bad}"));
        }
    }

    #[test]
    fn a_name_is_claimed_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("deep/root"));
        assert!(store.list().unwrap().is_empty());
        assert_eq!(store.find("box").unwrap_err().message, "container does not exist");
        let place = store.claim("box").unwrap();
        assert_eq!(store.claim("box").unwrap_err().message, "container with given ID already exists");
        // Between the claim and the first record there is a directory, but no container.
        assert_eq!(store.find("box").unwrap_err().message, "container does not exist");
        assert!(store.remains("box").unwrap().is_some() && store.remains("fox").unwrap().is_none());
        place.save(&record("box")).unwrap();
        store.claim("a").unwrap().save(&record("a")).unwrap();
        std::fs::write(store.scratch().unwrap().parent().unwrap().join("noise"), "").unwrap();
        assert_eq!(store.list().unwrap().iter().map(|(_, record, _)| record.id.as_str()).collect::<Vec<_>>(), ["a", "box"]);
        assert_eq!(place.status(&record("box")).unwrap(), Status::Creating);
        place.remove().unwrap();
        assert!(store.find("box").is_err());
    }

    #[test]
    fn where_it_is_in_its_life() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().to_owned());
        let place = store.claim("box").unwrap();
        let pid = std::process::id() as i32;
        let start_time = dhow_sys::process::start_time(pid).unwrap();
        let mut own = Record { pid, start_time, ..record("box") };
        assert_eq!(place.status(&own).unwrap(), Status::Running);
        let gate = place.gate().unwrap();
        assert_eq!(place.status(&own).unwrap(), Status::Created);
        drop(gate);
        place.forget_gate();
        own.start_time += 1;
        assert_eq!(place.status(&own).unwrap(), Status::Stopped);
    }
}
