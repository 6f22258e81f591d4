//! Lines of a json-file log, read in batches of bounded size.

use crate::engine::LogLine;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Bytes read at once.
const CHUNK: usize = 32 * 1024;
/// Lines handed on at once.
const BATCH: usize = 256;
/// A longer line is no line of ours: 16 KiB of text, each byte escaped, and attributes stay far below.
const LONGEST: usize = 1024 * 1024;

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    #[serde(default)]
    attrs: Option<BTreeMap<String, String>>,
}

/// Takes one line of the file apart; `None` where it is none.
pub(super) fn parse(bytes: &[u8]) -> Option<LogLine> {
    let record: Record<'_> = serde_json::from_slice(bytes).ok()?;
    let at = record.time.parse::<jiff::Timestamp>().ok()?;
    Some(LogLine {
        stream: if record.stream == "stderr" { 2 } else { 1 },
        at: i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX),
        text: record.log.into_owned().into_bytes(),
        attrs: record.attrs.unwrap_or_default(),
    })
}

/// A file and how far it is read. What follows the last newline is kept until its newline comes.
#[derive(Debug)]
pub(super) struct Lines {
    file: Option<File>,
    position: u64,
    rest: Vec<u8>,
    /// The line being read is too long and is passed over.
    skipping: bool,
}

impl Lines {
    pub(super) fn new(file: File, position: u64) -> Self {
        Self { file: Some(file), position, rest: Vec::new(), skipping: false }
    }

    /// Reads nothing.
    pub(super) fn none() -> Self {
        Self { file: None, position: 0, rest: Vec::new(), skipping: false }
    }

    pub(super) fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// The next lines; none at the end of the file as it is now. A file that became shorter is read from its beginning.
    pub(super) fn batch(&mut self) -> std::io::Result<Vec<LogLine>> {
        let mut out = Vec::new();
        let Some(file) = &self.file else { return Ok(out) };
        if file.metadata()?.len() < self.position {
            self.position = 0;
            self.rest.clear();
        }
        let mut chunk = vec![0; CHUNK];
        while out.len() < BATCH {
            let read = file.read_at(&mut chunk, self.position)?;
            if read == 0 {
                break;
            }
            self.position += read as u64;
            let mut bytes = &chunk[..read];
            while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
                let (line, after) = (&bytes[..end], &bytes[end + 1..]);
                if std::mem::take(&mut self.skipping) {
                    self.rest.clear();
                } else if self.rest.is_empty() {
                    out.extend(parse(line));
                } else {
                    self.rest.extend_from_slice(line);
                    out.extend(parse(&self.rest));
                    self.rest.clear();
                }
                bytes = after;
            }
            if self.rest.len() + bytes.len() > LONGEST {
                self.skipping = true;
                self.rest.clear();
            } else if !self.skipping {
                self.rest.extend_from_slice(bytes);
            }
        }
        Ok(out)
    }
}
