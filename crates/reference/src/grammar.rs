//! The character rules of references, as distribution/reference has them. ASCII only, no backtracking: each rule is a scan.

use crate::Error;

/// Most bytes of a repository's path.
const PATH_MAX: usize = 255;
/// Most bytes of a tag.
const TAG_MAX: usize = 128;

/// 64 lower-case hex digits: the form of an image's id, never of a name.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_lower_hex)
}

/// `host[:port]`, where host is a domain name, an IPv4 address or a bracketed IPv6 address.
pub(crate) fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, after)) => {
                if address.is_empty() || !address.bytes().all(|b| b == b':' || b.is_ascii_hexdigit()) {
                    return false;
                }
                (None, after.strip_prefix(':').or(if after.is_empty() { None } else { Some("") }))
            }
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    host.is_none_or(|h| h.split('.').all(is_domain_component))
        && port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

fn is_domain_component(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(|b| b == b'-' || b.is_ascii_alphanumeric())
}

/// Components joined by `/`; the length is checked by [`check_length`].
pub(crate) fn is_path(text: &str) -> bool {
    text.split('/').all(is_path_component)
}

/// Lower-case letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|&b| is_lower_alphanumeric(b));
    let bytes = text.as_bytes();
    if !edge(bytes.first()) || !edge(bytes.last()) {
        return false;
    }
    bytes
        .split(|&b| is_lower_alphanumeric(b))
        .filter(|separator| !separator.is_empty())
        .all(|separator| matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|&b| b == b'-'))
}

/// A path of at most 255 bytes (the domain does not count).
pub(crate) fn check_length(path: &str) -> Result<(), Error> {
    if path.len() > PATH_MAX {
        return Err(Error::TooLong);
    }
    Ok(())
}

/// A word character, then up to 127 of them, dots and hyphens.
pub(crate) fn is_tag(text: &str) -> bool {
    let word = |b: u8| b == b'_' || b.is_ascii_alphanumeric();
    text.len() <= TAG_MAX && text.bytes().next().is_some_and(word) && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// `algorithm:hex` in the shape that a reference needs, then as a digest of a known algorithm.
pub(crate) fn check_digest(text: &str) -> Result<(), Error> {
    let (algorithm, value) = text.split_once(':').ok_or(Error::Format)?;
    let part = |p: &str| p.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()) && p.bytes().all(|b| b.is_ascii_alphanumeric());
    if !algorithm.split(['-', '_', '+', '.']).all(part) {
        return Err(Error::Format);
    }
    if value.len() < 32 || !value.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Error::Format);
    }
    if algorithm.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(Error::Digest);
    }
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(Error::DigestUnsupported),
    };
    if value.len() != length {
        return Err(Error::DigestLength);
    }
    if !value.bytes().all(is_lower_hex) {
        return Err(Error::Digest);
    }
    Ok(())
}

fn is_lower_alphanumeric(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn is_lower_hex(b: u8) -> bool {
    b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
}
