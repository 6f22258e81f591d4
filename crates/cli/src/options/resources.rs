//! Limits: memory, processors, processes, and the restart policy; shared by create and update.

use dhow_api::size;
use dhow_api::types::{Resources, RestartPolicy, Ulimit, UpdateBody};

use crate::error::Error;
use crate::flags::{Flag, Parsed, bytes, int, special, string};

/// Flags of `update`.
pub(crate) static UPDATE_FLAGS: &[Flag] = &[
    special("blkio-weight", "uint16", "Relative weight of block I/O, 10 to 1000, 0 for none", check_u16).default("0"),
    int("cpu-period", "CFS period in microseconds"),
    int("cpu-quota", "CFS quota in microseconds"),
    int("cpu-rt-period", "Real-time period in microseconds"),
    int("cpu-rt-runtime", "Real-time budget in microseconds"),
    int("cpu-shares", "Relative CPU weight").short('c'),
    special("cpus", "decimal", "How many CPUs may be used", check_cpus),
    string("cpuset-cpus", "CPUs that may be used (0-3, 0,1)"),
    string("cpuset-mems", "Memory nodes that may be used (0-3, 0,1)"),
    bytes("kernel-memory", "No effect any more").hidden(),
    bytes("memory", "Memory limit").short('m'),
    bytes("memory-reservation", "Soft memory limit"),
    special("memory-swap", "bytes", "Limit of memory plus swap, -1 for unlimited swap", check_swap),
    int("pids-limit", "Limit of processes, -1 for unlimited"),
    string("restart", "Policy for when the container ends"),
];

/// Body of an update. What was not given stays as it is.
pub(crate) fn update_body(parsed: &Parsed) -> Result<UpdateBody, Error> {
    let resources = resources(parsed);
    let restart_policy = match parsed.value("restart") {
        Some(text) => restart_policy(text).map_err(Error::new)?,
        None => RestartPolicy::default(),
    };
    let resources = Resources { pids_limit: parsed.int("pids-limit").filter(|limit| *limit != 0), ..resources };
    Ok(UpdateBody { resources, restart_policy })
}

/// The limits that create and update share.
pub(super) fn resources(parsed: &Parsed) -> Resources {
    let number = |flag: &str| parsed.int(flag).unwrap_or(0);
    let size = |flag: &str| parsed.value(flag).and_then(|text| size_or_unlimited(text).ok()).unwrap_or(0);
    Resources {
        cpu_shares: number("cpu-shares"),
        memory: size("memory"),
        nano_cpus: parsed.value("cpus").and_then(|text| nano_cpus(text).ok()).unwrap_or(0),
        blkio_weight: parsed.value("blkio-weight").and_then(|text| text.parse().ok()).unwrap_or(0),
        cpu_period: number("cpu-period"),
        cpu_quota: number("cpu-quota"),
        cpu_realtime_period: number("cpu-rt-period"),
        cpu_realtime_runtime: number("cpu-rt-runtime"),
        cpuset_cpus: parsed.text("cpuset-cpus").to_owned(),
        cpuset_mems: parsed.text("cpuset-mems").to_owned(),
        memory_reservation: size("memory-reservation"),
        memory_swap: size("memory-swap"),
        ..Resources::default()
    }
}

fn size_or_unlimited(text: &str) -> Result<i64, String> {
    if text == "-1" { Ok(-1) } else { size::parse_binary(text).map_err(|error| error.to_string()) }
}

pub(super) fn check_swap(text: &str) -> Result<(), String> {
    size_or_unlimited(text).map(|_| ())
}

pub(super) fn check_u16(text: &str) -> Result<(), String> {
    match text.parse::<u16>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("strconv.ParseUint: parsing {}: {}", crate::flags::quote(text), crate::flags::unsigned_problem(text))),
    }
}

pub(super) fn check_cpus(text: &str) -> Result<(), String> {
    nano_cpus(text).map(|_| ())
}

