//! `volume` and its commands.

mod create;
mod ls;
mod rm;

pub(super) use create::COMMAND as CREATE;
pub(super) use ls::COMMAND as LS;
pub(super) use rm::COMMAND as RM;
