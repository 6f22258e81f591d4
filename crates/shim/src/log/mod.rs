//! The json-file log of a container: written by its shim alone, read by whoever likes.
//!
//! ```text
//! PATH      newest, appended to; one write for each batch of output
//! PATH.1    the one before, and so on up to PATH.(max_file - 1); PATH.1.gz where they are compressed
//! ```

mod compress;
pub(crate) mod line;
pub(crate) mod replay;
pub(crate) mod split;

use crate::config::LogConfig;
use crate::frame::Stream;
use rustix::fs::{Mode, OFlags};
use split::Splitter;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A batch is written once it has grown to this: what one read of short lines becomes.
const BATCH: usize = 128 * 1024;
/// Room for a batch that is kept while nothing is written.
const KEPT: usize = 8 * 1024;

/// An open log.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    max_size: u64,
    max_file: u32,
    compress: bool,
    compressing: Option<compress::Child>,
    file: OwnedFd,
    size: u64,
    /// Counts the files since this shim began: the newest has this number, `PATH.n` has `generation - n`.
    generation: i64,
    splitters: [Splitter; 2],
    writer: line::Writer,
    out: Vec<u8>,
}

impl Log {
    /// Opens (or goes on with) the file.
    pub(crate) fn open(config: &LogConfig) -> io::Result<Self> {
        let attrs = match config.attrs.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&config.attrs).map_err(io::Error::other)?,
        };
        let (file, size) = open(&config.path)?;
        Ok(Self {
            path: config.path.clone(),
            max_size: config.max_size,
            max_file: config.max_file.max(1),
            compress: config.compress,
            compressing: None,
            file,
            size,
            generation: 0,
            splitters: Default::default(),
            writer: line::Writer::new(attrs),
            out: Vec::new(),
        })
    }

    /// Writes all finished lines of `chunk`. On an error (a full disk) the lines that did not fit are lost, none is torn, and the next call
    /// tries again.
    pub(crate) fn append(&mut self, stream: Stream, chunk: &[u8], now: i64) -> io::Result<()> {
        self.cut(stream, now, Some(chunk))
    }

    /// A stream has ended: writes its unfinished line.
    pub(crate) fn end(&mut self, stream: Stream, now: i64) -> io::Result<()> {
        self.cut(stream, now, None)
    }

    fn cut(&mut self, stream: Stream, now: i64, chunk: Option<&[u8]>) -> io::Result<()> {
        let mut splitter = std::mem::take(&mut self.splitters[stream.index()]);
        let mut result = Ok(());
        let mut entry = |piece: &[u8], ending, time| {
            // As in Docker a full file is rotated when the next entry comes.
            let full = self.is_full();
            if full || self.out.len() >= BATCH {
                let written = self.flush().and_then(|()| if full { self.rotate() } else { Ok(()) });
                result = std::mem::replace(&mut result, Ok(())).and(written);
            }
            self.writer.write(&mut self.out, piece, ending, stream, time);
        };
        match chunk {
            Some(chunk) => splitter.feed(chunk, now, &mut entry),
            None => splitter.end(now, &mut entry),
        }
        self.splitters[stream.index()] = splitter;
        result.and(self.flush())
    }

    /// Writes the batch. A write that was cut short is taken back, so that no line is torn.
    fn flush(&mut self) -> io::Result<()> {
        let mut done = 0;
        let mut result = Ok(());
        while let Some(rest) = self.out.get(done..).filter(|rest| !rest.is_empty()) {
            match rustix::io::write(&self.file, rest) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => {
                    result = Err(e.into());
                    break;
                }
            }
        }
        if done == self.out.len() {
            self.size += done as u64;
        } else if done > 0 {
            rustix::fs::ftruncate(&self.file, self.size)?;
        }
        self.out.clear();
        result
    }

    /// Whether it holds memory that [`Log::rest`] gives back.
    pub(crate) fn is_large(&self) -> bool {
        self.out.capacity() > KEPT
    }

    /// Nothing was written for a while.
    pub(crate) fn rest(&mut self) {
        self.out.shrink_to(KEPT);
    }

    /// Whether the file is to be rotated. While the one before is still being compressed, this one may grow to twice its size.
    fn is_full(&self) -> bool {
        let size = self.size + self.out.len() as u64;
        let busy = || self.compressing.as_ref().is_some_and(|child| !child.is_done());
        self.max_size > 0 && size >= self.max_size && (size >= self.max_size.saturating_mul(2) || !busy())
    }

    /// `PATH` becomes `PATH.1`, that `PATH.2`, and so on; the last falls off.
    fn rotate(&mut self) -> io::Result<()> {
        if let Some(child) = self.compressing.take() {
            child.finish();
        }
        let last = if self.max_file == 1 { self.path.clone() } else { numbered(&self.path, self.max_file - 1) };
        missing_is_fine(rustix::fs::unlink(&last))?;
        missing_is_fine(rustix::fs::unlink(compress::packed(&last)))?;
        for n in (1..self.max_file).rev() {
            let from = if n == 1 { self.path.clone() } else { numbered(&self.path, n - 1) };
            missing_is_fine(rustix::fs::rename(&from, numbered(&self.path, n)))?;
            if n > 1 {
                missing_is_fine(rustix::fs::rename(compress::packed(&from), compress::packed(&numbered(&self.path, n))))?;
            }
        }
        self.reopen()?;
        if self.compress && self.max_file > 1 {
            let newest = numbered(&self.path, 1);
            // Of a child that was ended.
            missing_is_fine(rustix::fs::unlink(compress::unfinished(&newest)))?;
            self.compressing = Some(compress::Child::start(&newest)?);
        }
        Ok(())
    }

    /// Opens the path anew where somebody else has moved the file away.
    pub(crate) fn follow(&mut self) -> io::Result<()> {
        let same = |a: rustix::fs::Stat, b: rustix::fs::Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
        match rustix::fs::lstat(&self.path) {
            Ok(found) if same(found, rustix::fs::fstat(&self.file)?) => Ok(()),
            Ok(_) | Err(rustix::io::Errno::NOENT) => self.reopen(),
            Err(e) => Err(e.into()),
        }
    }

    /// Opens the path anew: the file was renamed.
    fn reopen(&mut self) -> io::Result<()> {
        (self.file, self.size) = open(&self.path)?;
        self.generation += 1;
        Ok(())
    }

    /// What was read of a stream but is in no entry yet.
    pub(crate) fn unfinished(&self, stream: Stream) -> &[u8] {
        self.splitters[stream.index()].unfinished()
    }
}

