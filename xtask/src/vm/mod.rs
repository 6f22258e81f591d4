//! The end-to-end tests in a virtual machine: Debian's cloud kernels, pure cgroup v2, software emulation, no network.

mod machine;
mod runtimes;
mod systemd;

use crate::build::{build, executable};
use crate::kernel::{KERNELS, Kernel, get};
use crate::paths::Scratch;
use crate::shell::{command, find, quiet};
use crate::{images, setup};
use anyhow::{Context, Result, bail};
use machine::{Machine, initramfs};
pub(crate) use runtimes::contest;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Emulation is slow: without a filter of the caller these run, chosen for what differs on cgroup v2 and on other kernels.
const SELECTION: &[&str] = &[
    "hello::prints",
    "limits::limits_reach",
    "limits::updates_reach",
    "limits::out_of_memory",
    "limits::too_many",
    "isolation::namespaces",
    "isolation::no_mounts",
    "isolation::seccomp",
    "isolation::the_devices",
    "isolation::masked",
    "mounts::read_only",
    "crash::a_killed_",
    "two_engines::they",
    "lifecycle::dhow::rename_pause",
    "layers::",
    "inherited::nothing",
    "class02_every",
    "class04_cve_2025_31133",
    "class20",
    "class21_every",
    "network::a_published_port",
    "ports::ports_of_sctp",
];
/// The filter that chooses the runtime's own tests, which run beside the end-to-end tests.
const RUNTIME: &str = "runtime";
/// They change the process that they run in, so each has one of its own.
const EACH_ALONE: &str = "for test in $(/t/containers --list | sed 's/: test//'); do /t/containers --exact $test || bad=$?; done\n";
/// What needs programs that the machine lacks.
const LEFT_OUT: &[&str] = &["docker_client", "slow_"];
/// The longest that one machine may take.
const DEADLINE: Duration = Duration::from_secs(600);
/// Programs of the host that the tests need there, beside those of busybox.
const PROGRAMS: &[&str] = &["ip"];
/// The line with which the machine says how it went; the test program's exit code follows.
const MARKER: &str = "DHOW-VM-EXIT";

/// `cargo xtask vm`: one kernel or all, with the filters after `--`.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let split = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let filters: Vec<String> = words.iter().skip(split + 1).cloned().collect();
    let kernels = match &words[..split] {
        [] => KERNELS.iter().map(|(name, _)| (*name).to_string()).collect(),
        [flag, name] if flag == "--kernel" => vec![name.clone()],
        [flag] if flag == "--systemd" => {
            setup::run(false)?;
            return systemd::run(&get(systemd::KERNEL)?, &build(&["-p", "dhow"], "dhow")?, &images::run()?);
        }
        [flag] if flag == "--runtimes" => {
            setup::run(true)?;
            return runtimes::bench();
        }
        other => bail!("I do not understand {other:?}: see `cargo xtask`"),
    };
    setup::run(false)?;
    let programs = if filters == [RUNTIME] { Programs::of_runtime()? } else { Programs::build(build(&["-p", "dhow"], "dhow")?)? };
    let images = images::run()?;
    let mut failed = false;
    for name in kernels {
        failed |= !boot(&get(&name)?, &programs, &images, &filters)?;
    }
    if failed { bail!("tests failed in the virtual machine") } else { Ok(()) }
}

/// As part of `cargo xtask test`: every kernel, then systemd, unless there is no emulator or no kernel to be had.
pub(crate) fn run_all(dhow: &Path, images: &Path) -> Result<()> {
    if find("qemu-system-x86_64").is_none() {
        println!("SKIPPED: virtual machines: qemu-system-x86_64 is not installed");
        return Ok(());
    }
    let programs = Programs::build(dhow.to_path_buf())?;
    let mut failed = Vec::new();
    for (name, _) in KERNELS {
        match get(name) {
            Ok(kernel) => {
                if !boot(&kernel, &programs, images, &[])? {
                    failed.push(*name);
                }
            }
            Err(error) => println!("SKIPPED: virtual machine with Linux {name}: {error:#}"),
        }
    }
    if !failed.is_empty() {
        bail!("tests failed in the virtual machine with Linux {}", failed.join(", "));
    }
    match get(systemd::KERNEL) {
        Ok(kernel) => systemd::run(&kernel, dhow, images),
        Err(error) => {
            println!("SKIPPED: virtual machine with systemd: {error:#}");
            Ok(())
        }
    }
}

