//! How the kernel schedules this thread: policy, priority of input and output, processors, and nodes of memory.

use std::io;
use std::mem::size_of;

/// What [`set`] takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// -20 to 19, for the policies of ordinary programs.
    pub nice: i32,
    /// 1 to 99, for the policies of real time.
    pub priority: u32,
    /// Nanoseconds, for the deadline policy.
    pub runtime: u64,
    /// Nanoseconds, for the deadline policy.
    pub deadline: u64,
    /// Nanoseconds, for the deadline policy.
    pub period: u64,
}

/// `struct sched_attr` up to the fields that every kernel since 3.14 has.
#[repr(C)]
struct Raw {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets this thread's policy (sched_setattr). `EPERM` without CAP_SYS_NICE, `EINVAL` for values that do not belong together.
pub fn set(attributes: Attributes) -> io::Result<()> {
    let Attributes { policy, flags, nice, priority, runtime, deadline, period } = attributes;
    let raw = Raw { size: size_of::<Raw>() as u32, policy, flags, nice, priority, runtime, deadline, period };
    // SAFETY: 0 is this thread; `raw` is initialised, has the size that it says, and the kernel reads it only.
    let ret = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const raw, 0) };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets this thread's priority for input and output: a class (1 real time, 2 best effort, 3 idle) and a level of 0 to 7.
pub fn set_io_priority(class: u16, level: u16) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    let value = libc::c_int::from(class) << 13 | libc::c_int::from(level & 0x1fff);
    // SAFETY: three numbers; 0 is this thread.
    let ret = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Room for the numbers of processors that any kernel is built for.
const WORDS: usize = 128;

/// Lets this thread run on these processors only. `EINVAL` if none of them is there, or allowed by the cgroup.
pub fn set_processors(numbers: &[u32]) -> io::Result<()> {
    let mut mask = [0_u64; WORDS];
    set_bits(&mut mask, numbers)?;
    // SAFETY: 0 is this thread; the kernel reads `mask`, of the length given in bytes.
    let ret = unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(&mask), mask.as_ptr()) };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The processors that this thread may run on.
pub fn processors() -> io::Result<Vec<u32>> {
    let mut mask = [0_u64; WORDS];
    // SAFETY: 0 is this thread; the kernel writes at most the length given in bytes into `mask`.
    let ret = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&mask), mask.as_mut_ptr()) };
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((0..(WORDS * 64) as u32).filter(|n| mask[*n as usize / 64] & (1 << (n % 64)) != 0).collect())
}

/// Room for the nodes that any kernel is built for (`MAX_NUMNODES`).
const NODE_WORDS: usize = 16;

/// Sets where this process's memory comes from (set_mempolicy): `MPOL_*` with its flags, and nodes. Survives exec.
pub fn set_memory_policy(mode: i32, nodes: &[u32]) -> io::Result<()> {
    let mut mask = [0_u64; NODE_WORDS];
    set_bits(&mut mask, nodes)?;
    // The kernel wants no mask at all from the modes that take no nodes. It counts one bit less than it is told.
    let (address, bits) = if nodes.is_empty() { (std::ptr::null(), 0) } else { (mask.as_ptr(), NODE_WORDS * 64 + 1) };
    // SAFETY: `address` is null with no bits to read, or points at as many bits (rounded up to words by the kernel after its minus one).
    let ret = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, address, bits) };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_bits(mask: &mut [u64], numbers: &[u32]) -> io::Result<()> {
    for number in numbers {
        let word = mask.get_mut(*number as usize / 64).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        *word |= 1 << (number % 64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_set_and_read() {
        std::thread::spawn(|| {
            let all = processors().unwrap();
            set_processors(&all[..1]).unwrap();
            assert_eq!(processors().unwrap(), all[..1]);
            set_processors(&all).unwrap();
            assert_eq!(set_processors(&[8000]).unwrap_err().raw_os_error(), Some(libc::EINVAL));
            assert_eq!(set_processors(&[100_000]).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn policies() {
        std::thread::spawn(|| {
            const BATCH: u32 = 3;
            set(Attributes { policy: BATCH, nice: 5, ..Attributes::default() }).unwrap();
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            // Nice is field 19, policy field 41; those after the name begin with the third.
            assert_eq!((fields[16], fields[38]), ("5", "3"));
            assert_eq!(set(Attributes { policy: 77, ..Attributes::default() }).unwrap_err().raw_os_error(), Some(libc::EINVAL));
            set_io_priority(2, 6).unwrap();
            assert_eq!(set_io_priority(7, 0).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn memory_policies() {
        std::thread::spawn(|| {
            const DEFAULT: i32 = 0;
            const BIND: i32 = 2;
            match set_memory_policy(BIND, &[0]) {
                // A kernel for machines with one node, or a filter around the tests.
                Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => return,
                other => other.unwrap(),
            }
            set_memory_policy(DEFAULT, &[]).unwrap();
            assert_eq!(set_memory_policy(BIND, &[]).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        })
        .join()
        .unwrap();
    }
}
