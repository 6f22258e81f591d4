//! Mappings of user and group ids: a specification's ranges, checked, looked up, in the kernel's form. Pure, but for writing and reading.

use crate::error::{At, Failure, Result, Step};
use oci_spec::runtime::LinuxIdMapping;
use serde::{Deserialize, Serialize};

/// Most ranges that the kernel takes.
const RANGES: usize = 340;
/// Longest text that the kernel takes: less than a page.
const TEXT: usize = 4095;

/// A run of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// First id in the container.
    pub container: u32,
    /// First id on the host.
    pub host: u32,
    /// How many.
    pub size: u32,
}

/// The ids of a user namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// User ids.
    pub uids: Vec<Range>,
    /// Group ids.
    pub gids: Vec<Range>,
}

impl IdMap {
    /// From a specification's `linux.uidMappings` and `linux.gidMappings`; `None` where it has none.
    pub fn of(uids: Option<&[LinuxIdMapping]>, gids: Option<&[LinuxIdMapping]>) -> Result<Option<Self>> {
        let map = Self::of_fields("linux", uids, gids)?;
        for (field, ranges) in map.iter().flat_map(|map| [("linux.uidMappings", &map.uids), ("linux.gidMappings", &map.gids)]) {
            rooted(field, ranges)?;
        }
        Ok(map)
    }

    /// From the two fields of any object, which need not map root.
    pub(crate) fn of_fields(object: &str, uids: Option<&[LinuxIdMapping]>, gids: Option<&[LinuxIdMapping]>) -> Result<Option<Self>> {
        let ranges = |name: &str, mappings: &[LinuxIdMapping]| {
            let range = |m: &LinuxIdMapping| Range { container: m.container_id(), host: m.host_id(), size: m.size() };
            let ranges: Vec<Range> = mappings.iter().map(range).collect();
            check(&format!("{object}.{name}"), &ranges).map(|()| ranges)
        };
        match (uids.unwrap_or_default(), gids.unwrap_or_default()) {
            ([], []) => Ok(None),
            (uids, gids) => Ok(Some(Self { uids: ranges("uidMappings", uids)?, gids: ranges("gidMappings", gids)? })),
        }
    }

    /// Checked: [`crate::Kind::Invalid`] for what the kernel would not take, or without the container's root.
    pub fn new(uids: Vec<Range>, gids: Vec<Range>) -> Result<Self> {
        for (field, ranges) in [("uids", &uids), ("gids", &gids)] {
            check(field, ranges)?;
            rooted(field, ranges)?;
        }
        Ok(Self { uids, gids })
    }

    /// The mappings that a process lives in, in the host's numbers.
    pub fn read(pid: i32) -> Result<Self> {
        let one = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            let text = std::fs::read_to_string(&path).at(Step::Namespaces, &path)?;
            parse(&text).ok_or_else(|| Failure::new(Step::Namespaces, path, crate::error::Kind::Other, "is not to be understood"))
        };
        Ok(Self { uids: one("uid_map")?, gids: one("gid_map")? })
    }

    /// A user's number on the host; `None` for one that is not mapped.
    pub fn host_uid(&self, uid: u32) -> Option<u32> {
        to_host(&self.uids, uid)
    }

    /// A group's number on the host.
    pub fn host_gid(&self, gid: u32) -> Option<u32> {
        to_host(&self.gids, gid)
    }

    /// Writes both mappings of a process that has just been born into a new user namespace.
    pub(crate) fn write(&self, pid: i32) -> Result<()> {
        for (name, ranges) in [("uid_map", &self.uids), ("gid_map", &self.gids)] {
            let path = format!("/proc/{pid}/{name}");
            std::fs::write(&path, text(ranges)).at(Step::Namespaces, &path)?;
        }
        Ok(())
    }
}

fn to_host(ranges: &[Range], id: u32) -> Option<u32> {
    let range = ranges.iter().find(|range| id >= range.container && id - range.container < range.size)?;
    Some(range.host + (id - range.container))
}

/// As the kernel reads them.
pub(crate) fn text(ranges: &[Range]) -> String {
    ranges.iter().map(|range| format!("{} {} {}\n", range.container, range.host, range.size)).collect()
}

/// The kernel's own form, with any blanks.
fn parse(text: &str) -> Option<Vec<Range>> {
    let line = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<u32>().ok());
        Some(Range { container: numbers.next()??, host: numbers.next()??, size: numbers.next()?? })
    };
    text.lines().map(line).collect()
}

