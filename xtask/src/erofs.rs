//! A `fsck.erofs` that knows blocks of 512 bytes: Debian 12's does not.

use crate::apt::{Apt, only};
use crate::paths::{Scratch, cached};
use crate::shell::{command, quiet};
use anyhow::{Context, Result};
use std::path::PathBuf;

/// The release of Debian that it is taken from.
const SUITE: &str = "trixie";

/// The program, fetched if the cache lacks it.
pub(crate) fn fsck() -> Result<PathBuf> {
    let dir = cached("erofs")?.join(SUITE);
    let program = dir.join("usr/bin/fsck.erofs");
    if !program.is_file() {
        fetch(&dir).with_context(|| format!("fetch erofs-utils of {SUITE}"))?;
    }
    quiet(&mut command(&program.to_string_lossy(), &["--version"]))?;
    Ok(program)
}

fn fetch(target: &std::path::Path) -> Result<()> {
    let scratch = Scratch::new("dhow-erofs")?;
    let apt = Apt::new(scratch.path(), SUITE)?;
    quiet(&mut apt.command("apt-get", &["update", "-qq"]))?;
    quiet(apt.command("apt-get", &["download", "-qq", "erofs-utils"]).current_dir(scratch.path()))?;
    let deb = only(scratch.path(), "erofs-utils_")?;
    let unpacked = target.with_extension(format!("partial-{}", std::process::id()));
    quiet(&mut command("dpkg-deb", &["-x", &deb.to_string_lossy(), &unpacked.to_string_lossy()]))?;
    std::fs::rename(&unpacked, target).with_context(|| format!("name {}", target.display()))
}
