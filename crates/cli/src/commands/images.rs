//! `images`.

use dhow_api::client::Request;
use dhow_api::size::human_with;
use dhow_api::types::ImageSummary;
use dhow_reference::platform::Platform;
use serde_json::{Map, Value, json};

use super::{images_tree, shared};
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, filter, string, switch};
use crate::options::filters;
use crate::output::{list, time};
use crate::output::{say, warn};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["image ls", "image list", "images"],
    usage: "[OPTIONS] [REPOSITORY[:TAG]]",
    short: "List images",
    flags: FLAGS,
    arity: Arity::AtMost(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    switch("all", "Intermediate images too").short('a'),
    switch("digests", "Show digests"),
    filter("Show only what a condition (key=value) holds for"),
    string("format", "table, json, or a Go template"),
    switch("no-trunc", "Do not cut ids"),
    switch("quiet", "Show ids only").short('q'),
    switch("tree", "Names above their images, with what they take (may change)"),
];

pub(super) const HEADINGS: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

const TABLE: &str = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const TABLE_DIGESTS: &str = "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let tree = parsed.is("tree");
    if tree {
        images_tree::check(parsed)?;
    }
    let mut conditions = parsed.all("filter");
    if let Some(name) = parsed.args.first() {
        conditions.push(format!("reference={name}"));
    }
    let request =
        Request::get("/images/json").flag("all", parsed.is("all")).query_opt("filters", filters(&conditions)).flag("manifests", tree);
    let images: Vec<ImageSummary> = app.block_on(async { Ok::<_, Error>(app.client().await?.json(request).await?) })?;
    if tree {
        return say(&images_tree::text(&images));
    }
    let config = app.config()?;
    let mut format = parsed.value("format").unwrap_or(&config.images_format).to_owned();
    if parsed.is("quiet") {
        if parsed.given("format") {
            warn("WARNING: Ignoring custom format, because both --format and --quiet are set.");
        }
        format = "{{.ID}}".to_owned();
    }
    let digests = parsed.is("digests");
    let with_digests = digests || format.contains("{{.Digest}}");
    let rows = images.iter().flat_map(|image| rows(image, parsed.is("no-trunc"), with_digests)).collect();
    let table = if digests { TABLE_DIGESTS } else { TABLE };
    let table = table.trim_start_matches("table ");
    say(&list::render(list::List { table, headings: HEADINGS, kind: "*formatter.imageContext", rows }, &format)?)
}

/// One row for each name of an image; one with `<none>` for an image without names.
fn rows(image: &ImageSummary, no_trunc: bool, with_digests: bool) -> Vec<Map<String, Value>> {
    const NONE: &str = "<none>";
    let mut names = Vec::new();
    let mut digests: Vec<(&str, &str)> =
        image.repo_digests.iter().filter_map(|text| text.split_once('@')).filter(|(name, _)| *name != NONE).collect();
    for text in image.repo_tags.iter().filter(|text| *text != "<none>:<none>") {
        let (repository, tag) = split_tag(text);
        let digest = digests.iter().find(|(name, _)| *name == repository).map_or(NONE, |(_, digest)| *digest);
        names.push((repository, tag, digest));
    }
    // A repository that has only digests shows them without a tag.
    digests.retain(|(name, _)| !names.iter().any(|(repository, ..)| repository == name));
    names.extend(digests.iter().map(|(name, digest)| (*name, NONE, *digest)));
    if names.is_empty() {
        names.push((NONE, NONE, NONE));
    }
    let row = |(repository, tag, digest): (&str, &str, &str)| {
        let digest = if with_digests { digest } else { NONE };
        fields(image, no_trunc, repository, tag, digest)
    };
    names.into_iter().map(row).collect()
}

