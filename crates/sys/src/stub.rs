//! A program of a dozen instructions, in memory and sealed: it executes another one, and tells on a descriptor if that fails.
//!
//! A process that stands in a container before the program's exec shows what it itself was executed from, at `/proc/PID/exe` and, worse, to a program
//! that is called `/proc/self/exe` (CVE-2019-5736). One that goes through this stub shows the stub, which cannot be changed and is nobody's.
//! It takes its words from its own stack as the kernel left them, so it needs neither memory nor a library:
//!
//! ```text
//! argv: PATH, word 0, word 1, …    ->    fcntl(FD, F_SETFD, FD_CLOEXEC)              or exit_group(1)
//! envp                                   execve(PATH, [word 0, word 1, …], envp)
//!                                        write(FD, errno)                            a zero, then four bytes
//!                                        exit_group(1)
//! ```
//! Executed by somebody else, later, it finds FD closed and ends at once.
//!
//! An exec in between changes nothing that the second one would not change as well (capabilities(7): what is left after one is the fixed point).

use crate::sealed;
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".pushsection .rodata.dhow_stub, \"a\"",
    ".balign 8",
    ".globl dhow_stub_begin",
    ".hidden dhow_stub_begin",
    "dhow_stub_begin:",
    "mov r12, [rsp]",
    "lea r13, [rsp + 8]",
    "lea r14, [r13 + r12 * 8 + 8]",
    "mov edi, dword ptr [rip + 3f]",
    "mov esi, 2",
    "mov edx, 1",
    "mov eax, 72",
    "syscall",
    "test eax, eax",
    "js 4f",
    "mov rdi, [r13]",
    "lea rsi, [r13 + 8]",
    "mov rdx, r14",
    "mov eax, 59",
    "syscall",
    "neg eax",
    "shl rax, 8",
    "push rax",
    "mov edi, dword ptr [rip + 3f]",
    "mov rsi, rsp",
    "mov edx, 5",
    "mov eax, 1",
    "syscall",
    "4:",
    "mov edi, 1",
    "mov eax, 231",
    "syscall",
    "ud2",
    ".balign 4",
    "3:",
    ".long 0",
    ".globl dhow_stub_end",
    ".hidden dhow_stub_end",
    "dhow_stub_end:",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".pushsection .rodata.dhow_stub, \"a\"",
    ".balign 8",
    ".globl dhow_stub_begin",
    ".hidden dhow_stub_begin",
    "dhow_stub_begin:",
    "ldr x19, [sp]",
    "add x20, sp, #8",
    "add x21, x20, x19, lsl #3",
    "add x21, x21, #8",
    "ldr w0, 3f",
    "mov x1, #2",
    "mov x2, #1",
    "mov x8, #25",
    "svc #0",
    "tbnz w0, #31, 4f",
    "ldr x0, [x20]",
    "add x1, x20, #8",
    "mov x2, x21",
    "mov x8, #221",
    "svc #0",
    "neg w0, w0",
    "lsl x0, x0, #8",
    "str x0, [sp, #-16]!",
    "ldr w0, 3f",
    "mov x1, sp",
    "mov x2, #5",
    "mov x8, #64",
    "svc #0",
    "4:",
    "mov x0, #1",
    "mov x8, #94",
    "svc #0",
    "udf #0",
    ".balign 4",
    "3:",
    ".long 0",
    ".globl dhow_stub_end",
    ".hidden dhow_stub_end",
    "dhow_stub_end:",
    ".popsection",
);

/// The system calls that executing the stub takes, and that it makes, in order, with what is known of their arguments: a filter must let them
/// pass, whatever the others are. The last two come after a failure only.
pub const CALLS: [(&str, [Option<u64>; 6]); 5] = [
    ("execveat", [None, None, None, None, Some(libc::AT_EMPTY_PATH as u64), None]),
    ("fcntl", [None, Some(libc::F_SETFD as u64), Some(libc::FD_CLOEXEC as u64), None, None, None]),
    ("execve", [None; 6]),
    ("write", [None, None, Some(5), None, None, None]),
    ("exit_group", [Some(1), None, None, None, None, None]),
];

