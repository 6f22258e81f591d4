//! What a container used, in detail, read again and again: the files stay open, each is read with one call.

use super::Cgroup;
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file larger than this is not the kernel's.
const LARGEST: usize = 64 * 1024;

/// Where v1 counts input and output, the best first.
const BYTES: [&str; 3] =
    ["blkio.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"];
const OPERATIONS: [&str; 3] = ["blkio.io_serviced_recursive", "blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced"];

/// Everything that the control groups count of a container. Where a controller is missing its numbers are zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Memory is counted by the unified hierarchy, with its names in `memory_stat`.
    pub unified_memory: bool,
    /// CPU time in nanoseconds: total, in user mode, in the kernel.
    pub cpu: [u64; 3],
    /// CPU time by CPU in nanoseconds (only v1 counts it).
    pub per_cpu: Vec<u64>,
    /// Periods of the CPU limit: elapsed, throttled, nanoseconds throttled.
    pub throttling: [u64; 3],
    /// Bytes in use.
    pub memory: u64,
    /// The most there were (only v1).
    pub memory_max: u64,
    /// How often the limit was hit (v1), or led to a kill (v2).
    pub memory_failures: u64,
    /// Limit in bytes as the kernel has it; `None` without one on v2.
    pub memory_limit: Option<u64>,
    /// The kernel's own detail.
    pub memory_stat: BTreeMap<String, u64>,
    /// Processes and threads.
    pub pids: u64,
    /// Most of them; `None` without a limit.
    pub pids_limit: Option<u64>,
    /// The unified hierarchy counts input and output.
    pub unified_io: bool,
    /// Bytes by device and direction.
    pub io_bytes: Vec<Io>,
    /// Operations by device and direction (only v1).
    pub io_operations: Vec<Io>,
}

/// Input and output of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Io {
    /// Device number.
    pub major: u64,
    /// Device number.
    pub minor: u64,
    /// `Read`, `Write` and so on, as the kernel spells it; `read` and `write` on v2.
    pub operation: String,
    /// How much.
    pub value: u64,
}

/// The open files of one container.
#[derive(Debug, Default)]
pub struct Meter {
    v1_cpu: Option<[Option<File>; 4]>,
    cpu_stat: Option<File>,
    v1_memory: Option<[Option<File>; 5]>,
    memory: [Option<File>; 4],
    pids: [Option<File>; 2],
    v1_io: Option<[Option<File>; 2]>,
    io: Option<File>,
    buffer: Vec<u8>,
}

/// Opens files of one directory, whose path is walked once.
fn open<const N: usize>(dir: &Path, names: [&str; N]) -> [Option<File>; N] {
    let dir = directory(dir);
    names.map(|name| file(dir.as_ref()?, name))
}

fn directory(path: &Path) -> Option<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

fn file(dir: &OwnedFd, name: &str) -> Option<File> {
    rustix::fs::openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok().map(File::from)
}

impl Meter {
    /// Opens what is there. A group that is gone gives a meter whose [`Meter::read`] fails.
    pub fn open(cgroup: &Cgroup) -> Self {
        let unified = |controller| cgroup.dir(controller).filter(|dir| Some(*dir) == cgroup.unified_dir());
        let v1_cpu = cgroup.v1_dir("cpuacct");
        let cpu_stat = match (v1_cpu, cgroup.v1_dir("cpu")) {
            (Some(_), Some(dir)) => Some(dir),
            (Some(_), None) => None,
            (None, _) => cgroup.unified_dir(),
        };
        Self {
            v1_cpu: v1_cpu.map(|dir| open(dir, ["cpuacct.usage", "cpuacct.usage_user", "cpuacct.usage_sys", "cpuacct.usage_percpu"])),
            cpu_stat: cpu_stat.and_then(|dir| File::open(dir.join("cpu.stat")).ok()),
            v1_memory: cgroup.v1_dir("memory").map(|dir| {
                let names =
                    ["memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.failcnt", "memory.limit_in_bytes", "memory.stat"];
                open(dir, names)
            }),
            memory: unified("memory")
                .map(|dir| open(dir, ["memory.current", "memory.max", "memory.events", "memory.stat"]))
                .unwrap_or_default(),
            pids: cgroup.dir("pids").map(|dir| open(dir, ["pids.current", "pids.max"])).unwrap_or_default(),
            v1_io: cgroup.v1_dir("blkio").map(|dir| {
                // By the scheduler that counts, or by the throttle of older kernels.
                let dir = directory(dir);
                [BYTES, OPERATIONS].map(|names| names.iter().find_map(|name| file(dir.as_ref()?, name)))
            }),
            io: unified("io").and_then(|dir| File::open(dir.join("io.stat")).ok()),
            buffer: Vec::new(),
        }
    }

