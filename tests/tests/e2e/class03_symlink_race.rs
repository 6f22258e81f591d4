//! Class 3: a symlink is swapped in while the root filesystem is set up (CVE-2021-30465 and its kin).

use dhow_tests::archive::rootfs;
use dhow_tests::{Engine, leaks, paths, until};

#[test]
pub(super) fn class03_cve_2021_30465_a_shared_directory_is_swapped_during_a_start() {
    let engine = Engine::new();
    let shared = engine.scratch("shared");
    let marker = engine.scratch("marker");
    std::fs::write(marker.join("marked"), "x").expect("write");
    std::fs::create_dir_all(shared.join("target")).expect("make");
    std::os::unix::fs::symlink("/", shared.join("link")).expect("link");
    let volume = format!("{}:/attacker:ro", paths::attacker().display());
    let bind = format!("{}:/shared", shared.display());
    engine
        .dhow(["run", "-d", "--name", "swapper", "-v", &volume, "-v", &bind, "busybox", "/attacker", "swap"])
        .args(["/shared/target", "/shared/link", "/shared/stop"])
        .ok();
    until("the swapper runs", || engine.ok("logs swapper").contains("ready"));
    let inner = format!("{}:/shared/target/inner", marker.display());
    for _ in 0..60 {
        // Either it is refused, or the mount lies below /shared, or in the container's root; the host never gets one.
        let out =
            engine.dhow(["run", "--rm", "-v", &bind, "-v", &inner, "busybox", "sh", "-c", "ls /etc/debian_version 2>/dev/null"]).run();
        assert_eq!(out.stdout(), "", "{out}");
        assert!(!std::path::Path::new("/inner").exists(), "the host's root was written");
    }
    let table = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    assert!(!table.contains("/inner "), "{table}");
    std::fs::write(shared.join("stop"), "").expect("write");
    assert_eq!(engine.ok("wait swapper"), "0");
    assert!(engine.ok("logs swapper").contains("swapped"));
    engine.finish();
}

#[test]
pub(super) fn class03_cve_2019_19921_proc_and_targets_behind_links() {
    let engine = Engine::new();
    let host = engine.scratch("host");
    let name = host.display().to_string();
    // An image whose mount targets are links that lead out.
    let tar = rootfs().symlink("data", &name).symlink("up", "../../../../../../..").finish();
    engine.dhow(["import", "-", "links"]).input(tar).ok();
    let source = engine.scratch("source");
    std::fs::write(source.join("file"), "x").expect("write");
    for target in ["/data", "/data/deeper", "/up/tmp/dhow-class03"] {
        let out = engine.dhow(["run", "--rm", "-v", &format!("{}:{target}", source.display()), "links", "ls", target]).run();
        assert!(out.code != 0 || out.stdout() == "file\n", "{target}: {out}");
    }
    assert!(leaks::files(&host).is_empty() && !host.join("deeper").exists());
    assert!(!std::path::Path::new("/tmp/dhow-class03").exists());
    engine.finish();
}
