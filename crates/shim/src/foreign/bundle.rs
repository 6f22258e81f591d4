//! The bundle: the specification as a file, and the root filesystem where only the runtime finds it.

use dhow_sys::clone::{Forked, fork};
use dhow_sys::mount::{self, Propagation};
use dhow_sys::{fdpass, process};
use nix::libc;
use oci_spec::runtime::Spec;
use rustix::fs::{FileType, Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What older runtimes, which refuse every other, take for the specification's version. Nothing newer has another meaning.
const VERSION: &str = "1.0.2";

/// Makes the directory with `config.json` and an empty `rootfs`.
pub(crate) fn write(bundle: &Path, spec: &Spec) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(bundle.join("rootfs"))?;
    let mut spec = spec.clone();
    spec.set_version(VERSION.to_owned());
    crate::document::write(bundle, "config.json", &spec)?;
    Ok(())
}

/// Makes a place in the bundle for each bind that is made already, and writes the specification anew with those as sources.
pub(crate) fn places<'t>(bundle: &Path, spec: &Spec, trees: &'t [(PathBuf, OwnedFd)]) -> io::Result<Vec<(PathBuf, &'t OwnedFd)>> {
    if trees.is_empty() {
        return Ok(Vec::new());
    }
    let dir = bundle.join("volumes");
    std::fs::DirBuilder::new().mode(0o700).create(&dir)?;
    let mut spec = spec.clone();
    let mut all = Vec::new();
    for (number, (target, tree)) in trees.iter().enumerate() {
        let place = dir.join(number.to_string());
        match FileType::from_raw_mode(rustix::fs::fstat(tree)?.st_mode) {
            FileType::Directory => std::fs::create_dir(&place)?,
            _ => drop(std::fs::File::create(&place)?),
        }
        let mounts = spec.mounts_mut().iter_mut().flatten();
        for mount in mounts.filter(|mount| mount.destination() == target) {
            mount.set_source(Some(place.clone()));
        }
        all.push((place, tree));
    }
    write(bundle, &spec)?;
    Ok(all)
}

/// Mounts a detached root filesystem on `target` and others on places of theirs in a new mount namespace, and returns that. On the host
/// nothing changes, and the mounts last as long as somebody holds the namespace.
pub(crate) fn mount(root: &OwnedFd, target: &Path, others: &[(PathBuf, &OwnedFd)]) -> io::Result<OwnedFd> {
    let target = target.canonicalize()?;
    let (ours, theirs) = fdpass::pair()?;
    let Forked::Parent { pidfd, .. } = fork()? else {
        drop(ours);
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| in_child(root, &target, others)));
        let made = made.unwrap_or_else(|_| Err(io::Error::other("panicked")));
        // Where nothing can be said the parent sees the end of the stream.
        let _ = match made {
            Ok(namespace) => fdpass::send(&theirs, b"", &[namespace.as_fd()]),
            Err(error) => fdpass::send(&theirs, error.to_string().as_bytes(), &[]),
        };
        process::exit_now(0);
    };
    drop(theirs);
    let heard = fdpass::recv(&ours);
    process::wait(&pidfd)?;
    match heard? {
        Some((text, fds)) => fds.into_iter().next().ok_or_else(|| io::Error::other(String::from_utf8_lossy(&text).into_owned())),
        None => Err(io::Error::other("the process that mounts it ended without a word")),
    }
}

fn in_child(root: &OwnedFd, target: &Path, others: &[(PathBuf, &OwnedFd)]) -> io::Result<OwnedFd> {
    process::unshare(libc::CLONE_NEWNS as u64)?;
    // Only the mount that will carry the root stops telling the host: what a container binds may still be shared with it.
    mount::set_attr_attached(holder(target)?, false, 0, 0, Some(Propagation::Slave))?;
    mount::attach(root, mount::open_path(target)?)?;
    for (place, tree) in others {
        mount::attach(tree, mount::open_path(place)?)?;
    }
    Ok(rustix::fs::open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// The root of the mount that `path` (without links) is on.
fn holder(path: &Path) -> io::Result<OwnedFd> {
    let mut found = mount::open_path(path)?;
    let id = mount::mount_id(&found)?;
    for above in path.ancestors().skip(1) {
        let next = mount::open_path(above)?;
        if mount::mount_id(&next)? != id {
            break;
        }
        found = next;
    }
    Ok(found)
}
