//! `container prune`, `image prune`, `volume prune` and `builder prune`, and the pieces that `system prune` is made of.

use std::io::{BufRead, Write};

use dhow_api::Filters;
use dhow_api::client::Request;
use dhow_api::size::{self, human};
use dhow_api::types::{ImageDeleteItem, PruneContainers, PruneImages};
use serde::Deserialize;

use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, bytes, condition, switch};
use crate::output::say;

/// `container prune`.
pub(super) static CONTAINERS: Command = Command {
    names: &["container prune"],
    usage: "[OPTIONS]",
    short: "Remove all stopped containers",
    flags: &[FILTER, FORCE],
    arity: Arity::None,
    stop_early: false,
    run: |app, parsed| one(app, parsed, Kind::Containers, "WARNING! This will remove all stopped containers.\n"),
};

/// `image prune`.
pub(super) static IMAGES: Command = Command {
    names: &["image prune"],
    usage: "[OPTIONS]",
    short: "Remove images that nobody uses",
    flags: &[switch("all", "All that no container uses, not only those without a name").short('a'), FILTER, FORCE],
    arity: Arity::None,
    stop_early: false,
    run: |app, parsed| {
        let warning = match parsed.is("all") {
            true => "WARNING! This will remove all images without at least one container associated to them.\n",
            false => "WARNING! This will remove all dangling images.\n",
        };
        one(app, parsed, Kind::Images, warning)
    },
};

/// `volume prune`.
pub(super) static VOLUMES: Command = Command {
    names: &["volume prune"],
    usage: "[OPTIONS]",
    short: "Remove volumes that nobody uses",
    flags: &[switch("all", "Named ones too, not only anonymous ones").short('a'), FILTER, FORCE],
    arity: Arity::None,
    stop_early: false,
    run: |app, parsed| {
        let named = parsed.all("filter").iter().any(|text| text.trim_start().starts_with("all="));
        match parsed.is("all") {
            true if named => Err(Error::new("conflicting options: cannot specify both --all and --filter all=1")),
            true => one(app, parsed, Kind::Volumes, "WARNING! This will remove all local volumes not used by at least one container.\n"),
            false => {
                one(app, parsed, Kind::Volumes, "WARNING! This will remove anonymous local volumes not used by at least one container.\n")
            }
        }
    },
};

/// `builder prune`.
pub(super) static BUILD_CACHE: Command = Command {
    names: &["builder prune"],
    usage: "",
    short: "Remove what builds keep",
    flags: &[
        switch("all", "All that no build uses, not only what nothing refers to").short('a'),
        FILTER,
        FORCE,
        bytes("keep-storage", "Keep so much of it"),
    ],
    arity: Arity::None,
    stop_early: false,
    run: |app, parsed| {
        let warning = match parsed.is("all") {
            true => "WARNING! This will remove all build cache. ",
            false => "WARNING! This will remove all dangling build cache. ",
        };
        one(app, parsed, Kind::BuildCache, warning)
    },
};

/// `network prune`.
pub(super) static NETWORKS: Command = Command {
    names: &["network prune"],
    usage: "[OPTIONS]",
    short: "Remove networks that no container is in",
    flags: &[FILTER, FORCE],
    arity: Arity::None,
    stop_early: false,
    run: |app, parsed| {
        let warning = "WARNING! This will remove all custom networks not used by at least one container.\n";
        let Some(outcome) = asked(app, parsed, Kind::Networks, warning)? else { return Ok(()) };
        // Networks take no space.
        if outcome.text.is_empty() { Ok(()) } else { say(&format!("{}\n", outcome.text)) }
    },
};

pub(super) const FILTER: Flag = condition("Remove only what a condition (key=value) holds for");
pub(super) const FORCE: Flag = switch("force", "Do not ask").short('f');

/// What can be pruned, in the order in which `system prune` does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Containers,
    Networks,
    Volumes,
    Images,
    BuildCache,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Others {
    networks_deleted: Option<Vec<String>>,
    volumes_deleted: Option<Vec<String>>,
    caches_deleted: Option<Vec<String>>,
    space_reclaimed: i64,
}

/// What was removed, as text (empty where nothing was), and bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) text: String,
    pub(super) reclaimed: i64,
}

fn one(app: &App, parsed: &Parsed, kind: Kind, warning: &str) -> Result<(), Error> {
    let Some(outcome) = asked(app, parsed, kind, warning)? else { return Ok(()) };
    if !outcome.text.is_empty() {
        say(&format!("{}\n", outcome.text))?;
    }
    say(&total(outcome.reclaimed))
}

