//! The mounts of a container, in the order in which they are made.

use crate::host::Host;
use crate::model::{Container, IpcMode, Mount as Asked, MountKind};
use crate::paths::clean;
use dhow_files::job::Bind;
use dhow_shim::config::VolumeConfig;
use dhow_sys::overlay::Lower;
use oci_spec::runtime::Mount;
use std::path::{Path, PathBuf};

const SHM: u64 = 64 * 1024 * 1024;
/// Mounts of ours that stay writable with a read-only root.
const ALWAYS_WRITABLE: [&str; 5] = ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"];

/// The default mounts, then those of the user and the files of the sandbox, parents before children. `shm` is another container's, `given` come
/// with devices.
pub(crate) fn build(container: &Container, host: &Host, init: Option<(&Path, &Path)>, shm: Option<&Path>, given: &[Mount]) -> Vec<Mount> {
    let request = &container.request;
    let mut own: Vec<Mount> = request.host.mounts.iter().map(|m| asked(m, host)).collect();
    for (target, source) in files(container) {
        if !own.iter().any(|m| m.destination() == Path::new(target)) {
            own.push(file(source, Path::new(target), request.host.read_only));
        }
    }
    if let Some((source, target)) = init {
        own.push(file(source, target, true));
    }
    own.sort_by_key(|m| m.destination().components().count());
    let mut all = defaults(container, shm);
    if !given.is_empty() {
        all.retain(|m| !given.iter().any(|g| g.destination() == m.destination()));
        all.extend(given.iter().cloned());
        all.sort_by_key(|m| m.destination().components().count());
    }
    let own_dev = own.iter().any(|o| o.destination() == Path::new("/dev"));
    all.retain(|m| {
        let replaced = own.iter().any(|o| o.destination() == m.destination());
        // Whoever brings a /dev brings what is in it.
        let inside = own_dev && m.destination() != Path::new("/dev") && m.destination().starts_with("/dev");
        !replaced && !inside
    });
    all.extend(own);
    all
}

/// Volumes hold a container's own ids, as layers do: in a user namespace they are mapped. So are the binds that say so.
pub(crate) fn map_volumes(container: &Container, mounts: &mut [Mount]) {
    let own = |mount: &&Asked| matches!(mount.kind, MountKind::Volume | MountKind::Image) || mount.bind.mapped;
    let targets: Vec<_> = container.request.host.mounts.iter().filter(own).map(|mount| clean(&mount.target)).collect();
    for mount in mounts.iter_mut().filter(|mount| targets.contains(mount.destination())) {
        if let Some(options) = mount.options_mut() {
            options.push("ridmap".into());
        }
    }
}

/// What a container has of the host's, as a copy sees it while the container rests: parents before children. `volumes` are those that are
/// not simply at their sources.
///
/// A mount whose place is in `read_only` is that whatever it was asked for as.
pub(crate) fn binds(container: &Container, volumes: &[VolumeConfig], read_only: &[PathBuf]) -> Vec<Bind> {
    let request = &container.request;
    let asked = request.host.mounts.iter().filter(|mount| mount.kind != MountKind::Tmpfs);
    let mut binds: Vec<_> = asked.map(|m| bind(m, volumes, read_only)).collect();
    for (target, source) in files(container) {
        if !binds.iter().any(|bind| bind.target == Path::new(target)) {
            let (source, part) = (Lower::Dir(source.to_owned()), Default::default());
            binds.push(Bind { source, part, target: target.into(), read_only: request.host.read_only });
        }
    }
    binds.sort_by_key(|bind| bind.target.components().count());
    binds
}

fn bind(mount: &Asked, volumes: &[VolumeConfig], read_only: &[PathBuf]) -> Bind {
    let target = clean(&mount.target);
    let read_only = mount.read_only || read_only.contains(&target);
    match volumes.iter().find(|volume| volume.target == target) {
        Some(volume) => Bind { source: volume.data.clone(), part: volume.part.clone(), target, read_only },
        None => Bind { source: Lower::Dir(mount.source.clone()), part: Default::default(), target, read_only },
    }
}

fn files(container: &Container) -> Vec<(&'static str, &Path)> {
    let sandbox = &container.sandbox;
    [("/etc/resolv.conf", &sandbox.resolv_conf), ("/etc/hostname", &sandbox.hostname), ("/etc/hosts", &sandbox.hosts)]
        .into_iter()
        .filter(|(_, source)| !source.as_os_str().is_empty())
        .map(|(target, source)| (target, source.as_path()))
        .collect()
}

fn mount(target: impl AsRef<Path>, kind: &str, source: impl AsRef<Path>, options: Vec<String>) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(target.as_ref().to_owned())
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source.as_ref().to_owned()))
        .set_options(Some(options));
    mount
}

