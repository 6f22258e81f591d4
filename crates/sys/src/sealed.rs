//! What nobody can change: the running program (CVE-2019-5736: nothing a container can reach is the binary on disk), and plain bytes.

use crate::mount;
use crate::overlay::Overlay;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// `MFD_EXEC` (Linux 6.3), which rustix has no name for.
const MFD_EXEC: u32 = 0x10;
/// `MFD_NOEXEC_SEAL` (Linux 6.3).
const MFD_NOEXEC_SEAL: u32 = 0x08;

/// How often a seal is tried, and the time in between.
const BUSY_TRIES: u32 = 200;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Copies `/proc/self/exe` into a memfd, seals it against every change, and returns it (close-on-exec).
pub fn self_exe() -> io::Result<OwnedFd> {
    let exe = File::open("/proc/self/exe")?;
    let memfd = executable("dhow")?;
    let mut left = exe.metadata()?.len();
    while left > 0 {
        match rustix::fs::sendfile(&memfd, &exe, None, left.min(1 << 30) as usize)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => left -= n as u64,
        }
    }
    seal(&memfd)?;
    Ok(memfd)
}

/// The name of the program's copy in a filesystem of its own.
const COPY: &str = "dhow";
/// How much of a program the kernel maps at the first touch of a page in it (`fault_around_bytes` as it comes).
const PIECE: usize = 64 * 1024;

/// Copies `/proc/self/exe` into a file system in memory, which is mounted nowhere, and read-only then: for a program that is forked often. What
/// a fork touches of it is mapped by [`PIECE`]s. The copy lies in memory in the same pieces, each of which is mapped at once, and not page
/// by page as those of a memfd (Linux 6.14; before, it is as there). The kernel never makes a huge page of them later, of which each process
/// that touches a byte would have 2 MiB mapped.
///
/// # Errors
/// The kernel has no large pages, or this process may not mount.
pub fn self_in_pieces() -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::openat(pieces()?, COPY, flags, Mode::empty())?)
}

/// The read-only filesystem with [`COPY`] in it.
fn pieces() -> io::Result<OwnedFd> {
    let memory = mount::Filesystem::open("tmpfs")?;
    // As large as a write is, while all that is written is the file's end.
    memory.string("huge", "within_size")?;
    let attributes = mount::NODEV | mount::NOSUID;
    let settings = memory.words()?;
    let root = memory.mount(attributes)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut copy = File::from(rustix::fs::openat(&root, COPY, flags, Mode::from_raw_mode(0o555))?);
    let (mut exe, mut piece) = (File::open("/proc/self/exe")?, Vec::with_capacity(PIECE));
    while (&mut exe).take(PIECE as u64).read_to_end(&mut piece)? > 0 {
        copy.write_all(&piece)?;
        piece.clear();
    }
    drop(copy);
    settings.string("huge", "never")?;
    settings.change()?;
    mount::set_attr(&root, false, mount::RDONLY | attributes, 0, None)?;
    Ok(root)
}

/// `OVERLAYFS_SUPER_MAGIC`.
const OVERLAY: u64 = 0x794c_7630;

