//! `events`: what a container uses, now and again, and when it runs out of memory.

use super::{Command, print};
use crate::args::{Order, Parsed, switch, value};
use crate::context::Context;
use crate::error::{At, Error, Result};
use crate::record::{Record, Status};
use dhow_runtime::cgroup::{Account, Cgroup, Further, Io, Meter, Notice, Reading, Tally, Waiting};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

pub(super) const COMMAND: Command = Command {
    name: "events",
    usage: "<container-id>",
    about: "display container events such as OOM notifications, cpu, memory, and IO usage statistics",
    flags: &[
        value("interval", None, "set the stats collection interval (default: 5s)"),
        switch("stats", None, "display the container's stats then exit"),
    ],
    order: Order::Mixed,
    words: (1, 1),
    run,
};

const INTERVAL: Duration = Duration::from_secs(5);

fn run(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    let interval = parsed.text("interval").map_or(Ok(INTERVAL), duration)?;
    let (place, record) = context.store.find(&parsed.rest[0])?;
    if matches!(place.status(&record)?, Status::Stopped | Status::Creating) {
        return Err(Error::new(format!("container with id {} is not running", record.id)));
    }
    let mut meter = Meter::open(&record.cgroup);
    if parsed.is("stats") {
        say(&record, "stats", Some(stats(&record.cgroup, &mut meter)?))?;
        return Ok(0);
    }
    follow(&record, &mut meter, interval).map(|()| 0)
}

/// Until the container has ended.
fn follow(record: &Record, meter: &mut Meter, interval: Duration) -> Result<()> {
    let Some(init) = record.live()? else { return Ok(()) };
    let mut kills = Kills::watch(&record.cgroup)?;
    let mut due = Instant::now();
    loop {
        if due <= Instant::now() {
            // A group that is gone belongs to a container that has just ended, which shows below.
            if let Ok(stats) = stats(&record.cgroup, meter) {
                say(record, "stats", Some(stats))?;
            }
            due = Instant::now() + interval;
        }
        let next = kills.tally.deadline().map_or(due, |again| again.min(due));
        let wait = Timespec::try_from(next.saturating_duration_since(Instant::now())).ok();
        let (notice, events) = kills.descriptor().unwrap_or((init.as_fd(), PollFlags::IN));
        let mut fds = [PollFd::from_borrowed_fd(init.as_fd(), PollFlags::IN), PollFd::from_borrowed_fd(notice, events)];
        rustix::io::retry_on_intr(|| poll(&mut fds, wait.as_ref())).at("wait for the container")?;
        let ended = !fds[0].revents().is_empty();
        for _ in 0..kills.news(&record.cgroup, ended)? {
            say(record, "oom", None)?;
        }
        if ended {
            return Ok(());
        }
    }
}

/// What the kernel tells of kills for lack of memory.
struct Kills {
    notice: Option<Notice>,
    /// How many the group had counted before.
    counted: u64,
    tally: Tally,
}

impl Kills {
    fn watch(cgroup: &Cgroup) -> Result<Self> {
        let notice = cgroup.oom_notice().at("watch the memory controller")?;
        Ok(Self { notice, counted: cgroup.oom_kills()?, tally: Tally::default() })
    }

    fn descriptor(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        Some(match self.notice.as_ref()? {
            Notice::Counter(fd) => (fd.as_fd(), PollFlags::IN),
            Notice::File(fd) => (fd.as_fd(), PollFlags::PRI),
        })
    }

    /// How many to tell of.
    fn news(&mut self, cgroup: &Cgroup, ended: bool) -> Result<u64> {
        let noticed = match &self.notice {
            Some(Notice::Counter(fd)) => noticed(fd)?,
            Some(Notice::File(fd)) => {
                // A file that was read tells of later changes.
                rustix::io::pread(fd, &mut [0; 512], 0).map(drop).or_else(gone).at("read memory.events")?;
                false
            }
            None => false,
        };
        let now = Instant::now();
        // This is the look that was put off.
        let _ = self.tally.is_due(now);
        // A group that is gone counts none, and has nothing more to tell.
        let counted = cgroup.oom_kills()?.saturating_sub(self.counted);
        // The end of the group is noticed, too.
        Ok(self.tally.news(noticed && !ended, counted, now))
    }
}

/// Of a group that is gone nothing can be read, which is no error.
fn gone(error: rustix::io::Errno) -> std::result::Result<(), rustix::io::Errno> {
    if error == rustix::io::Errno::NODEV { Ok(()) } else { Err(error) }
}

/// Takes what an eventfd has counted, and tells whether it had. The number says nothing: one kill may be told of more than once.
fn noticed(fd: &OwnedFd) -> Result<bool> {
    match rustix::io::read(fd, &mut [0; 8]) {
        Ok(_) => Ok(true),
        Err(rustix::io::Errno::AGAIN) => Ok(false),
        Err(error) => Err(error).at("read the notice"),
    }
}

fn say(record: &Record, kind: &str, data: Option<Value>) -> Result<()> {
    let mut event = json!({"type": kind, "id": record.id});
    if let Some(data) = data {
        event["data"] = data;
    }
    print(&format!("{event}\n"))
}

