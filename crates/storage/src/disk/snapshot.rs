//! Snapshots, and what a crash leaves behind.

use super::choice::Root;
use super::{Store, copies, record, spare};
use crate::id::ChainId;
use crate::store::{Error, Result, SnapshotKey};
use crate::tree::{Context, names, open_dir, open_file, owner, permissions, remove, sync};
use rustix::fs::{self, Mode};
use std::os::fd::OwnedFd;

/// Refuses keys that are no plain names.
pub(super) fn check_key(key: &SnapshotKey) -> Result<()> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if key.0.is_empty() || key.0.len() > 128 || !key.0.bytes().all(plain) {
        return Err(Error::Invalid { what: "snapshot key", value: key.0.clone() });
    }
    Ok(())
}

impl Store {
    pub(super) fn make_snapshot(&self, key: &SnapshotKey, parent: Option<&ChainId>, root: Root) -> Result<()> {
        let made = self.fill_snapshot(key, parent, root);
        if made.is_err() {
            // The first error is the one to tell; what stays has no record and goes with the next sweep.
            remove::tree(&self.dirs.snapshots, key.0.as_bytes()).ok();
        }
        made
    }

    fn fill_snapshot(&self, key: &SnapshotKey, parent: Option<&ChainId>, root: Root) -> Result<()> {
        let name = key.0.as_bytes();
        if root == Root::Overlay
            && let Some(dir) = self.take_spare(key)
        {
            self.own_upper(&dir, parent)?;
            return record::write_over(&dir, record::SNAPSHOT, &record::SnapshotRecord { parent: parent.cloned(), root });
        }
        match fs::mkdirat(&self.dirs.snapshots, name, Mode::RWXU) {
            // Half made by a crash, and not yet swept: the index does not know it.
            Err(rustix::io::Errno::EXIST) => {
                remove::tree(&self.dirs.snapshots, name)?;
                fs::mkdirat(&self.dirs.snapshots, name, Mode::RWXU).on("make", name)?;
            }
            other => other.on("make", name)?,
        }
        let dir = open_dir(&self.dirs.snapshots, name).on("open", name)?;
        match root {
            Root::Overlay => spare::make_dirs(&dir).and_then(|()| self.own_upper(&dir, parent))?,
            Root::Copy => self.fill_copy(&dir, parent)?,
        }
        record::write(&dir, record::SNAPSHOT, &record::SnapshotRecord { parent: parent.cloned(), root }).map(drop)
    }

    /// The upper directory is what "/" looks like inside.
    fn own_upper(&self, dir: &OwnedFd, parent: Option<&ChainId>) -> Result<()> {
        let (uid, gid, mode) = match parent {
            Some(chain) => {
                let stat = self.stat_root(chain)?;
                (stat.st_uid, stat.st_gid, permissions(&stat))
            }
            None => (0, 0, Mode::from_raw_mode(0o755)),
        };
        if (uid, gid) != (0, 0) {
            let (uid, gid) = owner(uid, gid);
            fs::chownat(dir, "upper", uid, gid, fs::AtFlags::SYMLINK_NOFOLLOW).on("chown", b"upper")?;
        }
        fs::chmodat(dir, "upper", mode, fs::AtFlags::empty()).on("chmod", b"upper")
    }

    /// The record's bytes, then the names that lead to them. Without the first, a file system that allocates late has an empty record.
    pub(super) fn sync_snapshot(&self, key: &SnapshotKey, root: Root) -> Result<()> {
        let name = key.0.as_bytes();
        let dir = open_dir(&self.dirs.snapshots, name).on("open snapshot", name)?;
        if root == Root::Copy {
            sync::tree(open_dir(&dir, copies::ROOT.as_bytes()).on("open", name)?)?;
        }
        let record = open_file(&dir, record::SNAPSHOT.as_bytes()).on("open the record of", name)?;
        fs::fsync(record).on("sync the record of", name)?;
        fs::fsync(dir).on("sync", name)?;
        fs::fsync(&self.dirs.snapshots).on("sync", b"snapshots")
    }

    pub(super) fn open_upper(&self, key: &SnapshotKey) -> Result<OwnedFd> {
        open_dir(&self.dirs.snapshots, key.0.as_bytes()).and_then(|dir| open_dir(dir, b"upper")).on("open snapshot", key.0.as_bytes())
    }

    /// Goes on after an error and reports the first.
    pub(super) fn sweep_all(&self, keep: &dyn Fn(&SnapshotKey) -> bool) -> Result<()> {
        let mut first = Ok(());
        let mut note = |result: Result<()>| {
            if let Err(error) = result {
                tracing::warn!(%error, "sweep");
                if first.is_ok() {
                    first = Err(error);
                }
            }
        };
        for name in names(&self.dirs.tmp).on("read", b"tmp")? {
            note(remove::tree(&self.dirs.tmp, &name).map_err(Into::into));
        }
        for name in names(&self.dirs.spare).on("read", b"spare")? {
            note(remove::tree(&self.dirs.spare, &name).map_err(Into::into));
        }
        for name in names(&self.dirs.snapshots).on("read", b"snapshots")? {
            let key = SnapshotKey(String::from_utf8_lossy(&name).into_owned());
            if self.index.snapshot(&key).is_err() {
                note(remove::tree(&self.dirs.snapshots, &name).map_err(Into::into));
            } else if !keep(&key) {
                note(crate::store::LayerStore::remove(self, &key));
            }
        }
        note(self.sweep_views());
        for name in names(&self.dirs.layers).on("read", b"layers")? {
            let chain = std::str::from_utf8(&name).ok().and_then(|hex| ChainId::parse(&format!("sha256:{hex}")).ok());
            if chain.is_none_or(|c| self.index.layer(&c).is_err()) {
                note(remove::tree(&self.dirs.layers, &name).map_err(Into::into));
            }
        }
        first
    }
}
