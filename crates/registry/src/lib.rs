//! The distribution protocol: what a registry and its clients say to each other.
//!
//! [`protocol`] holds what both sides share: documents, errors, challenges. [`Client`] is the client: it finds the endpoint of a name,
//! identifies itself, and moves manifests and blobs, with retries, resumption and bounds. It keeps nothing on disk and knows no image store.

mod client;
mod error;
mod http;
pub mod protocol;

pub use client::{Access, Blob, BlobEvent, Client, Content, Credentials, Fetched, Found, Place, Repository, Search, Upload};
pub use error::{Error, Result};
pub use http::{Proxies, Settings, lookup};