/// What goes into the machine, and where.
struct Programs(Vec<(PathBuf, &'static str)>);

impl Programs {
    /// The runtime's own tests, which need nothing else.
    fn of_runtime() -> Result<Self> {
        let mut cargo = command(
            "cargo",
            &["test", "--quiet", "--no-run", "--message-format=json-render-diagnostics", "-p", "dhow-runtime", "--test", "containers"],
        );
        Ok(Self(vec![(executable(&mut cargo, "containers")?, "t/containers")]))
    }

    fn build(dhow: PathBuf) -> Result<Self> {
        let mut cargo = command(
            "cargo",
            &["test", "--quiet", "--no-run", "--message-format=json-render-diagnostics", "-p", "dhow-tests", "--test", "e2e"],
        );
        let tests = executable(&mut cargo, "e2e")?;
        let attacker = build(&["-p", "dhow-tests", "--bin", "attacker"], "attacker")?;
        let mut all = Self::of_runtime()?;
        all.0.extend([(dhow, "t/dhow"), (tests, "t/e2e"), (attacker, "t/attacker")]);
        Ok(all)
    }
}

/// Boots, runs the tests and tells whether all passed.
fn boot(kernel: &Kernel, programs: &Programs, images: &Path, filters: &[String]) -> Result<bool> {
    let started = Instant::now();
    let scratch = Scratch::new("dhow-vm")?;
    let mut files: Vec<(&Path, &str)> = programs.0.iter().map(|(from, to)| (from.as_path(), *to)).collect();
    let archive = images.join("busybox.tar");
    files.push((&archive, "t/images/busybox.tar"));
    let others = PROGRAMS.iter().map(|name| find(name).with_context(|| format!("{name} is not installed"))).collect::<Result<Vec<_>>>()?;
    let disk = make_disk(scratch.path(), &files, &others, &second_stage(filters)).context("make the machine's disk")?;
    let initrd = scratch.path().join("initrd");
    std::fs::write(&initrd, initramfs(kernel, "/init")?).context("write the initial RAM file system")?;
    println!("Linux {}: booting", kernel.name);

    let machine = Machine::boot(kernel, &initrd, &disk, "", "unsafe")?;
    let mut code = None;
    let mut told = Vec::new();
    while let Some(line) = machine.line(started + DEADLINE) {
        if let Some(rest) = line.split(MARKER).nth(1) {
            code = rest.trim().parse::<i32>().ok();
            break;
        }
        if line.contains("test ") || line.starts_with("ok  ") || line.contains("SKIPPED") || line.contains("panic") {
            println!("Linux {}: {line}", kernel.name);
        }
        told.push(line);
    }
    // Told or overdue, the machine has nothing more to say.
    drop(machine);
    let seconds = started.elapsed().as_secs();
    match code {
        Some(0) => println!("Linux {}: all passed ({seconds} s)", kernel.name),
        Some(code) => println!("{}\nLinux {}: tests failed with exit code {code} ({seconds} s)", told.join("\n"), kernel.name),
        None => println!("{}\nLinux {}: no result after {seconds} s", told.join("\n"), kernel.name),
    }
    Ok(code == Some(0))
}

/// The machine's disk is its root filesystem: ext4, so that overlays lie on what servers use. It has these files, programs with their
/// libraries, and a script to begin with.
fn make_disk(scratch: &Path, files: &[(&Path, &str)], programs: &[PathBuf], init: &str) -> Result<PathBuf> {
    let tree = scratch.join("tree");
    for dir in ["bin", "dev", "etc", "proc", "root", "run", "sbin", "sys", "t", "t/images", "tmp", "usr/bin", "usr/sbin", "var/lib"] {
        std::fs::create_dir_all(tree.join(dir)).with_context(|| format!("make {dir}"))?;
    }
    let busybox = find("busybox").context("busybox is not installed: run `cargo xtask setup`")?;
    for (from, to) in files.iter().chain(&[(busybox.as_path(), "bin/busybox")]) {
        std::fs::copy(from, tree.join(to)).with_context(|| format!("copy {}", from.display()))?;
    }
    for program in programs {
        copy_with_libraries(program, &tree)?;
    }
    std::fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").context("write passwd")?;
    std::fs::write(tree.join("etc/group"), "root:x:0:\n").context("write group")?;
    std::fs::write(tree.join("etc/resolv.conf"), "nameserver 127.0.0.1\n").context("write resolv.conf")?;
    std::fs::write(tree.join("etc/hosts"), "127.0.0.1 localhost\n").context("write hosts")?;
    write_script(&tree.join("init"), init)?;
    let disk = scratch.join("disk");
    quiet(&mut command("mke2fs", &["-q", "-t", "ext4", "-d", &tree.to_string_lossy(), &disk.to_string_lossy(), "3G"]))?;
    std::fs::remove_dir_all(&tree).context("remove the disk's tree")?;
    Ok(disk)
}

/// Copies a program into `usr/sbin`, where it comes before busybox's of that name, and its libraries to where the linker looks for them.
fn copy_with_libraries(program: &Path, tree: &Path) -> Result<()> {
    let copy = |from: &Path, to: &Path| {
        let parent = to.parent().with_context(|| format!("{} has no directory", to.display()))?;
        std::fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        std::fs::copy(from, to).map(drop).with_context(|| format!("copy {}", from.display()))
    };
    copy(program, &tree.join("usr/sbin").join(program.file_name().context("a program has a name")?))?;
    let output = command("ldd", &[]).arg(program).output().context("run ldd")?;
    let listed = String::from_utf8_lossy(&output.stdout);
    for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        copy(Path::new(library), &tree.join(library.trim_start_matches('/')))?;
    }
    Ok(())
}

fn write_script(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).with_context(|| format!("chmod {}", path.display()))
}

