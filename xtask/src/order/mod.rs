//! `cargo xtask order`: which functions of the program a start uses, for the linker, which puts them beside each other. See
//! `crates/dhow/build.rs`.

mod symbols;
mod watch;

use crate::bench::candidates::{Candidate, Dhow};
use crate::bench::netns::Netns;
use crate::paths::{Scratch, root};
use crate::shell::quiet;
use crate::{build, images, setup};
use anyhow::{Context, Result, ensure};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use symbols::Symbols;

/// What is watched first: a whole container's life.
const RUN: &[&str] = &["run", "--rm", "busybox", "true"];
/// Its kin, each of which a script may call thousands of times.
const OTHERS: &[&[&str]] = &[
    &["version"],
    &["ps"],
    &["images"],
    &["run", "--rm", "--network", "none", "busybox", "true"],
    &["run", "-d", "--name", "order", "-p", "127.0.0.1::80", "busybox", "sleep", "1000"],
    &["exec", "order", "true"],
    &["inspect", "order"],
    &["logs", "order"],
    &["stop", "-t", "0", "order"],
    &["start", "order"],
    &["rm", "-f", "order"],
];
/// How often an engine does it while it is watched: what is made ahead is used by the second.
const TIMES: usize = 3;

/// The words at the top of the file; the linker passes over such lines.
const HEAD: &str = "\
# Functions that a start uses, in the order of their first use: the spawner with shims and containers, the client of `run`, the daemon, the
# clients of other commands. Written by `cargo xtask order`; see build.rs. A name that is gone does no harm.
";

/// `cargo xtask order [--check]`.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let check = words.iter().any(|word| word == "--check");
    let dhow = build::build(&["--release", "-p", "dhow"], "dhow")?;
    if check {
        println!("{}", share(&dhow)?);
        return Ok(());
    }
    setup::run(false)?;
    let archive = images::run()?.join("busybox.tar");
    let symbols = Symbols::of(&dhow)?;
    let names = record(&symbols, &dhow, &archive)?;
    let text = names.iter().fold(HEAD.to_owned(), |text, name| text + name + "\n");
    // Cargo looks at the time of the file.
    if std::fs::read_to_string(file()).is_ok_and(|before| before == text) {
        println!("{} functions, as before", names.len());
        return Ok(());
    }
    std::fs::write(file(), text).with_context(|| format!("write {}", file().display()))?;
    println!("{} functions; build again for an order by them", names.len());
    Ok(())
}

/// How many of the names are functions of a program, in words.
pub(crate) fn share(program: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file()).with_context(|| format!("read {}", file().display()))?;
    let names: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let known = Symbols::of(program)?.known(names.iter().copied());
    Ok(format!("{known} of the {} functions of a start are put beside each other", names.len()))
}

fn file() -> PathBuf {
    root().join("crates/dhow/start.order")
}

fn record(symbols: &Symbols, dhow: &Path, archive: &Path) -> Result<Vec<String>> {
    let scratch = Scratch::new("do")?;
    let host = Netns::new()?;
    let start = |name: &str| -> Result<Dhow> {
        let dir = scratch.path().join(name);
        std::fs::create_dir(&dir).with_context(|| format!("make {}", dir.display()))?;
        Dhow::start_on(&dir, dhow, archive, &host, &[])
    };
    let engine = start("a")?;
    let client = |words: &[&str]| watch::started(symbols, &engine.command(words).context("a client")?);
    let of_client = client(RUN)?;
    let others = OTHERS.iter().map(|words| client(words)).collect::<Result<Vec<_>>>()?.concat();
    drop(engine);

    let engine = start("b")?;
    let [daemon, spawner] = engine.daemons()[..] else { anyhow::bail!("an engine is two processes") };
    let (of_daemon, of_spawner) = std::thread::scope(|scope| {
        let of_daemon = scope.spawn(|| watch::running(symbols, daemon));
        let of_spawner = scope.spawn(|| watch::running(symbols, spawner));
        let worked = (0..TIMES).try_for_each(|_| quiet(&mut engine.command(RUN).context("a client")?));
        // Not waited for before the watches have ended: who waits for a child that another thread watches is told of its stops, too, and then
        // that thread is not.
        engine.terminate();
        let both = (watch::joined(of_daemon), watch::joined(of_spawner));
        worked.and(Ok(both))
    })?;
    drop(engine);
    let mut names = Names::default();
    // First, since a shim asks for all pieces up to its last one.
    names.add("the spawner", of_spawner?)?;
    names.add("the client", of_client)?;
    names.add("the daemon", of_daemon?)?;
    names.add("other clients", others)?;
    Ok(names.order)
}

/// Each name once, where it came first.
#[derive(Debug, Default)]
struct Names {
    order: Vec<String>,
    seen: HashSet<String>,
}

impl Names {
    fn add(&mut self, whose: &str, names: Vec<String>) -> Result<()> {
        ensure!(!names.is_empty(), "{whose}: no function was seen");
        let (all, before) = (names.len(), self.order.len());
        for name in names {
            let name = symbols::lasting(&name).to_owned();
            if self.seen.insert(name.clone()) {
                self.order.push(name);
            }
        }
        println!("{whose}: {all} functions, {} new", self.order.len() - before);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_once() {
        let mut names = Names::default();
        names.add("one", ["a", "b.llvm.1", "a"].map(String::from).to_vec()).unwrap();
        names.add("two", ["b.llvm.2", "c"].map(String::from).to_vec()).unwrap();
        assert_eq!(names.order, ["a", "b", "c"]);
        assert!(names.add("three", Vec::new()).is_err());
    }
}
