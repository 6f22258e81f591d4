//! Finding the program and executing it; the environment it gets.

use crate::error::{Failure, Kind, Result, Step, describe};
use crate::path::{self, Links};
use crate::procplan::ProcessPlan;
use dhow_sys::stub::Stub;
use rustix::fs::{Access, AtFlags, CWD, FileType, OFlags};
use rustix::io::Errno;
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::path::Path;

/// A container's passwd file is read up to this size.
const PASSWD_MAX: u64 = 1 << 20;

/// What is executed, with which environment.
#[derive(Debug)]
pub(crate) struct Program {
    path: CString,
    env: Vec<CString>,
}

/// The specification's environment, with HOME from the container's passwd file where it is missing or empty.
pub(crate) fn environment(root: BorrowedFd<'_>, plan: &ProcessPlan) -> Vec<CString> {
    let mut env = plan.env.clone();
    let has_home = env.iter().any(|entry| entry.as_bytes().strip_prefix(b"HOME=").is_some_and(|home| !home.is_empty()));
    if !has_home {
        env.retain(|entry| !entry.as_bytes().starts_with(b"HOME="));
        let home = read_passwd(root).ok().and_then(|passwd| home_of(&passwd, plan.uid)).unwrap_or_else(|| b"/".to_vec());
        let mut entry = b"HOME=".to_vec();
        entry.extend(home);
        env.extend(CString::new(entry));
    }
    env
}

/// A container may put anything in this place, a FIFO too: nothing is waited for, only a regular file of moderate size is read,
/// and no link is followed.
fn read_passwd(root: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let place = path::open(root, Path::new("/etc/passwd"), OFlags::PATH | OFlags::NOFOLLOW, Links::Follow)?;
    let regular =
        |fd: &std::os::fd::OwnedFd| Ok::<_, io::Error>(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::RegularFile);
    if !regular(&place)? {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let file = path::open(root, Path::new("/etc/passwd"), flags, Links::Follow)?;
    if !regular(&file)? {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut text = Vec::new();
    std::fs::File::from(file).take(PASSWD_MAX).read_to_end(&mut text)?;
    Ok(text)
}

/// The sixth field of the line with that uid.
fn home_of(passwd: &[u8], uid: u32) -> Option<Vec<u8>> {
    let uid = uid.to_string();
    passwd.split(|&b| b == b'\n').find_map(|line| {
        let mut fields = line.split(|&b| b == b':').skip(2);
        (fields.next()? == uid.as_bytes()).then_some(())?;
        let home = fields.nth(2)?;
        (!home.is_empty() && !home.contains(&0)).then(|| home.to_vec())
    })
}

/// Finds the program as the user that the process now is.
pub(crate) fn find(plan: &ProcessPlan, env: Vec<CString>) -> Result<Program> {
    let name = plan.args[0].as_c_str();
    let bytes = name.to_bytes();
    if bytes.contains(&b'/') {
        return match executable(name) {
            Ok(()) => Ok(Program { path: name.to_owned(), env }),
            Err(e) => Err(failure(words(name), Context::Lookup, e)),
        };
    }
    let search = env.iter().find_map(|entry| entry.to_bytes().strip_prefix(b"PATH=")).unwrap_or_default().to_vec();
    for dir in search.split(|&b| b == b':').filter(|_| !bytes.is_empty()) {
        // Only absolute entries: a program in the working directory is not found by accident.
        if !dir.starts_with(b"/") {
            continue;
        }
        let candidate = CString::new([dir, b"/", bytes].concat());
        if let Ok(candidate) = candidate
            && executable(&candidate).is_ok()
        {
            return Ok(Program { path: candidate, env });
        }
    }
    Err(Failure::new(Step::Exec, name.to_string_lossy(), Kind::NotFound, "executable file not found in $PATH"))
}

/// A regular file that the user may execute.
fn executable(path: &CStr) -> std::result::Result<(), Errno> {
    let stat = rustix::fs::statat(CWD, path, AtFlags::empty())?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => return Err(Errno::ISDIR),
        FileType::RegularFile if stat.st_mode & 0o111 != 0 => {}
        _ => return Err(Errno::ACCESS),
    }
    match rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        // Before Linux 5.8 there is no such call: the exec itself will tell.
        Err(Errno::NOSYS) => Ok(()),
        other => other,
    }
}

