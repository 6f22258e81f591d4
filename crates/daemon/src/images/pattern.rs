//! Patterns of names: Go's `path.Match`.

/// A pattern that is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Any number of bytes but a slash.
    Star,
    /// One byte but a slash.
    Any,
    Byte(u8),
    Class {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
}

impl Pattern {
    /// Nothing where it is malformed, wherever that is.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.as_bytes();
        let mut tokens = Vec::new();
        while let [first, tail @ ..] = rest {
            let (token, after) = match first {
                b'*' => (Token::Star, tail),
                b'?' => (Token::Any, tail),
                b'[' => class(tail)?,
                b'\\' => (Token::Byte(*tail.first()?), &tail[1..]),
                plain => (Token::Byte(*plain), tail),
            };
            tokens.push(token);
            rest = after;
        }
        Some(Self(tokens))
    }

    /// A name, a name with a tag, or the first part of either. `name` may have a digest.
    pub(super) fn matches_reference(&self, name: &str) -> bool {
        let bare = name.split('@').next().unwrap_or(name);
        let bare = match bare.rsplit_once(':') {
            Some((left, tag)) if !tag.contains('/') => left,
            _ => bare,
        };
        self.matches(name.as_bytes()) || self.matches(bare.as_bytes())
    }

    /// Work is bounded: after a star only the last one is tried again.
    fn matches(&self, text: &[u8]) -> bool {
        let (mut p, mut t) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        loop {
            let fits = match self.0.get(p) {
                Some(Token::Star) => {
                    star = Some((p + 1, t));
                    p += 1;
                    continue;
                }
                Some(token) => text.get(t).is_some_and(|byte| token.takes(*byte)),
                None if t == text.len() => return true,
                None => false,
            };
            match &mut star {
                _ if fits => (p, t) = (p + 1, t + 1),
                Some((after, from)) if text.get(*from).is_some_and(|byte| *byte != b'/') => {
                    *from += 1;
                    (p, t) = (*after, *from);
                }
                _ => return false,
            }
        }
    }
}

impl Token {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Star => false,
            Self::Any => byte != b'/',
            Self::Byte(plain) => *plain == byte,
            Self::Class { negated, ranges } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *negated,
        }
    }
}

/// What follows `[`, up to its end.
fn class(text: &[u8]) -> Option<(Token, &[u8])> {
    let (negated, mut rest) = match text {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        if let [b']', after @ ..] = rest
            && !ranges.is_empty()
        {
            return Some((Token::Class { negated, ranges }, after));
        }
        let low;
        (low, rest) = limit(rest)?;
        let mut high = low;
        if let [b'-', after @ ..] = rest {
            (high, rest) = limit(after)?;
        }
        ranges.push((low, high));
    }
}

/// One end of a range. Something must follow it.
fn limit(text: &[u8]) -> Option<(u8, &[u8])> {
    let (byte, rest) = match text {
        [] | [b'-' | b']', ..] => return None,
        [b'\\', byte, rest @ ..] | [byte, rest @ ..] => (*byte, rest),
    };
    (!rest.is_empty()).then_some((byte, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let check = |pattern: &str, name: &str, expect: bool| {
            assert_eq!(Pattern::parse(pattern).unwrap().matches_reference(name), expect, "{pattern} {name}");
        };
        check("busybox", "busybox:1", true);
        check("busybox:1", "busybox:1", true);
        check("busy*", "busybox:1", true);
        check("busy*:lat*", "busybox:latest", true);
        check("*", "a/b:1", false);
        check("*/*", "a/b:1", true);
        check("b?sy[a-c]ox", "busybox:1", true);
        check("b?sy[^a-c]ox", "busybox:1", false);
        check("b?sy[!a-c]ox", "busybox:1", true);
        check("[a\\]]usybox", "busybox:1", false);
        check("\\busybox", "busybox:1", true);
        check("localhost:5000/x", "localhost:5000/x:1", true);
        check("busybox", "busybox@sha256:1", true);
        check("*y*x", "busybox:1", true);
        check("", "busybox:1", false);
    }

    #[test]
    fn what_is_no_pattern() {
        for text in ["[", "a[", "[]", "[]b]", "[^]", "[a", "[a-", "[a-]", "[a-]b]", "[-a]", "b\\", "x[a-b", "[\\"] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
