//! The forms of a layer on disk.
//!
//! - [`Form::Index`] (`tar+erofs`): the tar as it came (`layer.tar`), and an EROFS index of it (`index.erofs`) that the kernel mounts with the
//!   tar as its device. What no block of the tar can be, the data of sparse files and of files taken over from below, lies in `side.data`.
//! - [`Form::Directory`] (`dir`): a directory (`fs`) as overlayfs wants it.
//! - [`Form::Plain`] (`dir` to people): a directory with other marks, for filesystems that cannot hold overlayfs's. No overlay is mounted of it.
//!
//! A layer that an index cannot describe becomes a directory, whatever is asked for.

pub(crate) mod directory;
pub(crate) mod index;
pub(crate) mod mounts;
pub(crate) mod probe;
mod sparse;

use dhow_archive::tree::marks::Marks;
use serde::{Deserialize, Serialize};

/// How a layer is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Form {
    /// Unpacked.
    #[default]
    #[serde(rename = "dir")]
    Directory,
    /// Unpacked, with marks that every filesystem can hold.
    #[serde(rename = "plain")]
    Plain,
    /// Its tar, with an index.
    #[serde(rename = "tar+erofs")]
    Index,
}

impl Form {
    /// Its name, as in options and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Directory | Self::Plain => "dir",
            Self::Index => "tar+erofs",
        }
    }

    /// How its tree marks what is removed. An index has overlayfs's, as the kernel shows them.
    pub(crate) fn marks(self) -> Marks {
        match self {
            Self::Directory | Self::Index => Marks::Overlay,
            Self::Plain => Marks::Plain,
        }
    }
}

impl std::str::FromStr for Form {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "dir" => Ok(Self::Directory),
            "tar+erofs" => Ok(Self::Index),
            other => Err(crate::Error::Invalid { what: "form of layers", value: other.to_owned() }),
        }
    }
}
