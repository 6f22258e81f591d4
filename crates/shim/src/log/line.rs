//! One entry of a json-file log, written as Docker writes it:
//! `{"log":"text\n","stream":"stdout"[,"attrs":{..}],"time":"2006-01-02T15:04:05.999999999Z"}` and a line feed.

use super::split::Ending;
use crate::frame::Stream;

/// Writes entries of one log. All lines of one read share their end, which is made once for them.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// A JSON object as text, empty for none.
    attrs: String,
    /// What follows the text of an entry, up to the line feed.
    tail: Vec<u8>,
    /// Of which stream and time it is.
    tail_of: Option<(Stream, i64)>,
}

impl Writer {
    /// A writer of entries with these attributes.
    pub(crate) fn new(attrs: String) -> Self {
        Self { attrs, tail: Vec::new(), tail_of: None }
    }

    /// Appends one entry. `time` is nanoseconds since 1970.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, piece: &[u8], ending: Ending, stream: Stream, time: i64) {
        if self.tail_of != Some((stream, time)) {
            self.tail.clear();
            tail(&mut self.tail, stream, &self.attrs, time);
            self.tail_of = Some((stream, time));
        }
        out.reserve(piece.len() + self.tail.len() + 16);
        out.extend_from_slice(b"{\"log\":\"");
        escape(out, piece);
        if ending == Ending::Newline {
            out.extend_from_slice(b"\\n");
        }
        out.extend_from_slice(&self.tail);
    }
}

fn tail(out: &mut Vec<u8>, stream: Stream, attrs: &str, time: i64) {
    out.extend_from_slice(b"\",\"stream\":\"");
    out.extend_from_slice(stream.name().as_bytes());
    out.push(b'"');
    if !attrs.is_empty() {
        out.extend_from_slice(b",\"attrs\":");
        out.extend_from_slice(attrs.as_bytes());
    }
    out.extend_from_slice(b",\"time\":\"");
    timestamp(out, time);
    out.extend_from_slice(b"\"}\n");
}

/// The inside of a JSON string, escaped as Go's encoder does: `\n` and `\r` short, other control characters and `<`, `>`, `&` as
/// `\u00XX`, the two line separators of Unicode as `\u202X`, each byte that is no UTF-8 as `\ufffd`.
fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        escape_text(out, chunk.valid());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

/// Whether it stands in JSON as it is: ASCII without anything to escape. Most lines are, so this looks at many bytes at once, without a
/// branch for each.
fn is_plain(bytes: &[u8]) -> bool {
    const AT_ONCE: usize = 32;
    let plain = |block: &[u8]| !block.iter().fold(false, |found, &byte| found | is_special(byte));
    let (blocks, rest) = bytes.as_chunks::<AT_ONCE>();
    if !blocks.iter().all(|block| plain(block)) {
        return false;
    }
    // The last bytes again with some before them: a whole block is looked at faster than a part of one.
    match bytes.last_chunk::<AT_ONCE>() {
        Some(last) if !rest.is_empty() => plain(last),
        _ => plain(rest),
    }
}

fn is_special(byte: u8) -> bool {
    // One comparison for the control characters, as for all above ASCII.
    (byte.wrapping_sub(0x20) >= 0x60) | (byte == b'"') | (byte == b'\\') | (byte == b'<') | (byte == b'>') | (byte == b'&')
}

fn escape_text(out: &mut Vec<u8>, text: &str) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut start = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let separator = byte == 0xE2 && matches!(bytes.get(at..at + 3), Some([0xE2, 0x80, 0xA8 | 0xA9]));
        if !separator && !matches!(byte, 0..=0x1F | b'"' | b'\\' | b'<' | b'>' | b'&') {
            at += 1;
            continue;
        }
        out.extend_from_slice(bytes.get(start..at).unwrap_or_default());
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0xE2 => {
                let last = if bytes.get(at + 2) == Some(&0xA8) { b'8' } else { b'9' };
                out.extend_from_slice(&[b'\\', b'u', b'2', b'0', b'2', last]);
                at += 2;
            }
            _ => {
                let digit = |n: u8| HEX[usize::from(n & 15)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte)]);
            }
        }
        at += 1;
        start = at;
    }
    out.extend_from_slice(bytes.get(start..).unwrap_or_default());
}

/// RFC 3339 in UTC with as many digits of the second's fraction as are not trailing zeros.
pub(crate) fn timestamp(out: &mut Vec<u8>, nanos: i64) {
    let (seconds, mut fraction) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    for (value, digits, end) in [(year, 4, b'-'), (month, 2, b'-'), (day, 2, b'T'), (second / 3600, 2, b':'), (second / 60 % 60, 2, b':')] {
        number(out, value, digits);
        out.push(end);
    }
    number(out, second % 60, 2);
    if fraction != 0 {
        let mut digits = 9;
        while fraction % 10 == 0 {
            fraction /= 10;
            digits -= 1;
        }
        out.push(b'.');
        number(out, fraction, digits);
    }
    out.push(b'Z');
}

