//! Between Docker's JSON and the engine's types. Pure but for looking names up.

pub(crate) mod changes;
pub(crate) mod commit;
pub(crate) mod console;
pub(crate) mod defaults;
pub(crate) mod devices;
pub(crate) mod document;
pub(crate) mod health;
pub(crate) mod inspect;
pub(crate) mod links;
mod lookup;
pub(crate) mod mounts;
pub(crate) mod network;
pub(crate) mod ports;
pub(crate) mod request;
pub(crate) mod security;
pub(crate) mod status;
pub(crate) mod versions;
pub(crate) mod volumes;

#[cfg(test)]
pub(crate) mod tests;
