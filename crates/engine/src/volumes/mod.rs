//! Volumes of the driver `local`.

mod disk;
mod fill;
mod name;
mod options;
mod plan;
mod table;
mod using;
mod verbs;

pub(crate) use plan::plan;
pub(crate) use table::Volumes;
pub(crate) use using::{hold, remove_anonymous, tell_mounts, tell_unmounts};
pub(crate) use verbs::{create, prune, remove, usage};
