//! Whole commands, timed: process creation to exit. Candidates take turns, with rest before each command. In a turn the command runs twice, and
//! the second time counts: a machine may take back within a second what no program touches (Linux's DAMON does so), and until a candidate's next
//! turn the others take longer. What is measured is a warm one.

use super::candidates::Candidate;
use anyhow::{Context, Result, bail};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Rest before each command: a tight loop hides grace periods of the kernel.
const REST: Duration = Duration::from_millis(100);

/// One command, and each candidate's samples in microseconds, sorted; empty where it has no such command.
#[derive(Debug)]
pub(crate) struct Row {
    /// The words.
    pub(crate) name: &'static str,
    /// By candidate.
    pub(crate) samples: Vec<Vec<u64>>,
}

/// What is measured: a name, and the words. The name of the container for `exec` is `bench`.
const COMMANDS: &[(&str, &[&str])] = &[
    ("run --rm --network none busybox true", &["run", "--rm", "--network", "none", "busybox", "true"]),
    ("exec C true", &["exec", "bench", "true"]),
    ("version", &["version"]),
];

/// Measures every command of every candidate.
pub(crate) fn all(candidates: &[Box<dyn Candidate>], samples: usize) -> Result<Vec<Row>> {
    for candidate in candidates.iter().filter(|candidate| candidate.command(&["exec"]).is_some()) {
        sample(candidate.as_ref(), &["run", "-d", "--name", "bench", "--network", "none", "busybox", "sleep", "100000"])?;
    }
    let all: Vec<&dyn Candidate> = candidates.iter().map(AsRef::as_ref).collect();
    let rows = rows(&all, COMMANDS, samples)?;
    for candidate in candidates.iter().filter(|candidate| candidate.command(&["exec"]).is_some()) {
        sample(candidate.as_ref(), &["rm", "-f", "bench"])?;
    }
    Ok(rows)
}

/// Measures commands of candidates that take turns, and so do the commands: what disturbs the machine disturbs all of them.
pub(crate) fn rows(candidates: &[&dyn Candidate], commands: &[(&'static str, &[&str])], samples: usize) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = commands.iter().map(|(name, _)| Row { name, samples: vec![Vec::new(); candidates.len()] }).collect();
    println!("measuring {}", commands.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "));
    for round in 0..samples + 2 {
        for (row, (_, words)) in rows.iter_mut().zip(commands) {
            for turn in 0..candidates.len() {
                // Each round starts with another one, so that nobody always follows the same neighbour.
                let index = (turn + round) % candidates.len();
                let mut last = None;
                for _ in 0..2 {
                    std::thread::sleep(REST);
                    last = sample(candidates[index], words)?;
                }
                // The first two rounds warm up.
                if let (Some(time), true) = (last, round >= 2) {
                    row.samples[index].push(time);
                }
            }
        }
    }
    rows.iter_mut().flat_map(|row| &mut row.samples).for_each(|times| times.sort_unstable());
    Ok(rows)
}

/// Microseconds of one command; `None` where the candidate has no such command.
fn sample(candidate: &dyn Candidate, words: &[&str]) -> Result<Option<u64>> {
    let Some(mut command) = candidate.command(words) else { return Ok(None) };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let start = Instant::now();
    let output = command.spawn().and_then(std::process::Child::wait_with_output).with_context(|| format!("run {command:?}"))?;
    let time = start.elapsed();
    if !output.status.success() {
        bail!("{} {}: {}\n{}", candidate.name(), words.join(" "), output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(Some(time.as_micros() as u64))
}

/// The value below which that share (0 to 100) of the sorted samples lies.
pub(crate) fn percentile(sorted: &[u64], share: usize) -> Option<u64> {
    sorted.get((sorted.len() * share / 100).min(sorted.len().checked_sub(1)?)).copied()
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles() {
        let sorted: Vec<u64> = (0..100).collect();
        assert_eq!((percentile(&sorted, 50), percentile(&sorted, 95), percentile(&sorted, 100)), (Some(50), Some(95), Some(99)));
        assert_eq!(percentile(&[], 50), None);
    }
}
