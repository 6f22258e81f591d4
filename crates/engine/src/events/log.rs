//! The log on disk: two files of bounded size, of which the older makes room for the newer.
//!
//! ```text
//! DATA/events/log     appended to
//! DATA/events/log.1   the one before
//! ```
//!
//! Nothing is synced: the events of the last moments before a power cut may be missing, and a line that was cut off is dropped when the
//! log is opened. A reader holds the files themselves, so that it reads on when they make room.

use super::event::Event;
use super::record::{self, LONGEST};
use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Size of one file at which the next is begun, in bytes.
const FULL: u64 = 8 << 20;

/// As much of one file as is written for good.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) file: Arc<File>,
    /// Bytes; more of the file is not looked at.
    pub(super) len: u64,
    /// No event in it is younger.
    pub(super) newest: i64,
}

/// What can be read, oldest first.
#[derive(Debug, Clone)]
pub(super) struct Segments {
    pub(super) before: Option<Segment>,
    pub(super) current: Segment,
}

/// The writer's end.
#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    segments: Segments,
    full: u64,
    last: u64,
}

impl Log {
    /// Opens it, or makes it; a last line without its end is dropped.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let before = match File::open(dir.join("log.1")) {
            Ok(file) => Some(Segment { len: file.metadata()?.len(), file: Arc::new(file), newest: i64::MAX }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let file = options().truncate(false).open(dir.join("log"))?;
        let (len, last) = whole_lines(&file)?;
        file.set_len(len)?;
        let last = match (last, &before) {
            (0, Some(before)) => whole_lines(&before.file)?.1,
            (last, _) => last,
        };
        let current = Segment { file: Arc::new(file), len, newest: if len == 0 { i64::MIN } else { i64::MAX } };
        Ok(Self { dir: dir.to_owned(), segments: Segments { before, current }, full: FULL, last })
    }

    /// Number of the last event that is done with, 0 where there is none.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// What can be read now.
    pub(super) fn segments(&self) -> Segments {
        self.segments.clone()
    }

    /// Appends events. After an error those above [`Log::last`] do not count as written, and the next try writes over what there is of them.
    pub(super) fn append(&mut self, events: &[Arc<Event>]) -> io::Result<()> {
        let mut lines = Vec::new();
        let (mut newest, mut done) = (i64::MIN, self.last);
        for event in events {
            let before = lines.len();
            if record::write(event, &mut lines) {
                let current = self.segments.current.len;
                if current + lines.len() as u64 > self.full && current + before as u64 > 0 {
                    let line = lines.split_off(before);
                    self.put(&lines, newest, done)?;
                    self.turn()?;
                    (lines, newest) = (line, i64::MIN);
                }
                newest = newest.max(event.at);
            } else {
                tracing::warn!(kind = %event.kind, action = event.action, "an event is too long to be kept");
            }
            done = event.number;
        }
        self.put(&lines, newest, done)
    }

    /// Writes lines, the last of them with this number.
    fn put(&mut self, lines: &[u8], newest: i64, last: u64) -> io::Result<()> {
        let current = &mut self.segments.current;
        current.file.write_all_at(lines, current.len)?;
        current.len += lines.len() as u64;
        current.newest = current.newest.max(newest);
        self.last = last;
        Ok(())
    }

    /// The current file becomes the one before, and an empty one takes its place.
    fn turn(&mut self) -> io::Result<()> {
        let (path, fresh) = (self.dir.join("log"), self.dir.join("log.new"));
        let file = options().truncate(true).open(&fresh)?;
        match std::fs::rename(&path, self.dir.join("log.1")) {
            // An earlier try ended here.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::rename(&fresh, &path)?,
        }
        let current = Segment { file: Arc::new(file), len: 0, newest: i64::MIN };
        self.segments.before = Some(std::mem::replace(&mut self.segments.current, current));
        Ok(())
    }
}

fn options() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

