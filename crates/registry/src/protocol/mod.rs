//! What both sides of the protocol share: documents, errors, challenges. Pure.

mod challenge;
mod document;
mod errors;
pub mod media;
mod platform;

pub use challenge::Challenge;
pub use document::{Descriptor, Document, DocumentError, Manifest};
pub use errors::{ErrorEntry, Errors, codes};
pub use platform::{Platform, select};
