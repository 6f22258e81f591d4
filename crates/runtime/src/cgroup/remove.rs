//! Removing the directories after the last process.

use super::{Cgroup, control, refused};
use crate::error::Result;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Processes that were just killed leave within this time, or something holds them.
const TIMEOUT: Duration = Duration::from_secs(2);

impl Cgroup {
    /// Removes the directories (with retries while processes end). Missing ones are fine. Cgroups that the container made below
    /// its own go too.
    pub fn remove(&self) -> Result<()> {
        let mut left: Vec<&PathBuf> = self.dirs.iter().map(|(_, dir)| dir).collect();
        let deadline = Instant::now() + TIMEOUT;
        let mut pause = Duration::from_micros(50);
        loop {
            let mut busy = None;
            left.retain(|dir| match remove_tree(dir) {
                Ok(()) => false,
                Err(error) => {
                    busy = Some(refused(dir, "remove directory", &error));
                    true
                }
            });
            match busy {
                None => return Ok(()),
                Some(failure) if failure.errno != libc::EBUSY || Instant::now() >= deadline => return Err(failure),
                Some(_) => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    /// Removes `path` itself from every hierarchy, where it has neither processes nor children: for the directory that an engine's
    /// containers had in common. What is in use stays.
    pub fn remove_parent_if_empty(path: &str) -> Result<()> {
        for (_, dir) in Self::at(path)?.dirs {
            match fs::remove_dir(&dir) {
                Err(error) if !in_use(&error) && error.kind() != io::ErrorKind::NotFound => {
                    return Err(refused(&dir, "remove directory", &error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn in_use(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENOTEMPTY))
}

/// Usually there are no children, so the directory itself is tried first.
fn remove_tree(dir: &Path) -> io::Result<()> {
    match fs::remove_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if in_use(&error) => {
            let children = control::children(dir)?;
            if children.is_empty() {
                return Err(error);
            }
            children.iter().try_for_each(|child| remove_tree(child))?;
            match fs::remove_dir(dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            }
        }
        other => other,
    }
}
