//! From a bundle to a container: the part that `create` and `run` have in common.

use crate::args::{Flag, Parsed, switch, value};
use crate::bundle::Bundle;
use crate::context::Context;
use crate::error::{At, Error, Result};
use crate::record::Record;
use crate::store::{Place, write_whole};
use crate::{group, inherit, seal, tty};
use dhow_runtime::cgroup::Unfinished;
use dhow_runtime::hooks::{Hooks, Moment};
use dhow_runtime::hostmounts;
use dhow_runtime::seccomp::Program;
use dhow_runtime::{Create, Created, Failure, Listener, Manner, Rdt, Root, Stdio};
use dhow_sys::stub::Stub;
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Flags of both.
pub(crate) const BUNDLE: Flag = value("bundle", Some("b"), "path to the root of the bundle directory, defaults to the current directory");
pub(crate) const CONSOLE: Flag = value(
    "console-socket",
    None,
    "path to an AF_UNIX socket which will receive a file descriptor referencing the master end of the console's pseudoterminal",
);
pub(crate) const PIDFD: Flag =
    value("pidfd-socket", None, "path to an AF_UNIX socket which will receive a file descriptor referencing the init process");
pub(crate) const PID_FILE: Flag = value("pid-file", None, "specify the file to write the process id to");
pub(crate) const NO_PIVOT: Flag = switch("no-pivot", None, "do not use pivot root to jail process inside rootfs");
pub(crate) const NO_KEYRING: Flag = switch("no-new-keyring", None, "do not create a new session keyring for the container");
pub(crate) const PRESERVE: Flag =
    value("preserve-fds", None, "Pass N additional file descriptors to the container (stdio + $LISTEN_FDS + N in total)");

/// Until when a container is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Its first process waits for `start`.
    Created,
    /// Its program runs.
    Started,
}

/// A container that was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) place: Place,
    pub(crate) record: Record,
    pub(crate) hooks: Option<Hooks>,
    pub(crate) pidfd: OwnedFd,
    /// The terminal's master, where nobody else got it.
    pub(crate) console: Option<OwnedFd>,
}

/// Makes it. On an error nothing is left. `detach`: the caller's terminal is not the container's.
pub(crate) fn make(context: &Context<'_>, parsed: &Parsed, until: Until, detach: bool) -> Result<Made> {
    let id = &parsed.rest[0];
    crate::store::check_id(id)?;
    let directory = Path::new(parsed.text("bundle").unwrap_or("."));
    let (mut bundle, filter, stub) = match until {
        Until::Created => (seal::ensure(&context.store.scratch()?).and_then(|()| Bundle::open(directory))?, None, None),
        Until::Started => {
            let bundle = Bundle::open(directory)?;
            let (filter, stub) = seal::stub_or_ensure(&context.store, &bundle)?;
            (bundle, filter, stub)
        }
    };
    bundle.warnings.iter().for_each(|warning| context.log.warn(warning));
    let keep = inherit::keep(parsed)?;
    if let Some(process) = bundle.spec.process_mut() {
        inherit::environment(process);
    }
    let console = console(parsed, terminal(&bundle.spec), detach)?;
    let place = context.store.claim(id)?;
    let hooks = Hooks::of(&bundle.spec, id, &bundle.dir).map(|hooks| hooks.map(|hooks| hooks.at_leisure(&bundle.rootfs)));
    let made = hooks.map_err(Error::from).and_then(|hooks| {
        let rdt = Rdt::create(&bundle.spec, id)?;
        let group = group::create(context, &bundle.spec, id).inspect_err(|_| forget_class(context, rdt.as_ref()))?;
        let record = Record { unit: group.unit, rdt, ..record(&bundle, id, group.cgroup) };
        Ok((hooks, record, group.holder, group.unfinished))
    });
    let (hooks, mut record, holder, group) = match made {
        Ok(made) => made,
        Err(error) => return Err(give_back(place, error)),
    };
    let job = Job { until, keep, no_pivot: parsed.is("no-pivot"), group, filter, stub };
    let begun = begin(&place, &bundle, &record, hooks.as_ref(), job);
    // Its first process is in the group by now, or will never be.
    drop(holder);
    let created = match begun {
        Ok(created) => created,
        Err(error) => return Err(undo(context, place, &record, hooks.as_ref(), error)),
    };
    (record.pid, record.start_time, record.mount) = (created.pid, created.start_time, created.shared_root);
    let Created { pidfd, console: master, .. } = created;
    match tell(&place, &record, parsed, &pidfd, master, console.as_ref()) {
        Ok(console) => Ok(Made { place, record, hooks, pidfd, console }),
        Err(error) => Err(undo(context, place, &record, hooks.as_ref(), error)),
    }
}

