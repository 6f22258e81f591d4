//! The detach keys: found across reads, a partial match is held back until it fails or completes.

/// Watches one client's input for its detach keys.
#[derive(Debug)]
pub(crate) struct Matcher {
    keys: Vec<u8>,
    matched: usize,
}

impl Matcher {
    /// `None` for no keys: nothing then ends the attachment.
    pub(crate) fn new(keys: &[u8]) -> Option<Self> {
        (!keys.is_empty()).then(|| Self { keys: keys.to_vec(), matched: 0 })
    }

    /// Appends to `out` what may be passed on of `input`. `true` once the keys are complete: the keys themselves and what follows them
    /// are dropped. As in Docker a byte that breaks a partial match does not begin a new one.
    pub(crate) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        for &byte in input {
            if self.keys.get(self.matched) == Some(&byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return true;
                }
                continue;
            }
            out.extend_from_slice(self.keys.get(..self.matched).unwrap_or_default());
            out.push(byte);
            self.matched = 0;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(keys: &[u8], reads: &[&[u8]], expect: &[u8], detached: bool) {
        let mut matcher = Matcher::new(keys).unwrap();
        let mut out = Vec::new();
        let done = reads.iter().any(|read| matcher.feed(read, &mut out));
        assert_eq!((out.as_slice(), done), (expect, detached), "{reads:?}");
    }

    #[test]
    fn as_docker_does() {
        let pq = &[16, 17];
        check(pq, &[b"ls\n"], b"ls\n", false);
        check(pq, &[b"ls", &[16, 17]], b"ls", true);
        check(pq, &[&[b'a', 16], &[17, b'z']], b"a", true);
        check(pq, &[&[16], b"x"], &[16, b'x'], false);
        check(pq, &[&[16], &[16]], &[16, 16], false);
        check(pq, &[&[16, 16, 17]], &[16, 16, 17], false);
        check(pq, &[&[16]], b"", false);
        check(b"abc", &[b"ab", b"ab", b"abc"], b"abab", true);
        check(b"a", &[b"xa"], b"x", true);
        assert!(Matcher::new(b"").is_none());
    }

    proptest! {
        /// How the input is cut into reads makes no difference, and nothing is lost while nobody detaches.
        #[test]
        fn reads_do_not_matter(input in proptest::collection::vec(14u8..19, 0..60), cut in 0usize..60) {
            let mut whole = Matcher::new(&[16, 17]).unwrap();
            let mut expect = Vec::new();
            let ended = whole.feed(&input, &mut expect);
            let mut parts = Matcher::new(&[16, 17]).unwrap();
            let mut got = Vec::new();
            let cut = cut.min(input.len());
            let early = parts.feed(&input[..cut], &mut got);
            let late = !early && parts.feed(&input[cut..], &mut got);
            prop_assert_eq!(&got, &expect);
            prop_assert_eq!(early || late, ended);
            if !ended {
                prop_assert!(input.starts_with(&got) && input.len() - got.len() <= 1);
            }
        }
    }
}
