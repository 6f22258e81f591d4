//! Points in time: RFC 3339 as Go writes it, and the `since` and `until` of queries and flags.

mod flag;

pub use flag::flag_to_query;

use crate::error::ApiError;
use jiff::Timestamp;

/// Go's zero time.
pub const ZERO: &str = "0001-01-01T00:00:00Z";
const SECOND: i64 = 1_000_000_000;

/// Nanoseconds since 1970 as RFC 3339 in UTC, without trailing zeros (`RFC3339Nano`).
pub fn rfc3339(nanos: i64) -> String {
    let whole = Timestamp::from_second(nanos.div_euclid(SECOND)).unwrap_or_default();
    let rest = nanos.rem_euclid(SECOND);
    let text = whole.to_string();
    if rest == 0 {
        return text;
    }
    format!("{}.{}Z", text.trim_end_matches('Z'), format!("{rest:09}").trim_end_matches('0'))
}

/// As [`rfc3339`], always with nine digits, as log lines have it.
pub fn rfc3339_fixed(nanos: i64) -> String {
    let whole = Timestamp::from_second(nanos.div_euclid(SECOND)).unwrap_or_default().to_string();
    format!("{}.{:09}Z", whole.trim_end_matches('Z'), nanos.rem_euclid(SECOND))
}

/// Or [`ZERO`].
pub fn rfc3339_or_zero(nanos: Option<i64>) -> String {
    nanos.map_or_else(|| ZERO.into(), rfc3339)
}

/// Nanoseconds since 1970 of an RFC 3339 text; `None` for Go's zero time and what is no time.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    if text == ZERO {
        return None;
    }
    let at: Timestamp = text.parse().ok()?;
    i64::try_from(at.as_nanosecond()).ok()
}

/// A query's `SECONDS[.NANOSECONDS]`; empty is `None`.
pub fn parse_query(text: &str) -> Result<Option<i64>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let bad = |part: &str| ApiError::invalid(format!("strconv.ParseInt: parsing \"{part}\": invalid syntax"));
    let whole_value: i64 = whole.parse().map_err(|_| bad(whole))?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || fraction.len() > 18 {
        return Err(bad(fraction));
    }
    let nanos: i64 = format!("{fraction:0<9}")[..9].parse().map_err(|_| bad(fraction))?;
    Ok(Some(whole_value.saturating_mul(SECOND).saturating_add(nanos)))
}

/// In the form of a query.
pub fn query(nanos: i64) -> String {
    format!("{}.{:09}", nanos.div_euclid(SECOND), nanos.rem_euclid(SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_700_000_000_120_000_000), "2023-11-14T22:13:20.12Z");
        assert_eq!(rfc3339_fixed(1_700_000_000_120_000_000), "2023-11-14T22:13:20.120000000Z");
        assert_eq!(parse_rfc3339("2023-11-14T22:13:20.12Z"), Some(1_700_000_000_120_000_000));
        assert_eq!(parse_rfc3339(ZERO), None);
    }

    #[test]
    fn queries() {
        assert_eq!(parse_query(""), Ok(None));
        assert_eq!(parse_query("12"), Ok(Some(12 * SECOND)));
        assert_eq!(parse_query("12.5"), Ok(Some(12 * SECOND + 500_000_000)));
        assert_eq!(parse_query("12.000000001"), Ok(Some(12 * SECOND + 1)));
        assert!(parse_query("x").is_err() && parse_query("1.x").is_err());
    }
}
