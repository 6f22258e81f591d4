//! Stats of many containers: one sample of each, asked for at once over the API.

use super::candidates::Candidate;
use crate::shell::output;
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often they are asked for.
const ROUNDS: usize = 7;
/// Between two rounds: nobody watches any more, so the next round measures anew.
const REST: Duration = Duration::from_millis(1500);

/// Microseconds until all samples are there, the median; `None` for candidates without a daemon.
pub(crate) fn all(candidates: &[Box<dyn Candidate>], containers: usize) -> Result<Vec<Option<u64>>> {
    println!("measuring stats");
    candidates.iter().map(|candidate| candidate.socket().map(|socket| one(candidate.as_ref(), &socket, containers)).transpose()).collect()
}

fn one(candidate: &dyn Candidate, socket: &Path, containers: usize) -> Result<u64> {
    let ask = |words: &[&str]| output(&mut candidate.command(words).context("an engine has commands")?);
    let mut ids = Vec::new();
    for _ in 0..containers {
        ids.push(ask(&["run", "-d", "--network", "none", "busybox", "sleep", "100000"])?.trim().to_owned());
    }
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        std::thread::sleep(REST);
        times.push(round(socket, &ids)?);
    }
    for some in ids.chunks(20) {
        let mut words = vec!["rm", "-f"];
        words.extend(some.iter().map(String::as_str));
        ask(&words)?;
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn round(socket: &Path, ids: &[String]) -> Result<u64> {
    let start = Instant::now();
    let mut open = Vec::with_capacity(ids.len());
    for id in ids {
        let mut stream = UnixStream::connect(socket).context("connect")?;
        let request = format!("GET /v1.41/containers/{id}/stats?stream=0&one-shot=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).context("ask")?;
        open.push(stream);
    }
    for mut stream in open {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).context("read a sample")?;
        let text = String::from_utf8_lossy(&answer);
        ensure!(text.starts_with("HTTP/1.1 200") && text.contains("\"total_usage\""), "no sample: {text}");
    }
    Ok(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX))
}