/// One row, with the image's first name.
pub(super) fn first_row(image: &ImageSummary, no_trunc: bool) -> Map<String, Value> {
    const NONE: &str = "<none>";
    let (repository, tag) = image.repo_tags.first().map_or((NONE, NONE), |text| split_tag(text));
    fields(image, no_trunc, repository, tag, NONE)
}

/// The tag is behind the last colon that stands behind the last slash.
fn split_tag(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "<none>"),
    }
}

fn fields(image: &ImageSummary, no_trunc: bool, repository: &str, tag: &str, digest: &str) -> Map<String, Value> {
    const UNKNOWN: &str = "N/A";
    #[expect(clippy::cast_precision_loss, reason = "shown with four digits at most")]
    let size = |bytes: i64, digits| human_with(bytes as f64, digits);
    let shared = |bytes: i64| if bytes < 0 { UNKNOWN.to_owned() } else { size(bytes, 4) };
    let unique = if image.shared_size < 0 { UNKNOWN.to_owned() } else { size(image.size - image.shared_size, 4) };
    let containers = if image.containers < 0 { UNKNOWN.to_owned() } else { image.containers.to_string() };
    let value = json!({
        "Containers": containers,
        "CreatedAt": time::show_seconds(image.created),
        "CreatedSince": time::ago(image.created),
        "Digest": digest,
        "ID": if no_trunc { image.id.clone() } else { shared::short_id(&image.id) },
        "Repository": repository,
        "SharedSize": shared(image.shared_size),
        "Size": size(image.size, 3),
        "Tag": tag,
        "UniqueSize": unique,
        "VirtualSize": size(image.size, 4),
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A platform that a person names, as the API's queries take it. What is said where it is none begins with `before`.
pub(super) fn platform_query(text: &str, before: &str) -> Result<String, Error> {
    match Platform::parse(text) {
        Ok(platform) => Ok(platform_json(&platform)),
        Err(words) => Err(Error::new(format!("{before}{words}"))),
    }
}

/// A platform in JSON.
fn platform_json(platform: &Platform) -> String {
    let Platform { os, os_version, architecture, variant } = platform;
    let parts = [("architecture", architecture), ("os", os), ("os.version", os_version), ("variant", variant)];
    let said = parts.into_iter().filter(|(_, part)| !part.is_empty());
    let map: Map<String, Value> = said.map(|(key, part)| (key.to_owned(), Value::String(part.clone()))).collect();
    Value::Object(map).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(tags: &[&str], digests: &[&str]) -> ImageSummary {
        let own = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        ImageSummary {
            id: format!("sha256:{}", "b".repeat(64)),
            repo_tags: own(tags),
            repo_digests: own(digests),
            size: 4_270_000,
            shared_size: -1,
            containers: -1,
            ..ImageSummary::default()
        }
    }

    fn check(tags: &[&str], digests: &[&str], expect: &[&str]) {
        let got: Vec<String> = rows(&image(tags, digests), false, true)
            .iter()
            .map(|row| format!("{} {} {}", row["Repository"], row["Tag"], row["Digest"]).replace('"', ""))
            .collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn names() {
        check(&["busybox:latest", "x/y:1"], &["busybox@sha256:d"], &["busybox latest sha256:d", "x/y 1 <none>"]);
        check(&[], &[], &["<none> <none> <none>"]);
        check(&["localhost:5000/z:2"], &["other@sha256:8"], &["localhost:5000/z 2 <none>", "other <none> sha256:8"]);
    }

    #[test]
    fn platforms() {
        let check =
            |text: &str, expect: &str| assert_eq!(platform_query(text, "so: ").unwrap_or_else(|e| e.words().unwrap_or_default()), expect);
        check("linux/arm64/v8", r#"{"architecture":"arm64","os":"linux","variant":"v8"}"#);
        check("windows(10.0)/amd64", r#"{"architecture":"amd64","os":"windows","os.version":"10.0"}"#);
        check("bogus", "so: \"bogus\": unknown operating system or architecture: invalid argument");
    }
}