/// `1.5`, `.5`, `3/2` as billionths of a CPU, exactly.
fn nano_cpus(text: &str) -> Result<i64, String> {
    let unreadable = || format!("failed to parse {text} as a rational number");
    let (above, below) = text.split_once('/').unwrap_or((text, "1"));
    let below: i128 = below.parse().ok().filter(|number| *number > 0).ok_or_else(unreadable)?;
    let (negative, above) = match above.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, above.strip_prefix('+').unwrap_or(above)),
    };
    let (whole, fraction) = above.split_once('.').unwrap_or((above, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 25 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unreadable());
    }
    let above: i128 = digits.parse().map_err(|_| unreadable())?;
    let below = below * 10i128.pow(u32::try_from(fraction.len()).unwrap_or(25));
    let scaled = above * 1_000_000_000;
    if scaled % below != 0 {
        return Err("value is too precise".to_owned());
    }
    let value = i64::try_from(scaled / below).map_err(|_| unreadable())?;
    Ok(if negative { -value } else { value })
}

/// `on-failure:3`.
pub(super) fn restart_policy(text: &str) -> Result<RestartPolicy, String> {
    if text.is_empty() {
        return Ok(RestartPolicy::default());
    }
    let (name, count) = text.split_once(':').unwrap_or((text, ""));
    if name.is_empty() {
        return Err("invalid restart policy format: no policy provided before colon".to_owned());
    }
    let maximum_retry_count = if count.is_empty() {
        0
    } else {
        count.parse().map_err(|_| "invalid restart policy format: maximum retry count must be an integer".to_owned())?
    };
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count })
}

const ULIMITS: &[&str] = &[
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `nofile=1024:2048`.
pub(super) fn ulimit(text: &str) -> Result<Ulimit, String> {
    let (name, values) = text.split_once('=').ok_or_else(|| format!("invalid ulimit argument: {text}"))?;
    if !ULIMITS.contains(&name) || name == "as" {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let number = |text: &str| -> Result<i64, String> {
        text.parse().map_err(|_| format!("strconv.ParseInt: parsing {}: {}", crate::flags::quote(text), crate::flags::number_problem(text)))
    };
    let parts: Vec<&str> = values.split(':').collect();
    let (soft, hard) = match parts.as_slice() {
        [one] => (number(one)?, number(one)?),
        [soft, hard] => (number(soft)?, number(hard)?),
        _ => {
            return Err(format!("too many limit value arguments - {values}, can only have up to two, `soft[:hard]`"));
        }
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(if soft == -1 {
            format!("ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: {hard}")
        } else {
            format!("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
        });
    }
    Ok(Ulimit { name: name.to_owned(), hard, soft })
}

pub(super) fn check_ulimit(text: &str) -> Result<(), String> {
    ulimit(text).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors() {
        let check = |text: &str, expect: Result<i64, &str>| {
            assert_eq!(nano_cpus(text), expect.map_err(str::to_owned), "{text}");
        };
        check("1.5", Ok(1_500_000_000));
        check(".5", Ok(500_000_000));
        check("3/2", Ok(1_500_000_000));
        check("-1", Ok(-1_000_000_000));
        check("1/3", Err("value is too precise"));
        check("1.23456789123", Err("value is too precise"));
        check("x", Err("failed to parse x as a rational number"));
    }

    #[test]
    fn policies() {
        assert_eq!(restart_policy("on-failure:3").unwrap().maximum_retry_count, 3);
        assert_eq!(restart_policy(":3").unwrap_err(), "invalid restart policy format: no policy provided before colon");
    }

    #[test]
    fn limits() {
        let check = |text: &str, expect: Result<(i64, i64), &str>| {
            let got = ulimit(text).map(|limit| (limit.soft, limit.hard));
            assert_eq!(got, expect.map_err(str::to_owned), "{text}");
        };
        check("nofile=1:2", Ok((1, 2)));
        check("core=-1", Ok((-1, -1)));
        check("x", Err("invalid ulimit argument: x"));
        check("foo=1", Err("invalid ulimit type: foo"));
        check("nofile=3:1", Err("ulimit soft limit must be less than or equal to hard limit: 3 > 1"));
        check("nofile=a", Err("strconv.ParseInt: parsing \"a\": invalid syntax"));
    }
}
