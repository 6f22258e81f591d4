//! A tree with everything odd that a layer can hold.

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

/// Makes it.
pub(crate) fn make(root: &Path) {
    let at = |name: &str| root.join(name);
    for (name, mode) in [("usr", 0o755), ("usr/bin", 0o755), ("tmp", 0o1777), ("shared", 0o2775), ("closed", 0o000), ("empty", 0o700)] {
        fs::create_dir(at(name)).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    for (name, size) in [("none", 0), ("one", 1), ("block", 512), ("more", 513), ("page", 4096), ("odd", 70_001)] {
        fs::write(at(name), (0..size).map(|n: u32| (n % 251) as u8 + 1).collect::<Vec<_>>()).unwrap();
    }
    for (name, mode) in [("usr/bin/setuid", 0o4755), ("usr/bin/both", 0o6711), ("unreadable", 0o000)] {
        fs::write(at(name), name).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let long = "l".repeat(255);
    fs::create_dir_all(at(&format!("deep/{}", "directory/".repeat(40)))).unwrap();
    fs::write(at(&format!("deep/{}{long}", "directory/".repeat(40))), "far down").unwrap();
    fs::write(at("with spaces, ünïcode, \"quotes\" and a\nline"), "x").unwrap();
    fs::hard_link(at("odd"), at("usr/second")).unwrap();
    fs::hard_link(at("odd"), at(&format!("usr/{long}"))).unwrap();
    for (name, target) in [("absolute", "/usr/bin"), ("relative", "../../up"), ("dangling", "nowhere")] {
        symlink(target, at(name)).unwrap();
    }
    symlink("t/".repeat(2000), at("long link")).unwrap();
    fs::hard_link(at("dangling"), at("dangling2")).unwrap();
    let node = |name: &str, kind, device| rustix::fs::mknodat(CWD, at(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
    node("pipe", FileType::Fifo, 0);
    node("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node("disk", FileType::BlockDevice, rustix::fs::makedev(259, 70_000));
    holes(root);
    let set = |name: &str, key: &str, value: &[u8]| rustix::fs::setxattr(at(name), key, value, XattrFlags::empty()).unwrap();
    set("usr/bin/both", "security.capability", &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    set("one", "user.note", b"with\nlines and = signs");
    set("shared", "user.note", b"of a directory");
    owners_and_times(root);
}

fn holes(root: &Path) {
    let file = |name: &str, size: u64, pieces: &[(u64, &[u8])]| {
        let file = fs::File::create(root.join(name)).unwrap();
        file.set_len(size).unwrap();
        for (offset, bytes) in pieces {
            file.write_all_at(bytes, *offset).unwrap();
        }
    };
    file("all hole", 1 << 30, &[]);
    file("hole first", 1 << 20, &[((1 << 20) - 10, b"0123456789")]);
    file("hole last", 1 << 20, &[(0, &[7; 5000])]);
    file("many", 1 << 22, &[(4096, &[1; 4096]), (65_536, &[2; 100]), (200_000, &[3; 60_000]), (4_000_000, b"x")]);
    file("huge", 1 << 33, &[(1 << 32, b"in the middle"), ((1 << 33) - 1, b"z")]);
}

fn owners_and_times(root: &Path) {
    let mut all = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        if path.symlink_metadata().unwrap().is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        all.push(path);
    }
    all.sort();
    // Children before parents: nothing changes a directory's time afterwards.
    for (n, path) in all.iter().enumerate().rev() {
        let n = u32::try_from(n).unwrap();
        let meta = path.symlink_metadata().unwrap();
        if n % 5 == 1 && meta.permissions().mode() & 0o6000 == 0 {
            std::os::unix::fs::lchown(path, Some(n), Some(3_000_000 + n)).unwrap();
        }
        let seconds = [1_700_000_000, 1, 0, 4_000_000_000_i64][n as usize % 4];
        let time = rustix::fs::Timespec { tv_sec: seconds + i64::from(n), tv_nsec: i64::from(n) * 1_234_567 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}
