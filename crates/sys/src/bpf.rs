//! Device programs of a cgroup v2 directory: load, attach, list, detach.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// More than a cgroup can hold (the kernel's own bound is 64).
const MOST_PROGRAMS: usize = 64;

/// One eBPF instruction as the kernel reads it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Class, operation and source.
    pub code: u8,
    /// Destination register in the low four bits, source register in the high ones (little-endian machines).
    pub registers: u8,
    /// Jump or memory offset.
    pub offset: i16,
    /// Constant.
    pub immediate: i32,
}

/// The part of `union bpf_attr` that loading needs.
#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct IdAttr {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// Loads a program that decides over device accesses. `EACCES` or `EINVAL`: the verifier refused it.
pub fn load_device_program(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    match load(instructions) {
        // Before Linux 5.11 programs were counted as locked memory, of which there is little by default.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => with_locked_memory(|| load(instructions)),
        other => other,
    }
}

fn load(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let license = c"Apache-2.0";
    let mut attr = LoadAttr {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(instructions.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        ..LoadAttr::default()
    };
    // SAFETY: `attr` lives across the call; its pointers lead to `instructions`, as long as `count` says, and to a
    // terminated string; the kernel only reads them (no log buffer is given).
    let fd = unsafe { bpf(PROG_LOAD, &mut attr) }?;
    // SAFETY: the call succeeded, so `fd` is a new descriptor (close-on-exec by the kernel) that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn with_locked_memory<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let before = getrlimit(Resource::Memlock);
    setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None })?;
    let result = work();
    setrlimit(Resource::Memlock, before)?;
    result
}

/// Adds a program to a cgroup v2 directory, beside those that are there: an access needs the consent of all.
pub fn attach_device_program(cgroup: impl AsFd, program: impl AsFd) -> io::Result<()> {
    let mut attr = AttachAttr {
        target: cgroup.as_fd().as_raw_fd() as u32,
        program: program.as_fd().as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: `attr` lives across the call, holds no pointers, and both descriptors are borrowed for its length.
    unsafe { bpf(PROG_ATTACH, &mut attr) }.map(drop)
}

/// Takes a program off a cgroup again.
pub fn detach_device_program(cgroup: impl AsFd, program: impl AsFd) -> io::Result<()> {
    let mut attr = AttachAttr {
        target: cgroup.as_fd().as_raw_fd() as u32,
        program: program.as_fd().as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: 0,
    };
    // SAFETY: as for attaching.
    unsafe { bpf(PROG_DETACH, &mut attr) }.map(drop)
}

/// The device programs of a cgroup itself, not of those above it.
pub fn device_programs(cgroup: impl AsFd) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0u32; MOST_PROGRAMS];
    let mut attr = QueryAttr {
        target: cgroup.as_fd().as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        ids: ids.as_mut_ptr() as u64,
        count: MOST_PROGRAMS as u32,
        ..QueryAttr::default()
    };
    // SAFETY: `attr` and `ids` live across the call; the kernel writes at most `count` numbers to `ids`.
    unsafe { bpf(PROG_QUERY, &mut attr) }?;
    let count = (attr.count as usize).min(MOST_PROGRAMS);
    ids[..count].iter().map(|&id| program_by_id(id)).collect()
}

fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = IdAttr { id, ..IdAttr::default() };
    // SAFETY: `attr` lives across the call and holds no pointers.
    let fd = unsafe { bpf(PROG_GET_FD_BY_ID, &mut attr) }?;
    // SAFETY: the call succeeded, so `fd` is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// # Safety
/// `attr` must be the structure that `command` takes, and every pointer in it must be valid for what the command does.
unsafe fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<i32> {
    // SAFETY: the size is that of `attr`, which is exclusively borrowed; the rest is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `return 1`.
    const ALLOW_ALL: [Instruction; 2] = [
        Instruction { code: 0xb7, registers: 0, offset: 0, immediate: 1 },
        Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 },
    ];

    #[test]
    fn a_program_is_attached_listed_and_detached() {
        let Some(root) =
            ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().find(|root| std::path::Path::new(root).join("cgroup.procs").exists())
        else {
            eprintln!("skipped: no cgroup v2 hierarchy");
            return;
        };
        let dir = format!("{root}/dhow-bpf-test-{}", std::process::id());
        std::fs::create_dir(&dir).unwrap();
        let cgroup = std::fs::File::open(&dir).unwrap();
        let result = (|| {
            assert_eq!(device_programs(&cgroup)?.len(), 0);
            let program = load_device_program(&ALLOW_ALL)?;
            attach_device_program(&cgroup, &program)?;
            let found = device_programs(&cgroup)?;
            assert_eq!(found.len(), 1);
            detach_device_program(&cgroup, &found[0])?;
            assert_eq!(device_programs(&cgroup)?.len(), 0);
            io::Result::Ok(())
        })();
        std::fs::remove_dir(&dir).unwrap();
        result.unwrap();
    }

    #[test]
    fn a_program_that_reads_nowhere_is_refused() {
        let bad = [Instruction { code: 0x61, registers: 0x30, offset: 0, immediate: 0 }, ALLOW_ALL[1]];
        assert!(load_device_program(&bad).is_err());
    }
}
