//! Images: configurations and manifests, the content store, tags, archives in and out. Layers are storage's.

pub mod store;

pub use store::{Error, Image, ImportConfig, Images, Loaded, Removed, User};
