//! Seccomp: from the OCI profile to a filter program that searches the system call's number by bisection.

use crate::error::Result;
use oci_spec::runtime::LinuxSeccomp;
use serde::{Deserialize, Serialize};

/// A compiled classic-BPF program with its load flags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Instructions as `(code, jt, jf, k)`.
    pub instructions: Vec<(u16, u8, u8, u32)>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

/// Compiles a profile for this machine's architectures. Names the kernel headers do not know are skipped, as libseccomp does.
pub fn compile(_profile: &LinuxSeccomp) -> Result<Program> {
    todo!()
}
