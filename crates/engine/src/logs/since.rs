//! Where in a file a time begins, by bisection: a log of a gigabyte is not read to show its last minute.
//!
//! Entries are in the order of their times, but for one sort: all pieces of a line that is longer than an entry carry the time of the first
//! piece, however late they were written. So the search trusts only an entry that begins a line: one that follows, in its stream, an entry
//! that ended with a newline. Where it finds none it goes left, which costs time and never loses an entry. (A clock that was set back
//! breaks the order too; what was written before that and after the wanted time may then be missed.)

use super::files::{LogFile, read_at};
use super::line::{Cutter, parse};
use std::fs::File;
use std::io::Result;
use std::os::unix::fs::MetadataExt;

/// Read at once.
const CHUNK: usize = 32 * 1024;
/// A range so small is read instead of searched.
const SMALL: u64 = 128 * 1024;
/// Bytes behind a place within which an entry to be trusted must be found.
const LOOK: u64 = 4 << 20;

/// The files (oldest first) from which to read for what was written since a time, each with the place where to begin. What follows holds
/// every entry of that time and later, and some earlier ones.
pub(super) fn positions(files: Vec<LogFile>, since: i64) -> Result<Vec<(LogFile, u64)>> {
    let mut out = Vec::new();
    let newest = files.len().saturating_sub(1);
    for (at, file) in files.into_iter().enumerate() {
        // A file that was last written before is older as a whole. The newest stays: one follows it.
        if at != newest && modified(file.file())? < since {
            continue;
        }
        let position = match &file {
            LogFile::Plain(plain) => search(plain, since)?,
            LogFile::Compressed(_) => 0,
        };
        out.push((file, position));
    }
    Ok(out)
}

/// When it was last written. The file system's clock is coarse: it may lag by a tick.
fn modified(file: &File) -> Result<i64> {
    let meta = file.metadata()?;
    Ok(meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()).saturating_add(1_000_000_000))
}

/// A place in one file before which all is earlier.
fn search(file: &File, since: i64) -> Result<u64> {
    let (mut low, mut high) = (0, file.metadata()?.len());
    while high - low > SMALL {
        let middle = low + (high - low) / 2;
        match trusted(file, middle, high)? {
            Some((place, at)) if at < since => low = place,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The first entry after a place that begins a line: its place and time.
fn trusted(file: &File, from: u64, end: u64) -> Result<Option<(u64, i64)>> {
    let end = end.min(from.saturating_add(LOOK));
    let mut place = from;
    let mut cutter = Cutter::default();
    let mut chunk = vec![0; CHUNK];
    // Where the next line begins; what is before the first newline is the rest of a line.
    let mut next = None;
    let mut line_ended = [false; 2];
    let mut found = None;
    while place < end && found.is_none() {
        let read = read_at(file, &mut chunk, place)?;
        if read == 0 {
            break;
        }
        let mut bytes = &chunk[..read];
        if next.is_none() {
            let Some(newline) = memchr::memchr(b'\n', bytes) else {
                place += read as u64;
                continue;
            };
            next = Some(place + newline as u64 + 1);
            bytes = &bytes[newline + 1..];
        }
        cutter.feed(bytes, |line| {
            let Some(begin) = next else { return };
            next = Some(begin + line.len() as u64 + 1);
            if found.is_some() {
                return;
            }
            let Some(entry) = parse(line) else { return };
            let ended = &mut line_ended[usize::from(entry.stream == 2)];
            if *ended {
                found = Some((begin, entry.at));
            }
            *ended = entry.text.ends_with(b"\n");
        });
        place += read as u64;
    }
    Ok(found)
}
