//! Listings of overlays as copies have them.

use std::collections::BTreeMap;

/// A listing with only those names of an inode counted that are in it. An overlay also counts names that a layer above has replaced.
pub(crate) fn seen(lines: &[String]) -> Vec<String> {
    let split = |line: &str| {
        let (head, rest) = line.rsplit_once(" names ")?;
        let (_, first) = rest.split_once(" of ")?;
        Some((head.to_owned(), first.to_owned()))
    };
    let mut count = BTreeMap::new();
    for (_, first) in lines.iter().filter_map(|line| split(line)) {
        *count.entry(first).or_insert(0) += 1;
    }
    let line = |line: &String| match split(line) {
        Some((head, first)) if count[&first] > 1 => format!("{head} names {} of {first}", count[&first]),
        Some((head, first)) => {
            // The first name is its own; what follows are attributes.
            let own = head.bytes().zip(first.bytes()).take_while(|(a, b)| a == b).count();
            format!("{head} names 1{}", &first[first[..own].trim_end().len()..])
        }
        None => line.clone(),
    };
    lines.iter().map(line).collect()
}
