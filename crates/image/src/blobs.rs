//! The content store: a file for each digest. What stands under a digest has been checked against it.

use crate::error::{Error, Result, io};
use dhow_storage::{DiffId, Staged};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};

const BUFFER: usize = 128 * 1024;

/// The store's directories.
#[derive(Debug)]
pub(crate) struct Blobs {
    blobs: PathBuf,
    ingest: PathBuf,
    tmp: PathBuf,
}

/// Content that was received and hashed, but stands under no digest yet. Removed when dropped.
#[derive(Debug)]
pub(crate) struct Spooled {
    path: PathBuf,
    digest: String,
    size: u64,
    kept: bool,
    /// The layer that it is, if it is one.
    layer: Mutex<Early>,
}

/// A layer that is taken in before it is known what it stands on.
#[derive(Debug, Default)]
enum Early {
    /// Nobody does so.
    #[default]
    No,
    /// A thread is at it.
    Working(Receiver<Result<Staged>>),
    Done(Box<Staged>),
    Failed(Error),
}

/// Content that is being received.
pub(crate) struct Spooling {
    spooled: Spooled,
    file: File,
    hash: Sha256,
    max: u64,
}

impl Spooling {
    fn put(&mut self, data: &[u8]) -> Result<()> {
        self.spooled.size += data.len() as u64;
        if self.spooled.size > self.max {
            return Err(Error::Archive(format!("more than {} bytes of content", self.max)));
        }
        self.hash.update(data);
        self.file.write_all(data).map_err(io("write", self.spooled.path.display()))
    }
}

