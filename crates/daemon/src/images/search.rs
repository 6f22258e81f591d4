//! `GET /images/search`.

use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};
use crate::registries;
use dhow_api::filters::Filters;
use dhow_engine::registries::{Found, Search};
use serde::Serialize;

/// Results where the client asks for no number.
const LIMIT: i64 = 25;
/// Most results.
const MOST: i64 = 100;

#[derive(Serialize)]
struct Row {
    star_count: i64,
    is_official: bool,
    name: String,
    is_automated: bool,
    description: String,
}

/// Asks an index: that of the host which the words begin with, else Docker Hub's.
pub(crate) async fn get(cx: &Cx) -> Result<Reply> {
    let limit = match cx.query.get("limit") {
        "" => LIMIT,
        text => text.parse().map_err(|_| Failure::invalid(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))?,
    };
    let limit = if limit == 0 { LIMIT } else { limit };
    if !(1..=MOST).contains(&limit) {
        return Err(Failure::invalid(format!("limit {limit} is outside the range of [1, {MOST}]")));
    }
    let filters = Filters::parse(cx.query.get("filters"))?;
    filters.validate(&["is-automated", "is-official", "stars"])?;
    let wanted = Wanted::of(&filters)?;
    let (host, term) = split(cx.query.get("term"));
    let search = Search { host: host.to_owned(), term: term.to_owned(), limit: u32::try_from(limit).unwrap_or_default() };
    let found = cx.app.engine.search(&search, &registries::credentials(&cx.headers)).await?;
    let rows: Vec<Row> = found.into_iter().filter(|found| wanted.has(found)).map(row).collect();
    reply::json(&rows)
}

/// The index, and what it is asked for.
fn split(term: &str) -> (&str, &str) {
    let term = term.strip_prefix("https://").or_else(|| term.strip_prefix("http://")).unwrap_or(term);
    match term.split_once('/') {
        Some(("docker.io" | "index.docker.io", rest)) => ("docker.io", rest.strip_prefix("library/").unwrap_or(rest)),
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => ("docker.io", term.strip_prefix("library/").unwrap_or(term)),
    }
}

struct Wanted {
    official: Option<bool>,
    automated: Option<bool>,
    stars: i64,
}

impl Wanted {
    fn of(filters: &Filters) -> Result<Self> {
        let flag = |key: &str| if filters.contains(key) { filters.boolean(key, false).map(Some) } else { Ok(None) };
        let mut stars = 0;
        for text in filters.values("stars") {
            let least: i64 = text.parse().map_err(|_| filters.invalid_value("stars"))?;
            stars = stars.max(least);
        }
        Ok(Self { official: flag("is-official")?, automated: flag("is-automated")?, stars })
    }

    fn has(&self, found: &Found) -> bool {
        self.official.is_none_or(|wanted| wanted == found.is_official)
            && self.automated.is_none_or(|wanted| wanted == found.is_automated)
            && found.star_count >= self.stars
    }
}

fn row(found: Found) -> Row {
    let Found { name, description, star_count, is_official, is_automated } = found;
    Row { star_count, is_official, name, is_automated, description }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_to_ask() {
        for (term, expect) in [
            ("x", ("docker.io", "x")),
            ("library/x", ("docker.io", "x")),
            ("someone/x", ("docker.io", "someone/x")),
            ("docker.io/someone/x", ("docker.io", "someone/x")),
            ("r.example:5000/x/y", ("r.example:5000", "x/y")),
            ("localhost/x", ("localhost", "x")),
            ("", ("docker.io", "")),
        ] {
            assert_eq!(split(term), expect, "{term}");
        }
    }

    #[test]
    fn filters() {
        let check = |json: &str, stars: i64, is_official: bool| {
            Wanted::of(&Filters::parse(json).unwrap()).unwrap().has(&Found { star_count: stars, is_official, ..Found::default() })
        };
        assert!(check(r#"{"stars":["3"]}"#, 3, false));
        assert!(!check(r#"{"stars":["3"]}"#, 2, true));
        assert!(!check(r#"{"is-official":["true"]}"#, 2, false));
        assert!(check(r#"{"is-official":["false"]}"#, 2, false));
        assert!(Wanted::of(&Filters::parse(r#"{"stars":["x"]}"#).unwrap()).is_err());
    }
}
