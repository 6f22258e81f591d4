//! The systemd driver: a container's group as a scope that systemd makes and knows of, so that it leaves it alone.
//!
//! A scope begins with a process, while our containers are born into a group that is there already. So a child that only waits holds the
//! place until the container's first process is in it.

mod bus;
mod message;
mod variant;

use super::hierarchy::layout;
use super::write::State;
use super::{Cgroup, Mode, invalid, plan, v2};
use crate::error::{Failure, Kind, Result, Step};
use bus::Bus;
use dhow_sys::clone::{Forked, fork};
use dhow_sys::{fdpass, process};
use message::Writer;
use oci_spec::runtime::LinuxResources;
use std::io;
use std::os::fd::OwnedFd;
use variant::Variant;

/// A property of a unit.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Names(Vec<String>),
    Bool(bool),
    Number(u64),
    Pids(Vec<u32>),
    Given(Variant),
}

/// Properties by name.
type Properties = Vec<(String, Value)>;

/// Annotations that begin so name properties of the unit.
const ANNOTATION: &str = "org.systemd.property.";

/// Holds a scope open until it is dropped: by then the container's first process has to be in it.
#[derive(Debug)]
pub struct Holder {
    socket: Option<OwnedFd>,
    pidfd: OwnedFd,
    pid: i32,
}

impl Holder {
    /// The caller has one thread.
    fn new() -> io::Result<Self> {
        let (ours, theirs) = fdpass::pair()?;
        match fork()? {
            Forked::Child => {
                drop(ours);
                let _ = fdpass::recv(&theirs);
                process::exit_now(0)
            }
            Forked::Parent { pid, pidfd } => Ok(Self { socket: Some(ours), pidfd, pid }),
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // The end of the stream is what it waits for.
        self.socket = None;
        let _ = process::wait(&self.pidfd);
    }
}

/// The unit that a path within the hierarchies ends with, and its slice.
fn unit(path: &str) -> Result<(&str, &str)> {
    let mut parts = path.rsplit('/').filter(|part| !part.is_empty());
    let unit = parts.next().filter(|unit| unit.ends_with(".scope") || unit.ends_with(".slice"));
    let unit = unit.ok_or_else(|| invalid(path, "is neither a scope's nor a slice's path"))?;
    let slice = parts.next().unwrap_or("-.slice");
    if slice.ends_with(".slice") { Ok((unit, slice)) } else { Err(invalid(path, format!("{slice} is no slice"))) }
}

fn failed(path: &str, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused if error.raw_os_error().is_some() => {
            "systemd is not running here (the driver cgroupfs needs none)".to_owned()
        }
        _ => error.to_string(),
    };
    Failure::new(Step::Cgroup, path, Kind::Other, why)
}

/// Has systemd make the unit at `path` (its slices are in its path already), then makes what systemd leaves out and applies the limits.
/// Annotations may set further properties (`org.systemd.property.NAME`, values as in the text form of GVariant), which come last.
/// On an error nothing is left. The caller has one thread.
pub fn create<'a>(
    path: &str,
    resources: Option<&LinuxResources>,
    annotations: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<(Cgroup, Holder)> {
    let (unit, slice) = unit(path)?;
    let given = of_annotations(annotations)?;
    let layout = layout();
    let limits = resources.map(|resources| plan::plan(resources, layout, State::Fresh)).transpose()?.unwrap_or_default();
    let mut bus = Bus::open().map_err(|e| failed(path, &e))?;
    let holder = Holder::new().map_err(|e| failed(path, &e))?;
    let mut all = own_properties(unit, slice, holder.pid);
    all.extend(resources.into_iter().flat_map(|resources| limits_of(resources, layout.mode())));
    // Of several values of a property the last one counts.
    all.extend(given);
    bus.job("StartTransientUnit", "ssa(sv)a(sa(sv))", &transient(unit, &all)).map_err(|e| failed(path, &e))?;
    match Cgroup::adopt(path, &limits) {
        Ok(cgroup) => Ok((cgroup, holder)),
        Err(failure) => {
            drop(holder);
            // Why it failed is what is told.
            let _ = bus.job("StopUnit", "ss", &stop_body(unit));
            Err(failure)
        }
    }
}

/// Tells systemd of changed limits, which it would else set back one day. The files are [`Cgroup::update`]'s.
pub fn update(path: &str, resources: &LinuxResources) -> Result<()> {
    let (unit, _) = unit(path)?;
    let limits = limits_of(resources, layout().mode());
    if limits.is_empty() {
        return Ok(());
    }
    let mut body = Writer::default();
    body.text(unit).bool(true);
    properties(&mut body, &limits);
    let done = Bus::open().and_then(|mut bus| bus.manager("SetUnitProperties", "sba(sv)", &body));
    done.map_err(|e| failed(path, &e))
}

