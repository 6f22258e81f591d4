//! A tree as text: a line for each name, with everything that a program could see of it.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Every name below a directory in order, with its attributes; what is mounted there is not entered. `nanos` false leaves out parts of seconds, which some archives do not have.
pub(crate) fn listing(root: &OwnedFd, nanos: bool) -> Vec<String> {
    let top = openat(root, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let stat = statat(&top, "", AtFlags::EMPTY_PATH).unwrap();
    let mut listing = Listing { nanos, device: stat.st_dev, lines: Vec::new(), first: BTreeMap::new() };
    listing.line("/", &top, b".", &stat);
    listing.directory(&top, "");
    listing.lines
}

struct Listing {
    nanos: bool,
    device: u64,
    lines: Vec<String>,
    /// The first name of inodes that have several.
    first: BTreeMap<(u64, u64), String>,
}

impl Listing {
    fn directory(&mut self, dir: &OwnedFd, path: &str) {
        let mut names: Vec<Vec<u8>> = Dir::read_from(dir).unwrap().map(|entry| entry.unwrap().file_name().to_bytes().to_vec()).collect();
        names.retain(|name| !matches!(&name[..], b"." | b".."));
        names.sort();
        for name in names {
            let at = format!("{path}/{}", name.escape_ascii());
            let stat = statat(dir, &name[..], AtFlags::SYMLINK_NOFOLLOW).unwrap();
            self.line(&at, dir, &name, &stat);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory && stat.st_dev == self.device {
                let below = openat(dir, &name[..], OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).unwrap();
                self.directory(&below, &at);
            }
        }
    }

    fn line(&mut self, path: &str, dir: &OwnedFd, name: &[u8], stat: &Stat) {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let nanos = if self.nanos { stat.st_mtime_nsec } else { 0 };
        let mut line = format!("{path} {:o} {}:{} {}.{nanos:09}", stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime);
        match kind {
            FileType::RegularFile => {
                let file = openat(dir, name, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty()).unwrap();
                write!(line, " {} {}", stat.st_size, content(&file)).unwrap();
            }
            FileType::Symlink => {
                let target = readlinkat(dir, name, Vec::new()).unwrap();
                write!(line, " {} -> {}", stat.st_size, target.to_bytes().escape_ascii()).unwrap();
            }
            FileType::CharacterDevice | FileType::BlockDevice => write!(line, " device {:x}", stat.st_rdev).unwrap(),
            _ => {}
        }
        if kind != FileType::Directory {
            write!(line, " names {}", stat.st_nlink).unwrap();
            let first = self.first.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| path.to_owned());
            if stat.st_nlink > 1 {
                write!(line, " of {first}").unwrap();
            }
        }
        for (key, value) in xattrs(dir, name) {
            write!(line, " {key}={}", value.escape_ascii()).unwrap();
        }
        self.lines.push(line);
    }
}

/// Of large files with holes, what is not zero counts with its place.
fn content(file: &OwnedFd) -> String {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut at = 0_u64;
    loop {
        let start = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
            Err(rustix::io::Errno::NXIO) => break,
            start => start.unwrap(),
        };
        at = start - start % buffer.len() as u64;
        let count = rustix::io::pread(file, &mut buffer[..], at).unwrap();
        if count == 0 {
            break;
        }
        for (n, block) in buffer[..count].chunks(512).enumerate().filter(|(_, block)| block.iter().any(|&b| b != 0)) {
            hash.update((at + n as u64 * 512).to_le_bytes());
            hash.update(block);
        }
        at += count as u64;
    }
    hex::encode(&hash.finalize()[..8])
}

fn xattrs(dir: &OwnedFd, name: &[u8]) -> Vec<(String, Vec<u8>)> {
    let node = openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()).unwrap();
    let path = format!("/proc/self/fd/{}", node.as_fd().as_raw_fd());
    let mut names = vec![0; 1 << 16];
    let Ok(length) = rustix::fs::listxattr(&path, &mut names[..]) else { return Vec::new() };
    let names = names[..length].split(|&b| b == 0).filter(|name| !name.is_empty() && !name.starts_with(b"trusted."));
    let mut all: Vec<_> = names
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let length = rustix::fs::getxattr(&path, name, &mut value[..]).unwrap();
            value.truncate(length);
            (name.escape_ascii().to_string(), value)
        })
        .collect();
    all.sort();
    all
}

/// Fails with the lines that differ.
#[track_caller]
pub(crate) fn same(what: &str, one: &[String], other: &[String]) {
    if one != other {
        let missing: Vec<_> = one.iter().filter(|line| !other.contains(line)).take(8).collect();
        let more: Vec<_> = other.iter().filter(|line| !one.contains(line)).take(8).collect();
        panic!("{what}: {missing:#?} against {more:#?}");
    }
}
