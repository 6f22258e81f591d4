//! Messages of D-Bus: as much of its form as three calls need. Pure. Little-endian only, as every machine is on which this runs.

/// What a message is.
pub(super) const CALL: u8 = 1;
pub(super) const RETURN: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const SIGNAL: u8 = 4;

/// Bytes before the list of header fields.
const FIXED: usize = 12;
/// No message of systemd's is longer; what claims to be is not believed.
const MOST: usize = 1 << 20;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Values in the making, each at its alignment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.align(2);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.align(4);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.align(8);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        self.u32(value.into())
    }

    /// A string or an object's path.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.u32(text.len() as u32);
        self.bytes.extend(text.bytes());
        self.bytes.push(0);
        self
    }

    /// A signature: shorter than 256 bytes.
    pub(super) fn signature(&mut self, text: &str) -> &mut Self {
        self.bytes.push(text.len() as u8);
        self.bytes.extend(text.bytes());
        self.bytes.push(0);
        self
    }

    /// A list whose elements have this alignment.
    pub(super) fn list(&mut self, align: usize, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.u32(0);
        let length = self.bytes.len() - 4;
        self.align(align);
        let first = self.bytes.len();
        fill(self);
        let size = (self.bytes.len() - first) as u32;
        self.bytes[length..length + 4].copy_from_slice(&size.to_le_bytes());
        self
    }

    /// Nothing more: ends a chain of calls.
    pub(super) fn end(&mut self) {}

    pub(super) fn structure(&mut self) -> &mut Self {
        self.align(8);
        self
    }
}

/// Whom a call is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
}

/// A whole call.
pub(super) fn call(serial: u32, target: Target<'_>, member: &str, signature: &str, body: &Writer) -> Vec<u8> {
    let mut all = Writer { bytes: vec![b'l', CALL, 0, 1] };
    all.u32(body.bytes.len() as u32).u32(serial);
    all.list(8, |fields| {
        for (code, kind, value) in
            [(PATH, "o", target.path), (INTERFACE, "s", target.interface), (MEMBER, "s", member), (DESTINATION, "s", target.destination)]
        {
            fields.structure().bytes.push(code);
            fields.signature(kind).text(value);
        }
        if !signature.is_empty() {
            fields.structure().bytes.push(SIGNATURE);
            fields.signature("g").signature(signature);
        }
    });
    all.align(8);
    all.bytes.extend(&body.bytes);
    all.bytes
}

/// A message that came.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    /// The call that is answered.
    pub(super) reply: u32,
    pub(super) member: String,
    pub(super) error: String,
    pub(super) body: Vec<u8>,
}

/// How long a message is, by its first 16 bytes; `None` for what is none.
pub(super) fn length(head: &[u8; 16]) -> Option<usize> {
    let number = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?) as usize);
    let (body, fields) = (number(4)?, number(12)?);
    let total = (FIXED + 4).checked_add(fields)?.next_multiple_of(8).checked_add(body)?;
    (head[0] == b'l' && total <= MOST).then_some(total)
}

/// Takes a whole message apart; `None` where it is not to be understood.
pub(super) fn parse(bytes: &[u8]) -> Option<Message> {
    let mut reader = Reader { bytes, at: FIXED };
    let mut message = Message { kind: *bytes.get(1)?, ..Message::default() };
    let end = reader.u32()? as usize + FIXED + 4;
    while reader.at < end {
        reader.align(8);
        let code = reader.byte()?;
        match (code, reader.signature()?) {
            (MEMBER, "s") => message.member = reader.text()?.to_owned(),
            (ERROR_NAME, "s") => message.error = reader.text()?.to_owned(),
            (REPLY_SERIAL, "u") => message.reply = reader.u32()?,
            (_, "s" | "o") => drop(reader.text()?),
            (_, "u") => drop(reader.u32()?),
            (_, "g") => drop(reader.signature()?),
            _ => return None,
        }
    }
    message.body = bytes.get(end.next_multiple_of(8)..)?.to_vec();
    Some(message)
}

/// Values of a body, in order.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let found = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(found)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.align(4);
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.u32()? as usize;
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        self.byte()?;
        Some(text)
    }

    fn signature(&mut self) -> Option<&'a str> {
        let length = self.byte()?;
        let text = std::str::from_utf8(self.take(length.into())?).ok()?;
        self.byte()?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target<'_> = Target { destination: "a.b", path: "/x", interface: "a.i" };

    #[test]
    fn a_call_in_bytes() {
        let mut body = Writer::default();
        body.text("hi").u64(5);
        assert_eq!(body.bytes, [&[2, 0, 0, 0, b'h', b'i', 0, 0, 5][..], &[0; 7]].concat());
        let bytes = call(7, TARGET, "Do", "st", &body);
        assert_eq!(length(bytes[..16].try_into().unwrap()), Some(bytes.len()));
        let message = parse(&bytes).unwrap();
        assert_eq!((message.kind, message.member.as_str(), message.body.as_slice()), (CALL, "Do", body.bytes.as_slice()));
        // No body: the header's end is the message's.
        assert_eq!(call(1, TARGET, "Do", "", &Writer::default()).len() % 8, 0);
    }

    #[test]
    fn lists_count_what_comes_after_their_alignment() {
        let mut writer = Writer::default();
        writer.list(8, |list| {
            list.u64(1);
        });
        assert_eq!(writer.bytes[..8], [8, 0, 0, 0, 0, 0, 0, 0]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_breaks_it(bytes: Vec<u8>) {
            let _ = parse(&bytes);
            let mut head = [0; 16];
            head.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
            let _ = length(&head);
            let mut reader = Reader { bytes: &bytes, at: 0 };
            while reader.text().is_some() {}
        }
    }
}
