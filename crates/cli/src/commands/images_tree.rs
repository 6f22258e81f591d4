//! `images --tree`.

use dhow_api::size::human_with;
use dhow_api::types::ImageSummary;
use dhow_api::types::image::ManifestSummary;

use super::shared;
use crate::error::Error;
use crate::flags::Parsed;
use crate::terminal;

/// What does not go with a tree, in the words of the refusal.
const REFUSED: [(&str, &str); 4] = [("quiet", "quiet"), ("no-trunc", "no-trunc"), ("digests", "show-digest"), ("format", "format")];

/// Columns behind the name: heading, width, and whether texts stand on the right.
const COLUMNS: [(&str, usize, bool); 4] = [("ID", 12, false), ("DISK USAGE", 10, true), ("CONTENT SIZE", 12, true), ("EXTRA", 5, false)];
/// Between columns.
const GAP: usize = 3;
/// Where there is no terminal.
const WIDTH: usize = 80;
const LEGEND: &str = "Info ->  U In Use ";

/// Refuses flags that it cannot show.
pub(super) fn check(parsed: &Parsed) -> Result<(), Error> {
    match REFUSED.iter().find(|(flag, _)| parsed.given(flag)) {
        Some((_, shown)) => Err(Error::new(format!("--{shown} is not yet supported with --tree"))),
        None => Ok(()),
    }
}

/// The whole text for what is standard output.
pub(super) fn text(images: &[ImageSummary]) -> String {
    let width = terminal::size_of_stdout().map_or(WIDTH, |(_, columns)| usize::from(columns));
    render(images, width)
}

fn render(images: &[ImageSummary], width: usize) -> String {
    let behind: usize = COLUMNS.iter().map(|(_, width, _)| width + GAP).sum();
    let room = width.saturating_sub(behind).max("IMAGE".len());
    let names: Vec<Vec<String>> = images.iter().map(names).collect();
    let longest = names.iter().flatten().map(|name| name.chars().count()).max().unwrap_or(0);
    let first = longest.clamp("IMAGE".len(), room);
    let mut out = "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.\n".to_owned();
    out.push_str(&format!("{LEGEND:>width$}\n\n{:first$}", "IMAGE"));
    for (heading, width, _) in COLUMNS {
        out.push_str(&format!("{:GAP$}{heading:width$}", ""));
    }
    out = out.trim_end().to_owned() + "\n";
    for (image, names) in images.iter().zip(names) {
        let Some((last, before)) = names.split_last() else { continue };
        // An image's facts stand behind the last of its names.
        before.iter().for_each(|name| out.push_str(&format!("{name}\n")));
        line(&mut out, last, first, &facts(image));
        let platforms: Vec<&ManifestSummary> = image.manifests.iter().filter(|manifest| manifest.kind == "image").collect();
        for (number, manifest) in platforms.iter().enumerate() {
            let branch = if number + 1 == platforms.len() { "└─ " } else { "├─ " };
            line(&mut out, &format!("{branch}{}", platform(manifest)), first, &platform_facts(manifest));
        }
    }
    out
}

/// A text in the first column, and facts behind it.
fn line(out: &mut String, text: &str, first: usize, facts: &[String; 4]) {
    if text.chars().count() > first {
        out.push_str(&format!("{text}\n{:first$}", ""));
    } else {
        out.push_str(&format!("{text:first$}"));
    }
    for ((_, width, right), text) in COLUMNS.into_iter().zip(facts) {
        let cell = if right { format!("{text:>width$}") } else { format!("{text:width$}") };
        out.push_str(&format!("{:GAP$}{cell}", ""));
    }
    out.push('\n');
}

fn platform(manifest: &ManifestSummary) -> String {
    let named = manifest.image_data.as_ref().map(|data| data.platform.clone()).unwrap_or_default();
    let parts = [named.os, named.architecture, named.variant];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

fn platform_facts(manifest: &ManifestSummary) -> [String; 4] {
    let used = manifest.image_data.as_ref().is_some_and(|data| !data.containers.is_empty());
    let used = if used { "U" } else { "" };
    [shared::short_id(&manifest.id), size(manifest.size.total), size(manifest.size.content), used.to_owned()]
}

fn size(bytes: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    human_with(bytes as f64, 3)
}

fn names(image: &ImageSummary) -> Vec<String> {
    let named: Vec<String> = image.repo_tags.iter().filter(|name| *name != "<none>:<none>").cloned().collect();
    if named.is_empty() { vec!["<untagged>".to_owned()] } else { named }
}

/// Of an image without manifests nothing is kept as it came, as far as this list knows.
fn facts(image: &ImageSummary) -> [String; 4] {
    let images = || image.manifests.iter().filter(|manifest| manifest.kind == "image");
    let content = images().map(|manifest| manifest.size.content).sum();
    let used = image.containers > 0 || images().any(|m| m.image_data.as_ref().is_some_and(|data| !data.containers.is_empty()));
    [shared::short_id(&image.id), size(image.size), size(content), if used { "U" } else { "" }.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_api::types::image::{ImagePlatform, ManifestImage, ManifestSize};

    #[test]
    fn names_and_facts() {
        let image = |id: &str, tags: &[&str], containers| ImageSummary {
            id: format!("sha256:{}", id.repeat(64)),
            repo_tags: tags.iter().map(ToString::to_string).collect(),
            size: 1_982_684,
            containers,
            ..ImageSummary::default()
        };
        let long = "registry.example/with/a/long/path/name:tag";
        let shown = render(&[image("a", &[], -1), image("b", &[long, "busybox:latest"], 1)], 80);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1], format!("{:62}Info ->  U In Use ", ""));
        assert_eq!(lines[3], "IMAGE                           ID             DISK USAGE   CONTENT SIZE   EXTRA");
        assert_eq!(lines[4], "<untagged>                      aaaaaaaaaaaa       1.98MB             0B        ");
        assert_eq!(lines[5], long);
        assert_eq!(lines[6], "busybox:latest                  bbbbbbbbbbbb       1.98MB             0B   U    ");
        let part = |architecture: &str, content, total| {
            let platform = ImagePlatform { os: "linux".into(), architecture: architecture.into(), ..ImagePlatform::default() };
            ManifestSummary {
                id: format!("sha256:{}", "c".repeat(64)),
                kind: "image".into(),
                size: ManifestSize { content, total },
                image_data: Some(ManifestImage { platform, ..ManifestImage::default() }),
                ..ManifestSummary::default()
            }
        };
        let whole = ImageSummary { manifests: vec![part("amd64", 1000, 3000), part("s390x", 0, 0)], ..image("d", &["x:1"], -1) };
        let shown = render(&[whole], 80);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[4], "x:1     dddddddddddd       1.98MB            1kB        ");
        assert_eq!(lines[5], "├─ linux/amd64");
        assert_eq!(lines[6], "        cccccccccccc          3kB            1kB        ");
        assert_eq!(lines[7], "└─ linux/s390x");
        assert!(render(&[], 80).ends_with("\nIMAGE   ID             DISK USAGE   CONTENT SIZE   EXTRA\n"));
    }
}