struct Job {
    until: Until,
    keep: dhow_runtime::Keep,
    no_pivot: bool,
    group: Unfinished,
    /// The specification's filter, if it is compiled already.
    filter: Option<Program>,
    /// Where this program is not sealed.
    stub: Option<Stub>,
}

fn begin(place: &Place, bundle: &Bundle, record: &Record, hooks: Option<&Hooks>, job: Job) -> Result<Created> {
    place.save_config(&bundle.text)?;
    place.save(record)?;
    let spec = &bundle.spec;
    let stdio = if terminal(spec) { Stdio::Terminal { size: size(spec) } } else { inherit::stdio()? };
    let gate = if job.until == Until::Created { Some(place.gate()?) } else { None };
    let listener = Listener::of(spec, &record.id, &record.bundle);
    let manner =
        Manner { gate, keep: job.keep, no_pivot: job.no_pivot, listener, rdt: record.rdt.clone(), group: job.group, stub: job.stub };
    let root = Root::Dir(bundle.rootfs.clone());
    let create = Create { spec, root, cgroup: &record.cgroup, seccomp: job.filter.as_ref(), stdio, trees: &[], hooks, manner };
    let made = if job.until == Until::Created { create.run() } else { create.run_and_start() };
    made.map_err(|failure: Failure| Error::from(failure).within("unable to start container process"))
}

fn size(spec: &Spec) -> Option<(u16, u16)> {
    let size = spec.process().as_ref()?.console_size()?;
    Some((u16::try_from(size.height()).ok()?, u16::try_from(size.width()).ok()?))
}

fn record(bundle: &Bundle, id: &str, cgroup: dhow_runtime::cgroup::Cgroup) -> Record {
    let spec = &bundle.spec;
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let own = |kind| namespaces.iter().any(|namespace| namespace.typ() == kind && namespace.path().is_none());
    Record {
        oci_version: spec.version().clone(),
        id: id.to_owned(),
        pid: 0,
        start_time: 0,
        bundle: bundle.dir.clone(),
        rootfs: bundle.rootfs.clone(),
        created: jiff::Timestamp::now().to_string(),
        annotations: spec.annotations().clone().unwrap_or_default().into_iter().collect(),
        cgroup,
        unit: None,
        rdt: None,
        mount: None,
        user_namespace: namespaces.iter().any(|namespace| namespace.typ() == LinuxNamespaceType::User),
        pid_namespace: own(LinuxNamespaceType::Pid),
    }
}

fn terminal(spec: &Spec) -> bool {
    spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or(false)
}

/// The socket that gets the terminal. One is needed exactly where a terminal is asked for and the caller does not stay.
pub(crate) fn console(parsed: &Parsed, terminal: bool, detach: bool) -> Result<Option<OwnedFd>> {
    match (terminal, detach, parsed.text("console-socket")) {
        (true, true, None) => Err(Error::new("cannot allocate tty if runc will detach without setting console socket")),
        (true, true, Some(path)) => tty::connect(Path::new(path)).map(Some),
        (_, _, Some(_)) => Err(Error::new("cannot use console socket if runc will not detach or allocate tty")),
        (_, _, None) => Ok(None),
    }
}

