//! Where the project and its cache are.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The project's directory.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The cache, outside the tree: `$XDG_CACHE_HOME/dhow` or `~/.cache/dhow`.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    Ok(base.join("dhow"))
}

/// A directory of the cache, made if missing.
pub(crate) fn cached(name: &str) -> Result<PathBuf> {
    let dir = cache()?.join(name);
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    Ok(dir)
}

/// A directory that is removed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A fresh one under the system's temporary directory; the name is short because sockets live in it.
    pub(crate) fn new(name: &str) -> Result<Self> {
        for attempt in 0..1000_u32 {
            let dir = std::env::temp_dir().join(format!("{name}-{}-{attempt}", std::process::id()));
            match std::fs::create_dir(&dir) {
                Ok(()) => return Ok(Self(dir)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("make {}", dir.display())),
            }
        }
        anyhow::bail!("no free name for a temporary directory {name}")
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("could not remove {}: {error}", self.0.display());
        }
    }
}
