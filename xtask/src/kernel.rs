//! Debian's cloud kernels, fetched once and unpacked in the cache.

use crate::apt::{Apt, only};
use crate::paths::{Scratch, cached};
use crate::shell::{command, output, quiet};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// A kernel that the tests boot.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// Short name, such as `6.1`.
    pub(crate) name: &'static str,
    /// The bootable image.
    pub(crate) image: PathBuf,
    /// Directory of its modules.
    pub(crate) modules: PathBuf,
}

/// Which release of Debian has which kernel.
pub(crate) const KERNELS: &[(&str, &str)] = &[("6.1", "bookworm"), ("6.12", "trixie")];

/// The kernel of that name, fetched if the cache lacks it.
pub(crate) fn get(name: &str) -> Result<Kernel> {
    let Some((name, suite)) = KERNELS.iter().find(|(known, _)| *known == name) else {
        bail!("no such kernel: {name} (known: {})", KERNELS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "));
    };
    let dir = cached("kernels")?.join(name);
    if !dir.join("boot").is_dir() {
        fetch(suite, &dir).with_context(|| format!("fetch the kernel of {suite}"))?;
    }
    let image = only(&dir.join("boot"), "vmlinuz-")?;
    let modules = only(&modules_root(&dir), "")?;
    Ok(Kernel { name, image, modules })
}

fn modules_root(dir: &Path) -> PathBuf {
    let merged = dir.join("usr/lib/modules");
    if merged.is_dir() { merged } else { dir.join("lib/modules") }
}

/// Asks apt, with lists and settings of its own, for the package that `linux-image-cloud-amd64` depends on.
fn fetch(suite: &str, target: &Path) -> Result<()> {
    let scratch = Scratch::new("dhow-kernel")?;
    let apt = Apt::new(scratch.path(), suite)?;
    quiet(&mut apt.command("apt-get", &["update", "-qq"]))?;
    let shown = output(&mut apt.command("apt-cache", &["show", "--no-all-versions", "linux-image-cloud-amd64"]))?;
    let package = shown
        .lines()
        .find_map(|line| line.strip_prefix("Depends: "))
        .and_then(|depends| depends.split([' ', ',']).find(|word| word.starts_with("linux-image-")))
        .context("linux-image-cloud-amd64 names no kernel")?
        .to_string();
    println!("fetching {package}");
    quiet(apt.command("apt-get", &["download", "-qq", &package]).current_dir(scratch.path()))?;
    let deb = only(scratch.path(), "linux-image-")?;
    let unpacked = target.with_extension(format!("partial-{}", std::process::id()));
    quiet(&mut command("dpkg-deb", &["-x", &deb.to_string_lossy(), &unpacked.to_string_lossy()]))?;
    let version = only(&modules_root(&unpacked), "")?;
    let version = version.file_name().context("modules without a version")?.to_string_lossy().into_owned();
    // depmod looks below lib/modules only.
    if !unpacked.join("lib").exists() {
        std::os::unix::fs::symlink("usr/lib", unpacked.join("lib")).context("link lib")?;
    }
    quiet(&mut command("depmod", &["-b", &unpacked.to_string_lossy(), &version]))?;
    std::fs::rename(&unpacked, target).with_context(|| format!("name {}", target.display()))
}