fn file(source: &Path, target: &Path, read_only: bool) -> Mount {
    let mut options = vec!["rbind".to_owned(), "rprivate".to_owned()];
    if read_only {
        options.push("ro".into());
    }
    mount(target, "bind", source, options)
}

fn defaults(container: &Container, other_shm: Option<&Path>) -> Vec<Mount> {
    let host = &container.request.host;
    let size = if host.shm_size == 0 { SHM } else { host.shm_size };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut all = vec![
        mount("/proc", "proc", "proc", words("nosuid noexec nodev")),
        mount("/dev", "tmpfs", "tmpfs", words("nosuid strictatime mode=755 size=65536k")),
        mount("/dev/pts", "devpts", "devpts", words("nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5")),
        mount("/sys", "sysfs", "sysfs", words("nosuid noexec nodev ro")),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", words("ro nosuid noexec nodev")),
        mount("/dev/mqueue", "mqueue", "mqueue", words("nosuid noexec nodev")),
    ];
    let bound = |source: &Path| mount("/dev/shm", "bind", source, words("rbind rprivate nosuid noexec nodev"));
    match host.ipc {
        IpcMode::None => {}
        IpcMode::Host => all.push(bound(Path::new("/dev/shm"))),
        IpcMode::Container(_) => all.extend(other_shm.map(bound)),
        IpcMode::Private | IpcMode::Shareable => {
            all.push(mount("/dev/shm", "tmpfs", "shm", words(&format!("nosuid noexec nodev mode=1777 size={size}"))));
        }
    }
    let writable = |target: &str| match target {
        "/sys" => host.privileged,
        "/sys/fs/cgroup" => host.writable_cgroups.unwrap_or(host.privileged),
        _ => false,
    };
    for mount in &mut all {
        let target = mount.destination().to_string_lossy().into_owned();
        let Some(options) = mount.options_mut() else { continue };
        if writable(&target) {
            options.retain(|o| o != "ro");
        }
        let has_ro = options.iter().any(|o| o == "ro");
        if host.read_only && !has_ro && !ALWAYS_WRITABLE.contains(&target.as_str()) {
            options.push("ro".into());
        }
    }
    all
}

fn asked(asked: &Asked, host: &Host) -> Mount {
    let target = clean(&asked.target);
    match asked.kind {
        MountKind::Bind | MountKind::Volume | MountKind::Image => {
            let propagation = if asked.propagation.is_empty() { "rprivate" } else { &asked.propagation };
            let mut options = vec![if asked.bind.alone { "bind" } else { "rbind" }.to_owned(), propagation.to_owned()];
            if asked.read_only {
                options.push(if host.recursive_read_only && !asked.bind.writable_below { "rro" } else { "ro" }.into());
            }
            mount(target, "bind", &asked.source, options)
        }
        MountKind::Tmpfs => mount(target, "tmpfs", "tmpfs", tmpfs_options(asked)),
    }
}

/// Docker's own options under the given ones; of two that exclude each other the later stays.
fn tmpfs_options(asked: &Asked) -> Vec<String> {
    let mut options: Vec<String> = ["noexec", "nosuid", "nodev", "rprivate"].map(str::to_owned).to_vec();
    for option in &asked.options {
        let opposite = match option.as_str() {
            "exec" | "suid" | "dev" | "atime" | "diratime" => format!("no{option}"),
            "ro" => "rw".into(),
            "rw" => "ro".into(),
            other => other.strip_prefix("no").unwrap_or_default().to_owned(),
        };
        options.retain(|o| *o != opposite && o != option);
        options.push(option.clone());
    }
    if asked.read_only && !options.iter().any(|o| o == "ro") {
        options.push("ro".into());
    }
    options
}

/// Mounts that are shared with the host, or follow it, need a root that does.
pub(crate) fn root_propagation(mounts: &[Asked]) -> Option<String> {
    let any = |names: [&str; 2]| mounts.iter().any(|m| names.contains(&m.propagation.as_str()));
    if any(["shared", "rshared"]) {
        Some("shared".into())
    } else if any(["slave", "rslave"]) {
        Some("slave".into())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_tmpfs_options_win() {
        let asked = |options: &[&str]| Asked {
            kind: MountKind::Tmpfs,
            source: Default::default(),
            target: "/t".into(),
            read_only: false,
            bind: Default::default(),
            propagation: String::new(),
            create_source: false,
            options: options.iter().map(|o| (*o).to_owned()).collect(),
            volume: None,
            image: None,
            inherited: false,
        };
        assert_eq!(tmpfs_options(&asked(&[])), ["noexec", "nosuid", "nodev", "rprivate"]);
        assert_eq!(tmpfs_options(&asked(&["exec", "size=1m", "nosuid"])), ["nodev", "rprivate", "exec", "size=1m", "nosuid"]);
    }
}
