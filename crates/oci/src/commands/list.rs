//! `list`: all containers of a root.

use super::{Command, print};
use crate::args::{Order, Parsed, switch, value};
use crate::context::Context;
use crate::error::{Error, Result};
use nix::unistd::{Uid, User};

pub(super) const COMMAND: Command = Command {
    name: "list",
    usage: "",
    about: "lists containers started by this runtime with the given root",
    flags: &[
        value("format", Some("f"), "select one of: table or json (default: \"table\")"),
        switch("quiet", Some("q"), "display only container IDs"),
    ],
    order: Order::Mixed,
    words: (0, 0),
    run,
};

const TITLES: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
/// Blanks between columns, and the narrowest column.
const GAP: usize = 3;
const NARROWEST: usize = 12;

fn run(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    let all = context.store.list()?;
    if parsed.is("quiet") {
        let ids: String = all.iter().map(|(_, record, _)| format!("{}\n", record.id)).collect();
        return print(&ids).map(|()| 0);
    }
    let owners: Vec<String> = all.iter().map(|(_, _, uid)| owner(*uid)).collect();
    let mut views = Vec::with_capacity(all.len());
    for ((place, record, _), owner) in all.iter().zip(&owners) {
        views.push((record.view(place.status(record)?, owner), record));
    }
    match parsed.text("format") {
        Some("json") => {
            let views: Vec<_> = views.iter().map(|(view, _)| view).collect();
            let text = if views.is_empty() { Ok("null".to_owned()) } else { serde_json::to_string(&views) };
            print(&text.map_err(|e| Error::new(format!("list: {e}")))?)?;
        }
        None | Some("table") => {
            let mut rows = vec![TITLES.map(str::to_owned)];
            rows.extend(views.iter().map(|(view, record)| view.row(&record.created)));
            print(&table(&rows))?;
        }
        Some(_) => return Err(Error::new("invalid format option")),
    }
    Ok(0)
}

/// The name of whoever made a container. A user without a name has the number.
fn owner(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => format!("#{uid}"),
    }
}

/// Columns as wide as their widest cell.
fn table(rows: &[[String; 6]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0).saturating_add(GAP).max(NARROWEST);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells: String = cells.map(|(n, (cell, width))| if n < 5 { format!("{cell:<width$}") } else { cell.clone() }).collect();
        format!("{cells}\n")
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns() {
        let row = |id: &str| [id, "7", "running", "/b", "now", "root"].map(str::to_owned);
        let expect = concat!(
            "ID                   PID         STATUS      BUNDLE      CREATED     OWNER\n",
            "a-rather-long-name   7           running     /b          now         root\n"
        );
        assert_eq!(table(&[TITLES.map(str::to_owned), row("a-rather-long-name")]), expect);
        assert_eq!(owner(0), "root");
    }
}
