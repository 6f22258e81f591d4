//! The test images, made from Debian's packages and cached outside the tree.

use crate::archive::{EPOCH, Layer, layers, write, write_all};
use crate::paths::{Scratch, cached};
use crate::shell::{command, find, output, quiet};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Raised when a recipe changes: images of an older one are made anew.
const RECIPE: &str = "1";

/// Makes what is missing and tells where the archives are.
pub(crate) fn run() -> Result<PathBuf> {
    let dir = cached("images")?;
    let busybox = find("busybox").or_else(|| find("../bin/busybox")).context("busybox is not installed: run `cargo xtask setup`")?;
    let version = output(&mut command("dpkg-query", &["-W", "-f", "${Version}", "busybox-static"])).unwrap_or_default();
    make(&dir, "busybox", &format!("{RECIPE} {version}"), |target| make_busybox(&busybox, target))?;
    make(&dir, "debian", RECIPE, |target| make_debian(target, "debian:bookworm-slim", &[]))?;
    make(&dir, "services", RECIPE, |target| make_debian(target, "services:latest", SERVICES))?;
    Ok(dir)
}

/// The image of the benchmark of transfers: Debian, 8000 small files, and 90 MB of mixed data; 312 MB in 5 layers. Gives its archive.
pub(crate) fn bulky() -> Result<PathBuf> {
    let dir = cached("images")?;
    let debian = dir.join("debian.tar");
    make(&dir, "bulky", RECIPE, |target| {
        let mut all = layers(&debian).context("read Debian's layers")?;
        let mut noise = Noise(7);
        for part in 0..2 {
            all.push(small_files(part, &mut noise)?);
        }
        for part in 0..2 {
            let mut layer = Layer::new();
            layer.dir("srv", 0o755)?;
            let half = noise.bytes(22 << 20);
            layer.file(&format!("srv/noise-{part}"), 0o644, &half)?;
            layer.file(&format!("srv/text-{part}"), 0o644, &noise.text(23 << 20))?;
            all.push(layer.finish()?);
        }
        write_all(target, "bulky:latest", &all, &["sh"])
    })?;
    Ok(dir.join("bulky.tar"))
}

/// 4000 files of 1 to 23 KiB of text in 40 directories.
fn small_files(part: usize, noise: &mut Noise) -> Result<Vec<u8>> {
    let mut layer = Layer::new();
    layer.dir("opt", 0o755)?;
    layer.dir(&format!("opt/part-{part}"), 0o755)?;
    for dir in 0..40 {
        layer.dir(&format!("opt/part-{part}/{dir}"), 0o755)?;
        for file in 0..100 {
            let size = 1024 + usize::try_from(noise.next() % (22 << 10)).unwrap_or(0);
            layer.file(&format!("opt/part-{part}/{dir}/{file}"), 0o644, &noise.text(size))?;
        }
    }
    layer.finish()
}

/// Numbers that look random and are the same each time (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Bytes that do not compress.
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(count);
        bytes
    }

    /// Lines of words of a small vocabulary: they compress to about a third, as programs' texts do.
    fn text(&mut self, count: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(count + 16);
        while text.len() < count {
            let word = self.next();
            let end = if word.is_multiple_of(9) { '\n' } else { ' ' };
            text.extend_from_slice(format!("{:x}{end}", word % 50_021).as_bytes());
        }
        text.truncate(count);
        text
    }
}

/// The tree of a Debian that systemd boots, as a tar.
pub(crate) fn systemd() -> Result<PathBuf> {
    let dir = cached("images")?;
    make(&dir, "systemd", RECIPE, |target| debstrap(target, &["systemd-sysv"]))?;
    Ok(dir.join("systemd.tar"))
}

/// Makes one image unless its stamp says that it is already the wanted one.
fn make(dir: &Path, name: &str, stamp: &str, recipe: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let target = dir.join(format!("{name}.tar"));
    let stamp_file = dir.join(format!("{name}.stamp"));
    if target.is_file() && std::fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        return Ok(());
    }
    println!("making the test image {name}");
    recipe(&target).with_context(|| format!("make the test image {name}"))?;
    std::fs::write(&stamp_file, stamp).with_context(|| format!("write {}", stamp_file.display()))
}

