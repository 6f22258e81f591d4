//! User namespaces: which containers live in one of their own, what it excludes, and whose they share.

use crate::error::{Error, Kind, Result};
use crate::model::{Container, Host, NamespaceMode, NetworkMode};
use dhow_runtime::idmap::IdMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The user namespace of one start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Userns {
    /// Its ids.
    pub(crate) map: IdMap,
    /// Another container's; `None`: a new one.
    pub(crate) join: Option<PathBuf>,
}

impl Userns {
    /// The container's root in the host's numbers.
    pub(crate) fn root(&self) -> Option<(u32, u32)> {
        self.map.host_uid(0).zip(self.map.host_gid(0))
    }
}

/// Refuses what nobody may ask for whose ids are mapped. `remapped`: the engine maps them.
pub(crate) fn check(host: &Host, remapped: bool) -> Result<()> {
    if !remapped || host.userns_host {
        return Ok(());
    }
    let conflicts = [
        (
            host.privileged,
            // Two blanks, as Docker has them.
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
        ),
        (host.network == NetworkMode::Host, "cannot share the host's network namespace when user namespaces are enabled"),
        (host.pid == NamespaceMode::Host, "cannot share the host PID namespace when user namespaces are enabled"),
        (
            !host.runtime.is_empty(),
            "another OCI runtime cannot be used when user namespaces are enabled: run the container with --userns=host",
        ),
    ];
    match conflicts.iter().find(|(asked, _)| *asked) {
        Some((_, words)) => Err(Error::new(Kind::Invalid, *words)),
        None => Ok(()),
    }
}

/// The one in which a container is about to start. Namespaces of `others`, which run, are owned by the user namespace that these live in, so it
/// is shared with them. `map`: the engine's own.
pub(crate) fn of(map: Option<&IdMap>, host: &Host, others: &[Arc<Container>]) -> Result<Option<Userns>> {
    let Some(map) = map.filter(|_| !host.userns_host) else { return Ok(None) };
    check(host, true)?;
    let mut found: Option<(PathBuf, &Container)> = None;
    let own = link(Path::new("/proc/self/ns/user"))?;
    for other in others {
        let theirs = link(&path(other))?;
        if theirs == own {
            let text =
                format!("cannot join namespaces of container {}, which lives in the host's user namespace: use --userns=host", other.id);
            return Err(Error::new(Kind::Invalid, text));
        }
        match &found {
            Some((before, _)) if *before != theirs => {
                let text = format!("cannot join namespaces of container {} and of another in a different user namespace", other.id);
                return Err(Error::new(Kind::Invalid, text));
            }
            _ => found = Some((theirs, other)),
        }
    }
    let Some((_, other)) = found else { return Ok(Some(Userns { map: map.clone(), join: None })) };
    // Its own may be of an earlier configuration.
    let map = IdMap::read(other.state.pid).map_err(|e| Error::internal("read the ids of container", &other.id, e))?;
    Ok(Some(Userns { map, join: Some(path(other)) }))
}

fn path(container: &Container) -> PathBuf {
    PathBuf::from(format!("/proc/{}/ns/user", container.state.pid))
}

fn link(path: &Path) -> Result<PathBuf> {
    std::fs::read_link(path).map_err(|e| Error::internal("read", path.display(), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_in_dockers_words() {
        let words = |change: fn(&mut Host), remapped: bool| {
            let mut host = Host::default();
            change(&mut host);
            check(&host, remapped).err().map(|error| error.message)
        };
        let refused = [
            ((|h| h.privileged = true) as fn(&mut Host), "privileged mode is incompatible with user namespaces.  You must"),
            (|h| h.network = NetworkMode::Host, "cannot share the host's network namespace when"),
            (|h| h.pid = NamespaceMode::Host, "cannot share the host PID namespace when"),
            (|h| h.runtime = "crun".into(), "another OCI runtime cannot be used when"),
        ];
        for (change, expect) in refused {
            assert!(words(change, true).unwrap().starts_with(expect), "{expect}");
            assert_eq!(words(change, false), None);
        }
        assert_eq!(words(|h| (h.privileged, h.userns_host) = (true, true), true), None);
        assert_eq!(words(|_| {}, true), None);
    }
}
