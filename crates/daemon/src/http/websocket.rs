//! The server's side of WebSocket (RFC 6455): the handshake, and frames taken apart and put together. No extensions, and nothing is kept of
//! a message but what was just read: its length does not matter.

use crate::error::{Failure, Result};
use base64::Engine as _;
use http::{HeaderMap, header};
use sha1::{Digest, Sha1};

/// What the protocol adds to a client's key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A longer control frame breaks the protocol.
const LONGEST_CONTROL: u64 = 125;

/// Closed as agreed.
pub(crate) const NORMAL: u16 = 1000;
/// The other side does not keep to the protocol.
pub(crate) const PROTOCOL_ERROR: u16 = 1002;

/// Sorts of frames, by their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text = 1,
    Binary = 2,
    Close = 8,
    Pong = 10,
}

/// The head of the answer to a handshake, or why it is none.
pub(crate) fn accept(headers: &HeaderMap) -> Result<String> {
    let has = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name);
        values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','))
            .any(|one| one.trim().eq_ignore_ascii_case(word))
    };
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        return Err(Failure::invalid("not websocket protocol"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Failure::invalid("missing or bad WebSocket Version"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).unwrap_or_default();
    if base64::prelude::BASE64_STANDARD.decode(key).is_ok_and(|key| key.len() == 16) {
        let proof = base64::prelude::BASE64_STANDARD.encode(Sha1::digest(format!("{key}{GUID}")));
        let mut head =
            format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {proof}\r\n");
        let wanted = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|text| text.to_str().ok()?.split(',').next());
        if let Some(protocol) = wanted.map(str::trim).filter(|name| !name.is_empty()) {
            head.push_str(&format!("Sec-WebSocket-Protocol: {protocol}\r\n"));
        }
        super::hijack::finish_head(&mut head);
        return Ok(head);
    }
    Err(Failure::invalid("mismatch challenge/response"))
}

/// Puts one whole frame behind what is there. A server's are not masked.
pub(crate) fn frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.push(0x80 | opcode as u8);
    match payload.len() {
        length @ 0..=125 => out.push(length as u8),
        length @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// Bytes of a message, text or binary, as far as they came.
    Data(&'a [u8]),
    /// To be answered with a pong of the same content.
    Ping(Vec<u8>),
    /// The client says farewell.
    Close,
    /// The client does not keep to the protocol.
    Broken,
}

/// Takes a client's bytes apart, however they come.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The head of a frame, as far as it came.
    head: Vec<u8>,
    current: Option<Current>,
    over: bool,
}

/// The frame being read.
#[derive(Debug)]
struct Current {
    opcode: u8,
    left: u64,
    mask: [u8; 4],
    /// Of the next byte, in the mask.
    at: usize,
    /// Content of a control frame.
    control: Vec<u8>,
}

impl Decoder {
    /// Calls `event` with what these bytes hold, which are unmasked in place. After a close or a break nothing more comes.
    pub(crate) fn feed(&mut self, mut bytes: &mut [u8], mut event: impl FnMut(Event<'_>)) {
        while !self.over {
            if self.current.is_none() {
                let Some((first, rest)) = bytes.split_first_mut() else { return };
                self.head.push(*first);
                bytes = rest;
                match begin(&self.head) {
                    Ok(None) => continue,
                    Ok(Some(current)) => {
                        self.head.clear();
                        self.current = Some(current);
                    }
                    Err(()) => return self.end(Event::Broken, &mut event),
                }
            }
            let Some(current) = &mut self.current else { return };
            let length = usize::try_from(current.left).unwrap_or(usize::MAX).min(bytes.len());
            let (piece, rest) = bytes.split_at_mut(length);
            bytes = rest;
            for byte in piece.iter_mut() {
                *byte ^= current.mask[current.at % 4];
                current.at = (current.at + 1) % 4;
            }
            current.left -= length as u64;
            let is_data = current.opcode <= Opcode::Binary as u8;
            if !is_data {
                current.control.extend_from_slice(piece);
            } else if !piece.is_empty() {
                event(Event::Data(piece));
            }
            if current.left > 0 {
                return;
            }
            let ended = self.current.take();
            match ended.map(|frame| (frame.opcode, frame.control)) {
                Some((8, _)) => return self.end(Event::Close, &mut event),
                Some((9, content)) => event(Event::Ping(content)),
                _ => {}
            }
        }
    }

    fn end(&mut self, last: Event<'_>, event: &mut impl FnMut(Event<'_>)) {
        self.over = true;
        event(last);
    }
}

