//! Binds, tmpfs and `Mounts`: to the engine's mounts, and to what inspect shows.

use super::volumes;
use crate::error::{Failure, Result};
use dhow_api::mount::{BindKind, check_target, clean, parse_bind, tmpfs_words, validate};
use dhow_api::types::{HostConfig, Mount, MountPoint};
use dhow_engine::model::volume::Wish;
use dhow_engine::model::{self, BindForm, Container, MountKind};
use std::collections::BTreeSet;
use std::path::Path;

/// All mounts that a HostConfig asks for, of an engine with its data below `root`. A path that several name is refused.
pub(crate) fn to_engine(host: &HostConfig, root: &Path) -> Result<Vec<model::Mount>> {
    let mut mounts = Vec::new();
    for raw in host.binds.iter().flatten() {
        let bind = parse_bind(raw)?;
        match bind.kind {
            BindKind::Path => {}
            BindKind::Volume | BindKind::Anonymous => {
                let driver = host.volume_driver.clone();
                let mode = if bind.mode.is_empty() && bind.kind == BindKind::Volume { "z" } else { &bind.mode };
                let wish = Wish { name: bind.source, driver, ..Wish::default() };
                mounts.push(volumes::mount(wish, &bind.target, bind.read_only, mode, bind.no_copy));
                continue;
            }
        }
        mounts.push(model::Mount {
            kind: MountKind::Bind,
            source: bind.source.into(),
            target: bind.target.into(),
            read_only: bind.read_only,
            bind: BindForm { read_only_below: bind.read_only_below, mapped: bind.mapped, ..BindForm::default() },
            propagation: bind.propagation,
            create_source: true,
            options: Vec::new(),
            volume: None,
            image: None,
            inherited: false,
        });
    }
    for mount in &host.mounts {
        mounts.push(mount_to_engine(mount)?);
    }
    for (target, options) in &host.tmpfs {
        check_target(target)?;
        let options = options.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        mounts.push(tmpfs(&clean(target), false, options));
    }
    let given = host.mounts.iter().map(|mount| mount.target.clone());
    let (before, after) = (mounts.len() - host.mounts.len() - host.tmpfs.len(), host.tmpfs.len());
    let shown = std::iter::repeat_n(None, before).chain(given.map(Some)).chain(std::iter::repeat_n(None, after));
    let mut seen = BTreeSet::new();
    for (mount, given) in mounts.iter().zip(shown) {
        if !seen.insert(&mount.target) {
            let place = given.unwrap_or_else(|| mount.target.display().to_string());
            return Err(Failure::invalid(format!("Duplicate mount point: {place}")));
        }
    }
    mounts.iter_mut().try_for_each(|mount| beside_root(mount, root))?;
    Ok(mounts)
}

/// What holds the data root, or lies in it, follows the host's mounts unless it shares them: so it is with Docker, which would otherwise keep
/// containers' files mounted in others.
fn beside_root(mount: &mut model::Mount, root: &Path) -> Result<()> {
    let apart = !mount.source.starts_with(root) && !root.starts_with(&mount.source);
    if mount.kind != MountKind::Bind || apart || matches!(mount.propagation.as_str(), "rslave" | "rshared") {
        return Ok(());
    }
    if mount.propagation.is_empty() {
        mount.propagation = "rslave".into();
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "invalid mount config: must use either propagation mode \"rslave\" or \"rshared\" when mount source is within the daemon root, \
         daemon root: {:?}, bind mount source: {:?}, propagation: {:?}",
        root.display().to_string(),
        mount.source.display().to_string(),
        mount.propagation
    )))
}

fn tmpfs(target: &str, read_only: bool, options: Vec<String>) -> model::Mount {
    model::Mount {
        kind: MountKind::Tmpfs,
        source: std::path::PathBuf::new(),
        target: target.into(),
        read_only,
        bind: BindForm::default(),
        propagation: String::new(),
        create_source: false,
        options,
        volume: None,
        image: None,
        inherited: false,
    }
}

fn mount_to_engine(mount: &Mount) -> Result<model::Mount> {
    validate(mount)?;
    match mount.kind.as_str() {
        "bind" => {
            let options = mount.bind_options.clone().unwrap_or_default();
            Ok(model::Mount {
                kind: MountKind::Bind,
                source: clean(&mount.source).into(),
                target: clean(&mount.target).into(),
                read_only: mount.read_only,
                bind: BindForm {
                    alone: options.non_recursive,
                    writable_below: options.read_only_non_recursive,
                    read_only_below: options.read_only_force_recursive,
                    mapped: false,
                },
                propagation: options.propagation,
                create_source: options.create_mountpoint,
                options: Vec::new(),
                volume: None,
                image: None,
                inherited: false,
            })
        }
        "volume" => Ok(volumes::of_mount(mount)),
        "image" => Ok(volumes::image(mount)),
        "tmpfs" => Ok(tmpfs(&clean(&mount.target), mount.read_only, tmpfs_words(mount.tmpfs_options.as_ref())?)),
        kind => Err(Failure::unsupported(&format!("a mount of type {kind:?}"))),
    }
}

