//! Loading a seccomp filter.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Loads a classic-BPF program, given as `(code, jt, jf, k)`, into the calling thread with `SECCOMP_FILTER_FLAG_*` flags.
///
/// Needs no_new_privs or CAP_SYS_ADMIN (`EACCES` otherwise). `EINVAL`: the kernel does not take the program, or a flag.
/// Flags that return a descriptor or a thread id instead of 0 (`NEW_LISTENER`, `TSYNC`) are refused with `EINVAL`.
pub fn load(program: &[(u16, u8, u8, u32)], flags: u32) -> io::Result<()> {
    const REFUSED: u32 = (libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_TSYNC) as u32;
    if flags & REFUSED != 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    install(program, flags).map(drop)
}

/// As [`load`], with a listener: the descriptor on which the calls that the filter hands to somebody else are told. It is close-on-exec.
pub fn load_with_listener(program: &[(u16, u8, u8, u32)], flags: u32) -> io::Result<OwnedFd> {
    if flags & libc::SECCOMP_FILTER_FLAG_TSYNC as u32 != 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let fd = install(program, flags | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32)?;
    // SAFETY: the call succeeded with NEW_LISTENER, so its answer is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes the next call from a listener and lets it fail with that error. Waits until there is one.
pub fn refuse_next(listener: impl AsFd, errno: i32) -> io::Result<()> {
    // SAFETY: plain data for which all zeros is a value; the kernel wants the first one so.
    let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    let fd = listener.as_fd().as_raw_fd();
    // SAFETY: SECCOMP_IOCTL_NOTIF_RECV writes one seccomp_notif, which `call` is.
    if unsafe { libc::ioctl(fd, RECV, &raw mut call) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let answer = libc::seccomp_notif_resp { id: call.id, val: 0, error: -errno, flags: 0 };
    // SAFETY: SECCOMP_IOCTL_NOTIF_SEND reads one seccomp_notif_resp, which `answer` is.
    if unsafe { libc::ioctl(fd, SEND, &raw const answer) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `_IOWR('!', 0, struct seccomp_notif)` and `_IOWR('!', 1, struct seccomp_notif_resp)`.
const RECV: libc::Ioctl = 0xc050_2100_u32 as libc::Ioctl;
const SEND: libc::Ioctl = 0xc018_2101_u32 as libc::Ioctl;

fn install(program: &[(u16, u8, u8, u32)], flags: u32) -> io::Result<i32> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let mut filter: Vec<libc::sock_filter> = program.iter().map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k }).collect();
    let fprog = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    // SAFETY: `fprog` points at `length` initialised instructions in `filter`; the kernel copies them and writes nothing back.
    let ret = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const fprog) };
    if ret >= 0 { Ok(ret as i32) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RET_ALLOW: (u16, u8, u8, u32) = (0x06, 0, 0, 0x7fff_0000);

    #[test]
    fn a_program_is_loaded_into_this_thread() {
        std::thread::spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            // getppid answers EPERM, all else is allowed.
            let program =
                [(0x20, 0, 0, 0), (0x15, 0, 1, libc::SYS_getppid as u32), (0x06, 0, 0, 0x0005_0000 | libc::EPERM as u32), RET_ALLOW];
            load(&program, 0).unwrap();
            // SAFETY: getppid takes nothing.
            assert_eq!(unsafe { libc::syscall(libc::SYS_getppid) }, -1);
            assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::EPERM));
        })
        .join()
        .unwrap();
        assert!(rustix::process::getppid().is_some(), "other threads are untouched");
    }

    #[test]
    fn a_listener_is_a_descriptor() {
        std::thread::spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            let fd = load_with_listener(&[RET_ALLOW], 0).unwrap();
            assert!(rustix::io::fcntl_getfd(&fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
            // A thread has one at most.
            assert_eq!(load_with_listener(&[RET_ALLOW], 0).unwrap_err().raw_os_error(), Some(libc::EBUSY));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn bad_programs() {
        for (program, flags) in [
            (vec![], 0),
            (vec![(0xffff, 0, 0, 0)], 0),
            (vec![RET_ALLOW], libc::SECCOMP_FILTER_FLAG_TSYNC as u32),
            (vec![RET_ALLOW; 70_000], 0),
        ] {
            assert_eq!(load(&program, flags).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
    }
}
