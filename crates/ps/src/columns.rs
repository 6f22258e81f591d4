//! The columns of `ps`: names, headings, and how each value is written.

use crate::process::{Machine, Process, text};
use std::cmp::Ordering;

/// One kind of column.
#[derive(Debug)]
pub(crate) struct Field {
    names: &'static [&'static str],
    pub(crate) title: &'static str,
    /// Its place in a line; numbers of processes may need more.
    pub(crate) width: usize,
    side: bool,
    pub(crate) show: fn(&Process, &Machine, usize) -> String,
}

impl Field {
    /// Shows what runs: trees are drawn in front of it.
    pub(crate) fn is_command(&self) -> bool {
        matches!(self.title, "CMD" | "COMMAND")
    }

    /// Its values stand at the right end of their place.
    pub(crate) fn is_right(&self) -> bool {
        self.side == RIGHT
    }

    /// Its values are numbers of processes, for which there is as much place as the largest one takes.
    pub(crate) fn is_pid(&self) -> bool {
        PIDS.contains(&self.title)
    }

    /// Its values lose what goes beyond their place, where something stands behind it.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_command() || matches!(self.title, "LABEL" | "CGROUP")
    }
}

const LEFT: bool = false;
const RIGHT: bool = true;
/// Columns with numbers of processes.
const PIDS: &[&str] = &["PID", "PPID", "PGID", "SID", "SESS", "TPGID", "LWP", "TID", "SPID"];

/// The order of two processes by a column: numbers by their size, moments by the clock, all else by letters.
pub(crate) fn compare(field: &Field, one: &Process, other: &Process, machine: &Machine) -> Ordering {
    match field.title {
        "START" | "STARTED" | "STIME" => one.start.cmp(&other.start),
        "ELAPSED" => other.start.cmp(&one.start),
        "TIME" => one.ticks.cmp(&other.ticks),
        _ => {
            let [one, other] = [one, other].map(|process| (field.show)(process, machine, usize::MAX));
            match (one.parse::<f64>(), other.parse::<f64>()) {
                (Ok(one), Ok(other)) => one.total_cmp(&other),
                _ => one.cmp(&other),
            }
        }
    }
}

/// Clock ticks of a second: the kernel tells every program this number.
const TICKS: u64 = 100;
const DAY: i64 = 86_400;

/// A column by one of its names.
pub(crate) fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.names.contains(&name))
}

const fn field(
    names: &'static [&'static str],
    title: &'static str,
    width: usize,
    side: bool,
    show: fn(&Process, &Machine, usize) -> String,
) -> Field {
    Field { names, title, width, side, show }
}

