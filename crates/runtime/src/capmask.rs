//! Capabilities of the specification as bit masks.

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

/// The kernel's names in the order of their numbers.
pub(crate) const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// CAP_SYS_ADMIN, which loading a filter without no_new_privs takes.
pub(crate) const SYS_ADMIN: u64 = 1 << 21;

/// The five sets of a specification; all empty where it names none.
pub(crate) fn sets(capabilities: Option<&LinuxCapabilities>) -> dhow_sys::caps::Caps {
    let Some(all) = capabilities else { return dhow_sys::caps::Caps::default() };
    dhow_sys::caps::Caps {
        effective: mask(all.effective().as_ref()),
        permitted: mask(all.permitted().as_ref()),
        inheritable: mask(all.inheritable().as_ref()),
        bounding: mask(all.bounding().as_ref()),
        ambient: mask(all.ambient().as_ref()),
    }
}

fn mask(set: Option<&Capabilities>) -> u64 {
    let number = |capability: &Capability| {
        let name = capability.to_string();
        NAMES.iter().position(|known| *known == name)
    };
    set.into_iter().flatten().filter_map(number).fold(0, |mask, number| mask | 1 << number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    #[test]
    fn every_name_is_known_to_the_specification() {
        for name in NAMES {
            assert!(Capability::from_str(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn numbers() {
        let json = r#"{"bounding":["CAP_CHOWN","CAP_CHECKPOINT_RESTORE"],"permitted":["CAP_SYS_ADMIN"],"ambient":["CAP_KILL"]}"#;
        let sets = sets(Some(&serde_json::from_str(json).unwrap()));
        assert_eq!(sets.bounding, 1 | 1 << 40);
        assert_eq!(sets.permitted, SYS_ADMIN);
        assert_eq!((sets.ambient, sets.effective, sets.inheritable), (1 << 5, 0, 0));
    }
}
