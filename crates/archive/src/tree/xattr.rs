//! Extended attributes: which ones belong to content, and overlay's own mark of an opaque directory.

use crate::{Context, Result};
use rustix::fs::{self, XattrFlags};
use rustix::io::Errno;
use std::os::fd::AsFd;

const OPAQUE: &str = "trusted.overlay.opaque";
/// The kernel's own bounds on one value and on a list of names.
const VALUE_MAX: usize = 64 * 1024;

/// An attribute that images may carry. Overlay's would change what a layer means, `trusted.*` is the host's.
pub fn is_content(name: &[u8]) -> bool {
    name == b"security.capability" || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay.") && !name.contains(&0))
}

/// Attributes of an open file or directory that belong to content, sorted by name.
pub fn read(fd: impl AsFd) -> rustix::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut list = [0u8; 512];
    let long;
    let names = match fs::flistxattr(&fd, &mut list[..]) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(length) => &list[..length],
        Err(Errno::RANGE) => {
            let mut buffer = vec![0; VALUE_MAX];
            let length = fs::flistxattr(&fd, &mut buffer[..])?;
            buffer.truncate(length);
            long = buffer;
            &long[..]
        }
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for name in names.split(|&b| b == 0).filter(|n| is_content(n)) {
        let mut value = vec![0; VALUE_MAX];
        match fs::fgetxattr(&fd, name, &mut value[..]) {
            Ok(length) => value.truncate(length),
            Err(Errno::NODATA) => continue,
            Err(e) => return Err(e),
        }
        value.shrink_to_fit();
        found.push((name.to_vec(), value));
    }
    found.sort_unstable();
    Ok(found)
}

/// Sets those of `attributes` that belong to content. A filesystem without attributes drops them, as in Docker.
pub fn write(fd: impl AsFd, attributes: &[(Vec<u8>, Vec<u8>)], object: &[u8]) -> Result<()> {
    for (name, value) in attributes.iter().filter(|(n, _)| is_content(n)) {
        match fs::fsetxattr(&fd, &name[..], value, XattrFlags::empty()) {
            Err(Errno::NOTSUP) => tracing::debug!(object = %String::from_utf8_lossy(object), "no extended attributes here"),
            other => other.on("set attributes of", object)?,
        }
    }
    Ok(())
}

/// Hides everything below a directory in lower layers.
pub fn set_opaque(dir: impl AsFd) -> rustix::io::Result<()> {
    fs::fsetxattr(dir, OPAQUE, b"y", XattrFlags::empty())
}

/// The directory hides what is below it in lower layers.
pub fn is_opaque(dir: impl AsFd) -> rustix::io::Result<bool> {
    let mut value = [0u8; 8];
    match fs::fgetxattr(dir, OPAQUE, &mut value[..]) {
        Ok(length) => Ok(&value[..length] == b"y"),
        Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(false),
        Err(e) => Err(e),
    }
}
