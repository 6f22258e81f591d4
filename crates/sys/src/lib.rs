//! The only crate with `unsafe`: raw system calls, each a safe function over owned descriptors, with the
//! errno given its meaning and its own test. Nothing here knows of containers, OCI or Docker.

pub mod alloc;
pub mod bpf;
pub mod caps;
pub mod clone;
pub mod fdpass;
pub mod file;
pub mod idmapped;
pub mod mount;
pub mod net;
pub mod netlink;
pub mod overlay;
pub mod probe;
pub mod process;
pub mod sched;
pub mod sealed;
pub mod seccomp;
pub mod signal;
pub mod stub;
pub mod title;
pub mod xtables;
