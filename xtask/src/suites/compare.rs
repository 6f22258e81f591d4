//! How tests of a client ended on two engines, side by side.

use std::collections::BTreeMap;

/// By test, how it ended: `PASSED` or another word, and for a failure what it said.
pub(crate) type Ends = BTreeMap<String, (String, String)>;

/// How many passed.
pub(crate) fn passed(ends: &Ends) -> usize {
    ends.values().filter(|(word, _)| word == "PASSED").count()
}

/// The differences as text, and how many tests pass on the original only. What `apart` names (with a reason) is told and not counted.
pub(crate) fn compare(theirs: &Ends, ours: &Ends, apart: &dyn Fn(&str) -> Option<&'static str>) -> (String, usize) {
    let (mut lines, mut worse) = (Vec::new(), 0);
    let mut missing = |name: &str, said: &str| match apart(name) {
        Some(reason) => format!("apart  {name}: {reason}"),
        None => {
            worse += 1;
            format!("WORSE  {name}: {said}")
        }
    };
    for (name, (word, said)) in ours {
        let before = theirs.get(name).map(|(word, _)| word.as_str());
        match (before, word.as_str()) {
            (Some("PASSED"), "PASSED") | (Some("FAILED" | "ERROR"), "FAILED" | "ERROR") => {}
            (Some("PASSED"), _) => lines.push(missing(name, said)),
            (Some(_), "PASSED") => lines.push(format!("better {name}")),
            (None, "FAILED" | "ERROR") => lines.push(format!("fails  {name}: {said}")),
            _ => {}
        }
    }
    for name in theirs.iter().filter(|(name, (word, _))| word == "PASSED" && !ours.contains_key(*name)).map(|(name, _)| name) {
        lines.push(missing(name, "was not run"));
    }
    if !theirs.is_empty() {
        lines.push(format!("docker passes {} of {}", passed(theirs), theirs.len()));
    }
    lines.push(format!("dhow passes {} of {}", passed(ours), ours.len()));
    (lines.join("\n"), worse)
}

#[cfg(test)]
mod tests {
    use super::{Ends, compare};

    #[test]
    fn what_passes_there_and_not_here_counts() {
        let ends = |tests: &[(&str, &str)]| -> Ends {
            tests.iter().map(|(name, word)| ((*name).to_owned(), ((*word).to_owned(), "why".to_owned()))).collect()
        };
        let theirs = ends(&[("a", "PASSED"), ("b", "PASSED"), ("build", "PASSED"), ("c", "FAILED"), ("d", "PASSED")]);
        let ours = ends(&[("a", "ERROR"), ("b", "PASSED"), ("build", "FAILED"), ("c", "PASSED")]);
        let (text, worse) = compare(&theirs, &ours, &|name| (name == "build").then_some("builds come later"));
        assert_eq!(worse, 2, "{text}");
        assert_eq!(
            text,
            "WORSE  a: why\napart  build: builds come later\nbetter c\nWORSE  d: was not run\ndocker passes 4 of 5\ndhow passes 2 of 4"
        );
    }
}
