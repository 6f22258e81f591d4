//! The values of a query as Docker reads them.

use crate::error::ApiError;
use std::borrow::Cow;

/// A parsed query string.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Parses what follows the question mark.
    pub fn parse(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes());
        Self { pairs: pairs.map(|(key, value): (Cow<'_, str>, Cow<'_, str>)| (key.into_owned(), value.into_owned())).collect() }
    }

    /// The first value of a key; empty where there is none.
    pub fn get(&self, key: &str) -> &str {
        self.find(key).unwrap_or_default()
    }

    /// The first value of a key.
    pub fn find(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &str) {
        self.pairs.retain(|(k, _)| k != key);
    }

    /// All values of a key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// False for what Docker takes for false: nothing, `0`, `no`, `false`, `none`.
    pub fn boolean(&self, key: &str) -> bool {
        !matches!(self.get(key).trim().to_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// As [`Self::boolean`], with another answer where the key is not given.
    pub fn boolean_or(&self, key: &str, default: bool) -> bool {
        if self.find(key).is_some() { self.boolean(key) } else { default }
    }

    /// A number; `None` where it is not given or empty.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, ApiError> {
        match self.get(key) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| ApiError::invalid(format!("strconv.Atoi: parsing {text:?}: invalid syntax"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let q = Query::parse("a=1&b=&c=no&d=TRUE&e=None&f=%2Fx+y&f=2&t=-1&bad=x");
        assert!(q.boolean("a") && q.boolean("d") && !q.boolean("b") && !q.boolean("c") && !q.boolean("e") && !q.boolean("missing"));
        assert!(q.boolean_or("missing", true) && !q.boolean_or("c", true));
        assert_eq!(q.all("f").collect::<Vec<_>>(), ["/x y", "2"]);
        assert_eq!(q.integer("t"), Ok(Some(-1)));
        assert_eq!(q.integer("b"), Ok(None));
        assert_eq!(q.integer("bad").unwrap_err().message, "strconv.Atoi: parsing \"x\": invalid syntax");
    }
}
