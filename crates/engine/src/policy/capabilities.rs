//! Capabilities: the default set, and what `--cap-add` and `--cap-drop` make of it.

use oci_spec::runtime::Capability::{self, *};
use std::sync::OnceLock;

/// Every capability, at the place of its number.
const KNOWN: [Capability; 41] = [
    Chown,
    DacOverride,
    DacReadSearch,
    Fowner,
    Fsetid,
    Kill,
    Setgid,
    Setuid,
    Setpcap,
    LinuxImmutable,
    NetBindService,
    NetBroadcast,
    NetAdmin,
    NetRaw,
    IpcLock,
    IpcOwner,
    SysModule,
    SysRawio,
    SysChroot,
    SysPtrace,
    SysPacct,
    SysAdmin,
    SysBoot,
    SysNice,
    SysResource,
    SysTime,
    SysTtyConfig,
    Mknod,
    Lease,
    AuditWrite,
    AuditControl,
    Setfcap,
    MacOverride,
    MacAdmin,
    Syslog,
    WakeAlarm,
    BlockSuspend,
    AuditRead,
    Perfmon,
    Bpf,
    CheckpointRestore,
];

/// What a container has by default, in Docker's order.
pub const DEFAULT: [Capability; 14] =
    [Chown, DacOverride, Fsetid, Fowner, Mknod, NetRaw, Setgid, Setuid, Setfcap, Setpcap, NetBindService, SysChroot, Kill, AuditWrite];

/// All that this kernel knows and this process could hand on, by number: what `--privileged` and `ALL` give. An engine that itself runs
/// with a reduced bounding set cannot give what it lacks.
pub fn all() -> Vec<Capability> {
    static ALL: OnceLock<Vec<Capability>> = OnceLock::new();
    ALL.get_or_init(|| known_to(last(), bounding())).clone()
}

/// The default set changed by `add` and `drop`: names in any case, with or without `CAP_`, or `ALL`. The error is Docker's text.
pub fn resolve(add: &[String], drop: &[String]) -> Result<Vec<Capability>, String> {
    tweak(add, drop, &all())
}

fn known_to(last: usize, bounding: u64) -> Vec<Capability> {
    KNOWN.iter().enumerate().filter(|(number, _)| *number <= last && bounding >> number & 1 == 1).map(|(_, one)| *one).collect()
}

fn last() -> usize {
    let text = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap_or_default();
    text.trim().parse().unwrap_or(KNOWN.len() - 1)
}

fn bounding() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(u64::MAX)
}

/// One word of `--cap-add` or `--cap-drop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    All,
    One(Capability),
}

fn tweak(add: &[String], drop: &[String], all: &[Capability]) -> Result<Vec<Capability>, String> {
    let add = words(add, all).map_err(|why| format!("invalid CapAdd: {why}"))?;
    let drop = words(drop, all).map_err(|why| format!("invalid CapDrop: {why}"))?;
    let kept = |set: &[Capability]| -> Vec<Capability> { set.iter().copied().filter(|one| !drop.contains(&Word::One(*one))).collect() };
    if add.contains(&Word::All) {
        return Ok(kept(all));
    }
    let mut set = if drop.contains(&Word::All) { Vec::new() } else { kept(&DEFAULT) };
    for word in add {
        if let Word::One(one) = word
            && !set.contains(&one)
        {
            set.push(one);
        }
    }
    Ok(set)
}

fn words(names: &[String], all: &[Capability]) -> Result<Vec<Word>, String> {
    names.iter().map(|name| word(name, all)).collect()
}

fn word(name: &str, all: &[Capability]) -> Result<Word, String> {
    let upper = name.to_uppercase();
    if upper == "ALL" {
        return Ok(Word::All);
    }
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    match KNOWN.iter().find(|known| known.to_string() == short) {
        None => Err(format!("unknown capability: {:?}", format!("CAP_{short}"))),
        Some(known) if all.contains(known) => Ok(Word::One(*known)),
        Some(_) => Err(format!(
            "capability not supported by your kernel or not available in the current environment: {:?}",
            format!("CAP_{short}")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    fn check(add: &str, drop: &str, expect: Result<&str, &str>) {
        let found = tweak(&strings(add), &strings(drop), &KNOWN);
        let found = found.map(|set| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!(found, expect.map(str::to_owned).map_err(str::to_owned), "+{add} -{drop}");
    }

    const USUAL: &str =
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE";

    #[test]
    fn adding_and_dropping() {
        check("", "", Ok(USUAL));
        check("", "all", Ok(""));
        check("net_admin CAP_SYS_TIME", "ALL", Ok("NET_ADMIN SYS_TIME"));
        check("", "Mknod cap_net_raw", Ok(&USUAL.replace("MKNOD NET_RAW ", "")));
        check("SYS_ADMIN chown", "", Ok(&format!("{USUAL} SYS_ADMIN")));
        check("CHOWN", "CHOWN", Ok(&format!("{} CHOWN", USUAL.replace("CHOWN ", ""))));
        let all: Vec<_> = KNOWN.iter().map(ToString::to_string).collect();
        check("ALL", "", Ok(&all.join(" ")));
        check("ALL", "all", Ok(&all.join(" ")));
        check("ALL", "sys_admin", Ok(&all.join(" ").replace("SYS_ADMIN ", "")));
    }

    #[test]
    fn unknown_names_in_dockers_words() {
        check("FOO", "", Err("invalid CapAdd: unknown capability: \"CAP_FOO\""));
        check("", "cap_foo", Err("invalid CapDrop: unknown capability: \"CAP_FOO\""));
        check("", "CAP_CAP_KILL", Err("invalid CapDrop: unknown capability: \"CAP_CAP_KILL\""));
        check("", "CAP_ALL", Err("invalid CapDrop: unknown capability: \"CAP_ALL\""));
    }

    #[test]
    fn an_older_kernel_lacks_some() {
        let older = known_to(37, u64::MAX);
        assert_eq!(older.len(), 38);
        let error = tweak(&strings("bpf"), &[], &older).unwrap_err();
        assert_eq!(
            error,
            "invalid CapAdd: capability not supported by your kernel or not available in the current environment: \"CAP_BPF\""
        );
        assert_eq!(known_to(40, 0b101), [Chown, DacReadSearch]);
    }

    #[test]
    fn this_kernel_knows_the_defaults() {
        assert!(DEFAULT.iter().all(|one| all().contains(one)));
    }
}
