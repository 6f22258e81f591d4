//! Reading a log back to a client that asked for it (`logs=1`), while the shim goes on writing it.

use super::{Log, compress, numbered};
use crate::frame::Stream;
use flate2::read::MultiGzDecoder;
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Read at once.
const CHUNK: usize = 16 * 1024;
/// A longer line is not one of ours and is skipped.
const LINE_MAX: usize = 1024 * 1024;

/// One reader's place in the log.
#[derive(Debug)]
pub(crate) struct Replay {
    generation: i64,
    source: Option<Source>,
    carry: Vec<u8>,
}

/// A file and how far it is read.
#[derive(Debug)]
enum Source {
    Plain { file: File, offset: u64 },
    Packed(Box<MultiGzDecoder<File>>),
}

impl Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain { file, offset } => {
                let read = file.read_at(buffer, *offset)?;
                *offset += read as u64;
                Ok(read)
            }
            Self::Packed(decoder) => decoder.read(buffer),
        }
    }
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
        let exists = |path: &Path| path.exists() || compress::packed(path).exists();
        while oldest + 1 < log.max_file && exists(&numbered(&log.path, oldest + 1)) {
            oldest += 1;
        }
        Self { generation: log.generation - i64::from(oldest), source: None, carry: Vec::new() }
    }

    /// Reads one chunk and calls `emit` with each entry in it. Files that rotation removed meanwhile are passed over.
    pub(crate) fn step(&mut self, log: &Log, mut emit: impl FnMut(Stream, &[u8])) -> io::Result<Progress> {
        let Some(source) = self.open(log)? else {
            return Ok(Progress::More);
        };
        let mut chunk = vec![0; CHUNK];
        let read = source.read(&mut chunk)?;
        chunk.truncate(read);
        if read == 0 {
            if self.generation >= log.generation {
                return Ok(Progress::CaughtUp);
            }
            self.next();
            return Ok(Progress::More);
        }
        let mut rest = chunk.as_slice();
        while let Some(at) = memchr::memchr(b'\n', rest) {
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
    fn open(&mut self, log: &Log) -> io::Result<Option<&mut Source>> {
        if self.source.is_none() {
            let back = u32::try_from(log.generation - self.generation).unwrap_or(0);
            let path = if back == 0 { log.path.clone() } else { numbered(&log.path, back) };
            // The plain name goes when the other one is there.
            self.source = match open(&path)? {
                Some(file) => Some(Source::Plain { file, offset: 0 }),
                None => open(&compress::packed(&path))?.map(|file| Source::Packed(Box::new(MultiGzDecoder::new(file)))),
            };
            match self.source {
                None if back == 0 => return Err(rustix::io::Errno::NOENT.into()),
                None => self.next(),
                Some(_) => {}
            }
        }
        Ok(self.source.as_mut())
    }

    fn next(&mut self) {
        self.generation += 1;
        self.source = None;
        self.carry.clear();
    }
}

/// `None` where it is not there.
fn open(path: &Path) -> io::Result<Option<File>> {
    match rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(file) => Ok(Some(file.into())),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
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
        let config = LogConfig { path: dir.join("x.log"), max_size, max_file, compress: false, attrs: Default::default() };
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
    fn compressed_files_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 500, 4);
        let mut expect = Vec::new();
        for n in 0..20 {
            let line = format!("line {n}\n");
            log.append(Stream::Stdout, line.as_bytes(), 7).unwrap();
            expect.extend_from_slice(line.as_bytes());
        }
        assert!(numbered(&log.path, 2).exists());
        for n in 1..=2 {
            let plain = numbered(&log.path, n);
            let mut encoder = flate2::write::GzEncoder::new(File::create(compress::packed(&plain)).unwrap(), flate2::Compression::fast());
            io::copy(&mut File::open(&plain).unwrap(), &mut encoder).unwrap();
            encoder.finish().unwrap();
            std::fs::remove_file(plain).unwrap();
        }
        let mut replay = Replay::new(&log);
        let mut got = Vec::new();
        while step(&mut replay, &log, &mut got) == Progress::More {}
        assert_eq!(String::from_utf8(got).unwrap(), String::from_utf8(expect).unwrap());
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
