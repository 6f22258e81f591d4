//! A network namespace that stands for the host, so that no test touches the machine's own links and rules.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

const NEWNET: u64 = 0x4000_0000;

/// A namespace with loopback. It lasts as long as this and whatever runs in it.
#[derive(Debug, Clone)]
pub struct Netns(Arc<File>);

impl Netns {
    /// A fresh one. It forwards nothing yet, as a host that never ran an engine.
    #[track_caller]
    pub fn new() -> Self {
        let make = || {
            dhow_sys::process::unshare(NEWNET).expect("a network namespace");
            dhow_sys::net::loopback_up().expect("loopback");
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("forwarding switched off");
            File::open("/proc/thread-self/ns/net").expect("the namespace")
        };
        Self(Arc::new(std::thread::spawn(make).join().expect("a thread in a namespace of its own")))
    }

    /// That of a process.
    #[track_caller]
    pub fn of(pid: i32) -> Self {
        Self(Arc::new(File::open(format!("/proc/{pid}/ns/net")).expect("the namespace of a process")))
    }

    /// Does something in it, on a thread of its own; processes that are started there stay there.
    #[track_caller]
    pub fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            dhow_sys::process::setns(self.0.as_fd(), NEWNET).expect("enter the namespace");
            act()
        };
        std::thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Joins another namespace to this one by a pair of links, each end with an address of the same /24. Gives the other one.
    #[track_caller]
    pub fn neighbour(&self, own: &str, other: &str) -> Self {
        let neighbour = Self::new();
        let ip = |words: &str| crate::command::Cmd::new("ip").args(words.split(' ')).ok();
        self.run(|| {
            ip("link add outside type veth peer name inside");
            ip(&format!("addr add {own}/24 dev outside"));
            ip("link set outside up");
            // By a process that is there.
            let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&*neighbour.0));
            ip(&format!("link set inside netns {path}"));
        });
        neighbour.run(|| {
            ip(&format!("addr add {other}/24 dev inside"));
            ip("link set inside up");
        });
        neighbour
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}