static FIELDS: &[Field] = &[
    field(&["pid", "tgid"], "PID", 5, RIGHT, |p, _, _| p.pid.to_string()),
    field(&["ppid"], "PPID", 5, RIGHT, |p, _, _| p.ppid.to_string()),
    field(&["pgid", "pgrp"], "PGID", 5, RIGHT, |p, _, _| p.pgrp.to_string()),
    field(&["sid"], "SID", 5, RIGHT, |p, _, _| p.session.to_string()),
    field(&["sess", "session"], "SESS", 5, RIGHT, |p, _, _| p.session.to_string()),
    field(&["tpgid"], "TPGID", 5, RIGHT, |p, _, _| p.tpgid.to_string()),
    field(&["lwp"], "LWP", 5, RIGHT, |p, _, _| p.tid.to_string()),
    field(&["tid"], "TID", 5, RIGHT, |p, _, _| p.tid.to_string()),
    field(&["spid"], "SPID", 5, RIGHT, |p, _, _| p.tid.to_string()),
    field(&["user", "uname"], "USER", 8, LEFT, |p, m, width| user(p.uids[1], m, width)),
    field(&["euser"], "EUSER", 8, LEFT, |p, m, width| user(p.uids[1], m, width)),
    field(&["ruser"], "RUSER", 8, LEFT, |p, m, width| user(p.uids[0], m, width)),
    field(&["suser"], "SUSER", 8, LEFT, |p, m, width| user(p.uids[2], m, width)),
    field(&["svuser"], "SVUSER", 8, LEFT, |p, m, width| user(p.uids[2], m, width)),
    field(&["fuser"], "FUSER", 8, LEFT, |p, m, width| user(p.uids[3], m, width)),
    field(&["uid"], "UID", 5, RIGHT, |p, _, _| p.uids[1].to_string()),
    field(&["euid"], "EUID", 5, RIGHT, |p, _, _| p.uids[1].to_string()),
    field(&["ruid"], "RUID", 5, RIGHT, |p, _, _| p.uids[0].to_string()),
    field(&["suid"], "SUID", 5, RIGHT, |p, _, _| p.uids[2].to_string()),
    field(&["fuid", "fsuid"], "FUID", 5, RIGHT, |p, _, _| p.uids[3].to_string()),
    field(&["group"], "GROUP", 8, LEFT, |p, m, width| group(p.gids[1], m, width)),
    field(&["egroup"], "EGROUP", 8, LEFT, |p, m, width| group(p.gids[1], m, width)),
    field(&["rgroup"], "RGROUP", 8, LEFT, |p, m, width| group(p.gids[0], m, width)),
    field(&["gid"], "GID", 5, RIGHT, |p, _, _| p.gids[1].to_string()),
    field(&["egid"], "EGID", 5, RIGHT, |p, _, _| p.gids[1].to_string()),
    field(&["rgid"], "RGID", 5, RIGHT, |p, _, _| p.gids[0].to_string()),
    field(&["comm", "ucomm"], "COMMAND", 15, LEFT, |p, _, _| comm(p)),
    field(&["ucmd"], "CMD", 15, LEFT, |p, _, _| comm(p)),
    field(&["args", "command"], "COMMAND", 27, LEFT, |p, _, _| args(p)),
    field(&["cmd"], "CMD", 27, LEFT, |p, _, _| args(p)),
    field(&["c", "util"], "C", 2, RIGHT, |p, m, _| (permille(p, m) / 10).min(99).to_string()),
    field(&["pcpu", "%cpu"], "%CPU", 4, RIGHT, |p, m, _| tenths(permille(p, m))),
    field(&["pmem", "%mem"], "%MEM", 4, RIGHT, |p, m, _| tenths((p.rss * 1000).checked_div(m.memory).unwrap_or(0).min(999))),
    field(&["vsz", "vsize"], "VSZ", 6, RIGHT, |p, _, _| (p.vsize / 1024).to_string()),
    field(&["rss", "rssize"], "RSS", 5, RIGHT, |p, _, _| p.rss.to_string()),
    field(&["rsz"], "RSZ", 5, RIGHT, |p, _, _| p.rss.to_string()),
    field(&["sz"], "SZ", 5, RIGHT, |p, _, _| (p.vsize / 4096).to_string()),
    field(&["tty", "tt"], "TT", 8, LEFT, |p, _, _| tty(p.tty)),
    field(&["tname"], "TTY", 8, LEFT, |p, _, _| tty(p.tty)),
    field(&["stat"], "STAT", 4, LEFT, |p, _, _| stat(p)),
    field(&["s", "state"], "S", 1, LEFT, |p, _, _| p.state.to_string()),
    field(&["stime"], "STIME", 5, LEFT, |p, m, _| stime(p, m)),
    field(&["start_time"], "START", 5, LEFT, |p, m, _| stime(p, m)),
    field(&["bsdstart"], "START", 6, RIGHT, |p, m, _| recent(p, m, "%H:%M")),
    field(&["start"], "STARTED", 8, RIGHT, |p, m, _| recent(p, m, "%H:%M:%S")),
    field(&["lstart"], "STARTED", 24, RIGHT, |p, m, _| local(m, started(p, m), "%a %b %e %H:%M:%S %Y")),
    field(&["etime"], "ELAPSED", 11, RIGHT, |p, m, _| elapsed(age(p, m))),
    field(&["etimes"], "ELAPSED", 7, RIGHT, |p, m, _| age(p, m).to_string()),
    field(&["time", "cputime"], "TIME", 8, RIGHT, |p, _, _| time(p.ticks / TICKS)),
    field(&["times", "cputimes"], "TIME", 8, RIGHT, |p, _, _| (p.ticks / TICKS).to_string()),
    field(&["bsdtime"], "TIME", 6, RIGHT, |p, _, _| format!("{}:{:02}", p.ticks / TICKS / 60, p.ticks / TICKS % 60)),
    field(&["ni", "nice"], "NI", 3, RIGHT, |p, _, _| if other(p) { "-".into() } else { p.nice.to_string() }),
    field(&["pri"], "PRI", 3, RIGHT, |p, _, _| (39 - p.priority).to_string()),
    field(&["priority", "intpri"], "PRI", 3, RIGHT, |p, _, _| p.priority.to_string()),
    field(&["opri"], "PRI", 3, RIGHT, |p, _, _| (p.priority + 60).to_string()),
    field(&["rtprio"], "RTPRIO", 6, RIGHT, |p, _, _| if matches!(p.policy, 1 | 2) { p.rt_priority.to_string() } else { "-".into() }),
    field(&["cls"], "CLS", 3, RIGHT, |p, _, _| class(p.policy).into()),
    field(&["class"], "CLS", 3, LEFT, |p, _, _| class(p.policy).into()),
    field(&["policy"], "POL", 3, LEFT, |p, _, _| class(p.policy).into()),
    field(&["nlwp"], "NLWP", 4, RIGHT, |p, _, _| p.threads.to_string()),
    field(&["thcount"], "THCNT", 5, RIGHT, |p, _, _| p.threads.to_string()),
    field(&["psr"], "PSR", 3, RIGHT, |p, _, _| p.cpu.to_string()),
    field(&["f", "flag", "flags"], "F", 1, LEFT, |p, _, _| format!("{:o}", p.flags >> 6 & 7)),
    field(&["addr"], "ADDR", 4, LEFT, |_, _, _| "-".into()),
    field(&["addr_1"], "ADDR", 1, LEFT, |_, _, _| "-".into()),
    field(&["wchan"], "WCHAN", 6, LEFT, |p, _, width| wchan(p, width)),
    field(&["min_flt", "minflt"], "MINFL", 6, RIGHT, |p, _, _| p.minor_faults.to_string()),
    field(&["maj_flt", "majflt"], "MAJFL", 6, RIGHT, |p, _, _| p.major_faults.to_string()),
    field(&["trs"], "TRS", 4, RIGHT, |p, _, _| code(p).to_string()),
    field(&["drs"], "DRS", 5, RIGHT, |p, _, _| (p.vsize / 1024).saturating_sub(code(p)).to_string()),
    field(&["pending", "sig"], "PENDING", 16, RIGHT, |p, _, _| p.signals[0].clone()),
    field(&["blocked", "sigmask"], "BLOCKED", 16, RIGHT, |p, _, _| p.signals[1].clone()),
    field(&["ignored", "sigignore"], "IGNORED", 16, RIGHT, |p, _, _| p.signals[2].clone()),
    field(&["caught", "sigcatch"], "CAUGHT", 16, RIGHT, |p, _, _| p.signals[3].clone()),
    field(&["label", "context"], "LABEL", 31, LEFT, |p, _, _| or_dash(text(&format!("/proc/{}/attr/current", p.pid), 4096))),
    field(&["cgroup"], "CGROUP", 27, LEFT, |p, _, _| cgroup(p)),
    field(&["cgroupns"], "CGROUPNS", 10, RIGHT, |p, _, _| namespace(p, "cgroup")),
    field(&["ipcns"], "IPCNS", 10, RIGHT, |p, _, _| namespace(p, "ipc")),
    field(&["mntns"], "MNTNS", 10, RIGHT, |p, _, _| namespace(p, "mnt")),
    field(&["netns"], "NETNS", 10, RIGHT, |p, _, _| namespace(p, "net")),
    field(&["pidns"], "PIDNS", 10, RIGHT, |p, _, _| namespace(p, "pid")),
    field(&["timens"], "TIMENS", 10, RIGHT, |p, _, _| namespace(p, "time")),
    field(&["userns"], "USERNS", 10, RIGHT, |p, _, _| namespace(p, "user")),
    field(&["utsns"], "UTSNS", 10, RIGHT, |p, _, _| namespace(p, "uts")),
];

