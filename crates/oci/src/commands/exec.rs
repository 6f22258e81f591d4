//! `exec`: a further program in a container that runs.

use super::Command;
use crate::args::{Flag, Order, Parsed, switch, value};
use crate::context::Context;
use crate::error::{At, Error, Result};
use crate::foreground::{self, Program};
use crate::record::{Record, Status};
use crate::{bundle, inherit, json, make, seal, tty};
use dhow_runtime::cgroup::Cgroup;
use dhow_runtime::{Exec, ExecStarted, Listener, Stdio, hostmounts, tolerance};
use dhow_sys::signal::Signals;
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, Process, Spec};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

const DETACH: Flag = switch("detach", Some("d"), "detach from the container's process");

pub(super) const COMMAND: Command = Command {
    name: "exec",
    usage: "<container-id> <command> [command options]  || -p process.json <container-id>",
    about: "execute new process inside the container",
    flags: &[
        make::CONSOLE,
        make::PIDFD,
        value("cwd", None, "current working directory in the container"),
        value("env", Some("e"), "set environment variables"),
        switch("tty", Some("t"), "allocate a pseudo-TTY"),
        value("user", Some("u"), "UID (format: <uid>[:<gid>])"),
        value("additional-gids", Some("g"), "additional gids"),
        value("process", Some("p"), "path to the process.json"),
        DETACH,
        make::PID_FILE,
        value("process-label", None, "set the asm process label for the process commonly used with selinux"),
        value("apparmor", None, "set the apparmor profile for the process"),
        switch("no-new-privs", None, "set the no new privileges value for the process"),
        value("cap", Some("c"), "add a capability to the bounding set for the process"),
        make::PRESERVE,
        value("cgroup", None, "run the process in an (existing) sub-cgroup(s). Format is [<controller>:]<cgroup>."),
        switch("ignore-paused", None, "allow exec in a paused container"),
    ],
    order: Order::Leading,
    words: (1, usize::MAX),
    run,
};

/// What a caller sees where the program did not run: no program has this code by itself.
const FAILED: i32 = 255;

fn run(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    exec(context, parsed).map_err(|error| Error { code: FAILED, ..error.within("exec failed") })
}

fn exec(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    seal::ensure(&context.store.scratch()?)?;
    let (place, record) = context.store.find(&parsed.rest[0])?;
    let stopped = || Error::new("cannot exec in a stopped container");
    match place.status(&record)? {
        Status::Stopped | Status::Creating => return Err(stopped()),
        Status::Paused if !parsed.is("ignore-paused") => {
            return Err(Error::new("cannot exec in a paused container (use --ignore-paused to override)"));
        }
        _ => {}
    }
    let unknown: Vec<&str> = parsed.values("cap").filter(|name| capability(name).is_none()).collect();
    if !unknown.is_empty() {
        context.log.warn(&format!("ignoring unknown or unavailable capabilities: [{}]", unknown.join(" ")));
    }
    let init = record.live()?.ok_or_else(stopped)?;
    let spec = bundle::parse(&place.config()?)?;
    let process = process(parsed, &spec)?;
    if context.log.debugs() {
        // Tests of other runtimes look for this line.
        context.log.debug(&format!("affinity: 0x{}", mask(&dhow_runtime::exec::first_processors(&process)?)));
    }
    let detach = parsed.is("detach");
    let terminal = process.terminal().unwrap_or(false);
    let socket = make::console(parsed, terminal, detach)?;
    let signals = if detach { None } else { Some(Signals::block_all().at("block signals")?) };
    let cgroup = cgroup(&record.cgroup, parsed)?;
    let started = start(parsed, &spec, &process, &record, &init, &cgroup)?;
    let console = tell(parsed, &started, socket.as_ref()).inspect_err(|_| end(&started))?;
    let Some(signals) = signals else { return Ok(0) };
    foreground::attend(&Program { pid: started.pid, pidfd: &started.pidfd, console }, &signals)
}

/// Processors as the digits of a mask.
fn mask(processors: &[u32]) -> String {
    let last = processors.iter().max().map_or(0, |most| most / 4);
    let digit = |n: u32| processors.iter().filter(|cpu| **cpu / 4 == n).fold(0, |digit, cpu| digit | 1 << (cpu % 4));
    (0..=last).rev().filter_map(|n| char::from_digit(digit(n), 16)).collect()
}

