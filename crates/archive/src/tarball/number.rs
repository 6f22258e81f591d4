//! Numbers in tar headers: octal text, or base-256 for what octal cannot hold.

/// Reads a numeric field as Go does. `None` if it is neither form, or does not fit.
pub(super) fn parse(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => parse_binary(field),
        _ => parse_octal(field),
    }
}

/// Two's complement, big-endian, the top bit of the first byte being only the mark.
fn parse_binary(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (index, &byte) in field.iter().enumerate() {
        let byte = match (index, negative) {
            (0, true) => byte | 0x80,
            (0, false) => byte & 0x7f,
            _ => byte,
        };
        value = (value << 8) | i128::from(byte);
        if i64::try_from(value).is_err() {
            return None;
        }
    }
    i64::try_from(value).ok()
}

fn parse_octal(field: &[u8]) -> Option<i64> {
    let blank = |b: &u8| *b == b' ' || *b == 0;
    let start = field.iter().position(|b| !blank(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    // Some writers leave the old, longer number behind the terminating NUL.
    if rest.first() == Some(&b' ') && !rest.iter().all(blank) {
        return None;
    }
    digits.iter().try_fold(0i64, |value, b| match b {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(b - b'0')),
        _ => None,
    })
}

/// Writes octal with a final NUL where it fits, else base-256.
pub(super) fn write(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    if digits * 3 >= 64 || value >> (digits * 3) == 0 {
        let text = format!("{value:0digits$o}");
        field[..digits].copy_from_slice(text.as_bytes());
        field[digits] = 0;
    } else {
        let bytes = value.to_be_bytes();
        field.fill(0);
        let start = field.len().saturating_sub(bytes.len());
        let skip = bytes.len().saturating_sub(field.len());
        field[start..].copy_from_slice(&bytes[skip..]);
        field[0] |= 0x80;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_and_binary() {
        for (field, expect) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"    644 ", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"00000z4\0", None),
            (b"12 34\0\0\0", None),
            (b"644\x0077\0\0", Some(0o644)),
            (b"\x80\0\0\0\0\0\x01\x02", Some(0x102)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\x7f\xff\xff\xff\xff\xff\xff\xff", Some(0x7fff_ffff_ffff_ffff)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
        ] {
            assert_eq!(parse(field), expect, "{field:?}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for value in [0, 7, 0o777_7777, 0o1000_0000, 0o77_777_777_777, 1 << 40] {
            for width in [8, 12] {
                let mut field = vec![0; width];
                write(&mut field, value);
                assert_eq!(parse(&field), Some(value as i64), "{value} in {width}");
            }
        }
    }
}
