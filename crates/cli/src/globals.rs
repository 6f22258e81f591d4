//! What stands before the command: the flags of every command, and the client's configuration.

use std::cell::OnceCell;

use crate::config::Config;
use crate::error::Error;
use crate::flags::{Flag, Parsed, list, string, switch};

/// The version that this program says it is.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Flags before the command.
pub(crate) static GLOBAL_FLAGS: &[Flag] = &[
    string("config", "Directory of the client's configuration").default("~/.docker"),
    string("context", "Name of the context that says which engine to talk to").short('c'),
    switch("debug", "Debug mode").short('D'),
    list("host", "Address of the engine's socket").short('H'),
    string("log-level", "How much the client logs: debug, info, warn, error, fatal").short('l').default("info"),
    switch("tls", "Use TLS; --tlsverify implies it"),
    string("tlscacert", "Trust only certificates signed by this CA").default("~/.docker/ca.pem"),
    string("tlscert", "Certificate to show").default("~/.docker/cert.pem"),
    string("tlskey", "Key of that certificate").default("~/.docker/key.pem"),
    switch("tlsverify", "Use TLS and check the other side's certificate"),
    switch("version", "Print the version and end").short('v'),
];

/// The commit that this was built from, where the build knew it.
pub(crate) fn build() -> &'static str {
    option_env!("DHOW_COMMIT").unwrap_or("unknown")
}

/// The words before the command, and what they lead to.
pub(crate) struct Globals {
    parsed: Parsed,
    config: OnceCell<Config>,
}

impl Globals {
    /// From flags that were read by [`GLOBAL_FLAGS`].
    pub(crate) fn new(parsed: Parsed) -> Self {
        Self { parsed, config: OnceCell::new() }
    }

    /// A switch is on.
    pub(crate) fn is(&self, flag: &str) -> bool {
        self.parsed.is(flag)
    }

    /// A flag was given.
    pub(crate) fn given(&self, flag: &str) -> bool {
        self.parsed.given(flag)
    }

    /// The last value of a flag, or its default.
    pub(crate) fn value(&self, flag: &str) -> Option<&str> {
        self.parsed.value(flag)
    }

    /// Every value of a flag, in order.
    pub(crate) fn all(&self, flag: &str) -> Vec<String> {
        self.parsed.all(flag)
    }

    /// The client's configuration file; read with the first use.
    pub(crate) fn config(&self) -> Result<&Config, Error> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = Config::load(self.value("config"))?;
        Ok(self.config.get_or_init(|| config))
    }
}
