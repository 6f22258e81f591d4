//! The commands, one file each, and the table by which a typed line finds its command.

mod attach;
mod commit;
mod cp;
mod create;
mod df;
mod diff;
mod events;
mod exec;
mod export;
mod history;
mod images;
mod images_tree;
mod import;
mod info;
mod inspect;
mod kill;
mod load;
mod login;
mod logout;
mod logs;
mod network;
mod pause;
mod port;
mod prune;
mod ps;
mod pull;
mod push;
mod rename;
mod restart;
mod rm;
mod rmi;
mod run;
mod save;
mod search;
mod shared;
mod start;
mod stats;
mod stop;
mod system_prune;
mod tag;
mod things;
mod top;
mod unpause;
mod update;
mod version;
mod volume;
mod wait;

use crate::command::{Command, Group};

/// Commands of one word.
pub(crate) static TOP: &[(&str, &Command)] = &[
    ("attach", &attach::COMMAND),
    ("commit", &commit::COMMAND),
    ("cp", &cp::COMMAND),
    ("create", &create::COMMAND),
    ("diff", &diff::COMMAND),
    ("events", &events::COMMAND),
    ("exec", &exec::COMMAND),
    ("export", &export::COMMAND),
    ("history", &history::COMMAND),
    ("images", &images::COMMAND),
    ("import", &import::COMMAND),
    ("info", &info::COMMAND),
    ("inspect", &inspect::COMMAND),
    ("kill", &kill::COMMAND),
    ("load", &load::COMMAND),
    ("login", &login::COMMAND),
    ("logout", &logout::COMMAND),
    ("logs", &logs::COMMAND),
    ("pause", &pause::COMMAND),
    ("port", &port::COMMAND),
    ("ps", &ps::COMMAND),
    ("pull", &pull::COMMAND),
    ("push", &push::COMMAND),
    ("rename", &rename::COMMAND),
    ("restart", &restart::COMMAND),
    ("rm", &rm::COMMAND),
    ("rmi", &rmi::COMMAND),
    ("run", &run::COMMAND),
    ("save", &save::COMMAND),
    ("search", &search::COMMAND),
    ("start", &start::COMMAND),
    ("stats", &stats::COMMAND),
    ("stop", &stop::COMMAND),
    ("tag", &tag::COMMAND),
    ("top", &top::COMMAND),
    ("unpause", &unpause::COMMAND),
    ("update", &update::COMMAND),
    ("version", &version::COMMAND),
    ("wait", &wait::COMMAND),
];

