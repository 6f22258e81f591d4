//! Devices: the rules of a container's device cgroup, and the host's devices for a privileged one.

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};
use rustix::fs::{major, minor};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Character devices that are open by default: zero, null, urandom, random, tty, console. Any mknod, full, ptmx and the
/// terminals are added by the runtime.
const OPEN: [(i64, i64); 6] = [(1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1)];

/// What of `/dev` is not a device of the host but a file system or a link of its own.
const SKIPPED: [&str; 9] = ["console", "fd", "mqueue", "pts", "shm", ".lxc", ".lxd-mounts", ".udev", "ptmx"];

/// Directories below `/dev` go no deeper than this on any host.
const DEPTH: usize = 8;

/// The rules in their order.
pub fn rules(privileged: bool) -> Vec<LinuxDeviceCgroup> {
    if privileged {
        return vec![rule(true, None, None)];
    }
    let mut rules = vec![rule(false, None, None)];
    rules.extend(OPEN.iter().map(|(major, minor)| rule(true, Some(*major), Some(*minor))));
    // FUSE, in case somebody opened all of major 10 further up.
    rules.push(rule(false, Some(10), Some(229)));
    rules
}

fn rule(allow: bool, major: Option<i64>, minor: Option<i64>) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    let kind = if major.is_some() { LinuxDeviceType::C } else { LinuxDeviceType::A };
    rule.set_allow(allow).set_typ(Some(kind)).set_major(major).set_minor(minor).set_access(Some("rwm".to_owned()));
    rule
}

/// All character and block devices below the host's `/dev`, for `--privileged`. What cannot be read is left out.
pub fn host_devices() -> Vec<LinuxDevice> {
    let mut devices = Vec::new();
    collect(Path::new("/dev"), DEPTH, &mut devices);
    devices.sort_by(|one, two| one.path().cmp(two.path()));
    devices
}

fn collect(dir: &Path, depth: usize, devices: &mut Vec<LinuxDevice>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
            continue;
        }
        // Not followed: a link to a device is not one.
        let Ok(metadata) = entry.metadata() else { continue };
        let kind = metadata.file_type();
        if kind.is_dir() {
            if depth > 0 {
                collect(&entry.path(), depth - 1, devices);
            }
        } else if kind.is_char_device() || kind.is_block_device() {
            devices.push(device(&entry.path(), &metadata));
        }
    }
}

/// The node that a file's metadata describe, at `path`.
pub fn device(path: &Path, metadata: &fs::Metadata) -> LinuxDevice {
    let number = metadata.rdev();
    let kind = metadata.file_type();
    let kind = if kind.is_block_device() {
        LinuxDeviceType::B
    } else if kind.is_fifo() {
        LinuxDeviceType::P
    } else {
        LinuxDeviceType::C
    };
    let mut device = LinuxDevice::default();
    device
        .set_path(path.to_owned())
        .set_typ(kind)
        .set_major(major(number).into())
        .set_minor(minor(number).into())
        .set_file_mode(Some(metadata.mode() & 0o7777))
        .set_uid(Some(metadata.uid()))
        .set_gid(Some(metadata.gid()));
    device
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_rules_close_everything_first() {
        let lines: Vec<_> = rules(false).iter().map(|rule| format!("{}{rule}", if rule.allow() { '+' } else { '-' })).collect();
        assert_eq!(
            lines,
            ["-a *:* rwm", "+c 1:5 rwm", "+c 1:3 rwm", "+c 1:9 rwm", "+c 1:8 rwm", "+c 5:0 rwm", "+c 5:1 rwm", "-c 10:229 rwm"]
        );
        assert_eq!(rules(true).len(), 1);
        assert!(rules(true)[0].allow());
    }

    #[test]
    fn the_hosts_devices() {
        let devices = host_devices();
        let null = devices.iter().find(|device| device.path() == Path::new("/dev/null")).unwrap();
        assert_eq!((null.major(), null.minor(), null.typ()), (1, 3, LinuxDeviceType::C));
        assert!(devices.iter().all(|device| !device.path().starts_with("/dev/pts")));
    }
}
