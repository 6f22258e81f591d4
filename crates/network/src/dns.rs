//! Questions for names: taken apart, answered, or left to the host's servers. Pure.
//!
//! Only what the engine answers itself is understood; everything else goes on as the bytes that came.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest datagram that is taken or sent, and the most that a stream may announce.
pub const PACKET_MAX: usize = 65535;
/// What fits into a datagram for who says nothing of larger ones.
const PLAIN_MAX: usize = 512;
/// Seconds for which an answer holds, as Docker's.
const TTL: u32 = 600;
const HEADER: usize = 12;
const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const OPT: u16 = 41;
const INTERNET: u16 = 1;
/// A pointer to the name right after the header.
const FIRST_NAME: [u8; 2] = [0xc0, HEADER as u8];

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The question makes no sense.
    Format = 1,
    /// Nobody could be asked.
    Server = 2,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    id: [u8; 2],
    /// Its sender wants others to be asked.
    recursion: bool,
    /// In small letters, without the last dot.
    pub name: String,
    kind: u16,
    class: u16,
    /// The name and what follows it, as they came.
    bytes: Vec<u8>,
    /// The largest datagram that its sender takes.
    room: usize,
}

/// What the asking container can see.
pub trait Zone {
    /// Addresses of a name in small letters; `None` where nobody has it.
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>>;
    /// The name of an address; `None` where nobody has it.
    fn name(&self, address: IpAddr) -> Option<String>;
}

/// Reads a question. `None` for what is no question, or not exactly one.
pub fn parse(packet: &[u8]) -> Option<Question> {
    let header = packet.get(..HEADER)?;
    let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (response, opcode) = (header[2] & 0x80 != 0, header[2] >> 3 & 0xf);
    if response || opcode != 0 || count(4) != 1 {
        return None;
    }
    let (name, after) = read_name(packet, HEADER)?;
    let fixed = packet.get(after..after + 4)?;
    Some(Question {
        id: [header[0], header[1]],
        recursion: header[2] & 1 != 0,
        name,
        kind: u16::from_be_bytes([fixed[0], fixed[1]]),
        class: u16::from_be_bytes([fixed[2], fixed[3]]),
        bytes: packet[HEADER..after + 4].to_vec(),
        room: if count(6) == 0 && count(8) == 0 && count(10) > 0 { room(packet, after + 4) } else { PLAIN_MAX },
    })
}

/// A name without pointers, which a question has no use for.
fn read_name(packet: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if length > 63 || at + length - HEADER > 255 {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        let label = packet.get(at..at + length)?;
        // A dot within a label, or anything that is not plain text, is no name of ours; a sign that no name has stands for it.
        name.extend(label.iter().map(|byte| match byte {
            b'.' | b' ' | 0..=0x1f | 0x7f.. => '\u{fffd}',
            byte => char::from(byte.to_ascii_lowercase()),
        }));
        at += length;
    }
}

/// What the first additional record says, where it is about sizes.
fn room(packet: &[u8], at: usize) -> usize {
    match packet.get(at..at + 5) {
        Some([0, high, low, size @ ..]) if u16::from_be_bytes([*high, *low]) == OPT => {
            usize::from(u16::from_be_bytes([size[0], size[1]])).clamp(PLAIN_MAX, 4096)
        }
        _ => PLAIN_MAX,
    }
}

/// Answers what the zone knows; `None`: others must be asked. `stream`: the answer may have any length.
pub fn answer(question: &Question, zone: &dyn Zone, stream: bool) -> Option<Vec<u8>> {
    if question.class != INTERNET {
        return None;
    }
    let records: Vec<(u16, Vec<u8>)> = match question.kind {
        PTR => vec![(PTR, encode_name(&zone.name(reverse(&question.name)?)?)?)],
        kind => {
            let addresses = zone.addresses(&question.name)?;
            let wanted = addresses.into_iter().filter_map(|address| match address {
                IpAddr::V4(v4) if kind == A => Some((A, v4.octets().to_vec())),
                IpAddr::V6(v6) if kind == AAAA => Some((AAAA, v6.octets().to_vec())),
                _ => None,
            });
            // A name that has no address of this kind is answered with nothing: nobody else knows more.
            wanted.collect()
        }
    };
    let limit = if stream { PACKET_MAX } else { question.room };
    let mut body = Vec::new();
    let (mut count, mut cut) = (0u16, false);
    for (kind, data) in records {
        let record =
            [&FIRST_NAME[..], &kind.to_be_bytes(), &INTERNET.to_be_bytes(), &TTL.to_be_bytes(), &(data.len() as u16).to_be_bytes(), &data]
                .concat();
        if HEADER + question.bytes.len() + body.len() + record.len() > limit {
            cut = true;
            break;
        }
        body.extend(record);
        count += 1;
    }
    Some([&head(question, 0, cut, count)[..], &question.bytes, &body].concat())
}

