//! The form of messages: a header, a fixed body, attributes. Numbers are the host's but where a protocol says otherwise.

/// Bytes of `nlmsghdr`.
const HEADER: usize = 16;
/// Marks an attribute that holds attributes.
const NESTED: u16 = 0x8000;

/// A message in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// `flags` beside NLM_F_REQUEST, which all requests have.
    pub fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | 1).to_ne_bytes());
        Self { bytes }
    }

    /// The fixed part after the header.
    #[must_use]
    pub fn body(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// An attribute.
    #[must_use]
    pub fn attr(mut self, kind: u16, value: &[u8]) -> Self {
        let length = (value.len() + 4) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    /// A terminated string.
    #[must_use]
    pub fn text(self, kind: u16, value: &str) -> Self {
        let bytes: Vec<u8> = value.bytes().chain([0]).collect();
        self.attr(kind, &bytes)
    }

    /// A number in the host's order.
    #[must_use]
    pub fn u32(self, kind: u16, value: u32) -> Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// A number in the network's order, as nf_tables has all of its.
    #[must_use]
    pub fn be32(self, kind: u16, value: u32) -> Self {
        self.attr(kind, &value.to_be_bytes())
    }

    /// Attributes within an attribute. At most 65531 bytes.
    #[must_use]
    pub fn nest(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        let mut filled = fill(self);
        let length = (filled.bytes.len() - at) as u16;
        filled.bytes[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        filled.bytes[at + 2..at + 4].copy_from_slice(&(kind | NESTED).to_ne_bytes());
        filled
    }

    /// An attribute of attributes, as it came.
    #[must_use]
    pub fn raw(self, kind: u16, attributes: &[u8]) -> Self {
        self.attr(kind | NESTED, attributes)
    }

    /// As it is so far, its header unfinished.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes so far.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// As it is sent.
    pub(super) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// A message of the kernel's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Which.
    pub kind: u16,
    /// Of which request.
    pub sequence: u32,
    /// The number of the socket that asked.
    pub port: u32,
    /// What follows the header.
    pub body: Vec<u8>,
}

/// Divides a packet into messages. What is cut short at its end is left out.
pub(super) fn split(mut packet: &[u8]) -> Vec<Reply> {
    let mut found = Vec::new();
    while let Some((length, kind, sequence)) = header(packet) {
        let Some(body) = packet.get(HEADER..length) else { break };
        let port = packet.get(12..16).map_or(0, number);
        found.push(Reply { kind, sequence, port, body: body.to_vec() });
        packet = packet.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// Length, kind and sequence number at the start of a packet.
pub fn header(packet: &[u8]) -> Option<(usize, u16, u32)> {
    let length = number(packet.get(0..4)?) as usize;
    let kind = u16::from_ne_bytes(packet.get(4..6)?.try_into().ok()?);
    let sequence = number(packet.get(8..12)?);
    (length >= HEADER).then_some((length, kind, sequence))
}

/// Four bytes as a number in the host's order; 0 where they are not four.
pub fn number(bytes: &[u8]) -> u32 {
    bytes.get(..4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// The attributes of a message or of an attribute, in order.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(0..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & !NESTED & !0x4000;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_taken_apart_again() {
        let message = Message::new(16, 4).body(&[7; 6]).text(3, "lo").nest(18, |m| m.u32(1, 9).be32(2, 1)).finish(5);
        let replies = split(&[message.clone(), message.clone()].concat());
        assert_eq!(replies.len(), 2);
        assert_eq!((replies[1].kind, replies[1].sequence), (16, 5));
        let all: Vec<_> = attributes(&replies[1].body[8..]).collect();
        assert_eq!(all[0], (3, &b"lo\0"[..]));
        let inner: Vec<_> = attributes(all[1].1).collect();
        assert_eq!((all[1].0, number(inner[0].1), inner[1].1), (18, 9, &[0, 0, 0, 1][..]));
    }

    proptest::proptest! {
        #[test]
        fn nothing_breaks_it(bytes: Vec<u8>) {
            let _ = split(&bytes);
            let _ = attributes(&bytes).count();
        }
    }
}
