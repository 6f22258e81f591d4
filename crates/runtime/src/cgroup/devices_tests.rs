//! The v2 program is run by a small interpreter and compared with the v1 lines' meaning.

use super::*;
use proptest::prelude::*;

fn rule(allow: bool, text: &str) -> LinuxDeviceCgroup {
    let mut words = text.split(' ');
    let kind = words.next().unwrap();
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow);
    rule.set_typ(Some(match kind {
        "c" => LinuxDeviceType::C,
        "b" => LinuxDeviceType::B,
        "p" => LinuxDeviceType::P,
        _ => LinuxDeviceType::A,
    }));
    let (major, minor) = words.next().unwrap_or("*:*").split_once(':').unwrap();
    rule.set_major(major.parse().ok());
    rule.set_minor(minor.parse().ok());
    rule.set_access(Some(words.next().unwrap_or("rwm").to_owned()));
    rule
}

/// Registers, memory of three words, and the few instructions that are used.
fn run(code: &[Instruction], block: bool, major: u32, minor: u32, access: Access) -> bool {
    let context = [access << 16 | if block { 1 } else { 2 }, major, minor];
    let mut registers = [0u32; 10];
    let mut at = 0;
    for _ in 0..10_000 {
        let Instruction { code: op, registers: pair, offset, immediate } = code[at];
        let (to, from) = ((pair & 15) as usize, (pair >> 4) as usize);
        at += 1;
        let jump = match op {
            0x61 => {
                assert_eq!(from, 1, "the context is in register 1 while it is read");
                registers[to] = context[offset as usize / 4];
                false
            }
            0xbc => {
                registers[to] = registers[from];
                false
            }
            0xb7 => {
                registers[to] = immediate as u32;
                false
            }
            0x54 => {
                registers[to] &= immediate as u32;
                false
            }
            0x74 => {
                registers[to] >>= immediate;
                false
            }
            0x56 => registers[to] != immediate as u32,
            0x16 => registers[to] == immediate as u32,
            0x95 => return registers[0] == 1,
            other => panic!("instruction {other:#x}"),
        };
        if jump {
            at = (at as i64 + i64::from(offset)) as usize;
        }
    }
    panic!("no end");
}

/// What the kernel's v1 controller answers.
fn meaning(policy: &Policy, block: bool, major: u32, minor: u32, access: Access) -> bool {
    let hit = policy.exceptions.iter().any(|(which, accesses)| {
        which.block == block
            && which.major.is_none_or(|one| one == major)
            && which.minor.is_none_or(|one| one == minor)
            && if policy.allow { access & accesses != 0 } else { access & !accesses == 0 }
    });
    hit != policy.allow
}

fn check(rules: &[LinuxDeviceCgroup], expect: &[(&str, bool)]) {
    let policy = policy(rules).unwrap();
    let code = policy.program();
    for (request, allowed) in expect {
        let mut words = request.split(' ');
        let block = words.next() == Some("b");
        let (major, minor) = words.next().unwrap().split_once(':').unwrap();
        let (major, minor) = (major.parse().unwrap(), minor.parse().unwrap());
        let letters = words.next().unwrap();
        let access = [('m', MKNOD), ('r', READ), ('w', WRITE)]
            .iter()
            .filter(|(letter, _)| letters.contains(*letter))
            .fold(0, |sum, (_, bit)| sum | bit);
        assert_eq!(run(&code, block, major, minor, access), *allowed, "{request}");
        assert_eq!(meaning(&policy, block, major, minor, access), *allowed, "{request}");
    }
}

#[test]
fn without_rules_the_basic_devices_are_open() {
    check(
        &[],
        &[
            ("c 1:3 rw", true),
            ("c 1:5 rwm", true),
            ("c 136:7 rw", true),
            ("c 1:1 r", false),
            ("b 8:0 r", false),
            ("b 8:0 m", true),
            ("c 10:229 rw", false),
        ],
    );
}

#[test]
fn rules_work_in_order() {
    let rules = [rule(false, "a"), rule(true, "c 10:200 rw"), rule(true, "b 8:* r"), rule(false, "b 8:* r"), rule(true, "b 9:1 r")];
    check(
        &rules,
        &[("c 10:200 r", true), ("c 10:200 rw", true), ("b 8:1 r", false), ("b 9:1 r", true), ("b 9:1 w", false), ("b 9:1 rm", true)][..5],
    );
}

#[test]
fn everything_but() {
    let rules = [rule(true, "a"), rule(false, "c 10:229 w"), rule(false, "b 8:0 rwm")];
    check(&rules, &[("c 10:229 r", true), ("c 10:229 rw", false), ("b 8:0 m", false), ("b 8:1 r", true)]);
}

#[test]
fn a_partial_rule_for_all_kinds_is_split() {
    let rules = [rule(true, "a 7:1 r")];
    check(&rules, &[("c 7:1 r", true), ("b 7:1 r", true), ("b 7:1 w", false)]);
}

#[test]
fn lines_of_v1() {
    let writes = policy(&[rule(false, "a"), rule(true, "c 10:200 rw")]).unwrap().v1_writes(true);
    assert_eq!(writes[0], ("devices.deny", "a".to_owned()));
    assert_eq!(writes[1], ("devices.allow", "c 10:200 rw".to_owned()));
    assert!(writes.contains(&("devices.allow", "c 136:* rwm".to_owned())));
    assert!(writes.contains(&("devices.allow", "b *:* m".to_owned())));
    assert_eq!(policy(&[rule(true, "a")]).unwrap().v1_writes(true), []);
    assert_eq!(policy(&[rule(true, "a")]).unwrap().v1_writes(false), [("devices.allow", "a".to_owned())]);
}

#[test]
fn bad_rules_are_named() {
    for bad in [rule(true, "c 1:1 rx"), rule(true, "p 1:1 r"), rule(true, "c 99999999999:1 r")] {
        assert!(policy(&[bad]).is_err());
    }
}

proptest! {
    #[test]
    fn the_program_means_what_the_lines_mean(
        rules in prop::collection::vec((any::<bool>(), 0..3u8, 0..3i64, 0..3i64, 1..8u32), 0..12),
        block: bool, major in 0..3u32, minor in 0..3u32, access in 1..8u32,
    ) {
        let rules: Vec<_> = rules.into_iter().map(|(allow, kind, major, minor, bits)| {
            let mut rule = LinuxDeviceCgroup::default();
            rule.set_allow(allow);
            rule.set_typ(Some([LinuxDeviceType::A, LinuxDeviceType::B, LinuxDeviceType::C][kind as usize]));
            rule.set_major((major > 0).then_some(major));
            rule.set_minor((minor > 0).then_some(minor));
            let letters = [(MKNOD, 'm'), (READ, 'r'), (WRITE, 'w')];
            rule.set_access(Some(letters.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, c)| *c).collect()));
            rule
        }).collect();
        let policy = policy(&rules).unwrap();
        prop_assert_eq!(run(&policy.program(), block, major, minor, access), meaning(&policy, block, major, minor, access));
    }
}
