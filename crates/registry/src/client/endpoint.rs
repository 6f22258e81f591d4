//! From a name to the servers that may have it. Pure.

use super::Access;
use crate::error::{Error, Result};
use crate::http::{Settings, Target, Trust};
use dhow_reference::{DEFAULT_DOMAIN, Reference};

/// Where Docker Hub's registry is.
const HUB: &str = "https://registry-1.docker.io";

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    /// With the path that goes before `/v2/`, without a slash at its end.
    pub(super) target: Target,
    pub(super) trust: Trust,
    /// It has copies of another registry.
    pub(super) mirror: bool,
}

impl Base {
    pub(super) fn new(text: &str, trust: Trust, mirror: bool) -> Result<Self> {
        let target = Target::parse(text).ok_or_else(|| Error::Invalid(format!("invalid registry endpoint {text:?}")))?;
        let path = target.path.trim_end_matches('/').to_owned();
        Ok(Self { target: target.with_path(path), trust, mirror })
    }

    /// The registry itself said so, and nobody else can say better.
    pub(super) fn answered(&self, error: &Error) -> bool {
        let silent = error.status().is_none() && self.trust == Trust::Any;
        !(self.mirror || silent || error.is_plain())
    }

    /// `/v2/` and what follows it.
    pub(super) fn at(&self, rest: &str) -> Target {
        self.target.with_path(format!("{}/v2/{rest}", self.target.path))
    }
}

/// The servers to try, in order.
pub(super) fn bases(name: &Reference, settings: &Settings, insecure: bool, access: Access) -> Result<Vec<Base>> {
    if name.domain() == DEFAULT_DOMAIN {
        let mut all = Vec::new();
        for mirror in settings.mirrors.iter().filter(|_| access == Access::Pull) {
            all.push(Base::new(mirror, Trust::Checked, true)?);
        }
        all.extend(of_host(DEFAULT_DOMAIN, false)?);
        return Ok(all);
    }
    of_host(name.domain(), insecure)
}

/// The servers of a host, without its mirrors.
pub(super) fn of_host(host: &str, insecure: bool) -> Result<Vec<Base>> {
    if host == DEFAULT_DOMAIN {
        return Ok(vec![Base::new(HUB, Trust::Checked, false)?]);
    }
    if insecure {
        return Ok(vec![
            Base::new(&format!("https://{host}"), Trust::Any, false)?,
            Base::new(&format!("http://{host}"), Trust::Any, false)?,
        ]);
    }
    Ok(vec![Base::new(&format!("https://{host}"), Trust::Checked, false)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers() {
        let settings = Settings { mirrors: vec!["http://m.example/hub/".into()], ..Settings::default() };
        let check = |name: &str, insecure: bool, access: Access| -> Vec<String> {
            let name = Reference::parse(name).unwrap();
            let show = |base: Base| format!("{} {:?} {}", base.at("x"), base.trust, base.mirror);
            bases(&name, &settings, insecure, access).unwrap().into_iter().map(show).collect()
        };
        assert_eq!(
            check("busybox", false, Access::Pull),
            ["http://m.example/hub/v2/x Checked true", "https://registry-1.docker.io/v2/x Checked false"]
        );
        assert_eq!(check("busybox", false, Access::Push), ["https://registry-1.docker.io/v2/x Checked false"]);
        assert_eq!(check("r.example:5000/a", false, Access::Pull), ["https://r.example:5000/v2/x Checked false"]);
        assert_eq!(
            check("127.0.0.1:5000/a", true, Access::Pull),
            ["https://127.0.0.1:5000/v2/x Any false", "http://127.0.0.1:5000/v2/x Any false"]
        );
    }
}
