//! The processes of a container, as the host's `ps` would show them, without starting it: read from `/proc`, rendered by our own table.

mod args;
mod columns;
mod forest;
mod process;
mod select;

use crate::clock;
use crate::container::slot::not_running;
use crate::container::start::cgroup_path;
use crate::container::tell::tell;
use crate::error::{Error, Kind, Result};
use crate::model::Status;
use crate::parts::Parts;
use args::View;
use dhow_runtime::cgroup::Cgroup;
use process::{Machine, Process};
use std::sync::Arc;
use std::time::Duration;

/// Reading a process waits for its memory's lock: one that hangs in the kernel may hold it for ever.
const WAIT: Duration = Duration::from_secs(10);
/// More processes are not listed: an answer is kept in memory as a whole.
const MOST: usize = 32_768;

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Headings.
    pub titles: Vec<String>,
    /// One row for each process.
    pub rows: Vec<Vec<String>>,
}

/// Lists the processes of a running container by arguments of `ps`; empty means `-ef`.
pub(crate) async fn list(parts: &Arc<Parts>, name: &str, ps: &str) -> Result<Table> {
    let ps = if ps.trim().is_empty() { "-ef" } else { ps };
    args::check(ps)?;
    let container = parts.registry.get(name)?.get();
    match container.state.status {
        Status::Running | Status::Paused => {}
        Status::Restarting => {
            let text = format!("Container {} is restarting, wait until the container is running", container.id);
            return Err(Error::new(Kind::Conflict, text));
        }
        _ => return Err(not_running(&container.id)),
    }
    let view = args::parse(ps)?;
    if !view.columns.iter().any(|column| column.title == "PID") {
        return Err(args::no_pids());
    }
    let cgroup = Cgroup::at(&cgroup_path(parts, &container)).map_err(|e| Error::internal("list the processes of", &container.id, e))?;
    let id = container.id.clone();
    let work = tokio::task::spawn_blocking(move || {
        let pids = cgroup.pids().map_err(|e| Error::internal("list the processes of", &id, e))?;
        table(&view, &pids)
    });
    match tokio::time::timeout(WAIT, work).await {
        Ok(Ok(done)) => {
            let table = done?;
            tell(parts, &container, "top", &[]);
            Ok(table)
        }
        Ok(Err(error)) => Err(Error::internal("list the processes of", &container.id, error)),
        Err(_) => Err(Error::new(Kind::Internal, format!("the processes of container {} cannot be read: one of them hangs", container.id))),
    }
}

/// Rows by pid. One that ends meanwhile is left out.
fn table(view: &View, pids: &[i32]) -> Result<Table> {
    let machine = Machine::read(clock::now());
    view.selection.check(&machine)?;
    let mut pids = pids.to_vec();
    pids.sort_unstable();
    pids.dedup();
    let all: Vec<Process> = pids.into_iter().take(MOST).filter_map(Process::read).collect();
    let mut drawn: Vec<(String, Process)> = match view.forest {
        true => forest::draw(all),
        false => all.into_iter().map(|process| (String::new(), process)).collect(),
    };
    drawn.retain(|(_, process)| view.selection.holds(process, &machine));
    if view.threads {
        let threads = |(branch, process): (String, Process)| process.threads().into_iter().map(move |thread| (branch.clone(), thread));
        drawn = drawn.into_iter().flat_map(threads).take(MOST).collect();
    }
    let rows = drawn.into_iter().map(|(branch, process)| row(view, &machine, &branch, &process)).collect();
    Ok(Table { titles: view.columns.iter().map(|column| column.title.clone()).collect(), rows })
}

/// One row. Docker takes the output of `ps` apart at blanks, so those in the last column are single ones.
fn row(view: &View, machine: &Machine, branch: &str, process: &Process) -> Vec<String> {
    let mut row: Vec<String> = Vec::with_capacity(view.columns.len());
    for column in &view.columns {
        let value = (column.field.show)(process, machine, column.width);
        row.push(if column.field.is_command() { format!("{branch}{value}") } else { value });
    }
    if let Some(last) = row.last_mut() {
        *last = last.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    }
    row
}
