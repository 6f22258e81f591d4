//! Random ids of 64 hex digits.

use crate::error::{Error, Kind, Result};

/// Length of the short form that people see.
pub(crate) const SHORT: usize = 12;

/// A new id. It is drawn again while its short form is all digits: such a form would be taken for a number where a host name is expected.
pub(crate) fn fresh() -> Result<String> {
    loop {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(|e| Error::new(Kind::Internal, format!("draw a random id: {e}")))?;
        let id = hex::encode(bytes);
        if !is_all_digits(short(&id)) {
            return Ok(id);
        }
    }
}

/// The first 12 digits.
pub(crate) fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

fn is_all_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// It has the shape of a whole id.
pub(crate) fn is_full(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_64_hex_and_never_a_number_in_short() {
        for _ in 0..200 {
            let id = fresh().unwrap();
            assert!(is_full(&id));
            assert!(!is_all_digits(short(&id)));
        }
    }

    #[test]
    fn digits_are_told_from_hex() {
        assert!(is_all_digits("012345678901"));
        assert!(!is_all_digits("01234567890a"));
        assert_eq!(short("abc"), "abc");
    }
}