/// Read-only binds that leave what is mounted below their source as it is: so older clients know them.
pub(crate) fn leave_below_alone(mounts: &mut [model::Mount]) {
    for mount in mounts.iter_mut().filter(|mount| mount.kind == MountKind::Bind && mount.read_only && !mount.bind.read_only_below) {
        mount.bind.writable_below = true;
    }
}

/// What inspect and ps show: binds, volumes and `--mount`s, tmpfs by `--tmpfs` not.
pub(crate) fn points(host: &HostConfig, container: &Container) -> Vec<MountPoint> {
    let mut all = asked(host);
    for point in all.iter_mut().filter(|point| point.kind == "bind") {
        let made = container.request.host.mounts.iter().find(|mount| mount.target == Path::new(&point.destination));
        if let Some(made) = made.filter(|made| !made.propagation.is_empty()) {
            point.propagation.clone_from(&made.propagation);
        }
    }
    all.extend(volumes::points(container));
    all
}

fn asked(host: &HostConfig) -> Vec<MountPoint> {
    let binds = host.binds.iter().flatten().filter_map(|raw| parse_bind(raw).ok()).filter(|bind| bind.kind == BindKind::Path);
    let binds = binds.map(|bind| MountPoint {
        kind: "bind".into(),
        source: bind.source,
        destination: bind.target,
        mode: bind.mode,
        rw: !bind.read_only,
        propagation: if bind.propagation.is_empty() { "rprivate".into() } else { bind.propagation },
        ..MountPoint::default()
    });
    let mounts = host.mounts.iter().filter(|mount| !matches!(mount.kind.as_str(), "volume" | "image")).map(|mount| {
        let propagation = mount.bind_options.as_ref().map(|options| options.propagation.clone()).filter(|p| !p.is_empty());
        let bind = mount.kind == "bind";
        MountPoint {
            kind: mount.kind.clone(),
            source: if bind { clean(&mount.source) } else { String::new() },
            destination: clean(&mount.target),
            rw: !mount.read_only,
            propagation: propagation.unwrap_or_else(|| if bind { "rprivate".into() } else { String::new() }),
            ..MountPoint::default()
        }
    });
    binds.chain(mounts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_api::types::TmpfsOptions;

    fn host(binds: &[&str], mounts: Vec<Mount>) -> HostConfig {
        HostConfig { binds: Some(binds.iter().map(ToString::to_string).collect()), mounts, ..HostConfig::default() }
    }

    #[test]
    fn binds_and_mounts() {
        let tmpfs = Mount {
            kind: "tmpfs".into(),
            target: "/t".into(),
            tmpfs_options: Some(TmpfsOptions { size_bytes: 4096, ..TmpfsOptions::default() }),
            ..Mount::default()
        };
        let host = host(&["/a:/b:ro"], vec![tmpfs]);
        let mounts = to_engine(&host, Path::new("/data/root")).unwrap();
        assert!(mounts[0].read_only && mounts[0].create_source);
        assert_eq!(mounts[1].options, ["size=4096"]);
        let shown = asked(&host);
        assert_eq!((shown[0].mode.as_str(), shown[0].rw, shown[0].propagation.as_str()), ("ro", false, "rprivate"));
        assert_eq!((shown[1].kind.as_str(), shown[1].source.as_str()), ("tmpfs", ""));
    }

    #[test]
    fn refusals() {
        let check = |host: HostConfig, status: u16, expect: &str| {
            let failure = to_engine(&host, Path::new("/data/root")).unwrap_err();
            assert_eq!((failure.0.status, failure.0.message.as_str()), (status, expect));
        };
        check(host(&["/a:/x", "/b:/x/"], vec![]), 400, "Duplicate mount point: /x");
        check(host(&["/a:/x:bad"], vec![]), 400, "invalid mode: bad");
        check(host(&["name:/x", "/b:/x"], vec![]), 400, "Duplicate mount point: /x");
        let mount = |target: &str| Mount { kind: "tmpfs".into(), target: target.into(), ..Mount::default() };
        check(host(&["/a:/x"], vec![mount("/y"), mount("/x/")]), 400, "Duplicate mount point: /x/");
        let why = "invalid mount config: must use either propagation mode \"rslave\" or \"rshared\" when mount source is within the daemon \
                   root, daemon root: \"/data/root\", bind mount source: \"/data\", propagation: \"private\"";
        check(host(&["/data:/x:private"], vec![]), 400, why);
    }

    #[test]
    fn binds_beside_the_data_root() {
        let propagation = |bind: &str| to_engine(&host(&[bind], vec![]), Path::new("/data/root")).unwrap().remove(0).propagation;
        assert_eq!(["/:/x", "/data:/x", "/data/root/volumes:/x"].map(propagation), ["rslave"; 3]);
        assert_eq!((propagation("/dat:/x"), propagation("/data/rootless:/x")), (String::new(), String::new()));
        assert_eq!(propagation("/:/x:rshared"), "rshared");
    }
}
