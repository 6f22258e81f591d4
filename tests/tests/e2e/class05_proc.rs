//! Class 5: a write to /proc is redirected (CVE-2019-16884, 2025-52881).

use dhow_tests::archive::rootfs;
use dhow_tests::{Engine, leaks};

#[test]
pub(super) fn class05_cve_2019_16884_an_image_brings_its_own_proc() {
    let engine = Engine::new();
    let host = engine.scratch("host");
    // A false /proc, as files, as a link into the image, as a link to the host.
    let files = rootfs().dir("proc/").dir("proc/self/").dir("proc/self/attr/").file("proc/self/attr/exec", 0o666, b"").file(
        "proc/self/status",
        0o644,
        b"false",
    );
    engine.dhow(["import", "-", "files"]).input(files.finish()).ok();
    engine.dhow(["import", "-", "inside"]).input(rootfs().dir("false/").symlink("proc", "/false").finish()).ok();
    engine.dhow(["import", "-", "outside"]).input(rootfs().symlink("proc", &host.display().to_string()).finish()).ok();
    for name in ["files", "inside", "outside"] {
        let out = engine.dhow(["run", "--rm", "--sysctl", "net.ipv4.ip_forward=0", name, "cat", "/proc/self/status"]).run();
        assert!(out.code != 0 || out.stdout().contains("Seccomp:\t2"), "{name}: {out}");
    }
    assert!(leaks::files(&host).is_empty());
    engine.finish();
}

#[test]
pub(super) fn class05_cve_2025_52881_sysctls_go_where_they_belong() {
    let engine = Engine::new();
    let before = std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").expect("read");
    assert_eq!(engine.shell("--sysctl net.ipv4.ip_default_ttl=77", "cat /proc/sys/net/ipv4/ip_default_ttl").ok(), "77");
    assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").expect("read"), before);
    // What has no namespace is the host's, and refused; so is a name that climbs.
    for name in ["kernel.core_pattern=x", "vm.swappiness=1", "net.ipv4.../../kernel/core_pattern=x", "net/../kernel/core_pattern=x"] {
        let out = engine.shell(&format!("--sysctl {name}"), "true");
        assert_ne!(out.code, 0, "{name}: {out}");
    }
    engine.finish();
}

#[test]
pub(super) fn class05_a_volume_over_proc_is_refused_or_harmless() {
    let engine = Engine::new();
    let dir = engine.scratch("dir");
    for target in ["/proc", "/proc/self", "/proc/sys", "/proc/1"] {
        let out = engine.dhow(["run", "--rm", "-v", &format!("{}:{target}", dir.display()), "busybox", "true"]).run();
        assert_ne!(out.code, 0, "{target}: {out}");
    }
    assert!(leaks::files(&dir).is_empty());
    engine.finish();
}
