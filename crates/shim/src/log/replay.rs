//! Reading a log back to a client that asked for it (`logs=1`), while the shim goes on writing it.

use super::{Log, numbered};
use crate::frame::Stream;
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;

/// Read at once.
const CHUNK: usize = 16 * 1024;
/// A longer line is not one of ours and is skipped.
const LINE_MAX: usize = 1024 * 1024;

/// One reader's place in the log.
#[derive(Debug)]
pub(crate) struct Replay {
    generation: i64,
    file: Option<OwnedFd>,
    offset: u64,
    carry: Vec<u8>,
}

/// Whether there is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Call again.
    More,
    /// All that is written was read.
    CaughtUp,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
}

impl Replay {
    /// Begins with the oldest file there is.
    pub(crate) fn new(log: &Log) -> Self {
        let mut oldest = 0;
        while oldest + 1 < log.max_file && numbered(&log.path, oldest + 1).exists() {
            oldest += 1;
        }
        Self { generation: log.generation - i64::from(oldest), file: None, offset: 0, carry: Vec::new() }
    }

    /// Reads one chunk and calls `emit` with each entry in it. Files that rotation removed meanwhile are passed over.
    pub(crate) fn step(&mut self, log: &Log, mut emit: impl FnMut(Stream, &[u8])) -> io::Result<Progress> {
        let offset = self.offset;
        let Some(file) = self.open(log)? else {
            return Ok(Progress::More);
        };
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = rustix::io::pread(file, rustix::buffer::spare_capacity(&mut chunk), offset)?;
        self.offset += read as u64;
        if read == 0 {
            if self.generation >= log.generation {
                return Ok(Progress::CaughtUp);
            }
            self.next();
            return Ok(Progress::More);
        }
        let mut rest = chunk.as_slice();
        while let Some(at) = rest.iter().position(|&b| b == b'\n') {
            let (line, tail) = rest.split_at(at);
            rest = tail.get(1..).unwrap_or_default();
            if self.carry.is_empty() {
                decode(line, &mut emit);
            } else {
                self.carry.extend_from_slice(line);
                decode(&self.carry, &mut emit);
                self.carry.clear();
            }
        }
        self.carry.extend_from_slice(rest);
        if self.carry.len() > LINE_MAX {
            self.carry = Vec::new();
        }
        Ok(Progress::More)
    }

    /// The file of this generation. `None`: it is gone, the next one is due.
    fn open(&mut self, log: &Log) -> io::Result<Option<&OwnedFd>> {
        if self.file.is_none() {
            let back = u32::try_from(log.generation - self.generation).unwrap_or(0);
            let path = if back == 0 { log.path.clone() } else { numbered(&log.path, back) };
            match rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(file) => self.file = Some(file),
                Err(rustix::io::Errno::NOENT) if back > 0 => self.next(),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(self.file.as_ref())
    }

    fn next(&mut self) {
        self.generation += 1;
        self.file = None;
        self.offset = 0;
        self.carry.clear();
    }
}

fn decode(line: &[u8], emit: &mut impl FnMut(Stream, &[u8])) {
    // A line that is no entry (a crash tore it, somebody edited the file) is no reason to show nothing.
    let Ok(entry) = serde_json::from_slice::<Entry<'_>>(line) else { return };
    let stream = if entry.stream == "stderr" { Stream::Stderr } else { Stream::Stdout };
    emit(stream, entry.log.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogConfig;

    fn log(dir: &std::path::Path, max_size: u64, max_file: u32) -> Log {
        let config = LogConfig { path: dir.join("x.log"), max_size, max_file, attrs: Default::default() };
        Log::open(&config).unwrap()
    }

    fn step(replay: &mut Replay, log: &Log, out: &mut Vec<u8>) -> Progress {
        replay.step(log, |_, bytes| out.extend_from_slice(bytes)).unwrap()
    }

    #[test]
    fn whole_log_over_rotated_files_while_it_grows() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 2000, 1000);
        let mut expect = Vec::new();
        let mut write = |log: &mut Log, from: u32, to: u32| {
            for n in from..to {
                let line = format!("line {n} <é>\n");
                log.append(Stream::BOTH[n as usize % 2], line.as_bytes(), 7).unwrap();
                expect.extend_from_slice(line.as_bytes());
            }
        };
        write(&mut log, 0, 300);
        let mut replay = Replay::new(&log);
        let mut got = Vec::new();
        for round in 0..5 {
            step(&mut replay, &log, &mut got);
            write(&mut log, 300 + round * 50, 350 + round * 50);
        }
        log.append(Stream::Stdout, b"unfinished", 7).unwrap();
        while step(&mut replay, &log, &mut got) == Progress::More {}
        assert_eq!(String::from_utf8(got).unwrap(), String::from_utf8(expect).unwrap());
        assert_eq!(log.unfinished(Stream::Stdout), b"unfinished");
        assert!(log.generation > 10);
    }

    #[test]
    fn what_rotation_removed_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 300, 3);
        log.append(Stream::Stdout, b"first\n", 7).unwrap();
        let mut replay = Replay::new(&log);
        let mut got = Vec::new();
        step(&mut replay, &log, &mut got);
        for n in 0..100 {
            log.append(Stream::Stdout, format!("line {n}\n").as_bytes(), 7).unwrap();
        }
        while step(&mut replay, &log, &mut got) == Progress::More {}
        let text = String::from_utf8(got).unwrap();
        assert!(text.starts_with("first\n") && text.ends_with("line 99\n"));
    }

    #[test]
    fn a_torn_line_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x.log"), "{\"log\":\"a\n{\"log\":\"b\\n\",\"stream\":\"stderr\",\"time\":\"x\"}\n").unwrap();
        let log = log(dir.path(), 0, 1);
        let mut replay = Replay::new(&log);
        let mut got = Vec::new();
        while replay.step(&log, |s, b| got.push((s, b.to_vec()))).unwrap() == Progress::More {}
        assert_eq!(got, [(Stream::Stderr, b"b\n".to_vec())]);
    }
}
