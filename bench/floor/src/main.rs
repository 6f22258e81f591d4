//! The least that any engine must do to run a program in a container, as one process: namespaces, an overlay, the basic
//! mounts, pivot_root, exec, wait. No limits, no filter, no log, no state: the floor under every engine's time.
//!
//! `floor [--bridge NETNS NAME] LAYER SCRATCH PROGRAM ARGS...`; its exit code is the program's. With a bridge, which is there in that network
//! namespace, the container gets a link to it, an address and a way out, made beside its mounts.
#![expect(clippy::print_stderr, reason = "a tool for a person at a terminal")]

use dhow_network::endpoint::{self, Place, Plan};
use dhow_sys::clone::{CloneArgs, Forked, NAMESPACES, clone3};
use dhow_sys::mount::{self, Filesystem, NODEV, NOEXEC, NOSUID, Propagation, RDONLY};
use dhow_sys::overlay::Overlay;
use dhow_sys::process;
use rustix::fs::{Mode, OFlags};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// User and time namespaces are not part of a default container.
const NOT_BY_DEFAULT: u64 = 0x1000_0000 | 0x80;
const NEWNET: u64 = 0x4000_0000;

fn main() {
    match run() {
        Ok(code) => std::process::exit(code),
        Err(error) => {
            eprintln!("floor: {error}");
            std::process::exit(125);
        }
    }
}

fn run() -> io::Result<i32> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut bridge = None;
    if words.first().is_some_and(|word| word == "--bridge") && words.len() > 2 {
        process::setns(File::open(&words[1])?, NEWNET)?;
        bridge = words.drain(..3).nth(2);
    }
    let [layer, scratch, program @ ..] = words.as_slice() else {
        return Err(io::Error::other("usage: floor [--bridge NETNS NAME] LAYER SCRATCH PROGRAM ARGS..."));
    };
    let own = PathBuf::from(scratch).join(std::process::id().to_string());
    let (upper, work) = (own.join("u"), own.join("w"));
    for dir in [&own, &upper, &work] {
        std::fs::create_dir(dir)?;
    }
    let root = Overlay { lower: vec![std::path::PathBuf::from(layer).into()], upper: Some(upper), work: Some(work), volatile: true };
    let (mut connected, connect) = std::io::pipe()?;
    let code = match clone3(&CloneArgs { namespaces: NAMESPACES & !NOT_BY_DEFAULT, cgroup: None, sibling: false })? {
        Forked::Parent { pid, pidfd } => {
            if let Some(bridge) = &bridge {
                link(bridge, File::open(format!("/proc/{pid}/ns/net"))?)?;
            }
            drop(connect);
            process::wait(&pidfd)?.code()
        }
        Forked::Child => {
            drop(connect);
            let error = become_program(&root, layer, program, || bridge.as_ref().map_or(Ok(0), |_| connected.read(&mut [0])));
            eprintln!("floor: {}", error.err().map_or_else(String::new, |error| error.to_string()));
            process::exit_now(126)
        }
    };
    std::fs::remove_dir_all(&own)?;
    Ok(code)
}

/// A link from the bridge into the namespace, as the engine makes it.
fn link(bridge: &str, netns: File) -> io::Result<()> {
    let (own, gateway) = (Ipv4Addr::new(172, 30, 0, 2), Ipv4Addr::new(172, 30, 0, 1));
    let place = Place {
        bridge: bridge.to_owned(),
        port: format!("fl{}", std::process::id()),
        name: "eth0".to_owned(),
        mac: endpoint::mac_of(own),
        mtu: 1500,
        addresses: vec![(IpAddr::V4(own), 16)],
        gateways: vec![IpAddr::V4(gateway)],
        ..Place::default()
    };
    let made = endpoint::apply(&Plan { places: vec![place], ..Plan::default() }, netns.as_fd());
    made.map(drop).map_err(|error| io::Error::other(format!("{} {}: {}", error.operation, error.object, error.source)))
}

/// In the child: from the namespaces to the program.
fn become_program(overlay: &Overlay, layer: &str, program: &[String], connected: impl FnOnce() -> io::Result<usize>) -> io::Result<()> {
    mount::propagate_root(true, Propagation::Private)?;
    // The layer's own directory serves as the place to attach the root: in this namespace only.
    mount::attach(overlay.mount_detached()?, mount::open_path(Path::new(layer))?)?;
    let root = mount::open_path(Path::new(layer))?;
    let at = |path: &str| -> io::Result<OwnedFd> { Ok(rustix::fs::openat(&root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?) };

    mount::attach(Filesystem::open("proc")?.mount(NOSUID | NODEV | NOEXEC)?, at("proc")?)?;
    let dev = Filesystem::open("tmpfs")?;
    dev.string("mode", "755")?;
    mount::attach(dev.mount(NOSUID)?, at("dev")?)?;
    for dir in ["dev/pts", "dev/shm", "dev/mqueue"] {
        rustix::fs::mkdirat(&root, dir, Mode::from_raw_mode(0o755))?;
    }
    let pts = Filesystem::open("devpts")?;
    pts.flag("newinstance")?;
    pts.string("ptmxmode", "0666")?;
    mount::attach(pts.mount(NOSUID | NOEXEC)?, at("dev/pts")?)?;
    mount::attach(Filesystem::open("tmpfs")?.mount(NOSUID | NODEV | NOEXEC)?, at("dev/shm")?)?;
    mount::attach(Filesystem::open("mqueue")?.mount(NOSUID | NODEV | NOEXEC)?, at("dev/mqueue")?)?;
    mount::attach(Filesystem::open("sysfs")?.mount(RDONLY | NOSUID | NODEV | NOEXEC)?, at("sys")?)?;
    for (name, minor) in [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)] {
        rustix::fs::mknodat(
            &root,
            format!("dev/{name}"),
            rustix::fs::FileType::CharacterDevice,
            Mode::from_raw_mode(0o666),
            rustix::fs::makedev(1, minor),
        )?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        rustix::fs::symlinkat(target, &root, format!("dev/{name}"))?;
    }
    rustix::system::sethostname(b"floor")?;
    mount::pivot_root(&root)?;
    connected()?;
    process::cloexec_from(3)?;
    let words: Vec<CString> = program.iter().map(|word| CString::new(word.as_str())).collect::<Result<_, _>>().map_err(io::Error::other)?;
    let first = words.first().ok_or_else(|| io::Error::other("no program"))?;
    nix::unistd::execv(first, &words)?;
    Ok(())
}
