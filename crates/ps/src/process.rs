//! One process as `/proc` shows it, and what its numbers are reckoned from.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

/// What a program's arguments may be, for a table.
const LONGEST: u64 = 32 * 1024;

/// What is read once for a table.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// Now, in seconds since 1970.
    pub(crate) now: i64,
    /// When the kernel started, likewise.
    pub(crate) booted: i64,
    /// Seconds since then.
    pub(crate) uptime: u64,
    /// Digits of the largest number of a process, five at least.
    pub(crate) pid_digits: usize,
    /// Memory in kilobytes.
    pub(crate) memory: u64,
    /// Where the person who looks is, in time.
    pub(crate) zone: Option<jiff::tz::TimeZone>,
    pub(crate) users: BTreeMap<u32, String>,
    pub(crate) groups: BTreeMap<u32, String>,
}

impl Machine {
    /// With the clock's seconds.
    pub(crate) fn read(now: i64) -> Self {
        let number = |text: &str| text.split_ascii_whitespace().next().and_then(|word| word.parse::<u64>().ok());
        let uptime = text("/proc/uptime", 128);
        let uptime = uptime.split('.').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        let memory = text("/proc/meminfo", 4096).lines().find_map(|line| line.strip_prefix("MemTotal:").and_then(number)).unwrap_or(0);
        let most = number(&text("/proc/sys/kernel/pid_max", 64)).unwrap_or(0);
        Self {
            now,
            booted: now - i64::try_from(uptime).unwrap_or(0),
            uptime,
            pid_digits: most.saturating_sub(1).to_string().len().max(5),
            memory,
            zone: Some(jiff::tz::TimeZone::system()),
            users: names(&text("/etc/passwd", 4 << 20)),
            groups: names(&text("/etc/group", 4 << 20)),
        }
    }

    /// A moment in local time.
    pub(crate) fn local(&self, second: i64) -> Option<jiff::Zoned> {
        let zone = self.zone.clone().unwrap_or(jiff::tz::TimeZone::UTC);
        Some(jiff::Timestamp::from_second(second).ok()?.to_zoned(zone))
    }
}

/// Names by number from the host's own files.
fn names(text: &str) -> BTreeMap<u32, String> {
    let mut out = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(number))) = (fields.next(), fields.nth(1).map(str::parse)) {
            out.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    out
}

