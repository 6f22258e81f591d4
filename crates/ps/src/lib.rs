//! Processes as the host's `ps` (procps 4) would show them, without starting it: its arguments understood, values read from `/proc`, a table
//! of cells or the very lines. Which processes are looked at is the caller's choice: those of a container.

mod args;
mod columns;
mod error;
mod forest;
mod process;
mod select;
mod text;

pub use args::{View, parse};
pub use error::{Refused, Result};

use process::{Machine, Process};
use std::time::{SystemTime, UNIX_EPOCH};

/// More processes are not listed: a table is kept in memory as a whole.
const MOST: usize = 32_768;

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Headings.
    pub titles: Vec<String>,
    /// One row for each process.
    pub rows: Vec<Vec<String>>,
    /// What each column is, for [`Table::lines`].
    layout: Vec<text::Place>,
}

impl View {
    /// Looks at these processes. Rows are ordered by pid where nothing else was asked for; a process that ends meanwhile is left out.
    ///
    /// # Errors
    /// A user is named whom nobody knows.
    pub fn table(&self, pids: &[i32]) -> Result<Table> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let machine = Machine::read(i64::try_from(now).unwrap_or(i64::MAX));
        self.selection.check(&machine)?;
        let mut pids = pids.to_vec();
        pids.sort_unstable();
        pids.dedup();
        let mut all: Vec<Process> = pids.into_iter().take(MOST).filter_map(Process::read).collect();
        self.sort(&mut all, &machine);
        let mut drawn: Vec<(String, Process)> = match self.forest {
            true => forest::draw(all),
            false => all.into_iter().map(|process| (String::new(), process)).collect(),
        };
        drawn.retain(|(_, process)| self.selection.holds(process, &machine));
        if self.threads {
            let threads = |(branch, process): (String, Process)| process.threads().into_iter().map(move |thread| (branch.clone(), thread));
            drawn = drawn.into_iter().flat_map(threads).take(MOST).collect();
        }
        let rows = drawn.into_iter().map(|(branch, process)| self.row(&machine, &branch, &process)).collect();
        let titles = self.columns.iter().map(|column| column.title.clone()).collect();
        Ok(Table { titles, rows, layout: self.columns.iter().map(|column| text::Place::of(column, machine.pid_digits)).collect() })
    }

    /// By the first key, where that is the same by the next one.
    fn sort(&self, all: &mut [Process], machine: &Machine) {
        for (key, falling) in self.keys.iter().rev() {
            all.sort_by(|one, other| {
                let order = columns::compare(key, one, other, machine);
                if *falling { order.reverse() } else { order }
            });
        }
    }

    fn row(&self, machine: &Machine, branch: &str, process: &Process) -> Vec<String> {
        let cell = |(n, column): (usize, &args::Column)| {
            // Nothing stands behind the last one that would need its place.
            let width = if n + 1 == self.columns.len() { usize::MAX } else { column.width };
            let value = (column.field.show)(process, machine, width);
            let value = if column.field.is_command() { format!("{branch}{value}") } else { value };
            if column.field.is_cut() && width < value.len() { value.chars().take(width).collect() } else { value }
        };
        self.columns.iter().enumerate().map(cell).collect()
    }
}
