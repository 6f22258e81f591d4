//! Lines of a json-file log, read in batches of bounded size.

use super::files::{LogFile, Reader};
use crate::logs::model::LogLine;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::Metadata;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// Bytes of text handed on at once.
const BATCH: usize = 128 * 1024;
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

/// Bytes cut into lines, however they come.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// What follows the last newline, until its newline comes.
    rest: Vec<u8>,
    /// The line being read is too long and is passed over.
    skipping: bool,
}

impl Cutter {
    /// Calls `line` with each line that ends in `bytes`, without its newline. Too long ones are passed over.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (head, after) = (&bytes[..end], &bytes[end + 1..]);
            if std::mem::take(&mut self.skipping) {
                self.rest.clear();
            } else if self.rest.is_empty() {
                line(head);
            } else {
                self.rest.extend_from_slice(head);
                line(&self.rest);
                self.rest.clear();
            }
            bytes = after;
        }
        if self.rest.len() + bytes.len() > LONGEST {
            self.skipping = true;
            self.rest = Vec::new();
        } else if !self.skipping {
            self.rest.extend_from_slice(bytes);
        }
    }
}

/// A file and how far it is read.
#[derive(Debug, Default)]
pub(super) struct Lines {
    reader: Option<Reader>,
    cutter: Cutter,
}

impl Lines {
    pub(super) fn new(file: LogFile, position: u64) -> std::io::Result<Self> {
        Ok(Self { reader: Some(file.reader(position)?), cutter: Cutter::default() })
    }

    /// The file that is read.
    pub(super) fn file(&self) -> std::io::Result<Option<LogFile>> {
        self.reader.as_ref().map(Reader::file).transpose()
    }

    /// Whether this file is read.
    pub(super) fn reads(&self, found: &Metadata) -> std::io::Result<bool> {
        self.reader.as_ref().map_or(Ok(false), |reader| reader.reads(found))
    }

    /// The next lines; none at the end of the file as it is now. A file that became shorter is read from its beginning.
    pub(super) fn batch(&mut self) -> std::io::Result<Vec<LogLine>> {
        let mut out = Vec::new();
        let Some(reader) = &mut self.reader else { return Ok(out) };
        if reader.rewind_if_cut()? {
            self.cutter = Cutter::default();
        }
        let mut chunk = vec![0; CHUNK];
        let mut size = 0;
        while size < BATCH {
            let read = reader.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            size += read;
            self.cutter.feed(&chunk[..read], |line| out.extend(parse(line)));
            // Lines that are none of ours are no end of the file.
            if out.is_empty() {
                size = 0;
            }
        }
        Ok(out)
    }
}
