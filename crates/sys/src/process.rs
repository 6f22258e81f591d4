//! Processes by pidfd and start time.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Opens a pidfd (close-on-exec). `ESRCH` when there is no such process.
pub fn pidfd_open(_pid: i32) -> io::Result<OwnedFd> {
    todo!()
}

/// Sends a signal by pidfd. `ESRCH` when it has ended.
pub fn pidfd_signal(_pidfd: impl AsFd, _signal: i32) -> io::Result<()> {
    todo!()
}

/// Start time in clock ticks since boot (field 22 of `/proc/PID/stat`): with the pid it names a process for good.
pub fn start_time(_pid: i32) -> io::Result<u64> {
    todo!()
}
