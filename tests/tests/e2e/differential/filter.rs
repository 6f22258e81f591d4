//! What differs from run to run is put out of sight: ids, instants, ages, places.

use std::path::Path;

/// A text with everything replaced that two runs never share.
pub(super) fn filter(text: &str, places: &[(&Path, &str)]) -> String {
    let mut text = text.to_owned();
    for (place, name) in places {
        text = text.replace(&place.display().to_string(), name);
    }
    // The docker client sometimes complains of an archive that it stops to make itself.
    let noise = |line: &str| line.contains("msg=\"Can't add file ") || line.contains("msg=\"Can't close tar writer");
    let text = text.lines().filter(|line| !noise(line)).collect::<Vec<_>>().join("\n");
    let text = ages(&ids(&instants(&text)));
    let squeeze = text.contains("AGO") || text.contains("TIME");
    text.lines().map(|line| if squeeze { blanks(line) } else { line.trim_end().to_owned() }).collect::<Vec<_>>().join("\n")
}

/// Words of 64 or 12 hexadecimal letters.
fn ids(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(length);
        let is_id = matches!(word.len(), 12 | 64) && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        shown.push_str(if is_id { "ID" } else { word });
        let separator = behind.chars().next().map_or(0, char::len_utf8);
        shown.push_str(&behind[..separator]);
        rest = &behind[separator..];
    }
    shown
}

/// `2026-01-02T03:04:05.6Z` and `2026-01-02 03:04:05 +0000 UTC`.
fn instants(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let after_digit = shown.ends_with(|last: char| last.is_ascii_digit());
        match instant(rest).filter(|_| !after_digit) {
            // The beginning of time is no news.
            Some(length) if !rest.starts_with("0001-") => {
                shown.push_str("TIME");
                rest = &rest[length..];
            }
            _ => {
                shown.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    shown
}

/// The length of the instant that a text begins with.
fn instant(text: &str) -> Option<usize> {
    const SHAPE: &str = "dddd-dd-ddsdd:dd:dd";
    let fits = |(byte, shape): (u8, u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        b's' => byte == b'T' || byte == b' ',
        other => byte == other,
    };
    let bytes = text.as_bytes();
    if bytes.len() < SHAPE.len() || !bytes.iter().copied().zip(SHAPE.bytes()).all(fits) {
        return None;
    }
    let mut length = SHAPE.len();
    if bytes.get(length) == Some(&b'.') {
        length += 1 + text[length + 1..].bytes().take_while(u8::is_ascii_digit).count();
    }
    let zone = [" +0000 UTC", "Z", "+00:00"].into_iter().find(|zone| text[length..].starts_with(zone));
    Some(length + zone.map_or(0, str::len))
}

/// `3 seconds`, `About a minute`, `Less than a second`: how old something is.
fn ages(text: &str) -> String {
    let text = text.replace("Less than a second", "0 seconds").replace("About a minute", "1 minutes");
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let digits = rest[start..].bytes().take_while(u8::is_ascii_digit).count();
        let behind = &rest[start + digits..];
        shown.push_str(&rest[..start]);
        match [" seconds", " second", " minutes", " minute"].into_iter().find_map(|unit| behind.strip_prefix(unit)) {
            Some(behind) => {
                shown.push_str("AGO");
                rest = behind;
            }
            None => {
                shown.push_str(&rest[start..start + digits]);
                rest = behind;
            }
        }
    }
    shown.push_str(rest);
    shown
}

/// Runs of blanks as two: the columns of a table are as wide as an age.
fn blanks(line: &str) -> String {
    let mut shown = String::new();
    for letter in line.trim_end().chars() {
        if letter != ' ' || !shown.ends_with("  ") {
            shown.push(letter);
        }
    }
    shown
}

#[test]
fn what_is_put_out_of_sight() {
    let check = |text: &str, expect: &str| assert_eq!(filter(text, &[(Path::new("/tmp/x"), "HOME")]), expect);
    check("0123456789ab x 0123456789abc", "ID x 0123456789abc");
    check("Up 3 seconds (Paused)", "Up AGO (Paused)");
    check("\"RunningFor\":\"Less than a second ago\",\"x\":1 2", "\"RunningFor\":\"AGO ago\",\"x\":1 2");
    check("Exited (0) Less than a second ago   x    y", "Exited (0) AGO ago  x  y");
    check("\"2026-01-02T03:04:05.123456Z\" 2026-01-02 03:04:05 +0000 UTC|", "\"TIME\" TIME|");
    check("0001-01-01T00:00:00Z /tmp/x/y", "0001-01-01T00:00:00Z HOME/y");
}
