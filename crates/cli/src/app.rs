//! What every command works with: where it was called from, its engine, and a runtime.

use dhow_api::client::Client;
use std::mem::ManuallyDrop;
use tokio::runtime::Runtime;

use crate::config::Config;
use crate::connect;
use crate::error::Error;
use crate::flags::Parsed;
use crate::globals::Globals;

/// What a command works with.
pub(crate) struct App {
    /// `dhow` or `docker`.
    pub(crate) program: &'static str,
    /// Flags before the command.
    pub(crate) globals: Globals,
    /// The command as it was typed: `container ls`.
    pub(crate) path: String,
    /// Never taken down: the process ends with the command, which closes all at once, and a thread that waits for somebody to read our output
    /// must not keep it.
    runtime: ManuallyDrop<Runtime>,
    client: tokio::sync::OnceCell<Client>,
}

impl App {
    /// An app whose engine is not looked for yet.
    pub(crate) fn new(program: &'static str, globals: Globals, path: String) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(format!("cannot start: {error}")))?;
        Ok(Self { program, globals, path, runtime: ManuallyDrop::new(runtime), client: tokio::sync::OnceCell::new() })
    }

    /// Runs a future to its end on this thread.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The client's configuration file.
    pub(crate) fn config(&self) -> Result<&Config, Error> {
        self.globals.config()
    }

    /// The engine that was chosen; connects with the first use.
    pub(crate) async fn client(&self) -> Result<&Client, Error> {
        self.client.get_or_try_init(|| connect::connect(&self.globals)).await
    }

    /// The sequence that detaches: a flag, the configuration, or none.
    pub(crate) fn detach_keys(&self, parsed: &Parsed) -> Result<Option<String>, Error> {
        if let Some(keys) = parsed.value("detach-keys") {
            return Ok(Some(keys.to_owned()).filter(|keys| !keys.is_empty()));
        }
        Ok(self.config()?.detach_keys.clone())
    }
}
