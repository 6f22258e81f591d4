//! Durations as Go writes them (`1h2m0.5s`) and as people read them (`2 hours`).

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum DurationError {
    #[error("time: invalid duration \"{0}\"")]
    Invalid(String),
    #[error("time: missing unit in duration \"{0}\"")]
    MissingUnit(String),
    #[error("time: unknown unit \"{unit}\" in duration \"{text}\"")]
    UnknownUnit { unit: String, text: String },
}

const SECOND: i64 = 1_000_000_000;

/// Nanoseconds of a Go duration (`300ms`, `-1.5h`, `2h45m`, `0`).
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.into());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 19 {
            return Err(invalid());
        }
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(text.into()));
        }
        let scale = unit_nanos(unit).ok_or_else(|| DurationError::UnknownUnit { unit: unit.into(), text: text.into() })?;
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        total += whole * i128::from(scale) + fraction_nanos(fraction, scale);
        if total > i128::from(i64::MAX) {
            return Err(invalid());
        }
        rest = after;
    }
    let total = i64::try_from(total).map_err(|_| invalid())?;
    Ok(if negative { -total } else { total })
}

fn unit_nanos(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        _ => return None,
    })
}

/// Digits beyond the eighteenth say less than a nanosecond in any unit.
fn fraction_nanos(digits: &str, scale: i64) -> i128 {
    let mut value: i128 = 0;
    let mut power: i128 = 1;
    for digit in digits.bytes().take(18) {
        value = value * 10 + i128::from(digit - b'0');
        power *= 10;
    }
    value * i128::from(scale) / power
}

/// A duration as Go prints it.
pub fn format(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    let second = SECOND.unsigned_abs();
    if n == 0 {
        return "0s".into();
    }
    if n < second {
        let (unit, scale) = if n < 1_000 {
            ("ns", 1)
        } else if n < 1_000_000 {
            ("µs", 1_000)
        } else {
            ("ms", 1_000_000)
        };
        return format!("{sign}{}{unit}", decimal(n, scale));
    }
    let seconds = decimal(n % (60 * second), second);
    let minutes = n / (60 * second);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, m) => format!("{sign}{m}m{seconds}s"),
        (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
    }
}

fn decimal(value: u64, scale: u64) -> String {
    let whole = value / scale;
    let rest = value % scale;
    if rest == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    format!("{whole}.{}", format!("{rest:0width$}").trim_end_matches('0'))
}

/// `About a minute`, `3 weeks`: how long something lasted, for people. Negative durations count as none.
pub fn human(nanos: i64) -> String {
    let seconds = nanos / SECOND;
    let minutes = seconds / 60;
    // Hours are rounded to the nearest, all else is cut.
    let hours = (nanos.max(0) + 1800 * SECOND) / (3600 * SECOND);
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parsing() {
        let check =
            |text: &str, expect: Result<i64, &str>| assert_eq!(parse(text).map_err(|e| e.to_string()), expect.map_err(str::to_owned));
        check("0", Ok(0));
        check("1h2m3s", Ok(3723 * SECOND));
        check("-1.5s", Ok(-1_500_000_000));
        check(".5s", Ok(500_000_000));
        check("100ms", Ok(100_000_000));
        check("3µs", Ok(3000));
        check("", Err("time: invalid duration \"\""));
        check("5", Err("time: missing unit in duration \"5\""));
        check("5x", Err("time: unknown unit \"x\" in duration \"5x\""));
        check("s", Err("time: invalid duration \"s\""));
        check("99999999999h", Err("time: invalid duration \"99999999999h\""));
    }

    #[test]
    fn printing() {
        for (nanos, expect) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (90 * SECOND, "1m30s"),
            (3600 * SECOND, "1h0m0s"),
            (-1_500_000_000, "-1.5s"),
        ] {
            assert_eq!(format(nanos), expect);
        }
    }

    #[test]
    fn for_people() {
        for (seconds, expect) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (45, "45 seconds"),
            (60, "About a minute"),
            (180, "3 minutes"),
            (3600, "About an hour"),
            (3 * 3600 + 1800, "4 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86400, "2 weeks"),
            (60 * 86400, "2 months"),
            (24 * 30 * 86400, "24 months"),
            (2 * 365 * 86400, "2 years"),
        ] {
            assert_eq!(human(seconds * SECOND), expect, "{seconds}");
        }
    }

    proptest! {
        #[test]
        fn printed_text_parses_back(nanos in -(1i64 << 60)..(1i64 << 60)) {
            prop_assert_eq!(parse(&format(nanos)), Ok(nanos));
        }
        #[test]
        fn any_text_is_answered(text in ".{0,30}") {
            let _ = parse(&text);
        }
    }
}
