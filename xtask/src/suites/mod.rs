//! Other people's tests of their clients, on the original and on us: what passes there must pass here.
//!
//! The suites stay where they are: checkouts that the caller names, or that git fetches into the cache.

mod bollard;
mod compare;
mod docker_py;
mod dockerode;
mod stage;
mod testcontainers;

use crate::bench::candidates::Unmount;
use crate::paths::Scratch;
use crate::{build, images, setup};
use anyhow::{Context, Result, bail};
use compare::{Ends, compare, passed};
use stage::Stage;
use std::path::PathBuf;

const NAMES: [&str; 4] = ["docker-py", "bollard", "dockerode", "testcontainers"];

/// A suite that can be run.
struct Suite {
    name: &'static str,
    run: Box<dyn Fn(&Stage) -> Result<Ends>>,
    apart: fn(&str) -> Option<&'static str>,
}

/// What the caller wants.
struct Wanted {
    suites: Vec<(&'static str, Option<PathBuf>)>,
    alone: bool,
    filter: Option<String>,
}

/// `cargo xtask clients [--only dhow] [SUITE[=DIR]...] [-- FILTER]`.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let wanted = read(words)?;
    setup::run(!wanted.alone)?;
    let mut suites = Vec::new();
    for (name, given) in wanted.suites {
        suites.extend(prepare(name, given, wanted.filter.clone())?);
    }
    let images = images::run()?;
    let program = build::build(&["-p", "dhow"], "dhow")?;
    let scratch = Scratch::new("cl")?;
    let _unmount = Unmount(scratch.path().to_path_buf());
    // Each suite has an engine of its own: some take away what they did not make.
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for suite in &suites {
        if !wanted.alone {
            theirs.push(run_on(&Stage::docker(&scratch, suite.name, &images).context("start docker")?, suite)?);
        }
        ours.push(run_on(&Stage::dhow(&scratch, suite.name, &images, &program).context("start dhow")?, suite)?);
    }
    let (mut table, mut worse) = (String::from("\n| suite | docker passes | dhow passes |\n| --- | --- | --- |\n"), 0);
    for (at, (suite, ours)) in suites.iter().zip(&ours).enumerate() {
        let none = Ends::new();
        let theirs = theirs.get(at).unwrap_or(&none);
        let (text, count) = compare(theirs, ours, &suite.apart);
        println!("-- {}\n{text}", suite.name);
        worse += count;
        table += &format!("| {} | {} of {} | {} of {} |\n", suite.name, passed(theirs), theirs.len(), passed(ours), ours.len());
    }
    println!("{table}");
    if worse > 0 {
        bail!("{worse} tests pass on docker and not on dhow");
    }
    Ok(())
}

fn read(words: &[String]) -> Result<Wanted> {
    let split = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let (before, after) = words.split_at(split);
    let mut wanted = Wanted { suites: Vec::new(), alone: false, filter: after.get(1).cloned() };
    let mut before = before.iter();
    while let Some(word) = before.next() {
        if word == "--only" {
            match before.next().map(String::as_str) {
                Some("dhow") => wanted.alone = true,
                other => bail!("--only {}: see `cargo xtask`", other.unwrap_or_default()),
            }
            continue;
        }
        let (name, dir) = word.split_once('=').map_or((word.as_str(), None), |(name, dir)| (name, Some(dir.into())));
        let known =
            NAMES.iter().find(|known| **known == name).with_context(|| format!("no suite is called {name}: there are {NAMES:?}"))?;
        wanted.suites.push((*known, dir));
    }
    if wanted.suites.is_empty() {
        wanted.suites = NAMES.iter().map(|name| (*name, None)).collect();
    }
    Ok(wanted)
}

/// `None` (said aloud) where it cannot be had.
fn prepare(name: &'static str, given: Option<PathBuf>, filter: Option<String>) -> Result<Option<Suite>> {
    let nothing: fn(&str) -> Option<&'static str> = |_| None;
    Ok(match name {
        "docker-py" => docker_py::prepare(given)?
            .map(|(python, dir)| suite(name, docker_py::apart, move |stage| docker_py::run(stage, &python, &dir, filter.as_deref()))),
        "bollard" => bollard::prepare(given)?
            .map(|programs| suite(name, bollard::apart, move |stage| bollard::run(stage, &programs, filter.as_deref()))),
        "dockerode" => {
            dockerode::prepare(given)?.map(|dir| suite(name, dockerode::apart, move |stage| dockerode::run(stage, &dir, filter.as_deref())))
        }
        _ => testcontainers::prepare()?.map(|tools| suite(name, nothing, move |stage| testcontainers::run(stage, &tools))),
    })
}

fn suite(name: &'static str, apart: fn(&str) -> Option<&'static str>, run: impl Fn(&Stage) -> Result<Ends> + 'static) -> Suite {
    Suite { name, run: Box::new(run), apart }
}

fn run_on(stage: &Stage, suite: &Suite) -> Result<Ends> {
    println!("running {} on {}", suite.name, stage.name());
    (suite.run)(stage).with_context(|| format!("{} on {}", suite.name, stage.name()))
}
