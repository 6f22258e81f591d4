//! Reading the framed streams of attach, exec and logs: eight bytes of head, then the payload.

use bytes::{Buf, Bytes, BytesMut};

use super::Error;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// Standard input, written to standard output as Docker does.
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// An error of the engine, which ends the stream.
    System,
}

/// A piece of one stream. A long frame arrives in several pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The stream.
    pub kind: StreamKind,
    /// The bytes.
    pub data: Bytes,
}

/// Takes bytes in any slicing and gives frames. Holds no more than was put in.
#[derive(Debug, Default)]
pub struct FrameReader {
    pending: BytesMut,
    current: Option<(StreamKind, usize)>,
}

impl FrameReader {
    /// An empty reader.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next piece that is complete enough to show; None when more bytes are needed.
    ///
    /// # Errors
    /// A head that names no stream.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some((kind, left)) = self.current {
                if left == 0 {
                    self.current = None;
                    continue;
                }
                if self.pending.is_empty() {
                    return Ok(None);
                }
                let count = left.min(self.pending.len());
                let data = self.pending.split_to(count).freeze();
                self.current = Some((kind, left - count));
                return Ok(Some(Frame { kind, data }));
            }
            if self.pending.len() < 8 {
                return Ok(None);
            }
            let kind = match self.pending[0] {
                0 => StreamKind::Stdin,
                1 => StreamKind::Stdout,
                2 => StreamKind::Stderr,
                3 => StreamKind::System,
                other => return Err(Error::Frame(other)),
            };
            self.pending.advance(4);
            let length = self.pending.get_u32() as usize;
            self.current = Some((kind, length));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, text: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 0, 0, 0];
        bytes.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(text);
        bytes
    }

    #[test]
    fn a_bad_head_is_an_error() {
        let mut reader = FrameReader::new();
        reader.push(b"plain text");
        assert!(matches!(reader.next_frame(), Err(Error::Frame(b'p'))));
    }

    proptest! {
        #[test]
        fn slicing_does_not_matter(
            texts in proptest::collection::vec((1u8..3, proptest::collection::vec(any::<u8>(), 0..20)), 0..6),
            cuts in proptest::collection::vec(1usize..9, 1..80),
        ) {
            let wire: Vec<u8> = texts.iter().flat_map(|(kind, text)| frame(*kind, text)).collect();
            let mut reader = FrameReader::new();
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut rest = wire.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                rest = tail;
                reader.push(head);
                while let Some(frame) = reader.next_frame().unwrap() {
                    match frame.kind {
                        StreamKind::Stdout => out.extend_from_slice(&frame.data),
                        _ => err.extend_from_slice(&frame.data),
                    }
                }
            }
            let expect = |kind| texts.iter().filter(|(k, _)| *k == kind).flat_map(|(_, t)| t.clone()).collect::<Vec<u8>>();
            prop_assert_eq!(out, expect(1));
            prop_assert_eq!(err, expect(2));
        }
    }
}
