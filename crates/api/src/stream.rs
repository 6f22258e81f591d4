//! The frames that carry several streams over one connection: a byte for the stream, three zeros, four bytes of length (big endian),
//! then the payload. Pure: nothing is read or written here.

/// Content type of framed streams, from API 1.42.
pub const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";
/// Content type of raw streams, and of all streams before API 1.42.
pub const RAW: &str = "application/vnd.docker.raw-stream";
/// Bytes of a frame's head.
pub const HEAD: usize = 8;

/// Which stream a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// 0.
    Stdin,
    /// 1.
    Stdout,
    /// 2.
    Stderr,
    /// 3: an error of the engine, as text.
    SystemError,
}

impl Stream {
    /// From its number.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Stdin,
            1 => Self::Stdout,
            2 => Self::Stderr,
            3 => Self::SystemError,
            _ => return None,
        })
    }

    /// Its number.
    pub fn as_byte(self) -> u8 {
        match self {
            Self::Stdin => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::SystemError => 3,
        }
    }
}

/// A head that names no known stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Unrecognized input header: {0}")]
pub struct UnknownStream(pub u8);

/// The head of a frame of `length` bytes.
pub fn head(stream: Stream, length: u32) -> [u8; HEAD] {
    let [a, b, c, d] = length.to_be_bytes();
    [stream.as_byte(), 0, 0, 0, a, b, c, d]
}

/// A whole frame. Payloads beyond 4 GiB do not occur: callers hand over one read buffer at a time.
pub fn frame(stream: Stream, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + payload.len());
    out.extend_from_slice(&head(stream, u32::try_from(payload.len()).unwrap_or(u32::MAX)));
    out.extend_from_slice(payload);
    out
}

/// Takes frames apart as bytes arrive, at any cut. It keeps at most a head, never a payload.
#[derive(Debug, Default)]
pub struct Demux {
    partial: [u8; HEAD],
    have: usize,
    stream: Option<Stream>,
    left: u32,
}

impl Demux {
    /// At the start of a frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next piece of payload in `input`, which is moved past it. `None`: all of `input` was used.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<(Stream, &'a [u8])>, UnknownStream> {
        loop {
            if let (Some(stream), 1..) = (self.stream, self.left) {
                if input.is_empty() {
                    return Ok(None);
                }
                let count = input.len().min(self.left as usize);
                let (piece, rest) = input.split_at(count);
                *input = rest;
                self.left -= u32::try_from(count).unwrap_or(self.left);
                return Ok(Some((stream, piece)));
            }
            if !self.fill_head(input)? {
                return Ok(None);
            }
        }
    }

    /// True between frames: an end here is a proper end.
    pub fn is_at_boundary(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    fn fill_head(&mut self, input: &mut &[u8]) -> Result<bool, UnknownStream> {
        let count = input.len().min(HEAD - self.have);
        let (bytes, rest) = input.split_at(count);
        self.partial[self.have..self.have + count].copy_from_slice(bytes);
        self.have += count;
        *input = rest;
        if self.have < HEAD {
            return Ok(false);
        }
        let [kind, _, _, _, a, b, c, d] = self.partial;
        self.have = 0;
        self.stream = Some(Stream::from_byte(kind).ok_or(UnknownStream(kind))?);
        self.left = u32::from_be_bytes([a, b, c, d]);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: &[u8], cut: usize) -> Vec<(u8, Vec<u8>)> {
        let mut demux = Demux::new();
        let mut out: Vec<(u8, Vec<u8>)> = Vec::new();
        for mut chunk in bytes.chunks(cut) {
            while let Some((stream, piece)) = demux.next(&mut chunk).unwrap() {
                out.push((stream.as_byte(), piece.to_vec()));
            }
        }
        assert!(demux.is_at_boundary());
        out
    }

    #[test]
    fn unknown_stream_is_an_error() {
        let mut input: &[u8] = &[9, 0, 0, 0, 0, 0, 0, 1, b'x'];
        assert_eq!(Demux::new().next(&mut input), Err(UnknownStream(9)));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut(frames in proptest::collection::vec((0u8..4, proptest::collection::vec(any::<u8>(), 0..50)), 0..8), cut in 1usize..40) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(s, p)| frame(Stream::from_byte(*s).unwrap(), p)).collect();
            let pieces = decode(&bytes, cut);
            let join = |want: u8| pieces.iter().filter(|(s, _)| *s == want).flat_map(|(_, p)| p.clone()).collect::<Vec<u8>>();
            for stream in 0..4u8 {
                let expect: Vec<u8> = frames.iter().filter(|(s, _)| *s == stream).flat_map(|(_, p)| p.clone()).collect();
                prop_assert_eq!(join(stream), expect);
            }
        }
    }
}
