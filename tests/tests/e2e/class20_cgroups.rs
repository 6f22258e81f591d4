//! Class 20: cgroups (CVE-2022-0492 release_agent, 2023-25809).

use dhow_tests::Engine;

#[test]
pub(super) fn class20_the_namespace_is_private_on_v1_too() {
    let engine = Engine::new();
    let shown = engine.shell("", "cat /proc/self/cgroup").ok();
    for line in shown.lines() {
        assert!(line.ends_with(":/"), "{shown}");
    }
    let host = engine.shell("--cgroupns host", "cat /proc/self/cgroup").ok();
    assert!(host.contains(engine.cgroup()), "{host}");
    engine.finish();
}

#[test]
pub(super) fn class20_cve_2022_0492_release_agent() {
    let engine = Engine::new();
    let script = "find /sys/fs/cgroup -name release_agent 2>/dev/null | while read f; do (echo /evil > $f) 2>/dev/null && echo wrote $f; done
        find /sys/fs/cgroup -maxdepth 2 -name notify_on_release 2>/dev/null | while read f; do (echo 1 > $f) 2>/dev/null && echo wrote $f; done
        find /sys/fs/cgroup -name cgroup.procs 2>/dev/null | while read f; do (echo $$ > $f) 2>/dev/null && echo wrote $f; done
        mkdir /tmp/cg; for t in 'cgroup -o rdma' 'cgroup -o memory' cgroup2; do mount -t $t none /tmp/cg 2>/dev/null && echo mounted $t; done
        unshare -Ur true 2>/dev/null && echo user namespace
        unshare -C true 2>/dev/null && echo cgroup namespace
        mkdir /sys/fs/cgroup/x 2>/dev/null && echo made
        echo done";
    assert_eq!(engine.shell("", script).ok(), "done");
    // CAP_SYS_ADMIN alone does not make the mounts writable.
    let out = engine.shell("--cap-add SYS_ADMIN", "mkdir /sys/fs/cgroup/x 2>/dev/null && echo made; echo done");
    assert_eq!(out.ok(), "done");
    engine.finish();
}

#[test]
pub(super) fn class20_cgroup_mounts_are_read_only() {
    let engine = Engine::new();
    let shown = engine.shell("", "grep cgroup /proc/mounts; true").ok();
    assert!(!shown.is_empty(), "no cgroup mount at all");
    for line in shown.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(words[3].split(',').any(|option| option == "ro"), "{line}");
        for option in ["nosuid", "nodev", "noexec"] {
            assert!(words[3].contains(option), "{option}: {line}");
        }
    }
    // Other groups' names are not seen.
    assert!(!engine.shell("", "find /sys/fs/cgroup -type d | head -500").ok().contains(engine.cgroup()));
    engine.finish();
}
