//! `features`: what this runtime can do, for callers that choose by it.

use super::{Command, print};
use crate::args::{Order, Parsed};
use crate::context::Context;
use crate::error::{Error, Result};
use dhow_runtime::features;
use serde_json::{Value, json};

pub(super) const COMMAND: Command =
    Command { name: "features", usage: "", about: "show the enabled features", flags: &[], order: Order::Mixed, words: (0, 0), run };

fn run(_: &Context<'_>, _: &Parsed) -> Result<i32> {
    let text = serde_json::to_string_pretty(&document()).map_err(|e| Error::new(format!("features: {e}")))?;
    print(&format!("{text}\n")).map(|()| 0)
}

fn document() -> Value {
    let seccomp = json!({
        "enabled": true,
        "actions": features::SECCOMP_ACTIONS,
        "operators": features::SECCOMP_OPERATORS,
        "archs": features::SECCOMP_ARCHITECTURES,
        "knownFlags": features::SECCOMP_FLAGS,
        "supportedFlags": features::SECCOMP_FLAGS,
    });
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": crate::SPEC_VERSION,
        "hooks": features::HOOKS,
        "mountOptions": features::MOUNT_OPTIONS,
        "linux": {
            "namespaces": features::NAMESPACES,
            "capabilities": features::capabilities(),
            "cgroup": {"v1": true, "v2": true, "systemd": features::SYSTEMD, "systemdUser": false, "rdma": true},
            "seccomp": seccomp,
            "apparmor": {"enabled": true},
            "selinux": {"enabled": features::SELINUX},
            "intelRdt": {"enabled": features::INTEL_RDT, "schemata": features::INTEL_RDT, "monitoring": features::INTEL_RDT},
            "mountExtensions": {"idmap": {"enabled": features::MOUNT_ID_MAPS}},
            "netDevices": {"enabled": features::NET_DEVICES},
            "memoryPolicy": {"modes": features::MEMORY_MODES, "flags": features::MEMORY_FLAGS},
        },
        "annotations": {
            "io.dhow.runtime.version": env!("CARGO_PKG_VERSION"),
            "org.opencontainers.runc.checkpoint.enabled": "false",
        },
        "potentiallyUnsafeConfigAnnotations": features::UNSAFE_ANNOTATIONS,
    })
}