/// Has systemd end the unit and forget it. One that is not there any more is fine.
pub fn remove(path: &str) -> Result<()> {
    let (unit, _) = unit(path)?;
    let stop = |bus: &mut Bus| match bus.job("StopUnit", "ss", &stop_body(unit)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    let mut name = Writer::default();
    name.text(unit);
    let forget = |bus: &mut Bus| match bus.manager("ResetFailedUnit", "s", &name) {
        // It has not failed, or is gone.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    let done = Bus::open().and_then(|mut bus| stop(&mut bus).and_then(|()| forget(&mut bus)));
    done.map_err(|e| failed(path, &e))
}

/// What annotations ask for, by name: annotations come in no order of their own.
fn of_annotations<'a>(annotations: impl IntoIterator<Item = (&'a String, &'a String)>) -> Result<Properties> {
    let mut all = Vec::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(ANNOTATION) else { continue };
        let wrong = |why: &str| invalid(format!("annotations.{key}"), why);
        if name.len() < 2 || !name.chars().all(|c| c.is_ascii_alphabetic()) {
            return Err(wrong("is no name of a property"));
        }
        let value = variant::parse(text).ok_or_else(|| wrong("the value is none of systemd's"))?;
        // What people count in seconds systemd counts in microseconds.
        all.push(match name.strip_suffix("Sec").filter(|stem| stem.ends_with(|c: char| c.is_ascii_lowercase())) {
            Some(stem) => {
                let micros = value.micros().ok_or_else(|| wrong("the value is no time in seconds"))?;
                (format!("{stem}USec"), Value::Given(micros))
            }
            None => (name.to_owned(), Value::Given(value)),
        });
    }
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(all)
}

fn stop_body(unit: &str) -> Writer {
    let mut body = Writer::default();
    body.text(unit).text("replace");
    body
}

fn own_properties(unit: &str, slice: &str, pid: i32) -> Properties {
    let mut all = vec![("Description", Value::Text(format!("container {unit}"))), ("DefaultDependencies", Value::Bool(false))];
    if unit.ends_with(".slice") {
        all.push(("Wants", Value::Names(vec![slice.to_owned()])));
    } else {
        all.push(("Slice", Value::Text(slice.to_owned())));
        all.push(("Delegate", Value::Bool(true)));
        all.push(("PIDs", Value::Pids(vec![pid.unsigned_abs()])));
    }
    for name in ["MemoryAccounting", "CPUAccounting", "IOAccounting", "TasksAccounting"] {
        all.push((name, Value::Bool(true)));
    }
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The limits that systemd has words for and would set back.
fn limits_of(resources: &LinuxResources, mode: Mode) -> Properties {
    let unified = mode == Mode::V2;
    let bytes = |limit: i64| Value::Number(u64::try_from(limit).unwrap_or(u64::MAX));
    let mut all = Vec::new();
    if let Some(limit) = resources.memory().as_ref().and_then(|memory| memory.limit()).filter(|limit| *limit != 0) {
        all.push((if unified { "MemoryMax" } else { "MemoryLimit" }, bytes(limit)));
    }
    if let Some(cpu) = resources.cpu() {
        if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
            all.push(if unified { ("CPUWeight", Value::Number(v2::weight(shares))) } else { ("CPUShares", Value::Number(shares)) });
        }
        if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
            all.push(("CPUQuotaPerSecUSec", Value::Number(quota_per_second(quota, cpu.period()))));
        }
    }
    if let Some(pids) = resources.pids() {
        all.push(("TasksMax", if pids.limit() > 0 { bytes(pids.limit()) } else { Value::Number(u64::MAX) }));
    }
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// systemd keeps whole percents of a processor, so it is rounded up to 10 ms in a second.
fn quota_per_second(quota: i64, period: Option<u64>) -> u64 {
    let Ok(quota) = u64::try_from(quota) else { return u64::MAX };
    let period = period.filter(|period| *period != 0).unwrap_or(100_000);
    quota.saturating_mul(1_000_000).div_ceil(period).div_ceil(10_000).saturating_mul(10_000)
}

fn transient(unit: &str, all: &[(String, Value)]) -> Writer {
    let mut body = Writer::default();
    body.text(unit).text("replace");
    properties(&mut body, all);
    // No further units.
    body.list(8, |_| {});
    body
}

fn properties(body: &mut Writer, all: &[(String, Value)]) {
    body.list(8, |list| {
        for (name, value) in all {
            list.structure().text(name);
            match value {
                Value::Text(text) => list.signature("s").text(text),
                Value::Names(names) => list.signature("as").list(4, |list| names.iter().for_each(|name| list.text(name).end())),
                Value::Bool(yes) => list.signature("b").bool(*yes),
                Value::Number(number) => list.signature("t").u64(*number),
                Value::Pids(pids) => list.signature("au").list(4, |list| pids.iter().for_each(|pid| list.u32(*pid).end())),
                Value::Given(value) => {
                    value.write(list.signature(&value.signature()));
                    &mut *list
                }
            }
            .end();
        }
    });
}

#[cfg(test)]
mod tests;
