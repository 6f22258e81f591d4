//! The groups that the caller is in itself, below which relative paths are.

use super::hierarchy::Hierarchy;
use super::{Mode, refused};
use crate::error::Result;
use std::path::{Path, PathBuf};

/// Controllers (`cpu,cpuacct`, `name=systemd`, none of the unified hierarchy) and group, as in `/proc/self/cgroup`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Groups(Vec<(String, PathBuf)>);

impl Groups {
    pub(super) fn read() -> Result<Self> {
        let file = Path::new("/proc/self/cgroup");
        std::fs::read_to_string(file).map(|text| Self::parse(&text)).map_err(|error| refused(file, "read", &error))
    }

    fn parse(text: &str) -> Self {
        let group = |line: &str| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            Some((controllers.to_owned(), PathBuf::from(path)))
        };
        Self(text.lines().filter_map(group).collect())
    }

    /// Below which directory of a hierarchy, relative to where that is mounted, a relative path is: the caller's own group. Of v2 it is the one
    /// above, since a group with processes has none with limits below it. Nothing known of the caller is the hierarchy's root.
    pub(super) fn base(&self, hierarchy: &Hierarchy, mode: Mode) -> PathBuf {
        let same = |controllers: &str| match hierarchy.is_unified() {
            true => controllers.is_empty(),
            false => controllers.split(',').any(|name| hierarchy.controllers.split(',').any(|other| other == name)),
        };
        let own = self.0.iter().find(|(controllers, _)| same(controllers)).map(|(_, group)| group.as_path());
        let own = own.and_then(|own| own.strip_prefix(&hierarchy.root).ok()).unwrap_or(Path::new(""));
        let own = if mode == Mode::V2 { own.parent().unwrap_or(Path::new("")) } else { own };
        // A group that the caller may not see is told by a way up.
        if own.components().all(|part| matches!(part, std::path::Component::Normal(_))) { own.to_owned() } else { PathBuf::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_relative_paths_are() {
        let groups = Groups::parse("4:memory:/a/b\n3:cpuacct,cpu:/c\n1:name=systemd:/s.slice\n0::/u/v\n");
        let check = |controllers: &str, root: &str, mode: Mode, expect: &str| {
            let hierarchy = Hierarchy { controllers: controllers.into(), mount: "/m".into(), root: root.into() };
            assert_eq!(groups.base(&hierarchy, mode), Path::new(expect), "{controllers} {root}");
        };
        check("memory", "/", Mode::Hybrid, "a/b");
        check("memory", "/a", Mode::Hybrid, "b");
        check("memory", "/elsewhere", Mode::V1, "");
        check("cpu,cpuacct", "/", Mode::V1, "c");
        check("name=systemd", "/", Mode::Hybrid, "s.slice");
        check("pids", "/", Mode::V1, "");
        check("", "/", Mode::Hybrid, "u/v");
        check("", "/", Mode::V2, "u");
        check("", "/u/v", Mode::V2, "");
        let hidden = Groups::parse("0::/../x\n");
        let unified = Hierarchy { controllers: String::new(), mount: "/m".into(), root: "/".into() };
        assert_eq!(hidden.base(&unified, Mode::Hybrid), Path::new(""));
        assert_eq!(Groups::default().base(&unified, Mode::V2), Path::new(""));
    }
}
