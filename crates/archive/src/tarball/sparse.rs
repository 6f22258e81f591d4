//! Maps of sparse files: GNU's old header and the three pax forms, all made into a checked list of (offset, length).

use super::number;

/// Entries in the old header itself, and in each extension block.
pub(super) const OLD_IN_HEADER: usize = 4;
pub(super) const OLD_IN_EXTENSION: usize = 21;
const OLD_ENTRY: usize = 24;

/// Reads up to `count` old-style entries; the first empty one ends them.
pub(super) fn old_entries(field: &[u8], count: usize, map: &mut Vec<u64>) -> Result<(), &'static str> {
    for entry in field.chunks_exact(OLD_ENTRY).take(count) {
        if entry[0] == 0 {
            break;
        }
        for part in entry.chunks_exact(12) {
            let value = number::parse(part).and_then(|v| u64::try_from(v).ok());
            map.push(value.ok_or("malformed sparse map")?);
        }
    }
    Ok(())
}

/// Pairs the numbers up and checks that the pieces are in order, inside `size`, and together as long as the data stored.
pub(super) fn check(numbers: &[u64], size: u64, stored: u64) -> Result<Vec<(u64, u64)>, &'static str> {
    let bad = "malformed sparse map";
    if !numbers.len().is_multiple_of(2) {
        return Err(bad);
    }
    let (mut end, mut sum) = (0u64, 0u64);
    let mut pieces = Vec::with_capacity(numbers.len() / 2);
    for pair in numbers.chunks_exact(2) {
        let (offset, length) = (pair[0], pair[1]);
        if offset < end {
            return Err(bad);
        }
        end = offset.checked_add(length).filter(|&e| e <= size).ok_or(bad)?;
        sum += length;
        if length > 0 {
            pieces.push((offset, length));
        }
    }
    if sum != stored {
        return Err(bad);
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps() {
        assert_eq!(check(&[0, 5, 10, 5, 20, 0], 20, 10), Ok(vec![(0, 5), (10, 5)]));
        assert_eq!(check(&[], 100, 0), Ok(vec![]));
        for (numbers, size, stored) in
            [(&[0u64][..], 10, 0), (&[5, 5, 0, 5], 20, 10), (&[0, 11], 10, 11), (&[0, 5], 10, 6), (&[u64::MAX, 2], 10, 2)]
        {
            assert!(check(numbers, size, stored).is_err(), "{numbers:?}");
        }
    }
}