fn stats(cgroup: &Cgroup, meter: &mut Meter) -> Result<Value> {
    // Without a group nothing is counted, which is no error.
    let reading = if cgroup.dirs.is_empty() { Reading::default() } else { meter.read().at("read statistics")? };
    let mut document = document(&reading, cgroup.oom_kills()?);
    add(&mut document, &cgroup.further()?);
    Ok(document)
}

/// What only some hosts count.
fn add(document: &mut Value, further: &Further) {
    let account = |account: &Account| json!({"limit": account.limit.unwrap_or(u64::MAX), "usage": account.usage, "max": account.most, "failcnt": account.failures});
    for (name, found) in [("swap", &further.swap), ("kernel", &further.kernel), ("kernelTCP", &further.kernel_tcp)] {
        if let Some(found) = found {
            document["memory"][name] = account(found);
        }
    }
    for (size, found) in &further.huge_pages {
        document["hugetlb"][size] = json!({"usage": found.usage, "max": found.most, "failcnt": found.failures});
    }
    let waiting = |w: &Waiting| {
        let [short, middle, long] = w.average.map(|hundredths| hundredths as f64 / 100.0);
        json!({"avg10": short, "avg60": middle, "avg300": long, "total": w.total})
    };
    for (name, [some, full]) in &further.pressure {
        let group = if *name == "io" { "blkio" } else { *name };
        document[group]["psi"] = json!({"some": waiting(some), "full": waiting(full)});
    }
}

/// In the shape that callers know.
fn document(r: &Reading, oom_kills: u64) -> Value {
    let io = |list: &[Io]| -> Value {
        list.iter().map(|io| json!({"major": io.major, "minor": io.minor, "op": io.operation, "value": io.value})).collect()
    };
    let limit = |limit: Option<u64>| limit.unwrap_or(0);
    let mut usage = json!({"total": r.cpu[0], "kernel": r.cpu[2], "user": r.cpu[1]});
    if !r.per_cpu.is_empty() {
        usage["percpu"] = json!(r.per_cpu);
    }
    let cache = r.memory_stat.get(if r.unified_memory { "file" } else { "cache" }).copied().unwrap_or(0);
    json!({
        "cpu": {
            "usage": usage,
            "throttling": {"periods": r.throttling[0], "throttledPeriods": r.throttling[1], "throttledTime": r.throttling[2]},
        },
        "memory": {
            "cache": cache,
            "usage": {"limit": r.memory_limit.unwrap_or(u64::MAX), "usage": r.memory, "max": r.memory_max, "failcnt": r.memory_failures},
            "raw": r.memory_stat,
            "oomKills": oom_kills,
        },
        "pids": {"current": r.pids, "limit": limit(r.pids_limit)},
        "blkio": {"ioServiceBytesRecursive": io(&r.io_bytes), "ioServicedRecursive": io(&r.io_operations)},
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": null,
    })
}

/// `5s`, `500ms`, `1m30s`.
fn duration(text: &str) -> Result<Duration> {
    let wrong = || Error::new(format!("invalid value {text:?} for flag -interval"));
    let mut total = Duration::ZERO;
    let mut rest = if text == "0" { "0s" } else { text };
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(unit_at);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        total += Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        rest = tail;
    }
    if total.is_zero() {
        return Err(Error::new("duration interval must be greater than 0"));
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [("5s", 5000), ("500ms", 500), ("1m30s", 90_000), ("1.5s", 1500), ("1h", 3_600_000)] {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "0s", "5", "s", "-1s", "5x", "1e9h"] {
            duration(text).unwrap_err();
        }
    }

    #[test]
    fn the_shape_that_callers_know() {
        let io = Io { major: 8, minor: 0, operation: "Read".into(), value: 5 };
        let reading = Reading { cpu: [3, 2, 1], pids: 4, pids_limit: Some(9), io_bytes: vec![io], memory: 77, ..Reading::default() };
        let text = document(&reading, 2);
        assert_eq!(text["cpu"]["usage"], json!({"total": 3, "kernel": 1, "user": 2}));
        assert_eq!(text["pids"], json!({"current": 4, "limit": 9}));
        assert_eq!(text["memory"]["usage"]["usage"], 77);
        assert_eq!(text["blkio"]["ioServiceBytesRecursive"][0], json!({"major": 8, "minor": 0, "op": "Read", "value": 5}));
    }

    #[test]
    fn what_only_some_hosts_count() {
        let mut text = document(&Reading::default(), 0);
        add(&mut text, &Further::default());
        assert_eq!((&text["hugetlb"], &text["memory"]["swap"]), (&json!({}), &Value::Null));
        let account = Account { usage: 5, most: 6, failures: 7, limit: None };
        let waiting = Waiting { average: [125, 50, 0], total: 9 };
        let further = Further {
            swap: Some(account.clone()),
            huge_pages: [("2MB".to_owned(), account)].into(),
            pressure: [("io", [waiting, Waiting::default()])].into(),
            ..Further::default()
        };
        add(&mut text, &further);
        assert_eq!(text["memory"]["swap"], json!({"limit": u64::MAX, "usage": 5, "max": 6, "failcnt": 7}));
        assert_eq!(text["hugetlb"], json!({"2MB": {"usage": 5, "max": 6, "failcnt": 7}}));
        assert_eq!(text["blkio"]["psi"]["some"], json!({"avg10": 1.25, "avg60": 0.5, "avg300": 0.0, "total": 9}));
    }
}