/// A name that is too wide ends with a plus sign.
fn cut(name: &str, width: usize) -> String {
    if name.chars().count() <= width {
        return name.to_owned();
    }
    name.chars().take(width.saturating_sub(1)).chain(['+']).collect()
}

fn user(id: u32, machine: &Machine, width: usize) -> String {
    machine.users.get(&id).map_or_else(|| cut(&id.to_string(), width), |name| cut(name, width))
}

fn group(id: u32, machine: &Machine, width: usize) -> String {
    machine.groups.get(&id).map_or_else(|| cut(&id.to_string(), width), |name| cut(name, width))
}

fn comm(p: &Process) -> String {
    if p.state == 'Z' { format!("{} <defunct>", p.comm) } else { p.comm.clone() }
}

fn args(p: &Process) -> String {
    match p.state {
        'Z' => format!("[{}] <defunct>", p.comm),
        _ if p.args.is_empty() => format!("[{}]", p.comm),
        _ => p.args.clone(),
    }
}

/// Seconds since it was started.
fn age(p: &Process, m: &Machine) -> u64 {
    m.uptime.saturating_sub(p.start / TICKS)
}

fn started(p: &Process, m: &Machine) -> i64 {
    m.booted + i64::try_from(p.start / TICKS).unwrap_or(0)
}

