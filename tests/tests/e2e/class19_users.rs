//! Class 19: capabilities and users (CVE-2022-24769, 2022-29162, 2023-25173, 2024-40635, 2026-30892).

use dhow_tests::Engine;

fn field(status: &str, name: &str) -> String {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .unwrap_or_else(|| panic!("{name} in {status}"))
        .trim()
        .to_string()
}

#[test]
pub(super) fn class19_cve_2022_24769_nothing_is_inheritable() {
    let engine = Engine::new();
    engine.ok("run -d --name box busybox sleep 1000");
    let cases = [
        engine.ok("run --rm busybox cat /proc/self/status"),
        engine.ok("run --rm -u 1000 busybox cat /proc/self/status"),
        engine.ok("run --rm --cap-add SYS_ADMIN busybox cat /proc/self/status"),
        engine.ok("run --rm --cap-add ALL -u 1000 busybox cat /proc/self/status"),
        // CVE-2022-29162: exec had inheritable ones.
        engine.ok("exec box cat /proc/self/status"),
        engine.ok("exec -u 1000 box cat /proc/self/status"),
        engine.ok("exec --privileged box cat /proc/self/status"),
    ];
    for status in cases {
        assert_eq!(
            (field(&status, "CapInh").as_str(), field(&status, "CapAmb").as_str()),
            ("0000000000000000", "0000000000000000"),
            "{status}"
        );
    }
    assert_eq!(field(&engine.ok("run --rm -u 1000 busybox cat /proc/self/status"), "CapEff"), "0000000000000000");
    engine.finish();
}

#[test]
pub(super) fn class19_cve_2023_25173_supplementary_groups() {
    let engine = Engine::new();
    let groups = |flags: &str| engine.shell(flags, "grep ^Groups /proc/self/status | cut -f2 | sed 's/ *$//'").ok();
    assert_eq!(groups(""), "0 10");
    assert_eq!(groups("-u operator"), "10 29 37");
    // A primary group that is named is among the supplementary ones, so that a set-gid program cannot drop it.
    assert_eq!(groups("-u 1000:2000"), "2000");
    assert_eq!(groups("-u 1000"), "0");
    assert_eq!(groups("-u nobody --group-add audio"), "29 65534");
    engine.finish();
}

#[test]
pub(super) fn class19_cve_2024_40635_numbers_that_overflow() {
    let engine = Engine::new();
    engine.ok("run -d --name box busybox sleep 1000");
    let bad = [
        "4294967296",
        "4294967295",
        "2147483648",
        "-1",
        "65536:4294967296",
        "1000:-1",
        "0x0",
        "1e3",
        "18446744073709551616",
        "1000:",
        ":0x0",
        "0:0:0",
        "00000000000000000000000000004294967296",
    ];
    for user in bad {
        for words in [vec!["run", "--rm", "-u", user, "busybox", "id", "-u"], vec!["exec", "-u", user, "box", "id", "-u"]] {
            let out = engine.dhow(&words).run();
            // Refused; where a form is legal, it must not be root.
            assert!(out.code != 0 || out.stdout().trim() != "0", "{words:?}: {out}");
        }
    }
    assert_eq!(engine.ok("run --rm -u 2147483647 busybox id -u"), "2147483647");
    engine.finish();
}

#[test]
pub(super) fn class19_cve_2026_30892_exec_user() {
    let engine = Engine::new();
    engine.ok("run -d --name box -u 1000:1000 busybox sleep 1000");
    assert_eq!(engine.ok("exec box id -u"), "1000");
    assert_eq!(engine.ok("exec -u 0 box id -u"), "0");
    assert_eq!(engine.ok("exec -u www-data box id"), "uid=33(www-data) gid=33(www-data) groups=33(www-data)");
    assert_eq!(engine.ok("exec -u 5:4000 box id"), "uid=5 gid=4000 groups=4000");
    assert_ne!(engine.run("exec -u nosuch box id").code, 0);
    // A user without capabilities does not get the container's.
    assert_eq!(field(&engine.ok("exec -u 1000 box cat /proc/self/status"), "CapEff"), "0000000000000000");
    engine.finish();
}
