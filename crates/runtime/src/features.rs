//! What a specification may ask for, as lists: what a front end tells its callers. Each list is held against the code that does it.

/// Moments at which hooks run.
pub const HOOKS: &[&str] = &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Kinds of namespaces.
pub const NAMESPACES: &[&str] = &["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

/// Options of mounts that are the runtime's, not the filesystem's.
pub const MOUNT_OPTIONS: &[&str] = &[
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "exec",
    "idmap",
    "iversion",
    "loud",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "tmpcopyup",
    "unbindable",
];

/// What a filter may answer.
pub const SECCOMP_ACTIONS: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

/// How a filter compares arguments.
pub const SECCOMP_OPERATORS: &[&str] =
    &["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"];

/// Architectures that a filter tells apart on this machine.
pub const SECCOMP_ARCHITECTURES: &[&str] = if cfg!(target_arch = "x86_64") {
    &["SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"]
} else {
    &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
};

/// Flags of a filter.
pub const SECCOMP_FLAGS: &[&str] =
    &["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"];

/// Control groups by systemd.
pub const SYSTEMD: bool = true;
/// Labels of processes and mounts.
pub const SELINUX: bool = true;
/// Mappings of a mount's own.
pub const MOUNT_ID_MAPS: bool = true;
/// Network devices that are moved in.
pub const NET_DEVICES: bool = true;

/// Shares of caches and of memory's bandwidth.
pub const INTEL_RDT: bool = true;

/// How memory is spread over nodes.
pub const MEMORY_MODES: &[&str] =
    &["MPOL_BIND", "MPOL_DEFAULT", "MPOL_INTERLEAVE", "MPOL_LOCAL", "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE"];
/// What changes that.
pub const MEMORY_FLAGS: &[&str] = &["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];

/// Annotations that reach beyond the container; a dot at the end stands for all that begin so.
pub const UNSAFE_ANNOTATIONS: &[&str] = &["org.systemd.property."];

/// All capabilities whose names are known, in the kernel's order.
pub fn capabilities() -> Vec<String> {
    crate::capmask::NAMES.iter().map(|name| format!("CAP_{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{LinuxNamespaceType, LinuxSeccomp};
    use serde_json::json;

    #[test]
    fn every_option_is_honoured() {
        for option in MOUNT_OPTIONS {
            let parsed = crate::mountopts::parse([*option]).unwrap_or_else(|_| panic!("{option}"));
            assert!(parsed.data.is_empty(), "{option} is handed to the filesystem");
        }
    }

    #[test]
    fn every_word_of_a_filter_compiles() {
        for action in SECCOMP_ACTIONS {
            let operators: Vec<_> = SECCOMP_OPERATORS.iter().map(|op| json!({"index": 0, "value": 1, "valueTwo": 1, "op": op})).collect();
            for operator in operators {
                let call = json!({"names": ["chdir"], "action": action, "args": [operator]});
                let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": SECCOMP_ARCHITECTURES, "flags": SECCOMP_FLAGS,
                    "listenerPath": "/s", "syscalls": [call]});
                let profile: LinuxSeccomp = serde_json::from_value(profile).unwrap();
                crate::seccomp::compile(&profile).unwrap();
            }
        }
    }

    #[test]
    fn memory_policies_are_understood() {
        for mode in MEMORY_MODES {
            for flag in MEMORY_FLAGS {
                let nodes = if matches!(*mode, "MPOL_DEFAULT" | "MPOL_LOCAL") { "" } else { "0" };
                let policy = json!({"mode": mode, "flags": [flag], "nodes": nodes});
                crate::schedplan::memory_policy(&serde_json::from_value(policy).unwrap()).unwrap();
            }
        }
    }

    #[test]
    fn namespaces_and_capabilities_are_those_of_the_specification() {
        for name in NAMESPACES {
            serde_json::from_value::<LinuxNamespaceType>(json!(name)).unwrap();
        }
        for name in capabilities() {
            serde_json::from_value::<oci_spec::runtime::Capability>(json!(name)).unwrap();
        }
    }
}