/// Where its first byte is loaded: above what any kernel lets nobody map.
const BASE: u64 = 0x40_0000;
const EHDR: u16 = 64;
const PHDR: u16 = 56;

/// The instructions, and after them the place of the descriptor's number.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn code() -> io::Result<&'static [u8]> {
    unsafe extern "C" {
        static dhow_stub_begin: u8;
        static dhow_stub_end: u8;
    }
    let (begin, end) = (&raw const dhow_stub_begin, &raw const dhow_stub_end);
    // SAFETY: both labels stand in the one piece that is assembled above into read-only data, which is never freed or written; every byte
    // from the first to the second is initialised.
    Ok(unsafe { std::slice::from_raw_parts(begin, end as usize - begin as usize) })
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn code() -> io::Result<&'static [u8]> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The file: an ELF executable (System V ABI, chapter 4) of one segment that can be read and executed, and a stack that cannot be executed.
fn image(code: &[u8], report: i32) -> Vec<u8> {
    let machine: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    let header = u64::from(EHDR + 2 * PHDR);
    let size = header + code.len() as u64;
    let mut image = Vec::with_capacity(size as usize);
    image.extend(*b"\x7fELF\x02\x01\x01");
    image.resize(16, 0);
    let half = |image: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|value| image.extend(value.to_le_bytes()));
    let word = |image: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|value| image.extend(value.to_le_bytes()));
    let long = |image: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|value| image.extend(value.to_le_bytes()));
    // ET_EXEC; version; entry, program headers, no sections; flags; sizes.
    half(&mut image, &[2, machine]);
    word(&mut image, &[1]);
    long(&mut image, &[BASE + header, EHDR.into(), 0]);
    word(&mut image, &[0]);
    half(&mut image, &[EHDR, PHDR, 2, 0, 0, 0]);
    // PT_LOAD, read and execute: offset, both addresses, both sizes, alignment.
    word(&mut image, &[1, 5]);
    long(&mut image, &[0, BASE, BASE, size, size, 0x1_0000]);
    // PT_GNU_STACK, read and write.
    word(&mut image, &[0x6474_e551, 6]);
    long(&mut image, &[0, 0, 0, 0, 0, 16]);
    image.extend(code);
    let end = image.len();
    image[end - 4..].copy_from_slice(&report.to_le_bytes());
    image
}

/// The stub. It can be executed once it is [sealed](Stub::seal).
#[derive(Debug)]
pub struct Stub(OwnedFd);

impl Stub {
    /// Room for one.
    ///
    /// # Errors
    /// `Unsupported`: not for this architecture. `EACCES`: this system lets nobody execute what is in memory (`vm.memfd_noexec`).
    pub fn new() -> io::Result<Self> {
        code()?;
        Ok(Self(sealed::executable("stub")?))
    }

    /// Writes it, and seals it against every change. `report` is the descriptor, by its number in the process that will execute it.
    pub fn seal(&self, report: BorrowedFd<'_>) -> io::Result<()> {
        let mut file = File::from(self.0.try_clone()?);
        file.write_all(&image(code()?, report.as_raw_fd()))?;
        sealed::seal(&self.0)
    }

    /// Executes it, and through it `path`. `report` is the descriptor that it was sealed for. Returns only with what the kernel said to
    /// the stub itself.
    pub fn exec(&self, path: &CStr, words: &[impl AsRef<CStr>], env: &[impl AsRef<CStr>], report: BorrowedFd<'_>) -> io::Error {
        if let Err(error) = rustix::io::fcntl_setfd(report, rustix::io::FdFlags::empty()) {
            return error.into();
        }
        let words: Vec<&CStr> = std::iter::once(path).chain(words.iter().map(AsRef::as_ref)).collect();
        let env: Vec<&CStr> = env.iter().map(AsRef::as_ref).collect();
        match nix::unistd::fexecve(&self.0, &words, &env) {
            Ok(never) => match never {},
            Err(errno) => Errno::from_raw_os_error(errno as i32).into(),
        }
    }
}

