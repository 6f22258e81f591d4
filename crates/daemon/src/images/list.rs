//! `GET /images/json`.

use super::inspect::{created, names};
use super::pattern::Pattern;
use crate::convert::defaults::image_config_of;
use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};
use dhow_api::types::ImageSummary;
use dhow_api::version::Shape;
use dhow_api::{ApiVersion, Filters, time};
use std::collections::BTreeMap;

const FILTERS: [&str; 8] = ["before", "dangling", "label", "label!", "reference", "since", "until", "id"];
const SECOND: i64 = 1_000_000_000;

/// The list, newest first. Images without a name that others build on show with `all` only.
pub(crate) async fn get(cx: &Cx) -> Result<Reply> {
    let mut filters = Filters::parse(cx.query.get("filters"))?;
    // The one pattern that clients of old could give.
    if !cx.since(41) && !cx.query.get("filter").is_empty() {
        filters.add("reference", cx.query.get("filter"));
    }
    filters.validate(&FILTERS)?;
    let images = cx.app.engine.images().await?;
    let bounds = Bounds::parse(cx, &filters).await?;
    let dangling = if filters.contains("dangling") { Some(filters.boolean("dangling", false)?) } else { None };
    let usage = (cx.since(42) && cx.query.boolean("shared-size")).then(|| cx.app.engine.image_usage());
    let with_manifests = cx.since(47) && cx.query.boolean("manifests");
    let patterns: Option<Vec<_>> = filters.values("reference").map(Pattern::parse).collect();
    let patterns = patterns.ok_or_else(|| Failure::internal("syntax error in pattern"))?;
    let parts = cx.app.engine.image_parts();
    let mut list = Vec::new();
    for image in &images {
        // Other platforms of what has a name hide as what others build on does.
        let has_children = parts.contains(&image.id) || images.iter().any(|other| other.parent.as_ref() == Some(&image.id));
        let show = shows(!image.tags.is_empty(), !image.digests.is_empty(), has_children, cx.query.boolean("all"), dangling);
        if !show || !bounds.contain(created(image)) {
            continue;
        }
        let labels = image_config_of(&image.raw).labels;
        if !matches_labels(&filters, labels.as_ref()) || !filters.matches_prefix("id", &image.id) {
            continue;
        }
        let (mut tags, mut digests) = names(image);
        if filters.contains("reference") {
            // Only the names that were asked for show.
            let wanted = |name: &String| patterns.iter().any(|pattern| pattern.matches_reference(name));
            tags.retain(&wanted);
            digests.retain(&wanted);
            if tags.is_empty() && digests.is_empty() {
                continue;
            }
        }
        let shared = usage.as_ref().map(|usage| usage.shared.get(&image.id).copied().unwrap_or(0));
        list.push(ImageSummary {
            containers: -1,
            created: created(image).unwrap_or(0).div_euclid(SECOND),
            id: image.id.clone(),
            labels,
            parent_id: image.parent.clone().unwrap_or_default(),
            repo_digests: older(digests, cx.version, "<none>@<none>"),
            repo_tags: older(tags, cx.version, "<none>:<none>"),
            shared_size: shared.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            size: i64::try_from(image.size).unwrap_or(i64::MAX),
            virtual_size: 0,
            manifests: match with_manifests {
                true => super::manifests::of(cx, image).await?.map(|(_, manifests)| manifests).unwrap_or_default(),
                false => Vec::new(),
            },
        });
    }
    list.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.repo_tags.cmp(&b.repo_tags)));
    reply::shaped_list(Shape::ImageSummary, cx.version, &list)
}

/// An image without a name shows where nobody builds on it, or where all are asked for. One that has only digests counts as dangling
/// where these are asked for, and as named where they are not.
fn shows(tagged: bool, digested: bool, has_children: bool, all: bool, dangling: Option<bool>) -> bool {
    let named = tagged || digested;
    match dangling {
        Some(true) => !tagged && !has_children,
        Some(false) => named,
        None => named || all || !has_children,
    }
}

/// Before 1.43 an image without names had one that says so.
fn older(names: Vec<String>, version: ApiVersion, none: &str) -> Vec<String> {
    if names.is_empty() && version < ApiVersion::v1(43) { vec![none.into()] } else { names }
}

fn matches_labels(filters: &Filters, labels: Option<&BTreeMap<String, String>>) -> bool {
    let none = BTreeMap::new();
    let labels = labels.unwrap_or(&none);
    filters.matches_labels("label", labels) && !(filters.contains("label!") && filters.matches_labels("label!", labels))
}

/// Times between which an image was made.
struct Bounds {
    before: Option<i64>,
    since: Option<i64>,
}

impl Bounds {
    async fn parse(cx: &Cx, filters: &Filters) -> Result<Self> {
        let mut bounds = Self { before: None, since: None };
        for name in filters.values("before") {
            bounds.before = created(&*cx.app.engine.image(name).await?);
        }
        for name in filters.values("since") {
            bounds.since = created(&*cx.app.engine.image(name).await?);
        }
        for text in filters.values("until") {
            let query = time::flag_to_query(text, crate::system::now()).map_err(|_| Failure(filters.invalid_value("until")))?;
            let until = time::parse_query(&query)?;
            bounds.before = Some(until.unwrap_or(0).min(bounds.before.unwrap_or(i64::MAX)));
        }
        Ok(bounds)
    }

    fn contain(&self, at: Option<i64>) -> bool {
        let at = at.unwrap_or(0);
        self.before.is_none_or(|before| at < before) && self.since.is_none_or(|since| at > since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangling_ones() {
        let check = |tagged, digested, children, all, expect: [bool; 3]| {
            let got = [None, Some(true), Some(false)].map(|dangling| shows(tagged, digested, children, all, dangling));
            assert_eq!(got, expect, "{tagged} {digested} {children} {all}");
        };
        check(true, false, false, false, [true, false, true]);
        check(false, true, false, false, [true, true, true]);
        check(false, false, false, false, [true, true, false]);
        check(false, false, true, false, [false, false, false]);
        check(false, false, true, true, [true, false, false]);
    }
}
