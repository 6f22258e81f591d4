//! Memory: the daemon at rest, and what each running container costs beside its own processes.

use super::candidates::Candidate;
use crate::shell::output;
use anyhow::{Context, Result};
use std::time::Duration;

/// One candidate's memory, in KiB.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Resident set of all daemons, nothing running.
    pub(crate) rest: u64,
    /// Proportional set size of the process that watches one container, the mean over all.
    pub(crate) shim: Option<u64>,
    /// Growth of the daemons' resident set for each container.
    pub(crate) growth: i64,
}

/// Measures every candidate; `None` for the bare kernel.
pub(crate) fn all(candidates: &[Box<dyn Candidate>], containers: usize) -> Result<Vec<Option<Memory>>> {
    println!("measuring memory");
    candidates.iter().map(|candidate| one(candidate.as_ref(), containers)).collect()
}

fn one(candidate: &dyn Candidate, containers: usize) -> Result<Option<Memory>> {
    let Some(_) = candidate.command(&["version"]) else { return Ok(None) };
    let ask = |words: &[&str]| output(&mut candidate.command(words).context("an engine has commands")?);
    std::thread::sleep(Duration::from_secs(2));
    let resident = || candidate.daemons().into_iter().map(|pid| field(pid, "status", "VmRSS:")).sum::<u64>();
    let rest = resident();
    let mut ids = Vec::new();
    for _ in 0..containers {
        ids.push(ask(&["run", "-d", "--network", "none", "busybox", "sleep", "100000"])?.trim().to_string());
    }
    std::thread::sleep(Duration::from_secs(2));
    let mut shims = Vec::new();
    for id in &ids {
        let pid: i32 = ask(&["inspect", "-f", "{{.State.Pid}}", id])?.trim().parse().context("a process id")?;
        shims.extend(parent(pid).map(|shim| field(shim, "smaps_rollup", "Pss:")));
    }
    let growth = (resident() as i64 - rest as i64) / containers.max(1) as i64;
    for id in &ids {
        ask(&["rm", "-f", id])?;
    }
    let shim = (!shims.is_empty()).then(|| shims.iter().sum::<u64>() / shims.len() as u64);
    Ok(Some(Memory { rest, shim, growth }))
}

/// Forgets the most that a process ever had resident.
pub(crate) fn reset_high_water(pid: i32) {
    if let Err(error) = std::fs::write(format!("/proc/{pid}/clear_refs"), "5") {
        eprintln!("the most that process {pid} had resident cannot be reset: {error}");
    }
}

/// The most that a process had resident since then, in KiB.
pub(crate) fn high_water(pid: i32) -> u64 {
    field(pid, "status", "VmHWM:")
}

/// A number of a process's file in /proc, in KiB.
fn field(pid: i32, file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
