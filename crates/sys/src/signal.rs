//! Signal masks and dispositions, a signalfd for a program that is its own event loop, and a handler for one that is not.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::pipe::PipeFlags;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

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

/// Who is to be told of what: the signals, a bit each, and the end of a pipe to write to, -1 where there is none.
struct Listener {
    signals: AtomicU64,
    pipe: AtomicI32,
}

static LISTENERS: [Listener; 4] = [const { Listener { signals: AtomicU64::new(0), pipe: AtomicI32::new(-1) } }; 4];

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Tells whoever listens. A pipe that is full has enough to tell.
extern "C" fn tell(signal: i32) {
    // The number is one of those that were asked for, at most 64.
    let word = [signal as u8];
    for listener in &LISTENERS {
        if listener.signals.load(Ordering::Acquire) & bit(signal) != 0 {
            let pipe = listener.pipe.load(Ordering::Relaxed);
            // SAFETY: the C library says where this thread's errno is; it lives as long as the thread.
            let errno = unsafe { libc::__errno_location() };
            // SAFETY: as above; nobody else writes to it while this handler runs.
            let before = unsafe { *errno };
            // SAFETY: one byte of `word`. The descriptor is never closed once it is in a listener. write(2) is safe in a signal handler.
            unsafe { libc::write(pipe, word.as_ptr().cast(), 1) };
            // SAFETY: as above: what was interrupted finds its errno again.
            unsafe { *errno = before };
        }
    }
}

/// Catches these signals by a handler, from now on. Each that comes is a byte, its number, to be read from the end of a pipe that this gives;
/// reading does not wait. Unlike with [`Signals`] no mask changes: it does not matter which thread of the process a signal arrives at. When
/// the end is closed nobody is told any more, but what the signals do otherwise does not come back.
///
/// # Errors
/// `EMFILE` for the fifth in a process, or where there is no descriptor; `EINVAL` for one that cannot be caught, a real-time one, or what is no
/// signal.
pub fn catch(signals: &[i32]) -> io::Result<OwnedFd> {
    let numbers = signals.iter().map(|number| Signal::try_from(*number)).collect::<Result<Vec<_>, _>>()?;
    if numbers.iter().any(|signal| matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let free = |listener: &&Listener| listener.pipe.compare_exchange(-1, write.as_raw_fd(), Ordering::Relaxed, Ordering::Relaxed).is_ok();
    let listener = LISTENERS.iter().find(free).ok_or_else(|| io::Error::from_raw_os_error(libc::EMFILE))?;
    // It stays open: a handler may run in another thread at any time.
    let _stays: RawFd = write.into_raw_fd();
    listener.signals.store(signals.iter().fold(0, |bits, number| bits | bit(*number)), Ordering::Release);
    let action = SigAction::new(SigHandler::Handler(tell), SaFlags::SA_RESTART, SigSet::empty());
    for number in numbers {
        // SAFETY: `tell` calls only what is safe in a signal handler, and touches nothing but atomics and its own stack.
        unsafe { sigaction(number, &action) }?;
    }
    Ok(read)
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
            unblock().unwrap();
            let raise = |signal| nix::sys::signal::raise(signal).unwrap();
            let all = catch(&[libc::SIGUSR1, libc::SIGWINCH]).unwrap();
            let size = catch(&[libc::SIGWINCH]).unwrap();
            for signal in [Signal::SIGWINCH, Signal::SIGUSR1, Signal::SIGUSR1] {
                raise(signal);
            }
            let read = |end: &OwnedFd| {
                let mut bytes = vec![0; 1 << 20];
                let count = rustix::io::read(end, &mut bytes).unwrap();
                bytes[..count].iter().map(|byte| i32::from(*byte)).collect::<Vec<_>>()
            };
            assert_eq!(read(&all), [libc::SIGWINCH, libc::SIGUSR1, libc::SIGUSR1]);
            assert_eq!(read(&size), [libc::SIGWINCH]);
            drop(all);
            raise(Signal::SIGUSR1);
            raise(Signal::SIGWINCH);
            assert_eq!(read(&size), [libc::SIGWINCH], "who has gone is not told, and what he caught ends nobody");
            // More than the pipe holds.
            (0..100_000).for_each(|_| raise(Signal::SIGWINCH));
            assert!(read(&size).len() < 100_000);
            for wrong in [0, 64, 1000, libc::SIGKILL] {
                assert_eq!(catch(&[wrong]).unwrap_err().raw_os_error(), Some(libc::EINVAL), "{wrong}");
            }
            let _others = [catch(&[libc::SIGUSR2]).unwrap(), catch(&[libc::SIGUSR2]).unwrap()];
            assert_eq!(catch(&[libc::SIGUSR2]).unwrap_err().raw_os_error(), Some(libc::EMFILE));
            reset().unwrap();
            assert_eq!((field("SigBlk"), field("SigIgn"), field("SigCgt")), (0, 0, 0));
        })
        .join()
        .unwrap();
    }
}
