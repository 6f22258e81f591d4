//! What an engine is made of.

use crate::ahead::Ahead;
use crate::container::slot::Slot;
use crate::error::Result;
use crate::events::Hub;
use crate::execs::Execs;
use crate::host::Host;
use crate::options::{Live, Options};
use crate::pull::transfer::Transfers;
use crate::registry::Registry;
use crate::spare::Spares;
use crate::spec::seccomp::Filters;
use crate::stats::board::Board;
use crate::store::Store;
use crate::tasks::Tasks;
use crate::{accounts, ids, init};
use dhow_image::Images;
use dhow_shim::handle::Spawner;
use dhow_storage::LayerStore;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// What an engine is made of. Each part guards itself; nothing here is held across an await.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) options: Options,
    /// What may change; at first as in the options.
    pub(crate) live: RwLock<Arc<Live>>,
    pub(crate) host: Host,
    pub(crate) layers: Arc<dyn LayerStore>,
    pub(crate) images: Arc<Images>,
    pub(crate) transfers: Transfers,
    /// Turns of layers that are pushed.
    pub(crate) uploads: RwLock<Arc<Semaphore>>,
    pub(crate) spawner: Spawner,
    pub(crate) ahead: Ahead,
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) networks: crate::network::Networks,
    pub(crate) volumes: crate::volumes::Volumes,
    pub(crate) events: Arc<Hub>,
    pub(crate) execs: Execs,
    pub(crate) accounts: accounts::Cache,
    pub(crate) filters: Filters,
    pub(crate) stats: Board,
    pub(crate) prunes: crate::turn::Guards,
    pub(crate) burials: crate::burials::Burials,
    pub(crate) spares: Spares,
    /// One for each container.
    pub(crate) actors: Tasks,
    /// Clean-up that nobody waits for.
    pub(crate) background: Tasks,
    pub(crate) closing: AtomicBool,
    /// Writes events.
    pub(crate) writer: AbortHandle,
    pub(crate) init: Mutex<Option<PathBuf>>,
    pub(crate) lock: File,
}

impl Parts {
    /// Directory of a container: its log and the files of its sandbox.
    pub(crate) fn container_dir(&self, id: &str) -> PathBuf {
        self.options.data_root.join("containers").join(id)
    }

    /// Makes ahead what the next containers need on the disk. Blocks.
    pub(crate) fn make_ready(&self) {
        if self.is_closing() {
            return;
        }
        // Whoever makes a container meets the same, and tells somebody.
        if let Err(error) = self.spares.fill() {
            tracing::debug!(%error, "no directories were made ahead");
        }
        if let Err(error) = self.layers.make_ready() {
            tracing::debug!(%error, "no snapshots were made ahead");
        }
    }

    /// Its json-file log.
    pub(crate) fn log_file(&self, id: &str) -> PathBuf {
        self.container_dir(id).join(format!("{id}-json.log"))
    }

    /// Directory of a container's shim. Short: a socket's path has at most 108 bytes.
    pub(crate) fn shim_dir(&self, id: &str) -> PathBuf {
        self.options.exec_root.join("c").join(ids::short(id))
    }

    /// What holds now of that which may change.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The way to registries.
    pub(crate) fn registries(&self) -> dhow_registry::Client {
        dhow_registry::Client::new(self.live().registry.clone())
    }

    /// Turns of layers that are pushed.
    pub(crate) fn uploads(&self) -> Arc<Semaphore> {
        self.uploads.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nothing new is begun.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// The program behind `--init`.
    pub(crate) fn init_program(&self) -> Result<PathBuf> {
        let mut known = self.init.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &*known {
            return Ok(path.clone());
        }
        let path = init::program(&self.options.data_root.join("init"))?;
        *known = Some(path.clone());
        Ok(path)
    }

    /// The container of that name or id.
    pub(crate) fn slot(&self, name: &str) -> Result<Arc<Slot>> {
        self.registry.get(name)
    }
}