/// Commands of two words.
pub(crate) static GROUPS: &[Group] = &[
    Group {
        name: "container",
        short: "Manage containers",
        members: &[
            ("attach", &attach::COMMAND),
            ("commit", &commit::COMMAND),
            ("cp", &cp::COMMAND),
            ("create", &create::COMMAND),
            ("diff", &diff::COMMAND),
            ("exec", &exec::COMMAND),
            ("export", &export::COMMAND),
            ("inspect", &inspect::CONTAINER),
            ("kill", &kill::COMMAND),
            ("logs", &logs::COMMAND),
            ("ls", &ps::COMMAND),
            ("list", &ps::COMMAND),
            ("ps", &ps::COMMAND),
            ("pause", &pause::COMMAND),
            ("port", &port::COMMAND),
            ("prune", &prune::CONTAINERS),
            ("rename", &rename::COMMAND),
            ("restart", &restart::COMMAND),
            ("rm", &rm::COMMAND),
            ("remove", &rm::COMMAND),
            ("run", &run::COMMAND),
            ("start", &start::COMMAND),
            ("stats", &stats::COMMAND),
            ("stop", &stop::COMMAND),
            ("top", &top::COMMAND),
            ("unpause", &unpause::COMMAND),
            ("update", &update::COMMAND),
            ("wait", &wait::COMMAND),
        ],
    },
    Group {
        name: "image",
        short: "Manage images",
        members: &[
            ("history", &history::COMMAND),
            ("import", &import::COMMAND),
            ("inspect", &inspect::IMAGE),
            ("load", &load::COMMAND),
            ("ls", &images::COMMAND),
            ("list", &images::COMMAND),
            ("prune", &prune::IMAGES),
            ("pull", &pull::COMMAND),
            ("push", &push::COMMAND),
            ("rm", &rmi::COMMAND),
            ("remove", &rmi::COMMAND),
            ("save", &save::COMMAND),
            ("tag", &tag::COMMAND),
        ],
    },
    Group { name: "builder", short: "Manage builds", members: &[("prune", &prune::BUILD_CACHE)] },
    Group {
        name: "network",
        short: "Manage networks",
        members: &[
            ("connect", &network::CONNECT),
            ("create", &network::CREATE),
            ("disconnect", &network::DISCONNECT),
            ("inspect", &inspect::NETWORK),
            ("ls", &network::LS),
            ("list", &network::LS),
            ("prune", &prune::NETWORKS),
            ("rm", &network::RM),
            ("remove", &network::RM),
        ],
    },
    Group {
        name: "system",
        short: "Manage the engine",
        members: &[("df", &df::COMMAND), ("events", &events::COMMAND), ("info", &info::COMMAND), ("prune", &system_prune::COMMAND)],
    },
    Group {
        name: "volume",
        short: "Manage volumes",
        members: &[
            ("create", &volume::CREATE),
            ("inspect", &inspect::VOLUME),
            ("ls", &volume::LS),
            ("list", &volume::LS),
            ("prune", &prune::VOLUMES),
            ("rm", &volume::RM),
            ("remove", &volume::RM),
            ("update", &volume::UPDATE),
        ],
    },
];

/// What words name.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A command, its words, and the words behind them.
    Command(&'static Command, String, &'a [String]),
    /// A group, and the words behind it.
    Group(&'static Group, &'a [String]),
    /// `help`, and what about.
    Help(&'a [String]),
    /// Nothing that exists.
    Nothing,
}

/// Finds the command that words begin with.
pub(crate) fn find(words: &[String]) -> Found<'_> {
    let Some((first, rest)) = words.split_first() else { return Found::Nothing };
    if first == "help" {
        return Found::Help(rest);
    }
    if let Some((name, command)) = TOP.iter().find(|(name, _)| name == first) {
        return Found::Command(command, (*name).to_owned(), rest);
    }
    let Some(group) = GROUPS.iter().find(|group| group.name == first) else { return Found::Nothing };
    let member = rest.first().and_then(|word| group.members.iter().find(|(name, _)| name == word));
    match member {
        Some((_, command)) => {
            // Texts call it by its first name, however it was called.
            let name = group.members.iter().find(|(_, other)| std::ptr::eq(*other, *command)).map_or("", |(name, _)| name);
            Found::Command(command, format!("{first} {name}"), &rest[1..])
        }
        None => Found::Group(group, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Flag;

    /// All commands, once each for every way to call them.
    fn all() -> Vec<(String, &'static Command)> {
        let top = TOP.iter().map(|(name, command)| ((*name).to_owned(), *command));
        let grouped =
            GROUPS.iter().flat_map(|group| group.members.iter().map(move |(name, command)| (format!("{} {name}", group.name), *command)));
        top.chain(grouped).collect()
    }

    #[test]
    fn names_agree_with_the_tables() {
        for (path, command) in all() {
            assert!(command.names.contains(&path.as_str()), "{path} is not among {:?}", command.names);
            for name in command.names {
                assert!(all().iter().any(|(known, _)| known == name), "{name} cannot be called");
            }
        }
    }

    #[test]
    fn flags_are_unique_within_a_command() {
        for (path, command) in all() {
            for (at, flag) in command.flags.iter().enumerate() {
                let again = |other: &Flag| other.long == flag.long || (flag.short.is_some() && other.short == flag.short);
                assert!(!command.flags[at + 1..].iter().any(again), "{path} has --{} twice", flag.long);
            }
        }
    }
}
