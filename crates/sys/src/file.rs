//! Calls on open files, most of which no library has in a safe form.

use rustix::fs::IFlags;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Has the kernel write out a range of a file, and waits until it is written. Not a sync: what is needed to find the bytes again, and what the
/// disk itself keeps in memory, may be lost yet. `offset` and `length` are bytes.
pub fn write_out(file: impl AsFd, offset: u64, length: u64) -> io::Result<()> {
    const ALL: u32 = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    let invalid = |_| io::Error::from_raw_os_error(libc::EINVAL);
    let (offset, length) = (i64::try_from(offset).map_err(invalid)?, i64::try_from(length).map_err(invalid)?);
    // SAFETY: the descriptor is borrowed for the call, and the call takes numbers only.
    let ret = unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), offset, length, ALL) };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Bytes that are written out before it is asked again whether a file has a name.
const PIECE: u64 = 16 << 20;

/// Syncs a file's content. One that loses its last name meanwhile is let go of: its space would not be given back before.
pub fn sync(file: impl AsFd) -> io::Result<()> {
    let mut offset = 0;
    loop {
        let stat = rustix::fs::fstat(&file)?;
        if stat.st_nlink == 0 {
            return Ok(());
        }
        if i64::try_from(offset).is_ok_and(|offset| offset >= stat.st_size) {
            return Ok(rustix::fs::fdatasync(&file)?);
        }
        write_out(&file, offset, PIECE)?;
        offset += PIECE;
    }
}

/// `FS_IOC_GETFSUUID`: direction, size, type and number as the kernel packs them.
const GET_FS_UUID: u64 = 0x8011_1500;

/// The id that a filesystem was made with (Linux 6.9). The descriptor must be of an opened file, not O_PATH. `ENOTTY` where there is none.
pub fn filesystem_uuid(file: impl AsFd) -> io::Result<[u8; 16]> {
    // `struct fsuuid2`: the length, and the bytes.
    let mut answer = [0u8; 17];
    // SAFETY: the descriptor is borrowed for the call; the kernel writes at most the 17 bytes that the request's number says.
    let ret = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), GET_FS_UUID as _, answer.as_mut_ptr()) };
    if ret != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&answer[1..]);
    Ok(uuid)
}

/// Says of a directory that those which are made in it have nothing in common: ext4 gives each a place of its own on the disk then, as it does with
/// those of a filesystem's root (chattr(1), `T`). `false` where the filesystem has no such word.
///
/// # Errors
/// The directory's flags cannot be changed.
pub fn spread(dir: impl AsFd) -> io::Result<bool> {
    let done = rustix::fs::ioctl_getflags(&dir).and_then(|flags| match flags.contains(IFlags::TOPDIR) {
        true => Ok(()),
        false => rustix::fs::ioctl_setflags(&dir, flags | IFlags::TOPDIR),
    });
    match done {
        Ok(()) => Ok(true),
        // That is NOTTY where a filesystem has no flags at all, and INVAL where it has others.
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_directory_says_that_its_own_are_strangers() {
        const EXT4: u64 = 0xef53;
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::open(dir.path()).unwrap();
        let done = spread(&file).unwrap();
        // Once more is nothing.
        assert_eq!(spread(&file).unwrap(), done);
        assert_eq!(rustix::fs::ioctl_getflags(&file).is_ok_and(|flags| flags.contains(IFlags::TOPDIR)), done);
        assert!(done || rustix::fs::fstatfs(&file).unwrap().f_type as u64 != EXT4);
        assert!(!spread(std::fs::File::open("/proc/self").unwrap()).unwrap());
        assert!(!spread(std::fs::File::open("/dev/shm").unwrap()).unwrap());
    }

    #[test]
    fn bytes_are_written_out() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 10_000]).unwrap();
        write_out(&file, 0, 10_000).unwrap();
        assert!(write_out(&file, u64::MAX, 1).is_err());
        assert!(write_out(std::io::pipe().unwrap().0, 0, 1).is_err());
    }

    #[test]
    fn files_with_and_without_a_name_are_synced() {
        let mut named = tempfile::NamedTempFile::new().unwrap();
        named.write_all(&vec![1; 20_000_000]).unwrap();
        sync(named.as_file()).unwrap();
        sync(tempfile::tempfile().unwrap()).unwrap();
        assert!(sync(std::io::pipe().unwrap().0).is_err());
    }

    #[test]
    fn a_filesystem_without_an_id() {
        assert!(filesystem_uuid(std::fs::File::open("/proc").unwrap()).is_err());
    }
}
