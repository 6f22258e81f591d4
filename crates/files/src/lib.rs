//! Copies into and out of a container's filesystem, by a process of their own.
//!
//! What a container has mounted may hang (a FUSE filesystem whose server sleeps), and a thread that waits for it cannot be ended. So each copy
//! is done by a [`helper`] process, which the daemon's [`handle`] kills when nobody wants its answer any more. Nothing of a container is run or
//! loaded: the helper is this very binary, it knows the filesystem by a descriptor and enters no
//! namespace of the container's but its user namespace, which gives it the container's ids and takes the host's rights from it.

pub mod handle;
pub mod held;
pub mod helper;
pub mod job;

pub use helper::NAME;
