//! What a container used.

use super::write::Present;
use super::{Cgroup, Usage, refused};
use crate::error::Result;
use std::fs;
use std::io;
use std::path::Path;

impl Cgroup {
    /// What was used.
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        match self.v1_dir("cpuacct") {
            Some(dir) => {
                usage.cpu_total = number(dir, "cpuacct.usage")?;
                usage.cpu_user = number(dir, "cpuacct.usage_user")?;
                usage.cpu_system = number(dir, "cpuacct.usage_sys")?;
            }
            None => {
                let text = read(self.unified_dir(), "cpu.stat")?;
                let nanos = |key| field(&text, key).saturating_mul(1000);
                (usage.cpu_total, usage.cpu_user, usage.cpu_system) = (nanos("usage_usec"), nanos("user_usec"), nanos("system_usec"));
            }
        }
        match self.v1_dir("memory") {
            Some(dir) => {
                usage.memory = number(dir, "memory.usage_in_bytes")?;
                usage.memory_inactive_file = field(&read(Some(dir), "memory.stat")?, "total_inactive_file");
                usage.oom_kills = field(&read(Some(dir), "memory.oom_control")?, "oom_kill");
            }
            None => {
                let dir = self.unified_dir();
                usage.memory = parse(&read(dir, "memory.current")?);
                usage.memory_inactive_file = field(&read(dir, "memory.stat")?, "inactive_file");
                usage.oom_kills = field(&read(dir, "memory.events")?, "oom_kill");
            }
        }
        usage.memory_limit = memory_limit(self)?;
        usage.pids = parse(&read(self.dir("pids"), "pids.current")?);
        Ok(usage)
    }

    /// How often the kernel killed a process of the group for lack of memory: one small file, for the moment of an exit.
    pub fn oom_kills(&self) -> Result<u64> {
        let text = match self.v1_dir("memory") {
            Some(dir) => read(Some(dir), "memory.oom_control")?,
            None => read(self.unified_dir(), "memory.events")?,
        };
        Ok(field(&text, "oom_kill"))
    }
}

impl Cgroup {
    /// The limits with which changed ones have to agree.
    pub(super) fn present(&self) -> Result<Present> {
        // Without v1's controller it is the unified hierarchy's, if it is there at all.
        let text = self.v1_dir("cpu").map_or_else(|| read(self.unified_dir(), "cpu.max"), |_| Ok(String::new()))?;
        let mut words = text.split_whitespace().map(|word| word.parse().ok());
        Ok(Present { memory: memory_limit(self)?, quota: words.next().flatten(), period: words.next().flatten() })
    }
}

/// The limit on memory, if there is one. v1 writes "none" as the largest number of whole pages.
fn memory_limit(cgroup: &Cgroup) -> Result<Option<u64>> {
    let text = match cgroup.v1_dir("memory") {
        Some(dir) => read(Some(dir), "memory.limit_in_bytes")?,
        None => read(cgroup.unified_dir(), "memory.max")?,
    };
    // `max` of v2 is no number.
    let limit = text.trim().parse().ok();
    Ok(limit.filter(|limit: &u64| *limit < (i64::MAX as u64) & !0xffff))
}

fn number(dir: &Path, file: &str) -> Result<u64> {
    Ok(parse(&read(Some(dir), file)?))
}

/// A file that is missing (no such controller, or the directory is gone) reads as nothing.
pub(super) fn read(dir: Option<&Path>, file: &str) -> Result<String> {
    let Some(dir) = dir else { return Ok(String::new()) };
    let path = dir.join(file);
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(String::new()),
        other => other.map_err(|error| refused(&path, "read", &error)),
    }
}

fn parse(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// The number after `key` in a file of `key number` lines.
fn field(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    line.map_or(0, parse)
}
