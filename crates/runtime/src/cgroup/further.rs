//! What the control groups count beyond what an engine shows: swap, huge pages, RDMA, and how long processes had to wait.

use super::usage::read;
use super::{Cgroup, refused};
use crate::error::Result;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// Use and bound of something; `None` without a bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// In use now.
    pub usage: u64,
    /// The most there were; 0 where the kernel does not keep it.
    pub most: u64,
    /// How often the bound was hit.
    pub failures: u64,
    /// The bound.
    pub limit: Option<u64>,
}

/// How long processes waited: of every hundred moments, hundredths of them, over 10, 60 and 300 seconds, and microseconds in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// In hundredths of a percent.
    pub average: [u64; 3],
    /// Microseconds.
    pub total: u64,
}

/// All of it. What a controller does not tell is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Further {
    /// Memory and swap together on v1, swap alone on v2, in bytes.
    pub swap: Option<Account>,
    /// Kernel memory (v1).
    pub kernel: Option<Account>,
    /// Buffers of TCP (v1).
    pub kernel_tcp: Option<Account>,
    /// Huge pages by their size, as the kernel writes it (`2MB`), in bytes.
    pub huge_pages: BTreeMap<String, Account>,
    /// RDMA by device: handles, then objects.
    pub rdma: BTreeMap<String, [Account; 2]>,
    /// By `cpu`, `memory` and `io` (v2): some process waited; all of them did.
    pub pressure: BTreeMap<&'static str, [Waiting; 2]>,
}

impl Cgroup {
    /// Reads it. A file that is missing leaves its part out.
    ///
    /// # Errors
    /// A file that is there cannot be read.
    pub fn further(&self) -> Result<Further> {
        let mut all = Further::default();
        match self.v1_dir("memory") {
            Some(dir) => {
                let old = |name: &str| account(dir, &format!("{name}usage_in_bytes"), Some(name), &format!("{name}limit_in_bytes"));
                all.swap = old("memory.memsw.")?;
                all.kernel = old("memory.kmem.")?;
                all.kernel_tcp = old("memory.kmem.tcp.")?;
            }
            None => {
                let swap = |dir| account(dir, "memory.swap.current", None, "memory.swap.max");
                all.swap = self.unified_dir().map(swap).transpose()?.flatten();
            }
        }
        if let Some(dir) = self.dir("hugetlb") {
            all.huge_pages = huge_pages(dir, self.v1_dir("hugetlb").is_some())?;
        }
        if let Some(dir) = self.dir("rdma") {
            all.rdma = rdma(&text(dir, "rdma.current")?, &text(dir, "rdma.max")?);
        }
        for (name, file) in [("cpu", "cpu.pressure"), ("memory", "memory.pressure"), ("io", "io.pressure")] {
            let found = match read(self.unified_dir(), file) {
                // The kernel was booted without counting it.
                Err(failure) if failure.errno == libc::EOPNOTSUPP => String::new(),
                other => other?,
            };
            all.pressure.extend((!found.is_empty()).then(|| (name, pressure(&found))));
        }
        Ok(all)
    }
}

/// Nothing, where the file is missing.
fn text(dir: &Path, file: &str) -> Result<String> {
    read(Some(dir), file)
}

/// A bound that is written as a number; v1 has the largest number of whole pages for none.
fn bound(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < (i64::MAX as u64) & !0xffff)
}

fn account(dir: &Path, usage: &str, old: Option<&str>, limit: &str) -> Result<Option<Account>> {
    let number = |file: String| Ok(text(dir, &file)?.trim().parse().unwrap_or(0));
    let Ok(usage) = text(dir, usage)?.trim().parse() else { return Ok(None) };
    let (most, failures) = match old {
        Some(name) => (number(format!("{name}max_usage_in_bytes"))?, number(format!("{name}failcnt"))?),
        None => (0, 0),
    };
    Ok(Some(Account { usage, most, failures, limit: bound(&text(dir, limit)?) }))
}

/// A size is known by its file of usage.
fn huge_pages(dir: &Path, old: bool) -> Result<BTreeMap<String, Account>> {
    let ending = if old { ".usage_in_bytes" } else { ".current" };
    let names = match fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => Vec::new(),
        other => other.map_err(|error| refused(dir, "list", &error))?,
    };
    let size = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let size = name.strip_prefix("hugetlb.")?.strip_suffix(ending)?;
        (!size.contains('.')).then(|| size.to_owned())
    };
    let mut all = BTreeMap::new();
    for size in names.into_iter().filter_map(size) {
        let name = format!("hugetlb.{size}.");
        let found = match old {
            true => account(dir, &format!("{name}usage_in_bytes"), Some(&name), &format!("{name}limit_in_bytes"))?,
            false => account(dir, &format!("{name}current"), None, &format!("{name}max"))?,
        };
        let Some(mut account) = found else { continue };
        if !old {
            let events = text(dir, &format!("{name}events"))?;
            account.failures = events.lines().find_map(|line| line.strip_prefix("max ")?.trim().parse().ok()).unwrap_or(0);
        }
        all.insert(size, account);
    }
    Ok(all)
}

