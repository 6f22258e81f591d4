//! What goes to the person: tables, templates, JSON, progress.

pub(crate) mod file;
pub(crate) mod json;
pub(crate) mod list;
mod natural;
pub(crate) mod progress;
mod say;
pub(crate) mod table;
pub(crate) mod time;

pub(crate) use natural::natural;
pub(crate) use say::{say, warn};
