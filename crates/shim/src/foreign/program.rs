//! One call of the runtime's program: started, waited for within a bound, its end told.

use dhow_sys::clone::{Forked, fork};
use dhow_sys::process::{self, Ended};
use dhow_sys::signal;
use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Longest that a call may take. Less than a daemon waits for the shim.
const LIMIT: Timespec = Timespec { tv_sec: 15, tv_nsec: 0 };

/// The environment of every call.
const ENVIRONMENT: &[&str] = &["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];

/// Runs `program` with these words and streams, in that mount namespace if one is given, and waits for its end. What it begets
/// comes to the caller, which has one thread, as children. An error: it could not be executed, or did not end in time and was killed.
pub(crate) fn run(program: &Path, words: &[OsString], stdio: [BorrowedFd<'_>; 3], namespace: Option<BorrowedFd<'_>>) -> io::Result<Ended> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e));
    let path = text(program.as_os_str().as_bytes())?;
    let mut args = vec![path.clone()];
    for word in words {
        args.push(text(word.as_bytes())?);
    }
    let env = ENVIRONMENT.iter().map(|entry| text(entry.as_bytes())).collect::<io::Result<Vec<_>>>()?;
    // The end of the stream tells that it is executed; before that come the reasons why not.
    let (mut reader, mut writer) = io::pipe()?;
    let Forked::Parent { pidfd, .. } = fork()? else {
        drop(reader);
        let become_it = || become_program(&path, &args, &env, stdio, namespace);
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(become_it));
        let errno = match failed {
            Ok(Err(error)) => error.raw_os_error().unwrap_or(libc::EIO),
            Ok(Ok(never)) => match never {},
            Err(_) => libc::EIO,
        };
        // Where even this cannot be said the exit code is all there is.
        let _ = writer.write_all(&errno.to_le_bytes());
        process::exit_now(127);
    };
    drop(writer);
    let mut errno = [0; 4];
    if reader.read_exact(&mut errno).is_ok() {
        process::wait(&pidfd)?;
        return Err(io::Error::from_raw_os_error(i32::from_le_bytes(errno)));
    }
    await_end(&pidfd)
}

fn await_end(pidfd: &OwnedFd) -> io::Result<Ended> {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    if rustix::io::retry_on_intr(|| poll(&mut fds, Some(&LIMIT)))? > 0 {
        return process::wait(pidfd);
    }
    process::pidfd_signal(pidfd, libc::SIGKILL)?;
    process::wait(pidfd)?;
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("it did not end within {} s", LIMIT.tv_sec)))
}

/// In the child.
fn become_program(
    path: &CString,
    args: &[CString],
    env: &[CString],
    stdio: [BorrowedFd<'_>; 3],
    namespace: Option<BorrowedFd<'_>>,
) -> io::Result<Infallible> {
    if let Some(namespace) = namespace {
        process::setns(namespace, libc::CLONE_NEWNS as u64)?;
    }
    let mut high = Vec::with_capacity(3);
    for fd in stdio {
        high.push(rustix::io::fcntl_dupfd_cloexec(fd, 3)?);
    }
    rustix::stdio::dup2_stdin(&high[0])?;
    rustix::stdio::dup2_stdout(&high[1])?;
    rustix::stdio::dup2_stderr(&high[2])?;
    process::cloexec_from(3)?;
    signal::reset()?;
    match nix::unistd::execve(path, args, env) {
        Ok(never) => match never {},
        Err(errno) => Err(io::Error::from_raw_os_error(errno as i32)),
    }
}

/// The same for a program with threads, which begets nothing that it wants to keep. Its words are in the runtime's log.
pub(crate) fn run_elsewhere(program: &Path, words: &[OsString]) -> io::Result<()> {
    let null = std::process::Stdio::null;
    let mut command = std::process::Command::new(program);
    command.args(words).env_clear().current_dir("/").stdin(null()).stdout(null()).stderr(null());
    command.envs(ENVIRONMENT.iter().filter_map(|entry| entry.split_once('=')));
    let mut child = command.spawn()?;
    let pidfd = process::pidfd_open(i32::try_from(child.id()).map_err(io::Error::other)?)?;
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    let ended = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&LIMIT)))? > 0;
    if !ended {
        child.kill()?;
    }
    let status = child.wait()?;
    if ended && status.success() { Ok(()) } else { Err(io::Error::other(format!("{}: {status}", program.display()))) }
}
