//! `pause` and `resume`: all processes of a container stand still, and go on.

use super::Command;
use crate::args::{Order, Parsed};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::record::Status;

pub(super) const PAUSE: Command = Command {
    name: "pause",
    usage: "<container-id>",
    about: "pause suspends all processes inside the container",
    flags: &[],
    order: Order::Mixed,
    words: (1, 1),
    run: pause,
};

pub(super) const RESUME: Command = Command {
    name: "resume",
    usage: "<container-id>",
    about: "resumes all processes that have been previously paused",
    flags: &[],
    order: Order::Mixed,
    words: (1, 1),
    run: resume,
};

fn pause(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    let (place, record) = context.store.find(&parsed.rest[0])?;
    match place.status(&record)? {
        Status::Running | Status::Created => context.cgroups("pause", record.cgroup.freeze(true))?,
        status => return Err(Error::new(format!("container not running or created: {}", status.name()))),
    }
    Ok(0)
}

fn resume(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    let (place, record) = context.store.find(&parsed.rest[0])?;
    match place.status(&record)? {
        Status::Paused => context.cgroups("resume", record.cgroup.freeze(false))?,
        _ => return Err(Error::new("container not paused")),
    }
    Ok(0)
}
