//! The `filters` query: a JSON map of keys to values, in its new form (`{"status":["exited"]}`) and its old one
//! (`{"status":{"exited":true}}`).

use crate::error::ApiError;
use std::collections::{BTreeMap, BTreeSet};

/// Longest text accepted.
const MAX: usize = 256 * 1024;

/// Filters by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    fields: BTreeMap<String, BTreeSet<String>>,
}

/// The error for one key and its values, in Docker's words.
fn invalid(key: &str, value: Option<&str>) -> ApiError {
    ApiError::invalid(match value {
        Some(value) => format!("invalid filter '{key}={value}'"),
        None => format!("invalid filter '{key}'"),
    })
}

impl Filters {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one value.
    pub fn add(&mut self, key: &str, value: &str) {
        self.fields.entry(key.to_owned()).or_default().insert(value.to_owned());
    }

    /// Parses the query's text; empty means none.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let bad = || ApiError::invalid("invalid filter");
        if text.len() > MAX {
            return Err(bad());
        }
        if let Ok(new) = serde_json::from_str::<BTreeMap<String, Option<BTreeMap<String, bool>>>>(text) {
            let fields = new.into_iter().map(|(k, v)| (k, v.unwrap_or_default().into_keys().collect())).collect();
            return Ok(Self { fields });
        }
        let lists: BTreeMap<String, Option<Vec<String>>> = serde_json::from_str(text).map_err(|_| bad())?;
        Ok(Self { fields: lists.into_iter().map(|(k, v)| (k, v.unwrap_or_default().into_iter().collect())).collect() })
    }

    /// The text for a query, in the form that every engine since API 1.22 reads.
    pub fn to_json(&self) -> String {
        let map: BTreeMap<&str, BTreeMap<&str, bool>> =
            self.fields.iter().map(|(k, v)| (k.as_str(), v.iter().map(|v| (v.as_str(), true)).collect())).collect();
        serde_json::to_string(&map).unwrap_or_default()
    }

    /// True without any key.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// True where the key is given.
    pub fn contains(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// Values of a key.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.fields.get(key).into_iter().flatten().map(String::as_str)
    }

    /// Refuses keys that are not in `accepted`.
    pub fn validate(&self, accepted: &[&str]) -> Result<(), ApiError> {
        match self.fields.keys().find(|key| !accepted.contains(&key.as_str())) {
            Some(key) => Err(invalid(key, None)),
            None => Ok(()),
        }
    }

    /// The error for values of `key` that mean nothing.
    pub fn invalid_value(&self, key: &str) -> ApiError {
        let values: Vec<&str> = self.values(key).collect();
        invalid(key, Some(&format!("[{}]", values.join(" "))))
    }

    /// A key that is true or false (`dangling`).
    pub fn boolean(&self, key: &str, default: bool) -> Result<bool, ApiError> {
        if !self.contains(key) {
            return Ok(default);
        }
        let mut values = self.values(key);
        match (values.next(), values.next()) {
            (Some("1" | "true"), None) => Ok(true),
            (Some("0" | "false"), None) => Ok(false),
            _ => Err(self.invalid_value(key)),
        }
    }

    /// True where the key is not given, has no values, or has this one.
    pub fn matches_exactly(&self, key: &str, value: &str) -> bool {
        self.fields.get(key).is_none_or(|set| set.is_empty() || set.contains(value))
    }

    /// True where the key is not given or one of its values is a prefix of this one.
    pub fn matches_prefix(&self, key: &str, value: &str) -> bool {
        self.fields.get(key).is_none_or(|set| set.is_empty() || set.iter().any(|prefix| value.starts_with(prefix.as_str())))
    }

    /// True where the key is not given or one of its values, as a regular expression, is found in this one.
    pub fn matches_pattern(&self, key: &str, value: &str) -> bool {
        self.fields.get(key).is_none_or(|set| {
            set.is_empty() || set.contains(value) || set.iter().any(|pattern| compile(pattern).is_some_and(|regex| regex.is_match(value)))
        })
    }

    /// True where every `key=value` or `key` of `field` holds in `labels`.
    pub fn matches_labels(&self, field: &str, labels: &BTreeMap<String, String>) -> bool {
        self.values(field).all(|wanted| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|have| have == value),
            None => labels.contains_key(wanted),
        })
    }
}

/// Patterns are people's short ones; a long one is hostile.
fn compile(pattern: &str) -> Option<regex_lite::Regex> {
    regex_lite::RegexBuilder::new(pattern).size_limit(64 * 1024).build().ok()
}

/// Splits what a person types after `--filter`.
pub fn parse_flag(text: &str) -> Result<(String, String), ApiError> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_lowercase(), value.trim().to_owned())),
        None => {
            Err(ApiError::invalid(format!("invalid argument \"{text}\" for \"--filter\" flag: bad format of filter (expected name=value)")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let new = Filters::parse(r#"{"status":["exited","created"]}"#).unwrap();
        let old = Filters::parse(r#"{"status":{"exited":true,"created":true}}"#).unwrap();
        assert_eq!(new, old);
        assert_eq!(Filters::parse(&new.to_json()).unwrap(), new);
        assert!(Filters::parse("").unwrap().is_empty());
    }

    #[test]
    fn errors_in_docker_words() {
        let check = |text: &str, expect: &str| {
            let got = Filters::parse(text).and_then(|f| {
                f.validate(&["status", "dangling"])?;
                f.boolean("dangling", false)
            });
            assert_eq!(got.unwrap_err().message, expect, "{text}");
        };
        check("nojson", "invalid filter");
        check(r#"{"status":3}"#, "invalid filter");
        check(r#"{"bogus":["1"]}"#, "invalid filter 'bogus'");
        check(r#"{"dangling":["maybe"]}"#, "invalid filter 'dangling=[maybe]'");
        check(r#"{"dangling":["true","false"]}"#, "invalid filter 'dangling=[false true]'");
    }

    #[test]
    fn matching() {
        let f = Filters::parse(r#"{"name":["^/web[0-9]$"],"label":["a=b","c"],"id":["ab"]}"#).unwrap();
        assert!(f.matches_pattern("name", "/web1") && !f.matches_pattern("name", "/web11"));
        assert!(f.matches_prefix("id", "abc") && !f.matches_prefix("id", "cab"));
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        assert!(f.matches_labels("label", &labels(&[("a", "b"), ("c", "")])));
        assert!(!f.matches_labels("label", &labels(&[("a", "x"), ("c", "")])));
        assert!(f.matches_exactly("absent", "x"));
    }
}
