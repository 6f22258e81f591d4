//! Runs a filter on paper: what the kernel would answer to a call.

use super::Program;
use super::program::{AND, ARCH, IF_ABOVE, IF_AT_LEAST, IF_EQUAL, JUMP, LOAD, NUMBER, RETURN};

/// A system call as a filter sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Number, with the x32 bit where it applies.
    pub number: u32,
    /// The six registers; `None` is not known.
    pub arguments: [Option<u64>; 6],
}

impl Call {
    /// A call of this machine's own architecture by name. `None`: there is no such call.
    pub fn native(name: &str, arguments: [Option<u64>; 6]) -> Option<Self> {
        let abi = super::abi::Abi::NATIVE;
        Some(Self { arch: abi.audit(), number: abi.number(&super::table::Table::read(), name)?, arguments })
    }

    fn word(&self, offset: u32) -> Option<u32> {
        match offset {
            NUMBER => Some(self.number),
            ARCH => Some(self.arch),
            16..64 if offset.is_multiple_of(4) => {
                let argument = self.arguments[(offset as usize - 16) / 8]?;
                let high = offset.is_multiple_of(8) == cfg!(target_endian = "big");
                Some(if high { (argument >> 32) as u32 } else { argument as u32 })
            }
            _ => None,
        }
    }
}

impl Program {
    /// The filter's answer (`SECCOMP_RET_*` with its data); `None` if the program is not one that the kernel would take, or the answer hangs
    /// on what is not known.
    pub fn evaluate(&self, call: &Call) -> Option<u32> {
        let (mut at, mut accumulator) = (0usize, 0u32);
        // Jumps only go forward, so this ends.
        loop {
            let (code, yes, no, value) = *self.instructions.get(at)?;
            at += 1;
            let holds = match code {
                RETURN => return Some(value),
                LOAD => {
                    accumulator = call.word(value)?;
                    continue;
                }
                AND => {
                    accumulator &= value;
                    continue;
                }
                JUMP => {
                    at = at.checked_add(value as usize)?;
                    continue;
                }
                IF_EQUAL => accumulator == value,
                IF_ABOVE => accumulator > value,
                IF_AT_LEAST => accumulator >= value,
                _ => return None,
            };
            at += usize::from(if holds { yes } else { no });
        }
    }
}
