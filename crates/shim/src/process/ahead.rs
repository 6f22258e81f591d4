//! A shim that is there before its container is known: forked when somebody is about to start one, with what every container needs and
//! what takes longest to make, a network namespace.

use crate::config::ShimConfig;
use crate::process;
use dhow_sys::alloc::Touched;
use dhow_sys::{fdpass, net};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

const NEWNET: u64 = libc::CLONE_NEWNET as u64;

/// What reading a container's configuration and making it touches. Of the heap all that the spawner has: a fork shares it until it is written
/// to, and most of it is.
const TOUCHED: Touched = Touched { stack: 80 << 10, heap: 128 << 10, code: 3 << 19 };

/// What was made ahead.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// A network namespace, its loopback up.
    netns: Option<OwnedFd>,
}

/// Makes what it can, waits for its container, and is that one's shim. Where the daemon's end closes before, it ends.
pub(crate) fn run(control: OwnedFd) -> i32 {
    let netns = match network_namespace() {
        Ok(netns) => Some(netns),
        // The container's process will try, too, and then somebody is told.
        Err(Failed::There(_)) => None,
        // A shim in the wrong namespace would make links there.
        Err(Failed::Back(_)) => return 1,
    };
    // It works without, page by page.
    let _ = dhow_sys::alloc::take_ahead(TOUCHED);
    match fdpass::recv(&control) {
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
fn network_namespace() -> Result<OwnedFd, Failed> {
    let this = || std::fs::File::open("/proc/thread-self/ns/net").map(OwnedFd::from);
    let own = this().map_err(Failed::There)?;
    dhow_sys::process::unshare(NEWNET).map_err(Failed::There)?;
    let made = net::loopback_up().and_then(|()| this());
    dhow_sys::process::setns(&own, NEWNET).map_err(Failed::Back)?;
    made.map_err(Failed::There)
}

impl Ahead {
    /// Lends it to a container that is to have a namespace of its own: to the runtime it is one that was made before. It is closed with this
    /// value, when the container has been made.
    pub(crate) fn lend(&self, config: &mut ShimConfig) {
        if let Some(netns) = self.netns.as_ref().filter(|_| config.runtime.is_none()) {
            name(&mut config.spec, &format!("/proc/self/fd/{}", netns.as_raw_fd()));
        }
    }
}

/// Names the namespace in a specification that asks for a new one. Not where there is a user namespace, which has to own it, nor where hooks,
/// to which the specification is shown, could look for it by that name.
fn name(spec: &mut Spec, path: &str) {
    if spec.hooks().is_some() {
        return;
    }
    let Some(namespaces) = spec.linux_mut().as_mut().and_then(|linux| linux.namespaces_mut().as_mut()) else { return };
    if namespaces.iter().any(|namespace| namespace.typ() == LinuxNamespaceType::User) {
        return;
    }
    if let Some(network) =
        namespaces.iter_mut().find(|namespace| namespace.typ() == LinuxNamespaceType::Network && namespace.path().is_none())
    {
        network.set_path(Some(path.into()));
    }
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
            name(&mut spec, "/n");
            let linux = serde_json::to_value(spec.linux()).unwrap();
            assert_eq!(linux["namespaces"], expect);
        }
    }

    #[test]
    fn a_namespace_of_its_own_and_back() {
        std::thread::spawn(|| {
            let number = |path: &str| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
            let here = "/proc/thread-self/ns/net";
            let before = number(here);
            let made = network_namespace().unwrap();
            assert_eq!(number(here), before);
            assert_ne!(rustix::fs::fstat(&made).unwrap().st_ino, before);
            dhow_sys::process::setns(&made, NEWNET).unwrap();
            std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        })
        .join()
        .unwrap();
    }
}