    /// Reads everything. An error means that the group is gone.
    pub fn read(&mut self) -> io::Result<Reading> {
        let mut reading = Reading::default();
        let buffer = &mut self.buffer;
        let stat = text(self.cpu_stat.as_ref(), buffer)?;
        let unified_cpu = self.v1_cpu.is_none();
        if unified_cpu {
            // Without the file there is no group: every one has it on v2.
            if self.cpu_stat.is_none() {
                return Err(io::ErrorKind::NotFound.into());
            }
            let micros = |key| field(stat, key).saturating_mul(1000);
            reading.cpu = [micros("usage_usec"), micros("user_usec"), micros("system_usec")];
        }
        let throttled = if unified_cpu { field(stat, "throttled_usec").saturating_mul(1000) } else { field(stat, "throttled_time") };
        reading.throttling = [field(stat, "nr_periods"), field(stat, "nr_throttled"), throttled];
        if let Some([total, user, system, per_cpu]) = &self.v1_cpu {
            if total.is_none() {
                return Err(io::ErrorKind::NotFound.into());
            }
            reading.cpu =
                [number(text(total.as_ref(), buffer)?), number(text(user.as_ref(), buffer)?), number(text(system.as_ref(), buffer)?)];
            reading.per_cpu = text(per_cpu.as_ref(), buffer)?.split_ascii_whitespace().map(number).collect();
        }
        match &self.v1_memory {
            Some([usage, most, failures, limit, stat]) => {
                reading.memory = number(text(usage.as_ref(), buffer)?);
                reading.memory_max = number(text(most.as_ref(), buffer)?);
                reading.memory_failures = number(text(failures.as_ref(), buffer)?);
                reading.memory_limit = text(limit.as_ref(), buffer)?.trim().parse().ok();
                reading.memory_stat = fields(text(stat.as_ref(), buffer)?);
            }
            None => {
                let [usage, limit, events, stat] = &self.memory;
                reading.unified_memory = usage.is_some();
                reading.memory = number(text(usage.as_ref(), buffer)?);
                reading.memory_limit = text(limit.as_ref(), buffer)?.trim().parse().ok();
                reading.memory_failures = field(text(events.as_ref(), buffer)?, "oom");
                reading.memory_stat = fields(text(stat.as_ref(), buffer)?);
            }
        }
        reading.pids = number(text(self.pids[0].as_ref(), buffer)?);
        reading.pids_limit = text(self.pids[1].as_ref(), buffer)?.trim().parse().ok();
        match &self.v1_io {
            Some([bytes, operations]) => {
                reading.io_bytes = v1_io(text(bytes.as_ref(), buffer)?);
                reading.io_operations = v1_io(text(operations.as_ref(), buffer)?);
            }
            None => {
                reading.unified_io = true;
                reading.io_bytes = unified_io(text(self.io.as_ref(), buffer)?);
            }
        }
        Ok(reading)
    }
}

/// The whole of a small file, read from its beginning; nothing where there is no file.
fn text<'a>(file: Option<&File>, buffer: &'a mut Vec<u8>) -> io::Result<&'a str> {
    let Some(file) = file else { return Ok("") };
    if buffer.is_empty() {
        buffer.resize(4096, 0);
    }
    let mut length = 0;
    loop {
        let read = file.read_at(&mut buffer[length..], length as u64)?;
        length += read;
        if read == 0 || length < buffer.len() {
            break;
        }
        if length >= LARGEST {
            break;
        }
        buffer.resize(length * 2, 0);
    }
    Ok(std::str::from_utf8(&buffer[..length]).unwrap_or_default())
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// The number after `key` in lines of `key number`.
fn field(text: &str, key: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map_or(0, number)
}

fn fields(text: &str) -> BTreeMap<String, u64> {
    text.lines().filter_map(|line| line.split_once(' ')).map(|(key, value)| (key.to_owned(), number(value))).collect()
}