/// The error that a stub tells by `packet` (as [`fdpass::recv`](crate::fdpass::recv) returns it), if that is what one says.
pub fn refusal(packet: &[u8]) -> Option<i32> {
    Some(i32::from_ne_bytes(packet.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fdpass;
    use std::os::fd::AsFd;
    use std::os::unix::process::CommandExt;

    /// How a process ends that goes through a stub, and what it tells.
    fn through(path: &CStr, words: &[&CStr], env: &[&CStr]) -> (i32, Option<i32>) {
        let (ours, theirs) = fdpass::pair().unwrap();
        let stub = Stub::new().unwrap();
        stub.seal(theirs.as_fd()).unwrap();
        let copies = |list: &[&CStr]| list.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        let (path, words, env) = (path.to_owned(), copies(words), copies(env));
        let mut command = std::process::Command::new("/nowhere");
        // SAFETY: the closure runs in a forked copy of this process; it makes system calls and allocates, which glibc allows after its own fork.
        // What it borrows is its own.
        unsafe { command.pre_exec(move || Err(stub.exec(&path, &words, &env, theirs.as_fd()))) };
        let mut child = command.spawn().unwrap();
        drop(command);
        let told = fdpass::recv(&ours).unwrap().map(|(packet, _)| refusal(&packet).unwrap());
        (child.wait().unwrap().code().unwrap(), told)
    }

    #[test]
    fn words_and_environment_arrive() {
        let test = c"test \"$0 $1 $#\" = 'zero one two 2' && test \"$A\" = b";
        let words = [c"anything", c"-c", test, c"zero", c"one two", c""];
        assert_eq!(through(c"/bin/sh", &words, &[c"A=b", c"C="]), (0, None));
        assert_eq!(through(c"/bin/sh", &[c"sh", c"-c", c"exit 7"], &[]), (7, None));
    }

    #[test]
    fn what_the_kernel_refuses_is_told() {
        assert_eq!(through(c"/nowhere", &[c"x"], &[]), (1, Some(libc::ENOENT)));
        assert_eq!(through(c"/etc/passwd", &[c"x"], &[]), (1, Some(libc::EACCES)));
        assert_eq!(through(c"/", &[c"x"], &[]), (1, Some(libc::EACCES)));
    }

    #[test]
    fn the_program_inherits_neither_stub_nor_report() {
        let open = c"for fd in /proc/self/fd/*; do case $(readlink $fd) in *stub*|*socket*) exit 5;; esac; done";
        assert_eq!(through(c"/bin/sh", &[c"sh", c"-c", open], &[c"PATH=/bin:/usr/bin"]), (0, None));
    }

    #[test]
    fn a_program_that_is_called_as_oneself_finds_the_stub() {
        assert_eq!(through(c"/proc/self/exe", &[c"/proc/self/exe", c"/bin/true"], &[]), (1, None));
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("x");
        std::fs::write(&script, "#!/proc/self/exe\n").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let script = std::ffi::CString::new(script.into_os_string().into_encoded_bytes()).unwrap();
        assert_eq!(through(&script, &[c"x"], &[]), (1, None));
    }

    #[test]
    fn nobody_changes_it() {
        let (_ours, theirs) = fdpass::pair().unwrap();
        let stub = Stub::new().unwrap();
        stub.seal(theirs.as_fd()).unwrap();
        let path = format!("/proc/self/fd/{}", stub.0.as_raw_fd());
        let mut file = File::options().write(true).open(&path).unwrap();
        assert_eq!(file.write(b"x").unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(file.set_len(1).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert!(std::fs::read(&path).unwrap().starts_with(b"\x7fELF"));
    }
}