fn words(path: &CStr) -> String {
    path.to_string_lossy().into_owned()
}

impl Program {
    /// Its path, for people.
    pub(crate) fn words(&self) -> String {
        words(&self.path)
    }

    /// Executes it by way of `stub`, which says on `report` how it goes on; returns only with a failure of the stub's own.
    pub(crate) fn exec_through(&self, stub: &Stub, plan: &ProcessPlan, report: BorrowedFd<'_>) -> Result<Infallible> {
        Err(Failure::io(Step::Exec, "stub", stub.exec(&self.path, &plan.args, &self.env, report)))
    }

    /// Executes; returns only with a failure.
    pub(crate) fn exec(&self, plan: &ProcessPlan) -> Result<Infallible> {
        match nix::unistd::execve(&self.path, &plan.args, &self.env) {
            Ok(never) => match never {},
            Err(e) => Err(failure(self.words(), Context::Exec, Errno::from_raw_os_error(e as i32))),
        }
    }
}

/// What it means that a stub could not execute the program at `path`.
pub(crate) fn refused(path: String, errno: i32) -> Failure {
    failure(path, Context::Exec, Errno::from_raw_os_error(errno))
}

/// Who said no: the search for the program, or its execution.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    Lookup,
    Exec,
}

fn failure(name: String, context: Context, errno: Errno) -> Failure {
    let words = describe(&errno.into());
    let (kind, message) = match (errno, context) {
        (Errno::NOENT | Errno::NOTDIR, Context::Lookup) => (Kind::NotFound, format!("stat {name}: {words}")),
        // The file is there: its interpreter is not.
        (Errno::NOENT | Errno::NOTDIR, Context::Exec) => (Kind::NotFound, words),
        (Errno::ISDIR, _) => (Kind::IsDirectory, words),
        (Errno::ACCESS | Errno::PERM | Errno::NOEXEC | Errno::TXTBSY, _) => (Kind::NotExecutable, words),
        _ => (Kind::Other, words),
    };
    Failure { step: Step::Exec, object: name, kind, errno: errno.raw_os_error(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn homes() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nbad\n:::\nu:x:1000:1000::/home/u:/bin/sh\nn:x:7:7:::\n";
        for (uid, home) in [(0, Some("/root")), (1000, Some("/home/u")), (7, None), (8, None)] {
            assert_eq!(home_of(passwd, uid), home.map(|h| h.as_bytes().to_vec()));
        }
    }

    #[test]
    fn class_11_a_fifo_for_a_passwd_file_stops_nobody() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let root = dhow_sys::mount::open_path(dir.path()).unwrap();
        let passwd = dir.path().join("etc/passwd");
        rustix::fs::mknodat(CWD, &passwd, FileType::Fifo, 0o644.into(), 0).unwrap();
        assert!(read_passwd(root.as_fd()).is_err());
        std::fs::remove_file(&passwd).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &passwd).unwrap();
        assert!(read_passwd(root.as_fd()).is_err());
        std::fs::remove_file(&passwd).unwrap();
        std::fs::write(&passwd, "x:x:5:5::/five:").unwrap();
        assert_eq!(home_of(&read_passwd(root.as_fd()).unwrap(), 5).unwrap(), b"/five");
    }

    #[test]
    fn failures_have_runcs_words() {
        let of = |path: &CStr| failure(words(path), Context::Lookup, executable(path).unwrap_err());
        let missing = of(c"/nope");
        assert_eq!((missing.kind, missing.message.as_str()), (Kind::NotFound, "stat /nope: no such file or directory"));
        let dir = of(c"/tmp");
        assert_eq!((dir.kind, dir.message.as_str()), (Kind::IsDirectory, "is a directory"));
        let plain = of(c"/etc/passwd");
        assert_eq!((plain.kind, plain.message.as_str()), (Kind::NotExecutable, "permission denied"));
    }
}
