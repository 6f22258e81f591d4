//! Archives that go to a file or to standard output. A file appears under its name when it is whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dhow_api::client::Response;

use crate::error::Error;
use crate::options::os_error;

/// Whether a file can be written there, in Docker's words where not.
pub(crate) fn check(path: &str) -> Result<(), String> {
    let directory = Path::new(path).parent().filter(|directory| !directory.as_os_str().is_empty());
    if let Some(directory) = directory {
        let problem = match fs::metadata(directory) {
            Ok(found) if found.is_dir() => None,
            Ok(_) => Some("not a directory".to_owned()),
            Err(error) => Some(os_error(&error)),
        };
        if let Some(problem) = problem {
            return Err(format!("invalid output path: stat {}: {problem}", directory.display()));
        }
    }
    // The name itself counts: a rename would replace a link, not follow it.
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    let kind = found.file_type();
    let what = if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a symbolic link directly"
    } else if kind.is_fifo() {
        "a named pipe (FIFO)"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() {
        "a character device file"
    } else if kind.is_block_device() {
        "a block device file"
    } else {
        return Ok(());
    };
    Err(format!("cannot write to {what}"))
}

/// Writes a whole answer; to standard output where there is no path.
pub(crate) async fn receive(answer: &mut Response, path: Option<&str>) -> Result<(), Error> {
    let Some(path) = path else {
        let mut out = io::stdout();
        while let Some(piece) = answer.chunk().await? {
            out.write_all(&piece).map_err(Error::output)?;
        }
        return out.flush().map_err(Error::output);
    };
    let mut partial = Partial::create(Path::new(path)).map_err(|error| failed(path, &error))?;
    while let Some(piece) = answer.chunk().await? {
        partial.file.write_all(&piece).map_err(|error| failed(path, &error))?;
    }
    partial.finish(Path::new(path)).map_err(|error| failed(path, &error))
}

fn failed(path: &str, error: &io::Error) -> Error {
    Error::new(format!("write {path}: {}", os_error(error)))
}

/// A file beside its place, gone unless it is finished.
struct Partial {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl Partial {
    fn create(target: &Path) -> io::Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { file, path, kept: false })
    }

    fn finish(mut self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept {
            // There is nobody to tell but the one who hears of the error already.
            let _left = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let dir = std::env::temp_dir();
        let inside = dir.join("x.tar").to_string_lossy().into_owned();
        assert_eq!(check(&inside), Ok(()));
        assert_eq!(check("/nosuch/x.tar"), Err("invalid output path: stat /nosuch: no such file or directory".into()));
        assert_eq!(check("/dev/null"), Err("cannot write to a character device file".into()));
        assert_eq!(check("/dev"), Err("cannot write to a directory".into()));
    }

    #[test]
    fn what_is_not_whole_does_not_stay() {
        let dir = std::env::temp_dir().join(format!("dhow-partial-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let target = dir.join("x.tar");
        drop(Partial::create(&target).unwrap());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        Partial::create(&target).unwrap().finish(&target).unwrap();
        assert!(target.is_file());
        fs::remove_dir_all(&dir).unwrap();
    }
}
