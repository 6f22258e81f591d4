//! Whether a container may be made by a caller that is not sealed, by way of a stub ([`Manner::stub`](crate::Manner)).
//!
//! The seal keeps the caller's own program from all who see its process in there. Where there is nobody but that process, from its birth to the
//! program's exec, it is enough that it executes something else before the program. That is so in a pid namespace of its own
//! into which no hook is called, by a call that creates and starts in one: between both others may come in.
//!
//! A bind may bring the program, too: whoever follows a link of procfs to it does so with the runtime's rights. So none may lead there.

use crate::listener;
use crate::mountopts::is_bind;
use crate::seccomp::{Call, Program};
use dhow_sys::stub;
use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};
use std::path::Path;

/// `SECCOMP_RET_ALLOW`.
const ALLOW: u32 = 0x7fff_0000;

/// Whether it may be. `filter` is the compiled `linux.seccomp`; `brings` tells whether what is at a path, taken as a bind's source, may bring
/// the caller's own program into the container ([`Itself::may_be_reached_at`](crate::itself::Itself::may_be_reached_at)).
pub fn suits(spec: &Spec, filter: Option<&Program>, brings: impl Fn(&Path) -> bool) -> bool {
    let Some((process, linux)) = spec.process().as_ref().zip(spec.linux().as_ref()) else { return false };
    let own = |kind| linux.namespaces().iter().flatten().any(|namespace| namespace.typ() == kind && namespace.path().is_none());
    // A label is put on at the next exec, which would be the stub's.
    let labelled = [process.apparmor_profile(), process.selinux_label()].into_iter().flatten().any(|label| !label.is_empty());
    own(LinuxNamespaceType::Pid)
        && own(LinuxNamespaceType::Mount)
        && spec.hooks().is_none()
        && !labelled
        && filter.is_none_or(|filter| !listener::is_wanted(Some(filter)) && passes(filter))
        && !spec.mounts().iter().flatten().any(|mount| is_unsafe(mount, &brings))
}

/// Paths below `/proc` need no look: what they lead to is another thing for each who follows them.
fn is_unsafe(mount: &Mount, brings: impl Fn(&Path) -> bool) -> bool {
    is_bind(mount) && mount.source().as_deref().is_none_or(|source| source.starts_with("/proc") || brings(source))
}

/// Whether a filter lets a stub do its work.
fn passes(filter: &Program) -> bool {
    stub::CALLS.iter().all(|(name, arguments)| Call::native(name, *arguments).and_then(|call| filter.evaluate(&call)) == Some(ALLOW))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp;
    use serde_json::{Value, json};

    fn spec(change: impl FnOnce(&mut Value)) -> Spec {
        let mut spec = json!({
            "ociVersion": "1.2.0", "root": {"path": "rootfs"},
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "cwd": "/"},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/x", "type": "bind", "source": "/srv"}],
            "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
        });
        change(&mut spec);
        serde_json::from_value(spec).unwrap()
    }

    fn nothing(_: &Path) -> bool {
        false
    }

    #[test]
    fn alone_from_birth_to_exec() {
        assert!(suits(&spec(|_| {}), None, nothing));
        let others: [(&str, fn(&mut Value)); 9] = [
            ("no pid namespace", |spec| spec["linux"]["namespaces"] = json!([{"type": "mount"}])),
            ("somebody's pid namespace", |spec| spec["linux"]["namespaces"][0]["path"] = "/proc/1/ns/pid".into()),
            ("no mount namespace", |spec| spec["linux"]["namespaces"] = json!([{"type": "pid"}])),
            ("somebody's mount namespace", |spec| spec["linux"]["namespaces"][1]["path"] = "/proc/1/ns/mnt".into()),
            ("hooks", |spec| spec["hooks"] = json!({"startContainer": [{"path": "/bin/true"}]})),
            ("AppArmor", |spec| spec["process"]["apparmorProfile"] = "docker-default".into()),
            ("SELinux", |spec| spec["process"]["selinuxLabel"] = "a:b:c:d".into()),
            ("a program bound", |spec| spec["mounts"][1]["source"] = "/proc/self/exe".into()),
            ("no process", |spec| drop(spec.as_object_mut().unwrap().remove("process"))),
        ];
        for (why, change) in others {
            assert!(!suits(&spec(change), None, nothing), "{why}");
        }
    }

    #[test]
    fn binds_are_looked_at() {
        let of = |mount: Value| suits(&spec(|spec| spec["mounts"][1] = mount), None, |path| path == Path::new("/srv/link"));
        let bind = |source: &str| json!({"destination": "/x", "type": "bind", "source": source});
        assert!(of(bind("/srv")) && of(bind("/process")));
        for source in ["/srv/link", "/proc", "/proc/self/exe", "/proc/1/root/srv", "//proc/./self"] {
            assert!(!of(bind(source)), "{source}");
        }
        assert!(!of(json!({"destination": "/x", "type": "bind"})));
        for option in ["bind", "rbind"] {
            assert!(!of(json!({"destination": "/x", "source": "/srv/link", "options": ["ro", option]})), "{option}");
            assert!(!of(json!({"destination": "/x", "type": "tmpfs", "source": "/srv/link", "options": [option]})), "{option}");
        }
        // The name of a filesystem is no path.
        assert!(of(json!({"destination": "/x", "type": "tmpfs", "source": "/srv/link"})));
        assert!(of(json!({"destination": "/x", "type": "proc", "source": "/proc"})));
    }

    #[test]
    fn a_filter_must_let_the_stub_work() {
        let of = |profile: Value| {
            let spec = spec(|spec| spec["linux"]["seccomp"] = profile);
            let filter = seccomp::compile(spec.linux().as_ref().unwrap().seccomp().as_ref().unwrap()).unwrap();
            suits(&spec, Some(&filter), nothing)
        };
        let only = |names: &[&str]| json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]});
        let needed: Vec<&str> = stub::CALLS.iter().map(|(name, _)| *name).collect();
        assert!(of(only(&needed)));
        for missing in &needed {
            let rest: Vec<&str> = needed.iter().filter(|name| *name != missing).copied().collect();
            assert!(!of(only(&rest)), "{missing}");
        }
        assert!(of(json!({"defaultAction": "SCMP_ACT_ALLOW"})));
        assert!(!of(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["fcntl"], "action": "SCMP_ACT_LOG"}]})));
        let no_cloexec = json!({"names": ["fcntl"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]});
        assert!(!of(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [no_cloexec]})));
        // The descriptor's number is not known beforehand.
        for (name, index) in [("fcntl", 0), ("write", 0), ("write", 1), ("execve", 2)] {
            let one = json!({"names": [name], "action": "SCMP_ACT_ERRNO", "args": [{"index": index, "value": 7, "op": "SCMP_CMP_EQ"}]});
            assert!(!of(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [one]})), "{name} {index}");
        }
        let another = json!({"names": ["write"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 2, "value": 6, "op": "SCMP_CMP_GE"}]});
        assert!(of(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [another]})));
    }
}