/// The first process after the disk is the root: runs the tests, says how it went.
fn second_stage(filters: &[String]) -> String {
    let runtime = filters.is_empty() || filters == [RUNTIME];
    let e2e = filters != [RUNTIME];
    let mut words: Vec<String> = vec!["--test-threads=1".into()];
    if filters.is_empty() {
        words.extend(SELECTION.iter().map(|word| (*word).to_string()));
        words.extend(LEFT_OUT.iter().flat_map(|word| ["--skip".to_string(), (*word).to_string()]));
    } else {
        words.extend(filters.iter().cloned());
    }
    let words: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', ""))).collect();
    format!(
        "{BEGIN}export DHOW_BIN=/t/dhow DHOW_ATTACKER=/t/attacker DHOW_IMAGES=/t/images DHOW_SLOW=10 RUST_BACKTRACE=0
bad=0
{}{}echo {MARKER} $bad
sync
poweroff -f
",
        if runtime { EACH_ALONE } else { "" },
        if e2e { format!("/t/e2e {} || bad=$?\n", words.join(" ")) } else { String::new() }
    )
}

/// What a distribution mounts.
const BEGIN: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/bin:/sbin:/usr/bin HOME=/root
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o nosuid dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
mkdir /sys/fs/cgroup/init.scope && echo 1 > /sys/fs/cgroup/init.scope/cgroup.procs
for c in $(cat /sys/fs/cgroup/cgroup.controllers); do echo +$c > /sys/fs/cgroup/cgroup.subtree_control; done
mount --make-rshared /
ln -s /run /var/run
ip link set lo up
hostname machine
chmod 1777 /tmp
cd /t
";

#[cfg(test)]
mod tests {
    use super::second_stage;

    #[test]
    fn a_filter_replaces_the_selection() {
        let script = second_stage(&["hello::".to_string()]);
        assert!(script.contains("/t/e2e '--test-threads=1' 'hello::' || bad=$?\n") && !script.contains("/t/containers"), "{script}");
        let script = second_stage(&["runtime".to_string()]);
        assert!(script.contains("/t/containers --exact") && !script.contains("/t/e2e"), "{script}");
    }
}
