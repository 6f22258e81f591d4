//! Names of containers: the rule, and made-up ones.

use crate::error::{Error, Kind, Result};

const ADJECTIVES: [&str; 96] = [
    "able", "agile", "airy", "alert", "amber", "ample", "apt", "autumn", "azure", "balmy", "blithe", "bold", "brave", "breezy", "bright",
    "brisk", "calm", "candid", "careful", "cheery", "civil", "clear", "clever", "coastal", "copper", "cordial", "cosy", "crisp", "curious",
    "daring", "deft", "dewy", "eager", "early", "earnest", "fair", "fleet", "fluent", "fond", "frank", "fresh", "gentle", "gilded", "glad",
    "golden", "grand", "hale", "handy", "hardy", "hazel", "honest", "humble", "ivory", "jaunty", "jolly", "keen", "kind", "leafy", "light",
    "lively", "lucid", "lunar", "mellow", "merry", "mild", "misty", "modest", "neat", "nimble", "noble", "novel", "olive", "patient",
    "placid", "plucky", "polar", "prompt", "proud", "quick", "quiet", "ready", "rosy", "rustic", "sage", "serene", "silver", "smooth",
    "solar", "spry", "steady", "sunny", "tidy", "vivid", "warm", "witty", "zesty",
];

/// Surnames of people who moved science, letters, sea and sky along.
const SURNAMES: [&str; 96] = [
    "abel",
    "alhazen",
    "ampere",
    "apgar",
    "aryabhata",
    "avicenna",
    "babbage",
    "bassi",
    "bernoulli",
    "bohr",
    "boole",
    "brahe",
    "carson",
    "cauchy",
    "celsius",
    "chandrasekhar",
    "copernicus",
    "curie",
    "dalton",
    "darwin",
    "dijkstra",
    "dirac",
    "earhart",
    "eratosthenes",
    "euclid",
    "euler",
    "faraday",
    "fermat",
    "fermi",
    "feynman",
    "fibonacci",
    "fourier",
    "franklin",
    "galilei",
    "galois",
    "gauss",
    "germain",
    "goedel",
    "halley",
    "hamilton",
    "herschel",
    "hertz",
    "hilbert",
    "hooke",
    "hopper",
    "hubble",
    "humboldt",
    "huygens",
    "hypatia",
    "jemison",
    "johnson",
    "joule",
    "kahn",
    "kelvin",
    "kepler",
    "khayyam",
    "knuth",
    "kovalevskaya",
    "lagrange",
    "lamarr",
    "laplace",
    "lavoisier",
    "leavitt",
    "leibniz",
    "linnaeus",
    "lovelace",
    "magellan",
    "maxwell",
    "mendel",
    "mendeleev",
    "merian",
    "mitchell",
    "montgolfier",
    "napier",
    "newton",
    "noether",
    "ohm",
    "oresme",
    "pascal",
    "pasteur",
    "planck",
    "poincare",
    "ptolemy",
    "ramanujan",
    "riemann",
    "sagan",
    "shannon",
    "somerville",
    "tesla",
    "thales",
    "tharp",
    "torricelli",
    "turing",
    "volta",
    "wallis",
    "yalow",
];

/// How many names are tried before the short id serves as one.
pub(crate) const TRIES: u32 = 6;

/// A made-up name; from the second try on a digit is added, so that tries differ even where most names are taken.
pub(crate) fn random(attempt: u32) -> Result<String> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_err(|e| Error::new(Kind::Internal, format!("draw a random name: {e}")))?;
    Ok(compose(u64::from_le_bytes(bytes), attempt))
}

fn compose(seed: u64, attempt: u32) -> String {
    let count = ADJECTIVES.len() as u64;
    let adjective = ADJECTIVES[usize::try_from(seed % count).unwrap_or(0)];
    let surname = SURNAMES[usize::try_from(seed / count % SURNAMES.len() as u64).unwrap_or(0)];
    let digit = seed / count / SURNAMES.len() as u64 % 10;
    if attempt == 0 { format!("{adjective}_{surname}") } else { format!("{adjective}_{surname}{digit}") }
}

/// Checks a name and takes off the slash that old clients put before it.
pub(crate) fn check(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let mut bytes = bare.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = bytes.len() >= 1 && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if first && rest {
        Ok(bare)
    } else {
        Err(Error::new(Kind::Invalid, format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rule_for_names() {
        for good in ["ab", "/ab", "a.b-c_d", "0x", "A1"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "z", "-ab", ".ab", "a b", "a/b", "//ab", "ä1", "a\n"] {
            let error = check(bad).unwrap_err();
            assert_eq!(error.message, format!("Invalid container name ({bad}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"));
            assert_eq!(error.kind, Kind::Invalid);
        }
    }

    #[test]
    fn words_are_plain_and_sorted() {
        for list in [ADJECTIVES, SURNAMES] {
            assert!(list.is_sorted());
            assert!(list.iter().all(|w| w.bytes().all(|b| b.is_ascii_lowercase())));
        }
    }

    proptest! {
        #[test]
        fn made_up_names_obey_the_rule(seed: u64, attempt in 0u32..6) {
            let name = compose(seed, attempt);
            prop_assert_eq!(check(&name).unwrap(), name.as_str());
            prop_assert_eq!(attempt > 0, name.ends_with(|c: char| c.is_ascii_digit()));
        }
    }
}
