//! Aligned columns: cells divided by tabs, each column as wide as its widest cell and three blanks.

use crate::template::truncate;

/// The narrowest a column gets.
const MIN_WIDTH: usize = 10;
const GAP: usize = 3;

/// Aligns lines whose cells are divided by tabs. The last cell of a line is not padded. As with Go's tabwriter, a column is
/// a run of lines that have that cell, ended by a tab.
pub(crate) fn align(text: &str) -> String {
    align_with(text, MIN_WIDTH, GAP)
}

/// The same with other measures: the narrowest column, and the blanks behind its widest cell.
pub(crate) fn align_with(text: &str, narrowest: usize, gap: usize) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let widths = column_widths(&lines, narrowest, gap);
    let mut out = String::with_capacity(text.len() * 2);
    for (at, cells) in lines.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        for (column, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < cells.len() {
                let padding = widths[at][column].saturating_sub(cell.chars().count());
                out.extend(std::iter::repeat_n(' ', padding));
            }
        }
    }
    out
}

/// For each line, the width of each of its padded cells.
fn column_widths(lines: &[Vec<&str>], narrowest: usize, gap: usize) -> Vec<Vec<usize>> {
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len().saturating_sub(1)]).collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut at = 0;
        while at < lines.len() {
            let run = widths[at..].iter().take_while(|line| line.len() > column).count();
            let cells = lines[at..at + run].iter().map(|cells| cells[column].chars().count() + gap);
            let width = cells.max().unwrap_or(0).max(narrowest);
            for line in &mut widths[at..at + run] {
                line[column] = width;
            }
            at += run.max(1);
        }
    }
    widths
}

/// The first columns of a text, with an ellipsis where something is left out.
pub(crate) fn ellipsis(text: &str, columns: usize) -> String {
    truncate(text, columns)
}

#[cfg(test)]
mod tests {
    use super::align;

    #[test]
    fn columns() {
        assert_eq!(align("ID\tNAMES\naaaaaaaaaaaa\tx\n"), "ID             NAMES\naaaaaaaaaaaa   x\n");
        assert_eq!(align("a\tb\tc"), "a         b         c");
        assert_eq!(align("w…\tb"), "w…        b");
    }
}
