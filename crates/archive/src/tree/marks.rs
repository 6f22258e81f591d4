//! How the directory of a layer says that a name below it is removed, and that a directory hides what is below.

use super::{is_whiteout, kind, make_whiteout, names, stat_opt, xattr};
use rustix::fs::{self, FileType, Mode, Stat};
use std::os::fd::AsFd;

/// The kind of marks in a layer's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Marks {
    /// As overlayfs reads them: a device 0:0 in the place of a name, an attribute of a directory.
    #[default]
    Overlay,
    /// For filesystems that take no such device or no such attribute (an overlayfs itself, NFS): a socket in the place of a name, and one
    /// named [`HIDES`] in a directory. No archive can hold a socket, so a layer never has one of its own.
    Plain,
}

/// Name of a socket in a directory that hides what is below it.
pub const HIDES: &[u8] = b".wh..wh..opq";

impl Marks {
    /// What is found in the place of a name says that it is removed.
    #[must_use]
    pub fn is_removal(self, stat: &Stat) -> bool {
        is_whiteout(stat) || (self == Self::Plain && kind(stat) == FileType::Socket)
    }

    /// A directory hides what is below it.
    pub fn hides(self, dir: impl AsFd) -> rustix::io::Result<bool> {
        match self {
            Self::Overlay => xattr::is_opaque(dir),
            Self::Plain => Ok(stat_opt(dir, HIDES)?.is_some_and(|stat| kind(&stat) == FileType::Socket)),
        }
    }

    /// A name that is a mark of its directory and nothing else.
    #[must_use]
    pub fn is_own(self, name: &[u8]) -> bool {
        self == Self::Plain && name == HIDES
    }

    /// Names in a directory, sorted, removed ones too.
    pub fn names(self, dir: impl AsFd) -> rustix::io::Result<Vec<Vec<u8>>> {
        let mut names = names(dir)?;
        if self == Self::Plain {
            names.retain(|name| !self.is_own(name));
        }
        Ok(names)
    }

    /// Marks a name as removed.
    pub fn remove(self, dir: impl AsFd, name: &[u8]) -> rustix::io::Result<()> {
        match self {
            Self::Overlay => make_whiteout(dir, name),
            Self::Plain => socket(dir, name),
        }
    }

    /// Makes a directory hide what is below it.
    pub fn hide(self, dir: impl AsFd) -> rustix::io::Result<()> {
        match self {
            Self::Overlay => xattr::set_opaque(dir),
            Self::Plain => socket(dir, HIDES),
        }
    }
}

fn socket(dir: impl AsFd, name: &[u8]) -> rustix::io::Result<()> {
    fs::mknodat(dir, name, FileType::Socket, Mode::empty(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{open_dir, stat};

    #[test]
    fn both_kinds_say_the_same() {
        for marks in [Marks::Overlay, Marks::Plain] {
            let place = tempfile::tempdir().unwrap();
            std::fs::create_dir(place.path().join("d")).unwrap();
            let dir = std::fs::File::open(place.path()).unwrap();
            let inner = open_dir(&dir, b"d").unwrap();
            assert!(!marks.hides(&inner).unwrap());
            marks.hide(&inner).unwrap();
            marks.remove(&inner, b"gone").unwrap();
            assert!(marks.hides(&inner).unwrap());
            assert_eq!(marks.names(&inner).unwrap(), [b"gone".to_vec()], "{marks:?}");
            assert!(marks.is_removal(&stat(&inner, b"gone").unwrap()));
            assert!(!marks.is_removal(&stat(&dir, b"d").unwrap()));
        }
    }

    #[test]
    fn a_socket_is_no_mark_of_overlays() {
        let place = tempfile::tempdir().unwrap();
        let dir = std::fs::File::open(place.path()).unwrap();
        socket(&dir, b"s").unwrap();
        assert!(!Marks::Overlay.is_removal(&stat(&dir, b"s").unwrap()));
    }
}
