//! Signal masks and dispositions, and a signalfd for a program that is its own event loop.

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Signals that arrive as data.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks every signal in this process and opens a non-blocking, close-on-exec descriptor that reads them.
    pub fn block_all() -> io::Result<Self> {
        let all = SigSet::all();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&all), None)?;
        Ok(Self(SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// The number of the next pending signal, `None` when there is none.
    pub fn next(&self) -> io::Result<Option<i32>> {
        Ok(self.0.read_signal()?.map(|info| info.ssi_signo as i32))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sets every signal, the C library's own two real-time ones included, to its default action, and empties the mask.
/// A pending signal then acts at once.
pub fn reset() -> io::Result<()> {
    // The kernel's own struct sigaction (not the C library's): handler SIG_DFL, no flags, no restorer, empty mask.
    let default = [0u64; 4];
    for signal in 1..=64 {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        // SAFETY: `default` is 32 zero bytes, as large as the kernel's struct on every 64-bit machine; the old action is not asked
        // for; the mask's size is the kernel's 8. The default action runs no code of ours.
        let ret = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u64>(), 8usize) };
        if ret != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    unblock()
}

/// Empties the mask alone.
pub fn unblock() -> io::Result<()> {
    let empty = 0u64;
    // SAFETY: a pointer to a mask of the kernel's size 8; the old one is not asked for. (The C library's call would leave its own
    // two signals blocked.)
    let ret = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut::<u64>(), 8usize) };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
    }

    /// One test, because dispositions belong to the whole process.
    #[test]
    fn block_read_and_reset() {
        std::thread::spawn(|| {
            let signals = Signals::block_all().unwrap();
            assert!(signals.next().unwrap().is_none());
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGWINCH).unwrap();
            assert_eq!(signals.next().unwrap(), Some(libc::SIGWINCH));
            assert!(signals.next().unwrap().is_none());
            assert_ne!(field("SigBlk"), 0);
            assert_ne!(field("SigIgn") & (1 << (libc::SIGPIPE - 1)), 0, "Rust ignores SIGPIPE");
            reset().unwrap();
            assert_eq!((field("SigBlk"), field("SigIgn"), field("SigCgt")), (0, 0, 0));
        })
        .join()
        .unwrap();
    }
}
