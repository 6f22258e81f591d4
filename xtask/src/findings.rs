//! What a suite found on two runtimes, compared.

use std::collections::BTreeMap;

/// What one program of a suite found: checks that hold, and those that do not, in its own words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) holds: Vec<String>,
    pub(crate) fails: Vec<String>,
    /// Ended without a word, by itself or by a limit.
    pub(crate) silent: bool,
}

/// By program.
pub(crate) type Findings = BTreeMap<String, Found>;

/// A table of both, and how many checks fail here beyond those that fail there.
pub(crate) fn compare(theirs: &Findings, ours: &Findings) -> (String, usize) {
    let mut lines = vec!["| program | runc | dhow runtime | |".to_owned(), "| --- | --- | --- | --- |".to_owned()];
    let (mut worse, nothing) = (0, Found::default());
    for (name, own) in ours {
        let other = theirs.get(name).unwrap_or(&nothing);
        // Where the other one says nothing at all nothing of it is lost.
        let beyond = match other.silent {
            true => 0,
            false => own.fails.len().saturating_sub(other.fails.len()) + usize::from(own.silent),
        };
        worse += beyond;
        let word = if beyond > 0 {
            own.fails.iter().find(|words| !other.fails.contains(words)).cloned().unwrap_or_else(|| "worse".into())
        } else {
            String::new()
        };
        lines.push(format!("| {name} | {} | {} | {word} |", shown(other), shown(own)));
    }
    (lines.join("\n"), worse)
}

/// The same where every check has a name of its own: what holds there and not here is named.
pub(crate) fn compare_by_name(theirs: &Findings, ours: &Findings) -> (String, usize) {
    let (mut lines, mut worse) = (vec!["| group | runc | dhow runtime | |".to_owned(), "| --- | --- | --- | --- |".to_owned()], 0);
    let nothing = Found::default();
    for name in ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name))) {
        let (own, other) = (ours.get(name).unwrap_or(&nothing), theirs.get(name).unwrap_or(&nothing));
        let lost: Vec<&str> = other.holds.iter().filter(|check| !own.holds.contains(check)).map(String::as_str).collect();
        worse += lost.len();
        let failing: Vec<&str> = own.fails.iter().filter(|check| !other.holds.contains(check)).map(String::as_str).collect();
        let gained: Vec<&str> = own.holds.iter().filter(|check| !other.holds.contains(check)).map(String::as_str).collect();
        let words: Vec<String> = [("only on runc", lost), ("only here", gained), ("on neither", failing)]
            .into_iter()
            .filter(|(_, checks)| !checks.is_empty())
            .map(|(word, checks)| format!("{word}: {}", checks.join(", ")))
            .collect();
        lines.push(format!("| {name} | {} | {} | {} |", shown(other), shown(own), words.join("; ")));
    }
    (lines.join("\n"), worse)
}

fn shown(found: &Found) -> String {
    match found {
        found if found.silent => "no result".to_owned(),
        Found { holds, fails, .. } if fails.is_empty() => holds.len().to_string(),
        Found { holds, fails, .. } => format!("{} of {}", holds.len(), holds.len() + fails.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(holds: &[&str], fails: &[&str]) -> Findings {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let found = Found { holds: words(holds), fails: words(fails), silent: holds.is_empty() && fails.is_empty() };
        Findings::from([("a".to_owned(), found)])
    }

    #[test]
    fn by_number() {
        let (text, worse) = compare(&of(&["one", ""], &["two"]), &of(&[], &["one", "two"]));
        assert_eq!(worse, 1);
        assert!(text.ends_with("| a | 2 of 3 | 0 of 2 | one |"), "{text}");
        assert_eq!(compare(&of(&["x"], &[]), &of(&[], &[])).1, 1);
        assert_eq!(compare(&of(&[], &[]), &of(&["x"], &["y"])).1, 0);
    }

    #[test]
    fn by_name() {
        let (text, worse) = compare_by_name(&of(&["one"], &["two", "three"]), &of(&["two"], &["one", "three"]));
        assert_eq!(worse, 1);
        assert!(text.ends_with("| a | 1 of 3 | 1 of 3 | only on runc: one; only here: two; on neither: three |"), "{text}");
        assert_eq!(compare_by_name(&of(&["one"], &[]), &Findings::new()).1, 1);
        assert_eq!(
            compare_by_name(&of(&["one"], &[]), &of(&["one"], &[])),
            ("| group | runc | dhow runtime | |\n| --- | --- | --- | --- |\n| a | 1 | 1 |  |".into(), 0)
        );
    }
}
