//! Logs: a container that writes 1 GB to its log, and reading the end of such a log.

use super::candidates::Candidate;
use crate::shell::output;
use anyhow::{Context, Result};
use std::time::Instant;

/// Bytes that the container writes.
const SIZE: u64 = 1 << 30;
/// Reads of each kind.
const ROUNDS: usize = 5;
/// Microseconds after which no further read begins.
const ENOUGH: u64 = 5_000_000;

/// Microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Logs {
    /// From the start of the container to its end.
    pub(crate) write: u64,
    /// `logs --tail 10`, the median.
    pub(crate) tail: u64,
    /// `logs --since` a moment after the last line, the median.
    pub(crate) since: u64,
}

/// Measures every candidate with a daemon; `None` for the others. Candidates follow each other: one fills the page cache, the other must not
/// be measured beside it.
pub(crate) fn all(candidates: &[Box<dyn Candidate>]) -> Result<Vec<Option<Logs>>> {
    println!("measuring logs");
    candidates.iter().map(|candidate| candidate.socket().map(|_| one(candidate.as_ref())).transpose()).collect()
}

fn one(candidate: &dyn Candidate) -> Result<Logs> {
    let ask = |words: &[&str]| output(&mut candidate.command(words).context("an engine has commands")?);
    // Without a limit, as Docker's are: all of it is there to be read.
    let unlimited: &[&str] = if candidate.name() == "dhow" { &["--log-opt", "max-size=-1"] } else { &[] };
    let script = format!("yes 'a line of an ordinary log, some sixty bytes long, as they come' | head -c {SIZE}");
    let words = [&["run", "-d", "--name", "bench", "--network", "none"], unlimited, &["busybox", "sh", "-c", &script]].concat();
    let start = Instant::now();
    ask(&words)?;
    ask(&["wait", "bench"])?;
    let write = micros(start);
    let median = |words: &[&str]| -> Result<u64> {
        let mut times = Vec::new();
        // What takes seconds needs no second look.
        while times.len() < ROUNDS && times.iter().sum::<u64>() < ENOUGH {
            let start = Instant::now();
            ask(words)?;
            times.push(micros(start));
        }
        times.sort_unstable();
        Ok(times[times.len() / 2])
    };
    let ended = ask(&["inspect", "-f", "{{.State.FinishedAt}}", "bench"])?;
    let tail = median(&["logs", "--tail", "10", "bench"])?;
    let since = median(&["logs", "--since", ended.trim(), "bench"])?;
    ask(&["rm", "-f", "bench"])?;
    Ok(Logs { write, tail, since })
}

fn micros(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
