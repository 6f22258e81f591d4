//! Times on the command line: what people give to `--since`, and how instants are shown.

use dhow_api::duration;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Seconds since 1970 as Docker's list commands show them: `2023-11-14 22:13:20 +0000 UTC`.
pub(crate) fn show_seconds(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(instant) => instant.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string(),
        Err(_) => String::new(),
    }
}

/// Seconds since 1970 in RFC 3339, in local time.
pub(crate) fn show_rfc3339(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(instant) => {
            let zoned = instant.to_zoned(TimeZone::system());
            let zone = if zoned.offset().is_zero() { "Z".to_owned() } else { zoned.strftime("%:z").to_string() };
            format!("{}{zone}", zoned.strftime("%Y-%m-%dT%H:%M:%S"))
        }
        Err(_) => String::new(),
    }
}

/// How long ago a second of the clock was.
pub(crate) fn ago(seconds: i64) -> String {
    let age = Timestamp::now().as_second().saturating_sub(seconds).max(0);
    format!("{} ago", duration::human(age.saturating_mul(1_000_000_000)))
}

/// Local time with nanoseconds, as `events` shows it.
pub(crate) fn show_nanos(nanos: i64) -> String {
    match Timestamp::from_nanosecond(i128::from(nanos)) {
        Ok(instant) => {
            let zoned = instant.to_zoned(TimeZone::system());
            let zone = if zoned.offset().is_zero() { "Z".to_owned() } else { zoned.strftime("%:z").to_string() };
            format!("{}{zone}", zoned.strftime("%Y-%m-%dT%H:%M:%S.%9f"))
        }
        Err(_) => String::new(),
    }
}

/// What `--since` and `--until` take, as the API takes it.
pub(crate) fn given(text: &str) -> Result<String, String> {
    let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
    dhow_api::time::flag_to_query(text, now).map_err(|error| error.message)
}
