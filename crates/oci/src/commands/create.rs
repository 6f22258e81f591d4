//! `create`: up to, and not including, the program.

use super::Command;
use crate::args::{Order, Parsed};
use crate::context::Context;
use crate::error::Result;
use crate::make::{self, Until};

pub(super) const COMMAND: Command = Command {
    name: "create",
    usage: "<container-id>",
    about: "create a container",
    flags: &[make::BUNDLE, make::CONSOLE, make::PIDFD, make::PID_FILE, make::NO_PIVOT, make::NO_KEYRING, make::PRESERVE],
    order: Order::Mixed,
    words: (1, 1),
    run,
};

fn run(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    make::make(context, parsed, Until::Created, true).map_err(|error| error.within("runc create failed"))?;
    Ok(0)
}
