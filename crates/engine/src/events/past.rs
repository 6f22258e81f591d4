//! What was told before: read from the log piece by piece, when it is asked for.

use super::event::Event;
use super::log::{Segment, Segments};
use super::record::{self, LONGEST};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes read at once.
const PIECE: usize = 64 * 1024;

/// Which events, in nanoseconds since 1970, both ends included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "Docker's words")]
pub struct Range {
    pub since: Option<i64>,
    pub until: Option<i64>,
}

impl Range {
    /// It has neither end: nothing of the past is meant.
    pub(super) fn is_open(self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    fn contains(self, at: i64) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at <= until)
    }
}

/// Events of the past, oldest first, in pieces. It keeps what it was made of: events that are told or thrown away later change nothing.
#[derive(Debug)]
pub struct Past {
    range: Range,
    /// Still to be read, the next one last.
    segments: Vec<Segment>,
    /// Where in the next one.
    offset: u64,
    /// The beginning of a line whose end was not read yet.
    cut: Vec<u8>,
    /// Not written when this was made.
    rest: Vec<Arc<Event>>,
}

impl Past {
    pub(super) fn nothing() -> Self {
        Self { range: Range::default(), segments: Vec::new(), offset: 0, cut: Vec::new(), rest: Vec::new() }
    }

    pub(super) fn new(written: Segments, waiting: impl IntoIterator<Item = Arc<Event>>, range: Range) -> Self {
        let wanted = |segment: &Segment| segment.len > 0 && range.since.is_none_or(|since| segment.newest >= since);
        let segments = [Some(written.current), written.before].into_iter().flatten().filter(wanted).collect();
        let rest = waiting.into_iter().filter(|event| range.contains(event.at)).collect();
        Self { range, segments, offset: 0, cut: Vec::new(), rest }
    }

    /// True where the next piece comes from disk: reading it may block.
    pub fn is_on_disk(&self) -> bool {
        !self.segments.is_empty()
    }

    /// The next piece, which may be empty; `None` at the end. Lines that are no events are passed over.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn next_batch(&mut self) -> io::Result<Option<Vec<Arc<Event>>>> {
        let Some(segment) = self.segments.last().cloned() else {
            let rest = std::mem::take(&mut self.rest);
            return Ok((!rest.is_empty()).then_some(rest));
        };
        let want = usize::try_from(segment.len - self.offset).map_or(PIECE, |left| left.min(PIECE));
        let mut piece = vec![0; want];
        let got = segment.file.read_at(&mut piece, self.offset)?;
        piece.truncate(got);
        self.offset += got as u64;
        let batch = self.take(&piece);
        if got == 0 || self.offset >= segment.len {
            self.segments.pop();
            self.offset = 0;
            self.cut.clear();
        }
        Ok(Some(batch))
    }

    fn take(&mut self, piece: &[u8]) -> Vec<Arc<Event>> {
        let mut found = Vec::new();
        let mut lines = piece.split(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_none() {
                // No line of ours is longer: what follows is read as the lines it is not.
                if self.cut.len() + line.len() > LONGEST {
                    self.cut.clear();
                }
                self.cut.extend_from_slice(line);
            } else if self.cut.is_empty() {
                found.extend(self.event(line));
            } else {
                let mut whole = std::mem::take(&mut self.cut);
                whole.extend_from_slice(line);
                found.extend(self.event(&whole));
            }
        }
        found
    }

    fn event(&self, line: &[u8]) -> Option<Arc<Event>> {
        if record::time(line).is_some_and(|at| !self.range.contains(at)) {
            return None;
        }
        record::read(line).filter(|event| self.range.contains(event.at)).map(Arc::new)
    }
}