fn start(parsed: &Parsed, spec: &Spec, process: &Process, record: &Record, init: &OwnedFd, cgroup: &Cgroup) -> Result<ExecStarted> {
    let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let filter = profile.map(dhow_runtime::seccomp::compile).transpose()?;
    let size = || process.console_size().and_then(|size| Some((u16::try_from(size.height()).ok()?, u16::try_from(size.width()).ok()?)));
    let stdio = if process.terminal().unwrap_or(false) { Stdio::Terminal { size: size() } } else { inherit::stdio()? };
    let listener = Listener::of(spec, &record.id, &record.bundle).map(|listener| listener.running(record.pid));
    let root = root(record)?;
    let exec = Exec {
        process,
        init: init.as_fd(),
        init_pid: record.pid,
        user_namespace: record.user_namespace,
        cgroup,
        seccomp: filter.as_ref(),
        stdio,
        keep: inherit::keep(parsed)?,
        listener: listener.as_ref(),
        root: root.as_ref(),
        personality: dhow_runtime::exec::personality(spec)?,
    };
    exec.run().map_err(|failure| Error::from(failure).within("unable to start container process"))
}

/// The root of a container without a mount namespace of its own: only there its further programs may be.
fn root(record: &Record) -> Result<Option<OwnedFd>> {
    let Some(id) = record.mount else { return Ok(None) };
    let root = hostmounts::find(&record.rootfs, id)?;
    root.map(Some).ok_or_else(|| Error::new(format!("the container's root is not mounted at {} any more", record.rootfs.display())))
}

/// Tells all who want to know. Returns the terminal's master where nobody else got it.
fn tell<'a>(parsed: &Parsed, started: &'a ExecStarted, socket: Option<&OwnedFd>) -> Result<Option<&'a OwnedFd>> {
    if let Some(path) = parsed.text("pidfd-socket") {
        tty::hand_over(&tty::connect(Path::new(path))?, started.pidfd.as_fd(), "pidfd")?;
    }
    let left = match (socket, &started.console) {
        (Some(socket), Some(master)) => tty::hand_over(socket, master.as_fd(), "/dev/ptmx").map(|()| None)?,
        (_, master) => master.as_ref(),
    };
    if let Some(path) = parsed.text("pid-file") {
        make::write_pid(Path::new(path), started.pid)?;
    }
    Ok(left)
}

/// A program that nobody could be told of must not stay.
fn end(started: &ExecStarted) {
    if dhow_sys::process::pidfd_signal(&started.pidfd, nix::libc::SIGKILL).is_ok() {
        // The error that led here is the one that counts.
        let _ = dhow_sys::process::wait(&started.pidfd);
    }
}

/// What is to run: a whole description, or the container's own with what the flags change.
fn process(parsed: &Parsed, spec: &Spec) -> Result<Process> {
    let mut process = match parsed.text("process") {
        Some(path) => json::tolerant(path, &std::fs::read(path).at(format!("open {path}"))?, tolerance::of_process)?.0,
        None => changed(parsed, spec.process().clone().ok_or_else(|| Error::new("process: is missing"))?)?,
    };
    if parsed.is("tty") {
        process.set_terminal(Some(true));
    }
    inherit::environment(&mut process);
    Ok(process)
}

