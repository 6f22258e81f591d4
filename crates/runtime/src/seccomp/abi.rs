//! Architectures: how the kernel marks a call's, and which numbers its calls have.

use super::table::Table;
use oci_spec::runtime::Arch;

/// The bit that marks an x32 call, which otherwise looks like one of x86_64.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// One way to call the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Abi {
    X86_64 = 0,
    X86 = 1,
    X32 = 2,
    Aarch64 = 3,
    Arm = 4,
}

impl Abi {
    /// This machine's own.
    pub(super) const NATIVE: Abi = if cfg!(target_arch = "aarch64") { Abi::Aarch64 } else { Abi::X86_64 };

    /// `None` for what this machine cannot run; its calls never reach the filter.
    pub(super) fn from_oci(arch: Arch) -> Option<Abi> {
        let abi = match arch {
            Arch::ScmpArchNative => Abi::NATIVE,
            Arch::ScmpArchX86_64 => Abi::X86_64,
            Arch::ScmpArchX86 => Abi::X86,
            Arch::ScmpArchX32 => Abi::X32,
            Arch::ScmpArchAarch64 => Abi::Aarch64,
            Arch::ScmpArchArm => Abi::Arm,
            _ => return None,
        };
        let family = |abi| matches!(abi, Abi::Aarch64 | Abi::Arm);
        (family(abi) == family(Abi::NATIVE)).then_some(abi)
    }

    /// `AUDIT_ARCH_*` as in `seccomp_data.arch`.
    pub(super) fn audit(self) -> u32 {
        match self {
            Abi::X86_64 | Abi::X32 => 0xc000_003e,
            Abi::X86 => 0x4000_0003,
            Abi::Aarch64 => 0xc000_00b7,
            Abi::Arm => 0x4000_0028,
        }
    }

    /// Only the lower half of an argument's register is the caller's.
    pub(super) fn is_32_bit(self) -> bool {
        matches!(self, Abi::X86 | Abi::Arm)
    }

    /// The number of a call as it stands in `seccomp_data.nr`.
    pub(super) fn number(self, table: &Table, name: &str) -> Option<u32> {
        let number = table.numbers(name)?[self as usize]?;
        Some(if self == Abi::X32 { number | X32_BIT } else { number })
    }
}

/// Arguments that the kernel reads as 32 bits: the upper half of the register is whatever the caller left there, so a comparison
/// must not look at it (CVE-2019-10063 was such a one). A name, then positions of arguments.
const NARROW: &str = "
bpf 0 2
clock_settime 0
fcntl 0 1
fcntl64 0 1
futex 1
getsockopt 0 1 2
io_uring_register 0 1 3
io_uring_setup 0
ioctl 0 1
keyctl 0
kill 0 1
madvise 2
memfd_create 1
mknod 1 2
mknodat 0 2 3
open 1 2
openat 0 2 3
personality 0
prctl 0
quotactl 0
reboot 0 1 2
seccomp 0 1
setns 0 1
setsockopt 0 1 2 4
socket 0 1 2
socketcall 0
socketpair 0 1 2
syslog 0 2
tgkill 0 1 2
tkill 0 1
umount2 1
userfaultfd 0";

pub(super) fn is_narrow(name: &str, argument: usize) -> bool {
    let mut positions = NARROW.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    positions.any(|positions| positions.split(' ').any(|one| one.parse() == Ok(argument)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_right_for_this_machine() {
        let table = Table::read();
        let known = [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("openat2", libc::SYS_openat2),
            ("seccomp", libc::SYS_seccomp),
            ("landlock_restrict_self", libc::SYS_landlock_restrict_self),
        ];
        for (name, number) in known {
            assert_eq!(Abi::NATIVE.number(&table, name), Some(number as u32), "{name}");
        }
        assert_eq!(Abi::X32.number(&table, "read"), Some(X32_BIT));
        assert_eq!(Abi::X32.number(&table, "ioctl"), Some(X32_BIT | 514));
        assert_eq!(Abi::X86.number(&table, "socketcall"), Some(102));
        assert_eq!(Abi::Aarch64.number(&table, "open"), None);
        assert_eq!(Abi::X86_64.number(&table, "no_such_call"), None);
        let narrow = NARROW.lines().skip(1).map(|line| line.split(' ').next().unwrap());
        assert!(narrow.clone().all(|name| table.numbers(name).is_some()));
        assert!(is_narrow("socket", 0) && !is_narrow("socket", 3) && !is_narrow("sock", 0) && !is_narrow("mmap", 0) && !is_narrow("", 0));
    }
}
