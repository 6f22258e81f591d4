//! Extended attributes, as they lie behind an inode.

use crate::Unfit;

/// Bytes before the first attribute.
pub(crate) const HEAD: usize = 12;
/// The inode counts them in words of 4 bytes.
const MOST: usize = HEAD + 4 * (u16::MAX as usize - 1);

/// Namespaces by number. The lists of access rights have no rest of a name.
const NAMESPACES: &[(u8, &[u8])] =
    &[(1, b"user."), (2, b"system.posix_acl_access"), (3, b"system.posix_acl_default"), (4, b"trusted."), (6, b"security.")];

/// All attributes of a node; nothing where it has none.
pub(crate) fn encode(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<u8>, Unfit> {
    let mut out = Vec::new();
    for (name, value) in xattrs {
        if out.is_empty() {
            out.resize(HEAD, 0);
        }
        let found = NAMESPACES.iter().find_map(|(number, prefix)| Some((*number, name.strip_prefix(*prefix)?)));
        let (number, rest) = found.ok_or(Unfit::Attributes)?;
        let length = u8::try_from(rest.len()).map_err(|_| Unfit::Attributes)?;
        let size = u16::try_from(value.len()).map_err(|_| Unfit::Attributes)?;
        out.extend_from_slice(&[length, number]);
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(rest);
        out.extend_from_slice(value);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    if out.len() > MOST { Err(Unfit::Attributes) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &[u8], value: Vec<u8>) -> Result<usize, Unfit> {
        encode(&[(name.to_vec(), value)]).map(|bytes| bytes.len())
    }

    #[test]
    fn what_fits() {
        assert_eq!(encode(&[]), Ok(Vec::new()));
        assert_eq!(one(b"user.a", b"b".to_vec()), Ok(HEAD + 4 + 4));
        assert_eq!(one(b"security.capability", vec![0; 20]), Ok(HEAD + 4 + 32));
        assert_eq!(one(b"user.big", vec![0; 65535]), Ok(HEAD + 4 + 65540));
        assert_eq!(one(b"user.big", vec![0; 65536]), Err(Unfit::Attributes));
        assert_eq!(one(b"other.a", Vec::new()), Err(Unfit::Attributes));
        let many: Vec<_> = (0..5).map(|n| (format!("user.{n}").into_bytes(), vec![0; 60_000])).collect();
        assert_eq!(encode(&many), Err(Unfit::Attributes));
    }
}
