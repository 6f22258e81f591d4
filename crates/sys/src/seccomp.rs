//! Loading a seccomp filter.

use std::io;

/// Loads a classic-BPF program, given as `(code, jt, jf, k)`, into the calling thread with `SECCOMP_FILTER_FLAG_*` flags.
///
/// Needs no_new_privs or CAP_SYS_ADMIN (`EACCES` otherwise). `EINVAL`: the kernel does not take the program, or a flag.
/// Flags that return a descriptor or a thread id instead of 0 (`NEW_LISTENER`, `TSYNC`) are refused with `EINVAL`.
pub fn load(program: &[(u16, u8, u8, u32)], flags: u32) -> io::Result<()> {
    const REFUSED: u32 = (libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_TSYNC) as u32;
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    if flags & REFUSED != 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut filter: Vec<libc::sock_filter> = program.iter().map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k }).collect();
    let fprog = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    // SAFETY: `fprog` points at `length` initialised instructions in `filter`; the kernel copies them and writes nothing back.
    let ret = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const fprog) };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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
