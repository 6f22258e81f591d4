//! The system calls of Linux 6.18 and their numbers.
//!
//! They are text and not an array of names, because each pointer of an array is a relocation that every process of ours would
//! pay for, in private memory, whether it compiles a filter or not.

/// Sorted by name; numbers on x86_64, x86, x32 (without its bit), aarch64 and arm, `-` where the call does not exist.
const TEXT: &str = include_str!("calls.txt");

/// The text made searchable, for as long as a compilation takes.
#[derive(Debug)]
pub(super) struct Table {
    calls: Vec<(&'static str, [Option<u32>; 5])>,
}

impl Table {
    pub(super) fn read() -> Self {
        Self { calls: TEXT.lines().filter_map(parse).collect() }
    }

    /// The numbers of a call on each architecture.
    pub(super) fn numbers(&self, name: &str) -> Option<&[Option<u32>; 5]> {
        let index = self.calls.binary_search_by_key(&name, |(known, _)| known).ok()?;
        Some(&self.calls[index].1)
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.calls.iter().map(|(name, _)| *name).collect()
    }
}

fn parse(line: &'static str) -> Option<(&'static str, [Option<u32>; 5])> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let mut numbers = [None; 5];
    for number in &mut numbers {
        *number = words.next()?.parse().ok();
    }
    Some((name, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_and_names_are_sorted() {
        let names = Table::read().names();
        assert_eq!(names.len(), TEXT.lines().count());
        assert!(names.is_sorted_by(|one, two| one < two));
    }
}
