//! `start`: lets a created container's program run.

use super::Command;
use crate::args::{Order, Parsed};
use crate::bundle;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::record::{Record, Status};
use crate::store::Place;
use dhow_runtime::hooks::{Hooks, Moment};
use dhow_runtime::{Kind, Step};

pub(super) const COMMAND: Command = Command {
    name: "start",
    usage: "<container-id>",
    about: "executes the user defined process in a created container",
    flags: &[],
    order: Order::Mixed,
    words: (1, 1),
    run,
};

fn run(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    let (place, record) = context.store.find(&parsed.rest[0])?;
    match place.status(&record)? {
        Status::Created => {}
        Status::Stopped => return Err(Error::new("cannot start a container that has stopped")),
        Status::Running => return Err(Error::new("cannot start an already running container")),
        status => return Err(Error::new(format!("cannot start a container in the {} state", status.name()))),
    }
    match place.open_gate() {
        Ok(()) => {}
        Err(failure) if failure.kind == Kind::NotRunning && record.live()?.is_none() => {
            return Err(Error::new("cannot start a container that has stopped"));
        }
        Err(failure) => {
            // The program was on its way, so those who look after it are told: runc does so, and its callers count on it.
            if failure.step == Step::Hook {
                poststart(context, &place, &record)?;
            }
            return Err(Error::from(failure).within("unable to start container process").within("runc start failed"));
        }
    }
    poststart(context, &place, &record)?;
    Ok(0)
}

/// Hooks that fail now are only told of.
fn poststart(context: &Context<'_>, place: &Place, record: &Record) -> Result<()> {
    if let Some(hooks) = hooks(place, record)?
        && let Err(failure) = hooks.run(Moment::Poststart, record.pid)
    {
        context.log.warn(&Error::from(failure).message);
    }
    Ok(())
}

/// The container's hooks, from the specification as it was at the creation. Of one that has none the text is not even read as a whole.
pub(super) fn hooks(place: &Place, record: &Record) -> Result<Option<Hooks>> {
    let text = place.config()?;
    if !text.windows(7).any(|word| word == b"\"hooks\"") {
        return Ok(None);
    }
    let hooks = Hooks::of(&bundle::parse(&text)?, &record.id, &record.bundle)?;
    Ok(hooks.map(|hooks| hooks.at_leisure(&record.rootfs)))
}
