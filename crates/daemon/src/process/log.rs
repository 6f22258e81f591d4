//! The log: to stderr, or in the background to `EXEC_ROOT/daemon.log`, which is rotated once.

use super::json_lines::Json;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::{Layer, Registry, fmt};

/// Bytes after which the file is put aside as `daemon.log.1`.
const MAX: u64 = 10 << 20;

/// How lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Text,
    /// An object a line, as Docker's.
    Json,
}

impl std::str::FromStr for Format {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => bail!("invalid log format: {text}"),
        }
    }
}

/// Changes the level of a running daemon.
pub(crate) type Handle = reload::Handle<LevelFilter, Registry>;

/// Opens the log, once in a process.
pub(crate) fn open(level: Level, format: Format, background: Option<&Path>) -> Result<Handle> {
    let (filter, handle) = reload::Layer::new(LevelFilter::from_level(level));
    let layer = fmt::layer().with_target(false).with_ansi(false);
    let layer: Box<dyn Layer<_> + Send + Sync> = match (background, format) {
        (None, Format::Text) => layer.with_writer(io::stderr).boxed(),
        (None, Format::Json) => layer.event_format(Json).with_writer(io::stderr).boxed(),
        (Some(exec_root), Format::Text) => layer.with_writer(Rotating::open(exec_root)?).boxed(),
        (Some(exec_root), Format::Json) => layer.event_format(Json).with_writer(Rotating::open(exec_root)?).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(layer);
    tracing::subscriber::set_global_default(subscriber).context("open the log")?;
    Ok(handle)
}

/// A file that starts anew when it is full; the one before is kept.
struct Rotating {
    path: PathBuf,
    inner: Mutex<(File, u64)>,
}

impl Rotating {
    fn open(exec_root: &Path) -> Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(exec_root)
            .with_context(|| format!("create {}", exec_root.display()))?;
        let path = exec_root.join("daemon.log");
        let file = append(&path).with_context(|| format!("open {}", path.display()))?;
        let size = file.metadata().with_context(|| format!("look at {}", path.display()))?.len();
        Ok(Self { path, inner: Mutex::new((file, size)) })
    }
}

fn append(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(path)
}

impl<'a> fmt::MakeWriter<'a> for Rotating {
    type Writer = Line<'a>;
    fn make_writer(&'a self) -> Line<'a> {
        Line { log: self, inner: self.inner.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// The file while one line is written.
struct Line<'a> {
    log: &'a Rotating,
    inner: MutexGuard<'a, (File, u64)>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.inner.1 >= MAX {
            std::fs::rename(&self.log.path, self.log.path.with_extension("log.1"))?;
            *self.inner = (append(&self.log.path)?, 0);
        }
        let count = self.inner.0.write(bytes)?;
        self.inner.1 += count as u64;
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::fmt::MakeWriter;

    #[test]
    fn a_full_file_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let log = Rotating::open(dir.path()).unwrap();
        log.make_writer().write_all(b"old\n").unwrap();
        log.inner.lock().unwrap().1 = MAX;
        log.make_writer().write_all(b"new\n").unwrap();
        assert_eq!(std::fs::read(dir.path().join("daemon.log.1")).unwrap(), b"old\n");
        assert_eq!(std::fs::read(dir.path().join("daemon.log")).unwrap(), b"new\n");
    }
}
