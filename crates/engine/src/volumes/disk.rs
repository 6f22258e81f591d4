//! Volumes on disk: a directory each, with `_data` for the data and `volume.json` for what is known of it.
//!
//! A directory appears and goes by one rename: names with a dot in front are half-made or half-removed, and are removed at the next opening.

use crate::error::{Error, Result};
use crate::ids;
use crate::model::volume::Volume;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const DATA: &str = "_data";
const RECORD: &str = "volume.json";

/// Where a volume's data is.
pub(super) fn data(dir: &Path, name: &str) -> PathBuf {
    dir.join(name).join(DATA)
}

/// Makes the directory where needed, removes what was left half-done, and reads all volumes.
pub(super) fn open(dir: &Path) -> Result<Vec<Volume>> {
    let failed = |e| Error::internal("open", dir.display(), e);
    match DirBuilder::new().mode(0o701).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e)),
        _ => {}
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with('.') {
            if let Err(error) = std::fs::remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), %error, "half a volume was not removed");
            }
            continue;
        }
        match read(&path) {
            Ok(volume) if volume.name == name => found.push(Volume { mountpoint: path.join(DATA), ..volume }),
            Ok(_) => tracing::warn!(path = %path.display(), "the directory is not called like its volume: it is left alone"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "no volume: it is left alone"),
        }
    }
    Ok(found)
}

fn read(path: &Path) -> io::Result<Volume> {
    Ok(serde_json::from_slice(&std::fs::read(path.join(RECORD))?)?)
}

/// Makes a volume, whole or not at all. A `lasting` one survives a power cut.
pub(super) fn create(dir: &Path, volume: &Volume, lasting: bool) -> Result<()> {
    let made = dir.join(format!(".{}", ids::fresh()?));
    let done = fill(&made, volume, lasting).and_then(|()| {
        std::fs::rename(&made, dir.join(&volume.name))?;
        if lasting { File::open(dir)?.sync_all() } else { Ok(()) }
    });
    done.map_err(|error| {
        // What cannot be removed now is removed at the next opening.
        let _ = std::fs::remove_dir_all(&made);
        Error::internal("create volume", &volume.name, error)
    })
}

fn fill(made: &Path, volume: &Volume, lasting: bool) -> io::Result<()> {
    DirBuilder::new().mode(0o701).create(made)?;
    DirBuilder::new().mode(0o755).create(made.join(DATA))?;
    let mut record = File::create(made.join(RECORD))?;
    record.write_all(&serde_json::to_vec(volume)?)?;
    if lasting {
        record.sync_all()?;
        File::open(made)?.sync_all()?;
    }
    Ok(())
}

/// Takes a volume's name away; its content goes after it. Answers where the content still is.
pub(super) fn take_away(dir: &Path, name: &str) -> Result<PathBuf> {
    let gone = dir.join(format!(".{}", ids::fresh()?));
    match std::fs::rename(dir.join(name), &gone) {
        Ok(()) => Ok(gone),
        Err(error) => Err(Error::internal("remove volume", name, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(dir: &Path, name: &str) -> Volume {
        Volume {
            name: name.into(),
            created: 7,
            labels: [("a".to_owned(), "b".to_owned())].into(),
            options: Default::default(),
            mountpoint: data(dir, name),
        }
    }

    #[test]
    fn they_are_there_again_and_halves_are_not() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("volumes");
        assert!(open(&dir).unwrap().is_empty());
        create(&dir, &volume(&dir, "one"), true).unwrap();
        create(&dir, &volume(&dir, "two"), false).unwrap();
        std::fs::write(data(&dir, "one").join("f"), "x").unwrap();
        assert!(create(&dir, &volume(&dir, "one"), false).is_err());
        let gone = take_away(&dir, "two").unwrap();
        assert!(gone.join(DATA).exists() && take_away(&dir, "two").is_err());
        std::fs::create_dir(dir.join(".half")).unwrap();
        std::fs::create_dir(dir.join("foreign")).unwrap();
        assert_eq!(open(&dir).unwrap(), [volume(&dir, "one")]);
        let mut names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["foreign", "one"]);
    }
}
