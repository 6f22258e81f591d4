//! Mounts that show their files' owners through the mapping of a user namespace, and overlays made of such layers.
//!
//! What is on the disk keeps the numbers that the container sees, so nothing is ever chowned, and a layer may be used with any mapping
//! and with none at the same time. Bind mounts can do so since Linux 5.12 (on filesystems that know of it), layers of an overlay
//! since 5.19; an overlay itself cannot.

use crate::mount::{self, Propagation};
use crate::overlay::{Lower, Overlay};
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// `MOUNT_ATTR_IDMAP`.
const IDMAP: u64 = 0x0010_0000;

/// Gives a detached mount (and those below it, if `recursive`) the mapping of a user namespace. `EINVAL` where its filesystem, or this
/// kernel, cannot; `ENOSYS` before Linux 5.12.
pub fn set(mount: impl AsFd, recursive: bool, userns: BorrowedFd<'_>) -> io::Result<()> {
    let userns_fd = u64::try_from(userns.as_raw_fd()).map_err(io::Error::other)?;
    mount::set_attr_raw(mount, recursive, &libc::mount_attr { attr_set: IDMAP, attr_clr: 0, propagation: 0, userns_fd })
}

/// A detached, mapped bind clone of a directory or file.
pub fn clone_tree(path: &Path, recursive: bool, userns: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let tree = mount::clone_tree(CWD, path, recursive)?;
    set(&tree, recursive, userns)?;
    Ok(tree)
}

/// As [`Overlay::mount_held`], each of its layers mapped. `owner` is a user and group (the host's numbers) that the mapping has, usually
/// those of its root: what the overlay does on its own in the upper layer it does as them, since the caller may have no name there.
pub fn overlay(overlay: &Overlay, userns: BorrowedFd<'_>, owner: (u32, u32)) -> io::Result<(OwnedFd, Vec<OwnedFd>)> {
    if let Some(dir) = overlay.as_plain() {
        let tree = clone_tree(dir, false, userns).map_err(explain)?;
        mount::set_attr(&tree, false, 0, 0, Some(Propagation::Private))?;
        return Ok((tree, Vec::new()));
    }
    let layers = Layers::open(overlay, userns).map_err(explain)?;
    let mount = || match layers.mount_by_descriptor(overlay) {
        // Before Linux 6.13 there are no descriptors here (no parameter is one before 6.5, one of O_PATH is none afterwards), before 6.15 no
        // detached mounts.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EBADF)) => layers.mount_in_own_namespace(overlay),
        other => other,
    };
    let root = crate::process::as_file_owner(owner.0, owner.1, mount)?;
    // Where it cannot work in the upper layer it is no error to the kernel.
    if overlay.upper.is_some() && rustix::fs::fstatvfs(&root)?.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the overlay's upper layer cannot be written to"));
    }
    Ok((root, layers.held))
}

/// A filesystem that cannot be mapped says no more than that an argument is invalid.
fn explain(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => io::Error::new(
            io::ErrorKind::Unsupported,
            format!("the filesystem of the layers, or this kernel (5.19 is needed), has no mounts with mapped owners: {error}"),
        ),
        _ => error,
    }
}

/// Detached and mapped.
#[derive(Debug)]
struct Layers {
    lower: Vec<OwnedFd>,
    /// Layers that somebody else holds, unmapped.
    held: Vec<OwnedFd>,
    /// Upper and work lie on one mount, as overlayfs wants it: what they have in common above them, and their descriptors.
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    tree: OwnedFd,
    place: PathBuf,
    upper: OwnedFd,
    work: OwnedFd,
}

impl Layers {
    fn open(overlay: &Overlay, userns: BorrowedFd<'_>) -> io::Result<Self> {
        let held = overlay.held()?;
        let mut next = held.iter();
        let clone = |layer: &Lower| {
            let held = if matches!(layer, Lower::Held(_)) { next.next() } else { None };
            clone_tree(&layer.path(held), false, userns)
        };
        let lower = overlay.lower.iter().map(clone).collect::<io::Result<_>>()?;
        let own = match (&overlay.upper, &overlay.work) {
            (Some(upper), Some(work)) => Some(Own::open(upper, work, userns)?),
            _ => None,
        };
        Ok(Self { lower, held, own })
    }

    fn mount_by_descriptor(&self, overlay: &Overlay) -> io::Result<OwnedFd> {
        let fs = overlay.configure()?;
        for layer in &self.lower {
            fs.fd("lowerdir+", layer)?;
        }
        if let Some(own) = &self.own {
            fs.fd("upperdir", &own.upper)?;
            fs.fd("workdir", &own.work)?;
        }
        fs.mount(0)
    }

    /// The mapped clones are attached over the very directories in a mount namespace that a thread has for itself.
    fn mount_in_own_namespace(&self, overlay: &Overlay) -> io::Result<OwnedFd> {
        let work = || {
            crate::process::unshare(libc::CLONE_NEWNS as u64)?;
            mount::propagate_root(true, Propagation::Private)?;
            for (layer, place) in self.lower.iter().zip(&overlay.lower) {
                mount::attach(layer, mount::open_path(place.place())?)?;
            }
            if let Some(own) = &self.own {
                mount::attach(&own.tree, mount::open_path(&own.place)?)?;
            }
            overlay.mount_detached()
        };
        crate::clone::in_thread(work)
    }
}

