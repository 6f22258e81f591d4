//! Class 21: the kernel's surface (AF_ALG as in CVE-2026-31431, io_uring, keyctl, ...): each call refused, each tried.

use dhow_tests::{Engine, paths};
use std::collections::BTreeMap;

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;

fn attack(engine: &Engine, flags: &str, what: &str) -> BTreeMap<String, String> {
    let volume = format!("{}:/attacker:ro", paths::attacker().display());
    let text = engine.dhow(["run", "--rm", "-v", &volume]).args(flags.split_whitespace()).args(["busybox", "/attacker", what]).ok();
    text.lines().filter_map(|line| line.rsplit_once(' ')).map(|(name, answer)| (name.to_string(), answer.to_string())).collect()
}

fn refused(answer: &str) -> bool {
    answer.parse().is_ok_and(|errno: i32| errno == EPERM || errno == ENOSYS)
}

#[test]
pub(super) fn class21_every_dangerous_call_is_refused() {
    let engine = Engine::new();
    for flags in ["", "-u 1000"] {
        let answers = attack(&engine, flags, "syscalls");
        assert!(answers.len() > 40, "{answers:?}");
        let open: Vec<_> = answers.iter().filter(|(_, answer)| !refused(answer)).collect();
        assert!(open.is_empty(), "{flags}: open to a container: {open:?}");
        // So that programs fall back to clone, whose flags a filter can read.
        assert_eq!(answers["clone3"], ENOSYS.to_string());
    }
    engine.finish();
}

#[test]
pub(super) fn class21_the_filter_itself_refuses() {
    // With all capabilities and the filter on, the kernel's own checks would let these through.
    let engine = Engine::new();
    let answers = attack(&engine, "--cap-add ALL --security-opt seccomp=builtin", "syscalls");
    for name in ["add_key", "keyctl", "request_key", "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "personality"]
    {
        assert!(refused(&answers[name]), "{name}: {}", answers[name]);
    }
    // And without it they are open, so the test tests something.
    let answers = attack(&engine, "--security-opt seccomp=unconfined", "syscalls");
    for name in ["keyctl", "personality", "unshare(CLONE_NEWUSER)"] {
        assert!(!refused(&answers[name]), "{name}: {}", answers[name]);
    }
    engine.finish();
}

#[test]
pub(super) fn class21_capabilities_open_what_they_should() {
    let engine = Engine::new();
    let answers = attack(&engine, "--cap-add SYS_ADMIN", "syscalls");
    for name in ["mount", "umount2", "setns", "fsopen", "move_mount", "open_tree"] {
        assert!(!refused(&answers[name]), "{name}: {}", answers[name]);
    }
    assert!(refused(&answers["init_module"]) && refused(&answers["reboot"]) && refused(&answers["keyctl"]));
    engine.finish();
}

#[test]
pub(super) fn class21_cve_2026_31431_socket_families() {
    const UNIX: &str = "1";
    const INET: &str = "2";
    const INET6: &str = "10";
    const NETLINK: &str = "16";
    const ALG: &str = "38";
    const VSOCK: &str = "40";
    let engine = Engine::new();
    let answers = attack(&engine, "", "sockets");
    for family in [UNIX, INET, INET6, NETLINK] {
        assert!(answers[family] == "ok", "family {family}: {}", answers[family]);
    }
    for family in [ALG, VSOCK] {
        assert!(answers[family] == EPERM.to_string() || answers[family] == "97", "family {family}: {}", answers[family]);
    }
    // The kernel of a test machine may lack these families: then EAFNOSUPPORT (97) would prove nothing, so the errno is looked at.
    let open = attack(&engine, "--security-opt seccomp=unconfined", "sockets");
    for family in [ALG, VSOCK] {
        if open[family] == "ok" {
            assert_eq!(answers[family], EPERM.to_string(), "family {family}");
        }
    }
    engine.finish();
}
