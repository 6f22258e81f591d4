//! What a person types after `--since` and `--until`, as Docker's client reads it, with Go's words for what is no time.

use super::{SECOND, parse_query, query};
use crate::error::ApiError;
use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;

/// Unix seconds with a fraction, a date or a time as RFC 3339 writes it (cut off anywhere from the hour on, local where it has no zone), or
/// a Go duration before `now`. The answer is in the form of a query.
pub fn flag_to_query(text: &str, now: i64) -> Result<String, ApiError> {
    if text != "0"
        && let Ok(ago) = crate::duration::parse(text)
    {
        return Ok(now.saturating_sub(ago).div_euclid(SECOND).to_string());
    }
    match read(text, layout(text), local_offset(now)) {
        Ok(at) => Ok(query(at)),
        Err(what) if text.contains('-') => Err(ApiError::invalid(what)),
        Err(_) => match parse_query(text) {
            Ok(Some(_)) => Ok(text.to_owned()),
            _ => Err(ApiError::invalid(format!("failed to parse value as time or duration: {text:?}"))),
        },
    }
}

/// Seconds east of UTC.
fn local_offset(now: i64) -> i64 {
    let now = Timestamp::from_nanosecond(i128::from(now)).unwrap_or_default();
    i64::from(TimeZone::system().to_offset(now).seconds())
}

/// The layout that a text seems to follow, in Go's notation.
fn layout(text: &str) -> &'static str {
    let has_z = text.contains(['z', 'Z']);
    let zoned = has_z || text.contains('+') || text.matches('-').count() == 3;
    if text.contains('.') {
        return if zoned { "2006-01-02T15:04:05.999999999Z07:00" } else { "2006-01-02T15:04:05.999999999" };
    }
    if !text.contains('T') {
        return if zoned { "2006-01-02Z07:00" } else { "2006-01-02" };
    }
    let colons = text.matches(':').count();
    // The one in the zone does not count.
    let colons = if zoned && !has_z { colons.saturating_sub(1) } else { colons };
    match (colons, zoned) {
        (0, false) => "2006-01-02T15",
        (1, false) => "2006-01-02T15:04",
        (_, false) => "2006-01-02T15:04:05",
        (0, true) => "2006-01-02T15Z07:00",
        (1, true) => "2006-01-02T15:04Z07:00",
        (_, true) => "2006-01-02T15:04:05Z07:00",
    }
}

/// Parts of a layout that stand for a value.
const PARTS: [&str; 8] = ["2006", "01", "02", "15", "04", "05", ".999999999", "Z07:00"];

#[derive(Default)]
struct Found {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    zone: Option<i64>,
}

/// Why a part cannot be read.
enum Bad {
    Form,
    Range(&'static str),
}

/// Nanoseconds since 1970, or Go's words.
fn read(text: &str, layout: &str, local: i64) -> Result<i64, String> {
    let mut found = Found::default();
    let (mut rest, mut left) = (text, layout);
    while !left.is_empty() {
        let part = PARTS.into_iter().find(|part| left.starts_with(part));
        let element = part.unwrap_or(&left[..1]);
        let done = match part {
            Some(part) => found.take(part, rest),
            None => rest.strip_prefix(element).ok_or(Bad::Form),
        };
        rest = match done {
            Ok(behind) => behind,
            Err(Bad::Form) => return Err(format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}")),
            Err(Bad::Range(what)) => return Err(format!("parsing time {text:?}: {what} out of range")),
        };
        left = &left[element.len()..];
    }
    if !rest.is_empty() {
        return Err(format!("parsing time {text:?}: extra text: {rest:?}"));
    }
    found.nanos(local).ok_or_else(|| format!("parsing time {text:?}: day out of range"))
}

impl Found {
    /// Reads one part; answers what is behind it.
    fn take<'a>(&mut self, part: &str, text: &'a str) -> Result<&'a str, Bad> {
        let within = |value: i64, end: i64, what: &'static str| if value < end { Ok(value) } else { Err(Bad::Range(what)) };
        let behind;
        match part {
            "2006" => (self.year, behind) = number(text, 4, 4)?,
            "01" => {
                (self.month, behind) = number(text, 2, 2)?;
                if !(1..=12).contains(&self.month) {
                    return Err(Bad::Range("month"));
                }
            }
            "02" => (self.day, behind) = number(text, 2, 2)?,
            "15" => {
                (self.hour, behind) = number(text, 1, 2)?;
                within(self.hour, 24, "hour")?;
            }
            "04" => {
                (self.minute, behind) = number(text, 2, 2)?;
                within(self.minute, 60, "minute")?;
            }
            "05" => {
                (self.second, behind) = number(text, 2, 2)?;
                within(self.second, 60, "second")?;
            }
            ".999999999" => {
                let digits = text.strip_prefix(['.', ',']).map_or(0, |digits| digits.bytes().take_while(u8::is_ascii_digit).count());
                if digits == 0 {
                    return Ok(text);
                }
                let fraction: String = text[1..=digits].chars().chain("000000000".chars()).take(9).collect();
                self.nanos = fraction.parse().map_err(|_| Bad::Form)?;
                behind = &text[1 + digits..];
            }
            _ => {
                if let Some(behind) = text.strip_prefix('Z') {
                    self.zone = Some(0);
                    return Ok(behind);
                }
                let (sign, offset) = match text.as_bytes().first() {
                    Some(b'+') => (1, &text[1..]),
                    Some(b'-') => (-1, &text[1..]),
                    _ => return Err(Bad::Form),
                };
                let (hours, minutes) = number(offset, 2, 2)?;
                let (minutes, rest) = number(minutes.strip_prefix(':').ok_or(Bad::Form)?, 2, 2)?;
                within(hours, 25, "time zone offset hour")?;
                within(minutes, 61, "time zone offset minute")?;
                self.zone = Some(sign * (hours * 60 + minutes) * 60);
                behind = rest;
            }
        }
        Ok(behind)
    }

    fn nanos(&self, local: i64) -> Option<i64> {
        let small = |value: i64| i8::try_from(value).ok();
        let day = jiff::civil::Date::new(i16::try_from(self.year).ok()?, small(self.month)?, small(self.day)?).ok()?;
        let days = i64::from(day.since((jiff::Unit::Day, date(1970, 1, 1))).ok()?.get_days());
        let seconds = ((days * 24 + self.hour) * 60 + self.minute) * 60 + self.second - self.zone.unwrap_or(local);
        seconds.checked_mul(SECOND)?.checked_add(self.nanos)
    }
}

