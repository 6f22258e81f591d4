//! Whatever the daemon was born with, a container starts clean.

use dhow_tests::{Engine, Options, paths};
use std::os::fd::AsRawFd;

/// A daemon started from a shell that ignores signals, with odd limits, umask, priority and affinity, and descriptors left open.
fn messy() -> Engine {
    let secret = tempfile::tempfile().expect("a file");
    let leaked: Vec<_> = (0..20).map(|_| secret.try_clone().expect("a copy")).collect();
    for file in &leaked {
        rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty()).expect("let it be inherited");
        assert!(file.as_raw_fd() > 2);
    }
    let script = "trap '' HUP INT QUIT USR1 USR2 ALRM PIPE WINCH; umask 077; ulimit -c 0; ulimit -n 777; ulimit -s 4096
        echo 500 > /proc/self/oom_score_adj; cd /tmp; renice -n 5 -p $$ >/dev/null 2>&1; exec \"$@\"";
    let wrapper =
        ["sh", "-c", script, "sh"].map(String::from).into_iter().chain([paths::attacker().to_string_lossy().into_owned(), "mess".into()]);
    Engine::with(Options { wrapper: wrapper.collect(), ..Options::default() })
}

#[test]
fn nothing_of_the_daemon_is_inherited() {
    let engine = messy();
    let read = |flags: &str, script: &str| engine.shell(flags, script).ok();
    let status = engine.dhow(["run", "--rm", "busybox", "cat", "/proc/self/status"]).ok();
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_else(|| panic!("{name}")).trim().to_string()
    };
    assert_eq!(field("SigIgn"), "0000000000000000", "ignored signals");
    assert_eq!(field("SigBlk"), "0000000000000000", "blocked signals");
    assert_eq!(field("Umask"), "0022");
    assert_eq!(field("Pid"), "1");
    let own = std::fs::read_to_string("/proc/self/status").expect("status");
    let cpus = own.lines().find_map(|line| line.strip_prefix("Cpus_allowed:")).expect("a mask").trim();
    assert_eq!(field("Cpus_allowed"), cpus, "affinity");
    // Three descriptors, and the one that lists them.
    assert_eq!(engine.dhow(["run", "--rm", "busybox", "ls", "/proc/self/fd"]).ok(), "0\n1\n2\n3");
    assert_eq!(read("", "exec ls /proc/self/fd"), "0\n1\n2\n3");
    assert_eq!(read("", "cat /proc/self/oom_score_adj"), "0");
    assert_eq!(read("", "cat /proc/self/cwd/etc/hostname | wc -l; readlink /proc/self/cwd"), "1\n/");
    assert_eq!(read("", "cut -d' ' -f19 /proc/self/stat"), "0", "nice");
    assert_eq!(read("", "cut -d' ' -f5,6,7 /proc/1/stat"), "1 1 0", "process group, session, terminal");
    assert_eq!(engine.shell("", "cat < /dev/tty").code, 1);
    assert!(!read("", "env").contains("DHOW_TEST"), "environment");
    engine.finish();
}

#[test]
fn nor_by_an_exec() {
    let engine = messy();
    engine.ok("run -d --name box busybox sleep 1000");
    let status = engine.ok("exec box cat /proc/self/status");
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_else(|| panic!("{name}")).trim().to_string()
    };
    assert_eq!(
        (field("SigIgn"), field("SigBlk"), field("Umask"), field("Seccomp")),
        ("0".repeat(16), "0".repeat(16), "0022".into(), "2".into())
    );
    assert_eq!((field("CapEff"), field("CapInh"), field("CapAmb")), ("00000000a80425fb".into(), "0".repeat(16), "0".repeat(16)));
    assert_eq!(engine.ok("exec box ls /proc/self/fd"), "0\n1\n2\n3");
    assert_eq!(engine.ok("exec box cat /proc/self/oom_score_adj"), "0");
    assert_eq!(engine.dhow(["exec", "box", "cut", "-d ", "-f19", "/proc/self/stat"]).ok(), "0");
    assert!(!engine.ok("exec box env").contains("DHOW_TEST"));
    engine.finish();
}

#[test]
fn each_container_has_a_session_keyring_of_its_own() {
    let engine = Engine::new();
    let volume = format!("{}:/attacker:ro", paths::attacker().display());
    let keyring = |flags: &[&str]| engine.dhow(["run", "--rm", "-v", &volume]).args(flags).args(["busybox", "/attacker", "keyring"]).ok();
    let open = ["--security-opt", "seccomp=unconfined"];
    let (one, other) = (keyring(&open), keyring(&open));
    assert!(one.starts_with("Ok(") && other.starts_with("Ok(") && one != other, "{one} {other}");
    let host = format!("{:?}", dhow_sys::probe::session_keyring());
    assert_ne!(one, host);
    assert!(keyring(&[]).starts_with("Err("), "keyctl is refused by default");
    engine.finish();
}
