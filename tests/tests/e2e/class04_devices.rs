//! Class 4: the target of a mask, of /dev, of the console is swapped (CVE-2025-31133, 2025-52565, 2026-41579, 2026-47766).

use dhow_tests::archive::{Tar, rootfs};
use dhow_tests::tmux::Terminal;
use dhow_tests::{Engine, leaks};

/// An image with this root; its containers look at themselves.
fn image(engine: &Engine, name: &str, tar: Tar) {
    engine.dhow(["import", "-", name]).input(tar.finish()).ok();
}

const LOOK: &str = "[ -c /dev/null ] || echo null is no device; cat /proc/kcore 2>/dev/null | grep -q . && echo kcore; cat /proc/timer_list 2>/dev/null | grep -q . && echo timer_list; (echo x > /proc/sysrq-trigger) 2>/dev/null && echo sysrq; (echo x > /proc/sys/kernel/core_pattern) 2>/dev/null && echo core_pattern; echo looked";

#[test]
pub(super) fn class04_cve_2026_47766_an_image_ships_dev_as_a_link() {
    let engine = Engine::new();
    let host = engine.scratch("host");
    image(&engine, "devlink", rootfs().symlink("dev", &host.display().to_string()));
    image(&engine, "devroot", rootfs().symlink("dev", "/"));
    image(&engine, "devproc", rootfs().symlink("dev", "/proc"));
    for name in ["devlink", "devroot", "devproc"] {
        let out = engine.dhow(["run", "--rm", name, "sh", "-c", LOOK]).run();
        assert!(out.code != 0 || out.stdout() == "looked\n", "{name}: {out}");
        assert!(!std::path::Path::new("/pts").exists() && !std::path::Path::new("/shm").exists(), "{name}");
    }
    assert!(leaks::files(&host).is_empty(), "{:?}", leaks::files(&host));
    assert_eq!(std::fs::read_dir(&host).expect("read").count(), 0);
    engine.finish();
}

#[test]
pub(super) fn class04_cve_2025_31133_dev_null_is_something_else() {
    let engine = Engine::new();
    image(&engine, "nulllink", rootfs().dir("dev/").symlink("dev/null", "/proc/sysrq-trigger"));
    image(&engine, "nullfile", rootfs().dir("dev/").file("dev/null", 0o666, b"not a device"));
    image(&engine, "nulldir", rootfs().dir("dev/").dir("dev/null/"));
    image(&engine, "nullmem", rootfs().dir("dev/").device("dev/null", 1, 1));
    for name in ["nulllink", "nullfile", "nulldir", "nullmem"] {
        let out = engine.dhow(["run", "--rm", name, "sh", "-c", LOOK]).run();
        assert!(out.code != 0 || out.stdout() == "looked\n", "{name}: {out}");
        // A shared directory mounted over /dev does not help either.
        let dev = engine.scratch("dev");
        let _old = std::fs::remove_file(dev.join("null"));
        std::os::unix::fs::symlink("/proc/sysrq-trigger", dev.join("null")).expect("link");
        let out = engine.dhow(["run", "--rm", "-v", &format!("{}:/dev", dev.display()), name, "sh", "-c", LOOK]).run();
        assert!(!out.stdout().contains("kcore") && !out.stdout().contains("sysrq"), "{name}: {out}");
    }
    engine.finish();
}

#[test]
pub(super) fn class04_cve_2025_52565_the_console_is_a_link() {
    let engine = Engine::new();
    let secret = engine.scratch("secret").join("file");
    std::fs::write(&secret, "untouched").expect("write");
    image(
        &engine,
        "console",
        rootfs()
            .dir("dev/")
            .symlink("dev/console", "/proc/sys/kernel/core_pattern")
            .symlink("dev/ptmx", "/proc/sysrq-trigger")
            .dir("dev/pts/")
            .symlink("dev/pts/0", "/proc/sysrq-trigger"),
    );
    let command = engine.dhow([
        "run",
        "--rm",
        "-it",
        "console",
        "sh",
        "-c",
        "[ -c /dev/console ] && echo device; (echo x > /proc/sys/kernel/core_pattern) 2>/dev/null && echo written; echo over",
    ]);
    if let Some(terminal) = Terminal::open(&engine, &command) {
        terminal.until_shown("over");
        let screen = terminal.screen();
        assert!(screen.contains("device") && !screen.contains("written"), "{screen}");
        assert_eq!(terminal.ended(), 0);
    }
    engine.finish();
}

#[test]
pub(super) fn class04_cve_2026_41579_masks_hold_where_the_image_plants_links() {
    let engine = Engine::new();
    image(
        &engine,
        "planted",
        rootfs()
            .dir("proc/")
            .symlink("proc/kcore", "/etc/x")
            .dir("sys/")
            .symlink("sys/firmware", "/")
            .dir("etc/")
            .file("etc/x", 0o644, b"x"),
    );
    let out = engine.dhow(["run", "--rm", "planted", "sh", "-c", &format!("{LOOK}; cat /etc/x")]).run();
    assert_eq!(out.stdout(), "looked\nx", "{out}");
    engine.finish();
}
