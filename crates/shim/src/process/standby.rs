//! What a running container's shim needs and what can be made while its process is still on the way to its program: then the shim would only
//! wait, and afterwards others wait for it.

use super::memory::Memory;
use super::pin;
use super::poll::{Poll, Token, Watched};
use crate::config::ShimConfig;
use crate::files;
use dhow_runtime::cgroup::Cgroup;
use dhow_sys::signal::Signals;
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

/// All of it. Of what the container can do without: how that went.
pub(super) struct Standby {
    pub(super) signals: Watched<Signals>,
    /// Bound, and refusing everybody until somebody listens: before the program runs there is nothing to tell.
    pub(super) socket: OwnedFd,
    pub(super) mntns: Option<OwnedFd>,
    pub(super) memory: io::Result<Option<Memory>>,
    /// Where there was a namespace to pin.
    pub(super) pinned: io::Result<()>,
    pub(super) named: io::Result<()>,
}

impl Standby {
    /// For a container whose process is there, in its namespaces and its cgroup.
    ///
    /// # Errors
    /// What no shim can do without. The caller takes away what is in its directory, and the pin.
    pub(super) fn make(config: &ShimConfig, poll: &Poll, cgroup: &Cgroup, (pid, netns): (i32, Option<BorrowedFd<'_>>)) -> io::Result<Self> {
        let signals = Watched::new(poll, Signals::block_all()?, Token::Signals);
        let socket = bind(&config.dir)?;
        Ok(Self {
            signals,
            socket,
            // A process that has ended already has none to wait for.
            mntns: std::fs::File::open(format!("/proc/{pid}/ns/mnt")).ok().map(OwnedFd::from),
            memory: Memory::watch(poll, cgroup),
            pinned: config.pin_netns.as_deref().zip(netns).map_or(Ok(()), |(path, netns)| pin::pin(netns, path)),
            named: settle(&config.id),
        })
    }
}

fn bind(dir: &Path) -> io::Result<OwnedFd> {
    let path = dir.join(files::SOCKET);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(&path)?)?;
    rustix::fs::chmod(&path, Mode::from_raw_mode(0o600))?;
    Ok(socket)
}

/// The score, and the name in `ps`.
fn settle(id: &str) -> io::Result<()> {
    // Lowering it needs CAP_SYS_RESOURCE; without it the shim is as likely a victim as others.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-999");
    dhow_sys::title::set(&format!("dhow-shim {}", id.get(..12).unwrap_or(id)))
}
