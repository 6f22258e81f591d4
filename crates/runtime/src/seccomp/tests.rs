//! The compiled program against a naive reading of the profile.

use super::*;
use oci_spec::runtime::{Arch, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator, LinuxSyscall};
use proptest::prelude::*;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

fn profile(json: &str) -> LinuxSeccomp {
    serde_json::from_str(json).unwrap()
}

fn answer(program: &Program, name: &str, arguments: [u64; 6]) -> u32 {
    program.evaluate(&Call::native(name, arguments.map(Some)).unwrap()).unwrap()
}

fn check(json: &str, expect: &[(&str, [u64; 6], u32)]) {
    let program = compile(&profile(json)).unwrap();
    for (name, arguments, action) in expect {
        assert_eq!(answer(&program, name, *arguments), *action, "{name} {arguments:x?}");
    }
}

const NONE: [u64; 6] = [0; 6];

/// Read once: the properties ask for it a million times.
fn table() -> &'static Table {
    static TABLE: std::sync::LazyLock<Table> = std::sync::LazyLock::new(Table::read);
    &TABLE
}

fn names() -> &'static [&'static str] {
    static NAMES: std::sync::LazyLock<Vec<&str>> = std::sync::LazyLock::new(|| table().names());
    &NAMES
}

#[test]
fn names_and_the_default() {
    check(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","write","no_such_call"],"action":"SCMP_ACT_ALLOW"},
            {"names":["ptrace"],"action":"SCMP_ACT_KILL_PROCESS"},{"names":["mount"],"action":"SCMP_ACT_ERRNO","errnoRet":38},
            {"names":["bpf"],"action":"SCMP_ACT_TRAP"},{"names":["acct"],"action":"SCMP_ACT_LOG"},{"names":["swapon"],"action":"SCMP_ACT_TRACE","errnoRet":7},
            {"names":["swapoff"],"action":"SCMP_ACT_KILL"}]}"#,
        &[
            ("read", NONE, ALLOW),
            ("write", NONE, ALLOW),
            ("close", NONE, ERRNO | 1),
            ("ptrace", NONE, 0x8000_0000),
            ("mount", NONE, ERRNO | 38),
            ("bpf", NONE, 0x0003_0000),
            ("acct", NONE, 0x7ffc_0000),
            ("swapon", NONE, 0x7ff0_0007),
            ("swapoff", NONE, 0),
            ("openat2", NONE, ERRNO | 38),
        ],
    );
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let json =
        |default: &str| format!(r#"{{{default},"syscalls":[{{"names":["read","openat2"],"action":"SCMP_ACT_ERRNO","errnoRet":13}}]}}"#);
    let newer = ("close_range", NONE, ERRNO | 38);
    let newer = [("fchmodat2", NONE, ERRNO | 38), newer];
    check(&json(r#""defaultAction":"SCMP_ACT_ERRNO""#), &[newer[0], ("close_range", NONE, ERRNO | 1)]);
    check(&json(r#""defaultAction":"SCMP_ACT_KILL""#), &[newer[0], ("close_range", NONE, 0)]);
    check(&json(r#""defaultAction":"SCMP_ACT_ALLOW""#), &[("fchmodat2", NONE, ALLOW)]);
    check(&json(r#""defaultAction":"SCMP_ACT_LOG""#), &[("fchmodat2", NONE, 0x7ffc_0000)]);
}

#[test]
fn arguments() {
    let one = |op: &str, value: u64, two: u64| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["mmap"],"action":"SCMP_ACT_ALLOW","args":[{{"index":1,"value":{value},"valueTwo":{two},"op":"{op}"}}]}}]}}"#
        )
    };
    let big = 0x5_0000_0007u64;
    let values = [0, 1, 6, 7, 8, u64::from(u32::MAX), 0x4_0000_0007, big - 1, big, big + 1, 0x6_0000_0000, u64::MAX];
    let tests: [(&str, fn(u64, u64) -> bool); 6] = [
        ("SCMP_CMP_EQ", |a, b| a == b),
        ("SCMP_CMP_NE", |a, b| a != b),
        ("SCMP_CMP_LT", |a, b| a < b),
        ("SCMP_CMP_LE", |a, b| a <= b),
        ("SCMP_CMP_GT", |a, b| a > b),
        ("SCMP_CMP_GE", |a, b| a >= b),
    ];
    for (op, holds) in tests {
        for value in values {
            let program = compile(&profile(&one(op, value, 0))).unwrap();
            for argument in values {
                let expect = if holds(argument, value) { ALLOW } else { ERRNO | 1 };
                assert_eq!(answer(&program, "mmap", [0, argument, 0, 0, 0, 0]), expect, "{argument:x} {op} {value:x}");
            }
        }
    }
    let masks = [(0x7e02_0000, 0), (0xf_0000_0000, 0x2_0000_0000), (0xf_0000_0003, 3), (0, 0), (3, 7)];
    for (mask, value) in masks {
        let program = compile(&profile(&one("SCMP_CMP_MASKED_EQ", mask, value))).unwrap();
        for argument in [0, 1, 3, 0x2_0000_0000, 0x2000_0000, 0x2_0000_0003, u64::MAX] {
            let expect = if argument & mask == value & mask { ALLOW } else { ERRNO | 1 };
            assert_eq!(answer(&program, "mmap", [0, argument, 0, 0, 0, 0]), expect, "{argument:x} & {mask:x} == {value:x}");
        }
    }
}

#[test]
fn the_upper_half_of_a_32_bit_argument_does_not_count() {
    let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":40,"op":"SCMP_CMP_GT"}]},
        {"names":["ioctl"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":21522,"op":"SCMP_CMP_NE"}]}]}"#;
    let high = 1 << 32;
    check(
        json,
        &[
            ("socket", [41, 0, 0, 0, 0, 0], ALLOW),
            ("socket", [high | 38, 0, 0, 0, 0, 0], ERRNO | 1),
            ("ioctl", [0, high | 0x5412, 0, 0, 0, 0], ERRNO | 1),
            ("ioctl", [0, high | 0x5413, 0, 0, 0, 0], ALLOW),
        ],
    );
}

#[test]
fn several_rules_for_one_call() {
    check(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["mmap"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":2,"op":"SCMP_CMP_EQ"}]},
            {"names":["mmap"],"action":"SCMP_ACT_ERRNO","errnoRet":5,"args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]},
            {"names":["mremap"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]},
            {"names":["mlock"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]},
            {"names":["mlock"],"action":"SCMP_ACT_ERRNO","errnoRet":9},
            {"names":["munlock"],"action":"SCMP_ACT_ERRNO"},
            {"names":["munlock"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]}"#,
        &[
            ("mmap", [1, 2, 0, 0, 0, 0], ALLOW),
            ("mmap", [1, 3, 0, 0, 0, 0], ERRNO | 5),
            ("mmap", [2, 2, 0, 0, 0, 0], ERRNO | 1),
            ("mremap", [1, 0, 0, 0, 0, 0], ALLOW),
            ("mremap", [2, 0, 0, 0, 0, 0], ALLOW),
            ("mremap", [3, 0, 0, 0, 0, 0], ERRNO | 1),
            ("mlock", [1, 0, 0, 0, 0, 0], ERRNO | 9),
            ("munlock", [1, 0, 0, 0, 0, 0], ALLOW),
            ("munlock", [2, 0, 0, 0, 0, 0], ERRNO | 1),
        ],
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn architectures() {
    let json = |arches: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","architectures":[{arches}],"syscalls":[{{"names":["read"],"action":"SCMP_ACT_ERRNO"}}]}}"#
        )
    };
    let (native, i386) = (0xc000_003e, 0x4000_0003);
    let one = |program: &Program, arch, number| program.evaluate(&Call { arch, number, arguments: NONE.map(Some) }).unwrap();
    let all = compile(&profile(&json(r#""SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32""#))).unwrap();
    let alone = compile(&profile(&json(r#""SCMP_ARCH_X86_64","SCMP_ARCH_AARCH64","SCMP_ARCH_PPC64""#))).unwrap();
    let none = compile(&profile(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#)).unwrap();
    for (program, foreign) in [(&all, ALLOW), (&alone, 0), (&none, 0)] {
        assert_eq!(one(program, native, 1), ALLOW);
        assert_eq!(one(program, native, u32::MAX), ALLOW);
        assert_eq!(one(program, i386, 1), foreign);
        assert_eq!(one(program, native, X32_BIT | 1), foreign);
        assert_eq!(one(program, 0xc000_00b7, 1), 0, "not of this machine");
    }
    assert_eq!(one(&all, native, 0), ERRNO | 1);
    assert_eq!(one(&all, native, X32_BIT), ERRNO | 1);
    assert_eq!(one(&all, i386, 3), ERRNO | 1);
    assert_eq!(one(&all, i386, 0), ALLOW);
}

#[test]
fn load_flags() {
    let flags = |json: &str| compile(&profile(json)).unwrap().flags;
    assert_eq!(flags(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#), 4);
    assert_eq!(flags(r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":[]}"#), 0);
    assert_eq!(flags(r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_TSYNC"]}"#), 2);
    let notify = r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x","syscalls":[{"names":["mount"],"action":"SCMP_ACT_NOTIFY"}]}"#;
    assert_eq!(flags(notify), 12);
}

#[test]
fn bad_profiles_are_named() {
    let bad = [
        r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mount"],"action":"SCMP_ACT_NOTIFY"}]}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x","syscalls":[{"names":["write"],"action":"SCMP_ACT_NOTIFY"}]}"#,
        r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5000}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mount"],"action":"SCMP_ACT_ERRNO","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
    ];
    for json in bad {
        let error = compile(&profile(json)).unwrap_err();
        assert_eq!((error.step, error.kind), (Step::Seccomp, Kind::Invalid), "{json}");
    }
}

/// The profile read word by word, without ranges, jumps or halves.
fn naive(profile: &LinuxSeccomp, abi: Abi, number: u32, arguments: [u64; 6]) -> u32 {
    let code = |action: LinuxSeccompAction, errno: Option<u32>| match action {
        LinuxSeccompAction::ScmpActAllow => ALLOW,
        LinuxSeccompAction::ScmpActErrno => ERRNO | errno.unwrap_or(1),
        LinuxSeccompAction::ScmpActKillProcess => 0x8000_0000,
        _ => 0,
    };
    let default = code(profile.default_action(), profile.default_errno_ret());
    let rules = profile.syscalls().as_deref().unwrap_or_default();
    let of_call: Vec<(&String, &LinuxSyscall)> = rules
        .iter()
        .flat_map(|rule| rule.names().iter().map(move |name| (name, rule)))
        .filter(|(name, _)| abi.number(table(), name) == Some(number))
        .collect();
    let without = |rule: &LinuxSyscall| rule.args().as_ref().is_none_or(Vec::is_empty);
    let action = |rule: &LinuxSyscall| code(rule.action(), rule.errno_ret());
    if let Some((_, rule)) = of_call.iter().find(|(_, rule)| without(rule) && action(rule) != default) {
        return action(rule);
    }
    let holds = |name: &str, arg: &LinuxSeccompArg| {
        let reach = if abi.is_32_bit() || abi::is_narrow(name, arg.index()) { 0xffff_ffff } else { u64::MAX };
        let (a, b) = (arguments[arg.index()] & reach, arg.value() & reach);
        match arg.op() {
            LinuxSeccompOperator::ScmpCmpEq => a == b,
            LinuxSeccompOperator::ScmpCmpNe => a != b,
            LinuxSeccompOperator::ScmpCmpLt => a < b,
            LinuxSeccompOperator::ScmpCmpLe => a <= b,
            LinuxSeccompOperator::ScmpCmpGt => a > b,
            LinuxSeccompOperator::ScmpCmpGe => a >= b,
            LinuxSeccompOperator::ScmpCmpMaskedEq => a & b == arg.value_two().unwrap_or(0) & b,
        }
    };
    for (name, rule) in of_call.iter().filter(|(_, rule)| !without(rule)) {
        let args = rule.args().as_ref().unwrap();
        let mut indices: Vec<_> = args.iter().map(LinuxSeccompArg::index).collect();
        indices.sort_unstable();
        let repeats = indices.windows(2).any(|pair| pair[0] == pair[1]);
        if if repeats { args.iter().any(|arg| holds(name, arg)) } else { args.iter().all(|arg| holds(name, arg)) } {
            return action(rule);
        }
    }
    let newest = rules.iter().flat_map(|rule| rule.names()).filter_map(|name| abi.number(table(), name)).max();
    if default != ALLOW && newest.is_some_and(|newest| number > newest) { ERRNO | 38 } else { default }
}

fn any_action() -> impl Strategy<Value = LinuxSeccompAction> {
    prop::sample::select(vec![
        LinuxSeccompAction::ScmpActAllow,
        LinuxSeccompAction::ScmpActErrno,
        LinuxSeccompAction::ScmpActKill,
        LinuxSeccompAction::ScmpActKillProcess,
    ])
}

/// Few bits, so that comparisons hit.
fn any_value() -> impl Strategy<Value = u64> {
    (0..4u64, 0..4u64).prop_map(|(high, low)| high << 32 | low)
}

fn any_rule() -> impl Strategy<Value = LinuxSyscall> {
    use LinuxSeccompOperator::*;
    let op = prop::sample::select(vec![ScmpCmpNe, ScmpCmpLt, ScmpCmpLe, ScmpCmpEq, ScmpCmpGe, ScmpCmpGt, ScmpCmpMaskedEq]);
    let arg = (0..3usize, any_value(), prop::option::of(any_value()), op).prop_map(|(index, value, two, op)| {
        let arg = LinuxSeccompArgBuilder::default().index(index).value(value).op(op);
        two.into_iter().fold(arg, |arg, two| arg.value_two(two)).build().unwrap()
    });
    let picks = prop::collection::vec(0..names().len(), 1..8);
    let args = prop::collection::vec(arg, 0..4);
    (picks, any_action(), prop::option::of(1..40u32), args).prop_map(|(picks, action, errno, args)| {
        let mut rule = LinuxSyscall::default();
        rule.set_names(picks.into_iter().map(|n| names()[n].to_owned()).collect());
        rule.set_action(action).set_errno_ret(errno).set_args(Some(args));
        rule
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_program_means_what_the_profile_says(
        rules in prop::collection::vec(any_rule(), 0..40),
        default in any_action(),
        picks in prop::collection::vec((0..names().len(), [any_value(), any_value(), any_value()]), 60),
    ) {
        let mut profile = LinuxSeccomp::default();
        profile.set_default_action(default).set_default_errno_ret(None);
        profile.set_architectures(Some(vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32]));
        profile.set_syscalls(Some(rules));
        // A profile of the largest kind may be too long for the kernel, which is an answer too.
        let Ok(program) = compile(&profile) else { return Ok(()) };
        let named: Vec<_> = profile.syscalls().iter().flatten().flat_map(|rule| rule.names().clone()).collect();
        let abis: &[Abi] = if Abi::NATIVE == Abi::X86_64 { &[Abi::X86_64, Abi::X86, Abi::X32] } else { &[Abi::NATIVE] };
        for (pick, values) in picks {
            for name in [Some(names()[pick]), named.get(pick % named.len().max(1)).map(String::as_str)].into_iter().flatten() {
                for &abi in abis {
                    let Some(number) = abi.number(table(), name) else { continue };
                    let arguments = [values[0], values[1], values[2], 0, 0, 0];
                    let call = Call { arch: abi.audit(), number, arguments: arguments.map(Some) };
                    prop_assert_eq!(program.evaluate(&call), Some(naive(&profile, abi, number, arguments)), "{} on {:?}", name, abi);
                }
            }
        }
    }

    /// Every path of a long program ends: no jump leaves it.
    #[test]
    fn jumps_stay_inside(rules in prop::collection::vec(any_rule(), 60..120), default in any_action(), numbers in prop::collection::vec(any::<u32>(), 50)) {
        let mut profile = LinuxSeccomp::default();
        profile.set_default_action(default).set_syscalls(Some(rules));
        let Ok(program) = compile(&profile) else { return Ok(()) };
        let length = program.instructions.len();
        for (at, (code, yes, no, value)) in program.instructions.iter().enumerate() {
            match *code {
                program::JUMP => prop_assert!(at + 1 + (*value as usize) < length),
                program::IF_EQUAL | program::IF_ABOVE | program::IF_AT_LEAST => {
                    prop_assert!(at + 1 + usize::from(*yes.max(no)) < length);
                }
                _ => {}
            }
        }
        prop_assert_eq!(program.instructions[length - 1].0, program::RETURN);
        for number in numbers {
            let call = Call { arch: Abi::NATIVE.audit(), number, arguments: NONE.map(Some) };
            prop_assert!(program.evaluate(&call).is_some());
        }
    }
}

#[test]
fn a_program_too_long_for_the_kernel_is_refused() {
    let args: Vec<_> = (0..5000).map(|n| format!(r#"{{"index":0,"value":{n},"op":"SCMP_CMP_EQ"}}"#)).collect();
    let json = format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["mmap"],"action":"SCMP_ACT_ALLOW","args":[{}]}}]}}"#,
        args.join(",")
    );
    let error = compile(&profile(&json)).unwrap_err();
    assert!(error.message.contains("the kernel takes 4096"), "{error}");
}
