//! OCI runtimes side by side where cgroup v2 is alone: youki's contest, and the time of `run`.

use super::machine::{Machine, initramfs};
use super::{BEGIN, MARKER, make_disk};
use crate::bench::runtimes::BUNDLE;
use crate::build::build;
use crate::contest::{KIND, LIMIT, Suite, parse};
use crate::findings::Findings;
use crate::kernel::{KERNELS, get};
use crate::paths::{Scratch, root};
use crate::shell::find;
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The kernel with more of what the suite asks for.
const KERNEL: &str = "6.12";
/// The longest that the suite may take: emulation is slow.
const DEADLINE: Duration = Duration::from_secs(5400);
/// Rounds of the bench, and runs of each runtime in a row in each of them: the machine's clock that a script can read counts hundredths.
const ROUNDS: usize = 25;
const RUNS: u32 = 4;

/// Boots the machine with these files and this script, and hands each line of its console to `hear`.
fn scene(kernel: &str, files: &[(&Path, &str)], programs: &[PathBuf], script: &str, mut hear: impl FnMut(&str)) -> Result<()> {
    let kernel = get(kernel)?;
    let scratch = Scratch::new("dhow-vm")?;
    let disk = make_disk(scratch.path(), files, programs, &format!("{BEGIN}{script}echo {MARKER} 0\nsync\npoweroff -f\n"));
    let disk = disk.context("make the machine's disk")?;
    let initrd = scratch.path().join("initrd");
    std::fs::write(&initrd, initramfs(&kernel, "/init")?).context("write the initial RAM file system")?;
    println!("Linux {}: booting", kernel.name);
    let machine = Machine::boot(&kernel, &initrd, &disk, "", "unsafe")?;
    let deadline = Instant::now() + DEADLINE;
    while let Some(line) = machine.line(deadline) {
        if line.contains(MARKER) {
            return Ok(());
        }
        hear(&line);
    }
    bail!("the machine has said nothing of its end")
}

/// Runs the suite on runc and on dhow; what was found on each.
pub(crate) fn contest(suite: &Suite, runc: &Path, dhow: &Path) -> Result<(Findings, Findings)> {
    let files = [(suite.inside.as_path(), "t/runtimetest"), (suite.bundle.as_path(), "t/bundle.tar.gz"), (dhow, "t/dhow-runtime")];
    let mut script = format!("export {}={}\n", KIND.0, KIND.1);
    for group in &suite.groups {
        for runtime in ["/usr/sbin/runc", "/t/dhow-runtime"] {
            let call = format!("timeout {LIMIT} contest run --runtime {runtime} --runtimetest /t/runtimetest -t {group}");
            let _ok = writeln!(script, "echo GROUP {runtime} {group}; {call} </dev/null 2>&1");
        }
    }
    let mut lines: Vec<((String, String), Vec<String>)> = Vec::new();
    let hear = |line: &str| match line.strip_prefix("GROUP ").and_then(|rest| rest.split_once(' ')) {
        Some((runtime, group)) => {
            println!("{line}");
            lines.push(((runtime.to_owned(), group.to_owned()), Vec::new()));
        }
        None => {
            if line.contains(" : not ok") || line.contains("panicked") || line.starts_with('\t') {
                println!("{line}");
            }
            if let Some((_, said)) = lines.last_mut() {
                said.push(line.to_owned());
            }
        }
    };
    scene(KERNEL, &files, &[runc.to_owned(), suite.program.clone()], &script, hear)?;
    let of = |wanted: &str| -> Findings {
        let own = lines.iter().filter(|((runtime, _), _)| runtime.ends_with(wanted));
        own.map(|((_, group), said)| (group.clone(), parse(said.iter().map(String::as_str)))).collect()
    };
    Ok((of("/runc"), of("/dhow-runtime")))
}

/// `cargo xtask vm --runtimes`: `run` of `true` on crun, runc and dhow, which take turns; the medians go to `bench/RUNTIMES.md`. The program
/// that `DHOW_RELEASE` names is measured, else one is built.
pub(super) fn bench() -> Result<()> {
    let dhow = match std::env::var_os("DHOW_RELEASE") {
        Some(path) => PathBuf::from(path),
        None => build(&["--release", "-p", "dhow"], "dhow")?,
    };
    let programs: Vec<PathBuf> = ["crun", "runc"].iter().filter_map(|name| find(name)).collect();
    let names: Vec<String> = programs.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    let runtimes: Vec<String> = names.iter().map(|name| format!("/usr/sbin/{name}")).chain(["/t/dhow-runtime".to_owned()]).collect();
    let mut page = String::from(
        "# OCI runtimes side by side with cgroup v2 alone\n\nWritten by `cargo xtask vm --runtimes`: Debian's kernels under software emulation, which is many times slower than\n\
         a machine; what counts is who is faster. `run` of `true` with the same bundle, four in a row, by turns; milliseconds of one.\n",
    );
    for (kernel, _) in KERNELS {
        let mut script = format!(
            "mkdir -p b/rootfs/bin b/rootfs/proc b/rootfs/dev b/rootfs/sys\ncp /bin/busybox b/rootfs/bin/true\ncd b\ncat > config.json <<'END'\n{BUNDLE}\nEND\n"
        );
        script.push_str("now() { read -r up _ < /proc/uptime; echo ${up%.*}${up#*.}; }\n");
        let _ok = writeln!(script, "for round in $(seq 0 {ROUNDS}); do for runtime in {}; do begun=$(now)", runtimes.join(" "));
        let runs = "$runtime --root /run/bench run box </dev/null || echo FAILED $runtime $?; ".repeat(RUNS as usize);
        let _ok = writeln!(script, "{runs}\necho TOOK $round $runtime $(($(now) - begun))\ndone; done");
        let mut samples: Vec<Vec<u64>> = vec![Vec::new(); runtimes.len()];
        let mut failed = None;
        let hear = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                // The first round warms up.
                ["TOOK", round, runtime, hundredths] if *round != "0" => {
                    let at = runtimes.iter().position(|name| name == runtime);
                    if let (Some(at), Ok(hundredths)) = (at, hundredths.parse::<u64>()) {
                        samples[at].push(hundredths * 10_000 / u64::from(RUNS));
                    }
                }
                ["FAILED", ..] => failed = Some(line.to_owned()),
                _ => {}
            }
        };
        scene(kernel, &[(dhow.as_path(), "t/dhow-runtime")], &programs, &script, hear)?;
        if let Some(line) = failed {
            bail!("Linux {kernel}: {line}");
        }
        let _ok =
            writeln!(page, "\n## Linux {kernel}\n\n| runtime | median | fastest | times dhow runtime |\n| --- | ---: | ---: | ---: |");
        samples.iter_mut().for_each(|times| times.sort_unstable());
        let median = |times: &Vec<u64>| times.get(times.len() / 2).copied().unwrap_or(0);
        let own = samples.last().map_or(1, median).max(1);
        for (name, times) in names.iter().map(String::as_str).chain(["dhow runtime"]).zip(&samples) {
            let (middle, least) = (median(times), times.first().copied().unwrap_or(0));
            let (shown, least, ratio) = (middle as f64 / 1000.0, least as f64 / 1000.0, middle as f64 / own as f64);
            let _ok = writeln!(page, "| {name} | {shown:.1} | {least:.1} | {ratio:.2} |");
        }
    }
    let target = root().join("bench/RUNTIMES.md");
    std::fs::write(&target, &page).with_context(|| format!("write {}", target.display()))?;
    println!("{page}");
    Ok(())
}
