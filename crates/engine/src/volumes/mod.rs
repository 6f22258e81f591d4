//! Volumes of the driver `local`.

mod call;
mod disk;
mod fill;
mod image;
mod mounted;
mod name;
mod options;
mod plan;
mod ready;
mod table;
mod using;
mod verbs;

pub(crate) use image::resolve as resolve_images;
pub(crate) use mounted::Mounted;
pub(crate) use plan::plan;
pub(crate) use ready::{Ready, adopt, ready, settle, words};
pub(crate) use table::Volumes;
pub(crate) use using::{hold, remove_anonymous, tell_mounts, tell_unmounts};
pub(crate) use verbs::{create, prune, remove, usage};