fn changed(parsed: &Parsed, mut process: Process) -> Result<Process> {
    let (_, args) =
        parsed.rest.split_first().filter(|(_, args)| !args.is_empty()).ok_or_else(|| Error::new("process args cannot be empty"))?;
    process.set_args(Some(args.to_vec()));
    process.set_terminal(Some(parsed.is("tty")));
    if let Some(cwd) = parsed.text("cwd") {
        process.set_cwd(PathBuf::from(cwd));
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(parsed.values("env").map(str::to_owned));
    process.set_env(Some(env));
    if let Some(label) = parsed.text("apparmor") {
        process.set_apparmor_profile(Some(label.to_owned()));
    }
    if let Some(label) = parsed.text("process-label") {
        process.set_selinux_label(Some(label.to_owned()));
    }
    if parsed.value("no-new-privs").is_some() {
        process.set_no_new_privileges(Some(parsed.is("no-new-privs")));
    }
    let mut user = process.user().clone();
    if let Some(text) = parsed.text("user") {
        let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
        let number = |text: &str| text.parse().map_err(|_| Error::new(format!("invalid value {text:?} for flag -user")));
        user.set_uid(number(uid)?);
        if let Some(gid) = gid {
            user.set_gid(number(gid)?);
        }
    }
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    for text in parsed.values("additional-gids").flat_map(|list| list.split(',')) {
        groups.push(text.parse().map_err(|_| Error::new(format!("invalid value {text:?} for flag -additional-gids")))?);
    }
    user.set_additional_gids((!groups.is_empty()).then_some(groups));
    process.set_user(user);
    let wanted: Vec<Capability> = parsed.values("cap").filter_map(capability).collect();
    if !wanted.is_empty() {
        let sets = add(process.capabilities().clone().unwrap_or_default(), &wanted);
        process.set_capabilities(Some(sets));
    }
    Ok(process)
}

/// `None` for a name that nobody knows.
fn capability(name: &str) -> Option<Capability> {
    serde_json::from_value(name.into()).ok()
}

/// Into the sets that a program can use; into the ambient one only where the inheritable one is in use, without which it means nothing.
fn add(mut sets: LinuxCapabilities, wanted: &[Capability]) -> LinuxCapabilities {
    let with = |set: &Option<Capabilities>| -> Option<Capabilities> { Some(set.iter().flatten().chain(wanted).copied().collect()) };
    let (bounding, effective, permitted) = (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
    if sets.inheritable().is_some() {
        let ambient = with(sets.ambient());
        sets.set_ambient(ambient);
    }
    sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    sets
}

/// The container's group, or groups below it: `[CONTROLLER[,...]:]PATH`, which must exist.
fn cgroup(own: &Cgroup, parsed: &Parsed) -> Result<Cgroup> {
    let mut group = own.clone();
    for text in parsed.values("cgroup") {
        let (controllers, path) = text.split_once(':').map_or((None, text), |(controllers, path)| (Some(controllers), path));
        let below = Path::new(path.trim_start_matches('/'));
        if !below.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(Error::new(format!("bad sub cgroup path: {path}")));
        }
        for (names, dir) in &mut group.dirs {
            let asked = controllers.is_none_or(|asked| asked.split(',').any(|asked| names.split(',').any(|name| name == asked)));
            if asked {
                *dir = dir.join(below);
            }
        }
    }
    for (_, dir) in group.dirs.iter().filter(|_| parsed.value("cgroup").is_some()) {
        if !dir.is_dir() {
            return Err(Error::new(format!("bad sub cgroup path: {}: no such file or directory", dir.display())));
        }
    }
    Ok(group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_runtime::cgroup::Mode;
    use serde_json::json;

    fn flags(words: &[&str]) -> Parsed {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        crate::args::parse(COMMAND.flags, &words, COMMAND.order).unwrap()
    }

    fn spec() -> Spec {
        let process = json!({"user": {"uid": 1, "gid": 2}, "args": ["sleep"], "cwd": "/", "env": ["A=a"], "terminal": true,
            "capabilities": {"bounding": ["CAP_KILL"]}});
        serde_json::from_value(json!({"ociVersion": "1.2.0", "process": process})).unwrap()
    }

    #[test]
    fn masks() {
        for (processors, expect) in [(&[0][..], "1"), (&[0, 1], "3"), (&[5], "20"), (&[2, 66], "40000000000000004"), (&[], "0")] {
            assert_eq!(mask(processors), expect);
        }
    }

    #[test]
    fn flags_change_the_containers_own_process() {
        let parsed =
            flags(&["-e", "B=b", "-e", "A=c", "--cwd", "/x", "-u", "5:6", "-g", "7,8", "--cap", "CAP_SYS_ADMIN", "box", "ls", "-l"]);
        let process = process(&parsed, &spec()).unwrap();
        assert_eq!(process.args().clone().unwrap(), ["ls", "-l"]);
        assert_eq!(process.env().clone().unwrap(), ["B=b", "A=c"]);
        assert_eq!((process.cwd().to_str(), process.terminal()), (Some("/x"), Some(false)));
        let user = process.user();
        assert_eq!((user.uid(), user.gid(), user.additional_gids().clone().unwrap()), (5, 6, vec![7, 8]));
        let sets = process.capabilities().clone().unwrap();
        assert_eq!((sets.bounding().as_ref().unwrap().len(), sets.effective().as_ref().unwrap().len()), (2, 1));
        assert!(sets.ambient().is_none());
    }

    #[test]
    fn refusals() {
        let check = |words: &[&str], expect: &str| {
            let error = process(&flags(words), &spec()).unwrap_err();
            assert!(error.message.contains(expect), "{words:?}: {}", error.message);
        };
        check(&["box"], "process args cannot be empty");
        check(&["-u", "me", "box", "ls"], "\"me\" for flag -user");
        check(&["-g", "1,x", "box", "ls"], "\"x\" for flag -additional-gids");
        check(&["-p", "/nowhere.json", "box"], "open /nowhere.json: no such file or directory");
    }

    #[test]
    fn groups_below() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let dirs = vec![("cpu,cpuacct".to_owned(), dir.path().to_owned()), (String::new(), dir.path().to_owned())];
        let own = Cgroup { mode: Mode::Hybrid, dirs };
        let of = |text: &str| cgroup(&own, &flags(&["--cgroup", text, "box"]));
        assert_eq!(of("sub").unwrap().dirs[1].1, dir.path().join("sub"));
        assert_eq!(of("cpu:/sub").unwrap().dirs[0].1, dir.path().join("sub"));
        assert_eq!(of("cpu:sub").unwrap().dirs[1].1, dir.path());
        for bad in ["none", "../x", "a/../../b"] {
            assert!(of(bad).unwrap_err().message.starts_with("bad sub cgroup path"), "{bad}");
        }
    }
}
