//! `network` and its commands.

mod connect;
mod create;
mod ls;
mod rm;

pub(super) use connect::{CONNECT, DISCONNECT};
pub(super) use create::COMMAND as CREATE;
pub(super) use ls::COMMAND as LS;
pub(super) use rm::COMMAND as RM;

use dhow_api::client::segment;

/// `/networks/NAME` and what follows.
fn path(name: &str, rest: &str) -> String {
    format!("/networks/{}{rest}", segment(name))
}
