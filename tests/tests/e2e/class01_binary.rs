//! Class 1: the engine's own binary overwritten through /proc/PID/exe (CVE-2019-5736).

use dhow_tests::{Engine, paths, until};

/// The bytes of the binary under test.
fn binary() -> Vec<u8> {
    std::fs::read(paths::dhow()).expect("read the binary")
}

#[test]
pub(super) fn class01_cve_2019_5736_the_binary_is_out_of_reach() {
    let before = binary();
    let engine = Engine::new();
    let volume = format!("{}:/attacker:ro", paths::attacker().display());
    let dir = engine.scratch("shared");
    let shared = format!("{}:/shared", dir.display());
    engine.dhow(["run", "-d", "--name", "box", "-v", &volume, "-v", &shared, "busybox", "/attacker", "overwrite", "/shared/stop"]).ok();
    until("the attacker waits", || engine.ok("logs box").contains("ready"));
    for _ in 0..25 {
        assert_eq!(engine.ok("exec box echo fine"), "fine");
        // The exploit's own way: the program to run is whatever runs the exec.
        let _output = engine.run("exec box /proc/self/exe true");
    }
    std::fs::write(dir.join("stop"), "").expect("write");
    assert_eq!(engine.ok("wait box"), "0");
    let said = engine.ok("logs box");
    assert!(!said.contains("wrote"), "{said}");
    assert!(binary() == before, "the binary was changed");
    engine.finish();
}

#[test]
pub(super) fn class01_cve_2019_5736_an_image_that_runs_proc_self_exe() {
    let before = binary();
    let engine = Engine::new();
    for _ in 0..3 {
        // It may be our program, from a sealed copy, but inside: it sees no engine of the host and no image.
        let out = engine.dhow(["run", "--rm", "--entrypoint", "/proc/self/exe", "busybox", "images"]).run();
        assert!(!out.stdout().contains("busybox"), "{out}");
    }
    assert!(binary() == before);
    assert_eq!(engine.ok("run --rm busybox echo fine"), "fine");
    engine.finish();
}
