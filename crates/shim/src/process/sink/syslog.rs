//! Messages as syslog daemons read them. Times are this machine's, in its time zone.

use super::Entry;
use crate::config::sink::Format;
use crate::frame::Stream;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Writes messages of one container.
#[derive(Debug)]
pub(super) struct Encoder {
    format: Format,
    /// Each message has its length in front of it (RFC 5425).
    framed: bool,
    /// The facility's part of the priority.
    facility: u8,
    tag: String,
    host: String,
    pid: i32,
    zone: TimeZone,
}

impl Encoder {
    pub(super) fn new(format: Format, facility: u8, tag: &str, tls: bool) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        // As with Docker, only messages of RFC 5424.
        let framed = tls && matches!(format, Format::Rfc5424 | Format::Rfc5424Micro);
        Self { format, framed, facility: facility.min(23) << 3, tag: tag.to_owned(), host, pid, zone: TimeZone::system() }
    }

    /// Appends one message.
    pub(super) fn write(&self, out: &mut Vec<u8>, entry: &Entry) {
        let priority = self.facility | if entry.stream == Stream::Stderr { 3 } else { 6 };
        let Self { host, tag, pid, .. } = self;
        let time = self.time(entry.time);
        let head = match self.format {
            Format::Unix => format!("<{priority}>{time} {tag}[{pid}]: "),
            Format::Rfc3164 => format!("<{priority}>{time} {host} {tag}[{pid}]: "),
            Format::Rfc5424 | Format::Rfc5424Micro => format!("<{priority}>1 {time} {host} {tag} {pid} {tag} - "),
        };
        let end: &[u8] = if entry.text.ends_with(b"\n") { b"" } else { b"\n" };
        if self.framed {
            out.extend_from_slice(format!("{} ", head.len() + entry.text.len() + end.len()).as_bytes());
        }
        for part in [head.as_bytes(), &entry.text, end] {
            out.extend_from_slice(part);
        }
    }

    fn time(&self, nanos: i64) -> String {
        let zoned = Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default().to_zoned(self.zone.clone());
        let digits = match self.format {
            Format::Unix | Format::Rfc3164 => return zoned.strftime("%b %e %H:%M:%S").to_string(),
            Format::Rfc5424 => "%Y-%m-%dT%H:%M:%S",
            Format::Rfc5424Micro => "%Y-%m-%dT%H:%M:%S.%6f",
        };
        let zone = if zoned.offset().is_zero() { "Z" } else { "%:z" };
        zoned.strftime(&format!("{digits}{zone}")).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_in_every_form() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let check = |format, zone: &TimeZone, stream, expect: &str| {
            let encoder =
                Encoder { format, framed: false, facility: 3 << 3, tag: "web".into(), host: "box".into(), pid: 7, zone: zone.clone() };
            let mut out = Vec::new();
            // 2023-11-05 22:13:20.5 in UTC.
            encoder.write(&mut out, &Entry { stream, time: 1_699_222_400_500_000_000, part: None, text: b"hi".to_vec() });
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        };
        let utc = TimeZone::UTC;
        check(Format::Unix, &utc, Stream::Stdout, "<30>Nov  5 22:13:20 web[7]: hi\n");
        check(Format::Rfc3164, &zone, Stream::Stderr, "<27>Nov  6 00:13:20 box web[7]: hi\n");
        check(Format::Rfc5424, &utc, Stream::Stdout, "<30>1 2023-11-05T22:13:20Z box web 7 web - hi\n");
        check(Format::Rfc5424, &zone, Stream::Stdout, "<30>1 2023-11-06T00:13:20+02:00 box web 7 web - hi\n");
        let framed = Encoder::new(Format::Rfc5424, 3, "web", true);
        let mut out = Vec::new();
        framed.write(&mut out, &Entry { stream: Stream::Stdout, time: 0, part: None, text: b"hi".to_vec() });
        let text = String::from_utf8(out).unwrap();
        let (length, message) = text.split_once(' ').unwrap();
        assert!(length.parse() == Ok(message.len()) && message.ends_with(" - hi\n"), "{text}");
        assert!(!Encoder::new(Format::Rfc3164, 3, "web", true).framed);
        check(Format::Rfc5424Micro, &zone, Stream::Stdout, "<30>1 2023-11-06T00:13:20.500000+02:00 box web 7 web - hi\n");
    }
}
