//! Calls on open files that no library has in a safe form.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Has the kernel begin to write out a range of a file, and waits for nothing. `offset` and `length` are bytes.
pub fn begin_writeback(file: impl AsFd, offset: u64, length: u64) -> io::Result<()> {
    let invalid = |_| io::Error::from_raw_os_error(libc::EINVAL);
    let (offset, length) = (i64::try_from(offset).map_err(invalid)?, i64::try_from(length).map_err(invalid)?);
    // SAFETY: the descriptor is borrowed for the call, and the call takes numbers only.
    let ret = unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn write_back_begins() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 10_000]).unwrap();
        begin_writeback(&file, 0, 10_000).unwrap();
        assert!(begin_writeback(&file, u64::MAX, 1).is_err());
        assert!(begin_writeback(std::io::pipe().unwrap().0, 0, 1).is_err());
    }

    #[test]
    fn a_filesystem_without_an_id() {
        assert!(filesystem_uuid(std::fs::File::open("/proc").unwrap()).is_err());
    }
}
