//! `volume` and its commands.

mod create;
mod ls;
mod rm;
mod update;

pub(super) use create::COMMAND as CREATE;
pub(super) use ls::COMMAND as LS;
pub(super) use rm::COMMAND as RM;
pub(super) use update::COMMAND as UPDATE;
