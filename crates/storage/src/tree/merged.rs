//! A stack of layer directories seen as overlay shows it, without mounting it.

use super::{is_dir, open_dir, stat_opt};
use dhow_archive::tree::marks::Marks;
use rustix::fs::Stat;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The directories that make up one merged directory, topmost first. None of them: an empty directory.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    dirs: Vec<(OwnedFd, Marks)>,
}

/// What a name is in a merged directory.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A directory; its attributes are those of the topmost one.
    Dir(Merged, Stat),
    /// Anything else, by the directory that holds it.
    Other(BorrowedFd<'a>, Stat),
}

impl Found<'_> {
    /// Its metadata.
    pub(crate) fn stat(&self) -> &Stat {
        match self {
            Self::Dir(_, stat) | Self::Other(_, stat) => stat,
        }
    }
}

impl Merged {
    /// Over the root directories of layers, topmost first.
    pub(crate) fn new(dirs: Vec<(OwnedFd, Marks)>) -> Self {
        Self { dirs }
    }

    /// The topmost of the directories.
    pub(crate) fn top(&self) -> Option<BorrowedFd<'_>> {
        self.dirs.first().map(|(dir, _)| dir.as_fd())
    }

    /// Looks one name up.
    pub(crate) fn child(&self, name: &[u8]) -> rustix::io::Result<Option<Found<'_>>> {
        let mut dirs = Vec::new();
        let mut top = None;
        for (dir, marks) in &self.dirs {
            let Some(stat) = stat_opt(dir, name)? else {
                continue;
            };
            if marks.is_own(name) {
                continue;
            }
            if marks.is_removal(&stat) {
                break;
            }
            if !is_dir(&stat) {
                if top.is_none() {
                    return Ok(Some(Found::Other(dir.as_fd(), stat)));
                }
                break;
            }
            let fd = open_dir(dir, name)?;
            let opaque = marks.hides(&fd)?;
            top.get_or_insert(stat);
            dirs.push((fd, *marks));
            if opaque {
                break;
            }
        }
        Ok(top.map(|stat| Found::Dir(Self { dirs }, stat)))
    }

    /// The directory at the end of `path`; `None` if a component is missing or no directory.
    pub(crate) fn dir(&self, path: &[Vec<u8>]) -> rustix::io::Result<Option<Self>> {
        let mut at = Self {
            dirs: self
                .dirs
                .iter()
                .map(|(dir, marks)| Ok((dir.try_clone()?, *marks)))
                .collect::<Result<_, _>>()
                .map_err(|e: std::io::Error| rustix::io::Errno::from_io_error(&e).unwrap_or(rustix::io::Errno::MFILE))?,
        };
        for name in path {
            at = match at.child(name)? {
                Some(Found::Dir(next, _)) => next,
                _ => return Ok(None),
            };
        }
        Ok(Some(at))
    }

    /// Every name that some layer has, sorted, also removed ones.
    pub(crate) fn candidates(&self) -> rustix::io::Result<BTreeSet<Vec<u8>>> {
        let mut all = BTreeSet::new();
        for (dir, marks) in &self.dirs {
            all.extend(marks.names(dir)?);
        }
        Ok(all)
    }

    /// Every name, sorted.
    pub(crate) fn names(&self) -> rustix::io::Result<Vec<Vec<u8>>> {
        let mut present = Vec::new();
        for name in self.candidates()? {
            if self.child(&name)?.is_some() {
                present.push(name);
            }
        }
        Ok(present)
    }
}
