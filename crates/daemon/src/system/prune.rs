//! What prunes have in common, and the one of a kind that there is nothing of: build cache.

use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};
use dhow_api::{Filters, time};
use serde_json::json;
use std::collections::BTreeMap;

/// The filters of a prune.
pub(crate) struct Wanted {
    pub(crate) filters: Filters,
    until: Option<i64>,
}

impl Wanted {
    /// From the query; other keys than the accepted ones are refused.
    pub(crate) fn parse(cx: &Cx, accepted: &[&str]) -> Result<Self> {
        Self::read(cx.query.get("filters"), accepted, super::now())
    }

    fn read(text: &str, accepted: &[&str], now: i64) -> Result<Self> {
        let filters = Filters::parse(text)?;
        filters.validate(accepted)?;
        let mut given = filters.values("until");
        let until = match (given.next(), given.next()) {
            (None, _) => None,
            (Some(_), Some(_)) => return Err(Failure::invalid("more than one until filter specified")),
            (Some(text), None) => time::parse_query(&time::flag_to_query(text, now)?)?,
        };
        drop(given);
        Ok(Self { filters, until })
    }

    /// An object of this age with these labels may go. One that does not say when it was made is younger than any time.
    pub(crate) fn matches(&self, created: Option<i64>, labels: &BTreeMap<String, String>) -> bool {
        let refused = self.filters.contains("label!") && self.filters.matches_labels("label!", labels);
        let old = self.until.is_none_or(|until| created.is_some_and(|at| at <= until));
        old && !refused && self.filters.matches_labels("label", labels)
    }
}

/// `POST /build/prune`.
pub(crate) fn build(cx: &Cx) -> Result<Reply> {
    Filters::parse(cx.query.get("filters"))?;
    let spaces: &[&str] =
        if cx.since(48) { &["reserved-space", "keep-storage", "max-used-space", "min-free-space"] } else { &["keep-storage"] };
    for key in spaces {
        let text = cx.query.get(key);
        cx.query
            .integer(key)
            .map_err(|error| Failure::invalid(format!("{key} is in bytes and expects an integer, got {text}: {}", error.message)))?;
    }
    cx.app.engine.prune_nothing("builder")?;
    reply::json(&json!({"CachesDeleted": null, "SpaceReclaimed": 0}))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn what_may_go() {
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let check = |text: &str, created: Option<i64>, expect: bool| {
            let wanted = Wanted::read(text, &["label", "label!", "until"], 100 * SECOND).unwrap();
            assert_eq!(wanted.matches(created, &labels), expect, "{text} {created:?}");
        };
        check("", None, true);
        check(r#"{"until":["10s"]}"#, Some(90 * SECOND), true);
        check(r#"{"until":["10s"]}"#, Some(91 * SECOND), false);
        check(r#"{"until":["10s"]}"#, None, false);
        check(r#"{"label":["a"]}"#, None, true);
        check(r#"{"label":["a=c"]}"#, None, false);
        check(r#"{"label!":["a"]}"#, None, false);
        check(r#"{"label!":["x"]}"#, None, true);
    }

    #[test]
    fn refusals() {
        let check = |text: &str, expect: &str| {
            let error = Wanted::read(text, &["until"], 0).err().unwrap();
            assert_eq!((error.0.status, error.0.message.as_str()), (400, expect));
        };
        check(r#"{"until":["1h","2h"]}"#, "more than one until filter specified");
        check(r#"{"bogus":["1"]}"#, "invalid filter 'bogus'");
    }
}