/// Tells all who want to know that the container is there.
fn tell(
    place: &Place,
    record: &Record,
    parsed: &Parsed,
    pidfd: &OwnedFd,
    master: Option<OwnedFd>,
    console: Option<&OwnedFd>,
) -> Result<Option<OwnedFd>> {
    place.save(record)?;
    if let Some(path) = parsed.text("pidfd-socket") {
        tty::hand_over(&tty::connect(Path::new(path))?, pidfd.as_fd(), "pidfd")?;
    }
    let left = match (console, master) {
        (Some(socket), Some(master)) => tty::hand_over(socket, master.as_fd(), "/dev/ptmx").map(|()| None)?,
        (_, master) => master,
    };
    if let Some(path) = parsed.text("pid-file") {
        write_pid(Path::new(path), record.pid)?;
    }
    Ok(left)
}

/// Writes the file whole, with the number alone.
pub(crate) fn write_pid(path: &Path, pid: i32) -> Result<()> {
    write_whole(path, pid.to_string().as_bytes(), 0o644)
}

fn give_back(place: Place, error: Error) -> Error {
    match place.remove() {
        Ok(()) => error,
        Err(also) => Error::new(format!("{}; and {}", error.message, also.message)),
    }
}

/// Takes back what was made. The first error is the one that counts.
fn undo(context: &Context<'_>, place: Place, record: &Record, hooks: Option<&Hooks>, error: Error) -> Error {
    match destroy(context, place, record, hooks) {
        Ok(()) => error,
        Err(also) => Error::new(format!("{}; and {}", error.message, also.message)),
    }
}

/// Ends whatever runs of a container, and forgets it. Goes on after errors, and tells the first.
pub(crate) fn destroy(context: &Context<'_>, place: Place, record: &Record, hooks: Option<&Hooks>) -> Result<()> {
    let killed = end(record).and(unmount(record));
    let removed = group::remove(record);
    forget_class(context, record.rdt.as_ref());
    if let Some(Err(failure)) = hooks.map(|hooks| hooks.run(Moment::Poststop, 0)) {
        // The specification wants a warning, and that all goes on.
        context.log.warn(&Error::from(failure).message);
    }
    killed.and(removed).and_then(|()| place.remove())
}

/// Takes off what a container without a mount namespace of its own has mounted.
fn unmount(record: &Record) -> Result<()> {
    let Some(id) = record.mount else { return Ok(()) };
    Ok(hostmounts::find(&record.rootfs, id)?.as_ref().map_or(Ok(()), hostmounts::take_off)?)
}

/// A class of service that stays disturbs nobody but those who look.
fn forget_class(context: &Context<'_>, rdt: Option<&Rdt>) {
    if let Some(Err(failure)) = rdt.map(Rdt::remove) {
        context.log.warn(&Error::from(failure).message);
    }
}

/// Kills the first process if it still lives, and all others of the group.
fn end(record: &Record) -> Result<()> {
    if let Some(pidfd) = record.live()? {
        match dhow_sys::process::pidfd_signal(&pidfd, nix::libc::SIGKILL) {
            Err(e) if e.raw_os_error() == Some(nix::libc::ESRCH) => {}
            other => other.at("kill init process")?,
        }
        wait_gone(&pidfd)?;
    }
    Ok(record.cgroup.kill()?)
}

/// Waits until a process has ended. If it is a child of ours it is reaped, too.
fn wait_gone(pidfd: &OwnedFd) -> Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    const LIMIT: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    if rustix::io::retry_on_intr(|| poll(&mut fds, Some(&LIMIT))).at("wait for init process")? == 0 {
        return Err(Error::new("container init still running"));
    }
    // Somebody else's child is somebody else's to reap.
    let _ = dhow_sys::process::try_wait(pidfd);
    Ok(())
}
