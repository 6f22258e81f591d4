//! What does not change while the daemon runs.

use crate::container_defaults::Defaults;
use crate::current::Current;
use crate::runtimes::Runtimes;
use crate::system::host::HostFacts;
use std::path::PathBuf;

/// What conversions need to know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) host: HostFacts,
    /// Of this engine, kept in the data root.
    pub(crate) id: String,
    /// Nanoseconds since 1970 when the engine was made: creation time of the built-in networks.
    pub(crate) made: i64,
    /// Log driver of containers that name none.
    pub(crate) log_driver: String,
    /// Containers that name no network are in one.
    pub(crate) bridged: bool,
    /// OCI runtimes, which may change after all.
    pub(crate) runtimes: Current<Runtimes>,
    /// For containers that say nothing themselves.
    pub(crate) containers: Current<Defaults>,
    /// Where the engine keeps its data.
    pub(crate) data_root: PathBuf,
}
