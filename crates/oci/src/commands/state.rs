//! `state`: what the specification wants to be told of a container.

use super::{Command, print};
use crate::args::{Order, Parsed};
use crate::context::Context;
use crate::error::{Error, Result};

pub(super) const COMMAND: Command = Command {
    name: "state",
    usage: "<container-id>",
    about: "output the state of a container",
    flags: &[],
    order: Order::Mixed,
    words: (1, 1),
    run,
};

fn run(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    let (place, record) = context.store.find(&parsed.rest[0])?;
    let view = record.view(place.status(&record)?, "");
    let text = serde_json::to_string_pretty(&view).map_err(|e| Error::new(format!("state: {e}")))?;
    print(&text).map(|()| 0)
}