/// Thousandths of its life that it was on a CPU.
fn permille(p: &Process, m: &Machine) -> u64 {
    (p.ticks * 1000 / TICKS).checked_div(age(p, m)).unwrap_or(0)
}

fn tenths(permille: u64) -> String {
    if permille > 999 { (permille / 10).to_string() } else { format!("{}.{}", permille / 10, permille % 10) }
}

/// `[DAYS-]HH:MM:SS`.
fn time(seconds: u64) -> String {
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    if seconds >= 86_400 { format!("{}-{clock}", seconds / 86_400) } else { clock }
}

/// `[[DAYS-]HH:]MM:SS`.
fn elapsed(seconds: u64) -> String {
    if seconds >= 3600 { time(seconds) } else { format!("{:02}:{:02}", seconds / 60, seconds % 60) }
}

fn local(m: &Machine, second: i64, format: &str) -> String {
    m.local(second).map(|at| at.strftime(format).to_string()).unwrap_or_default()
}

/// The time of day, the day, or the year, whatever tells most.
fn stime(p: &Process, m: &Machine) -> String {
    let at = started(p, m);
    let same = |format: &str| local(m, at, format) == local(m, m.now, format);
    let format = match (same("%Y"), same("%j")) {
        (false, _) => "%Y",
        (true, false) => "%b%d",
        (true, true) => "%H:%M",
    };
    local(m, at, format)
}

/// The time for what is younger than a day, else the day.
fn recent(p: &Process, m: &Machine, format: &str) -> String {
    let at = started(p, m);
    local(m, at, if m.now - at > DAY { "%b %d" } else { format })
}

/// Name of a terminal by its device number; a question mark for none.
pub(crate) fn tty(device: i32) -> String {
    let device = u32::from_ne_bytes(device.to_ne_bytes());
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00);
    match (major, minor) {
        (136..=143, _) => format!("pts/{}", (major - 136) * 256 + minor),
        (4, 0..=63) => format!("tty{minor}"),
        (4, _) => format!("ttyS{}", minor - 64),
        (5, 1) => "console".into(),
        _ => "?".into(),
    }
}

fn stat(p: &Process) -> String {
    let mut out = p.state.to_string();
    let marks = [
        (p.nice < 0, '<'),
        (p.nice > 0, 'N'),
        (p.locked, 'L'),
        (p.session == p.pid, 's'),
        (p.threads > 1, 'l'),
        (p.tpgid != -1 && p.pgrp == p.tpgid, '+'),
    ];
    out.extend(marks.iter().filter(|(shown, _)| *shown).map(|(_, mark)| mark));
    out
}

/// Of a class to which niceness means nothing.
fn other(p: &Process) -> bool {
    !matches!(p.policy, 0 | 3)
}

fn class(policy: u64) -> &'static str {
    match policy {
        0 => "TS",
        1 => "FF",
        2 => "RR",
        3 => "B",
        4 => "ISO",
        5 => "IDL",
        6 => "DLN",
        _ => "?",
    }
}

fn or_dash(text: String) -> String {
    let text = text.trim_end_matches(['\0', '\n']);
    if text.is_empty() { "-".into() } else { text.to_owned() }
}

/// Kilobytes of its program.
fn code(p: &Process) -> u64 {
    let text = text(&format!("/proc/{}/stat", p.pid), 8192);
    let field = |n: usize| text.rsplit_once(')')?.1.split_ascii_whitespace().nth(n - 3)?.parse::<u64>().ok();
    // Where it begins and ends, as the kernel tells root.
    field(27).zip(field(26)).map_or(0, |(end, start)| end.saturating_sub(start) / 1024)
}