/// The beginning of a small file; empty where it cannot be read.
pub(crate) fn text(path: &str, most: u64) -> String {
    let mut bytes = Vec::new();
    let done = fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    if let Err(error) = done {
        tracing::debug!(path, %error, "not read");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// The thread that is shown; the process's own number where it stands for the whole.
    pub(crate) tid: i32,
    pub(crate) comm: String,
    /// Words of its command line; empty for what has none.
    pub(crate) args: String,
    pub(crate) state: char,
    pub(crate) ppid: i32,
    pub(crate) pgrp: i32,
    pub(crate) session: i32,
    pub(crate) tty: i32,
    pub(crate) tpgid: i32,
    pub(crate) flags: u64,
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
    /// Ticks in user mode and in the kernel.
    pub(crate) ticks: u64,
    pub(crate) priority: i64,
    pub(crate) nice: i64,
    pub(crate) threads: u64,
    /// Ticks after the start of the kernel.
    pub(crate) start: u64,
    /// Bytes.
    pub(crate) vsize: u64,
    /// Kilobytes.
    pub(crate) rss: u64,
    pub(crate) cpu: u64,
    pub(crate) rt_priority: u64,
    pub(crate) policy: u64,
    /// Real, effective, saved, file system.
    pub(crate) uids: [u32; 4],
    pub(crate) gids: [u32; 4],
    pub(crate) locked: bool,
    /// Signals as the kernel writes them: pending, blocked, ignored, caught.
    pub(crate) signals: [String; 4],
}

impl Process {
    /// Reads it; `None` when it is gone.
    pub(crate) fn read(pid: i32) -> Option<Self> {
        let stat = text(&format!("/proc/{pid}/stat"), 8192);
        let status = text(&format!("/proc/{pid}/status"), 16_384);
        let mut process = Self::parse(pid, &stat, &status)?;
        process.args = printable(&text(&format!("/proc/{pid}/cmdline"), LONGEST));
        Some(process)
    }

    /// Its threads, each as a process of its own with its number as `tid`. Those that end meanwhile are left out.
    pub(crate) fn threads(&self) -> Vec<Self> {
        let names = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let mut tids: Vec<i32> = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        tids.sort_unstable();
        let one = |tid: i32| {
            let file = |name: &str| format!("/proc/{}/task/{tid}/{name}", self.pid);
            let thread = Self::parse(self.pid, &text(&file("stat"), 8192), &text(&file("status"), 16_384))?;
            Some(Self { tid, args: self.args.clone(), ..thread })
        };
        tids.into_iter().filter_map(one).collect()
    }

    /// From `stat` and `status`. The name, in parentheses, may hold anything, parentheses included.
    pub(crate) fn parse(pid: i32, stat: &str, status: &str) -> Option<Self> {
        let (head, tail) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        // Numbered as in proc(5), where the state is the third.
        let field = |n: usize| fields.get(n - 3).copied().unwrap_or_default();
        let number = |n: usize| field(n).parse::<u64>().unwrap_or(0);
        let signed = |n: usize| field(n).parse::<i64>().unwrap_or(0);
        let small = |n: usize| field(n).parse::<i32>().unwrap_or(0);
        let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap_or_default().trim();
        let ids = |key: &str| {
            let mut all = line(key).split_ascii_whitespace().map(|word| word.parse().unwrap_or(0));
            [0; 4].map(|_| all.next().unwrap_or(0))
        };
        let kilobytes = |key: &str| line(key).split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        Some(Self {
            pid,
            tid: pid,
            comm: printable(head.split_once('(')?.1),
            args: String::new(),
            state: field(3).chars().next()?,
            ppid: small(4),
            pgrp: small(5),
            session: small(6),
            tty: small(7),
            tpgid: small(8),
            flags: number(9),
            minor_faults: number(10),
            major_faults: number(12),
            ticks: number(14).saturating_add(number(15)),
            priority: signed(18),
            nice: signed(19),
            threads: number(20),
            start: number(22),
            vsize: number(23),
            rss: kilobytes("VmRSS"),
            cpu: number(39),
            rt_priority: number(40),
            policy: number(41),
            uids: ids("Uid"),
            gids: ids("Gid"),
            locked: kilobytes("VmLck") > 0,
            signals: ["SigPnd", "SigBlk", "SigIgn", "SigCgt"].map(|key| line(key).to_owned()),
        })
    }
}

/// Words divided by blanks instead of zeros; what would disturb a terminal is a question mark.
fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\0' => ' ',
        c if c.is_control() => '?',
        c => c,
    };
    text.trim_end_matches('\0').chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_an_odd_name() {
        let stat = "7 (a) R (b) S 1 2 3 34816 5 4194560 1 0 2 0 30 20 0 0 20 -5 3 0 100 4096 6 18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0";
        let status = "Name:\ta\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nVmLck:\t       4 kB\nVmRSS:\t    1600 kB\nSigPnd:\t0001\n";
        let process = Process::parse(7, stat, status).unwrap();
        assert_eq!((process.comm.as_str(), process.state, process.ppid, process.tty), ("a) R (b", 'S', 1, 34816));
        assert_eq!((process.ticks, process.nice, process.threads, process.start, process.rss), (50, -5, 3, 100, 1600));
        assert_eq!((process.cpu, process.policy, process.uids, process.gids), (1, 0, [1, 2, 3, 4], [5, 6, 7, 8]));
        assert!(process.locked && process.signals[0] == "0001");
        assert_eq!(Process::parse(7, "", ""), None);
    }

    #[test]
    fn this_process() {
        let me = Process::read(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.threads >= 1 && me.rss > 0 && !me.args.is_empty());
        assert_eq!(Process::read(-1), None);
        assert!(me.threads().iter().any(|thread| thread.tid == me.pid && thread.args == me.args));
    }

    #[test]
    fn texts() {
        assert_eq!(printable("sh\0-c\0a\nb\0"), "sh -c a?b");
        let users = names("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::\nbad\nwww:x:33:33::\n");
        assert_eq!((users[&0].as_str(), users[&33].as_str(), users.len()), ("root", "www", 2));
    }
}
