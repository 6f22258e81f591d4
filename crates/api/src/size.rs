//! Sizes as people write and read them.

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SizeError {
    #[error("invalid size: '{0}'")]
    Size(String),
    #[error("invalid suffix: '{0}'")]
    Suffix(String),
    #[error("strconv.ParseFloat: parsing \"{0}\": invalid syntax")]
    Number(String),
}

/// `64m`, `1.5g`, `10kb`, `2GiB`, `512`: powers of 1024.
pub fn parse_binary(text: &str) -> Result<i64, SizeError> {
    parse(text, 1024)
}

/// `64MB` and so on: powers of 1000.
pub fn parse_decimal(text: &str) -> Result<i64, SizeError> {
    parse(text, 1000)
}

fn parse(text: &str, base: i64) -> Result<i64, SizeError> {
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(|| SizeError::Size(text.into()))?;
    let number = if text.as_bytes()[last] == b' ' { &text[..last] } else { &text[..=last] };
    let suffix = text[last + 1..].to_ascii_lowercase();
    let plain = number.strip_prefix(['-', '+']).unwrap_or(number);
    if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(SizeError::Number(number.into()));
    }
    let value: f64 = number.parse().map_err(|_| SizeError::Number(number.into()))?;
    if value < 0.0 {
        return Err(SizeError::Size(text.into()));
    }
    let bad = || SizeError::Suffix(suffix.clone());
    let power = match suffix.strip_suffix("ib").or_else(|| suffix.strip_suffix('b')).unwrap_or(&suffix) {
        "" if suffix != "ib" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(bad()),
    };
    // A float beyond the range becomes the largest value.
    #[expect(clippy::cast_possible_truncation, reason = "saturates, which is meant")]
    Ok((value * (base as f64).powi(power)) as i64)
}

const DECIMAL: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// `1.234MB`: decimal units, four significant digits.
pub fn human(bytes: f64) -> String {
    human_with(bytes, 4)
}

/// Decimal units, so many significant digits (`docker images` has 3).
pub fn human_with(bytes: f64, digits: usize) -> String {
    scaled(bytes, 1000.0, &DECIMAL, digits)
}

/// `1.234MiB`: binary units, four significant digits.
pub fn human_binary(bytes: f64) -> String {
    scaled(bytes, 1024.0, &BINARY, 4)
}

fn scaled(mut value: f64, base: f64, units: &[&str], digits: usize) -> String {
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", general(value, digits), units[unit])
}

/// C's `%.{digits}g`.
pub fn general(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".into();
    }
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| -> String {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
    };
    let precision = i32::try_from(digits).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= precision {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(precision - 1 - exponent).unwrap_or(0);
    trim(&format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsing() {
        let check = |text: &str, expect: Result<i64, &str>| {
            assert_eq!(parse_binary(text).map_err(|e| e.to_string()), expect.map_err(str::to_owned), "{text}");
        };
        check("64m", Ok(64 << 20));
        check("1.5g", Ok(3 << 29));
        check("32", Ok(32));
        check("32b", Ok(32));
        check("32 kB", Ok(32 << 10));
        check("2GiB", Ok(2 << 30));
        check("1.", Ok(1));
        check("hello", Err("invalid size: 'hello'"));
        check("", Err("invalid size: ''"));
        check("-32", Err("invalid size: '-32'"));
        check("32bb", Err("invalid suffix: 'bb'"));
        check("32ib", Err("invalid suffix: 'ib'"));
        check("32x", Err("invalid suffix: 'x'"));
        check("nan1", Err("strconv.ParseFloat: parsing \"nan1\": invalid syntax"));
        check("1e5", Err("strconv.ParseFloat: parsing \"1e5\": invalid syntax"));
        assert_eq!(parse_decimal("1kb"), Ok(1000));
    }

    #[test]
    fn printing() {
        let check = |bytes: f64, expect: &str| assert_eq!(human(bytes), expect);
        check(0.0, "0B");
        check(1000.0, "1kB");
        check(1024.0, "1.024kB");
        check(1_000_000.0, "1MB");
        check(1_048_576.0, "1.049MB");
        check(123_456_789.0, "123.5MB");
        check(999_999.0, "1000kB");
        assert_eq!(human_with(4_261_502.0, 3), "4.26MB");
        assert_eq!(human_with(999_900.0, 3), "1e+03kB");
        assert_eq!(human_binary(1_048_576.0), "1MiB");
        assert_eq!(human_binary(3_355_443.0), "3.2MiB");
        assert_eq!(general(0.0001, 3), "0.0001");
    }
}
