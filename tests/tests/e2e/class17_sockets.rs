//! Class 17: control sockets. They are files that only root may open, none is abstract (CVE-2020-15257), and nothing listens on the network
//! that nobody asked for (CVE-2021-4024).

use dhow_tests::{Engine, leaks};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Inodes of the sockets that a process has open.
fn sockets(pid: i32) -> Vec<String> {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = links.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets.filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())).collect()
}

/// Names of unix sockets by inode; abstract ones begin with `@`.
fn names() -> BTreeMap<String, String> {
    let table = std::fs::read_to_string("/proc/net/unix").expect("a table");
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some((words.get(6)?.to_string(), words.get(7)?.to_string()))
    };
    table.lines().skip(1).filter_map(line).collect()
}

/// Inodes of TCP sockets that listen.
fn listening() -> BTreeSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.filter(|words| words.get(3) == Some(&"0A")).filter_map(|words| words.get(9).map(ToString::to_string)).collect()
}

#[test]
fn class_17_sockets_are_files_for_root_alone() {
    let engine = Engine::new();
    engine.ok("run -d --name box busybox sleep 1000");
    let (names, tcp) = (names(), listening());
    let family: BTreeSet<i32> =
        leaks::family(engine.pid()).into_iter().chain(leaks::processes(engine.dir())).map(|(pid, _)| pid).chain([engine.pid()]).collect();
    let inodes: BTreeSet<String> = family.iter().flat_map(|pid| sockets(*pid)).collect();
    let reached: Vec<_> = inodes.intersection(&tcp).collect();
    assert!(reached.is_empty(), "something listens on the network: {reached:?}");
    let paths: BTreeSet<&str> = inodes.iter().filter_map(|inode| names.get(inode).map(String::as_str)).collect();
    let abstracts: Vec<_> = paths.iter().filter(|path| path.starts_with('@')).collect();
    assert!(abstracts.is_empty(), "{abstracts:?}");
    let api = engine.socket();
    let own: Vec<PathBuf> = paths.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
    assert!(own.contains(&api), "{own:?}");
    let control: Vec<&PathBuf> = own.iter().filter(|path| **path != api).collect();
    assert!(control.iter().any(|path| path.starts_with(engine.exec_root())), "a shim listens: {own:?}");
    let mode = |path: &Path| std::fs::symlink_metadata(path).expect("a socket").permissions().mode() & 0o777;
    assert_eq!(mode(&api), 0o660);
    for path in control {
        assert_eq!(mode(path), 0o600, "{}", path.display());
        let dir = path.parent().expect("a directory");
        assert_eq!(mode(dir) & 0o077, 0, "{}", dir.display());
    }
    engine.finish();
}
