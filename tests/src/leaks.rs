//! What an engine may leave on the host: nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A process, known for good by its start time.
pub type Process = (i32, u64);

/// Start time of a process in clock ticks, if it lives (a zombie does not).
pub fn alive(pid: i32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    Some((pid, fields.get(19)?.parse().ok()?))
}

/// Every process of the machine that we can see.
pub fn pids() -> Vec<i32> {
    std::fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Parent of a process.
pub fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The process and all that descend from it.
pub fn family(pid: i32) -> Vec<Process> {
    let all: Vec<(i32, i32)> = pids().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![pid];
    let mut next = 0;
    while next < found.len() {
        let ancestor = found[next];
        found.extend(all.iter().filter(|(_, parent)| *parent == ancestor).map(|(pid, _)| *pid));
        next += 1;
    }
    found.into_iter().filter_map(alive).collect()
}

/// Command line of a process, for messages.
pub fn command_line(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_string()
}

/// Directories of a cgroup parent in every hierarchy, named from the root (`/sys/fs/cgroup/memory/NAME`, `/sys/fs/cgroup/NAME`).
pub fn cgroups(parent: &str) -> Vec<PathBuf> {
    let name = parent.trim_start_matches('/');
    let base = Path::new("/sys/fs/cgroup");
    let hierarchies =
        std::fs::read_dir(base).map(|dir| dir.filter_map(|entry| Some(entry.ok()?.path())).collect::<Vec<_>>()).unwrap_or_default();
    std::iter::once(base.to_path_buf()).chain(hierarchies).map(|hierarchy| hierarchy.join(name)).filter(|dir| dir.is_dir()).collect()
}

/// The cgroup directories below and including `dir`, deepest first.
pub fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Ok(entries) = std::fs::read_dir(dir) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.extend(tree(&entry.path()));
            }
        }
    }
    found.push(dir.to_path_buf());
    found
}

/// Names of the network links in the thread's namespace.
pub fn links() -> BTreeSet<String> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    text.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_string())).collect()
}

/// nft tables of the host, where nft is installed.
pub fn tables() -> BTreeSet<String> {
    let Some(nft) = crate::paths::program("nft") else { return BTreeSet::new() };
    let output = crate::Cmd::new(nft).args(["list", "tables"]).run();
    output.stdout().lines().map(str::to_string).collect()
}

/// Lines of the host's mount table that name the directory.
pub fn mounts(dir: &Path) -> Vec<String> {
    let needle = dir.to_string_lossy().into_owned();
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().filter(|line| line.contains(&needle)).map(str::to_string).collect()
}

/// Processes that name the directory: in their arguments, environment, working directory, program, or through a bound socket.
pub fn processes(dir: &Path) -> Vec<Process> {
    let needle = dir.to_string_lossy().into_owned();
    let sockets: BTreeSet<String> = std::fs::read_to_string("/proc/net/unix")
        .unwrap_or_default()
        .lines()
        .filter(|line| line.contains(&needle))
        .filter_map(|line| line.split_whitespace().nth(6).map(|inode| format!("socket:[{inode}]")))
        .collect();
    let own = std::process::id() as i32;
    pids().into_iter().filter(|pid| *pid != own && parent(*pid) != Some(own) && names(*pid, &needle, &sockets)).filter_map(alive).collect()
}

fn names(pid: i32, needle: &str, sockets: &BTreeSet<String>) -> bool {
    let file = |name: &str| {
        std::fs::read(format!("/proc/{pid}/{name}")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    };
    let link =
        |name: &str| std::fs::read_link(format!("/proc/{pid}/{name}")).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    if file("cmdline").contains(needle) || file("environ").contains(needle) || link("cwd").contains(needle) || link("exe").contains(needle)
    {
        return true;
    }
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|target| {
        let target = target.to_string_lossy();
        target.contains(needle) || sockets.contains(target.as_ref())
    })
}

/// Files (not directories) below a directory.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
