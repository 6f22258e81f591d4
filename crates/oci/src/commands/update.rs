//! `update`: other limits for a container that runs.

use super::Command;
use crate::args::{Flag, Order, Parsed, value};
use crate::context::Context;
use crate::error::{At, Error, Result};
use crate::record::Status;
use crate::{group, json};
use dhow_runtime::{Rdt, cgroup};
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value};
use std::io::Read;

/// The largest document that is read.
const LARGEST: u64 = 1 << 20;

const RESOURCES: Flag =
    value("resources", Some("r"), "path to the file containing the resources to update or '-' to read from the standard input");

pub(super) const COMMAND: Command = Command {
    name: "update",
    usage: "<container-id>",
    about: "update container resource constraints",
    flags: &[
        RESOURCES,
        value("blkio-weight", None, "Specifies per cgroup weight, range is from 10 to 1000"),
        value("cpu-period", None, "CPU CFS period to be used for hardcapping (in usecs). 0 to use system default"),
        value("cpu-quota", None, "CPU CFS hardcap limit (in usecs). Allowed cpu time in a given period"),
        value(
            "cpu-burst",
            None,
            "CPU CFS hardcap burst limit (in usecs). Allowed accumulated cpu time additionally for burst a given period",
        ),
        value("cpu-share", Some("cpu-shares"), "CPU shares (relative weight vs. other containers)"),
        value("cpu-rt-period", None, "CPU realtime period to be used for hardcapping (in usecs). 0 to use system default"),
        value("cpu-rt-runtime", None, "CPU realtime hardcap limit (in usecs). Allowed cpu time in a given period"),
        value("cpu-idle", None, "set cgroup SCHED_IDLE or not, 0: default behavior, 1: SCHED_IDLE"),
        value("cpuset-cpus", None, "CPU(s) to use"),
        value("cpuset-mems", None, "Memory node(s) to use"),
        value("kernel-memory", None, "(obsoleted; do not use)"),
        value("kernel-memory-tcp", None, "(obsoleted; do not use)"),
        value("memory", None, "Memory limit (in bytes)"),
        value("memory-reservation", None, "Memory reservation or soft_limit (in bytes)"),
        value("memory-swap", None, "Total memory usage (memory + swap); set '-1' to enable unlimited swap"),
        value("pids-limit", None, "Maximum number of pids allowed in the container"),
        value("l3-cache-schema", None, "The string of Intel RDT/CAT L3 cache schema"),
        value("mem-bw-schema", None, "The string of Intel RDT/MBA memory bandwidth schema"),
    ],
    order: Order::Mixed,
    words: (1, 1),
    run,
};

/// Flags that are numbers, with their place in a specification's resources.
const NUMBERS: &[(&str, &str, &str)] = &[
    ("blkio-weight", "blockIO", "weight"),
    ("cpu-period", "cpu", "period"),
    ("cpu-quota", "cpu", "quota"),
    ("cpu-burst", "cpu", "burst"),
    ("cpu-share", "cpu", "shares"),
    ("cpu-rt-period", "cpu", "realtimePeriod"),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime"),
    ("cpu-idle", "cpu", "idle"),
    ("pids-limit", "pids", "limit"),
];

/// The same for sizes: bytes, or with a unit.
const SIZES: &[(&str, &str, &str)] =
    &[("memory", "memory", "limit"), ("memory-reservation", "memory", "reservation"), ("memory-swap", "memory", "swap")];

/// The same for words.
const WORDS: &[(&str, &str, &str)] = &[("cpuset-cpus", "cpu", "cpus"), ("cpuset-mems", "cpu", "mems")];

fn run(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    let (place, record) = context.store.find(&parsed.rest[0])?;
    if matches!(place.status(&record)?, Status::Stopped | Status::Creating) {
        return Err(Error::new("container not running"));
    }
    if parsed.value("kernel-memory").is_some() || parsed.value("kernel-memory-tcp").is_some() {
        context.log.warn("Kernel memory settings are ignored and will be removed");
    }
    let resources = match parsed.text("resources") {
        Some("-") => json::read("resources", &read(std::io::stdin())?)?,
        Some(path) => json::read(path, &read(std::fs::File::open(path).at(format!("open {path}"))?)?)?,
        None => of_flags(parsed)?,
    };
    cgroup::warnings(&resources).iter().for_each(|warning| context.log.warn(warning));
    Rdt::update(record.rdt.as_ref(), parsed.text("l3-cache-schema"), parsed.text("mem-bw-schema"))?;
    context.cgroups("update", group::update(&record, &resources))?;
    Ok(0)
}

fn read(source: impl Read) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(LARGEST).read_to_end(&mut text).at("read resources")?;
    Ok(text)
}

fn of_flags(parsed: &Parsed) -> Result<LinuxResources> {
    let mut all = Map::new();
    let mut set = |group: &str, name: &str, value: Value| {
        if let Some(group) = all.entry(group).or_insert_with(|| Map::new().into()).as_object_mut() {
            group.insert(name.to_owned(), value);
        }
    };
    for (flag, group, name) in NUMBERS {
        // A quota may be written as nothing, and means none.
        if let Some(number) = parsed.number::<i64>(flag)? {
            set(group, name, number.into());
        }
    }
    for (flag, group, name) in SIZES {
        if let Some(text) = parsed.text(flag) {
            let bytes = size(text).ok_or_else(|| Error::new(format!("invalid value for {flag}: invalid size: '{text}'")))?;
            set(group, name, bytes.into());
        }
    }
    for (flag, group, name) in WORDS {
        if let Some(text) = parsed.text(flag) {
            set(group, name, text.into());
        }
    }
    serde_json::from_value(Value::Object(all)).map_err(|e| Error::new(format!("update: {e}")))
}

/// `-1`, `1000`, `64m`, `1.5GiB`: powers of 1024.
fn size(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim_start().to_ascii_lowercase());
    let power = match unit.as_str() {
        "" | "b" => 0,
        unit => {
            let letter = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(unit);
            1 + ["k", "m", "g", "t", "p"].iter().position(|known| *known == letter)? as u32
        }
    };
    let factor = 1024_i64.pow(power);
    match number.parse::<i64>() {
        Ok(whole) => whole.checked_mul(factor),
        Err(_) => number.parse::<f64>().ok().map(|number| (number * factor as f64) as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("-1", -1), ("1000", 1000), ("0", 0), ("50M", 50 << 20), ("64mb", 64 << 20), ("1GiB", 1 << 30), ("1.5k", 1536), ("7b", 7)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "m", "-2", "5x", "1.2.3", "9999999999p", "5 mm"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn flags_are_resources() {
        let words = ["--memory", "1000", "--memory-swap=-1", "--cpu-shares", "5", "--cpuset-cpus", "0-1", "--pids-limit", "7", "box"];
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let resources = of_flags(&crate::args::parse(COMMAND.flags, &words, COMMAND.order).unwrap()).unwrap();
        let expect = json!({"memory": {"limit": 1000, "swap": -1}, "cpu": {"shares": 5, "cpus": "0-1"}, "pids": {"limit": 7}});
        assert_eq!(resources, serde_json::from_value(expect).unwrap());
        let words = ["--cpu-shares".to_owned(), "-5".to_owned()];
        assert!(of_flags(&crate::args::parse(COMMAND.flags, &words, COMMAND.order).unwrap()).is_err());
    }
}