/// What the kernel would refuse with no more than a number.
fn check(field: &str, ranges: &[Range]) -> Result<()> {
    let refuse = |why: &str| Err(Failure::invalid(field, why));
    if ranges.is_empty() {
        return refuse("is missing, while the other one is there");
    }
    if ranges.len() > RANGES || text(ranges).len() > TEXT {
        return refuse("has more ranges than the kernel takes");
    }
    for (n, range) in ranges.iter().enumerate() {
        let fits = |first: u32| range.size > 0 && first.checked_add(range.size).is_some();
        if !fits(range.container) || !fits(range.host) {
            return Err(Failure::invalid(format!("{field}[{n}]"), "is empty or goes beyond the largest id"));
        }
        let apart = |one: u32, other: u32, size: u32| one >= other.saturating_add(size) || other >= one.saturating_add(range.size);
        let clear = |other: &Range| apart(range.container, other.container, other.size) && apart(range.host, other.host, other.size);
        if !ranges[..n].iter().all(clear) {
            return Err(Failure::invalid(format!("{field}[{n}]"), "overlaps another range"));
        }
    }
    Ok(())
}

fn rooted(field: &str, ranges: &[Range]) -> Result<()> {
    let root = to_host(ranges, 0);
    root.map(drop).ok_or_else(|| Failure::invalid(field, "must map the container's root"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range((container, host, size): (u32, u32, u32)) -> Range {
        Range { container, host, size }
    }

    fn verdict(ranges: &[(u32, u32, u32)]) -> Option<String> {
        let ranges: Vec<Range> = ranges.iter().copied().map(range).collect();
        check("f", &ranges).and_then(|()| rooted("f", &ranges)).err().map(|failure| format!("{}: {}", failure.object, failure.message))
    }

    #[test]
    fn what_the_kernel_takes() {
        for (ranges, expect) in [
            (&[(0, 100_000, 65_536)][..], None),
            (&[(0, 100_000, 1000), (1000, 1000, 1), (1001, 200_000, 64_535)], None),
            (&[(0, 0, u32::MAX)], None),
            (&[], Some("f: is missing, while the other one is there")),
            (&[(0, 5, 0)], Some("f[0]: is empty or goes beyond the largest id")),
            (&[(0, u32::MAX, 2)], Some("f[0]: is empty or goes beyond the largest id")),
            (&[(0, 10, 10), (5, 100, 10)], Some("f[1]: overlaps another range")),
            (&[(0, 10, 10), (50, 19, 10)], Some("f[1]: overlaps another range")),
            (&[(1, 10, 10)], Some("f: must map the container's root")),
        ] {
            assert_eq!(verdict(ranges).as_deref(), expect, "{ranges:?}");
        }
        let many: Vec<_> = (0..341).map(|n| (n, 1000 + n, 1)).collect();
        assert!(verdict(&many).is_some());
    }

    #[test]
    fn looked_up() {
        let map = IdMap { uids: vec![range((0, 100_000, 10)), range((10, 5, 1))], gids: vec![range((0, 7, 1))] };
        for (uid, expect) in [(0, Some(100_000)), (9, Some(100_009)), (10, Some(5)), (11, None)] {
            assert_eq!(map.host_uid(uid), expect);
        }
        assert_eq!((map.host_gid(0), map.host_gid(1)), (Some(7), None));
        assert_eq!(text(&map.uids), "0 100000 10\n10 5 1\n");
        assert_eq!(parse(&text(&map.uids)), Some(map.uids));
        assert_eq!(parse("         0     100000          3\n").unwrap(), [range((0, 100_000, 3))]);
        assert_eq!((parse("0 1\n"), parse("a b c\n")), (None, None));
    }

    proptest::proptest! {
        #[test]
        fn what_passes_maps_each_id_to_one_of_its_own(raw in proptest::collection::vec((0u32..50, 0u32..50, 0u32..20), 1..5)) {
            let ranges: Vec<Range> = raw.into_iter().map(range).collect();
            if check("f", &ranges).is_ok() {
                let mut hosts: Vec<u32> = (0..80).filter_map(|id| to_host(&ranges, id)).collect();
                let all = hosts.len();
                hosts.sort_unstable();
                hosts.dedup();
                proptest::prop_assert_eq!(hosts.len(), all);
            }
        }
    }
}
