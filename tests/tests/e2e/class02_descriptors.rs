//! Class 2: a descriptor or a working directory of the host leaks in (CVE-2024-21626).

use dhow_tests::{Engine, Options};

/// An engine that was itself given descriptors of host directories.
fn leaky() -> (Engine, Vec<std::fs::File>) {
    let leaked: Vec<_> = ["/", "/etc", "/root", "/proc", "/tmp"].iter().map(|dir| std::fs::File::open(dir).expect("open")).collect();
    for file in &leaked {
        rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty()).expect("let it be inherited");
    }
    (Engine::with(Options::default()), leaked)
}

/// A working directory is refused, or lies in the container: the host's /etc/hostname is never seen from it.
fn check(engine: &Engine, what: &str, out: &dhow_tests::Output) {
    let host = std::fs::read_to_string("/etc/passwd").expect("passwd");
    assert!(!out.stdout().contains("ESCAPED") && !out.stdout().contains(host.trim()), "{what}: {out}");
    assert_eq!(engine.run("ps -q").code, 0);
}

// From each directory the way up must end at the container's own root: it has /.dockerenv, and no file of the host.
const LOOK: &str = "pwd -P; for up in . .. ../.. ../../.. ../../../.. ../../../../..; do [ -e $up/bin ] && [ ! -e $up/.dockerenv ] && echo ESCAPED $up; [ -e $up/etc/debian_version ] && echo ESCAPED $up; done; cat ../../../../../../etc/passwd | grep -c . >/dev/null; true";

#[test]
pub(super) fn class02_cve_2024_21626_workdir_names_a_descriptor() {
    let (engine, leaked) = leaky();
    for number in 3..=40 {
        for path in
            [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/../../.."), format!("/proc/thread-self/fd/{number}")]
        {
            if number > 12 && !path.ends_with(&number.to_string()) {
                continue;
            }
            let out = engine.dhow(["run", "--rm", "-w", &path, "busybox", "sh", "-c", LOOK]).run();
            check(&engine, &path, &out);
        }
    }
    drop(leaked);
    engine.finish();
}

#[test]
pub(super) fn class02_cve_2024_21626_exec_in_a_descriptor() {
    let (engine, leaked) = leaky();
    engine.ok("run -d --name box busybox sleep 1000");
    for number in 3..=40 {
        let path = format!("/proc/self/fd/{number}");
        let out = engine.dhow(["exec", "-w", &path, "box", "sh", "-c", LOOK]).run();
        check(&engine, &path, &out);
    }
    drop(leaked);
    engine.finish();
}

#[test]
pub(super) fn class02_every_descriptor_is_closed() {
    let (engine, leaked) = leaky();
    assert_eq!(engine.dhow(["run", "--rm", "busybox", "ls", "/proc/self/fd"]).ok(), "0\n1\n2\n3");
    engine.ok("run -d -i --name box busybox sleep 1000");
    assert_eq!(engine.ok("exec box ls /proc/self/fd"), "0\n1\n2\n3");
    // And none of the first process leads out: the targets are pipes, sockets, or files of its own.
    let targets = engine.dhow(["exec", "box", "sh", "-c", "for fd in /proc/1/fd/*; do readlink $fd; done"]).ok();
    for target in targets.lines() {
        assert!(target.starts_with("pipe:") || target.starts_with("socket:") || target == "/dev/null", "{targets}");
    }
    drop(leaked);
    engine.finish();
}

#[test]
pub(super) fn class02_a_symlink_as_workdir_stays_inside() {
    let engine = Engine::new();
    engine.dhow(["create", "--name", "box", "busybox"]).ok();
    let out = engine.dhow(["run", "--rm", "-w", "/a/../../../../../../../..", "busybox", "pwd"]).run();
    assert_eq!(out.ok(), "/");
    engine.finish();
}
