//! `system prune`.

use super::prune::{FILTER, FORCE, Kind, Wanted, confirm, prune, total};
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Parsed, switch};
use crate::output::say;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["system prune"],
    usage: "[OPTIONS]",
    short: "Remove what nobody uses",
    flags: &[
        switch("all", "All images that no container uses, not only those without a name").short('a'),
        FILTER,
        FORCE,
        switch("volumes", "Anonymous volumes too"),
    ],
    arity: Arity::None,
    stop_early: false,
    run,
};

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let conditions = parsed.all("filter");
    let (all, volumes) = (parsed.is("all"), parsed.is("volumes"));
    if volumes && conditions.iter().any(|text| text.trim_start().to_lowercase().starts_with("until")) {
        return Err(Error::new("ERROR: The \"until\" filter is not supported with \"--volumes\""));
    }
    if !parsed.is("force") && !confirm(&question(all, volumes, &conditions))? {
        return Ok(());
    }
    let mut reclaimed = 0;
    for kind in [Kind::Containers, Kind::Networks, Kind::Volumes, Kind::Images, Kind::BuildCache] {
        if kind == Kind::Volumes && !volumes {
            continue;
        }
        // Named volumes stay, whatever else goes.
        let wanted = Wanted { all: all && kind != Kind::Volumes, conditions: &conditions, keep: None };
        let outcome = app.block_on(prune(app, kind, &wanted))?;
        reclaimed += outcome.reclaimed;
        if !outcome.text.is_empty() {
            say(&format!("{}\n", outcome.text))?;
        }
    }
    say(&total(reclaimed))
}

/// What will go, and the conditions for it.
fn question(all: bool, volumes: bool, conditions: &[String]) -> String {
    let mut text =
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n".to_owned();
    if volumes {
        text.push_str("  - all anonymous volumes not used by at least one container\n");
    }
    text.push_str(if all {
        "  - all images without at least one container associated to them\n  - all build cache\n"
    } else {
        "  - all dangling images\n  - unused build cache\n"
    });
    let mut shown: Vec<&String> =
        conditions.iter().filter(|text| ["label=", "label!=", "until="].iter().any(|key| text.starts_with(key))).collect();
    if !shown.is_empty() {
        shown.sort();
        text.push_str("\n  Items to be pruned will be filtered with:\n");
        shown.iter().for_each(|condition| text.push_str(&format!("  - {condition}\n")));
    }
    text.push_str("\nAre you sure you want to continue?");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        insta::assert_snapshot!(question(false, false, &[]), @r"
        WARNING! This will remove:
          - all stopped containers
          - all networks not used by at least one container
          - all dangling images
          - unused build cache

        Are you sure you want to continue?
        ");
        insta::assert_snapshot!(question(true, true, &["until=1h".into(), "label=a".into()]), @r"
        WARNING! This will remove:
          - all stopped containers
          - all networks not used by at least one container
          - all anonymous volumes not used by at least one container
          - all images without at least one container associated to them
          - all build cache

          Items to be pruned will be filtered with:
          - label=a
          - until=1h

        Are you sure you want to continue?
        ");
    }
}
