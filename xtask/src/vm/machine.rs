//! A machine under emulation: what its console says line by line, and its plug.

use crate::cpio::Cpio;
use crate::kernel::Kernel;
use crate::shell::{command, find};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Modules of the kernel that the machine needs, with what they depend on.
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "ext4",
    "overlay",
    "erofs",
    "veth",
    "bridge",
    "nft_ct",
    "nft_nat",
    "nft_masq",
    "nft_chain_nat",
    "nft_fib_inet",
    "nf_conntrack_netlink",
    "sctp",
];

/// What the initial RAM file system's script says before all else.
const UP: &str = "DHOW-VM-UP";
/// The longest until then, under emulation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often a kernel may try to come up.
const ATTEMPTS: u32 = 3;

/// A running machine. It ends with this.
pub(super) struct Machine {
    child: Child,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Machine {
    /// Boots from a disk whose file system is the root. `words` are further ones for the kernel, `cache` says what the emulator makes of
    /// the disk's flushes. A kernel that gives up before its first program boots again: an emulated processor may trip over code that
    /// the kernel patches, and neither a program of ours nor the disk had a part in it. What comes later is never tried twice.
    pub(super) fn boot(kernel: &Kernel, initrd: &Path, disk: &Path, words: &str, cache: &str) -> Result<Self> {
        for attempt in 1..=ATTEMPTS {
            let machine = Self::start(kernel, initrd, disk, words, cache)?;
            match up(&machine.lines, Instant::now() + PATIENCE) {
                Ok(()) => return Ok(machine),
                Err(told) => println!("{}\nLinux {}: no program began in attempt {attempt}", told.join("\n"), kernel.name),
            }
        }
        bail!("Linux {} began no program in {ATTEMPTS} attempts", kernel.name)
    }

    fn start(kernel: &Kernel, initrd: &Path, disk: &Path, words: &str, cache: &str) -> Result<Self> {
        let plain = ["-accel", "tcg,thread=multi", "-smp", "2", "-m", "2048", "-no-reboot", "-nic", "none"];
        let mut qemu = command("qemu-system-x86_64", &plain);
        // Debian 12's emulator spoils the flags in cmpxchg16b, on which newer kernels' allocator relies: they do without where it is missing.
        qemu.args(["-cpu", "qemu64,-cx16"]);
        qemu.args(["-display", "none", "-monitor", "none", "-serial", "stdio"]);
        qemu.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initrd);
        qemu.arg("-append").arg(format!("console=ttyS0 quiet loglevel=1 panic=-1 cgroup_no_v1=all {words}"));
        qemu.arg("-drive").arg(format!("file={},if=virtio,format=raw,cache={cache}", disk.display()));
        let mut child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start qemu-system-x86_64")?;
        let console = child.stdout.take().context("the machine has no console")?;
        let (sender, lines) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).trim_end().to_string()).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, lines, reader: Some(reader) })
    }

    /// The next line of its console; `None` at the end, or when the time is over.
    pub(super) fn line(&self, deadline: Instant) -> Option<String> {
        self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }

    /// Waits, with the console unread.
    pub(super) fn leave(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

impl Drop for Machine {
    /// Pulls the plug: it is ours, known by its handle.
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("could not end the machine: {error}");
        }
        if self.reader.take().is_some_and(|reader| reader.join().is_err()) {
            eprintln!("the console's reader failed");
        }
    }
}

/// Waits for the first program's word; what the console said instead, if it ends or the time is over.
fn up(lines: &Receiver<String>, deadline: Instant) -> Result<(), Vec<String>> {
    let mut told = Vec::new();
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if line.contains(UP) {
            return Ok(());
        }
        told.push(line);
    }
    Err(told)
}

