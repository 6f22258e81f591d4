//! Options of `ps` that choose processes: of those that are looked at, the chosen ones are shown.

use crate::columns::tty;
use crate::error::{Result, refused};
use crate::process::{Machine, Process};

/// What was chosen: a process is shown that is in any of the lists. Without a list all are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    all: bool,
    chosen: bool,
    inverted: bool,
    pids: Vec<i32>,
    parents: Vec<i32>,
    commands: Vec<String>,
    /// Names or numbers.
    users: Vec<String>,
    real_users: Vec<String>,
    groups: Vec<String>,
    real_groups: Vec<String>,
    sessions: Vec<i32>,
    /// As they are shown.
    terminals: Vec<String>,
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(|word| !word.is_empty())
}

fn numbers(list: &str) -> Result<Vec<i32>> {
    let refused = || refused("process ID list syntax error");
    words(list).map(|word| word.parse().ok().filter(|pid| *pid > 0).ok_or_else(refused)).collect()
}

impl Selection {
    /// All of them, whatever else is chosen.
    pub(crate) fn all(&mut self) {
        self.all = true;
    }

    /// These processes.
    pub(crate) fn pids(&mut self, list: &str) -> Result<()> {
        self.pids.extend(numbers(list)?);
        self.chosen = true;
        Ok(())
    }

    /// Children of these.
    pub(crate) fn parents(&mut self, list: &str) -> Result<()> {
        self.parents.extend(numbers(list)?);
        self.chosen = true;
        Ok(())
    }

    /// Programs of these names.
    pub(crate) fn commands(&mut self, list: &str) {
        self.commands.extend(words(list).map(str::to_owned));
        self.chosen = true;
    }

    /// Processes of these users, by the effective or the real one.
    pub(crate) fn users(&mut self, list: &str, effective: bool) {
        let users = if effective { &mut self.users } else { &mut self.real_users };
        users.extend(words(list).map(str::to_owned));
        self.chosen = true;
    }

    /// Processes of these groups, likewise.
    pub(crate) fn groups(&mut self, list: &str, effective: bool) {
        let groups = if effective { &mut self.groups } else { &mut self.real_groups };
        groups.extend(words(list).map(str::to_owned));
        self.chosen = true;
    }

    /// Processes of these sessions.
    pub(crate) fn sessions(&mut self, list: &str) -> Result<()> {
        self.sessions.extend(numbers(list)?);
        self.chosen = true;
        Ok(())
    }

    /// Processes at these terminals, by their names with or without `/dev/`; `-` is none.
    pub(crate) fn terminals(&mut self, list: &str) {
        let name = |word: &str| if word == "-" { "?".to_owned() } else { word.strip_prefix("/dev/").unwrap_or(word).to_owned() };
        self.terminals.extend(words(list).map(name));
        self.chosen = true;
    }

    /// All but the chosen ones.
    pub(crate) fn invert(&mut self) {
        self.inverted = true;
    }

    /// Whether all users and groups that are named exist.
    pub(crate) fn check(&self, machine: &Machine) -> Result<()> {
        let all = [
            (&machine.users, [&self.users, &self.real_users], "user name does not exist"),
            (&machine.groups, [&self.groups, &self.real_groups], "group name does not exist"),
        ];
        for (known, named, words) in all {
            let known = |name: &String| name.parse::<u32>().is_ok() || known.values().any(|known| known == name);
            if !named.into_iter().flatten().all(known) {
                return Err(refused(words));
            }
        }
        Ok(())
    }

    /// Whether a process is shown.
    pub(crate) fn holds(&self, process: &Process, machine: &Machine) -> bool {
        self.inverted != (self.all || !self.chosen || self.names(process, machine))
    }

    fn names(&self, process: &Process, machine: &Machine) -> bool {
        let is = |user: &String, uid: u32| user.parse() == Ok(uid) || machine.users.get(&uid) == Some(user);
        let of = |group: &String, gid: u32| group.parse() == Ok(gid) || machine.groups.get(&gid) == Some(group);
        self.pids.contains(&process.pid)
            || self.parents.contains(&process.ppid)
            // The kernel keeps fifteen letters of a name.
            || self.commands.iter().any(|name| name.bytes().take(15).eq(process.comm.bytes()))
            || self.users.iter().any(|user| is(user, process.uids[1]))
            || self.real_users.iter().any(|user| is(user, process.uids[0]))
            || self.groups.iter().any(|group| of(group, process.gids[1]))
            || self.real_groups.iter().any(|group| of(group, process.gids[0]))
            || self.sessions.contains(&process.session)
            || self.terminals.contains(&tty(process.tty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_lists() {
        let machine = Machine { users: [(33, "www".to_owned())].into(), ..Machine::default() };
        let process = Process { pid: 7, ppid: 3, comm: "sh".into(), uids: [33, 0, 0, 0], session: 5, ..Process::default() };
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
        check(|s| s.groups("0", true), true);
        check(|s| s.groups("7", false), false);
        check(|s| s.sessions("9,5").unwrap(), true);
        check(|s| s.terminals("/dev/pts/0"), false);
        check(|s| s.terminals("-"), true);
        check(Selection::invert, false);
        check(
            |s| {
                s.commands("x");
                s.all();
            },
            true,
        );
        check(
            |s| {
                s.commands("x");
                s.invert();
            },
            true,
        );
        let mut unknown = Selection::default();
        unknown.users("nobody-here", true);
        assert_eq!(unknown.check(&machine).unwrap_err(), refused("user name does not exist"));
        let mut unknown = Selection::default();
        unknown.groups("0,nobody-here", false);
        assert_eq!(unknown.check(&machine).unwrap_err(), refused("group name does not exist"));
        assert!(Selection::default().pids("1,x").is_err());
    }
}
