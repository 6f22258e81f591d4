//! `images --tree`.

use dhow_api::size::human_with;
use dhow_api::types::ImageSummary;

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
        if last.chars().count() > first {
            out.push_str(&format!("{last}\n{:first$}", ""));
        } else {
            out.push_str(&format!("{last:first$}"));
        }
        for ((_, width, right), text) in COLUMNS.into_iter().zip(facts(image)) {
            let cell = if right { format!("{text:>width$}") } else { format!("{text:width$}") };
            out.push_str(&format!("{:GAP$}{cell}", ""));
        }
        out.push('\n');
    }
    out
}

fn names(image: &ImageSummary) -> Vec<String> {
    let named: Vec<String> = image.repo_tags.iter().filter(|name| *name != "<none>:<none>").cloned().collect();
    if named.is_empty() { vec!["<untagged>".to_owned()] } else { named }
}

fn facts(image: &ImageSummary) -> [String; 4] {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let size = human_with(image.size as f64, 3);
    // This engine keeps no compressed layers, and says of no image that it is used unless it is asked to count.
    [shared::short_id(&image.id), size, "0B".to_owned(), if image.containers > 0 { "U" } else { "" }.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(render(&[], 80).ends_with("\nIMAGE   ID             DISK USAGE   CONTENT SIZE   EXTRA\n"));
    }
}
