//! Programs of others that this release of Debian has too old or not at all, fetched once and unpacked in the cache.

use crate::apt::{Apt, only};
use crate::paths::{Scratch, cached};
use crate::shell::{command, quiet};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// A program: the variable that tells the tests where it is, its package in Debian's trixie, and its place there.
const TOOLS: &[(&str, &str, &str)] = &[
    // Indexes with blocks of 512 bytes.
    ("DHOW_FSCK_EROFS", "erofs-utils", "usr/bin/fsck.erofs"),
    ("DHOW_COMPOSE", "docker-compose", "usr/libexec/docker/cli-plugins/docker-compose"),
];

/// The variables for the tests. What cannot be had is told and left out: the tests that want it say so too.
pub(crate) fn run() -> Vec<(&'static str, PathBuf)> {
    let one = |(variable, package, place): &(&'static str, &str, &str)| match get(package, place) {
        Ok(path) => Some((*variable, path)),
        Err(error) => {
            println!("{package} could not be had: {error:#}");
            None
        }
    };
    TOOLS.iter().filter_map(one).collect()
}

fn get(package: &str, place: &str) -> Result<PathBuf> {
    let dir = cached("tools")?.join(package);
    if !dir.join(place).is_file() {
        println!("fetching {package}");
        fetch(package, &dir).with_context(|| format!("fetch {package}"))?;
    }
    let program = dir.join(place);
    anyhow::ensure!(program.is_file(), "the package has no {place}");
    Ok(program)
}

fn fetch(package: &str, target: &Path) -> Result<()> {
    let scratch = Scratch::new("dhow-tool")?;
    let apt = Apt::new(scratch.path(), "trixie")?;
    quiet(&mut apt.command("apt-get", &["update", "-qq"]))?;
    quiet(apt.command("apt-get", &["download", "-qq", package]).current_dir(scratch.path()))?;
    let deb = only(scratch.path(), &format!("{package}_"))?;
    let unpacked = target.with_extension(format!("partial-{}", std::process::id()));
    quiet(&mut command("dpkg-deb", &["-x", &deb.to_string_lossy(), &unpacked.to_string_lossy()]))?;
    if target.exists() {
        std::fs::remove_dir_all(target).with_context(|| format!("replace {}", target.display()))?;
    }
    std::fs::rename(&unpacked, target).with_context(|| format!("name {}", target.display()))
}
