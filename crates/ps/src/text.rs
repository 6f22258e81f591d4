//! A table as lines. Numbers stand at the right end of their columns, words at the left one. A cell that is too wide pushes the next ones to
//! the right, which take the room back where they have some to spare.

use crate::Table;
use crate::args::Column;

/// Where a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    width: usize,
    right: bool,
    /// Values are written as wide as the column, whatever was pushed before.
    whole: bool,
}

impl Place {
    pub(crate) fn of(column: &Column, pid_digits: usize) -> Self {
        let width = if column.field.is_pid() { column.width.max(pid_digits) } else { column.width };
        Self { width, right: column.field.is_right(), whole: matches!(column.field.title, "C" | "%MEM") }
    }
}

impl Table {
    /// The line of headings, and one for each row.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        std::iter::once(line(&self.layout, &self.titles, true)).chain(self.rows.iter().map(|cells| line(&self.layout, cells, false)))
    }
}

fn line(layout: &[Place], cells: &[String], titles: bool) -> String {
    let mut out = String::new();
    // Where the line is, and where it should be.
    let (mut at, mut due) = (0_usize, 0_usize);
    for (n, (place, cell)) in layout.iter().zip(cells).enumerate() {
        let cell = if place.whole && !titles { &format!("{cell:>0$}", place.width) } else { cell };
        let wide = cell.chars().count();
        let pad = if place.right { place.width.saturating_sub(wide) } else { 0 };
        let gap = due.saturating_add(pad).saturating_sub(at).max(usize::from(n > 0));
        out.extend(std::iter::repeat_n(' ', gap));
        out.push_str(cell);
        at += gap + wide;
        due += place.width + 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_ps_has_them() {
        let place = |width: usize, right: bool| Place { width, right, whole: false };
        // STATE, ADDR, SZ, USER, CMD.
        let layout = [place(1, false), place(1, false), place(5, true), place(8, false), place(15, false)];
        let check = |cells: [&str; 5], expect: &str| assert_eq!(line(&layout, &cells.map(str::to_owned), false), expect);
        check(["S", "ADDR", "SZ", "USER", "CMD"], "S ADDR SZ USER     CMD");
        check(["S", "-", "730", "root", "sleep 1"], "S -   730 root     sleep 1");
        check(["S", "-", "1234567", "root", "x"], "S - 1234567 root   x");
        check(["R", "-", "1", "a-long-user", ""], "R -     1 a-long-user ");
        // Processor time keeps its blank.
        let layout = [place(1, true), Place { whole: true, ..place(2, true) }, place(3, true)];
        let line = |cells: [&str; 3]| line(&layout, &cells.map(str::to_owned), false);
        assert_eq!((line(["1", "0", "80"]), line(["123", "0", "80"])), ("1  0  80".into(), "123  0 80".into()));
    }
}
