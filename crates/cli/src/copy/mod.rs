//! Copies between here and a container: which end is which, what goes where, and this machine's own half of the work. The other half is the
//! engine's.

pub(crate) mod local;
pub(crate) mod meter;
pub(crate) mod plan;