impl Own {
    fn open(upper: &Path, work: &Path, userns: BorrowedFd<'_>) -> io::Result<Self> {
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        let place = upper.parent().filter(|parent| work.starts_with(parent)).ok_or_else(invalid)?;
        let tree = clone_tree(place, false, userns)?;
        let below = |path: &Path| {
            let name = path.strip_prefix(place).map_err(|_| invalid())?;
            Ok::<_, io::Error>(openat(&tree, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
        };
        let (upper, work) = (below(upper)?, below(work)?);
        Ok(Self { place: place.to_owned(), upper, work, tree })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{AtFlags, statat};
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;
    use std::process::{Child, Command, Stdio};

    /// A process in a user namespace in which root is 100000.
    struct Holder(Child);

    impl Holder {
        fn new() -> Self {
            let mut child =
                Command::new("unshare").args(["-U", "sh", "-c", "echo; cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut byte = [0];
            io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut byte).unwrap();
            for name in ["uid_map", "gid_map"] {
                let path = format!("/proc/{}/{name}", child.id());
                std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all(b"0 100000 1000\n").unwrap();
            }
            Self(child)
        }

        fn namespace(&self) -> OwnedFd {
            std::fs::File::open(format!("/proc/{}/ns/user", self.0.id())).unwrap().into()
        }
    }

    impl Drop for Holder {
        fn drop(&mut self) {
            let _ended = self.0.kill().and_then(|()| self.0.wait());
        }
    }

    fn overlay_in(dir: &Path, layers: usize) -> Overlay {
        let place = |name: String| {
            let path = dir.join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let lower: Vec<_> = (0..layers).map(|n| Lower::Dir(place(format!("lower{n}")))).collect();
        std::fs::write(lower[0].place().join("old"), "x").unwrap();
        Overlay { lower, upper: Some(place("own/upper".into())), work: Some(place("own/work".into())), volatile: false }
    }

    fn check(mount: impl FnOnce(&Overlay, BorrowedFd<'_>) -> io::Result<OwnedFd>) {
        let dir = tempfile::tempdir().unwrap();
        let holder = Holder::new();
        let overlay = overlay_in(dir.path(), 3);
        let root = mount(&overlay, holder.namespace().as_fd()).unwrap();
        assert_eq!(statat(&root, "old", AtFlags::empty()).unwrap().st_uid, 100_000);
        let make = || {
            openat(&root, "new", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644))?;
            openat(&root, "old", OFlags::WRONLY, Mode::empty())?;
            Ok(())
        };
        crate::process::as_file_owner(100_005, 100_006, make).unwrap();
        let on_disk = |name: &str| {
            let meta = overlay.upper.as_ref().unwrap().join(name).metadata().unwrap();
            (meta.uid(), meta.gid())
        };
        assert_eq!((on_disk("new"), on_disk("old")), ((5, 6), (0, 0)));
        // Who has no name in the mapping makes nothing.
        assert!(openat(&root, "by-nobody", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644)).is_err());
    }

    #[test]
    fn layers_show_their_owners_mapped_and_keep_them_on_the_disk() {
        check(|layers, userns| Ok(overlay(layers, userns, (100_000, 100_000))?.0));
    }

    #[test]
    fn a_plain_directory_is_mapped_too() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("old"), "x").unwrap();
        let holder = Holder::new();
        let (root, held) = overlay(&Overlay::plain(dir.path().to_owned()), holder.namespace().as_fd(), (100_000, 100_000)).unwrap();
        assert_eq!((statat(&root, "old", AtFlags::empty()).unwrap().st_uid, held.len()), (100_000, 0));
        let make = || Ok(openat(&root, "new", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644)).map(drop)?);
        crate::process::as_file_owner(100_005, 100_006, make).unwrap();
        assert_eq!(dir.path().join("new").metadata().unwrap().uid(), 5);
    }

    #[test]
    fn as_on_older_kernels() {
        check(|layers, userns| {
            let mapped = Layers::open(layers, userns)?;
            crate::process::as_file_owner(100_000, 100_000, || mapped.mount_in_own_namespace(layers))
        });
    }

    #[test]
    fn an_upper_layer_out_of_reach_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let holder = Holder::new();
        let error = overlay(&overlay_in(dir.path(), 1), holder.namespace().as_fd(), (5, 5)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ReadOnlyFilesystem, "{error}");
    }

    #[test]
    fn a_filesystem_that_cannot_be_mapped_is_named() {
        let holder = Holder::new();
        let proc = Overlay { lower: vec![PathBuf::from("/proc").into()], upper: None, work: None, volatile: false };
        let text = overlay(&proc, holder.namespace().as_fd(), (100_000, 100_000)).unwrap_err().to_string();
        assert!(text.contains("no mounts with mapped owners"), "{text}");
    }
}