/// Lines of `mlx4_0 hca_handle=2 hca_object=2000`, with `max` for no bound.
fn rdma(current: &str, most: &str) -> BTreeMap<String, [Account; 2]> {
    let values =
        |line: &str| ["hca_handle=", "hca_object="].map(|key| line.split(' ').find_map(|word| word.strip_prefix(key)?.parse().ok()));
    let split = |line: &'_ str| line.split_once(' ').map(|(device, rest)| (device.to_owned(), values(rest)));
    let limits: BTreeMap<String, [Option<u64>; 2]> = most.lines().filter_map(split).collect();
    let one = |(device, [handles, objects]): (String, [Option<u64>; 2])| {
        let [handle_limit, object_limit] = limits.get(&device).copied().unwrap_or_default();
        let account = |usage: Option<u64>, limit| Account { usage: usage.unwrap_or(0), limit, ..Account::default() };
        (device, [account(handles, handle_limit), account(objects, object_limit)])
    };
    current.lines().filter_map(split).map(one).collect()
}

/// Lines of `some avg10=0.12 avg60=0.00 avg300=0.00 total=42`.
fn pressure(text: &str) -> [Waiting; 2] {
    ["some ", "full "].map(|who| {
        let line = text.lines().find_map(|line| line.strip_prefix(who)).unwrap_or_default();
        let value = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let hundredths = |key| value(key).and_then(|text| text.replace('.', "").parse().ok()).unwrap_or(0);
        Waiting { average: ["avg10", "avg60", "avg300"].map(hundredths), total: value("total").and_then(|n| n.parse().ok()).unwrap_or(0) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Mode;

    fn group(controllers: &[&str], files: &[(&str, &str)]) -> (tempfile::TempDir, Cgroup) {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in files {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let dirs = controllers.iter().map(|name| ((*name).to_owned(), dir.path().to_owned())).collect();
        (dir, Cgroup { mode: Mode::V2, dirs })
    }

    #[test]
    fn the_unified_hierarchy() {
        let (_dir, cgroup) = group(
            &[""],
            &[
                ("memory.swap.current", "7\n"),
                ("memory.swap.max", "max\n"),
                ("hugetlb.2MB.current", "4096\n"),
                ("hugetlb.2MB.rsvd.current", "1\n"),
                ("hugetlb.2MB.max", "8192\n"),
                ("hugetlb.2MB.events", "max 3\n"),
                ("rdma.current", "mlx4_0 hca_handle=2 hca_object=5\n"),
                ("rdma.max", "mlx4_0 hca_handle=max hca_object=9\n"),
                ("cpu.pressure", "some avg10=1.25 avg60=0.50 avg300=0.01 total=42\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"),
            ],
        );
        let all = cgroup.further().unwrap();
        assert_eq!(all.swap, Some(Account { usage: 7, ..Account::default() }));
        assert_eq!(all.huge_pages, [("2MB".to_owned(), Account { usage: 4096, failures: 3, limit: Some(8192), most: 0 })].into());
        let [handles, objects] = &all.rdma["mlx4_0"];
        assert_eq!((handles.usage, handles.limit, objects.usage, objects.limit), (2, None, 5, Some(9)));
        let [some, full] = &all.pressure["cpu"];
        assert_eq!((some.average, some.total, full.total), ([125, 50, 1], 42, 1));
        assert_eq!(all.pressure.len(), 1);
    }

    #[test]
    fn the_old_hierarchies() {
        let (_dir, cgroup) = group(
            &["memory", "hugetlb"],
            &[
                ("memory.memsw.usage_in_bytes", "5\n"),
                ("memory.memsw.max_usage_in_bytes", "9\n"),
                ("memory.memsw.failcnt", "1\n"),
                ("memory.memsw.limit_in_bytes", "9223372036854771712\n"),
                ("hugetlb.1GB.usage_in_bytes", "0\n"),
                ("hugetlb.1GB.limit_in_bytes", "0\n"),
            ],
        );
        let all = cgroup.further().unwrap();
        assert_eq!(all.swap, Some(Account { usage: 5, most: 9, failures: 1, limit: None }));
        assert_eq!(all.huge_pages["1GB"].limit, Some(0));
        assert!(all.kernel.is_none() && all.pressure.is_empty());
    }
}