impl Write for Spooling {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.put(data).map_err(std::io::Error::other)?;
        Ok(data.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Spooled {
    /// `sha256:…`.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The layer that it is, where somebody takes it in early; waits for the end of that. Given once.
    pub(crate) fn take_layer(&self) -> Option<Result<Staged>> {
        let mut layer = self.layer.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *layer).wait() {
            Early::Done(staged) => Some(Ok(*staged)),
            Early::Failed(error) => Some(Err(error)),
            Early::No | Early::Working(_) => None,
        }
    }

    /// The digest of its plain content, where somebody takes it in early; waits for the end of that.
    pub(crate) fn diff(&self) -> Option<DiffId> {
        let mut layer = self.layer.lock().unwrap_or_else(PoisonError::into_inner);
        *layer = std::mem::take(&mut *layer).wait();
        match &*layer {
            Early::Done(staged) => Some(staged.diff().clone()),
            _ => None,
        }
    }

    /// A thread takes it in.
    pub(crate) fn taken_in_by(&self, thread: Receiver<Result<Staged>>) {
        *self.layer.lock().unwrap_or_else(PoisonError::into_inner) = Early::Working(thread);
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for reading.
    pub(crate) fn open(&self) -> Result<File> {
        File::open(&self.path).map_err(io("open", self.path.display()))
    }

    /// Its content, refusing more than `max` bytes.
    pub(crate) fn read(&self, what: &str, max: u64) -> Result<Vec<u8>> {
        if self.size > max {
            return Err(Error::Archive(format!("{what} has {} bytes, more than {max}", self.size)));
        }
        let mut bytes = Vec::new();
        self.open()?.read_to_end(&mut bytes).map_err(io("read", what))?;
        Ok(bytes)
    }
}

impl Early {
    fn wait(self) -> Self {
        match self {
            Self::Working(thread) => match thread.recv() {
                Ok(Ok(staged)) => Self::Done(Box::new(staged)),
                Ok(Err(error)) => Self::Failed(error),
                // The threads were stopped: who needs it takes it in himself.
                Err(_) => Self::No,
            },
            other => other,
        }
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a temporary file stays until the next start");
        }
    }
}

impl Blobs {
    /// Makes the directories where missing and empties `tmp`.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let this = Self { blobs: root.join("blobs/sha256"), ingest: root.join("ingest"), tmp: root.join("tmp") };
        match fs::remove_dir_all(&this.tmp) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io("empty", this.tmp.display())(e)),
            _ => {}
        }
        for dir in [&this.blobs, &this.ingest, &this.tmp] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io("make", dir.display()))?;
        }
        Self::sweep_ingests(&this.ingest)?;
        Ok(this)
    }

    /// Receives a stream of at most `max` bytes.
    pub(crate) fn spool(&self, stream: &mut dyn Read, max: u64) -> Result<Spooled> {
        self.spool_with(max, |out| {
            let mut buffer = vec![0; BUFFER];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) => out.put(&buffer[..count])?,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(unreadable(&e)),
                }
            }
        })
    }

    /// Receives what `write` writes, at most `max` bytes.
    pub(crate) fn spool_with(&self, max: u64, write: impl FnOnce(&mut Spooling) -> Result<()>) -> Result<Spooled> {
        let path = self.tmp.join(random_name());
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(io("make", path.display()))?;
        let mut spooling = Spooling {
            spooled: Spooled { path, digest: String::new(), size: 0, kept: false, layer: Mutex::default() },
            file,
            hash: Sha256::new(),
            max,
        };
        write(&mut spooling)?;
        let mut spooled = spooling.spooled;
        spooled.digest = format!("sha256:{}", hex::encode(spooling.hash.finalize()));
        Ok(spooled)
    }

    /// Content that is the tar of a layer which is taken in already: the very file, under one more name.
    pub(crate) fn spool_layer(&self, staged: Staged, size: u64) -> Result<Option<Spooled>> {
        let Some(tar) = staged.tar() else { return Ok(None) };
        let path = self.tmp.join(random_name());
        link(tar, &path)?;
        let digest = staged.diff().to_string();
        Ok(Some(Spooled { path, digest, size, kept: false, layer: Mutex::new(Early::Done(Box::new(staged))) }))
    }

    /// Puts received content under its digest. Content that stands there already is left alone. It is synced later.
    pub(crate) fn keep(&self, mut spooled: Spooled) -> Result<()> {
        let target = self.path(&spooled.digest)?;
        if target.exists() {
            return Ok(());
        }
        fs::rename(&spooled.path, &target).map_err(io("rename to", target.display()))?;
        spooled.kept = true;
        Ok(())
    }

    /// As [`Blobs::keep`] for content that others still read: it gets a second name (a hard link), the first goes with the last reader.
    pub(crate) fn keep_copy(&self, spooled: &Spooled) -> Result<()> {
        let target = self.path(&spooled.digest)?;
        if target.exists() {
            return Ok(());
        }
        match fs::hard_link(&spooled.path, &target) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(io("link to", target.display())(e)),
            _ => Ok(()),
        }
    }

    /// Makes content survive a power cut. What is not here any more is passed over. [`Blobs::sync_names`] is next.
    pub(crate) fn sync(&self, digest: &str) -> Result<()> {
        let path = self.path(digest)?;
        match File::open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            file => file.and_then(dhow_sys::file::sync).map_err(io("sync", path.display())),
        }
    }

    /// Whether content is here and is what it should be.
    pub(crate) fn is_whole(&self, digest: &str) -> Result<bool> {
        let path = self.path(digest)?;
        let mut file = match File::open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            file => file.map_err(io("open", path.display()))?,
        };
        let mut hash = Sha256::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            match file.read(&mut buffer).map_err(io("read", path.display()))? {
                0 => return Ok(DiffId::from_bytes(&hash.finalize().into()).to_string() == digest),
                count => hash.update(&buffer[..count]),
            }
        }
    }

    /// Makes the names of what was kept survive a power cut.
    pub(crate) fn sync_names(&self) -> Result<()> {
        File::open(&self.blobs).and_then(|d| d.sync_all()).map_err(io("sync", self.blobs.display()))
    }

    /// Opens content.
    pub(crate) fn get(&self, digest: &str) -> Result<File> {
        let path = self.path(digest)?;
        File::open(&path).map_err(io("open", path.display()))
    }

    /// Bytes of content; `None` where it is not here, or has no name that content can have.
    pub(crate) fn size(&self, digest: &str) -> Result<Option<u64>> {
        let Ok(path) = self.path(digest) else { return Ok(None) };
        match fs::metadata(&path) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io("stat", path.display())(error)),
        }
    }

    /// Removes content; missing content is fine.
    pub(crate) fn remove(&self, digest: &str) -> Result<()> {
        let path = self.path(digest)?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path.display())(e)),
            _ => Ok(()),
        }
    }

    /// Every digest that is there.
    pub(crate) fn list(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.blobs).map_err(io("list", self.blobs.display()))? {
            let entry = entry.map_err(io("list", self.blobs.display()))?;
            all.push(format!("sha256:{}", entry.file_name().to_string_lossy()));
        }
        Ok(all)
    }

    /// Where content of this digest is received, and where it is kept.
    pub(crate) fn ingest_paths(&self, digest: &str) -> Result<(PathBuf, PathBuf)> {
        let target = self.path(digest)?;
        Ok((self.ingest.join(target.file_name().unwrap_or_default()), target))
    }

    fn path(&self, digest: &str) -> Result<PathBuf> {
        let parsed = dhow_storage::DiffId::parse(digest)?;
        Ok(self.blobs.join(parsed.hex()))
    }
}

/// A stream that breaks off is the sender's fault, and reads so.
pub(crate) fn unreadable(error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        Error::Archive("unexpected EOF".into())
    } else {
        Error::Archive(error.to_string())
    }
}

fn random_name() -> String {
    let mut bytes = [0u8; 16];
    // The names only have to differ: where the kernel gives no randomness, time and process do.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = (crate::model::now() as u128 ^ (u128::from(std::process::id()) << 96)).to_le_bytes();
    }
    hex::encode(bytes)
}

/// Gives an open file one more name.
pub(crate) fn link(file: &OwnedFd, name: &Path) -> Result<()> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    let failed = |error: rustix::io::Errno| io("link to", name.display())(error.into());
    match rustix::fs::linkat(rustix::fs::CWD, &own, rustix::fs::CWD, name, rustix::fs::AtFlags::SYMLINK_FOLLOW) {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        other => other.map_err(failed),
    }
}
