//! Where the last lines of a log begin, found from its end.

use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt;

const CHUNK: u64 = 32 * 1024;

/// The files (oldest first) from which to read for the last `wanted` lines, each with the place where to begin.
pub(super) fn positions(files: Vec<File>, wanted: u64) -> Result<Vec<(File, u64)>> {
    let mut left = wanted;
    let mut out = Vec::new();
    for file in files.into_iter().rev() {
        let length = file.metadata()?.len();
        // Of the newest file the end is remembered even where no line is wanted: to follow, one begins there.
        if left == 0 {
            if out.is_empty() {
                out.push((file, length));
            }
            break;
        }
        let (position, found) = from_end(&file, length, left)?;
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
        file.read_exact_at(bytes, start)?;
        for (at, _) in bytes.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
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
