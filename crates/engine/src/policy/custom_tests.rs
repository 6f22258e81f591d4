//! Profiles as text against the calls that are left of them.

use super::*;

fn rules(text: &str, capabilities: &[Capability]) -> String {
    let profile = parse(text, Facts { capabilities, kernel: (5, 10) }).unwrap().unwrap();
    let rules = profile.syscalls().iter().flatten();
    rules.map(|rule| rule.names().join("+")).collect::<Vec<_>>().join(" ")
}

fn check_error(text: &str, expect: &str) {
    let error = parse(text, Facts { capabilities: &[], kernel: (5, 10) }).unwrap_err();
    assert!(error.starts_with(expect), "{text}: {error}");
}

fn one(condition: &str) -> String {
    format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["read"],"action":"SCMP_ACT_ALLOW"{condition}}}]}}"#)
}

#[test]
fn conditions() {
    use Capability::*;
    let kept = |condition: &str, capabilities: &[Capability]| rules(&one(condition), capabilities) == "read";
    assert!(kept("", &[]));
    assert!(kept(r#","includes":null,"excludes":{},"args":null,"comment":"x""#, &[]));
    assert!(!kept(r#","includes":{"caps":["CAP_SYS_ADMIN"]}"#, &[]));
    assert!(kept(r#","includes":{"caps":["CAP_SYS_ADMIN"]}"#, &[SysAdmin]));
    assert!(!kept(r#","includes":{"caps":["CAP_SYS_ADMIN","CAP_BPF"]}"#, &[SysAdmin]));
    assert!(!kept(r#","excludes":{"caps":["CAP_SYS_ADMIN","CAP_BPF"]}"#, &[SysAdmin]));
    assert!(kept(r#","excludes":{"caps":["CAP_SYS_ADMIN"]}"#, &[Bpf]));
    assert!(kept(r#","includes":{"minKernel":"4.8"}"#, &[]));
    assert!(kept(r#","includes":{"minKernel":"5.10"}"#, &[]));
    assert!(!kept(r#","includes":{"minKernel":"5.11"}"#, &[]));
    assert!(!kept(r#","excludes":{"minKernel":"5.9"}"#, &[]));
    assert!(kept(&format!(r#","includes":{{"arches":["s390x","{MACHINE}"]}}"#), &[]));
    assert!(!kept(r#","includes":{"arches":["s390x"]}"#, &[]));
    assert!(!kept(&format!(r#","excludes":{{"arches":["{MACHINE}"]}}"#), &[]));
}

#[test]
fn names_old_and_new() {
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"read","action":"SCMP_ACT_ALLOW","args":[]},
        {"names":["a","b"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#;
    assert_eq!(rules(text, &[]), "read a+b");
    check_error(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}]}"#,
        "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
    );
}

#[test]
fn architectures() {
    let arches = |text: &str| {
        let text = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW",{text}}}"#);
        parse(&text, Facts { capabilities: &[], kernel: (5, 10) }).unwrap().unwrap().architectures().clone()
    };
    let map = r#""archMap":[{"architecture":"SCMP_ARCH_NEW64","subArchitectures":[]},{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},
        {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}]"#;
    let sub = if cfg!(target_arch = "aarch64") { Arch::ScmpArchArm } else { Arch::ScmpArchX86 };
    assert_eq!(arches(map), Some(vec![NATIVE, sub]));
    assert_eq!(arches(r#""architectures":["SCMP_ARCH_X86"]"#), Some(vec![Arch::ScmpArchX86]));
    assert_eq!(arches(r#""syscalls":null"#), None);
    check_error(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#,
        "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
    );
}

#[test]
fn nothing_means_off() {
    for text in ["{}", r#"{"syscalls":[]}"#, r#"{"defaultAction":"","syscalls":null}"#] {
        assert_eq!(parse(text, Facts { capabilities: &[], kernel: (5, 10) }).unwrap(), None, "{text}");
    }
}

#[test]
fn nonsense_is_refused() {
    for text in [
        "",
        "[]",
        "{",
        r#"{"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#,
        &one(r#","args":[{"index":0,"value":1,"op":"NOPE"}]"#),
        &one(r#","args":[{"index":-1,"value":1,"op":"SCMP_CMP_EQ"}]"#),
        &" ".repeat(MOST_BYTES + 1),
    ] {
        check_error(text, "Decoding seccomp profile failed: ");
    }
    let nope = "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: string NOPE is \
        not a valid action for seccomp: unknown";
    check_error(r#"{"defaultAction":"NOPE"}"#, nope);
    check_error(&one("").replace("SCMP_ACT_ALLOW", "NOPE"), nope);
    for version in ["4", "a.b", "4.8.1", "0.0", "300.1"] {
        let text = one(&format!(r#","includes":{{"minKernel":"{version}"}}"#));
        check_error(
            &text,
            &format!("Decoding seccomp profile failed: invalid kernel version: \"{version}\", expected \"<kernel>.<major>\""),
        );
    }
}
