//! Where the pieces of a file lie that has holes: in chunks, of which only those with data take any place.

use dhow_erofs::{BLOCK, Extent};

/// A file's index has at most so many entries; larger files have larger chunks.
const CHUNKS: u64 = 1 << 12;

/// Lays out a file of `size` bytes with data at `pieces` (offset, length; in order, not touching another's bytes) from `start` on in a device.
/// Answers the extents, and where the device ends then. The bytes of an extent that no piece has are holes in the device as well.
pub(super) fn layout(size: u64, pieces: &[(u64, u64)], device: u16, start: u64) -> (Vec<Extent>, u64) {
    let chunk = BLOCK.max(size.div_ceil(CHUNKS).next_power_of_two());
    let mut end = start.next_multiple_of(BLOCK);
    let mut extents: Vec<Extent> = Vec::new();
    for &(offset, length) in pieces {
        let (mut from, to) = (offset - offset % chunk, (offset + length).next_multiple_of(chunk).min(size));
        if let Some(last) = extents.last_mut() {
            let covered = last.offset + last.length;
            if from <= covered {
                // It goes on where the one before ends, or shares its last chunk.
                from = covered;
                if to > from {
                    last.length = to - last.offset;
                    end = (last.position + last.length).next_multiple_of(BLOCK);
                }
                continue;
            }
        }
        extents.push(Extent { offset: from, length: to - from, device, position: end });
        end = (end + (to - from)).next_multiple_of(BLOCK);
    }
    (extents, end)
}

/// Where a byte of a file lies in the device.
pub(super) fn place(extents: &[Extent], offset: u64) -> Option<u64> {
    let extent = extents.iter().rfind(|extent| extent.offset <= offset)?;
    (offset < extent.offset + extent.length).then(|| extent.position + (offset - extent.offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lie_in_whole_chunks() {
        let check = |size, pieces: &[(u64, u64)], expect: &[(u64, u64, u64)], end| {
            let (extents, at) = layout(size, pieces, 1, 100);
            let got: Vec<_> = extents.iter().map(|e| (e.offset, e.length, e.position)).collect();
            assert_eq!((&got[..], at), (expect, end), "{pieces:?}");
        };
        check(10_000, &[], &[], 512);
        check(10_000, &[(0, 10_000)], &[(0, 10_000, 512)], 512 + 10_240);
        check(10_000, &[(5, 5), (20, 5), (600, 1)], &[(0, 1024, 512)], 1536);
        check(10_000, &[(1000, 10), (9_990, 10)], &[(512, 512, 512), (9728, 272, 1024)], 1536);
        check(10_000, &[(0, 512), (512, 512)], &[(0, 1024, 512)], 1536);
        // A terabyte has chunks of 256 MB.
        check(1 << 40, &[(1 << 39, 1)], &[(1 << 39, 1 << 28, 512)], 512 + (1 << 28));
    }

    #[test]
    fn where_a_byte_lies() {
        let (extents, _) = layout(10_000, &[(1000, 10), (9_990, 10)], 0, 0);
        for (offset, expect) in
            [(0, None), (511, None), (512, Some(0)), (1009, Some(497)), (1024, None), (9_990, Some(774)), (9_999, Some(783))]
        {
            assert_eq!(place(&extents, offset), expect, "{offset}");
        }
    }
}