/// Tells that there is no answer.
pub fn failure(question: &Question, why: Failure) -> Vec<u8> {
    [&head(question, why as u8, false, 0)[..], &question.bytes].concat()
}

/// Whether this may be the answer to that question: nobody else's is passed on. A server that cannot answer may leave the question out.
pub fn answers(reply: &[u8], asked: &[u8]) -> bool {
    let Some(question) = parse(asked).filter(|_| reply.len() >= HEADER && reply[..2] == asked[..2] && reply[2] & 0x80 != 0) else {
        return false;
    };
    match [reply[4], reply[5]] {
        [0, 0] => reply[3] & 0xf != 0,
        [0, 1] => reply.get(HEADER..HEADER + question.bytes.len()).is_some_and(|there| there.eq_ignore_ascii_case(&question.bytes)),
        _ => false,
    }
}

/// Whether a server could not answer, so that the next one is asked.
pub fn is_refusal(reply: &[u8]) -> bool {
    reply.get(3).is_some_and(|flags| matches!(flags & 0xf, 2 | 5))
}

fn head(question: &Question, code: u8, cut: bool, answers: u16) -> [u8; HEADER] {
    let first = 0x80 | if cut { 2 } else { 0 } | u8::from(question.recursion);
    let [high, low] = answers.to_be_bytes();
    [question.id[0], question.id[1], first, 0x80 | code, 0, 1, high, low, 0, 0, 0, 0]
}

fn encode_name(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        if label.len() > 63 {
            return None;
        }
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    (bytes.len() <= 255).then_some(bytes)
}

