//! Device rules: brought into the kernel's form (a default and its exceptions), then written for v1 or made into a
//! program for v2.

use crate::error::Result;
use dhow_sys::bpf::Instruction;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

/// What a rule is about: all character or all block devices, or some by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Which {
    pub(crate) block: bool,
    /// `None` for any.
    pub(crate) major: Option<u32>,
    /// `None` for any.
    pub(crate) minor: Option<u32>,
}

/// Read, write, mknod as the kernel's access bits.
pub(crate) type Access = u32;
const MKNOD: Access = 1;
const READ: Access = 2;
const WRITE: Access = 4;
const ALL: Access = MKNOD | READ | WRITE;

/// The meaning of a list of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// What holds where no exception applies.
    pub(crate) allow: bool,
    /// Accesses for which the opposite holds.
    pub(crate) exceptions: Vec<(Which, Access)>,
}

/// What every container may use, as the OCI specification and runc have it: any mknod, the basic devices, terminals.
const ALWAYS: [(Which, Access); 10] = [
    (character(None, None), MKNOD),
    (Which { block: true, major: None, minor: None }, MKNOD),
    (character(Some(1), Some(3)), ALL),
    (character(Some(1), Some(5)), ALL),
    (character(Some(1), Some(7)), ALL),
    (character(Some(1), Some(8)), ALL),
    (character(Some(1), Some(9)), ALL),
    (character(Some(5), Some(0)), ALL),
    (character(Some(5), Some(2)), ALL),
    (character(Some(136), None), ALL),
];

const fn character(major: Option<u32>, minor: Option<u32>) -> Which {
    Which { block: false, major, minor }
}

/// Works the rules off in their order, as the v1 controller would, starting from "nothing is allowed"; then adds what every
/// container may use.
pub(crate) fn policy(rules: &[LinuxDeviceCgroup]) -> Result<Policy> {
    let mut policy = Policy { allow: false, exceptions: Vec::new() };
    for rule in rules {
        let access = parse_access(rule)?;
        let (major, minor) = (number(rule.major(), "major")?, number(rule.minor(), "minor")?);
        let kinds: &[bool] = match rule.typ().unwrap_or(LinuxDeviceType::A) {
            LinuxDeviceType::A if major.is_none() && minor.is_none() && access == ALL => {
                policy = Policy { allow: rule.allow(), exceptions: Vec::new() };
                continue;
            }
            LinuxDeviceType::A => &[false, true],
            LinuxDeviceType::B => &[true],
            LinuxDeviceType::C | LinuxDeviceType::U => &[false],
            LinuxDeviceType::P => return Err(super::invalid("devices", "a FIFO is not a device")),
        };
        for &block in kinds {
            policy.change(Which { block, major, minor }, access, rule.allow());
        }
    }
    if !policy.allow {
        for (which, access) in ALWAYS {
            policy.change(which, access, true);
        }
    }
    Ok(policy)
}

impl Policy {
    fn change(&mut self, which: Which, access: Access, allow: bool) {
        let known = self.exceptions.iter_mut().find(|(known, _)| *known == which);
        match (known, allow == self.allow) {
            (Some((_, accesses)), true) => *accesses &= !access,
            (Some((_, accesses)), false) => *accesses |= access,
            (None, true) => {}
            (None, false) => self.exceptions.push((which, access)),
        }
        self.exceptions.retain(|(_, accesses)| *accesses != 0);
    }

    /// The v1 writes: `(file, line)`. A fresh directory has its parent's rules, so "everything" need not be written there.
    pub(crate) fn v1_writes(&self, fresh: bool) -> Vec<(&'static str, String)> {
        let (default, exception) = if self.allow { ("devices.allow", "devices.deny") } else { ("devices.deny", "devices.allow") };
        let mut writes = Vec::with_capacity(self.exceptions.len() + 1);
        if !(fresh && self.allow) {
            writes.push((default, "a".to_owned()));
        }
        writes.extend(self.exceptions.iter().map(|(which, access)| (exception, line(*which, *access))));
        writes
    }

    /// The v2 program. The context holds `access << 16 | type`, major and minor; the result is 1 for yes.
    pub(crate) fn program(&self) -> Vec<Instruction> {
        let mut code =
            vec![load_context(2, 0), move_register(3, 2), and(2, 0xffff), shift_right(3, 16), load_context(4, 4), load_context(5, 8)];
        for &(which, access) in &self.exceptions {
            let body = self.exception(which, access);
            code.extend(body);
        }
        code.extend([move_constant(0, i32::from(self.allow)), exit()]);
        code
    }

