//! The name that `ps` shows.

use std::ffi::CString;
use std::io;

/// Overwrites the argument area of this process with `title` (cut to the room that the original arguments left; callers
/// that want room are started with a padded argument) and sets the thread's name (15 bytes).
///
/// For a single-threaded program that has read its arguments: afterwards they read as the title.
pub fn set(title: &str) -> io::Result<()> {
    let bytes: Vec<u8> = title.bytes().filter(|&b| b != 0).collect();
    let stat = std::fs::read("/proc/self/stat")?;
    let (start, end) = area(&stat).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc/self/stat"))?;
    let room = end.saturating_sub(start) as usize;
    if room > 1 {
        let kept = bytes.len().min(room - 1);
        // SAFETY: the kernel reports [arg_start, arg_end) as the strings of argv on this process's own stack, which is writable and
        // lives as long as the process. Exactly `room` bytes are written: the title, then zeros, so every argument that
        // somebody still points at stays terminated inside the area.
        unsafe {
            let area = std::ptr::with_exposed_provenance_mut::<u8>(start as usize);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), area, kept);
            std::ptr::write_bytes(area.add(kept), 0, room - kept);
        }
    }
    let name = CString::new(&bytes[..bytes.len().min(15)])?;
    Ok(rustix::thread::set_name(&name)?)
}

/// `arg_start` and `arg_end`, fields 48 and 49 of `/proc/PID/stat`.
fn area(stat: &[u8]) -> Option<(u64, u64)> {
    let end = stat.iter().rposition(|&b| b == b')')?;
    let text = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = text.split_whitespace().skip(45);
    let area = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (area.0 != 0 && area.1 >= area.0).then_some(area)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_shows() {
        // Under nextest every test is a process of its own; elsewhere the arguments have been read before.
        set("dhow-shim 0123456789ab").unwrap();
        let shown = std::fs::read("/proc/self/cmdline").unwrap();
        let text = String::from_utf8_lossy(&shown);
        assert!("dhow-shim 0123456789ab".starts_with(text.trim_end_matches('\0').get(..9).unwrap()), "{text:?}");
        assert_eq!(std::fs::read_to_string("/proc/thread-self/comm").unwrap().trim(), "dhow-shim 01234");
        let long = "x".repeat(1 << 16);
        set(&long).unwrap();
        assert!(std::env::args_os().count() > 0);
    }

    #[test]
    fn fields() {
        let line = format!("1 (a) b) S {}100 200 300", "0 ".repeat(44));
        assert_eq!(area(line.as_bytes()), Some((100, 200)));
        assert_eq!(area(b"1 (a) S 1 2"), None);
    }
}
