//! The writer: ustar headers, and pax records for what they cannot hold. Equal members give equal bytes.

use super::{BLOCK, Kind, Member, number, pax};
use std::io::{self, Write};

/// Writes members one after the other. The caller writes exactly `size` bytes of content after a regular file's header.
pub struct Writer<'a> {
    out: &'a mut dyn Write,
    left: u64,
    padding: usize,
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<'a> Writer<'a> {
    /// Onto any writer. It should be buffered.
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out, left: 0, padding: 0 }
    }

    /// Writes a header, behind the padding of the member before.
    pub fn header(&mut self, member: &Member) -> io::Result<()> {
        self.end_member()?;
        let records = extended(member);
        if !records.is_empty() {
            let mut header = Member::new(Kind::Regular, &short_pax_name(&member.name), 0o644);
            header.size = records.len() as u64;
            self.out.write_all(&block(&header, b'x'))?;
            self.out.write_all(&records)?;
            self.out.write_all(&[0; BLOCK][..pad(header.size)])?;
        }
        self.out.write_all(&block(member, flag(member.kind)))?;
        if member.kind == Kind::Regular {
            self.left = member.size;
            self.padding = pad(member.size);
        }
        Ok(())
    }

    /// Writes content of the current member. More than its header promised is an error.
    pub fn content(&mut self, data: &[u8]) -> io::Result<()> {
        self.left = self.left.checked_sub(data.len() as u64).ok_or_else(|| io::Error::other("more content than the header says"))?;
        self.out.write_all(data)
    }

    /// A whole regular file at once.
    pub fn file(&mut self, name: &[u8], mode: u32, content: &[u8]) -> io::Result<()> {
        let mut member = Member::new(Kind::Regular, name, mode);
        member.size = content.len() as u64;
        self.header(&member)?;
        self.content(content)
    }

    /// Ends the archive.
    pub fn finish(mut self) -> io::Result<()> {
        self.end_member()?;
        self.out.write_all(&[0; 2 * BLOCK])
    }

    fn end_member(&mut self) -> io::Result<()> {
        if self.left > 0 {
            return Err(io::Error::other("less content than the header says"));
        }
        self.out.write_all(&[0; BLOCK][..std::mem::take(&mut self.padding)])
    }
}

fn pad(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

fn flag(kind: Kind) -> u8 {
    match kind {
        Kind::Regular => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::Char => b'3',
        Kind::Block => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}

/// A ustar header. What does not fit is cut here and whole in the pax records.
fn block(member: &Member, flag: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let (prefix, name) = split_name(&member.name).unwrap_or((&[], &member.name[..member.name.len().min(100)]));
    block[..name.len()].copy_from_slice(name);
    number::write(&mut block[100..108], u64::from(member.mode));
    number::write(&mut block[108..116], u64::from(fitting(member.uid)));
    number::write(&mut block[116..124], u64::from(fitting(member.gid)));
    number::write(&mut block[124..136], if member.size <= OCTAL_SIZE { member.size } else { 0 });
    number::write(&mut block[136..148], fitting_seconds(member));
    block[156] = flag;
    let link = &member.link[..member.link.len().min(100)];
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    number::write(&mut block[329..337], u64::from(member.device.0));
    number::write(&mut block[337..345], u64::from(member.device.1));
    block[345..345 + prefix.len()].copy_from_slice(prefix);
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
    number::write(&mut block[148..155], sum);
    block
}

const OCTAL_ID: u32 = 0o777_7777;
const OCTAL_SIZE: u64 = 0o777_7777_7777;

fn fitting(id: u32) -> u32 {
    if id <= OCTAL_ID { id } else { 0 }
}

fn fitting_seconds(member: &Member) -> u64 {
    u64::try_from(member.mtime.seconds).ok().filter(|&s| s <= OCTAL_SIZE).unwrap_or(0)
}

/// Prefix and name of a name that ustar can hold: ASCII, split at a slash where longer than 100 bytes.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= 100 {
        return Some((&[], name));
    }
    let split = (name.len().saturating_sub(101)..name.len().min(156)).find(|&i| name[i] == b'/' && i + 1 < name.len())?;
    (split > 0).then(|| (&name[..split], &name[split + 1..]))
}

/// Pax records for what the ustar header cannot say, in a fixed order.
fn extended(member: &Member) -> Vec<u8> {
    let mut out = Vec::new();
    if split_name(&member.name).is_none() {
        pax::push(&mut out, b"path", &member.name);
    }
    if member.link.len() > 100 || !member.link.is_ascii() {
        pax::push(&mut out, b"linkpath", &member.link);
    }
    if member.size > OCTAL_SIZE {
        pax::push(&mut out, b"size", member.size.to_string().as_bytes());
    }
    for (key, id) in [(&b"uid"[..], member.uid), (b"gid", member.gid)] {
        if id > OCTAL_ID {
            pax::push(&mut out, key, id.to_string().as_bytes());
        }
    }
    if member.mtime.nanos != 0 || u64::try_from(member.mtime.seconds).is_err() || member.mtime.seconds as u64 > OCTAL_SIZE {
        pax::push(&mut out, b"mtime", pax::show_time(member.mtime).as_bytes());
    }
    let mut xattrs: Vec<_> = member.xattrs.iter().collect();
    xattrs.sort();
    for (key, value) in xattrs {
        pax::push(&mut out, &[b"SCHILY.xattr.", &key[..]].concat(), value);
    }
    out
}

/// Name of the extended header itself, as other writers have it: `dir/PaxHeaders.0/name`, cut to what fits.
fn short_pax_name(name: &[u8]) -> Vec<u8> {
    let ascii: Vec<u8> = name.iter().copied().filter(|b| b.is_ascii() && *b != 0).collect();
    let trimmed = ascii.strip_suffix(b"/").unwrap_or(&ascii);
    let (dir, base) = match trimmed.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&trimmed[..=slash], &trimmed[slash + 1..]),
        None => (&trimmed[..0], trimmed),
    };
    let mut out = [dir, b"PaxHeaders.0/", base].concat();
    out.truncate(100);
    out
}
