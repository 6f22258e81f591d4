//! Options of `ps` that choose processes. Docker shows those of the container among the chosen ones.

use super::process::{Machine, Process};
use crate::error::{Error, Kind, Result};

/// What was chosen: a process is shown that is in any of the lists. Without a list all are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    all: bool,
    chosen: bool,
    pids: Vec<i32>,
    parents: Vec<i32>,
    commands: Vec<String>,
    /// Names or numbers.
    users: Vec<String>,
    real_users: Vec<String>,
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(|word| !word.is_empty())
}

fn numbers(list: &str) -> Result<Vec<i32>> {
    let refused = || Error::new(Kind::Internal, "ps: error: process ID list syntax error");
    words(list).map(|word| word.parse().ok().filter(|pid| *pid > 0).ok_or_else(refused)).collect()
}

impl Selection {
    /// All of them, whatever else is chosen.
    pub(super) fn all(&mut self) {
        self.all = true;
    }

    /// These processes.
    pub(super) fn pids(&mut self, list: &str) -> Result<()> {
        self.pids.extend(numbers(list)?);
        self.chosen = true;
        Ok(())
    }

    /// Children of these.
    pub(super) fn parents(&mut self, list: &str) -> Result<()> {
        self.parents.extend(numbers(list)?);
        self.chosen = true;
        Ok(())
    }

    /// Programs of these names.
    pub(super) fn commands(&mut self, list: &str) {
        self.commands.extend(words(list).map(str::to_owned));
        self.chosen = true;
    }

    /// Processes of these users, by the effective or the real one.
    pub(super) fn users(&mut self, list: &str, effective: bool) {
        let users = if effective { &mut self.users } else { &mut self.real_users };
        users.extend(words(list).map(str::to_owned));
        self.chosen = true;
    }

    /// Whether all users that are named exist.
    pub(super) fn check(&self, machine: &Machine) -> Result<()> {
        let known = |user: &String| user.parse::<u32>().is_ok() || machine.users.values().any(|name| name == user);
        if self.users.iter().chain(&self.real_users).all(known) {
            return Ok(());
        }
        Err(Error::new(Kind::Internal, "ps: error: user name does not exist"))
    }

    /// Whether a process is shown.
    pub(super) fn holds(&self, process: &Process, machine: &Machine) -> bool {
        let is = |user: &String, uid: u32| user.parse() == Ok(uid) || machine.users.get(&uid) == Some(user);
        self.all
            || !self.chosen
            || self.pids.contains(&process.pid)
            || self.parents.contains(&process.ppid)
            // The kernel keeps fifteen letters of a name.
            || self.commands.iter().any(|name| name.bytes().take(15).eq(process.comm.bytes()))
            || self.users.iter().any(|user| is(user, process.uids[1]))
            || self.real_users.iter().any(|user| is(user, process.uids[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_lists() {
        let machine = Machine { users: [(33, "www".to_owned())].into(), ..Machine::default() };
        let process = Process { pid: 7, ppid: 3, comm: "sh".into(), uids: [33, 0, 0, 0], ..Process::default() };
        let check = |choose: fn(&mut Selection), expect: bool| {
            let mut selection = Selection::default();
            choose(&mut selection);
            assert_eq!(selection.holds(&process, &machine), expect, "{selection:?}");
        };
        check(|_| {}, true);
        check(|s| s.pids("7").unwrap(), true);
        check(|s| s.pids("8,9").unwrap(), false);
        check(|s| s.parents("3").unwrap(), true);
        check(|s| s.commands("ash,sh"), true);
        check(|s| s.commands("shell"), false);
        check(|s| s.users("www", false), true);
        check(|s| s.users("33", true), false);
        check(|s| s.users("0", true), true);
        check(
            |s| {
                s.commands("x");
                s.all();
            },
            true,
        );
        let mut unknown = Selection::default();
        unknown.users("nobody-here", true);
        assert_eq!(unknown.check(&machine).unwrap_err().message, "ps: error: user name does not exist");
        assert!(Selection::default().pids("1,x").is_err());
    }
}
