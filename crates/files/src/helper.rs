//! The helper's whole program: one job from its standard input, done, answered, ended.

use crate::job::{Answer, Bind, Cause, Job, Place, Task};
use dhow_archive::{Context, Extract, Owner, Root, compress, emit, path, root};
use dhow_sys::mount::{self, Filesystem, Propagation};
use dhow_sys::overlay::Overlay;
use dhow_sys::{fdpass, process};
use rustix::fs::{self, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `argv[0]` of the helper. The program that finds it there calls [`main`] and exits with what it returns.
pub const NAME: &str = "dhow-files";

const CLONE_NEWNS: u64 = 0x0002_0000;
const CLONE_NEWUSER: u64 = 0x1000_0000;
const PIECE: usize = 128 * 1024;

/// A failure with its words.
struct Failure(Cause, String);

impl From<dhow_archive::Error> for Failure {
    fn from(error: dhow_archive::Error) -> Self {
        let cause = match &error {
            missing if root::is_missing(missing) => Cause::Missing,
            dhow_archive::Error::Refused(_) | dhow_archive::Error::Archive { .. } | dhow_archive::Error::Limit { .. } => Cause::Invalid,
            _ => Cause::Other,
        };
        let words = match &error {
            dhow_archive::Error::Archive { reason, .. } if reason == "unexpected EOF" => reason.clone(),
            dhow_archive::Error::Archive { reason, .. } if reason == "invalid tar header" => format!("archive/tar: {reason}"),
            other => other.words(),
        };
        Self(cause, words)
    }
}

fn failed(what: &str, object: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Failure {
    let words = format!("{what} {object}");
    move |e| Failure(Cause::Other, format!("{words}: {e}"))
}

/// The whole program. Before it no thread may be started and nothing opened. Returns the process's exit code.
pub fn main() -> i32 {
    let Ok(control) = prepare() else { return 1 };
    let Ok(Some((body, fds))) = fdpass::recv(&control) else { return 1 };
    let Ok(job) = serde_json::from_slice::<Job>(&body) else { return 1 };
    let answer = match run(&control, job, fds) {
        Ok(answer) => answer,
        Err(Failure(cause, message)) => Answer::Failed { cause, message },
    };
    // Where nobody listens any more there is nobody to tell.
    if tell(&control, &answer).is_ok() { 0 } else { 1 }
}

/// Leaves everything that belonged to the daemon but the control socket.
fn prepare() -> io::Result<OwnedFd> {
    process::close_from(3)?;
    let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    // Modes are what the archive says.
    rustix::process::umask(Mode::empty());
    Ok(control)
}

fn tell(control: &OwnedFd, answer: &Answer) -> io::Result<()> {
    fdpass::send(control, &serde_json::to_vec(answer)?, &[])
}

fn run(control: &OwnedFd, job: Job, fds: Vec<OwnedFd>) -> Result<Answer, Failure> {
    let mut fds = fds.into_iter();
    let mut next = || fds.next().ok_or_else(|| Failure(Cause::Other, "a descriptor is missing".into()));
    let data = if job.task == Task::Stat { None } else { Some(next()?) };
    let fd = match &job.place {
        Place::Running { .. } => next()?,
        Place::Resting { overlay, binds } => mounted(overlay, binds)?,
    };
    if job.place == (Place::Running { userns: true }) {
        become_its_root(&next()?)?;
    }
    let root = Root::new(fd)?;
    match (job.task, data) {
        (Task::Read, Some(data)) => read(control, &root, &job.path, data),
        (Task::Write { owner, keep_kinds, read_only }, Some(data)) => {
            let at = destination(&root, &job.path, read_only)?;
            tell(control, &Answer::Ready).map_err(failed("answer", "the daemon"))?;
            let owner = owner.map_or(Owner::Archive, |(uid, gid)| Owner::Fixed(uid, gid));
            write(&Extract { root: &root, at: &at, shown: &at, owner, keep_kinds, rename: None }, data)?;
            Ok(Answer::Done)
        }
        _ => Ok(Answer::Found(root.stat(&job.path)?)),
    }
}

/// Enters a container's user namespace as its root: ids are read and written as the container has them, with its root's rights.
fn become_its_root(userns: &OwnedFd) -> Result<(), Failure> {
    let fail = || failed("enter", "the container's user namespace");
    process::setns(userns, CLONE_NEWUSER).map_err(fail())?;
    rustix::thread::set_thread_groups(&[]).map_err(|e| fail()(e.into()))?;
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).map_err(|e| fail()(e.into()))?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).map_err(|e| fail()(e.into()))
}

