//! Sizes of terminals.

/// Height and width of a terminal; `None` for no size.
pub(crate) fn size_of([height, width]: [u32; 2]) -> Option<(u16, u16)> {
    let clamp = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    (height != 0 || width != 0).then(|| (clamp(height), clamp(width)))
}