/// A frame by its head; `None` where the head is not whole yet.
fn begin(head: &[u8]) -> std::result::Result<Option<Current>, ()> {
    let [first, second, rest @ ..] = head else { return Ok(None) };
    let (opcode, short) = (first & 0x0f, u64::from(second & 0x7f));
    let control = opcode >= 8;
    // Reserved bits belong to extensions, of which none was agreed. A client has to mask. A control frame is short and whole.
    let broken = first & 0x70 != 0
        || second & 0x80 == 0
        || !matches!(opcode, 0..=2 | 8..=10)
        || control && (short > LONGEST_CONTROL || first & 0x80 == 0);
    if broken {
        return Err(());
    }
    let (left, mask) = match (short, rest) {
        (126, [a, b, mask @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), mask),
        (127, [a, b, c, d, e, f, g, h, mask @ ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), mask),
        (126 | 127, _) => return Ok(None),
        _ => (short, rest),
    };
    let Ok(mask) = <[u8; 4]>::try_from(mask) else { return Ok(None) };
    Ok(Some(Current { opcode, left, mask, at: 0, control: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), header::HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn handshakes() {
        let good = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "a, b"),
        ];
        let head = accept(&headers(&good)).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        // The example of the protocol's own text.
        assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
        assert!(head.contains("\r\nSec-WebSocket-Protocol: a\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        for (left_out, expect) in [
            ("connection", "not websocket protocol"),
            ("upgrade", "not websocket protocol"),
            ("sec-websocket-version", "missing or bad WebSocket Version"),
            ("sec-websocket-key", "mismatch challenge/response"),
        ] {
            let some: Vec<_> = good.into_iter().filter(|(name, _)| *name != left_out).collect();
            let failure = accept(&headers(&some)).unwrap_err();
            assert_eq!((failure.0.status, failure.0.message.as_str()), (400, expect));
        }
    }

    /// A client's frame.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame(&mut out, Opcode::Binary, payload);
        let body = out.len() - payload.len();
        out[0] = first;
        out[1] |= 0x80;
        let mask = [1, 2, 3, 4];
        out.splice(body..body, mask);
        out[body + 4..].iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at % 4]);
        out
    }

    /// What is heard of these bytes when they come in pieces of this size.
    fn heard(bytes: &[u8], size: usize) -> (Vec<u8>, Vec<String>) {
        let mut decoder = Decoder::default();
        let (mut data, mut others) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(size) {
            decoder.feed(&mut piece.to_vec(), |event| match event {
                Event::Data(piece) => data.extend_from_slice(piece),
                other => others.push(format!("{other:?}")),
            });
        }
        (data, others)
    }

    #[test]
    fn frames_however_they_are_cut() {
        let long: Vec<u8> = (0..70_000u32).map(|n| n as u8).collect();
        let mut bytes = masked(0x82, b"hello ");
        bytes.extend(masked(0x01, b"wor"));
        bytes.extend(masked(0x89, b"ping"));
        bytes.extend(masked(0x80, b"ld"));
        bytes.extend(masked(0x82, &[7; 300]));
        bytes.extend(masked(0x82, &long));
        bytes.extend(masked(0x8a, b""));
        bytes.extend(masked(0x88, &[3, 232]));
        bytes.extend(masked(0x82, b"never heard"));
        let mut expect = b"hello world".to_vec();
        expect.extend([7; 300]);
        expect.extend(&long);
        for size in [1, 2, 3, 7, 100, 4096, usize::MAX >> 1] {
            let (data, others) = heard(&bytes, size);
            assert!(data == expect, "{size}");
            assert_eq!(others, [format!("{:?}", Event::Ping(b"ping".to_vec())), "Close".to_owned()], "{size}");
        }
    }

    #[test]
    fn what_breaks_the_protocol() {
        let unmasked = [0x82, 1, b'x'];
        let mut long_ping = masked(0x89, &[0; 126]);
        long_ping[1] = 0x80 | 126;
        for bytes in [&unmasked[..], &masked(0xc2, b"x"), &masked(0x83, b"x"), &masked(0x09, b"x"), &long_ping] {
            assert_eq!(heard(bytes, 1), (Vec::new(), vec!["Broken".to_owned()]), "{bytes:?}");
        }
    }
}