/// How far a file consists of whole lines, and the number of the last event in it (0: none that can be read).
fn whole_lines(file: &File) -> io::Result<(u64, u64)> {
    let len = file.metadata()?.len();
    // Mostly the last line is near; it is in the second piece even where one of the longest was cut off behind it.
    for piece in [16 * 1024, 2 * LONGEST as u64 + 2] {
        let start = len.saturating_sub(piece);
        let mut tail = vec![0; usize::try_from(len - start).unwrap_or(0)];
        file.read_exact_at(&mut tail, start)?;
        let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else { continue };
        if let Some(event) = tail[..end].rsplit(|byte| *byte == b'\n').find_map(record::read) {
            return Ok((start + end as u64 + 1, event.number));
        }
    }
    // There is nothing at its end that this program wrote.
    Ok((0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::past::{Past, Range};
    use std::collections::BTreeMap;

    fn events(numbers: std::ops::Range<u64>) -> Vec<Arc<Event>> {
        let event = |number| Event {
            number,
            kind: "container".into(),
            action: "start".into(),
            actor: "x".repeat(64),
            attributes: BTreeMap::new(),
            at: number as i64,
        };
        numbers.map(|number| Arc::new(event(number))).collect()
    }

    fn numbers(segments: Segments) -> Vec<u64> {
        let mut past = Past::new(segments, [], Range { since: Some(0), until: None });
        let mut found = Vec::new();
        while let Some(batch) = past.next_batch().unwrap() {
            found.extend(batch.iter().map(|event| event.number));
        }
        found
    }

    fn with_limit(dir: &Path, full: u64) -> Log {
        Log { full, ..Log::open(dir).unwrap() }
    }

    #[test]
    fn two_files_of_bounded_size() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = with_limit(dir.path(), 1500);
        log.append(&events(1..4)).unwrap();
        let early = log.segments();
        for from in (4..100).step_by(7) {
            log.append(&events(from..from + 7)).unwrap();
        }
        let sizes = ["log", "log.1"].map(|name| std::fs::metadata(dir.path().join(name)).unwrap().len());
        assert!(sizes.iter().all(|size| *size <= 1500), "{sizes:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        let kept = numbers(log.segments());
        assert_eq!(kept, (kept[0]..=101).collect::<Vec<_>>());
        assert!(kept.len() > 10 && kept[0] > 50, "{kept:?}");
        // Who began to read before reads what there was.
        assert_eq!(numbers(early), [1, 2, 3]);
        let again = with_limit(dir.path(), 1500);
        assert_eq!(again.last(), 101);
        assert_eq!(numbers(again.segments()), kept);
    }

    #[test]
    fn a_torn_line_is_dropped_and_written_over() {
        let dir = tempfile::tempdir().unwrap();
        Log::open(dir.path()).unwrap().append(&events(1..3)).unwrap();
        let path = dir.path().join("log");
        let whole = std::fs::read(&path).unwrap();
        for tail in [&whole[..30], b"\0\0\0\0", b"no event\n{\"at\":3"] {
            std::fs::write(&path, [&whole, tail].concat()).unwrap();
            let mut log = Log::open(dir.path()).unwrap();
            assert_eq!(log.last(), 2);
            log.append(&events(3..4)).unwrap();
            assert_eq!(numbers(log.segments()), [1, 2, 3]);
        }
        std::fs::write(&path, [0; 100]).unwrap();
        let mut log = Log::open(dir.path()).unwrap();
        log.append(&events(1..2)).unwrap();
        assert_eq!(numbers(log.segments()), [1]);
    }

    #[test]
    fn the_number_goes_on_where_only_the_file_before_is_left() {
        let dir = tempfile::tempdir().unwrap();
        Log::open(dir.path()).unwrap().append(&events(1..9)).unwrap();
        std::fs::rename(dir.path().join("log"), dir.path().join("log.1")).unwrap();
        let log = Log::open(dir.path()).unwrap();
        assert_eq!((log.last(), numbers(log.segments()).len()), (8, 8));
    }
}
