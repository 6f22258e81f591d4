//! Layers of the `tar+erofs` form, mounted: detached, where nobody sees them, and once each, so that what is cached of a file is cached once
//! however many containers use it.
//!
//! A layer is mounted when it is first used and stays so while it is there. The descriptors go to every process that makes a root filesystem,
//! and who runs a container keeps them: the next daemon finds them there and goes on with the same mounts.

use super::index::{INDEX, SIDE, TAR};
use crate::id::ChainId;
use crate::store::Result;
use crate::tree::{Context, open_file};
use dhow_sys::mount::{self, Filesystem};
use dhow_sys::overlay::shared;
use rustix::fs::{Mode, OFlags};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `EROFS_SUPER_MAGIC_V1`
const MAGIC: u64 = 0xe0f5_e1e2;

/// One layer's mount, when there is one.
type Slot = Arc<Mutex<Option<Arc<OwnedFd>>>>;

/// What is mounted.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    slots: Mutex<HashMap<ChainId, Slot>>,
    /// Mounts that another process had when this one began, by their filesystems' ids.
    found: Mutex<HashMap<[u8; 16], OwnedFd>>,
}

impl Mounts {
    /// The mount of a chain's top layer, whose files are in `dir`.
    pub(crate) fn get(&self, chain: &ChainId, dir: impl FnOnce() -> Result<OwnedFd>) -> Result<Arc<OwnedFd>> {
        let slot = lock(&self.slots).entry(chain.clone()).or_default().clone();
        let mut slot = lock(&slot);
        if let Some(mount) = &*slot {
            return Ok(mount.clone());
        }
        let mount = match lock(&self.found).remove(&id(chain)) {
            Some(mount) => mount,
            None => attach(&dir()?).on("mount", chain.as_str().as_bytes())?,
        };
        Ok(slot.insert(Arc::new(mount)).clone())
    }

    /// Lets go of a layer that is removed.
    pub(crate) fn forget(&self, chain: &ChainId) {
        lock(&self.slots).remove(chain);
        lock(&self.found).remove(&id(chain));
    }

    /// Takes the mounts that a process holds which used them before this one began. What cannot be had is mounted anew.
    pub(crate) fn adopt(&self, process: i32) {
        let Ok(fds) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return };
        for entry in fds.flatten() {
            // The root of a detached mount has no other name.
            let root = std::fs::read_link(entry.path()).is_ok_and(|name| name.as_os_str() == "/");
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(number) = number.filter(|_| root)
                && let Ok((id, mount)) = look(process, number)
            {
                lock(&self.found).entry(id).or_insert(mount);
            }
        }
    }

    /// Lets go of what was found and not asked for.
    pub(crate) fn settled(&self, chains: impl Iterator<Item = ChainId>) {
        let known: std::collections::HashSet<_> = chains.map(|chain| id(&chain)).collect();
        lock(&self.found).retain(|id, _| known.contains(id));
    }
}

/// The id that the filesystem of a layer has: chains differ in it as they do in their digests.
pub(crate) fn id(chain: &ChainId) -> [u8; 16] {
    let mut id = [0; 16];
    if let Ok(bytes) = hex::decode(chain.hex()) {
        id.copy_from_slice(&bytes[..16]);
    }
    id
}

fn look(process: i32, number: i32) -> io::Result<([u8; 16], OwnedFd)> {
    let mount = shared(process, number)?;
    if mount::magic(&mount)? != MAGIC {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok((dhow_sys::file::filesystem_uuid(root(&mount)?)?, mount))
}

/// The root directory of a mount, opened.
pub(crate) fn root(mount: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(mount, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Mounts the layer whose files are in a directory.
pub(crate) fn attach(dir: &OwnedFd) -> io::Result<OwnedFd> {
    let index = open_file(dir, INDEX.as_bytes())?;
    let mut devices = vec![open_file(dir, TAR.as_bytes())?];
    match open_file(dir, SIDE.as_bytes()) {
        Ok(side) => devices.push(side),
        Err(rustix::io::Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let fs = Filesystem::open("erofs")?;
    let name = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    fs.string("source", name(&index))?;
    for device in &devices {
        fs.string("device", name(device))?;
    }
    // Else its pages would be cached as the tar's, too. Not every disk can, and not every kernel knows it.
    let _ = fs.flag("directio");
    fs.mount_or_log(mount::RDONLY)
}

/// Locks what is valid at every moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
