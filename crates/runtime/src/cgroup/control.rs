//! The processes of a cgroup: listing, killing, freezing.

use super::{Cgroup, invalid, refused};
use crate::error::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A process in an uninterruptible wait is frozen when it comes back; longer than this nobody waits for it.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(10);

/// Rounds of signalling where the kernel cannot kill a cgroup at once and it cannot be frozen.
const KILL_ROUNDS: u32 = 100;

impl Cgroup {
    /// Every process in it and in the cgroups below it.
    ///
    /// # Errors
    /// A directory cannot be read, for another reason than that it is gone.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        if let Some(dir) = self.any_dir() {
            collect(dir, &mut pids)?;
        }
        Ok(pids)
    }

    /// Sends SIGKILL to every process in it (`cgroup.kill`, else by freezing or repeating until it is empty).
    pub fn kill(&self) -> Result<()> {
        if let Some(dir) = self.unified_dir() {
            let file = dir.join("cgroup.kill");
            // Before Linux 5.14 the file is not there; without the directory nothing is left to kill.
            match fs::OpenOptions::new().write(true).open(&file).and_then(|mut file| io::Write::write(&mut file, b"1")) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !self.any_dir().is_some_and(Path::exists) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(refused(&file, "write \"1\"", &error)),
            }
        }
        self.kill_one_by_one()
    }

    /// Frozen processes do not fork and their numbers are not used again, so one round is enough. Where freezing fails, rounds
    /// follow until nobody is found.
    pub(super) fn kill_one_by_one(&self) -> Result<()> {
        let frozen = self.freeze(true).is_ok();
        let mut result = Ok(());
        for round in 0..KILL_ROUNDS {
            match self.pids() {
                Ok(pids) if pids.is_empty() => break,
                Ok(pids) => result = self.signal_all(&pids),
                Err(error) => result = Err(error),
            }
            if frozen || result.is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(u64::from(round.min(10))));
        }
        result.and(if frozen { self.freeze(false) } else { Ok(()) })
    }

    /// The pidfd is opened first and membership looked at again, so a number that was reused meanwhile is spared.
    fn signal_all(&self, pids: &[i32]) -> Result<()> {
        let handles: Vec<_> =
            pids.iter().filter_map(|&pid| Some((pid, pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?))).collect();
        let still = self.pids()?;
        for (pid, handle) in handles {
            if still.contains(&pid) {
                // An error means that it has ended by itself.
                let _ = pidfd_send_signal(handle, Signal::KILL);
            }
        }
        Ok(())
    }

    /// Freezes or thaws all processes; returns when done.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        self.needed()?;
        // The unified hierarchy's freezer is preferred: what it holds can be killed, what v1 holds cannot.
        if let Some(dir) = self.unified_dir() {
            return freeze_unified(dir, frozen);
        }
        match self.v1_dir("freezer") {
            Some(dir) => freeze_v1(&dir.join("freezer.state"), frozen),
            None => Err(invalid("freezer", "this host has no such cgroup controller")),
        }
    }

    /// Whether its processes are frozen, or about to be.
    pub fn is_frozen(&self) -> Result<bool> {
        let (file, yes) = match (self.unified_dir(), self.v1_dir("freezer")) {
            (Some(dir), _) => (dir.join("cgroup.freeze"), "1"),
            (None, Some(dir)) => (dir.join("freezer.state"), "FROZEN"),
            (None, None) => return Ok(false),
        };
        match fs::read_to_string(&file) {
            Ok(text) => Ok(text.trim() == yes),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => Ok(false),
            Err(error) => Err(refused(&file, "read", &error)),
        }
    }

    /// All hierarchies that have the container have the same processes. (A foreign runtime leaves some out.)
    fn any_dir(&self) -> Option<&Path> {
        let first = self.dirs.first().map(|(_, dir)| dir.as_path());
        self.unified_dir().filter(|dir| Some(*dir) == first || dir.exists()).or(first)
    }
}

fn freeze_unified(dir: &Path, frozen: bool) -> Result<()> {
    let wanted = if frozen { "frozen 1" } else { "frozen 0" };
    let events_path = dir.join("cgroup.events");
    let mut events = fs::File::open(&events_path).map_err(|error| refused(&events_path, "open", &error))?;
    let file = dir.join("cgroup.freeze");
    let value = if frozen { "1" } else { "0" };
    fs::write(&file, value).map_err(|error| refused(&file, &format!("write {value:?}"), &error))?;
    let deadline = Instant::now() + FREEZE_TIMEOUT;
    let mut text = String::new();
    loop {
        text.clear();
        let read = events.rewind().and_then(|()| events.read_to_string(&mut text));
        read.map_err(|error| refused(&events_path, "read", &error))?;
        if text.lines().any(|line| line == wanted) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return undo_freeze(&file, "0", frozen);
        }
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&events, PollFlags::PRI)], timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(refused(&events_path, "poll", &error.into())),
        }
    }
}

fn freeze_v1(file: &Path, frozen: bool) -> Result<()> {
    let wanted = if frozen { "FROZEN" } else { "THAWED" };
    let deadline = Instant::now() + FREEZE_TIMEOUT;
    let mut pause = Duration::from_micros(100);
    loop {
        // Written again each time: a process forked in between escapes the first sweep.
        fs::write(file, wanted).map_err(|error| refused(file, &format!("write {wanted:?}"), &error))?;
        let state = fs::read_to_string(file).map_err(|error| refused(file, "read", &error))?;
        if state.trim() == wanted {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return undo_freeze(file, "THAWED", frozen);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

fn undo_freeze(file: &Path, thaw: &str, frozen: bool) -> Result<()> {
    let what = if frozen { "freeze" } else { "thaw" };
    if frozen {
        // The error below is the one that matters.
        let _ = fs::write(file, thaw);
    }
    let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
    Err(refused(file, &format!("{what} within {} s", FREEZE_TIMEOUT.as_secs()), &error))
}

fn collect(dir: &Path, pids: &mut Vec<i32>) -> Result<()> {
    let file = dir.join("cgroup.procs");
    match procs(dir) {
        Ok(found) => pids.extend(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(()),
        // A threaded directory does not list processes; their leaders are listed above it.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
        Err(error) => return Err(refused(&file, "read", &error)),
    }
    children(dir).map_err(|error| refused(dir, "list", &error))?.iter().try_for_each(|child| collect(child, pids))
}

pub(super) fn procs(dir: &Path) -> io::Result<Vec<i32>> {
    let text = fs::read_to_string(dir.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// The directories below. One that vanishes while being listed is gone, which is as good as not there.
pub(super) fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let listed = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = match listed {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => return Ok(Vec::new()),
        other => other?,
    };
    Ok(entries.iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(fs::DirEntry::path).collect())
}
