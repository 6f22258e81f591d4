//! Networks: what an endpoint and a published port cost, many ports, and streams between containers and from outside. Each engine has a host
//! of its own: a network namespace, and another one that stands for the world.

use super::candidates::{Candidate, Dhow, Docker, Floor};
use super::measure::{self, Row};
use super::netns::Netns;
use super::streams::{self, Way};
use crate::shell::output;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What runs behind the ports.
const SLEEP: &[&str] = &["busybox", "sleep", "100000"];
/// What is timed.
const COMMANDS: &[(&str, &[&str])] = &[
    ("run --rm --network none busybox true", &["run", "--rm", "--network", "none", "busybox", "true"]),
    ("run --rm busybox true", &["run", "--rm", "busybox", "true"]),
    ("run --rm -p 8080:80 busybox true", &["run", "--rm", "-p", "8080:80", "busybox", "true"]),
];

/// What was seen.
pub(crate) struct Networks {
    /// Who, in the order of the samples.
    pub(crate) names: Vec<String>,
    /// Whole commands, of the bare kernel first and then of each.
    pub(crate) rows: Vec<Row>,
    /// Name, and by candidate microseconds of `run -d` beyond that of one without a port; `None` where it was not tried.
    pub(crate) ports: Vec<(&'static str, Vec<Option<u64>>)>,
    /// TCP streams.
    pub(crate) streams: Vec<Way>,
}

/// An engine with a host of its own.
pub(super) struct Host {
    pub(super) engine: Box<dyn Candidate>,
    // The world is dropped first, as the engine is before its host.
    pub(super) world: Netns,
    _host: Netns,
}

/// Measures ours, and docker where it is: commands, and streams. `floor` and `stream` are programs of `bench/floor`.
pub(crate) fn all(
    scratch: &Path,
    dhow: &Path,
    (floor, stream): (&Path, &Path),
    archive: &Path,
    samples: usize,
    parts: (bool, bool),
) -> Result<Networks> {
    let mut hosts = vec![host(scratch, "n1", |dir, netns| Ok(Box::new(Dhow::start_on(dir, dhow, archive, netns, &[])?)))?];
    match host(scratch, "n2", |dir, netns| Ok(Box::new(Docker::start_on(dir, archive, netns, &[])?))) {
        Ok(docker) => hosts.push(docker),
        Err(error) => println!("SKIPPED: docker's networks: {error:#}"),
    }
    let engines: Vec<&dyn Candidate> = hosts.iter().map(|host| host.engine.as_ref()).collect();
    let (mut rows, mut many) = (Vec::new(), Vec::new());
    if parts.0 {
        let (dir, bare) = (scratch.join("n0"), Netns::new()?);
        std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let floor = Floor::new_on(&dir, floor, archive, &bare)?;
        let all: Vec<&dyn Candidate> = std::iter::once(&floor as &dyn Candidate).chain(engines.iter().copied()).collect();
        rows = measure::rows(&all, COMMANDS, samples)?;
        many.push(("500 published ports", ports(&engines, &["-p", "20000-20499:30000-30499"], true)?));
        many.push(("a range of 10,000", ports(&engines, &["-p", "20000-29999:20000-29999"], false)?));
    }
    let streams = if parts.1 { streams::all(&hosts, scratch, stream)? } else { Vec::new() };
    Ok(Networks { names: engines.iter().map(|engine| engine.name().to_owned()).collect(), rows, ports: many, streams })
}

fn host(scratch: &Path, name: &str, start: impl FnOnce(&Path, &Netns) -> Result<Box<dyn Candidate>>) -> Result<Host> {
    let dir: PathBuf = scratch.join(name);
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let host = Netns::new()?;
    let world = host.neighbour()?;
    Ok(Host { engine: start(&dir, &host)?, world, _host: host })
}

/// Microseconds that `run -d` takes more with those flags, the better of two. Ranges that would start ten thousand processes are not asked
/// of docker.
fn ports(engines: &[&dyn Candidate], flags: &[&str], everybody: bool) -> Result<Vec<Option<u64>>> {
    println!("measuring {}", flags.join(" "));
    let one = |engine: &dyn Candidate| -> Result<u64> {
        let time = |flags: &[&str]| -> Result<u64> {
            let mut best = u64::MAX;
            for _ in 0..2 {
                let words = [&["run", "-d"], flags, SLEEP].concat();
                let start = Instant::now();
                let id = ask(engine, &words)?;
                best = best.min(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
                ask(engine, &["rm", "-f", id.trim()])?;
            }
            Ok(best)
        };
        let without = time(&[])?;
        Ok(time(flags)?.saturating_sub(without))
    };
    engines.iter().map(|engine| (everybody || engine.name() == "dhow").then(|| one(*engine)).transpose()).collect()
}

pub(super) fn ask(engine: &dyn Candidate, words: &[&str]) -> Result<String> {
    output(&mut engine.command(words).context("an engine has commands")?)
}