fn number(out: &mut Vec<u8>, value: i64, digits: u32) {
    for place in (0..digits).rev() {
        out.push(b'0' + (value / 10_i64.pow(place) % 10) as u8);
    }
}

/// Year, month and day of a day counted from 1970 in the Gregorian calendar. Years are reckoned from March, so that the leap day is the
/// last of its year, in eras of 400 years that all have the same 146097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let since_march_0 = days + 719_468;
    let (era, day_of_era) = (since_march_0.div_euclid(146_097), since_march_0.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(piece: &[u8], ending: Ending, attrs: &str, time: i64) -> String {
        let mut out = Vec::new();
        Writer::new(attrs.to_owned()).write(&mut out, piece, ending, Stream::Stdout, time);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn as_docker_writes_them() {
        assert_eq!(
            line(b"hi", Ending::Newline, "", 1_700_000_000_120_000_000),
            "{\"log\":\"hi\\n\",\"stream\":\"stdout\",\"time\":\"2023-11-14T22:13:20.12Z\"}\n"
        );
        assert_eq!(
            line(b"<a>&\"\\\t\r\n\x7f\x01", Ending::Partial, "{\"k\":\"v\"}", 0),
            "{\"log\":\"\\u003ca\\u003e\\u0026\\\"\\\\\\u0009\\r\\n\x7f\\u0001\",\"stream\":\"stdout\",\"attrs\":{\"k\":\"v\"},\"time\":\"1970-01-01T00:00:00Z\"}\n"
        );
        assert!(line(b"\xE2\x82a\xFF", Ending::Partial, "", 0).contains("\"\\ufffd\\ufffda\\ufffd\""));
        assert!(line("é\u{2028}\u{2029}€".as_bytes(), Ending::Partial, "", 0).contains("\"é\\u2028\\u2029€\""));
    }

    #[test]
    fn one_writer_for_both_streams_and_many_times() {
        let mut writer = Writer::new(String::new());
        let mut out = Vec::new();
        let steps = [(Stream::Stdout, 5), (Stream::Stdout, 5), (Stream::Stderr, 5), (Stream::Stderr, 1_000_000_000), (Stream::Stdout, 5)];
        for (stream, time) in steps {
            writer.write(&mut out, b"x", Ending::Newline, stream, time);
        }
        let mut apart = Vec::new();
        for (stream, time) in steps {
            Writer::default().write(&mut apart, b"x", Ending::Newline, stream, time);
        }
        assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(apart).unwrap());
    }

    #[test]
    fn plain_is_what_needs_no_escape() {
        for byte in 0..=u8::MAX {
            let mut escaped = Vec::new();
            escape_text(&mut escaped, &char::from(byte).to_string());
            let plain = byte.is_ascii() && escaped == [byte];
            // Alone, and at every place of a longer text.
            assert_eq!(is_plain(&[byte]), plain, "{byte:#x}");
            for at in 0..70 {
                let mut text = [b'x'; 70];
                text[at] = byte;
                assert_eq!(is_plain(&text), plain, "{byte:#x} at {at}");
            }
        }
        assert!(is_plain(b""));
    }

    proptest! {
        #[test]
        fn every_parser_reads_them(piece in proptest::collection::vec(any::<u8>(), 0..300)) {
            let value: serde_json::Value = serde_json::from_str(&line(&piece, Ending::Newline, "", 5)).unwrap();
            let mut expect = String::new();
            for chunk in piece.utf8_chunks() {
                expect.push_str(chunk.valid());
                chunk.invalid().iter().for_each(|_| expect.push('\u{FFFD}'));
            }
            expect.push('\n');
            prop_assert_eq!(value["log"].as_str().unwrap(), expect);
        }

        #[test]
        fn text_too(piece in ".{0,200}") {
            let value: serde_json::Value = serde_json::from_str(&line(piece.as_bytes(), Ending::Partial, "", 5)).unwrap();
            prop_assert_eq!(value["log"].as_str().unwrap(), piece);
        }

        #[test]
        fn times_are_true(nanos in -2_000_000_000_000_000_000i64..i64::MAX) {
            let mut out = Vec::new();
            timestamp(&mut out, nanos);
            let parsed: jiff::Timestamp = std::str::from_utf8(&out).unwrap().parse().unwrap();
            prop_assert_eq!(parsed.as_nanosecond(), i128::from(nanos));
        }
    }
}
