//! `run`: create and start in one, and by default stay until the end.

use super::Command;
use crate::args::{Flag, Order, Parsed, switch};
use crate::context::Context;
use crate::error::{At, Error, Result};
use crate::foreground::{self, Program};
use crate::make::{self, Made, Until};
use dhow_runtime::hooks::Moment;
use dhow_sys::signal::Signals;

const DETACH: Flag = switch("detach", Some("d"), "detach from the container's process");
const KEEP: Flag = switch("keep", None, "do not delete the container after it exits");
const NO_SUBREAPER: Flag = switch("no-subreaper", None, "disable the use of the subreaper used to reap reparented processes");

pub(super) const COMMAND: Command = Command {
    name: "run",
    usage: "<container-id>",
    about: "create and run a container",
    flags: &[
        make::BUNDLE,
        make::CONSOLE,
        make::PIDFD,
        make::PID_FILE,
        DETACH,
        KEEP,
        NO_SUBREAPER,
        make::NO_PIVOT,
        make::NO_KEYRING,
        make::PRESERVE,
    ],
    order: Order::Mixed,
    words: (1, 1),
    run,
};

fn run(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    let detach = parsed.is("detach");
    let failed = |error: Error| error.within("runc run failed");
    crate::store::check_id(&parsed.rest[0])?;
    if !detach && !parsed.is("no-subreaper") {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).at("become subreaper")?;
    }
    let signals = if detach { None } else { Some(Signals::block_all().at("block signals")?) };
    let made = make::make(context, parsed, Until::Started, detach).map_err(failed)?;
    if let Some(Err(failure)) = made.hooks.as_ref().map(|hooks| hooks.run(Moment::Poststart, made.record.pid)) {
        context.log.warn(&Error::from(failure).message);
    }
    let Some(signals) = signals else { return Ok(0) };
    let Made { place, record, hooks, pidfd, console } = made;
    let program = Program { pid: record.pid, pidfd: &pidfd, console: console.as_ref() };
    let ended = foreground::attend(&program, &signals);
    if parsed.is("keep") {
        return ended;
    }
    let destroyed = make::destroy(context, place, &record, hooks.as_ref());
    let code = ended?;
    destroyed.map(|()| code)
}
