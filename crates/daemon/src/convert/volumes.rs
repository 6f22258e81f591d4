//! Volumes: what a container asks of them, and what they look like.

use super::lookup::Resolve;
use crate::error::{Failure, Result};
use dhow_api::mount::{PROPAGATIONS, valid_mode};
use dhow_api::types::{self, HostConfig, Mount, MountPoint, UsageData};
use dhow_engine::model::volume::{ImageUse, Volume, VolumeUse, VolumesFrom, Wish};
use dhow_engine::model::{self, BindForm, MountKind};

/// A mount of a volume at a path. An empty name means an anonymous one.
pub(super) fn mount(wish: Wish, target: &str, read_only: bool, mode: &str, no_copy: bool) -> model::Mount {
    let volume = VolumeUse { anonymous: wish.name.is_empty(), wish, mode: mode.to_owned(), no_copy, subpath: String::new() };
    model::Mount {
        kind: MountKind::Volume,
        source: std::path::PathBuf::new(),
        target: target.into(),
        read_only,
        bind: BindForm::default(),
        propagation: String::new(),
        create_source: false,
        options: Vec::new(),
        volume: Some(volume),
        image: None,
        inherited: false,
    }
}

/// The volume of an entry of `Mounts`.
pub(super) fn of_mount(asked: &Mount) -> model::Mount {
    let options = asked.volume_options.clone().unwrap_or_default();
    let driver = options.driver_config.unwrap_or_default();
    let wish = Wish { name: asked.source.clone(), driver: driver.name, labels: options.labels, options: driver.options };
    let mut made = mount(wish, &dhow_api::mount::clean(&asked.target), asked.read_only, "z", options.no_copy);
    if let Some(volume) = &mut made.volume {
        volume.subpath = options.subpath;
    }
    made
}

/// The image of an entry of `Mounts`.
pub(super) fn image(asked: &Mount) -> model::Mount {
    let subpath = asked.image_options.as_ref().map(|options| options.subpath.clone()).unwrap_or_default();
    model::Mount {
        kind: MountKind::Image,
        volume: None,
        image: Some(ImageUse { reference: asked.source.clone(), id: String::new(), subpath }),
        ..mount(Wish::default(), &dhow_api::mount::clean(&asked.target), true, "", true)
    }
}

/// `VolumesFrom`: `CONTAINER[:MODE]`.
pub(super) fn from_others(host: &HostConfig, resolve: &Resolve<'_>) -> Result<Vec<VolumesFrom>> {
    let mut all = Vec::new();
    for text in host.volumes_from.iter().flatten() {
        let (name, mode) = text.split_once(':').unwrap_or((text, ""));
        if text.is_empty() {
            return Err(Failure::invalid("volumes-from specification cannot be an empty string"));
        }
        // Propagation and copies are the other container's.
        let fits = |word: &str| !PROPAGATIONS.contains(&word) && !matches!(word, "nocopy" | "rro" | "idmap");
        if !(mode.is_empty() || valid_mode(mode) && mode.split(',').all(fits)) {
            return Err(Failure::invalid(format!("invalid mode: {mode}")));
        }
        if name.is_empty() {
            return Err(Failure::invalid("invalid name or ID supplied: \"\""));
        }
        all.push(VolumesFrom { container: resolve(name)?, read_only: mode.split(',').any(|word| word == "ro") });
    }
    Ok(all)
}

/// What inspect and ps show of the volumes and images of a container, and of what it took over from others.
pub(super) fn points(container: &model::Container) -> impl Iterator<Item = MountPoint> {
    container.request.host.mounts.iter().filter_map(|mount| {
        let target = dhow_api::mount::clean(&mount.target.to_string_lossy());
        let source = mount.source.to_string_lossy().into_owned();
        if let Some(volume) = &mount.volume {
            return Some(MountPoint {
                kind: "volume".into(),
                name: volume.wish.name.clone(),
                source,
                destination: target,
                driver: "local".into(),
                mode: volume.mode.clone(),
                rw: !mount.read_only,
                propagation: String::new(),
            });
        }
        if let Some(image) = &mount.image {
            let name = image.reference.clone();
            let propagation = "rprivate".to_owned();
            return Some(MountPoint { kind: "image".into(), name, source, destination: target, propagation, ..MountPoint::default() });
        }
        let propagation = if mount.propagation.is_empty() { "rprivate".to_owned() } else { mount.propagation.clone() };
        mount.inherited.then(|| MountPoint {
            kind: "bind".into(),
            source,
            destination: target,
            rw: !mount.read_only,
            propagation,
            ..MountPoint::default()
        })
    })
}

/// A volume as the API shows it.
pub(crate) fn shown(volume: &Volume) -> types::Volume {
    // Docker reads it from the directory's time, by the second.
    let created = volume.created.div_euclid(1_000_000_000) * 1_000_000_000;
    types::Volume {
        created_at: dhow_api::time::rfc3339(created),
        driver: "local".into(),
        labels: Some(volume.labels.clone()).filter(|labels| !labels.is_empty()),
        mountpoint: volume.mountpoint.to_string_lossy().into_owned(),
        name: volume.name.clone(),
        options: Some(volume.options.clone()).filter(|options| !options.is_empty()),
        scope: "local".into(),
        usage_data: None,
        cluster: None,
    }
}

/// The same with its size.
pub(crate) fn measured(volume: &Volume, size: Option<u64>, users: usize) -> types::Volume {
    let size = size.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX));
    let usage = UsageData { ref_count: i64::try_from(users).unwrap_or(i64::MAX), size };
    types::Volume { usage_data: Some(usage), ..shown(volume) }
}
