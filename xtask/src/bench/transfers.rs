//! An image of 312 MB in 5 layers comes and goes: load, save, push, pull, and reading all of it cold through a container's root.

use super::candidates::{Candidate, Dhow};
use super::measure::Row;
use super::memory::{high_water, reset_high_water};
use super::registry::Registry;
use crate::images;
use crate::shell::{command, output, quiet};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Rounds of each: what is measured takes seconds.
const ROUNDS: usize = 5;
/// Bytes of memory that are warm before each sample: more than any engine writes in one.
const WARM: usize = 1536 << 20;
/// The image.
const IMAGE: &str = "bulky:latest";

/// What was seen.
pub(crate) struct Transfers {
    /// Who, in the order of the samples.
    pub(crate) names: Vec<String>,
    /// A row for each operation.
    pub(crate) rows: Vec<Row>,
    /// By candidate: the most that its daemons had resident during a pull, in KiB.
    pub(crate) memory: Vec<Option<u64>>,
}

/// Measures every engine, and ours a second time with layers as directories.
pub(crate) fn all(candidates: &[Box<dyn Candidate>], scratch: &Path, dhow: &Path, archive: &Path) -> Result<Transfers> {
    let bulky = images::bulky()?;
    let own = scratch.join("dir");
    std::fs::create_dir_all(&own).context("make a directory")?;
    let directories = Dhow::start_with(&own, dhow, archive, "dhow, dir", &["--storage-opt", "dhow.layers=dir"])?;
    let mut engines: Vec<&dyn Candidate> = Vec::new();
    for candidate in candidates.iter().filter(|candidate| candidate.command(&["load"]).is_some()) {
        engines.push(candidate.as_ref());
        if candidate.name() == "dhow" {
            engines.push(&directories);
        }
    }
    let bench = Bench { engines, scratch: scratch.to_path_buf(), bulky };
    let mut rows = vec![bench.load()?, bench.save()?, bench.read()?, bench.push("push, as loaded")?];
    let (pull, again, memory) = bench.pull()?;
    rows.extend([pull, again]);
    for engine in &bench.engines {
        quiet(&mut engine.command(&["rmi", IMAGE]).context("an engine has commands")?)?;
    }
    Ok(Transfers { names: bench.engines.iter().map(|engine| engine.name().to_owned()).collect(), rows, memory })
}

struct Bench<'a> {
    engines: Vec<&'a dyn Candidate>,
    scratch: PathBuf,
    bulky: PathBuf,
}

