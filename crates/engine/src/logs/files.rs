//! The files of a log: `PATH`, and rotated ones `PATH.1` (newest) to `PATH.N` (oldest), each perhaps compressed (`PATH.1.gz`).

use dhow_shim::packed::Origin;
use flate2::read::MultiGzDecoder;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Most rotated files looked for.
const FILES: u32 = 1000;

/// One file, open.
#[derive(Debug)]
pub(super) enum LogFile {
    /// As it was written; it may grow.
    Plain(File),
    /// Compressed after its rotation; it is read from its beginning.
    Compressed(File),
}

impl LogFile {
    fn open(path: &Path) -> Option<Self> {
        if let Ok(file) = File::open(path) {
            return Some(Self::Plain(file));
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".gz");
        File::open(PathBuf::from(name)).ok().map(Self::Compressed)
    }

    pub(super) fn file(&self) -> &File {
        match self {
            Self::Plain(file) | Self::Compressed(file) => file,
        }
    }

    /// Whether the two are one file: under another name, or compressed since. Both are open, so an inode is not another's by now.
    fn is(&self, other: &Self) -> std::io::Result<bool> {
        match (self, other) {
            (Self::Plain(plain), Self::Compressed(packed)) | (Self::Compressed(packed), Self::Plain(plain)) => {
                let mut head = [0; dhow_shim::packed::HEAD];
                let length = packed.read_at(&mut head, 0)?;
                let was = Origin::read(head.get(..length).unwrap_or_default());
                Ok(was == Some(Origin::of(&plain.metadata()?)))
            }
            (Self::Plain(a), Self::Plain(b)) | (Self::Compressed(a), Self::Compressed(b)) => Ok(a.metadata()?.ino() == b.metadata()?.ino()),
        }
    }

    /// A reader from a place on; of a compressed file places are counted as if it were not.
    pub(super) fn reader(self, position: u64) -> std::io::Result<Reader> {
        match self {
            Self::Plain(file) => Ok(Reader::Plain { file, position }),
            Self::Compressed(file) => {
                let mut decoder = Box::new(MultiGzDecoder::new(file));
                std::io::copy(&mut (&mut decoder).take(position), &mut std::io::sink())?;
                Ok(Reader::Compressed(decoder))
            }
        }
    }
}

/// A file and how far it is read.
#[derive(Debug)]
pub(super) enum Reader {
    Plain { file: File, position: u64 },
    Compressed(Box<MultiGzDecoder<File>>),
}

impl Reader {
    /// Reads on; nothing at the end of the file as it is now.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain { file, position } => {
                let read = read_at(file, buffer, *position)?;
                *position += read as u64;
                Ok(read)
            }
            Self::Compressed(decoder) => decoder.read(buffer),
        }
    }

    /// Goes back to the beginning of a file that became shorter. True where it did.
    pub(super) fn rewind_if_cut(&mut self) -> std::io::Result<bool> {
        let Self::Plain { file, position } = self else { return Ok(false) };
        let cut = file.metadata()?.len() < *position;
        if cut {
            *position = 0;
        }
        Ok(cut)
    }

    /// The file, open a second time.
    pub(super) fn file(&self) -> std::io::Result<LogFile> {
        match self {
            Self::Plain { file, .. } => Ok(LogFile::Plain(file.try_clone()?)),
            Self::Compressed(decoder) => Ok(LogFile::Compressed(decoder.get_ref().try_clone()?)),
        }
    }

    /// Whether it reads this file.
    pub(super) fn reads(&self, found: &Metadata) -> std::io::Result<bool> {
        let Self::Plain { file, .. } = self else { return Ok(false) };
        Ok(file.metadata()?.ino() == found.ino())
    }
}

/// Reads from a place in a file. Every byte of an uncompressed log comes through here or through [`read_exact_at`]; tests count them.
pub(super) fn read_at(file: &File, buffer: &mut [u8], position: u64) -> std::io::Result<usize> {
    let read = file.read_at(buffer, position)?;
    #[cfg(test)]
    READ.with(|total| total.set(total.get() + read as u64));
    Ok(read)
}

/// Fills the buffer from a place in a file.
pub(super) fn read_exact_at(file: &File, buffer: &mut [u8], position: u64) -> std::io::Result<()> {
    file.read_exact_at(buffer, position)?;
    #[cfg(test)]
    READ.with(|total| total.set(total.get() + buffer.len() as u64));
    Ok(())
}

#[cfg(test)]
thread_local! {
    /// Bytes read by this thread.
    pub(super) static READ: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// `PATH.n`.
pub(super) fn rotated(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    PathBuf::from(name)
}

/// The files of a log, newest first.
fn newest_first(path: &Path) -> impl Iterator<Item = LogFile> + '_ {
    (0..FILES).map_while(move |n| if n == 0 { File::open(path).ok().map(LogFile::Plain) } else { LogFile::open(&rotated(path, n)) })
}

/// All files of a log, oldest first. One that is rotated away meanwhile is read under its new name or is passed over, never twice.
pub(super) fn open_all(path: &Path) -> Vec<LogFile> {
    let mut found: Vec<LogFile> = Vec::new();
    for file in newest_first(path) {
        let known = found.iter().map(|seen| seen.is(&file)).find(|same| !matches!(same, Ok(false)));
        match known {
            None => found.push(file),
            Some(Ok(_)) => {}
            Some(Err(_)) => break,
        }
    }
    found.reverse();
    found
}

/// The files that came after the one that is read, oldest first; with none only the newest.
pub(super) fn newer(path: &Path, current: Option<&LogFile>) -> std::io::Result<Vec<LogFile>> {
    let mut found = Vec::new();
    for file in newest_first(path) {
        // Nothing was read yet: only the newest file is of interest.
        let Some(current) = current else { return Ok(vec![file]) };
        if current.is(&file)? {
            break;
        }
        found.push(file);
    }
    found.reverse();
    Ok(found)
}
