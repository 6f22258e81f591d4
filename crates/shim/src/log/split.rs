//! A stream of bytes cut into the pieces that become log entries: lines, and parts of lines above 16 KiB.

/// Longest piece. Docker's copier has the same buffer.
pub(crate) const MAX: usize = 16 * 1024;

/// How a piece ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With a line feed, which is not part of the piece.
    Newline,
    /// In the midst of a line: because it is too long, or because the stream ended.
    Partial,
}

/// Cuts one stream. Holds at most [`MAX`] bytes of an unfinished line.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    carry: Vec<u8>,
    /// When the first piece of the current line was seen: all pieces of one line carry that time.
    since: Option<i64>,
}

impl Splitter {
    /// Calls `emit` with each finished piece of `chunk`, which arrived at `now`.
    pub(crate) fn feed(&mut self, mut chunk: &[u8], now: i64, mut emit: impl FnMut(&[u8], Ending, i64)) {
        while !chunk.is_empty() {
            let room = MAX.saturating_sub(self.carry.len()).min(chunk.len());
            let (window, _) = chunk.split_at(room);
            if let Some(at) = memchr::memchr(b'\n', window) {
                let time = self.since.take().unwrap_or(now);
                let (line, rest) = chunk.split_at(at);
                if self.carry.is_empty() {
                    emit(line, Ending::Newline, time);
                } else {
                    self.carry.extend_from_slice(line);
                    emit(&self.carry, Ending::Newline, time);
                    self.carry.clear();
                }
                chunk = rest.get(1..).unwrap_or_default();
                continue;
            }
            self.carry.extend_from_slice(window);
            chunk = chunk.split_at(room).1;
            if self.carry.len() >= MAX {
                let time = *self.since.get_or_insert(now);
                let cut = boundary(&self.carry);
                emit(self.carry.get(..cut).unwrap_or_default(), Ending::Partial, time);
                self.carry.drain(..cut);
            }
        }
    }

    /// The stream has ended: emits what is left.
    pub(crate) fn end(&mut self, now: i64, mut emit: impl FnMut(&[u8], Ending, i64)) {
        let time = self.since.take().unwrap_or(now);
        if !self.carry.is_empty() {
            emit(&self.carry, Ending::Partial, time);
        }
        self.carry = Vec::new();
    }

    /// The unfinished line so far, which no entry holds yet.
    pub(crate) fn unfinished(&self) -> &[u8] {
        &self.carry
    }
}

/// Where to cut a full buffer: before a UTF-8 character that is still incomplete, else at its end. (Docker cuts through characters, which
/// turns their halves into replacement characters.)
fn boundary(full: &[u8]) -> usize {
    let tail = full.len().saturating_sub(3);
    for at in (tail..full.len()).rev() {
        let width = match full.get(at) {
            Some(0xC2..=0xDF) => 2,
            Some(0xE0..=0xEF) => 3,
            Some(0xF0..=0xF4) => 4,
            Some(0x80..=0xBF) => continue,
            _ => return full.len(),
        };
        return if at + width > full.len() { at } else { full.len() };
    }
    full.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(chunks: &[&[u8]]) -> Vec<(Vec<u8>, Ending)> {
        let mut splitter = Splitter::default();
        let mut out = Vec::new();
        for chunk in chunks {
            splitter.feed(chunk, 1, |piece, ending, _| out.push((piece.to_vec(), ending)));
        }
        splitter.end(2, |piece, ending, _| out.push((piece.to_vec(), ending)));
        out
    }

    #[test]
    fn lines_and_long_lines() {
        use Ending::*;
        assert_eq!(
            pieces(&[b"a\n", b"b", b"c\n\n", b"d"]),
            [(b"a".to_vec(), Newline), (b"bc".to_vec(), Newline), (b"".to_vec(), Newline), (b"d".to_vec(), Partial)]
        );
        let long = vec![b'x'; MAX];
        assert_eq!(pieces(&[&long, b"\n"]), [(long.clone(), Partial), (b"".to_vec(), Newline)]);
        let mut longer = vec![b'x'; 2 * MAX + 3];
        longer.push(b'\n');
        let got: Vec<_> = pieces(&[&longer]).into_iter().map(|(p, e)| (p.len(), e)).collect();
        assert_eq!(got, [(MAX, Partial), (MAX, Partial), (3, Newline)]);
    }

    #[test]
    fn characters_stay_whole() {
        for (text, width) in [("é", 2), ("€", 3), ("𝄞", 4)] {
            for shift in 1..width {
                let mut long = vec![b'x'; MAX - shift];
                long.extend_from_slice(text.as_bytes());
                let got = pieces(&[&long]);
                assert_eq!(got[0].0.len(), MAX - shift);
                assert_eq!(got[1].0, text.as_bytes());
            }
        }
        let binary = vec![0xBF; MAX + 1];
        assert_eq!(pieces(&[&binary])[0].0.len(), MAX);
    }

    #[test]
    fn one_time_for_one_line() {
        let mut splitter = Splitter::default();
        let mut times = Vec::new();
        splitter.feed(&vec![b'x'; MAX], 10, |_, _, t| times.push(t));
        splitter.feed(b"x\ny\n", 20, |_, _, t| times.push(t));
        assert_eq!(times, [10, 10, 20]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_however_it_is_cut(parts in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..50), 1usize..3000), 1..20), cut in 1usize..50_000) {
            let all: Vec<u8> = parts.iter().flat_map(|(part, times)| part.repeat(*times % 900)).collect();
            let whole = pieces(&[&all]);
            let chunks: Vec<&[u8]> = all.chunks(cut).collect();
            prop_assert_eq!(&pieces(&chunks), &whole);
            let mut joined = Vec::new();
            for (piece, ending) in &whole {
                prop_assert!(piece.len() <= MAX);
                joined.extend_from_slice(piece);
                if *ending == Ending::Newline { joined.push(b'\n'); }
            }
            prop_assert_eq!(joined, all);
        }
    }
}
