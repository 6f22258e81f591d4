//! Filesystems of volumes: mounted when the first container that uses one starts, gone with the last.
//!
//! They are mounted detached, where nobody sees them. Who runs a container holds its volumes' descriptors, and the next daemon finds them there.
//! Before Linux 6.15 the kernel does not clone what is detached: there they are mounted at the volume's place on the host, as Docker does.

use super::call::Call;
use super::options::complaint;
use crate::error::{self, Error, Kind, Result};
use crate::model::volume::Volume;
use dhow_sys::mount;
use dhow_sys::overlay::{Held, Lower};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A volume's filesystem. It is unmounted when nobody has this any more.
#[derive(Debug)]
pub(crate) enum Mounted {
    /// Where nobody sees it.
    Detached {
        mount: OwnedFd,
        /// The volume's place on the host, which it is not mounted at.
        place: PathBuf,
    },
    /// At the volume's place on the host.
    Attached(PathBuf),
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Self::Attached(place) = self
            && let Err(error) = mount::unmount_detach(place.as_path())
        {
            tracing::warn!(place = %place.display(), %error, "a volume was not unmounted");
        }
    }
}

impl Mounted {
    fn new(mount: OwnedFd, place: &Path) -> io::Result<Self> {
        let cloned = mount::clone_tree(&mount, Path::new(""), false).and_then(|_| mount::unique_id(&mount));
        match cloned {
            Ok(_) => Ok(Self::Detached { mount, place: place.to_owned() }),
            Err(_) => {
                std::fs::create_dir_all(place)?;
                mount::attach(&mount, mount::open_path(place)?)?;
                Ok(Self::Attached(place.to_owned()))
            }
        }
    }

    /// Its root, for processes that are told where.
    pub(crate) fn lower(&self) -> io::Result<Lower> {
        Ok(match self {
            Self::Detached { mount, place } => Lower::Held(Held::new(mount, place.clone())?),
            Self::Attached(place) => Lower::Dir(place.clone()),
        })
    }
}

/// Those that are mounted, one turn for each.
#[derive(Debug, Default)]
pub(crate) struct Mounts(Mutex<HashMap<String, Slot>>);

type Slot = Arc<tokio::sync::Mutex<Weak<Mounted>>>;

impl Mounts {
    fn slot(&self, name: &str) -> Slot {
        // Single insertions and removals: valid at every moment.
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody uses or waits for needs no turn.
        slots.retain(|other, slot| other == name || Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|m| m.strong_count() > 0));
        slots.entry(name.to_owned()).or_default().clone()
    }

    /// The filesystem of a volume, mounted where nobody has it.
    pub(crate) async fn get(&self, volume: &Volume, call: &Call) -> Result<Arc<Mounted>> {
        let slot = self.slot(&volume.name);
        let mut slot = slot.lock().await;
        if let Some(mounted) = slot.upgrade() {
            return Ok(mounted);
        }
        let call = addressed(volume, call).await?;
        let made = make(&mut slot, volume, move || call.mount()).await?;
        made.map_err(|e| Error::new(Kind::Internal, complaint(volume, &error::plain(&e))))
    }

    /// The filesystem under this name, made by `root` where nobody has it.
    pub(super) async fn get_made(
        &self,
        volume: &Volume,
        root: impl FnOnce() -> io::Result<OwnedFd> + Send + 'static,
    ) -> Result<io::Result<Arc<Mounted>>> {
        let slot = self.slot(&volume.name);
        let mut slot = slot.lock().await;
        match slot.upgrade() {
            Some(mounted) => Ok(Ok(mounted)),
            None => make(&mut slot, volume, root).await,
        }
    }

    /// Takes one that a container uses since before this engine began: `held` in its shim, else at the volume's place.
    pub(crate) fn adopt(&self, volume: &Volume, held: Option<&Held>) -> io::Result<Option<Arc<Mounted>>> {
        let slot = self.slot(&volume.name);
        // Nobody mounts anything yet.
        let Ok(mut slot) = slot.try_lock() else { return Ok(None) };
        if let Some(mounted) = slot.upgrade() {
            return Ok(Some(mounted));
        }
        let place = volume.mountpoint.clone();
        let mounted = match held {
            Some(held) => Arc::new(Mounted::Detached { mount: held.fetch()?, place }),
            None if is_mount_point(&place)? => Arc::new(Mounted::Attached(place)),
            None => return Ok(None),
        };
        *slot = Arc::downgrade(&mounted);
        Ok(Some(mounted))
    }

    /// Unmounts what an engine that died has left at a volume's place, where no container uses it.
    pub(crate) fn settle(&self, volume: &Volume) -> io::Result<()> {
        let used = self.slot(&volume.name).try_lock().is_ok_and(|mounted| mounted.strong_count() > 0);
        if used || !is_mount_point(&volume.mountpoint)? { Ok(()) } else { mount::unmount_detach(volume.mountpoint.as_path()) }
    }
}

