//! Help texts have the docker client's layout: usage line, aliases, flags with letters, kinds and defaults, and the members
//! of groups. Descriptions are our own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dhow_tests::{Cmd, paths, skip};

/// The commands that are compared.
const COMMANDS: &[&str] = &[
    "attach",
    "create",
    "events",
    "exec",
    "images",
    "import",
    "info",
    "inspect",
    "kill",
    "load",
    "login",
    "logout",
    "logs",
    "pause",
    "port",
    "ps",
    "pull",
    "push",
    "rename",
    "restart",
    "rm",
    "rmi",
    "run",
    "search",
    "start",
    "stop",
    "tag",
    "unpause",
    "update",
    "version",
    "wait",
    "container attach",
    "container create",
    "container exec",
    "container inspect",
    "container kill",
    "container list",
    "container logs",
    "container ls",
    "container pause",
    "container port",
    "container ps",
    "container remove",
    "container rename",
    "container restart",
    "container rm",
    "container run",
    "container start",
    "container stop",
    "container unpause",
    "container update",
    "container wait",
    "image import",
    "image inspect",
    "image list",
    "image load",
    "image ls",
    "image pull",
    "image push",
    "image remove",
    "image rm",
    "image tag",
    "system events",
    "system info",
    "volume create",
    "volume inspect",
    "volume ls",
    "volume prune",
    "volume rm",
    "volume update",
];

/// Flags that only one side shows, with the reason.
const KNOWN: &[&str] = &[
    // The client hides these when it sees an engine without experiments, as we do always.
    "--checkpoint",
    "--checkpoint-dir",
];

/// What a help text says, without its words.
#[derive(Debug, PartialEq, Eq)]
struct Help {
    usage: Vec<String>,
    aliases: String,
    /// `-a, --all` and what its value is called, with its default.
    flags: BTreeMap<String, (String, String)>,
    hint: String,
}

fn read(text: &str) -> Help {
    let usage = text.lines().take_while(|line| !line.is_empty()).map(|line| line.trim_end().to_owned()).collect();
    let aliases = section(text, "Aliases:").concat();
    let mut flags: Vec<(String, String)> = Vec::new();
    for line in section(text, "Options:").into_iter().chain(section(text, "Global Options:")) {
        let body = line.trim_start();
        if body.starts_with('-') && line.len() - body.len() <= 6 {
            let (head, words) = body.split_once("   ").unwrap_or((body, ""));
            flags.push((head.trim_end().to_owned(), words.trim().to_owned()));
        } else if let Some((_, words)) = flags.last_mut() {
            words.push(' ');
            words.push_str(body);
        }
    }
    let flag = |(head, words): (String, String)| {
        let (name, kind) = match head.rsplit_once(' ') {
            Some((name, kind)) if !kind.starts_with('-') => (name.to_owned(), kind.to_owned()),
            _ => (head, String::new()),
        };
        let default = words.rsplit_once("(default ").and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or_default();
        // "default shows just running" describes.
        let default = if default.contains(' ') && !default.starts_with('"') { "" } else { default };
        (name, (kind, default.to_owned()))
    };
    let hint = text.lines().find(|line| line.starts_with("Run '")).unwrap_or_default().to_owned();
    Help { usage, aliases, flags: flags.into_iter().map(flag).collect(), hint }
}

/// The lines under a heading.
fn section(text: &str, heading: &str) -> Vec<String> {
    let below = text.lines().skip_while(|line| *line != heading).skip(1);
    below.take_while(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Runs a client that will find no engine; both are called `docker`, so that their texts are alike.
fn help(client: &Path, words: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let link = dir.path().join("docker");
    std::os::unix::fs::symlink(client, &link).expect("a link");
    let output = Cmd::new(link)
        .args(words.split_whitespace())
        .args(["--help"])
        .env("HOME", "/nonexistent")
        .env("DOCKER_HOST", "unix:///nonexistent/socket")
        .run();
    assert!(output.code == 0 && output.stderr().is_empty(), "{output}");
    output.stdout()
}

#[test]
fn every_command_has_dockers_usage_and_flags() {
    let Some(docker) = paths::program("docker") else { return skip("the docker client is not installed") };
    let mut differences = Vec::new();
    for words in COMMANDS {
        let (theirs, ours) = (read(&help(&docker, words)), read(&help(&paths::dhow(), words)));
        if theirs.usage != ours.usage || theirs.aliases != ours.aliases || theirs.hint != ours.hint {
            differences.push(format!(
                "{words}: {:?} {} {}\n     but {:?} {} {}",
                theirs.usage, theirs.aliases, theirs.hint, ours.usage, ours.aliases, ours.hint
            ));
        }
        let names: BTreeSet<&String> = theirs.flags.keys().chain(ours.flags.keys()).collect();
        for name in names.into_iter().filter(|name| !KNOWN.contains(&name.as_str())) {
            let (a, b) = (theirs.flags.get(name), ours.flags.get(name));
            if a != b {
                differences.push(format!("{words} {name}: {a:?} but {b:?}"));
            }
        }
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

/// Groups of the client that belong to what is not there yet, or never will be.
const ABSENT: &[&str] = &[
    "builder",
    "buildx",
    "checkpoint",
    "compose",
    "config",
    "context",
    "manifest",
    "network",
    "node",
    "plugin",
    "secret",
    "service",
    "stack",
    "swarm",
    "trust",
    "volume",
    "build",
    "login",
    "logout",
    "push",
    "search",
    "dial-stdio",
    "commit",
    "cp",
    "diff",
    "export",
    "history",
    "save",
    "stats",
    "top",
    "prune",
    "df",
];

#[test]
fn groups_list_dockers_members() {
    let Some(docker) = paths::program("docker") else { return skip("the docker client is not installed") };
    for words in ["", "container", "image", "system"] {
        let names = |text: &str| -> BTreeMap<String, BTreeSet<String>> {
            let headings = ["Common Commands:", "Management Commands:", "Commands:"];
            let members = |heading: &str| {
                let lines = section(text, heading);
                let names =
                    lines.iter().filter_map(|line| line.split_whitespace().next()).map(|name| name.trim_end_matches('*').to_owned());
                names.filter(|name| !ABSENT.contains(&name.as_str())).collect()
            };
            headings.map(|heading| (heading.to_owned(), members(heading))).into()
        };
        let (theirs, ours) = (help(&docker, words), help(&paths::dhow(), words));
        assert_eq!(names(&theirs), names(&ours), "{words}");
        let (theirs, ours) = (read(&theirs), read(&ours));
        assert_eq!((&theirs.usage, &theirs.hint), (&ours.usage, &ours.hint), "{words}");
    }
}

#[test]
fn reading_help() {
    let text = "Usage:  x [OPTIONS]\n\nDoes it\n\nAliases:\n  x, y\n\nOptions:\n  -a, --all             All (default\n                        true)\n      --b-c list        More\n";
    let read = read(text);
    assert_eq!((read.usage.as_slice(), read.aliases.as_str()), (["Usage:  x [OPTIONS]".to_owned()].as_slice(), "  x, y"));
    let flags: Vec<_> = read.flags.iter().map(|(name, (kind, default))| format!("{name}|{kind}|{default}")).collect();
    assert_eq!(flags, ["--b-c|list|", "-a, --all||true"]);
}