/// Where it sleeps, cut to the width of the column.
fn wchan(p: &Process, width: usize) -> String {
    let text = text(&format!("/proc/{}/wchan", p.pid), 64);
    let name = text.trim_start_matches('_');
    if name.is_empty() || name == "0" { "-".into() } else { name.chars().take(width).collect() }
}

fn cgroup(p: &Process) -> String {
    let text = text(&format!("/proc/{}/cgroup", p.pid), 8192);
    let groups: Vec<&str> = text.lines().filter(|line| !line.ends_with(":/")).collect();
    or_dash(groups.join(","))
}

/// The number behind `net:[4026531840]`.
fn namespace(p: &Process, kind: &str) -> String {
    let link = rustix::fs::readlink(format!("/proc/{}/ns/{kind}", p.pid), Vec::new());
    let text = link.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
    or_dash(text.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']')).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            now: 1_700_000_000,
            booted: 1_700_000_000 - 200_000,
            uptime: 200_000,
            memory: 1000,
            zone: Some(jiff::tz::TimeZone::UTC),
            users: [(0, "root".to_owned()), (7, "systemd-network".to_owned())].into(),
            ..Machine::default()
        }
    }

    #[test]
    fn values_as_ps_writes_them() {
        let process = Process {
            pid: 5,
            comm: "sh".into(),
            args: "sh -c x".into(),
            state: 'S',
            session: 5,
            pgrp: 9,
            tpgid: -1,
            priority: 20,
            threads: 2,
            flags: 0x0040_0100,
            start: 199_000 * TICKS,
            ticks: 150 * TICKS,
            vsize: 8192,
            rss: 12,
            uids: [0, 7, 0, 99],
            ..Process::default()
        };
        let check = |name: &str, expect: &str| {
            let field = find(name).unwrap_or_else(|| panic!("no column {name}"));
            assert_eq!((field.show)(&process, &machine(), 8), expect, "{name}");
        };
        check("user", "systemd+");
        check("ruser", "root");
        check("fuser", "99");
        check("stat", "Ssl");
        check("c", "15");
        check("pcpu", "15.0");
        check("pmem", "1.2");
        check("sz", "2");
        check("vsz", "8");
        check("time", "00:02:30");
        check("bsdtime", "2:30");
        check("etime", "16:40");
        check("stime", "21:56");
        check("lstart", "Tue Nov 14 21:56:40 2023");
        check("opri", "80");
        check("pri", "19");
        check("f", "4");
        check("tname", "?");
        check("args", "sh -c x");
        assert_eq!(find("nothing").map(|f| f.title), None);
        let long = Process { uids: [123_456_789; 4], ..Process::default() };
        assert_eq!((user(123_456_789, &machine(), 8), user(99, &machine(), 8)), ("1234567+".into(), "99".into()));
        for (name, falls) in [("rss", true), ("user", true), ("start", true), ("etime", false), ("time", true), ("uid", false)] {
            let order = compare(find(name).unwrap(), &process, &long, &machine());
            assert_eq!(order, if falls { Ordering::Greater } else { Ordering::Less }, "{name}");
        }
    }

    #[test]
    fn times_and_terminals() {
        assert_eq!((time(90_061), elapsed(59), elapsed(90_061)), ("1-01:01:01".into(), "00:59".into(), "1-01:01:01".into()));
        let old = Process { start: 0, ..Process::default() };
        assert_eq!(stime(&old, &machine()), "Nov12");
        let older = Machine { booted: 1_600_000_000, ..machine() };
        assert_eq!(stime(&old, &older), "2020");
        assert_eq!(recent(&old, &machine(), "%H:%M"), "Nov 12");
        assert_eq!(
            (tty(0x8800), tty(0x8801), tty(0x0401), tty(0x0441), tty(0)),
            ("pts/0".into(), "pts/1".into(), "tty1".into(), "ttyS1".into(), "?".into())
        );
        let zombie = Process { state: 'Z', comm: "x".into(), ..Process::default() };
        assert_eq!((args(&zombie), comm(&zombie)), ("[x] <defunct>".into(), "x <defunct>".into()));
    }
}