/// The address that a name under `in-addr.arpa` or `ip6.arpa` stands for.
fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(v4) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = v4.split('.').map(str::parse::<u8>);
        let mut next = || octets.next()?.ok();
        let (d, c, b, a) = (next()?, next()?, next()?, next()?);
        return octets.next().is_none().then_some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)));
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let mut all = 0u128;
    let mut count = 0;
    for digit in digits.split('.') {
        let value = u8::from_str_radix(digit, 16).ok().filter(|_| digit.len() == 1 && count < 32)?;
        all |= u128::from(value) << (4 * count);
        count += 1;
    }
    (count == 32).then_some(IpAddr::V6(Ipv6Addr::from(all)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Zone for Fixed {
        fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
            match name {
                "web" => Some(vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()]),
                "many" => Some((0..200).map(|n| IpAddr::V4(Ipv4Addr::new(10, 0, 1, n))).collect()),
                _ => None,
            }
        }

        fn name(&self, address: IpAddr) -> Option<String> {
            (address == IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)) || address.is_ipv6()).then(|| "web.net".into())
        }
    }

    fn ask(name: &str, kind: u16) -> Vec<u8> {
        let head = [0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        [&head[..], &encode_name(name).unwrap(), &kind.to_be_bytes(), &[0, 1]].concat()
    }

    fn reply(name: &str, kind: u16, stream: bool) -> Option<Vec<u8>> {
        answer(&parse(&ask(name, kind)).unwrap(), &Fixed, stream)
    }

    #[test]
    fn addresses() {
        let got = reply("WEB", A, false).unwrap();
        assert_eq!(got[..4], [0xab, 0xcd, 0x81, 0x80]);
        assert_eq!(got[6..8], [0, 1]);
        assert!(got.ends_with(&[0, 4, 10, 0, 0, 2]));
        assert!(answers(&got, &ask("web", A)));
        assert!(!is_refusal(&got));
        let six = reply("web", AAAA, false).unwrap();
        assert_eq!(six.len(), got.len() + 12);
        // A mail server it has none.
        let none = reply("web", 15, false).unwrap();
        assert_eq!((none[3] & 0xf, &none[6..8]), (0, &[0, 0][..]));
        assert_eq!(reply("example.org", A, false), None);
    }

    #[test]
    fn names_of_addresses() {
        let got = reply("2.0.0.10.in-addr.arpa", PTR, false).unwrap();
        assert!(got.ends_with(b"\x03web\x03net\0"));
        let zeros = "0.".repeat(28);
        assert!(reply(&format!("2.0.0.{zeros}d.ip6.arpa"), PTR, false).is_some());
        for unknown in ["3.0.0.10.in-addr.arpa", "1.2.in-addr.arpa", "x.0.0.10.in-addr.arpa", "web", "1.ip6.arpa"] {
            assert_eq!(reply(unknown, PTR, false), None, "{unknown}");
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let got = reply("many", A, false).unwrap();
        assert!(got.len() <= 512 && got[2] & 2 != 0);
        assert_eq!(u16::from_be_bytes([got[6], got[7]]) as usize, (got.len() - ask("many", A).len()) / 16);
        let whole = reply("many", A, true).unwrap();
        assert_eq!((whole[2] & 2, u16::from_be_bytes([whole[6], whole[7]])), (0, 200));
        // Who takes larger ones says so.
        let mut packet = ask("many", A);
        packet[11] = 1;
        packet.extend([0, 0, OPT as u8, 0x10, 0, 0, 0, 0, 0, 0, 0]);
        let got = answer(&parse(&packet).unwrap(), &Fixed, false).unwrap();
        assert!(got.len() > 512 && got[2] & 2 == 0);
    }

    #[test]
    fn failures() {
        let question = parse(&ask("x", A)).unwrap();
        let got = failure(&question, Failure::Server);
        assert_eq!((got[3] & 0xf, is_refusal(&got)), (2, true));
    }

    #[test]
    fn whose_answer_it_is() {
        let asked = ask("web.example", A);
        let good = failure(&parse(&asked).unwrap(), Failure::Server);
        let with = |at: usize, byte: u8| {
            let mut reply = good.clone();
            reply[at] = byte;
            answers(&reply, &asked)
        };
        assert!(answers(&good, &asked) && with(13, b'W'), "names are one in large and small letters");
        assert!(!with(0, 1), "another id");
        assert!(!with(2, 1), "a question");
        assert!(!with(13, b'x'), "another name");
        assert!(!with(good.len() - 3, 28), "another kind");
        assert!(!with(5, 2), "more questions");
        assert!(with(5, 0), "none, and an error");
        assert!((0..good.len()).all(|cut| !answers(&good[..cut], &asked)));
    }

    #[test]
    fn what_is_no_question() {
        let good = ask("web", A);
        for cut in 0..good.len() {
            assert_eq!(parse(&good[..cut]), None, "{cut}");
        }
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            parse(&bytes)
        };
        assert_eq!(with(2, 0x81), None, "an answer");
        assert_eq!(with(2, 0x29), None, "an update");
        assert_eq!(with(5, 2), None, "two questions");
        assert_eq!(with(12, 0xc0), None, "a pointer");
        assert_eq!(with(13, b'.').unwrap().name, "\u{fffd}eb");
    }

    proptest::proptest! {
        #[test]
        fn nothing_breaks_it(bytes: Vec<u8>) {
            if let Some(question) = parse(&bytes) {
                let _ = answer(&question, &Fixed, false);
            }
        }

        #[test]
        fn no_reply_breaks_it(reply: Vec<u8>, name in "[a-z]{1,20}") {
            let _ = (answers(&reply, &ask(&name, A)), is_refusal(&reply));
        }

        #[test]
        fn what_is_answered_is_an_answer(name in "[a-zA-Z.]{1,40}", kind: u16, stream: bool) {
            let asked = ask(&name, kind);
            if let Some(question) = parse(&asked) {
                let reply = answer(&question, &Fixed, stream).unwrap_or_else(|| failure(&question, Failure::Server));
                proptest::prop_assert!(answers(&reply, &asked));
            }
        }

        #[test]
        fn nothing_after_a_header_breaks_it(bytes: Vec<u8>) {
            let packet = [&[1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1][..], &bytes].concat();
            if let Some(question) = parse(&packet) {
                let _ = answer(&question, &Fixed, true);
            }
        }
    }
}
