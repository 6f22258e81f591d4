//! The functions of a program and where they start.

use crate::shell::{command, output};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

/// The functions of a program.
#[derive(Debug)]
pub(super) struct Symbols {
    /// Names by start. Several where functions are the same to the last byte: the section has the name of one of them.
    functions: BTreeMap<u64, BTreeSet<String>>,
}

impl Symbols {
    /// Those of a program that lies at a fixed address and has its symbols.
    pub(super) fn of(program: &Path) -> Result<Self> {
        let symbols = Self::parse(&output(command("readelf", &["--symbols", "--wide"]).arg(program))?);
        if symbols.functions.is_empty() {
            bail!("{} has no symbols", program.display());
        }
        Ok(symbols)
    }

    /// Of `readelf --symbols --wide`: number, value, size, type, binding, visibility, section, name.
    fn parse(text: &str) -> Self {
        let mut functions = BTreeMap::<u64, BTreeSet<String>>::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, value, _, "FUNC" | "IFUNC", _, _, section, name, ..] = fields[..] else { continue };
            let Some(start) = u64::from_str_radix(value, 16).ok().filter(|start| *start > 0 && section != "UND") else { continue };
            functions.entry(start).or_default().insert(name.to_owned());
        }
        Self { functions }
    }

    /// From the start of the first function to that of the last, and the byte there.
    pub(super) fn range(&self) -> Result<std::ops::RangeInclusive<u64>> {
        let ends = self.functions.keys().next().zip(self.functions.keys().next_back());
        ends.map(|(first, last)| *first..=*last).context("no functions")
    }

    /// Where functions start.
    pub(super) fn starts(&self) -> impl Iterator<Item = u64> + '_ {
        self.functions.keys().copied()
    }

    /// The names of what starts there.
    pub(super) fn at(&self, start: u64) -> impl Iterator<Item = &str> {
        self.functions.get(&start).into_iter().flatten().map(String::as_str)
    }

    /// How many of these names are functions of the program.
    pub(super) fn known<'names>(&self, names: impl Iterator<Item = &'names str>) -> usize {
        let own: HashSet<&str> = self.functions.values().flatten().map(|name| lasting(name)).collect();
        names.filter(|name| own.contains(name)).count()
    }
}

/// A name without what the optimizer appends to functions that it lets other units of the program see: the number is another one after each
/// change of the unit.
pub(super) fn lasting(name: &str) -> &str {
    name.split_once(".llvm.").map_or(name, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
Symbol table '.symtab' contains 5 entries:
   Num:    Value          Size Type    Bind   Vis      Ndx Name
     0: 0000000000000000     0 NOTYPE  LOCAL  DEFAULT  UND
     1: 0000000000746700    34 FUNC    GLOBAL DEFAULT    8 read
     2: 0000000000746700    34 FUNC    WEAK   DEFAULT    8 __read
     3: 0000000000746740     8 FUNC    LOCAL  DEFAULT    8 _ZN4dhow4main17h0123456789abcdefE.llvm.42
     4: 0000000000746800    16 OBJECT  LOCAL  DEFAULT    8 table
     5: 0000000000746900    16 IFUNC   LOCAL  DEFAULT    8 memcpy
     6: 0000000000000000    16 FUNC    WEAK   DEFAULT  UND dlopen
";

    #[test]
    fn functions_that_are_there() {
        let symbols = Symbols::parse(TABLE);
        assert_eq!(symbols.starts().collect::<Vec<_>>(), [0x74_6700, 0x74_6740, 0x74_6900]);
        assert_eq!(symbols.range().unwrap(), 0x74_6700..=0x74_6900);
        assert_eq!(symbols.at(0x74_6700).collect::<Vec<_>>(), ["__read", "read"]);
        assert_eq!(symbols.at(0x74_6800).count(), 0, "what is no function stays as it is");
        assert_eq!(symbols.known(["memcpy", "_ZN4dhow4main17h0123456789abcdefE", "gone"].into_iter()), 2);
    }

    #[test]
    fn a_name_lasts() {
        assert_eq!(lasting("_ZN1aE.llvm.123"), "_ZN1aE");
        assert_eq!(lasting("yy_reduce.constprop.0"), "yy_reduce.constprop.0");
    }
}
