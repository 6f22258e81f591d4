//! `ps`: the processes of a container, by number or as the host's `ps` would show them.

use super::{Command, print};
use crate::args::{Order, Parsed, value};
use crate::context::Context;
use crate::error::{Error, Result};
use dhow_ps::Refused;

pub(super) const COMMAND: Command = Command {
    name: "ps",
    usage: "<container-id> [ps options]",
    about: "ps displays the processes running inside a container",
    flags: &[value("format", Some("f"), "select one of: table or json (default: \"table\")")],
    // What follows the container is meant for `ps`.
    order: Order::Leading,
    words: (1, usize::MAX),
    run,
};

fn run(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    let (_, record) = context.store.find(&parsed.rest[0])?;
    if record.cgroup.dirs.is_empty() {
        return Err(Error::new("unable to get all container pids: the container has no control group"));
    }
    let mut pids = context.cgroups("ps", record.cgroup.pids())?;
    pids.sort_unstable();
    let text = match parsed.text("format") {
        Some("json") => serde_json::to_string(&pids).map_err(|e| Error::new(format!("ps: {e}")))? + "\n",
        None | Some("table") => table(&parsed.rest[1..], &pids)?,
        Some(_) => return Err(Error::new("invalid format option")),
    };
    print(&text).map(|()| 0)
}

fn table(options: &[String], pids: &[i32]) -> Result<String> {
    let options: Vec<&str> = if options.is_empty() { vec!["-ef"] } else { options.iter().map(String::as_str).collect() };
    let view = dhow_ps::parse(&options).map_err(refusal)?;
    if !view.has("PID") {
        return Err(refusal(Refused::NoTable));
    }
    let table = view.table(pids).map_err(refusal)?;
    Ok(table.lines().map(|line| line + "\n").collect())
}

/// As callers see it where a `ps` is started and fails.
fn refusal(refused: Refused) -> Error {
    match refused {
        Refused::Words(words) => Error::new(format!("exit status 1: error: {words}")),
        Refused::NoTable => Error::new("couldn't find PID field in ps output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(options: &[&str]) -> std::result::Result<String, String> {
        let options: Vec<String> = options.iter().map(|word| (*word).to_owned()).collect();
        table(&options, &[std::process::id() as i32]).map_err(|error| error.message)
    }

    #[test]
    fn lines_for_people() {
        let text = call(&[]).unwrap();
        let mut lines = text.lines();
        assert_eq!(
            lines.next().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap(),
            "UID PID PPID C STIME TTY TIME CMD"
        );
        assert_eq!((text.lines().count(), text.ends_with('\n')), (2, true));
        assert_eq!(call(&["-o", "pid,comm", "-p", "1"]).unwrap().lines().count(), 1);
    }

    #[test]
    fn what_is_refused() {
        for (options, expect) in [
            (&["-eo", "nosuch"][..], "exit status 1: error: unknown user-defined format specifier \"nosuch\""),
            (&["-o", "comm"], "couldn't find PID field in ps output"),
            (&["--help"], "couldn't find PID field in ps output"),
            (&["-p"], "exit status 1: error: list of process IDs must follow -p"),
        ] {
            assert_eq!(call(options), Err(expect.to_owned()));
        }
    }
}
