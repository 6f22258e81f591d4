//! Help and usage texts, in Docker's layout.

use crate::command::{Command, Group};
use crate::commands;
use crate::error::Error;
use crate::flags::{flag_usages, wrap_width};
use crate::globals::GLOBAL_FLAGS;

/// `Usage:  docker run [OPTIONS] IMAGE`.
pub(crate) fn usage_line(program: &str, command: &Command, path: &str) -> String {
    // A second way to call it names the program again.
    let usage = command.usage.replace("{}", &format!("{program} {path}"));
    format!("Usage:  {program} {path} {usage}").trim_end().to_owned()
}

/// The help of one command.
pub(crate) fn command(program: &str, command: &Command, path: &str) -> String {
    let mut out = format!("{}\n\n{}\n", usage_line(program, command, path), command.short);
    if command.names.len() > 1 {
        let names: Vec<String> = command.names.iter().map(|name| format!("{program} {name}")).collect();
        out.push_str(&format!("\nAliases:\n  {}\n", names.join(", ")));
    }
    if command.flags.iter().any(|flag| !flag.hidden) {
        out.push_str(&format!("\nOptions:\n{}", flag_usages(command.flags, wrap_width())));
    }
    out
}

/// The help of a group: its commands.
pub(crate) fn group(program: &str, group: &Group) -> String {
    let mut out = format!("Usage:  {program} {} COMMAND\n\n{}\n\nCommands:\n", group.name, group.short);
    let mut members: Vec<(&str, &Command)> = Vec::new();
    for (name, command) in group.members {
        // Other spellings of a command stand behind it.
        if !members.iter().any(|(_, known)| std::ptr::eq(*known, *command)) {
            members.push((name, command));
        }
    }
    members.sort_by_key(|(name, _)| *name);
    out.push_str(&columns(&members));
    out.push_str(&format!("\nRun '{program} {} COMMAND --help' for more information on a command.\n", group.name));
    out
}

/// The help of the whole program.
pub(crate) fn program(program: &str) -> String {
    let (common, others): (Vec<_>, Vec<_>) =
        commands::TOP.iter().map(|(name, command)| (*name, *command)).partition(|(name, _)| COMMON.contains(name));
    let mut groups = String::new();
    for group in commands::GROUPS {
        groups.push_str(&format!("  {:<11} {}\n", group.name, group.short));
    }
    format!(
        "Usage:  {program} [OPTIONS] COMMAND\n\nContainers, in one program\n\nCommon Commands:\n{}\nManagement Commands:\n{groups}\n\
         Commands:\n{}\nGlobal Options:\n{}\nRun '{program} COMMAND --help' for more information on a command.\n",
        columns(&common),
        columns(&others),
        flag_usages(GLOBAL_FLAGS, wrap_width()),
    )
}

const COMMON: &[&str] = &["run", "exec", "ps", "pull", "images", "version", "info"];

fn columns(members: &[(&str, &Command)]) -> String {
    members.iter().map(|(name, command)| format!("  {name:<11} {}\n", command.short)).collect()
}

/// A word that names no command.
pub(crate) fn unknown(program: &str, group: Option<&Group>, word: &str) -> Error {
    if word.starts_with('-') {
        let path = group.map_or_else(String::new, |group| format!(" {}", group.name));
        let what = match word.strip_prefix("--") {
            Some(long) => format!("unknown flag: --{}", long.split('=').next().unwrap_or(long)),
            None => format!("unknown shorthand flag: '{}' in {word}", word.chars().nth(1).unwrap_or('-')),
        };
        return Error::with_status(format!("{what}\n\nUsage:  {program}{path}\n\nRun '{program}{path} --help' for more information"), 125);
    }
    Error::new(match group {
        None => format!("{program}: unknown command: {program} {word}\n\nRun '{program} --help' for more information"),
        Some(group) => format!(
            "{program}: unknown command: {program} {name} {word}\n\nUsage:  {program} {name}\n\n\
             Run '{program} {name} --help' for more information",
            name = group.name
        ),
    })
}
