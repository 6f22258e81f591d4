//! Where the last lines of a log begin, found from its end.

use super::files::{LogFile, read_at, read_exact_at};
use std::fs::File;
use std::io::{Read, Result};

const CHUNK: u64 = 32 * 1024;

/// The files (oldest first) from which to read for the last `wanted` lines, each with the place where to begin.
pub(super) fn positions(files: Vec<LogFile>, wanted: u64) -> Result<Vec<(LogFile, u64)>> {
    let mut left = wanted;
    let mut out = Vec::new();
    for file in files.into_iter().rev() {
        // Of the newest file the end is remembered even where no line is wanted: to follow, one begins there.
        if left == 0 {
            if out.is_empty() {
                let length = file.file().metadata()?.len();
                out.push((file, length));
            }
            break;
        }
        let (position, found) = match &file {
            LogFile::Plain(plain) => from_end(plain, plain.metadata()?.len(), left)?,
            LogFile::Compressed(packed) => from_beginning(packed, left)?,
        };
        left -= found;
        out.push((file, position));
    }
    out.reverse();
    Ok(out)
}

/// Where the last `wanted` lines of one file begin, and how many there are. What follows the last newline is not counted: it is not whole.
fn from_end(file: &File, length: u64, wanted: u64) -> Result<(u64, u64)> {
    let mut found = 0;
    let mut end = length;
    let mut chunk = vec![0; usize::try_from(CHUNK).unwrap_or(usize::MAX)];
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        let bytes = &mut chunk[..usize::try_from(end - start).unwrap_or(0)];
        read_exact_at(file, bytes, start)?;
        for at in memchr::memrchr_iter(b'\n', bytes) {
            // The newline before the wanted lines is where they begin.
            if found == wanted {
                return Ok((start + at as u64 + 1, found));
            }
            found += 1;
        }
        end = start;
    }
    Ok((0, found))
}

/// The same for a compressed file, which has no end to begin at: one pass counts its lines, another finds the place.
fn from_beginning(packed: &File, wanted: u64) -> Result<(u64, u64)> {
    let total = newlines(packed, u64::MAX)?.1;
    let skipped = total.saturating_sub(wanted);
    Ok((if skipped == 0 { 0 } else { newlines(packed, skipped)?.0 }, total - skipped))
}

/// The place behind so many newlines, and how many there are up to it.
fn newlines(packed: &File, most: u64) -> Result<(u64, u64)> {
    // A copy of its own place in the file.
    let mut decoder = flate2::read::MultiGzDecoder::new(At { file: packed, position: 0 });
    let mut chunk = vec![0; usize::try_from(CHUNK).unwrap_or(usize::MAX)];
    let (mut place, mut count) = (0, 0);
    loop {
        let read = decoder.read(&mut chunk)?;
        if read == 0 {
            return Ok((place, count));
        }
        for at in memchr::memchr_iter(b'\n', &chunk[..read]) {
            count += 1;
            if count == most {
                return Ok((place + at as u64 + 1, count));
            }
        }
        place += read as u64;
    }
}

/// A file read from a place of one's own.
struct At<'a> {
    file: &'a File,
    position: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = read_at(self.file, buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}
