//! Content on its way in, under the digest that it must have. What came is kept when a transfer breaks off, so that the next one goes on
//! there, also after a restart; nobody reads it before it was checked.

use crate::blobs::{Blobs, link};
use crate::error::{Error, Result, io};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What nobody went on with for so long is removed when the store is opened.
const KEPT: Duration = Duration::from_secs(7 * 86_400);
const BUFFER: usize = 128 * 1024;

/// Content being received. One at a time for each digest: another one waits.
#[derive(Debug)]
pub struct Ingest {
    path: PathBuf,
    target: PathBuf,
    digest: String,
    size: u64,
    at: u64,
    hash: Sha256,
    file: File,
}

/// Content that came whole and is what its digest says. It is not part of the store yet.
#[derive(Debug)]
pub struct Arrived {
    path: PathBuf,
    target: PathBuf,
    digest: String,
    size: u64,
}

impl Blobs {
    /// Makes the directory where missing and removes what is too old.
    pub(crate) fn sweep_ingests(directory: &Path) -> Result<()> {
        let failed = |error| io("list", directory.display())(error);
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let at = entry.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            if SystemTime::now().duration_since(at).is_ok_and(|age| age > KEPT) {
                fs::remove_file(entry.path()).map_err(io("remove", entry.path().display()))?;
            }
        }
        Ok(())
    }
}

impl Ingest {
    /// Begins, or goes on where an earlier one ended. Blocks while another one of the same digest is at work.
    pub(crate) fn open(path: PathBuf, target: PathBuf, digest: &str, size: u64) -> Result<Self> {
        let mut file = locked(&path)?;
        let mut hash = Sha256::new();
        let mut at = 0;
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = file.read(&mut buffer).map_err(io("read", path.display()))?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
            at += count as u64;
        }
        let mut this = Self { path, target, digest: digest.to_owned(), size, at, hash, file };
        if this.at > size {
            this.restart()?;
        }
        Ok(this)
    }

    /// Bytes that are here.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Takes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.at + bytes.len() as u64 > self.size {
            return Err(Error::Archive(format!("{} has more than {} bytes", self.digest, self.size)));
        }
        self.file.write_all(bytes).map_err(io("write", self.path.display()))?;
        self.hash.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// All of it came: it is checked. What is not what it should be is removed, and answered with `None`.
    pub fn finish(self) -> Result<Option<Arrived>> {
        let actual = format!("sha256:{}", hex::encode(self.hash.finalize()));
        if actual != self.digest || self.at != self.size {
            tracing::warn!(wanted = self.digest, actual, bytes = self.at, "content that came is not what it should be");
            fs::remove_file(&self.path).map_err(io("remove", self.path.display()))?;
            return Ok(None);
        }
        Ok(Some(Arrived { path: self.path, target: self.target, digest: self.digest, size: self.size }))
    }

    fn restart(&mut self) -> Result<()> {
        let failed = |error| io("empty", self.path.display())(error);
        self.file.set_len(0).map_err(failed)?;
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        self.hash = Sha256::new();
        self.at = 0;
        Ok(())
    }
}

/// The file, held by us alone. Who waited may find that it was moved away meanwhile: then there is a new one.
fn locked(path: &Path) -> Result<File> {
    loop {
        let mut options = File::options();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io("make", path.display()))?;
        file.lock().map_err(io("lock", path.display()))?;
        let own = file.metadata().map_err(io("stat", path.display()))?;
        match fs::metadata(path) {
            Ok(named) if (named.dev(), named.ino()) == (own.dev(), own.ino()) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io("stat", path.display())(error)),
        }
    }
}

impl Arrived {
    /// Content that is in the store already.
    pub(crate) fn stored(target: PathBuf, digest: &str, size: u64) -> Self {
        Self { path: target.clone(), target, digest: digest.to_owned(), size }
    }

    /// `sha256:…`.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Opens it, where it came or where another image has put it.
    pub(crate) fn open(&self) -> Result<File> {
        match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => File::open(&self.target).map_err(io("open", self.target.display())),
            other => other.map_err(io("open", self.path.display())),
        }
    }

    /// Another file has the same bytes: it takes this one's place, and this one's disk space is given back.
    pub(crate) fn replace(&self, same: &OwnedFd) -> Result<()> {
        if self.path == self.target {
            // Under its digest it is shared with others; it was one file with a layer before, or it stays as it is.
            return Ok(());
        }
        let beside = self.path.with_extension("same");
        match fs::remove_file(&beside) {
            // Of one that was killed.
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io("remove", beside.display())(error)),
            _ => {}
        }
        link(same, &beside)?;
        fs::rename(&beside, &self.path).map_err(io("rename to", self.path.display()))
    }

    /// Puts it under its digest. Somebody else may have done so.
    pub(crate) fn keep(&self) -> Result<()> {
        if self.path == self.target {
            return Ok(());
        }
        let moved = if self.target.exists() { fs::remove_file(&self.path) } else { fs::rename(&self.path, &self.target) };
        match moved {
            Err(error) if error.kind() == ErrorKind::NotFound && self.target.exists() => Ok(()),
            other => other.map_err(io("rename to", self.target.display())),
        }
    }

    /// Its content cannot be used: it is not worth keeping for a next time.
    pub(crate) fn discard(&self) {
        if self.path != self.target
            && let Err(error) = fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "a received file stays for now");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> String {
        format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
    }

    fn open(dir: &Path, wanted: &str, size: u64) -> Ingest {
        Ingest::open(dir.join("in"), dir.join("kept"), wanted, size).unwrap()
    }

    #[test]
    fn goes_on_where_it_broke_off() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = digest(b"hello world");
        let mut first = open(dir.path(), &wanted, 11);
        first.write(b"hello ").unwrap();
        drop(first);
        let mut second = open(dir.path(), &wanted, 11);
        assert_eq!(second.at(), 6);
        second.write(b"world").unwrap();
        assert!(second.write(b"!").is_err());
        let arrived = second.finish().unwrap().unwrap();
        arrived.keep().unwrap();
        // Twice is as good as once, and it can be read from either place.
        arrived.keep().unwrap();
        let mut text = String::new();
        arrived.open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello world");
        assert!(!dir.path().join("in").exists());
    }

    #[test]
    fn wrong_content_does_not_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut ingest = open(dir.path(), &digest(b"right"), 5);
        ingest.write(b"wrong").unwrap();
        assert!(ingest.finish().unwrap().is_none());
        assert!(!dir.path().join("in").exists());
        let mut short = open(dir.path(), &digest(b"rig"), 5);
        short.write(b"rig").unwrap();
        assert!(short.finish().unwrap().is_none());
    }

    #[test]
    fn more_than_there_should_be_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("in"), b"too long").unwrap();
        assert_eq!(open(dir.path(), &digest(b"x"), 1).at(), 0);
    }
}
