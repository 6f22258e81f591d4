//! A shim that is there before its container is known: forked when somebody is about to start one, or a while before, and once somebody is with what
//! every container needs and what takes longest to make, a network namespace.

use crate::config::ShimConfig;
use crate::process;
use crate::protocol::ToSpare;
use dhow_sys::alloc::Touched;
use dhow_sys::{fdpass, net};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

const NEWNET: u64 = libc::CLONE_NEWNET as u64;

/// What reading a container's configuration and making it touches. Of the heap nearly all that the spawner has: a fork shares it until it is written
/// to, and most of it is. Of the code what `crates/dhow/start.order` begins with: the functions of spawners, shims and containers.
const TOUCHED: Touched = Touched { stack: 80 << 10, heap: 64 << 10, code: 3 << 18 };

/// What was made ahead.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// A network namespace, its loopback still down: that is no hurry, and takes its time.
    netns: Option<OwnedFd>,
}

/// Waits for its container, and is that one's shim. Where the daemon's end closes before, it ends. `host` is the network namespace it is in, where
/// that is known.
pub(crate) fn run(control: OwnedFd, mut host: Option<OwnedFd>) -> i32 {
    // It works without, page by page.
    let _ = dhow_sys::alloc::take_ahead(TOUCHED);
    let mut netns = None;
    let mut message = fdpass::recv(&control);
    if let Ok(Some((raw, _))) = &message
        && serde_json::from_slice(raw).is_ok_and(|word: ToSpare| word == ToSpare::Expect)
    {
        netns = match host.take().map(|host| network_namespace(&host)).transpose() {
            Ok(netns) => netns,
            // The container's process will try, too, and then somebody is told.
            Err(Failed::There(_)) => None,
            // A shim in the wrong namespace would make links there.
            Err(Failed::Back(_)) => return 1,
        };
        message = fdpass::recv(&control);
    }
    drop(host);
    match message {
        Ok(Some((raw, clients))) => process::run(raw, control, clients, Ahead { netns }),
        Ok(None) | Err(_) => 0,
    }
}

/// On which way making a namespace failed.
#[derive(Debug)]
enum Failed {
    /// This process is where it was.
    There(#[expect(dead_code, reason = "for whoever debugs")] io::Error),
    /// It did not come back.
    Back(#[expect(dead_code, reason = "for whoever debugs")] io::Error),
}

/// A new one, in which this process is for a moment.
fn network_namespace(host: &OwnedFd) -> Result<OwnedFd, Failed> {
    dhow_sys::process::unshare(NEWNET).map_err(Failed::There)?;
    let made = net::namespace();
    dhow_sys::process::setns(host, NEWNET).map_err(Failed::Back)?;
    made.map_err(Failed::There)
}

impl Ahead {
    /// Lends it to a container that is to have a namespace of its own: to the runtime it is one that was made before. It is closed with this
    /// value, when the container has been made.
    pub(crate) fn lend(&self, config: &mut ShimConfig) {
        if let Some(netns) = self.netns.as_ref().filter(|_| config.runtime.is_none())
            && name(&mut config.spec, &format!("/proc/self/fd/{}", netns.as_raw_fd()))
        {
            config.network.get_or_insert_default().plan.loopback = true;
        }
    }
}

/// Names the namespace in a specification that asks for a new one, and tells whether it does. Not where there is a user namespace, which has
/// to own it, nor where hooks, to which the specification is shown, could look for it by that name.
fn name(spec: &mut Spec, path: &str) -> bool {
    if spec.hooks().is_some() {
        return false;
    }
    let Some(namespaces) = spec.linux_mut().as_mut().and_then(|linux| linux.namespaces_mut().as_mut()) else { return false };
    if namespaces.iter().any(|namespace| namespace.typ() == LinuxNamespaceType::User) {
        return false;
    }
    let mut new = namespaces.iter_mut().filter(|namespace| namespace.typ() == LinuxNamespaceType::Network && namespace.path().is_none());
    new.next().map(|network| network.set_path(Some(path.into()))).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn who_takes_it() {
        let plain = json!([{"type": "pid"}, {"type": "network"}]);
        for (namespaces, hooks, expect) in [
            (plain.clone(), Value::Null, json!([{"type": "pid"}, {"type": "network", "path": "/n"}])),
            (plain.clone(), json!({"poststop": [{"path": "/bin/true"}]}), plain),
            (json!([{"type": "pid"}]), Value::Null, json!([{"type": "pid"}])),
            (json!([{"type": "network", "path": "/x"}]), Value::Null, json!([{"type": "network", "path": "/x"}])),
            (json!([{"type": "network"}, {"type": "user"}]), Value::Null, json!([{"type": "network"}, {"type": "user"}])),
        ] {
            let mut spec: Spec =
                serde_json::from_value(json!({"ociVersion": "1.2.0", "linux": {"namespaces": namespaces}, "hooks": hooks})).unwrap();
            let named = name(&mut spec, "/n");
            let linux = serde_json::to_value(spec.linux()).unwrap();
            assert_eq!(linux["namespaces"], expect);
            assert_eq!(named, namespaces != expect);
        }
    }

    #[test]
    fn a_namespace_of_its_own_and_back() {
        std::thread::spawn(|| {
            let number = |path: &str| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
            let here = "/proc/thread-self/ns/net";
            let before = number(here);
            let host = net::namespace().unwrap();
            assert_eq!(rustix::fs::fstat(&host).unwrap().st_ino, before);
            let made = network_namespace(&host).unwrap();
            assert_eq!(number(here), before);
            assert_ne!(rustix::fs::fstat(&made).unwrap().st_ino, before);
            dhow_sys::process::setns(&made, NEWNET).unwrap();
            assert_eq!(number(here), rustix::fs::fstat(&made).unwrap().st_ino);
        })
        .join()
        .unwrap();
    }
}
