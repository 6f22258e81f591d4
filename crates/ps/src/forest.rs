//! Processes as trees, drawn as `ps` draws them: each below its parent, behind `\_`.

use crate::process::Process;
use std::collections::{BTreeMap, HashSet};

/// The processes in the order of their trees, each with what is drawn in front of its name. A process whose parent is not
/// among them hangs below one that is not shown: that is what watches the container.
pub(crate) fn draw(processes: Vec<Process>) -> Vec<(String, Process)> {
    let pids: HashSet<i32> = processes.iter().map(|process| process.pid).collect();
    let mut children: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    let mut heads: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in processes {
        let below = if pids.contains(&process.ppid) && process.ppid != process.pid { &mut children } else { &mut heads };
        below.entry(process.ppid).or_default().push(process);
    }
    let mut out = Vec::with_capacity(pids.len());
    // What is still to be drawn, the next last: without recursion, a container may make trees as deep as it likes.
    let mut stack: Vec<(String, bool, Process)> = Vec::new();
    let push = |stack: &mut Vec<(String, bool, Process)>, prefix: &str, all: Vec<Process>| {
        let last = all.len();
        stack.extend(all.into_iter().enumerate().rev().map(|(at, process)| (prefix.to_owned(), at + 1 < last, process)));
    };
    for siblings in heads.into_values() {
        push(&mut stack, " ", siblings);
        while let Some((prefix, more, process)) = stack.pop() {
            let below = children.remove(&process.pid).unwrap_or_default();
            if !below.is_empty() {
                let prefix = if prefix.len() > DEEPEST { prefix.clone() } else { format!("{prefix}{}   ", if more { '|' } else { ' ' }) };
                push(&mut stack, &prefix, below);
            }
            out.push((format!("{prefix}\\_ "), process));
        }
    }
    // A parent that ended and whose number was given away between two looks can close a circle.
    out.extend(children.into_values().flatten().map(|process| (" \\_ ".to_owned(), process)));
    out
}

/// Deeper branches are drawn no further to the right.
const DEEPEST: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(i32, i32)], expect: &[(&str, i32)]) {
        let processes = pairs.iter().map(|(pid, ppid)| Process { pid: *pid, ppid: *ppid, ..Process::default() }).collect();
        let drawn = draw(processes);
        let drawn: Vec<(&str, i32)> = drawn.iter().map(|(branch, process)| (branch.as_str(), process.pid)).collect();
        assert_eq!(drawn, expect);
    }

    #[test]
    fn trees() {
        check(&[], &[]);
        check(&[(5, 1)], &[(" \\_ ", 5)]);
        // Two children of the watcher, of which the first has two and a grandchild.
        check(
            &[(5, 4), (6, 5), (7, 5), (8, 6), (9, 4)],
            &[(" \\_ ", 5), (" |   \\_ ", 6), (" |   |   \\_ ", 8), (" |   \\_ ", 7), (" \\_ ", 9)],
        );
        check(&[(5, 6), (6, 5)], &[(" \\_ ", 6), (" \\_ ", 5)]);
    }
}
