//! Devices: `--device`, `--gpus`, weights and rates of block devices.

use std::collections::BTreeMap;

use dhow_api::size;
use dhow_api::types::{DeviceMapping, DeviceRequest, ThrottleDevice, WeightDevice};

use super::values::csv_record;

/// Paths of `--device`, and requests for devices by their CDI names.
pub(super) fn devices(given: &[String]) -> Result<(Vec<DeviceMapping>, Option<DeviceRequest>), String> {
    let mut mappings = Vec::new();
    let mut names = Vec::new();
    for text in given {
        if is_cdi_name(text) {
            names.push(text.clone());
        } else {
            mappings.push(mapping(text)?);
        }
    }
    let request =
        (!names.is_empty()).then(|| DeviceRequest { driver: "cdi".to_owned(), device_ids: Some(names), ..DeviceRequest::default() });
    Ok((mappings, request))
}

/// `vendor.com/class=name`.
fn is_cdi_name(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    !vendor.is_empty() && !class.is_empty() && !name.is_empty() && !text.contains(':')
}

/// `/dev/a[:/dev/b][:rwm]`.
fn mapping(text: &str) -> Result<DeviceMapping, String> {
    let parts: Vec<&str> = text.split(':').collect();
    if parts[0].is_empty() {
        return Err(format!("bad format for path: {text}"));
    }
    let (host, inside, mode) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, mode] if is_mode(mode) => (*host, *host, *mode),
        [host, inside] => (*host, *inside, "rwm"),
        [host, inside, mode] if is_mode(mode) => (*host, *inside, *mode),
        [_, _, mode] => return Err(format!("bad mode specified: {mode}")),
        _ => return Err(format!("bad format for path: {text}")),
    };
    if !inside.starts_with('/') {
        return Err(format!("{inside} is not an absolute path"));
    }
    Ok(DeviceMapping { path_on_host: host.to_owned(), path_in_container: inside.to_owned(), cgroup_permissions: mode.to_owned() })
}

fn is_mode(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| matches!(c, 'r' | 'w' | 'm'))
        && ['r', 'w', 'm'].iter().all(|&letter| text.matches(letter).count() <= 1)
}

/// `c 1:3 rwm`.
pub(super) fn check_cgroup_rule(text: &str) -> Result<(), String> {
    let invalid = || Err(format!("invalid device cgroup format '{text}'"));
    let number = |part: &str| part == "*" || (!part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let words: Vec<&str> = text.split(' ').collect();
    let [kind, numbers, mode] = words.as_slice() else { return invalid() };
    let Some((major, minor)) = numbers.split_once(':') else { return invalid() };
    if !matches!(*kind, "a" | "b" | "c") || !number(major) || !number(minor) || !is_mode(mode) {
        return invalid();
    }
    Ok(())
}

/// `/dev/sda:100`, 10 to 1000 or 0.
pub(super) fn weight(text: &str) -> Result<WeightDevice, String> {
    let (path, value) = device_and_value(text)?;
    match value.parse::<u16>() {
        Ok(weight) if weight == 0 || (10..=1000).contains(&weight) => Ok(WeightDevice { path: path.to_owned(), weight }),
        _ => Err(format!("invalid weight for device: {text}")),
    }
}

/// `/dev/sda:1mb`, bytes a second.
pub(super) fn bytes_rate(text: &str) -> Result<ThrottleDevice, String> {
    let (path, value) = device_and_value(text)?;
    let rate = size::parse_binary(value).ok().and_then(|rate| u64::try_from(rate).ok());
    let rate = rate.ok_or_else(|| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. \
             Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        )
    })?;
    Ok(ThrottleDevice { path: path.to_owned(), rate })
}

/// `/dev/sda:100`, operations a second.
pub(super) fn operations_rate(text: &str) -> Result<ThrottleDevice, String> {
    let (path, value) = device_and_value(text)?;
    let rate = value.parse().map_err(|_| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>. \
             Number must be a positive integer"
        )
    })?;
    Ok(ThrottleDevice { path: path.to_owned(), rate })
}

