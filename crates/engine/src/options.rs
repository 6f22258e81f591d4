//! Where an engine lives, and what its administrator set.

use dhow_runtime::idmap::IdMap;
use dhow_shim::config::Foreign;
use std::path::PathBuf;

/// How images are kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layers {
    /// The form of new layers.
    pub form: dhow_storage::Choice,
    /// What the roots of new containers are.
    pub roots: dhow_storage::Roots,
    /// What becomes of the compressed bytes that they came in.
    pub compressed: dhow_image::Compressed,
}

/// Where the engine lives. All names on the host derive from these, so that any number of engines run side by side.
#[derive(Debug, Clone)]
pub struct Options {
    /// `/var/lib/dhow`.
    pub data_root: PathBuf,
    /// `/run/dhow`.
    pub exec_root: PathBuf,
    /// Parent cgroup of containers (`/dhow`, or `/dhow-HASH` where the roots are not the default).
    pub cgroup_parent: String,
    /// Directories of CDI files, later ones win; none turns CDI off.
    pub cdi_dirs: Vec<PathBuf>,
    /// Driver and options of logs where the container sets none.
    pub log: crate::model::Log,
    /// How new layers of images are kept.
    pub layers: Layers,
    /// How registries are reached.
    pub registry: dhow_registry::Settings,
    /// Layers fetched at once.
    pub max_downloads: usize,
    /// Layers sent at once.
    pub max_uploads: usize,
    /// OCI runtimes that containers may ask for instead of our own, by name.
    pub runtimes: std::collections::BTreeMap<String, Foreign>,
    /// The ids of containers that do not ask for the host's user namespace; `None`: all live in the host's.
    pub userns: Option<IdMap>,
    /// Names and defaults of networks.
    pub network: crate::model::network::Settings,
}

/// The part of the options that may change while the engine runs.
#[derive(Debug, Clone)]
pub struct Live {
    /// How registries are reached.
    pub registry: dhow_registry::Settings,
    /// Layers fetched at once.
    pub max_downloads: usize,
    /// Layers sent at once.
    pub max_uploads: usize,
    /// Foreign OCI runtimes by name.
    pub runtimes: std::collections::BTreeMap<String, Foreign>,
}

impl Options {
    /// That part as it is at the start.
    pub fn live(&self) -> Live {
        Live {
            registry: self.registry.clone(),
            max_downloads: self.max_downloads,
            max_uploads: self.max_uploads,
            runtimes: self.runtimes.clone(),
        }
    }
}
