//! Labels of the engine itself.

use anyhow::{Result, bail};

/// The engine's labels: each `KEY=VALUE`, no key with two values.
pub(crate) fn merge(flags: Vec<String>, keys: Vec<String>) -> Result<Vec<String>> {
    let mut labels: Vec<String> = Vec::new();
    for label in flags.into_iter().chain(keys) {
        let Some((key, _)) = label.split_once('=').filter(|(key, _)| !key.is_empty()) else { bail!("bad attribute format: {label}") };
        match labels.iter().find(|known| known.split_once('=').is_some_and(|(known, _)| known == key)) {
            None => labels.push(label),
            Some(known) if *known == label => {}
            Some(known) => bail!("conflict labels for {key}: {known:?} and {label:?}"),
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_checked() {
        let check = |given: &[&str], expect: Result<&[&str], &str>| {
            let got = merge(Vec::new(), given.iter().map(ToString::to_string).collect()).map_err(|error| error.to_string());
            assert_eq!(got, expect.map(|list| list.iter().map(ToString::to_string).collect()).map_err(str::to_owned));
        };
        check(&["a=b", "c=", "a=b"], Ok(&["a=b", "c="]));
        check(&["a"], Err("bad attribute format: a"));
        check(&["=a"], Err("bad attribute format: =a"));
        check(&["a=b", "a=c"], Err("conflict labels for a: \"a=b\" and \"a=c\""));
    }
}
