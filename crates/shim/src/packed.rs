//! What a compressed log file says of the file that it was, by which a reader that is behind knows it.
//!
//! It stands in the extra field of gzip's header, as a subfield of our own: `DH`, its length, and three numbers.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

const NAME: [u8; 2] = *b"DH";
/// gzip's head up to the length of the extra field.
const FIXED: usize = 12;
const FLAG_EXTRA: u8 = 4;
const NUMBERS: usize = 24;
/// So much of a file [`Origin::read`] has to see.
pub const HEAD: usize = FIXED + 4 + NUMBERS;

/// A file to which nobody writes any more. The number alone does not tell: that of a file that is gone is given to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Its inode.
    pub inode: u64,
    /// Its size in bytes.
    pub length: u64,
    /// When it was last written to, in nanoseconds since 1970, wrapped.
    pub modified: u64,
}

impl Origin {
    /// Of a file as it is now.
    pub fn of(meta: &Metadata) -> Self {
        let modified = meta.mtime().wrapping_mul(1_000_000_000).wrapping_add(meta.mtime_nsec());
        Self { inode: meta.ino(), length: meta.len(), modified: modified.cast_unsigned() }
    }

    /// The extra field of its compressed form.
    pub fn extra(self) -> Vec<u8> {
        let mut out = NAME.to_vec();
        out.extend_from_slice(&(NUMBERS as u16).to_le_bytes());
        for number in [self.inode, self.length, self.modified] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out
    }

    /// Out of the first [`HEAD`] bytes of a compressed file; `None` where somebody else compressed it.
    pub fn read(head: &[u8]) -> Option<Self> {
        let (fixed, rest) = head.split_at_checked(FIXED)?;
        let [0x1f, 0x8b, 8, flags, ..] = fixed else { return None };
        let (name, numbers) = rest.split_at_checked(4)?;
        if flags & FLAG_EXTRA == 0 || name != [NAME[0], NAME[1], NUMBERS as u8, 0] {
            return None;
        }
        let number = |at: usize| Some(u64::from_le_bytes(*numbers.get(at * 8..)?.first_chunk()?));
        Some(Self { inode: number(0)?, length: number(1)?, modified: number(2)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_what_was_put_into_it() {
        let head = |extra: Vec<u8>| flate2::GzBuilder::new().extra(extra).write(Vec::new(), flate2::Compression::fast()).finish().unwrap();
        let origin = Origin { inode: 0x0102_0304_0506_0708, length: 9, modified: u64::MAX };
        assert_eq!(Origin::read(&head(origin.extra())), Some(origin));
        assert_eq!(Origin::read(&head(b"{\"lastTime\":\"1970-01-01T00:00:00Z\"}".to_vec())), None);
        assert_eq!(Origin::read(&flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::fast()).finish().unwrap()), None);
        assert_eq!((Origin::read(b""), Origin::read(&[0x1f; HEAD])), (None, None));
        assert_eq!(Origin::read(&head(origin.extra())[..HEAD - 1]), None);
    }
}
