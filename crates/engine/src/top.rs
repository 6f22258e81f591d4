//! The processes of a container, as the host's `ps` would show them, in the words of Docker.

use crate::container::slot::not_running;
use crate::container::start::cgroup_path;
use crate::container::tell::tell;
use crate::error::{Error, Kind, Result};
use crate::model::Status;
use crate::parts::Parts;
use dhow_ps::Refused;
use dhow_runtime::cgroup::Cgroup;
use std::sync::Arc;
use std::time::Duration;

/// Reading a process waits for its memory's lock: one that hangs in the kernel may hold it for ever.
const WAIT: Duration = Duration::from_secs(10);
/// More is nobody's question.
const LONGEST: usize = 4096;

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
    check(ps)?;
    let container = parts.registry.get(name)?.get();
    match container.state.status {
        Status::Running | Status::Paused => {}
        Status::Restarting => {
            let text = format!("Container {} is restarting, wait until the container is running", container.id);
            return Err(Error::new(Kind::Conflict, text));
        }
        _ => return Err(not_running(&container.id)),
    }
    let view = dhow_ps::parse(&ps.split_ascii_whitespace().collect::<Vec<_>>()).map_err(refusal)?;
    if !view.has("PID") {
        return Err(refusal(Refused::NoTable));
    }
    let cgroup = Cgroup::at(&cgroup_path(parts, &container)).map_err(|e| Error::internal("list the processes of", &container.id, e))?;
    let id = container.id.clone();
    let work = tokio::task::spawn_blocking(move || {
        let pids = cgroup.pids().map_err(|e| Error::internal("list the processes of", &id, e))?;
        view.table(&pids).map_err(refusal)
    });
    match tokio::time::timeout(WAIT, work).await {
        Ok(Ok(done)) => {
            let table = done?;
            tell(parts, &container, "top", &[]);
            Ok(Table { titles: table.titles, rows: table.rows.into_iter().map(row).collect() })
        }
        Ok(Err(error)) => Err(Error::internal("list the processes of", &container.id, error)),
        Err(_) => Err(Error::new(Kind::Internal, format!("the processes of container {} cannot be read: one of them hangs", container.id))),
    }
}

/// Docker takes the output of `ps` apart at blanks, so those in the last column are single ones.
fn row(mut cells: Vec<String>) -> Vec<String> {
    if let Some(last) = cells.last_mut() {
        *last = last.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    }
    cells
}

/// What `ps` refuses, and what Docker says of an answer in which it does not know the processes.
fn refusal(refused: Refused) -> Error {
    match refused {
        Refused::Words(words) => Error::new(Kind::Internal, format!("ps: error: {words}")),
        Refused::NoTable => Error::new(Kind::Internal, "Couldn't find PID field in ps output"),
    }
}

/// Docker's check: no column may pretend to be that of the pids.
fn check(ps: &str) -> Result<()> {
    if ps.len() > LONGEST {
        return Err(Error::new(Kind::Invalid, "ps_args is too long"));
    }
    // A word behind a blank that ends in `=PID...`.
    for word in ps.split_ascii_whitespace().skip(usize::from(!ps.starts_with(char::is_whitespace))) {
        if let Some((key, value)) = word.rsplit_once('=')
            && value.starts_with("PID")
            && key != "pid"
        {
            return Err(Error::new(Kind::Internal, format!("specifying \"{key}={value}\" is not allowed")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_pretend() {
        let verdict = |ps: &str| check(ps).err().map(|error| error.message);
        assert_eq!(verdict("-o pid=PID"), None);
        for (ps, expect) in [("-o pid,x=PID", "pid,x=PID"), ("-o pid= -o x=PID", "x=PID")] {
            assert_eq!(verdict(ps), Some(format!("specifying \"{expect}\" is not allowed")));
        }
        assert_eq!(row(vec!["a  b".into(), "sh  -c".into()]), ["a  b", "sh -c"]);
    }
}