fn device_and_value(text: &str) -> Result<(&str, &str), String> {
    match text.split_once(':') {
        Some((path, value)) if !path.is_empty() && !value.is_empty() => {
            if path.starts_with("/dev/") {
                Ok((path, value))
            } else {
                Err(format!("bad format for device path: {text}"))
            }
        }
        _ => Err(format!("bad format: {text}")),
    }
}

/// `all`, `2`, `device=0,driver=nvidia,capabilities=compute`.
pub(super) fn gpus(text: &str) -> Result<DeviceRequest, String> {
    let mut request = DeviceRequest { options: Some(BTreeMap::new()), ..DeviceRequest::default() };
    let mut capabilities = vec!["gpu".to_owned()];
    let mut seen: Vec<String> = Vec::new();
    for field in csv_record(text)? {
        let (key, value) = field.split_once('=').unwrap_or(("count", &field));
        if seen.iter().any(|other| other == key) {
            return Err(format!("gpu request key '{key}' can be specified only once"));
        }
        seen.push(key.to_owned());
        match key {
            "count" => request.count = count(value)?,
            "driver" => request.driver = value.to_owned(),
            "device" => request.device_ids = Some(value.split(',').map(str::to_owned).collect()),
            "capabilities" => {
                capabilities = value.split(',').map(str::to_owned).collect();
                capabilities.push("gpu".to_owned());
            }
            "options" => request.options = Some(super::values::pairs(&csv_record(value)?)),
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if request.count == 0 && request.device_ids.is_none() {
        request.count = 1;
    }
    request.capabilities = Some(vec![capabilities]);
    Ok(request)
}

fn count(text: &str) -> Result<i64, String> {
    if text == "all" {
        return Ok(-1);
    }
    text.parse()
        .map_err(|_| format!("invalid count ({text}): value must be either \"all\" or an integer: {}", crate::flags::number_problem(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |text: &str, expect: Result<(&str, &str, &str), &str>| {
            let got = mapping(text).map(|m| format!("{} {} {}", m.path_on_host, m.path_in_container, m.cgroup_permissions));
            let expect = expect.map(|(a, b, c)| format!("{a} {b} {c}")).map_err(str::to_owned);
            assert_eq!(got, expect, "{text}");
        };
        check("/a", Ok(("/a", "/a", "rwm")));
        check("/a:rw", Ok(("/a", "/a", "rw")));
        check("/a:/b:r", Ok(("/a", "/b", "r")));
        check("/a:b", Err("b is not an absolute path"));
        check("a:/b:q", Err("bad mode specified: q"));
        check("", Err("bad format for path: "));
        check(":/b", Err("bad format for path: :/b"));
        check("/a:/b:c:d", Err("bad format for path: /a:/b:c:d"));
    }

    #[test]
    fn rates_and_rules() {
        assert_eq!(bytes_rate("/dev/sda:1m").unwrap().rate, 1 << 20);
        assert_eq!(bytes_rate("sda:1").unwrap_err(), "bad format for device path: sda:1");
        assert_eq!(operations_rate("x").unwrap_err(), "bad format: x");
        assert_eq!(weight("/dev/sda:9").unwrap_err(), "invalid weight for device: /dev/sda:9");
        assert!(check_cgroup_rule("c 1:* rw").is_ok());
        assert!(check_cgroup_rule("x").is_err());
        assert!(is_cdi_name("vendor.com/class=x"));
        assert!(!is_cdi_name("/dev/x:/y"));
    }

    #[test]
    fn graphics() {
        assert_eq!(gpus("all").unwrap().count, -1);
        let some = gpus("\"device=1,2\",driver=nvidia").unwrap();
        assert_eq!((some.count, some.device_ids), (0, Some(vec!["1".to_owned(), "2".to_owned()])));
        assert_eq!(gpus("all,count=1").unwrap_err(), "gpu request key 'count' can be specified only once");
        assert_eq!(gpus("x").unwrap_err(), "invalid count (x): value must be either \"all\" or an integer: invalid syntax");
    }
}