async fn make(
    slot: &mut Weak<Mounted>,
    volume: &Volume,
    root: impl FnOnce() -> io::Result<OwnedFd> + Send + 'static,
) -> Result<io::Result<Arc<Mounted>>> {
    let place = volume.mountpoint.clone();
    let work = tokio::task::spawn_blocking(move || Mounted::new(root()?, &place)).await;
    let made = work.map_err(|e| Error::internal("mount", &volume.name, e))?.map(Arc::new);
    if let Ok(mounted) = &made {
        *slot = Arc::downgrade(mounted);
    }
    Ok(made)
}

/// With the address of a server that is known by name.
async fn addressed(volume: &Volume, call: &Call) -> Result<Call> {
    let Some(host) = call.host() else { return Ok(call.clone()) };
    let found = dhow_registry::lookup(host).await.and_then(|all| all.first().copied().ok_or_else(|| io::ErrorKind::NotFound.into()));
    found.map(|address| call.addressed(address)).map_err(|e| {
        let place = volume.mountpoint.display();
        let why = format!("error while mounting volume '{place}': error resolving passed in network volume address: {e}");
        Error::new(Kind::Internal, why)
    })
}

fn is_mount_point(place: &Path) -> io::Result<bool> {
    let above = place.parent().unwrap_or(place);
    Ok(mount::mount_id(mount::open_path(place)?)? != mount::mount_id(mount::open_path(above)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn volume(dir: &Path, o: &str) -> (Volume, Call) {
        let mountpoint = dir.join("_data");
        std::fs::create_dir_all(&mountpoint).unwrap();
        let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", o)].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let volume = Volume { name: "v".into(), created: 0, labels: Default::default(), options: options.into(), mountpoint };
        (volume, Call::new("tmpfs", "tmpfs", o))
    }

    fn device(mounted: &Mounted) -> u64 {
        rustix::fs::fstat(mounted.lower().unwrap().open().unwrap()).unwrap().st_dev
    }

    #[tokio::test]
    async fn one_filesystem_while_somebody_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, call) = volume(dir.path(), "size=64k");
        let mounts = Mounts::default();
        let one = mounts.get(&volume, &call).await.unwrap();
        let two = mounts.get(&volume, &call).await.unwrap();
        assert_eq!(device(&one), device(&two));
        assert!(Arc::ptr_eq(&one, &two) && !is_mount_point(&volume.mountpoint).unwrap());
        let weak = Arc::downgrade(&one);
        drop((one, two));
        assert!(weak.upgrade().is_none());
        // The next engine has what a process of the one before holds.
        let one = mounts.get(&volume, &call).await.unwrap();
        let Lower::Held(held) = one.lower().unwrap() else { return };
        let later = Mounts::default();
        let adopted = later.adopt(&volume, Some(&held)).unwrap().unwrap();
        assert_eq!(device(&adopted), device(&one));
        assert!(Arc::ptr_eq(&adopted, &later.get(&volume, &call).await.unwrap()));
    }

    #[tokio::test]
    async fn what_cannot_be_mounted() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, call) = volume(dir.path(), "bogus=1");
        let error = Mounts::default().get(&volume, &call).await.unwrap_err();
        let place = volume.mountpoint.display();
        let expect = format!(
            "error while mounting volume '{place}': failed to mount local volume: mount tmpfs:{place}, data: bogus=1: invalid argument"
        );
        assert_eq!((error.kind, error.message), (Kind::Internal, expect));
    }

    #[test]
    fn attached_as_on_older_kernels() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, call) = volume(dir.path(), "size=64k");
        let work = move || {
            dhow_sys::process::unshare_fs().unwrap();
            dhow_sys::process::unshare(0x0002_0000).unwrap();
            mount::propagate_root(true, mount::Propagation::Private).unwrap();
            let attach = || mount::attach(call.mount().unwrap().as_fd(), mount::open_path(&volume.mountpoint).unwrap()).unwrap();
            attach();
            let mounts = Mounts::default();
            let adopted = mounts.adopt(&volume, None).unwrap().unwrap();
            mounts.settle(&volume).unwrap();
            assert!(is_mount_point(&volume.mountpoint).unwrap(), "somebody uses it");
            drop(adopted);
            assert!(!is_mount_point(&volume.mountpoint).unwrap());
            attach();
            mounts.settle(&volume).unwrap();
            assert!(!is_mount_point(&volume.mountpoint).unwrap(), "nobody uses it");
            assert!(mounts.adopt(&volume, None).unwrap().is_none());
        };
        std::thread::spawn(work).join().unwrap();
    }
}