fn read(control: &OwnedFd, root: &Root, at: &[u8], data: OwnedFd) -> Result<Answer, Failure> {
    let stat = root.stat(at)?;
    let mut name = stat.name.clone();
    if stat.is_dir() && name != b"/" {
        name.push(b'/');
    }
    tell(control, &Answer::Found(stat)).map_err(failed("answer", "the daemon"))?;
    let mut out = BufWriter::with_capacity(PIECE, File::from(data));
    emit::copy(root, at, &name, &mut out)?;
    out.flush().map_err(failed("write", "the archive"))?;
    Ok(Answer::Done)
}

/// The directory to write into, if that is allowed. A link there is followed.
fn destination(root: &Root, at: &[u8], read_only: bool) -> Result<Vec<u8>, Failure> {
    root.look(at)?;
    let fd = root.open(at, OFlags::PATH).on("stat", at)?;
    let stat = fs::fstat(&fd).on("stat", at)?;
    if fs::FileType::from_raw_mode(stat.st_mode) != fs::FileType::Directory {
        return Err(Failure(Cause::Invalid, "extraction point is not a directory".into()));
    }
    let top = root.open(b"/", OFlags::PATH).on("stat", b"/")?;
    let id = |fd: &OwnedFd| mount::mount_id(fd).map_err(failed("stat", "the destination"));
    let in_root = id(&fd)? == id(&top)?;
    let locked = root::is_read_only(fd.as_fd()).map_err(failed("stat", "the destination"))?;
    match (in_root, locked) {
        (true, locked) if locked || read_only => Err(Failure(Cause::Invalid, "container rootfs is marked read-only".into())),
        (false, true) => Err(Failure(Cause::Invalid, "mounted volume is marked read-only".into())),
        _ => Ok(at.to_vec()),
    }
}

fn write(how: &Extract<'_>, data: OwnedFd) -> Result<(), Failure> {
    let mut plain = compress::reader(File::from(data)).map_err(|e| Failure(Cause::Invalid, e.to_string()))?;
    Ok(how.run(&mut plain)?)
}

/// Mounts a container at rest where only this process sees it. The mounts go with the process.
fn mounted(overlay: &Overlay, binds: &[Bind]) -> Result<OwnedFd, Failure> {
    let own = |e| failed("enter", "a mount namespace")(e);
    process::unshare(CLONE_NEWNS).map_err(own)?;
    // What is mounted here stays here; what the host unmounts goes here too, and nothing is kept busy.
    mount::propagate_root(true, Propagation::Slave).map_err(own)?;
    let mut overlay = overlay.clone();
    // Where a container that has never run has no place for a mount yet, a layer below all others has it: nothing is written for it. A plain
    // directory has no layers: there the place is made as a start would make it, where that is allowed.
    let layered = overlay.as_plain().is_none();
    let points = if binds.is_empty() || !layered { None } else { Some(mount_points(binds)?) };
    if let Some(points) = &points {
        overlay.lower.push(PathBuf::from(format!("/proc/self/fd/{}", points.as_raw_fd())).into());
    }
    let root = overlay.mount_detached().map_err(failed("mount", "the container's layers"))?;
    if binds.is_empty() {
        return Ok(root);
    }
    let place = mount::open_path("/".as_ref()).map_err(failed("open", "/"))?;
    mount::attach(&root, place).map_err(failed("mount", "the container's layers"))?;
    for bind in binds {
        if !layered {
            make_place(&root, bind).map_err(|e| failed("make", bind.target.display())(e.into()))?;
        }
        attach(&root, bind)?;
    }
    Ok(root)
}