/// The running program as a file of a read-only overlay that is mounted nowhere: whoever gets hold of it reaches a file that cannot be opened
/// for writing, whatever rights it has. Nothing is copied, and what is cached of the program is shared. `empty` is an empty directory,
/// because an overlay without an upper layer needs two lower ones; where it lies below the program's own, which the kernel does not
/// take, one in memory stands in.
///
/// # Errors
/// The program has no path any more, or this process may not mount.
pub fn self_overlay(empty: &Path) -> io::Result<OwnedFd> {
    let program = std::fs::read_link("/proc/self/exe")?;
    let (Some(dir), Some(name)) = (program.parent(), program.file_name()) else { return Err(io::ErrorKind::NotFound.into()) };
    let overlay =
        |second: &Path| Overlay { lower: vec![dir.to_owned().into(), second.to_owned().into()], upper: None, work: None, volatile: false };
    let root = if empty.starts_with(dir) {
        let memory = mount::Filesystem::open("tmpfs")?.mount(mount::RDONLY)?;
        overlay(&std::path::PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()))).mount_detached()
    } else {
        overlay(empty).mount_detached()
    }?;
    mount::set_attr(&root, false, mount::RDONLY | mount::NODEV | mount::NOSUID, 0, None)?;
    Ok(rustix::fs::openat(&root, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
}

/// Whether the running program comes from [`self_exe`] or [`self_overlay`].
pub fn is_self_sealed() -> io::Result<bool> {
    let program = rustix::fs::open("/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let needed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    if rustix::fs::fcntl_get_seals(&program).is_ok_and(|seals| seals.contains(needed)) {
        return Ok(true);
    }
    Ok(mount::magic(&program)? == OVERLAY && rustix::fs::fstatvfs(&program)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// `body` in a memfd of that name, sealed, not executable, its offset at the end.
pub fn bytes(name: &str, body: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(create(name, MFD_NOEXEC_SEAL)?);
    file.write_all(body)?;
    let memfd = OwnedFd::from(file);
    seal(&memfd)?;
    Ok(memfd)
}

/// An empty memfd of that name that may be executed once it holds a program, and can be sealed.
pub(crate) fn executable(name: &str) -> io::Result<OwnedFd> {
    create(name, MFD_EXEC)
}

fn create(name: &str, exec: u32) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create(name, flags | MemfdFlags::from_bits_retain(exec)) {
        Err(rustix::io::Errno::INVAL) => Ok(rustix::fs::memfd_create(name, flags)?),
        other => Ok(other?),
    }
}

/// Seals it against every change, this one included.
///
/// A page that the kernel moves about, or has not given back since the copy, counts as one in use: on a busy machine that can last longer than
/// the kernel itself waits.
pub(crate) fn seal(memfd: &OwnedFd) -> io::Result<()> {
    let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    for _ in 0..BUSY_TRIES {
        match rustix::fs::fcntl_add_seals(memfd, all) {
            Err(rustix::io::Errno::BUSY) => std::thread::sleep(BUSY_PAUSE),
            other => return Ok(other?),
        }
    }
    Ok(rustix::fs::fcntl_add_seals(memfd, all)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_copied_and_closed_to_change() {
        let memfd = self_exe().unwrap();
        let path = format!("/proc/self/fd/{}", memfd.as_raw_fd());
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read("/proc/self/exe").unwrap());
        let mode = rustix::fs::fstat(&memfd).unwrap().st_mode;
        assert_ne!(mode & 0o111, 0, "executable");
        let mut file = File::options().write(true).open(&path).unwrap();
        assert_eq!(file.write(b"x").unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(file.set_len(1).unwrap_err().raw_os_error(), Some(libc::EPERM));
    }

    #[test]
    fn a_copy_in_pieces_takes_no_change() {
        let fd = match self_in_pieces() {
            // A kernel may be without them.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return,
            made => made.unwrap(),
        };
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read("/proc/self/exe").unwrap());
        assert_eq!(File::options().write(true).open(&path).unwrap_err().raw_os_error(), Some(libc::EROFS));
        assert_eq!(
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap_err().raw_os_error(),
            Some(libc::EROFS)
        );
        let status = std::process::Command::new(&path).arg("--list").stdout(std::process::Stdio::null()).status().unwrap();
        assert!(status.success());
    }

    #[test]
    fn a_copy_in_pieces_stays_in_pieces() {
        let root = match pieces() {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return,
            made => made.unwrap(),
        };
        let options = std::thread::spawn(move || {
            crate::process::unshare_fs().unwrap();
            crate::process::unshare(libc::CLONE_NEWNS as u64).unwrap();
            mount::propagate_root(true, mount::Propagation::Private).unwrap();
            let target = tempfile::tempdir().unwrap();
            mount::attach(&root, rustix::fs::open(target.path(), OFlags::PATH, Mode::empty()).unwrap()).unwrap();
            let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
            mount::unmount_detach(target.path()).unwrap();
            mounts.lines().find(|line| line.contains(&target.path().display().to_string())).unwrap().to_owned()
        })
        .join()
        .unwrap();
        assert!(!options.contains("huge="), "the setting that is the default is not told: {options}");
        assert!(options.contains(" ro,"), "{options}");
    }

    #[test]
    fn an_overlay_of_the_program_takes_no_change() {
        assert!(!is_self_sealed().unwrap());
        let elsewhere = tempfile::tempdir().unwrap();
        let below = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
        for empty in [elsewhere, below] {
            takes_no_change(empty.path());
        }
    }

    fn takes_no_change(empty: &Path) {
        let fd = self_overlay(empty).unwrap();
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read("/proc/self/exe").unwrap());
        assert_eq!(File::options().write(true).open(&path).unwrap_err().raw_os_error(), Some(libc::EROFS));
        assert_eq!(
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap_err().raw_os_error(),
            Some(libc::EROFS)
        );
        assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&empty.display().to_string()));
    }

    #[test]
    fn bytes_are_kept() {
        let memfd = bytes("x", b"hello").unwrap();
        let mut got = [0; 8];
        assert_eq!(rustix::io::pread(&memfd, &mut got, 0).unwrap(), 5);
        assert!(rustix::fs::fcntl_add_seals(&memfd, SealFlags::SEAL).is_err());
    }
}
