//! Time namespaces. What the kernel wants: a process makes one for its children, whose offsets can be set until the first of them is there.

use crate::error::{At, Failure, Result, Step};
use dhow_sys::process;
use std::fs::File;

/// `CLONE_NEWTIME`.
pub(crate) const NEWTIME: u64 = 0x80;

/// A clock's name, and how far the container's is ahead: seconds and nanoseconds.
pub(crate) type Offset = (&'static str, i64, u32);

/// The way back to the caller's own time namespace.
#[derive(Debug)]
pub(crate) struct Own(File);

/// Where a new time namespace is wanted, with these offsets, the caller's next children are born in it, until [`Own::back`].
pub(crate) fn enter(wanted: Option<&[Offset]>) -> Result<Option<Own>> {
    let Some(offsets) = wanted else { return Ok(None) };
    let name = "/proc/self/ns/time";
    let own = Own(File::open(name).map_err(|e| missing(e, name))?);
    process::unshare(NEWTIME).at(Step::Namespaces, "linux.namespaces.time")?;
    match set(offsets) {
        Ok(()) => Ok(Some(own)),
        Err(failure) => own.back().and(Err(failure)),
    }
}

fn missing(e: std::io::Error, name: &str) -> Failure {
    if e.kind() == std::io::ErrorKind::NotFound {
        return Failure::invalid("linux.namespaces.time", "this kernel has no time namespaces");
    }
    Failure::io(Step::Namespaces, name, e)
}

fn set(offsets: &[Offset]) -> Result<()> {
    if offsets.is_empty() {
        return Ok(());
    }
    let text: String = offsets.iter().map(|(clock, seconds, nanos)| format!("{clock} {seconds} {nanos}\n")).collect();
    std::fs::write("/proc/self/timens_offsets", text).at(Step::Namespaces, "linux.timeOffsets")
}

impl Own {
    /// Children are born as before.
    pub(crate) fn back(self) -> Result<()> {
        process::setns(&self.0, NEWTIME).at(Step::Namespaces, "return to the own time namespace")
    }
}