impl Bench<'_> {
    /// Rounds of all engines, who begins changes; `one` gives the time of a sample.
    fn rounds(&self, name: &'static str, mut one: impl FnMut(&dyn Candidate, usize) -> Result<Duration>) -> Result<Row> {
        println!("measuring {name}");
        let mut samples = vec![Vec::new(); self.engines.len()];
        for round in 0..ROUNDS {
            for turn in 0..self.engines.len() {
                let index = (turn + round) % self.engines.len();
                let time = one(self.engines[index], round).with_context(|| format!("{name}, {}", self.engines[index].name()))?;
                samples[index].push(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
            }
        }
        samples.iter_mut().for_each(|times| times.sort_unstable());
        Ok(Row { name, samples })
    }

    fn load(&self) -> Result<Row> {
        self.rounds("load", |engine, round| {
            if round > 0 {
                ask(engine, &["rmi", IMAGE])?;
            }
            timed(engine, &["load", "-q", "-i", &self.bulky.to_string_lossy()])
        })
    }

    fn save(&self) -> Result<Row> {
        let target = self.scratch.join("saved.tar");
        self.rounds("save", |engine, _| {
            let time = timed(engine, &["save", "-o", &target.to_string_lossy(), IMAGE])?;
            std::fs::remove_file(&target).context("remove what was saved")?;
            Ok(time)
        })
    }

    /// All files of a container's root, with nothing of them in memory.
    fn read(&self) -> Result<Row> {
        let script = "find / -xdev -type f -exec cat {} + >/dev/null";
        self.rounds("read every file, cold", |engine, _| {
            drop_caches()?;
            timed(engine, &["run", "--rm", "--network", "none", IMAGE, "sh", "-c", script])
        })
    }

    /// To an empty registry each time.
    fn push(&self, name: &'static str) -> Result<Row> {
        self.rounds(name, |engine, _| {
            let dir = self.scratch.join("registry");
            let registry = Registry::start(&dir)?;
            let target = format!("{}/bulky", registry.address);
            ask(engine, &["tag", IMAGE, &target])?;
            let time = timed(engine, &insecure(engine, "push", &target))?;
            ask(engine, &["rmi", &target])?;
            drop(registry);
            std::fs::remove_dir_all(&dir).context("remove the registry")?;
            Ok(time)
        })
    }

    /// From a registry that the last engine filled (docker's own layers where there is docker), and back to an empty one.
    fn pull(&self) -> Result<(Row, Row, Vec<Option<u64>>)> {
        let dir = self.scratch.join("source");
        let registry = Registry::start(&dir)?;
        let source = format!("{}/bulky", registry.address);
        let filler = *self.engines.iter().find(|engine| engine.name() == "docker").or(self.engines.first()).context("no engine")?;
        ask(filler, &["tag", IMAGE, &source])?;
        quiet(&mut filler.command(&insecure(filler, "push", &source)).context("an engine has commands")?)?;
        ask(filler, &["rmi", &source])?;
        let mut peaks = vec![None; self.engines.len()];
        let pull = self.rounds("pull", |engine, _| {
            ask(engine, &["rmi", if has(engine, &source) { &source } else { IMAGE }])?;
            let daemons = engine.daemons();
            daemons.iter().for_each(|pid| reset_high_water(*pid));
            let time = timed(engine, &insecure(engine, "pull", &source))?;
            let peak: u64 = daemons.iter().map(|pid| high_water(*pid)).sum();
            if let Some(place) = self.engines.iter().position(|other| other.name() == engine.name()).filter(|_| peak > 0) {
                peaks[place] = peaks[place].max(Some(peak));
            }
            Ok(time)
        })?;
        for engine in self.engines.iter().copied() {
            ask(engine, &["tag", &source, IMAGE])?;
            ask(engine, &["rmi", &source])?;
        }
        let again = self.push("push, as pulled")?;
        Ok((pull, again, peaks))
    }
}

/// The words of a transfer; podman wants to be told that loopback needs no TLS.
fn insecure<'a>(engine: &dyn Candidate, verb: &'a str, name: &'a str) -> Vec<&'a str> {
    if engine.name() == "podman" { vec![verb, "-q", "--tls-verify=false", name] } else { vec![verb, "-q", name] }
}

fn has(engine: &dyn Candidate, image: &str) -> bool {
    engine.command(&["image", "inspect", image]).is_some_and(|mut command| output(&mut command).is_ok())
}

fn ask(engine: &dyn Candidate, words: &[&str]) -> Result<String> {
    output(&mut engine.command(words).context("an engine has commands")?)
}

fn timed(engine: &dyn Candidate, words: &[&str]) -> Result<Duration> {
    let mut command = engine.command(words).context("an engine has commands")?;
    // What was written and removed before is on the disk, and what the disk gives up is given up: half a gigabyte of that takes a while.
    rustix::fs::sync();
    warm();
    let start = Instant::now();
    output(&mut command)?;
    Ok(start.elapsed())
}

/// Gives free memory its backing. A virtual machine hands memory that lay free for two seconds back to its host (free page reporting), and
/// whoever touches it next waits for the host: 300 MB into a file take 0.8 s then, and 0.14 s otherwise. It would be a cost of the order of
/// the samples, not of the engines.
fn warm() {
    drop(std::hint::black_box(vec![1_u8; WARM]));
}

/// What the kernel keeps of files goes out of memory.
fn drop_caches() -> Result<()> {
    quiet(&mut command("sync", &[]))?;
    std::fs::write("/proc/sys/vm/drop_caches", "3").context("drop the page cache")
}
