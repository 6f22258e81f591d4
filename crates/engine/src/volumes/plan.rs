//! Which volumes a container uses, before there are any. Pure but for the names that are drawn.

use crate::error::Result;
use crate::ids;
use crate::model::volume::{VolumeUse, VolumesFrom};
use crate::model::{BindForm, Container, Mount, MountKind, Request};
use crate::paths::clean;
use std::path::Path;

/// Adds to a request what it takes over from others, and an anonymous volume at every path that wants one and has no mount. Of two mounts at
/// one place that are taken over, the later stays; one of the request's own goes before both.
pub(crate) fn plan<'a>(request: &mut Request, others: impl Iterator<Item = (&'a VolumesFrom, &'a Container)>) -> Result<()> {
    let mut taken: Vec<Mount> = Vec::new();
    for (from, other) in others {
        for mount in other.request.host.mounts.iter().filter(|mount| mount.kind != MountKind::Tmpfs) {
            let target = clean(&mount.target);
            if is_mounted(&request.host.mounts, &target) {
                continue;
            }
            taken.retain(|earlier| clean(&earlier.target) != target);
            let mut mount = Mount { read_only: mount.read_only || from.read_only, inherited: true, ..mount.clone() };
            if let Some(volume) = &mut mount.volume {
                volume.no_copy = true;
                volume.mode.clear();
            }
            taken.push(mount);
        }
    }
    request.host.mounts.append(&mut taken);
    for path in std::mem::take(&mut request.volumes) {
        let target = clean(&path);
        if !is_mounted(&request.host.mounts, &target) {
            request.host.mounts.push(anonymous(&target));
        }
    }
    for volume in request.host.mounts.iter_mut().filter_map(|mount| mount.volume.as_mut()) {
        if volume.wish.name.is_empty() {
            volume.anonymous = true;
            volume.wish.name = ids::fresh()?;
        }
    }
    Ok(())
}

fn is_mounted(mounts: &[Mount], target: &Path) -> bool {
    mounts.iter().any(|mount| clean(&mount.target) == target)
}

fn anonymous(target: &Path) -> Mount {
    Mount {
        kind: MountKind::Volume,
        source: Default::default(),
        target: target.to_owned(),
        read_only: false,
        bind: BindForm::default(),
        propagation: String::new(),
        create_source: false,
        options: Vec::new(),
        volume: Some(VolumeUse::default()),
        image: None,
        inherited: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(source: &str, target: &str) -> Mount {
        Mount { kind: MountKind::Bind, source: source.into(), volume: None, ..anonymous(Path::new(target)) }
    }

    fn named(name: &str, target: &str) -> Mount {
        let mut mount = anonymous(Path::new(target));
        mount.volume.as_mut().unwrap().wish.name = name.into();
        mount
    }

    fn shown(request: &Request) -> Vec<String> {
        let mut all: Vec<String> = request
            .host
            .mounts
            .iter()
            .map(|mount| {
                let volume = mount.volume.as_ref();
                let what = match volume {
                    Some(volume) if volume.anonymous => "?".to_owned(),
                    Some(volume) => volume.wish.name.clone(),
                    None => mount.source.display().to_string(),
                };
                let copied = volume.is_some_and(|volume| volume.no_copy);
                format!(
                    "{what}:{}{}{}",
                    mount.target.display(),
                    if mount.read_only { ":ro" } else { "" },
                    if copied { ":nocopy" } else { "" }
                )
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn own_mounts_go_before_those_of_others_and_both_before_anonymous_ones() {
        let other = |id: &str, mounts: Vec<Mount>| {
            let mut container = crate::container::testing::container(id, id);
            container.request.host.mounts = mounts;
            container
        };
        let first = other("a", vec![named("data", "/data"), bind("/srv", "/srv"), bind("/x", "/own")]);
        let second = other("b", vec![named("later", "/data/")]);
        let from = |id: &str, read_only| VolumesFrom { container: id.into(), read_only };
        let (one, two) = (from("a", true), from("b", false));
        let mut request = Request { volumes: ["/data", "/anon/", "/own", "/anon"].map(Into::into).into(), ..Request::default() };
        request.host.mounts = vec![bind("/mine", "/own/"), named("", "/unnamed")];
        plan(&mut request, [(&one, &first), (&two, &second)].into_iter()).unwrap();
        assert_eq!(shown(&request), ["/mine:/own/", "/srv:/srv:ro", "?:/anon", "?:/unnamed", "later:/data/:nocopy"]);
        let names: Vec<_> =
            request.host.mounts.iter().filter_map(|m| m.volume.as_ref()).filter(|v| v.anonymous).map(|v| &v.wish.name).collect();
        assert!(names.iter().all(|name| name.len() == 64) && names[0] != names[1]);
    }
}