/// What was removed; `None` where the user does not want it.
fn asked(app: &App, parsed: &Parsed, kind: Kind, warning: &str) -> Result<Option<Outcome>, Error> {
    if !parsed.is("force") && !confirm(&format!("{warning}Are you sure you want to continue?"))? {
        return Ok(None);
    }
    let wanted = Wanted { all: parsed.is("all"), conditions: &parsed.all("filter"), keep: parsed.value("keep-storage") };
    app.block_on(prune(app, kind, &wanted)).map(Some)
}

/// The line that ends every prune.
pub(super) fn total(reclaimed: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
    let size = human(reclaimed as f64);
    format!("Total reclaimed space: {size}\n")
}

/// Asks a question; only yes is yes.
pub(super) fn confirm(question: &str) -> Result<bool, Error> {
    let mut out = std::io::stdout().lock();
    write!(out, "{question} [y/N] ").and_then(|()| out.flush()).map_err(Error::output)?;
    let mut answer = String::new();
    match std::io::stdin().lock().read_line(&mut answer) {
        Ok(_) => Ok(answer.trim().eq_ignore_ascii_case("y")),
        Err(error) => Err(Error::new(format!("read the answer: {error}"))),
    }
}

/// How much of a kind may go.
pub(super) struct Wanted<'a> {
    pub(super) all: bool,
    pub(super) conditions: &'a [String],
    /// Bytes of build cache, as the person wrote them.
    pub(super) keep: Option<&'a str>,
}

/// Lets the engine prune one kind.
pub(super) async fn prune(app: &App, kind: Kind, wanted: &Wanted<'_>) -> Result<Outcome, Error> {
    let all = wanted.all;
    let mut filters = Filters::new();
    for condition in wanted.conditions.iter().filter(|text| !text.is_empty()) {
        let (key, value) = dhow_api::filters::parse_flag(condition).map_err(|error| Error::new(error.message))?;
        filters.add(&key, &value);
    }
    if kind == Kind::Volumes && all {
        filters.add("all", "true");
    }
    if kind == Kind::Images {
        filters.add("dangling", if all { "false" } else { "true" });
    }
    let path = match kind {
        Kind::Containers => "/containers/prune",
        Kind::Networks => "/networks/prune",
        Kind::Volumes => "/volumes/prune",
        Kind::Images => "/images/prune",
        Kind::BuildCache => "/build/prune",
    };
    let mut request = Request::post(path).query_opt("filters", (!filters.is_empty()).then(|| filters.to_json()));
    if kind == Kind::BuildCache {
        let keep = wanted.keep.filter(|text| !text.is_empty()).map(size::parse_binary).transpose();
        let keep = keep.map_err(|error| Error::new(error.to_string()))?;
        request = request.flag("all", all).query_opt("keep-storage", keep.map(|bytes| bytes.to_string()));
    }
    let client = app.client().await?;
    Ok(match kind {
        Kind::Containers => {
            let answer: PruneContainers = client.json(request).await?;
            listed("Deleted Containers:", &answer.containers_deleted.unwrap_or_default(), answer.space_reclaimed)
        }
        Kind::Images => {
            let answer: PruneImages = client.json(request).await?;
            let lines: Vec<String> = answer.images_deleted.unwrap_or_default().iter().map(line).collect();
            listed("Deleted Images:", &lines, answer.space_reclaimed)
        }
        Kind::Networks | Kind::Volumes | Kind::BuildCache => {
            let answer: Others = client.json(request).await?;
            let (heading, list) = match kind {
                Kind::Networks => ("Deleted Networks:", answer.networks_deleted),
                Kind::Volumes => ("Deleted Volumes:", answer.volumes_deleted),
                _ => ("Deleted build cache objects:", answer.caches_deleted),
            };
            listed(heading, &list.unwrap_or_default(), answer.space_reclaimed)
        }
    })
}

fn line(item: &ImageDeleteItem) -> String {
    if item.untagged.is_empty() { format!("deleted: {}", item.deleted) } else { format!("untagged: {}", item.untagged) }
}

fn listed(heading: &str, lines: &[String], reclaimed: i64) -> Outcome {
    if lines.is_empty() {
        return Outcome { text: String::new(), reclaimed };
    }
    let mut text = format!("{heading}\n");
    lines.iter().for_each(|line| text.push_str(&format!("{line}\n")));
    Outcome { text, reclaimed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!(total(4_261_502), "Total reclaimed space: 4.262MB\n");
        assert_eq!(listed("Deleted Networks:", &[], 0), Outcome::default());
        let gone = |untagged: &str, deleted: &str| ImageDeleteItem { untagged: untagged.into(), deleted: deleted.into() };
        let lines: Vec<String> = [gone("x:1", ""), gone("", "sha256:1")].iter().map(line).collect();
        assert_eq!(listed("Deleted Images:", &lines, 1).text, "Deleted Images:\nuntagged: x:1\ndeleted: sha256:1\n");
    }
}
