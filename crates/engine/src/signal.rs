//! Signals by the names and numbers that people type.

use crate::error::{Error, Kind, Result};

/// Names without SIG, by number, as Linux has them on the machines that we run on.
const NAMES: [(&str, i32); 34] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// First and last real-time signal, as a C library counts them.
const REALTIME: std::ops::RangeInclusive<i32> = 34..=64;

/// SIGKILL.
pub(crate) const KILL: i32 = 9;
/// SIGTERM.
pub(crate) const TERM: i32 = 15;

/// The number of a signal: a number, or a name of any case with or without `SIG`, `RTMIN+1` and `RTMAX-1` included.
pub(crate) fn parse(text: &str) -> Result<i32> {
    let bad = || Error::new(Kind::Invalid, format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=*REALTIME.end()).contains(&number) { Ok(number) } else { Err(bad()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(n, _)| *n == name) {
        return Ok(*number);
    }
    realtime(name).ok_or_else(bad)
}

fn realtime(name: &str) -> Option<i32> {
    let (base, offset) = if let Some(rest) = name.strip_prefix("RTMIN") {
        (*REALTIME.start(), rest)
    } else {
        (*REALTIME.end(), name.strip_prefix("RTMAX")?)
    };
    let offset = match offset {
        "" => 0,
        text if text.starts_with(['+', '-']) => text.parse::<i32>().ok()?,
        _ => return None,
    };
    let number = base.checked_add(offset)?;
    REALTIME.contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<i32>) {
        match (parse(text), expect) {
            (Ok(got), Some(want)) => assert_eq!(got, want, "{text}"),
            (Err(e), None) => assert_eq!(e.message, format!("invalid signal: {text}")),
            (got, want) => panic!("{text}: {got:?}, expected {want:?}"),
        }
    }

    #[test]
    fn names_and_numbers() {
        check("KILL", Some(9));
        check("SIGKILL", Some(9));
        check("sigterm", Some(15));
        check("hup", Some(1));
        check("9", Some(9));
        check("64", Some(64));
        check("RTMIN", Some(34));
        check("SIGRTMIN+3", Some(37));
        check("RTMAX-1", Some(63));
        check("0", None);
        check("65", None);
        check("-1", None);
        check("FOO", None);
        check("", None);
        check("RTMIN3", None);
        check("RTMAX+1", None);
        check("SIGSIGKILL", None);
    }
}
