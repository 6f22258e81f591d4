//! The order of names in lists.

/// Numbers in names count as numbers: `v2` comes before `v10`.
pub(crate) fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    pieces(a).cmp(pieces(b)).then_with(|| a.cmp(b))
}

/// Runs of digits by length and digits, all else by its bytes.
fn pieces(text: &str) -> impl Iterator<Item = (u8, usize, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = *rest.as_bytes().first()?;
        let length = if first.is_ascii_digit() {
            rest.bytes().take_while(u8::is_ascii_digit).count()
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        let (piece, after) = rest.split_at(length);
        rest = after;
        let number = piece.trim_start_matches('0');
        Some(if first.is_ascii_digit() { (b'0', number.len(), number) } else { (first, 0, piece) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_as_numbers() {
        let mut names = ["v10", "v2", "v1b", "v1", "a", "v1a10", "v1a9", "10", "9"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["9", "10", "a", "v1", "v1a9", "v1a10", "v1b", "v2", "v10"]);
    }
}