/// busybox:latest, one program under all its names, as hard links.
fn make_busybox(busybox: &Path, target: &Path) -> Result<()> {
    let program = std::fs::read(busybox).with_context(|| format!("read {}", busybox.display()))?;
    let mut applets: Vec<String> = output(&mut command(&busybox.to_string_lossy(), &["--list"]))?.lines().map(str::to_string).collect();
    applets.sort();

    let mut layer = Layer::new();
    for dir in ["bin", "dev", "etc", "home", "proc", "sys", "usr", "usr/bin", "usr/sbin", "var", "var/spool", "var/www"] {
        layer.dir(dir, 0o755)?;
    }
    layer.dir("root", 0o700)?;
    layer.dir("tmp", 0o1777)?;
    layer.file("bin/busybox", 0o755, &program)?;
    for applet in applets.iter().filter(|applet| *applet != "busybox" && !applet.contains('/')) {
        layer.hard_link(&format!("bin/{applet}"), "bin/busybox")?;
    }
    layer.symlink("usr/bin/env", "../../bin/env")?;
    layer.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nbin:x:2:2:bin:/bin:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\noperator:x:37:37:Operator:/var:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    )?;
    layer.file(
        "etc/group",
        0o644,
        b"root:x:0:\ndaemon:x:1:\nbin:x:2:\ntty:x:5:\ndisk:x:6:\nwheel:x:10:root,operator\naudio:x:29:operator\nwww-data:x:33:\noperator:x:37:\nusers:x:100:\nnogroup:x:65534:\n",
    )?;
    layer.file("etc/shadow", 0o600, b"root:*:19723:0:99999:7:::\n")?;
    write(target, "busybox:latest", &layer.finish()?, &["sh"])
}

/// What programs that people run in containers come from, for tests that run them.
const SERVICES: &[&str] = &["nginx-light", "redis-server", "postgresql"];

/// Debian's smallest set without documentation, and further packages. No tag of its own but the one given.
fn make_debian(target: &Path, tag: &str, packages: &[&str]) -> Result<()> {
    let scratch = Scratch::new("dhow-image")?;
    let tar = scratch.path().join("debian.tar");
    debstrap(&tar, packages)?;
    let layer = trim(&std::fs::read(&tar).context("read what mmdebstrap made")?)?;
    write(target, tag, &layer, &["bash"])
}

/// Debian's tree as a tar.
fn debstrap(tar: &Path, packages: &[&str]) -> Result<()> {
    if find("mmdebstrap").is_none() {
        bail!("mmdebstrap is not installed: run `cargo xtask setup`");
    }
    let scratch = Scratch::new("dhow-image")?;
    let mut debstrap = command("mmdebstrap", &["--quiet", "--mode=root", "--variant=minbase", "--format=tar"]);
    debstrap.args([
        "--aptopt=Acquire::Languages \"none\"",
        "--aptopt=Acquire::Retries \"3\"",
        "--aptopt=APT::Install-Recommends \"false\"",
    ]);
    for dir in ["doc", "man", "locale", "info", "lintian"] {
        debstrap.arg(format!("--dpkgopt=path-exclude=/usr/share/{dir}/*"));
    }
    if !packages.is_empty() {
        // PostgreSQL's compiler of queries: a third of the image, and nothing of it is needed.
        debstrap.args(["--dpkgopt=path-exclude=/usr/lib/*/libLLVM*", "--dpkgopt=path-exclude=/usr/lib/postgresql/*/lib/bitcode/*"]);
        debstrap.arg(format!("--include={}", packages.join(",")));
    }
    debstrap.arg("bookworm").arg(tar).env("SOURCE_DATE_EPOCH", EPOCH.to_string()).env("TMPDIR", scratch.path());
    quiet(&mut debstrap).context("mmdebstrap could not build Debian (can a mirror be reached?)")
}

/// Drops device nodes (an engine makes its own) and leftovers of the package manager.
fn trim(tar: &[u8]) -> Result<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let shown = path.to_string_lossy().trim_start_matches("./").to_string();
        let kind = entry.header().entry_type();
        let leftover = ["var/lib/apt/lists/", "var/cache/apt/archives/", "var/cache/apt/pkgcache", "var/cache/apt/srcpkgcache", "var/log/"];
        if kind.is_character_special() || kind.is_block_special() || (!kind.is_dir() && leftover.iter().any(|dir| shown.starts_with(dir))) {
            continue;
        }
        let mut header = entry.header().clone();
        header.set_mtime(header.mtime()?.min(EPOCH));
        if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name()?.context("a link without a target")?.into_owned();
            layer.append_link(&mut header, &path, &target)?;
        } else if !shown.is_empty() {
            layer.append_data(&mut header, &path, &mut entry)?;
        }
    }
    Ok(layer.into_inner()?)
}