/// Lines of `8:0 Read 4096`; the last one, a total of all devices, has no device.
fn v1_io(text: &str) -> Vec<Io> {
    let entry = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let (operation, value) = (words.next()?.to_owned(), words.next()?);
        Some(Io { major: major.parse().ok()?, minor: minor.parse().ok()?, operation, value: value.parse().ok()? })
    };
    text.lines().filter_map(entry).collect()
}

/// Lines of `8:0 rbytes=4096 wbytes=0 rios=1 ...`.
fn unified_io(text: &str) -> Vec<Io> {
    let mut out = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let operation = match key {
                "rbytes" => "read",
                "wbytes" => "write",
                _ => continue,
            };
            out.push(Io { major, minor, operation: operation.to_owned(), value: number(value) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Mode;
    use std::fs;

    fn group(files: &[(&str, &str)], controllers: &[&str]) -> (tempfile::TempDir, Cgroup) {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let dirs = controllers.iter().map(|name| ((*name).to_owned(), dir.path().to_owned())).collect();
        let cgroup = Cgroup { mode: Mode::V2, dirs };
        (dir, cgroup)
    }

    #[test]
    fn the_unified_hierarchy() {
        let stat = "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 7\nnr_throttled 1\nthrottled_usec 9\n";
        let (dir, cgroup) = group(
            &[
                ("cpu.stat", stat),
                ("memory.current", "4096\n"),
                ("memory.max", "max\n"),
                ("memory.events", "low 0\noom 2\noom_kill 1\n"),
                ("memory.stat", "anon 1\ninactive_file 2\n"),
                ("pids.current", "3\n"),
                ("pids.max", "10\n"),
                ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n259:1 \n"),
            ],
            &[""],
        );
        let mut meter = Meter::open(&cgroup);
        let first = meter.read().unwrap();
        assert_eq!(first.cpu, [5000, 3000, 2000]);
        assert_eq!(first.throttling, [7, 1, 9000]);
        assert_eq!((first.memory, first.memory_limit, first.memory_failures, first.memory_stat["inactive_file"]), (4096, None, 2, 2));
        assert_eq!((first.pids, first.pids_limit), (3, Some(10)));
        let io = |operation: &str, value| Io { major: 8, minor: 0, operation: operation.into(), value };
        assert_eq!(first.io_bytes, [io("read", 1), io("write", 2)]);
        assert!(first.unified_memory && first.unified_io && first.per_cpu.is_empty());
        fs::write(dir.path().join("memory.current"), "8192\n").unwrap();
        assert_eq!(meter.read().unwrap().memory, 8192);
    }

    #[test]
    fn the_old_hierarchies() {
        let long: String = (0..1000).map(|n| format!("key{n} {n}\n")).collect();
        let (_dir, cgroup) = group(
            &[
                ("cpuacct.usage", "10\n"),
                ("cpuacct.usage_user", "6\n"),
                ("cpuacct.usage_sys", "4\n"),
                ("cpuacct.usage_percpu", "7 3 \n"),
                ("cpu.stat", "nr_periods 1\nnr_throttled 0\nthrottled_time 5\n"),
                ("memory.usage_in_bytes", "1\n"),
                ("memory.max_usage_in_bytes", "2\n"),
                ("memory.failcnt", "3\n"),
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory.stat", &long),
                ("pids.current", "2\n"),
                ("pids.max", "max\n"),
                ("blkio.throttle.io_service_bytes", "8:0 Read 1\n8:0 Total 1\nTotal 1\n"),
            ],
            &["cpu,cpuacct", "memory", "pids", "blkio"],
        );
        let reading = Meter::open(&cgroup).read().unwrap();
        assert_eq!((reading.cpu, reading.per_cpu, reading.throttling), ([10, 6, 4], vec![7, 3], [1, 0, 5]));
        assert_eq!((reading.memory_max, reading.memory_failures, reading.memory_limit), (2, 3, Some(9_223_372_036_854_771_712)));
        assert_eq!(reading.memory_stat["key999"], 999);
        assert_eq!((reading.pids, reading.pids_limit), (2, None));
        assert_eq!(reading.io_bytes.len(), 2);
        assert!(!reading.unified_memory && !reading.unified_io);
    }

    #[test]
    fn a_group_that_is_gone() {
        let (dir, cgroup) = group(&[], &[""]);
        drop(dir);
        assert!(Meter::open(&cgroup).read().is_err());
    }
}
