//! Docker's default policy as data of our own: what a container may do unless it is told otherwise.

pub mod apparmor;
pub mod capabilities;
pub mod custom;
pub mod devices;
pub mod paths;
pub mod seccomp;

mod calls;
