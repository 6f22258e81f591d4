//! What a compressed log file says of the file that it was: its inode, by which a reader that is behind knows it.
//!
//! It stands in the extra field of gzip's header, as a subfield of our own: `DI`, the length 8, the number.

const NAME: [u8; 2] = *b"DI";
/// gzip's head up to the length of the extra field.
const FIXED: usize = 12;
const FLAG_EXTRA: u8 = 4;
/// So much of a file [`inode`] has to see.
pub const HEAD: usize = FIXED + 12;

/// The extra field for a file that had this inode.
pub fn extra(inode: u64) -> Vec<u8> {
    let mut out = NAME.to_vec();
    out.extend_from_slice(&8_u16.to_le_bytes());
    out.extend_from_slice(&inode.to_le_bytes());
    out
}

/// The inode out of the first [`HEAD`] bytes of a compressed file; `None` where somebody else compressed it.
pub fn inode(head: &[u8]) -> Option<u64> {
    let (fixed, rest) = head.split_at_checked(FIXED)?;
    let [0x1f, 0x8b, 8, flags, ..] = fixed else { return None };
    let [a, b, 8, 0, number @ ..] = rest else { return None };
    let number = number.first_chunk::<8>()?;
    (flags & FLAG_EXTRA != 0 && [*a, *b] == NAME).then(|| u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_what_was_put_into_it() {
        let head = |extra: Vec<u8>| flate2::GzBuilder::new().extra(extra).write(Vec::new(), flate2::Compression::fast()).finish().unwrap();
        assert_eq!(inode(&head(extra(0x0102_0304_0506_0708))), Some(0x0102_0304_0506_0708));
        assert_eq!(inode(&head(b"{\"lastTime\":\"x\"}".to_vec())), None);
        assert_eq!(inode(&flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::fast()).finish().unwrap()), None);
        assert_eq!((inode(b""), inode(&[0x1f; HEAD])), (None, None));
        assert_eq!(inode(&head(extra(7))[..HEAD - 1]), None);
    }
}
