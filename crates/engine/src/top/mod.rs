//! The processes of a container, as the host's `ps` would show them, without starting it: read from `/proc`, rendered by our own table.

mod args;
mod columns;
mod process;

use crate::clock;
use crate::container::{cgroup_path, not_running};
use crate::engine::Parts;
use crate::error::{Error, Kind, Result};
use crate::model::Status;
use args::Column;
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
    let columns = args::parse(ps)?;
    if !columns.iter().any(|column| column.title == "PID") {
        return Err(Error::new(Kind::Internal, "Couldn't find PID field in ps output"));
    }
    let cgroup = Cgroup::at(&cgroup_path(parts, &container)).map_err(|e| Error::internal("list the processes of", &container.id, e))?;
    let id = container.id.clone();
    let work = tokio::task::spawn_blocking(move || {
        let pids = cgroup.pids().map_err(|e| Error::internal("list the processes of", &id, e))?;
        Ok(table(&columns, &pids))
    });
    match tokio::time::timeout(WAIT, work).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => Err(Error::internal("list the processes of", &container.id, error)),
        Err(_) => Err(Error::new(Kind::Internal, format!("the processes of container {} cannot be read: one of them hangs", container.id))),
    }
}

/// Rows by pid. One that ends meanwhile is left out.
fn table(columns: &[Column], pids: &[i32]) -> Table {
    let machine = Machine::read(clock::now());
    let mut pids = pids.to_vec();
    pids.sort_unstable();
    pids.dedup();
    let processes = pids.into_iter().take(MOST).filter_map(Process::read);
    let row = |process: Process| columns.iter().map(|column| (column.field.show)(&process, &machine, column.width)).collect();
    Table { titles: columns.iter().map(|column| column.title.clone()).collect(), rows: processes.map(row).collect() }
}
