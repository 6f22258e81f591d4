//! Side by side with docker, podman and the bare kernel, in one run: samples interleave, with rest before each.

pub(crate) mod candidates;
mod exits;
mod logs;
mod measure;
mod memory;
pub(crate) mod netns;
mod networks;
pub(crate) mod registry;
mod remains;
mod report;
pub(crate) mod runtimes;
mod stats;
mod streams;
mod transfers;

use crate::paths::{Scratch, root};
use crate::shell::{command, quiet};
use crate::{build, images, setup};
use anyhow::{Context, Result, bail};
use candidates::Candidate;
use std::path::{Path, PathBuf};

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    /// Samples of each command of each candidate.
    samples: usize,
    /// Containers for the memory measurement.
    containers: usize,
    /// Containers whose stats are asked for at once.
    watched: usize,
}

/// On ext4, has what is below a directory apart from each other, as below a disk's root: whoever makes a file passes over those that were
/// removed nearby in the last minutes, and so one candidate's would be in another's way. Other filesystems do not know it.
fn apart(dir: &Path) {
    if let Err(error) = quiet(command("chattr", &["+T"]).arg(dir)) {
        println!("candidates lie side by side on the disk: {error:#}");
    }
}

/// What can be measured.
const PARTS: [&str; 9] = ["speed", "runtimes", "exits", "logs", "stats", "memory", "transfers", "networks", "streams"];

/// `cargo xtask bench`.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let mut amount = Amount { samples: 40, containers: 10, watched: 200 };
    let mut only: Option<Vec<&str>> = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = words.next().map(String::as_str);
        match (word.as_str(), value, value.and_then(|text| text.parse().ok())) {
            ("--samples", _, Some(number)) => amount.samples = number,
            ("--containers", _, Some(number)) => amount.containers = number,
            ("--watched", _, Some(number)) => amount.watched = number,
            ("--only", Some(list), _) if list.split(',').all(|part| PARTS.contains(&part)) => only = Some(list.split(',').collect()),
            _ => bail!("I do not understand {word}: see `cargo xtask`"),
        }
    }
    let wanted = |part: &str| only.as_ref().is_none_or(|only| only.contains(&part));
    setup::run(false)?;
    let images = images::run()?;
    println!("building for release");
    let dhow = build::build(&["--release", "-p", "dhow"], "dhow")?;
    #[cfg(target_arch = "x86_64")]
    println!("{}", crate::order::share(&dhow)?);
    let floor = build::build(&["--release", "-p", "dhow-bench-floor"], "dhow-bench-floor")?;
    let stream = build::build(&["--release", "-p", "dhow-bench-floor"], "stream")?;

    let scratch = Scratch::new("db")?;
    apart(scratch.path());
    let _unmount = candidates::Unmount(scratch.path().to_path_buf());
    let own = |name: &str| -> Result<PathBuf> {
        let dir = scratch.path().join(name);
        std::fs::create_dir(&dir).with_context(|| format!("make {}", dir.display()))?;
        Ok(dir)
    };
    let archive = images.join("busybox.tar");
    let mut all: Vec<Box<dyn Candidate>> = Vec::new();
    all.push(Box::new(candidates::Floor::new(&own("f")?, &floor, &archive).context("prepare the bare kernel's part")?));
    all.push(Box::new(candidates::Dhow::start(&own("d")?, &dhow, &archive).context("start dhow")?));
    let mut missing = Vec::new();
    match candidates::Docker::start(&own("o")?, &archive) {
        Ok(docker) => all.push(Box::new(docker)),
        Err(error) => missing.push(format!("docker: {error:#}")),
    }
    match candidates::Podman::start(&own("p")?, &archive) {
        Ok(podman) => all.push(Box::new(podman)),
        Err(error) => missing.push(format!("podman: {error:#}")),
    }
    missing.iter().for_each(|line| println!("SKIPPED: {line}"));

    let results = report::Results {
        speed: if wanted("speed") { measure::all(&all, amount.samples)? } else { Vec::new() },
        runtimes: if wanted("runtimes") { Some(runtimes::all(scratch.path(), &dhow, &floor, &archive, amount.samples)?) } else { None },
        exits: if wanted("exits") { exits::all(&all, scratch.path())? } else { Vec::new() },
        logs: if wanted("logs") { logs::all(&all)? } else { Vec::new() },
        stats: if wanted("stats") { stats::all(&all, amount.watched)? } else { Vec::new() },
        memory: if wanted("memory") { memory::all(&all, amount.containers)? } else { Vec::new() },
        transfers: if wanted("transfers") { Some(transfers::all(&all, scratch.path(), &dhow, &archive)?) } else { None },
        networks: match (wanted("networks"), wanted("streams")) {
            (false, false) => None,
            parts => Some(networks::all(scratch.path(), &dhow, (&floor, &stream), &archive, amount.samples, parts)?),
        },
    };
    let text = report::text(&all, &results, &missing, amount);
    // A part is no page.
    if only.is_none() {
        let target = root().join("bench/RESULTS.md");
        std::fs::write(&target, &text).with_context(|| format!("write {}", target.display()))?;
    }
    println!("{text}");
    Ok(())
}
