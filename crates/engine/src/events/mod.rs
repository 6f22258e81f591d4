//! What happens, told to whoever listens and kept on disk for who asks later.
//!
//! An event is numbered and told under one lock, then waits in memory for the writer, which takes what has gathered in a moment and
//! appends it to the log ([`log`]) off everybody's path. Who listens gets, under that same lock, the log as far as it is written, the
//! events that wait, and a receiver for those to come: between the three there is no gap, and nothing comes twice.

mod event;
mod hub;
mod log;
mod past;
mod record;

pub use event::Event;
pub use hub::BACKLOG;
pub(crate) use hub::Hub;
pub use past::{Past, Range};
