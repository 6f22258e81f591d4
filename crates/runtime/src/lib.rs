//! An OCI runtime specification made into a process: namespaces, mounts, cgroups, devices, capabilities, seccomp.
//! Knows OCI, nothing of Docker. Single-threaded callers only (the shim, `dhow runtime`).

mod become_process;
mod capmask;
pub mod cgroup;
mod cgroupmount;
mod child;
mod console;
mod copyup;
pub mod create;
mod devices;
mod enter;
pub mod error;
pub mod exec;
mod foreign;
pub mod gate;
pub mod hooks;
pub mod idmap;
mod idmount;
pub mod init;
mod labels;
pub mod listener;
mod masks;
mod mountopts;
mod mounts;
mod netdevices;
mod path;
mod procfs;
mod procplan;
mod program;
mod schedplan;
pub mod seccomp;
mod spawn;
mod stdio;
mod sync;
mod timens;
mod timing;
mod userns;
mod usersplan;
mod validate;
pub mod words;

pub use create::{Create, Created, Keep, Manner, Root};
pub use error::{Error, Failure, Kind, Step};
pub use exec::{Exec, ExecStarted};
pub use listener::Listener;
pub use stdio::Stdio;
