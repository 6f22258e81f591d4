//! Whether layers can be mounted out of files here, whether containers' own directories can lie over them, and how a directory can say that a
//! name is removed: kernels and disks are asked, not their names.

use super::index::{self, INDEX, TAR};
use super::mounts;
use crate::store::{Limits, Result};
use crate::tarball::{Kind, Member, Writer};
use crate::tree::{Context, open_dir};
use dhow_archive::tree::marks::Marks;
use dhow_sys::overlay::{Held, Lower, Overlay};
use rustix::fs::{self, Mode, OFlags};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

/// What the tiny layer's file holds: more than a page, and it begins where a block of the tar does but no page.
const CONTENT: [u8; 5000] = [0x5a; 5000];

/// Makes a tiny layer in an empty directory, mounts it, puts an overlay over it and reads from it. The error says why there can be none.
pub(crate) fn works(dir: &OwnedFd, path: &Path) -> Result<()> {
    let mut tar = Vec::new();
    let mut writer = Writer::new(&mut tar);
    let mut member = Member::new(Kind::Regular, b"f", 0o644);
    member.size = CONTENT.len() as u64;
    writer.header(&member).and_then(|()| writer.content(&CONTENT)).and_then(|()| writer.finish()).on("write", b"probe")?;
    let file = index::make(dir, TAR)?;
    let mut stream = &tar[..];
    let mut places = index::Places::new(dir.try_clone().on("open", b"probe")?);
    let (layer, _, length) = index::read(&mut stream, &file, Limits::default(), &mut places)?;
    index::write(&layer, length, None, &[1; 16], dir)?;
    // Not synced, as with a layer: what is read past the cache must be what was written all the same.
    let mount = mounts::attach(dir).on("mount", INDEX.as_bytes())?;
    read_through(&mount, path).on("read through", INDEX.as_bytes())
}

fn read_through(mount: &OwnedFd, path: &Path) -> io::Result<()> {
    let upper = path.join("upper");
    std::fs::create_dir(&upper)?;
    let lower = vec![Lower::Held(Held::new(mount, path.to_owned())?)];
    let overlay = Overlay { lower, upper: Some(upper), work: Some(path.join("work")), volatile: true };
    std::fs::create_dir(path.join("work"))?;
    let root = overlay.mount_detached()?;
    let mut read = Vec::new();
    let file = fs::openat(&root, "f", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    std::fs::File::from(file).read_to_end(&mut read)?;
    if read != CONTENT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "other bytes than were written"));
    }
    Ok(())
}

/// Lays a writable overlay over a directory in the empty directory at `path`, and removes a name through it. The error says why it cannot.
pub(crate) fn carries_upper(path: &Path) -> io::Result<()> {
    let made = |name: &str| std::fs::create_dir(path.join(name)).map(|()| path.join(name));
    let (lower, upper, work) = (made("lower")?, made("upper")?, made("work")?);
    std::fs::write(lower.join("f"), "")?;
    let overlay = Overlay { lower: vec![lower.into()], upper: Some(upper), work: Some(work), volatile: true };
    let root = overlay.mount_detached()?;
    // Where it cannot work in the upper directory the kernel mounts it read-only.
    Ok(fs::unlinkat(&root, "f", fs::AtFlags::empty())?)
}

/// The marks that this filesystem can hold, tried in the empty directory `dir`.
pub(crate) fn marks(dir: &OwnedFd) -> Marks {
    let tried = fs::mkdirat(dir, "marks", Mode::RWXU).and_then(|()| {
        let inner = open_dir(dir, b"marks")?;
        Marks::Overlay.remove(&inner, b"gone")?;
        Marks::Overlay.hide(&inner)?;
        Marks::Overlay.hides(&inner)
    });
    if tried == Ok(true) { Marks::Overlay } else { Marks::Plain }
}
