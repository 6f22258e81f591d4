//! An OCI runtime specification made into a process: namespaces, mounts, cgroups, devices, capabilities, seccomp.
//! Knows OCI, nothing of Docker. Single-threaded callers only (the shim; later `dhow runtime`).

pub mod cgroup;
pub mod create;
pub mod error;
pub mod exec;
pub mod seccomp;

pub use create::{Create, Created, Root, Stdio};
pub use error::{Error, Failure, Kind, Step};
pub use exec::{Exec, ExecStarted};