    /// Falls through to the next exception where this one does not apply.
    fn exception(&self, which: Which, access: Access) -> Vec<Instruction> {
        let mut tests = vec![Test::NotEqual(2, if which.block { 1 } else { 2 })];
        tests.extend(which.major.map(|major| Test::NotEqual(4, major as i32)));
        tests.extend(which.minor.map(|minor| Test::NotEqual(5, minor as i32)));
        if access != ALL {
            // Allowing needs every bit that is asked for; refusing needs one.
            tests.push(if self.allow { Test::NoneOf(access) } else { Test::BeyondOf(access) });
        }
        let length: usize = tests.iter().map(Test::length).sum::<usize>() + 2;
        let mut code = Vec::with_capacity(length);
        for test in tests {
            test.emit(&mut code, length);
        }
        code.extend([move_constant(0, i32::from(!self.allow)), exit()]);
        code
    }
}

/// A reason to skip an exception.
enum Test {
    NotEqual(u8, i32),
    NoneOf(Access),
    BeyondOf(Access),
}

impl Test {
    fn length(&self) -> usize {
        if matches!(self, Test::NotEqual(..)) { 1 } else { 3 }
    }

    fn emit(&self, code: &mut Vec<Instruction>, length: usize) {
        let skip = |at: usize| (length - at - 1) as i16;
        match *self {
            Test::NotEqual(register, value) => code.push(jump_not_equal(register, value, skip(code.len()))),
            Test::NoneOf(access) => {
                code.extend([move_register(1, 3), and(1, access as i32)]);
                code.push(jump_equal(1, 0, skip(code.len())));
            }
            Test::BeyondOf(access) => {
                code.extend([move_register(1, 3), and(1, !access as i32)]);
                code.push(jump_not_equal(1, 0, skip(code.len())));
            }
        }
    }
}

fn load_context(to: u8, offset: i16) -> Instruction {
    Instruction { code: 0x61, registers: to | 1 << 4, offset, immediate: 0 }
}
fn move_register(to: u8, from: u8) -> Instruction {
    Instruction { code: 0xbc, registers: to | from << 4, offset: 0, immediate: 0 }
}
fn move_constant(to: u8, immediate: i32) -> Instruction {
    Instruction { code: 0xb7, registers: to, offset: 0, immediate }
}
fn and(to: u8, immediate: i32) -> Instruction {
    Instruction { code: 0x54, registers: to, offset: 0, immediate }
}
fn shift_right(to: u8, immediate: i32) -> Instruction {
    Instruction { code: 0x74, registers: to, offset: 0, immediate }
}
fn jump_not_equal(register: u8, immediate: i32, offset: i16) -> Instruction {
    Instruction { code: 0x56, registers: register, offset, immediate }
}
fn jump_equal(register: u8, immediate: i32, offset: i16) -> Instruction {
    Instruction { code: 0x16, registers: register, offset, immediate }
}
fn exit() -> Instruction {
    Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 }
}

fn line(which: Which, access: Access) -> String {
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
    let mut line = format!("{} {}:{} ", if which.block { 'b' } else { 'c' }, number(which.major), number(which.minor));
    line.extend([(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')].iter().filter(|(bit, _)| access & bit != 0).map(|(_, c)| c));
    line
}

fn parse_access(rule: &LinuxDeviceCgroup) -> Result<Access> {
    let text = rule.access().as_deref().unwrap_or("rwm");
    let mut access = 0;
    for letter in text.chars() {
        access |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            _ => return Err(super::invalid("devices", format!("access {text:?} has letters other than r, w and m"))),
        };
    }
    if access == 0 {
        return Err(super::invalid("devices", "a rule's access is empty"));
    }
    Ok(access)
}

fn number(value: Option<i64>, name: &str) -> Result<Option<u32>> {
    match value {
        None | Some(-1) => Ok(None),
        Some(value) => {
            u32::try_from(value).map(Some).map_err(|_| super::invalid("devices", format!("{name} number {value} is out of range")))
        }
    }
}

#[cfg(test)]
#[path = "devices_tests.rs"]
mod tests;
