//! Masked and read-only paths. What covers a path is known by descriptor, and afterwards the path is opened again and must
//! lie on that very mount (class 4: /dev/null replaced by a link).

use crate::error::{At, Failure, Kind, Result, Step};
use crate::path::{self, Links};
use dhow_sys::mount::{self, Filesystem, Made, Propagation};
use rustix::fs::{FileType, fstat};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Something to cover paths with, which can be attached any number of times: first itself, then clones of it (a detached mount
/// cannot be cloned before Linux 6.15, an attached one can).
#[derive(Debug)]
pub(crate) struct Cover {
    mount: OwnedFd,
    attached: bool,
}

impl Cover {
    /// Attaches one more and returns its mount's id.
    fn attach(&mut self, place: &OwnedFd) -> io::Result<u64> {
        if self.attached {
            let next = mount::clone_tree(&self.mount, Path::new(""), false)?;
            mount::attach(&next, place)?;
            return mount::mount_id(&next);
        }
        mount::attach(&self.mount, place)?;
        self.attached = true;
        mount::mount_id(&self.mount)
    }

    /// The null device, for files: the container's own `/dev/null` if it is one, else the host's. To be called before the
    /// host's root is left.
    pub(crate) fn null(root: BorrowedFd<'_>) -> Result<Self> {
        let name = Path::new("/dev/null");
        let good = |fd: &OwnedFd| path::is_device(fd, FileType::CharacterDevice, 1, 3).unwrap_or(false);
        if let Ok(own) = path::place(root, name, Links::Refuse)
            && good(&own)
        {
            return Ok(Self { mount: own, attached: true });
        }
        let host = mount::open_path(name).at_path(Step::Mask, name)?;
        if !good(&host) {
            return Err(Failure::new(Step::Mask, "/dev/null", Kind::Invalid, "is not the null device"));
        }
        let mount = mount::clone_tree(&host, Path::new(""), false).at_path(Step::Mask, name)?;
        Ok(Self { mount, attached: false })
    }

    /// An empty directory that stays so.
    fn empty_dir(blank: Option<Blank>) -> io::Result<Self> {
        let Blank(made) = blank.map_or_else(Blank::new, Ok)?;
        let mount = made.mount(mount::RDONLY | mount::NOSUID | mount::NODEV | mount::NOEXEC)?;
        Ok(Self { mount, attached: false })
    }
}

/// The filesystem of an empty directory, not mounted yet. Making it takes longer than covering all paths with it.
#[derive(Debug)]
pub(crate) struct Blank(Made);

impl Blank {
    fn new() -> io::Result<Self> {
        let fs = Filesystem::open("tmpfs")?;
        for (key, value) in [("source", "tmpfs"), ("size", "4k"), ("nr_inodes", "1"), ("mode", "555")] {
            fs.string(key, value)?;
        }
        let words = fs.words()?;
        fs.make().map(Self).map_err(|e| words.explain(e))
    }

    /// Made ahead, where paths are to be covered: most likely one of them is a directory. Where it cannot be made that is told when it is
    /// needed.
    pub(crate) fn prepare(paths: &[PathBuf]) -> Option<Self> {
        paths.first().and_then(|_| Self::new().ok())
    }
}

/// Covers every path that exists: files with the null device, directories with an empty read-only tmpfs.
pub(crate) fn mask(root: BorrowedFd<'_>, paths: &[PathBuf], mut null: Cover, mut blank: Option<Blank>) -> Result<()> {
    let mut empty: Option<Cover> = None;
    for name in paths {
        let Some(place) = existing(root, name)? else { continue };
        let stat = fstat(&place).at_path(Step::Mask, name)?;
        let id = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let cover = match &mut empty {
                Some(cover) => cover,
                None => empty.insert(Cover::empty_dir(blank.take()).at_path(Step::Mask, name)?),
            };
            cover.attach(&place)
        } else {
            null.attach(&place)
        };
        verify(root, name, id.at_path(Step::Mask, name)?)?;
    }
    Ok(())
}

/// Makes every path that exists read-only, with all below it.
pub(crate) fn readonly(root: BorrowedFd<'_>, paths: &[PathBuf]) -> Result<()> {
    for name in paths {
        let Some(place) = existing(root, name)? else { continue };
        let tree = mount::clone_tree(&place, Path::new(""), true).at_path(Step::Mask, name)?;
        mount::attach(&tree, &place).at_path(Step::Mask, name)?;
        mount::set_attr_attached(&tree, true, mount::RDONLY, 0, Some(Propagation::Private)).at_path(Step::Mask, name)?;
        verify(root, name, mount::mount_id(&tree).at_path(Step::Mask, name)?)?;
    }
    Ok(())
}

/// `None` for what this kernel does not have.
fn existing(root: BorrowedFd<'_>, name: &Path) -> Result<Option<OwnedFd>> {
    match path::place(root, name, Links::Follow) {
        Ok(place) => Ok(Some(place)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(Failure::io(Step::Mask, name.to_string_lossy(), e)),
    }
}

fn verify(root: BorrowedFd<'_>, name: &Path, cover: u64) -> Result<()> {
    let seen = path::place(root, name, Links::Follow).at_path(Step::Mask, name)?;
    if mount::mount_id(seen.as_fd()).at_path(Step::Mask, name)? == cover {
        return Ok(());
    }
    Err(Failure::new(Step::Mask, name.to_string_lossy(), Kind::Invalid, "is not covered after mounting"))
}
