//! `delete`: forgets a container that has ended, or ends it first.

use super::{Command, start};
use crate::args::{Order, Parsed, switch};
use crate::context::Context;
use crate::error::{At, Error, Result};
use crate::make;
use crate::record::{Record, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(super) const COMMAND: Command = Command {
    name: "delete",
    usage: "<container-id>",
    about: "delete any resources held by the container often used with detached container",
    flags: &[switch("force", Some("f"), "Forcibly deletes the container if it is still running (uses SIGKILL)")],
    order: Order::Mixed,
    words: (1, 1),
    run,
};

/// A program that has done its work needs a moment to be gone, and its caller may be quicker.
const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

fn run(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    let (id, force) = (&parsed.rest[0], parsed.is("force"));
    let (place, record) = match context.store.find(id) {
        Ok(found) => found,
        Err(error) => {
            // Whoever made it was killed before there was a record: then there is a directory, and nothing else.
            match context.store.remains(id)? {
                Some(place) => place.remove()?,
                None if force => {}
                None => return Err(error),
            }
            return Ok(0);
        }
    };
    let mut status = place.status(&record)?;
    if status == Status::Running && !force && ends(&record)? {
        status = place.status(&record)?;
    }
    match status {
        Status::Stopped | Status::Created | Status::Creating => {}
        _ if force => {}
        _ => return Err(Error::new(format!("cannot delete container {id} that is not stopped: {}", status.name()))),
    }
    let hooks = match start::hooks(&place, &record) {
        Ok(hooks) => hooks,
        // A container must be removable whatever became of its files.
        Err(error) => {
            context.log.warn(&error.message);
            None
        }
    };
    make::destroy(context, place, &record, hooks.as_ref())?;
    Ok(0)
}

/// Whether the container ends just now.
fn ends(record: &Record) -> Result<bool> {
    let Some(init) = record.live()? else { return Ok(true) };
    let mut fds = [PollFd::new(&init, PollFlags::IN)];
    Ok(rustix::io::retry_on_intr(|| poll(&mut fds, Some(&MOMENT))).at("wait for the container")? > 0)
}
