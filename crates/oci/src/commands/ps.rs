//! `ps`: the processes of a container, by number or as a table.

use super::{Command, print};
use crate::args::{Order, Parsed, value};
use crate::context::Context;
use crate::error::{Error, Result};
use nix::unistd::{Uid, User};

pub(super) const COMMAND: Command = Command {
    name: "ps",
    usage: "<container-id>",
    about: "ps displays the processes running inside a container",
    flags: &[value("format", Some("f"), "select one of: table or json (default: \"table\")")],
    order: Order::Mixed,
    words: (1, usize::MAX),
    run,
};

fn run(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    let (_, record) = context.store.find(&parsed.rest[0])?;
    let mut pids = record.cgroup.pids()?;
    pids.sort_unstable();
    match (parsed.text("format"), &parsed.rest[1..]) {
        (Some("json"), _) => {
            let text = serde_json::to_string(&pids).map_err(|e| Error::new(format!("ps: {e}")))?;
            print(&format!("{text}\n"))?;
        }
        (None | Some("table"), [] | [_]) if parsed.rest.get(1).is_none_or(|options| options == "-ef") => {
            let rows: String = pids.into_iter().filter_map(Row::read).map(|row| row.line()).collect();
            print(&format!("{:<8} {:>7} {:>7} {:<8} {}\n{rows}", "UID", "PID", "PPID", "TIME", "CMD"))?;
        }
        (None | Some("table"), options) => return Err(Error::new(format!("ps: only -ef is understood, not {:?}", options.join(" ")))),
        (Some(_), _) => return Err(Error::new("invalid format option")),
    }
    Ok(0)
}

/// One process.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    user: String,
    pid: i32,
    parent: i32,
    /// Processor time, in seconds.
    seconds: u64,
    command: String,
}

impl Row {
    /// `None` for one that has ended meanwhile.
    fn read(pid: i32) -> Option<Self> {
        let file = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).ok();
        let stat = String::from_utf8_lossy(&file("stat")?).into_owned();
        let status = String::from_utf8_lossy(&file("status")?).into_owned();
        let ticks = rustix::param::clock_ticks_per_second();
        Self::of(pid, &stat, &status, &file("cmdline")?, ticks)
    }

    fn of(pid: i32, stat: &str, status: &str, cmdline: &[u8], ticks: u64) -> Option<Self> {
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?.parse().ok()?;
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
        // What a process calls itself must not reach a terminal as it is.
        let words = String::from_utf8_lossy(cmdline).trim_end_matches('\0').replace(|c: char| c.is_control(), " ");
        let command = if words.is_empty() { format!("[{name}]") } else { words };
        let parent = i32::try_from(number(1)).ok()?;
        Some(Self { user, pid, parent, seconds: (number(11) + number(12)) / ticks.max(1), command })
    }

    fn line(&self) -> String {
        let (hours, minutes, seconds) = (self.seconds / 3600, self.seconds / 60 % 60, self.seconds % 60);
        format!("{:<8} {:>7} {:>7} {hours:02}:{minutes:02}:{seconds:02} {}\n", self.user, self.pid, self.parent, self.command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line() {
        let stat = "7 (a) b) S 5 0 0 0 0 0 0 0 0 0 6000 1300 0";
        let row = Row::of(7, stat, "Name: x\nUid:\t0\t0\n", b"sleep\x00\x1b[1m1\x00", 100).unwrap();
        assert_eq!(row.line(), "root           7       5 00:01:13 sleep  [1m1\n");
        assert_eq!(Row::of(7, stat, "Uid:\t0\n", b"", 100).unwrap().command, "[a) b]");
        assert!(Row::read(std::process::id() as i32).unwrap().line().contains(" root") || rustix::process::getuid().is_root());
    }
}