/// A number of so many digits.
fn number(text: &str, least: usize, most: usize) -> Result<(i64, &str), Bad> {
    let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if digits < least {
        return Err(Bad::Form);
    }
    let (number, behind) = text.split_at(digits);
    Ok((number.parse().map_err(|_| Bad::Form)?, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000 * SECOND + 5;

    #[test]
    fn ways_to_say_a_time() {
        let check = |text: &str, expect: &str| assert_eq!(flag_to_query(text, NOW).unwrap(), expect, "{text}");
        check("0", "0");
        check("1700000000", "1700000000");
        check("1.5", "1.5");
        check("10s", "1699999990");
        check("1h30m", "1699994600");
        check("0s", "1700000000");
        check("-1m", "1700000060");
        check("2023-11-14T22:13:20Z", "1700000000.000000000");
        check("2023-11-14T22:13:20.12Z", "1700000000.120000000");
        check("2023-11-14T22:13:20.1234567891Z", "1700000000.123456789");
        check("2023-11-14T23:43:20+01:30", "1700000000.000000000");
        check("2023-11-14T20:13:20-02:00", "1700000000.000000000");
        check("2023-11-14T22:13Z", "1699999980.000000000");
        check("2023-11-14T22Z", "1699999200.000000000");
        check("2023-11-14T22+00:00", "1699999200.000000000");
        check("2023-11-14Z", "1699920000.000000000");
        check("2023-11-14+01:00", "1699916400.000000000");
        check("1969-12-31T23:59:59.5Z", "-1.500000000");
    }

    #[test]
    fn local_times() {
        let check = |text: &str, expect: i64| assert_eq!(read(text, layout(text), 3600), Ok(expect * SECOND), "{text}");
        check("2023-11-14T23:13:20", 1_700_000_000);
        check("2023-11-14T23:13:20.0", 1_700_000_000);
        check("2023-11-14T23:13", 1_699_999_980);
        check("2023-11-14T23", 1_699_999_200);
        check("2023-11-14T1", 1_699_920_000);
        check("2023-11-14", 1_699_916_400);
    }

    #[test]
    fn what_is_no_time() {
        let check = |text: &str, expect: &str| assert_eq!(flag_to_query(text, NOW).unwrap_err().message, expect, "{text}");
        check("yesterday", "failed to parse value as time or duration: \"yesterday\"");
        check("1e3", "failed to parse value as time or duration: \"1e3\"");
        check("2020-13-01", "parsing time \"2020-13-01\": month out of range");
        check("2020-02-30", "parsing time \"2020-02-30\": day out of range");
        check("2020-1-1", "parsing time \"2020-1-1\" as \"2006-01-02\": cannot parse \"1-1\" as \"01\"");
        check("2020-01-01x", "parsing time \"2020-01-01x\": extra text: \"x\"");
        check("2020-01-01 00:00", "parsing time \"2020-01-01 00:00\": extra text: \" 00:00\"");
        check("2020-01-01T25", "parsing time \"2020-01-01T25\": hour out of range");
        check("2020-01-01T00:60", "parsing time \"2020-01-01T00:60\": minute out of range");
        check("2020-01-01-02:00x", "parsing time \"2020-01-01-02:00x\": extra text: \"x\"");
        check("-1", "parsing time \"-1\" as \"2006-01-02\": cannot parse \"-1\" as \"2006\"");
        check("x-y", "parsing time \"x-y\" as \"2006-01-02\": cannot parse \"x-y\" as \"2006\"");
    }
}
