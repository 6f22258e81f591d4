//! From the death of a container's process to the answer of `wait`, beside a quiet and beside a dirty disk.

use super::candidates::Candidate;
use crate::shell::output;
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;
/// Bytes that another process has just written, and the disk has not.
const DIRTY: usize = 500 << 20;

/// By candidate: median microseconds beside a quiet disk, and beside a dirty one. `None` where there is no API.
pub(crate) type Exits = Vec<Option<(u64, u64)>>;

/// Measures every candidate with an API.
pub(crate) fn all(candidates: &[Box<dyn Candidate>], scratch: &Path) -> Result<Exits> {
    println!("measuring exits");
    let file = scratch.join("dirty");
    let mut results = Vec::new();
    for candidate in candidates {
        let Some(socket) = candidate.socket() else {
            results.push(None);
            continue;
        };
        let mut medians = Vec::new();
        for dirty in [false, true] {
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                if dirty {
                    std::fs::write(&file, vec![7_u8; DIRTY]).context("dirty the disk")?;
                } else {
                    std::thread::sleep(Duration::from_millis(100));
                }
                times.push(one(candidate.as_ref(), &socket)?);
                if dirty {
                    std::fs::remove_file(&file).context("clean up")?;
                }
            }
            times.sort_unstable();
            medians.push(times[times.len() / 2]);
        }
        results.push(Some((medians[0], medians[1])));
    }
    Ok(results)
}

/// Starts a container that has written to its root, kills its process, and waits for the API's word.
fn one(candidate: &dyn Candidate, socket: &Path) -> Result<u64> {
    let ask = |words: &[&str]| output(&mut candidate.command(words).context("an engine has commands")?);
    let script = "dd if=/dev/zero of=/written bs=64k count=16 2>/dev/null; sleep 100000";
    let id = ask(&["run", "-d", "--network", "none", "busybox", "sh", "-c", script])?.trim().to_string();
    let pid: i32 = ask(&["inspect", "-f", "{{.State.Pid}}", &id])?.trim().parse().context("a process id")?;
    let mut stream = UnixStream::connect(socket).context("connect to the API")?;
    write!(stream, "POST /v1.41/containers/{id}/wait?condition=not-running HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n")?;
    std::thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    let target = rustix::process::Pid::from_raw(pid).context("a process id")?;
    rustix::process::kill_process(target, rustix::process::Signal::KILL).context("kill the container's process")?;
    let mut answer = Vec::new();
    let mut part = [0_u8; 4096];
    // The headers may come at once, the code when it is known.
    while !String::from_utf8_lossy(&answer).contains("StatusCode") {
        let count = stream.read(&mut part).context("read the API's answer")?;
        anyhow::ensure!(count > 0, "the API hung up: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..count]);
    }
    let time = start.elapsed().as_micros() as u64;
    ask(&["rm", "-f", &id])?;
    Ok(time)
}
