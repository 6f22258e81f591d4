//! The key sequence by which a person leaves an attached container running.

use crate::error::Error;

/// The sequence, as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetachKeys(Vec<u8>);

impl Default for DetachKeys {
    /// Ctrl-p Ctrl-q.
    fn default() -> Self {
        Self(vec![16, 17])
    }
}

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q`: letters, or `ctrl-` and a letter or one of `@ [ \ ] ^ _`.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Error> {
        let Some(text) = text else { return Ok(Self::default()) };
        let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
        keys.map(Self).ok_or_else(|| Error::new(format!("invalid detach keys ({text}) provided")))
    }

    /// Reads what the engine will judge: it refuses, in its words, what cannot be read here.
    pub(crate) fn lenient(text: Option<&str>) -> Self {
        Self::parse(text).unwrap_or_default()
    }

    /// Starts watching what is typed. Without a terminal there is no sequence.
    pub(crate) fn watch(&self, tty: bool) -> Watch {
        Watch { keys: if tty { self.0.clone() } else { Vec::new() }, matched: 0 }
    }
}

fn key(word: &str) -> Option<u8> {
    match word.as_bytes() {
        [one] => Some(*one),
        [b'c' | b'C', b't' | b'T', b'r' | b'R', b'l' | b'L', b'-', last] => match last.to_ascii_lowercase() {
            letter @ b'a'..=b'z' => Some(letter - b'a' + 1),
            b'@' => Some(0),
            other @ (b'[' | b'\\' | b']' | b'^' | b'_') => Some(other - b'[' + 27),
            _ => None,
        },
        _ if word.eq_ignore_ascii_case("del") => Some(127),
        _ => None,
    }
}

/// Looks for the sequence in what is typed. The beginning of one is held back until it is clear what it becomes.
#[derive(Debug)]
pub(crate) struct Watch {
    keys: Vec<u8>,
    matched: usize,
}

impl Watch {
    /// Takes typed bytes; gives what goes on to the container, and whether the sequence was complete.
    pub(crate) fn feed(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        if self.keys.is_empty() {
            return (typed.to_vec(), false);
        }
        let mut out = Vec::with_capacity(typed.len());
        for byte in typed {
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return (out, true);
                }
                continue;
            }
            out.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if *byte == self.keys[0] {
                self.matched = 1;
                if self.keys.len() == 1 {
                    return (out, true);
                }
            } else {
                out.push(*byte);
            }
        }
        (out, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences() {
        let check = |text: &str, expect: Option<&[u8]>| {
            assert_eq!(DetachKeys::parse(Some(text)).ok(), expect.map(|keys| DetachKeys(keys.to_vec())), "{text}");
        };
        check("ctrl-p,ctrl-q", Some(&[16, 17]));
        check("a,ctrl-[", Some(&[b'a', 27]));
        check("ctrl-@,DEL", Some(&[0, 127]));
        check("ctrl-1", None);
        check("", None);
        check("foo", None);
    }

    #[test]
    fn watching() {
        let mut watch = DetachKeys::default().watch(true);
        assert_eq!(watch.feed(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(watch.feed(b"c"), (b"\x10c".to_vec(), false));
        assert_eq!(watch.feed(b"\x10\x10\x11rest"), (b"\x10".to_vec(), true));
        let mut plain = DetachKeys::default().watch(false);
        assert_eq!(plain.feed(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
