//! Paths in containers, by their text alone.

use std::path::{Component, Path, PathBuf};

/// A path without `.`, `..` and doubled slashes, by its text alone. (Where it leads is decided inside the container's root.)
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => {
                out.pop();
            }
            Component::Normal(name) => out.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out
}
