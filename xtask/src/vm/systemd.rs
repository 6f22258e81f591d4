//! Debian's systemd as the first process, our units, and a plug that is pulled: a restart of the daemon leaves containers running, what
//! `volume create` and `create` have answered is there after a power cut, and an image is there whole or not at all.

use super::machine::{Machine, initramfs};
use crate::archive::{self, Layer};
use crate::images;
use crate::kernel::Kernel;
use crate::paths::{Scratch, root};
use crate::shell::{command, quiet};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The kernel that it boots.
pub(super) const KERNEL: &str = "6.12";
/// How often the plug is pulled.
const CUTS: u64 = 2;
/// The longest that one boot may take.
const DEADLINE: Duration = Duration::from_secs(600);
/// Images that are loaded and removed until the plug is pulled.
const CUT_IMAGES: usize = 4;
/// For the kernel's command line: quiet, and as patient as an emulator needs.
const WORDS: &str = "systemd.show_status=no systemd.default_timeout_start_sec=500";
/// Services that do nothing here but take time under emulation.
const MASKED: &[&str] = &[
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "getty.target",
    "systemd-binfmt.service",
    "systemd-logind.service",
    "systemd-networkd.service",
    "systemd-random-seed.service",
    "systemd-timesyncd.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-update-utmp.service",
];
const SCENE: &str = include_str!("scene.sh");
const SERVICE: &str =
    "[Unit]\nAfter=dhow.service\nWants=dhow.service\n[Service]\nType=oneshot\nExecStart=/t/scene\nTimeoutStartSec=infinity\n";

/// Runs it all.
pub(super) fn run(kernel: &Kernel, dhow: &Path, images: &Path) -> Result<()> {
    let begun = Instant::now();
    let scratch = Scratch::new("dhow-vm")?;
    let disk = make_disk(scratch.path(), dhow, images).context("make the machine's disk")?;
    let initrd = scratch.path().join("initrd");
    std::fs::write(&initrd, initramfs(kernel, "/lib/systemd/systemd")?).context("write the initial RAM file system")?;
    let mut kept: Vec<String> = Vec::new();
    for boot in 1..=CUTS + 1 {
        let last = if boot > CUTS { "yes" } else { "no" };
        let words = format!("{WORDS} dhow.boot={boot} dhow.last={last} dhow.kept={}", kept.join(","));
        println!("Linux {} with systemd: boot {boot}", kernel.name);
        // Flushes of the machine reach the disk, and nothing else is sure to.
        let machine = Machine::boot(kernel, &initrd, &disk, &words, "writeback")?;
        let deadline = Instant::now() + DEADLINE;
        let enough = 5 + chance(12);
        let mut made = 0;
        loop {
            let Some(line) = machine.line(deadline) else { bail!("boot {boot}: the machine says nothing any more") };
            if let Some(number) = line.strip_prefix("MADE ").and_then(|number| number.parse::<u64>().ok()) {
                made = number + 1;
            } else {
                println!("Linux {} with systemd: {line}", kernel.name);
            }
            if line.contains("DHOW-VM-EXIT") {
                if line.ends_with(" 0") && boot > CUTS {
                    println!("Linux {} with systemd: all passed ({} s)", kernel.name, begun.elapsed().as_secs());
                    return Ok(());
                }
                // What follows tells why.
                bail!("boot {boot}: the scene failed");
            }
            if made == enough {
                break;
            }
        }
        // In the midst of whatever comes next.
        machine.leave(Duration::from_millis(chance(500)));
        drop(machine);
        kept.push(format!("{boot}:{made}"));
        println!("Linux {} with systemd: the plug was pulled after {made} volumes and containers", kernel.name);
    }
    bail!("the last boot came to no end")
}

/// A number below `bound`, another one each time.
fn chance(bound: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(bound) % bound
}