/// The place of a mount in a directory that is written to. Links are followed within it; what hangs in the air stays without a place.
fn make_place(root: &OwnedFd, bind: &Bind) -> rustix::io::Result<()> {
    let resolve = fs::ResolveFlags::IN_ROOT | fs::ResolveFlags::NO_MAGICLINKS;
    let open = |path: &Path| fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
    let (mut dir, mut path) = (open(Path::new("."))?, PathBuf::from("."));
    let parts: Vec<_> = bind.target.iter().filter(|part| part.as_bytes() != b"/").collect();
    for (at, part) in parts.iter().enumerate() {
        path.push(part);
        dir = match open(&path) {
            Err(Errno::NOENT) => {
                let made = if at + 1 == parts.len() && is_file(bind) {
                    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
                    fs::openat(&dir, part.as_bytes(), flags, Mode::from_raw_mode(0o644)).map(drop)
                } else {
                    fs::mkdirat(&dir, part.as_bytes(), Mode::from_raw_mode(0o755))
                };
                match made {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error),
                }
                match open(&path) {
                    Err(Errno::NOENT) => return Ok(()),
                    other => other?,
                }
            }
            other => other?,
        };
    }
    Ok(())
}

/// What a bind shows is a file, and no directory.
fn is_file(bind: &Bind) -> bool {
    let found = source(bind).and_then(|source| Ok(fs::fstat(source)?));
    found.is_ok_and(|stat| fs::FileType::from_raw_mode(stat.st_mode) != fs::FileType::Directory)
}

/// A filesystem in memory with a directory or file for each target.
fn mount_points(binds: &[Bind]) -> Result<OwnedFd, Failure> {
    let memory = Filesystem::open("tmpfs").and_then(|fs| fs.mount(0)).map_err(failed("mount", "mount points"))?;
    for bind in binds {
        let shown = bind.target.display();
        let file = is_file(bind);
        let parts: Vec<_> = bind.target.iter().filter(|part| part.as_bytes() != b"/").collect();
        let mut dir = fs::openat(&memory, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| failed("make", &shown)(e.into()))?;
        for (at, part) in parts.iter().enumerate() {
            let last = at + 1 == parts.len();
            let made = if last && file {
                fs::openat(&dir, part.as_bytes(), OFlags::CREATE | OFlags::CLOEXEC | OFlags::WRONLY, Mode::from_raw_mode(0o644)).map(drop)
            } else {
                fs::mkdirat(&dir, part.as_bytes(), Mode::from_raw_mode(0o755))
            };
            match made {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(e) => return Err(failed("make", &shown)(e.into())),
            }
            if !last {
                dir = fs::openat(&dir, part.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                    .map_err(|e| failed("make", &shown)(e.into()))?;
            }
        }
    }
    Ok(memory)
}

/// What a bind shows, opened.
fn source(bind: &Bind) -> io::Result<OwnedFd> {
    let whole = bind.source.open()?;
    if bind.part.as_os_str().is_empty() { Ok(whole) } else { mount::open_beneath(whole, &bind.part) }
}

/// Mounts one thing of the host's as the container would. What has gone from the host, or has no place, is left out as a start would say so.
fn attach(root: &OwnedFd, bind: &Bind) -> Result<(), Failure> {
    let resolve = fs::ResolveFlags::IN_ROOT | fs::ResolveFlags::NO_MAGICLINKS;
    let target = path::absolute(bind.target.as_os_str().as_bytes());
    let target = match fs::openat2(root, &target[..], OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        other => other.map_err(|e| failed("open", bind.target.display())(e.into()))?,
    };
    let shown = bind.source.place().join(&bind.part);
    let tree = match source(bind).and_then(|source| mount::clone_tree(source, "".as_ref(), true)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed("mount", shown.display()))?,
    };
    if bind.read_only {
        mount::set_attr(&tree, false, mount::RDONLY, 0, Some(Propagation::Private)).map_err(failed("mount", shown.display()))?;
    }
    mount::attach(&tree, target).map_err(failed("mount", bind.target.display()))
}