fn open(path: &Path) -> io::Result<(OwnedFd, u64)> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o640))?;
    let size = rustix::fs::fstat(&file)?.st_size.max(0) as u64;
    Ok((file, size))
}

fn numbered(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

fn missing_is_fine(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(rustix::io::Errno::NOENT) | Ok(()) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &Path, max_size: u64, max_file: u32) -> LogConfig {
        LogConfig { path: dir.join("x.log"), max_size, max_file, compress: false, attrs: Default::default() }
    }

    fn texts(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["log"].as_str().unwrap().to_owned();
        text.lines().map(parse).collect()
    }

    #[test]
    fn lines_of_two_streams_and_a_partial_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(&config(dir.path(), 0, 1)).unwrap();
        log.append(Stream::Stdout, b"one\ntw", 1).unwrap();
        log.append(Stream::Stderr, b"err\n", 2).unwrap();
        log.append(Stream::Stdout, b"o\nthree", 3).unwrap();
        assert_eq!(log.unfinished(Stream::Stdout), b"three");
        log.end(Stream::Stdout, 4).unwrap();
        log.end(Stream::Stderr, 4).unwrap();
        assert_eq!(texts(&dir.path().join("x.log")), ["one\n", "err\n", "two\n", "three"]);
    }

    #[test]
    fn rotation_keeps_the_newest_files_and_loses_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(&config(dir.path(), 1000, 3)).unwrap();
        let all: Vec<String> = (0..40).map(|n| format!("line {n}\n")).collect();
        log.append(Stream::Stdout, all.concat().as_bytes(), 1).unwrap();
        let path = dir.path().join("x.log");
        let mut got = texts(&numbered(&path, 2));
        got.extend(texts(&numbered(&path, 1)));
        assert!(std::fs::metadata(numbered(&path, 1)).unwrap().len() >= 1000);
        got.extend(texts(&path));
        assert_eq!(got, all[all.len() - got.len()..]);
        assert!(got.len() > 20);
        assert!(!numbered(&path, 3).exists());
    }

    #[test]
    fn one_file_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(&config(dir.path(), 200, 1)).unwrap();
        for n in 0..20 {
            log.append(Stream::Stdout, format!("line {n}\n").as_bytes(), 1).unwrap();
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(log.size < 300 && log.generation > 1);
    }

    #[test]
    fn goes_on_with_an_old_file() {
        let dir = tempfile::tempdir().unwrap();
        Log::open(&config(dir.path(), 0, 1)).unwrap().append(Stream::Stdout, b"a\n", 1).unwrap();
        Log::open(&config(dir.path(), 0, 1)).unwrap().append(Stream::Stdout, b"b\n", 1).unwrap();
        assert_eq!(texts(&dir.path().join("x.log")), ["a\n", "b\n"]);
    }

    #[test]
    fn attrs() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), 0, 1);
        config.attrs.insert("tag".into(), "<x>".into());
        Log::open(&config).unwrap().append(Stream::Stderr, b"a\n", 0).unwrap();
        let text = std::fs::read_to_string(&config.path).unwrap();
        assert_eq!(text, "{\"log\":\"a\\n\",\"stream\":\"stderr\",\"attrs\":{\"tag\":\"<x>\"},\"time\":\"1970-01-01T00:00:00Z\"}\n");
    }
}