/// Loads the modules in the order they need each other, then hands over to a program of the disk.
pub(super) fn initramfs(kernel: &Kernel, init: &str) -> Result<Vec<u8>> {
    let busybox = find("busybox").context("busybox is not installed: run `cargo xtask setup`")?;
    let mut cpio = Cpio::new();
    for dir in ["bin", "dev", "m", "proc", "root", "sys"] {
        cpio.dir(dir);
    }
    cpio.device("dev/console", 5, 1);
    cpio.file("bin/busybox", 0o755, &std::fs::read(&busybox).context("read busybox")?);
    cpio.symlink("bin/sh", "busybox");
    let mut script = format!("#!/bin/sh\necho {UP}\n/bin/busybox mount -t devtmpfs dev /dev\n");
    for (number, module) in module_order(&kernel.modules)?.iter().enumerate() {
        let name = format!("m/{number:02}.ko");
        cpio.file(&name, 0o644, &read_module(module)?);
        script.push_str(&format!("/bin/busybox insmod /{name}\n"));
    }
    script.push_str(&format!(
        "n=0; while [ ! -b /dev/vda ] && [ $n -lt 200 ]; do /bin/busybox usleep 50000; n=$((n+1)); done\n\
         /bin/busybox mount -t ext4 /dev/vda /root || echo cannot mount the disk\n\
         exec /bin/busybox switch_root /root {init}\n",
    ));
    cpio.file("init", 0o755, script.as_bytes());
    Ok(cpio.finish())
}

/// The files of the wanted modules, each after what it depends on. What is built in needs none.
fn module_order(dir: &Path) -> Result<Vec<PathBuf>> {
    let table = std::fs::read_to_string(dir.join("modules.dep")).with_context(|| format!("read modules.dep of {}", dir.display()))?;
    let depends: BTreeMap<&str, Vec<&str>> =
        table.lines().filter_map(|line| line.split_once(':')).map(|(file, needs)| (file, needs.split_whitespace().collect())).collect();
    let mut order: Vec<&str> = Vec::new();
    for wanted in MODULES {
        let Some((file, needs)) = depends.iter().find(|(file, _)| module_name(file) == *wanted) else {
            continue;
        };
        // depmod lists the nearest need first, and all of them, so from the back is the order to load in.
        for part in needs.iter().rev().chain([file]) {
            if !order.contains(part) {
                order.push(part);
            }
        }
    }
    Ok(order.into_iter().map(|file| dir.join(file)).collect())
}

fn module_name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name).replace('-', "_")
}

/// A module's bytes, unpacked where the kernel's package has it compressed.
fn read_module(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_some_and(|ending| ending == "xz") {
        let output = command("xz", &["-dc"]).arg(path).output().context("run xz")?;
        if !output.status.success() {
            bail!("xz -dc {}: {}", path.display(), output.status);
        }
        return Ok(output.stdout);
    }
    std::fs::read(path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{UP, module_name, up};
    use std::sync::mpsc::channel;
    use std::time::Instant;

    #[test]
    fn a_kernel_that_gave_up_is_known_by_its_silence() {
        let console = |said: &[&str]| {
            let (sender, lines) = channel();
            said.iter().for_each(|line| sender.send((*line).to_string()).expect("somebody reads"));
            lines
        };
        let later = Instant::now() + std::time::Duration::from_secs(60);
        assert_eq!(up(&console(&["Oops: int3", "Kernel panic"]), later), Err(vec!["Oops: int3".to_string(), "Kernel panic".to_string()]));
        let lines = console(&["a warning", UP, "test a ... FAILED"]);
        assert_eq!(up(&lines, later), Ok(()));
        assert_eq!(lines.recv().as_deref(), Ok("test a ... FAILED"), "what follows is for the one who boots");
        let (_kept, silent) = channel();
        assert_eq!(up(&silent, Instant::now()), Err(Vec::new()), "a machine that hangs");
    }

    #[test]
    fn module_names_are_normalised() {
        assert_eq!(module_name("kernel/drivers/block/virtio_blk.ko"), "virtio_blk");
        assert_eq!(module_name("kernel/fs/overlayfs/overlay.ko.xz"), "overlay");
        assert_eq!(module_name("kernel/arch/x86/crypto/crc32c-intel.ko"), "crc32c_intel");
    }
}