fn make_disk(scratch: &Path, dhow: &Path, images: &Path) -> Result<PathBuf> {
    let tree = scratch.join("tree");
    std::fs::create_dir(&tree).context("make the disk's tree")?;
    quiet(command("tar", &["-C", &tree.to_string_lossy(), "-xf"]).arg(images::systemd()?))?;
    let units = tree.join("etc/systemd/system");
    for dir in ["t", "etc/docker", "usr/local/bin", "etc/systemd/system/multi-user.target.wants", "etc/systemd/system/sockets.target.wants"]
    {
        std::fs::create_dir_all(tree.join(dir)).with_context(|| format!("make {dir}"))?;
    }
    std::fs::copy(images.join("busybox.tar"), tree.join("t/busybox.tar")).context("copy the image")?;
    cut_images(&images.join("busybox.tar"), &tree.join("t"))?;
    // Without what only a debugger reads: the disk is smaller.
    quiet(command("objcopy", &["--strip-debug"]).arg(dhow).arg(tree.join("usr/local/bin/dhow")))?;
    for unit in ["dhow.service", "dhow.socket"] {
        std::fs::copy(root().join("packaging/systemd").join(unit), units.join(unit)).with_context(|| format!("copy {unit}"))?;
    }
    std::fs::write(units.join("scene.service"), SERVICE).context("write a unit")?;
    for (unit, target) in [("dhow.socket", "sockets"), ("dhow.service", "multi-user"), ("scene.service", "multi-user")] {
        symlink(format!("../{unit}"), units.join(format!("{target}.target.wants/{unit}"))).context("enable a unit")?;
    }
    for unit in MASKED {
        match symlink("/dev/null", units.join(unit)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error).context("mask a unit"),
            _ => {}
        }
    }
    super::write_script(&tree.join("t/scene"), SCENE)?;
    let group = tree.join("etc/group");
    let groups = std::fs::read_to_string(&group).context("read the groups")?;
    std::fs::write(&group, format!("{groups}docker:x:998:\n")).context("write the groups")?;
    // The kernel of the machine has no modules for networks.
    std::fs::create_dir_all(tree.join("etc/dhow")).context("make a directory")?;
    std::fs::write(tree.join("etc/dhow/daemon.json"), "{\"bridge\":\"none\"}\n").context("write the configuration")?;
    std::fs::write(tree.join("etc/hostname"), "machine\n").context("write the name")?;
    std::fs::write(tree.join("etc/fstab"), "").context("write the table of file systems")?;
    // One that lasts, and journald keeps what it has in memory.
    std::fs::write(tree.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").context("write the machine's id")?;
    let disk = scratch.join("disk");
    quiet(&mut command("mke2fs", &["-q", "-t", "ext4", "-d", &tree.to_string_lossy(), &disk.to_string_lossy(), "1G"]))?;
    std::fs::remove_dir_all(&tree).context("remove the disk's tree")?;
    Ok(disk)
}

/// Images of two layers beside busybox's, each with the sums of its files: `cut:0` and so on, as `cut0.tar` and so on.
fn cut_images(busybox: &Path, target: &Path) -> Result<()> {
    let base = archive::layers(busybox).context("read busybox's layers")?;
    for image in 0..CUT_IMAGES {
        let (mut all, mut sums) = (base.clone(), String::new());
        for part in 0..2 {
            let mut layer = Layer::new();
            layer.dir("data", 0o755)?;
            for file in 0..60 {
                let content = format!("{image} {part} {file}\n").repeat(file * 30 + 1);
                layer.file(&format!("data/{part}-{file}"), 0o644, content.as_bytes())?;
                sums += &format!("{}  {part}-{file}\n", hex::encode(Sha256::digest(&content)));
            }
            if part == 1 {
                layer.file("data/sums", 0o644, sums.as_bytes())?;
            }
            all.push(layer.finish()?);
        }
        archive::write_all(&target.join(format!("cut{image}.tar")), &format!("cut:{image}"), &all, &["sh"])?;
    }
    Ok(())
}
