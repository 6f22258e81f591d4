//! Requests for devices by name or capability, answered by CDI.

use super::DeviceRequest;
use crate::cdi::{Edits, Registry};
use crate::error::{Error, Kind, Result};
use std::path::PathBuf;

/// What graphics cards can do, as clients ask for it.
const GRAPHICS: [&str; 8] = ["gpu", "nvidia", "compute", "compat32", "graphics", "utility", "video", "display"];

/// Kinds of CDI devices that are graphics cards, and their drivers' names, in the order in which they are tried.
const CARDS: [(&str, &str); 2] = [("nvidia", "nvidia.com/gpu"), ("amd", "amd.com/gpu")];

/// More devices than this nobody counts.
const MOST: i64 = 1024;

fn bad(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, message)
}

/// Looks them up in the directories, which are read only where something is asked for.
pub(super) fn look_up(requests: &[DeviceRequest], dirs: &[PathBuf]) -> Result<Option<Edits>> {
    if requests.is_empty() {
        return Ok(None);
    }
    let registry = Registry::read(dirs);
    let mut names = Vec::new();
    for request in requests {
        names.extend(resolve(request, &registry, !dirs.is_empty())?);
    }
    match registry.edits(&names) {
        Ok(edits) => Ok(Some(edits)),
        Err(message) => {
            for (path, why) in &registry.errors {
                tracing::warn!(path = %path.display(), "{why}");
            }
            Err(super::failed(message))
        }
    }
}

/// The CDI names that a request means. `on`: there are directories to look in.
fn resolve(request: &DeviceRequest, registry: &Registry, on: bool) -> Result<Vec<String>> {
    if request.driver == "cdi" && on {
        if request.count != 0 {
            return Err(bad("unexpected count in CDI device request"));
        }
        if !request.options.is_empty() {
            return Err(bad("unexpected options in CDI device request"));
        }
        return Ok(request.ids.clone());
    }
    let able = request.capabilities.iter().any(|set| set.iter().all(|one| GRAPHICS.contains(&one.as_str())));
    let fits = |driver: &str, kind: &str| {
        let named = if request.driver.is_empty() { able } else { request.driver == driver };
        named && registry.has_kind(kind)
    };
    let Some((_, kind)) = CARDS.iter().find(|(driver, kind)| fits(driver, kind)) else {
        return Err(unknown(request));
    };
    let full = |id: &str| if id.contains('=') { id.to_owned() } else { format!("{kind}={id}") };
    match (request.count, request.ids.as_slice()) {
        (0, ids) => Ok(ids.iter().map(|id| full(id)).collect()),
        (_, [_, ..]) => Err(bad("cannot set both Count and DeviceIDs on device request")),
        (..=-1, _) => Ok(vec![full("all")]),
        (MOST.., _) => Err(bad(format!("more than {MOST} devices"))),
        (count, _) => Ok((0..count).map(|n| full(&n.to_string())).collect()),
    }
}

fn unknown(request: &DeviceRequest) -> Error {
    let sets: Vec<String> = request.capabilities.iter().map(|set| format!("[{}]", set.join(" "))).collect();
    bad(format!("could not select device driver {:?} with capabilities: [{}]", request.driver, sets.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(kind: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let device = |name: &str| format!(r#"{{"name":"{name}","containerEdits":{{"env":["CARD_{name}=1"]}}}}"#);
        let devices = [device("all"), device("0"), device("1")].join(",");
        let text = format!(r#"{{"cdiVersion":"0.5.0","kind":"{kind}","devices":[{devices}]}}"#);
        std::fs::write(dir.path().join("x.json"), text).unwrap();
        dir
    }

    fn gpus(count: i64, ids: &[&str]) -> DeviceRequest {
        DeviceRequest {
            count,
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            capabilities: vec![vec!["gpu".into()]],
            ..DeviceRequest::default()
        }
    }

    fn check(kind: &str, request: DeviceRequest, expect: std::result::Result<&[&str], &str>) {
        let dir = dir(kind);
        let got = look_up(&[request], &[dir.path().to_owned()]).map(|edits| edits.unwrap().env).map_err(|error| error.message);
        let expect = expect.map(|env| env.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>()).map_err(str::to_owned);
        assert_eq!(got, expect);
    }

    #[test]
    fn graphics_cards_come_from_cdi() {
        check("nvidia.com/gpu", gpus(-1, &[]), Ok(&["CARD_all=1"]));
        check("amd.com/gpu", gpus(2, &[]), Ok(&["CARD_0=1", "CARD_1=1"]));
        check("nvidia.com/gpu", gpus(0, &["1", "nvidia.com/gpu=0"]), Ok(&["CARD_1=1", "CARD_0=1"]));
        check("nvidia.com/gpu", DeviceRequest { driver: "nvidia".into(), ..gpus(1, &[]) }, Ok(&["CARD_0=1"]));
        check("nvidia.com/gpu", gpus(3, &[]), Err("CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=2"));
        check("nvidia.com/gpu", gpus(1, &["0"]), Err("cannot set both Count and DeviceIDs on device request"));
    }

    #[test]
    fn nobody_can_do_it() {
        check("other.com/x", gpus(-1, &[]), Err("could not select device driver \"\" with capabilities: [[gpu]]"));
        let request =
            DeviceRequest { driver: "mine".into(), capabilities: vec![vec!["a".into(), "b".into()], vec!["c".into()]], ..gpus(0, &[]) };
        check("nvidia.com/gpu", request, Err("could not select device driver \"mine\" with capabilities: [[a b] [c]]"));
        let tpu = DeviceRequest { capabilities: vec![vec!["tpu".into()]], ..gpus(-1, &[]) };
        check("nvidia.com/gpu", tpu, Err("could not select device driver \"\" with capabilities: [[tpu]]"));
        let off = look_up(&[DeviceRequest { driver: "cdi".into(), ..DeviceRequest::default() }], &[]).unwrap_err();
        assert_eq!(off.message, "could not select device driver \"cdi\" with capabilities: []");
    }

    #[test]
    fn devices_by_name() {
        let cdi = |request: DeviceRequest| DeviceRequest { driver: "cdi".into(), capabilities: vec![], ..request };
        check("v.com/c", cdi(gpus(0, &["v.com/c=0"])), Ok(&["CARD_0=1"]));
        check("v.com/c", cdi(gpus(0, &["v.com/c=9"])), Err("CDI device injection failed: unresolvable CDI devices v.com/c=9"));
        check("v.com/c", cdi(gpus(1, &[])), Err("unexpected count in CDI device request"));
        assert_eq!(look_up(&[], &[]).unwrap(), None);
    }
}
