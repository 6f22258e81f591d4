//! Links: what is asked for, and how they are shown.

use crate::error::{Failure, Result};
use dhow_api::types::HostConfig;
use dhow_engine::Engine;
use dhow_engine::model::Container;
use dhow_engine::network::Link;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Takes the links out of what is kept as it was asked for: they are shown as they are now. In a network that somebody made its place has
/// them.
pub(crate) fn to_engine(host: &mut HostConfig) -> Result<Vec<Link>> {
    let asked = host.links.take().unwrap_or_default();
    let mode = host.network_mode.as_str();
    if asked.is_empty() || super::network::is_user_defined(mode) {
        return Ok(Vec::new());
    }
    let undefined = |kind: &str| {
        let text = format!("conflicting options: {kind} type networking can't be used with links. This would result in undefined behavior");
        Err(Failure::invalid(text))
    };
    match mode {
        "host" => return undefined("host"),
        _ if mode.starts_with("container:") => {
            let text = "conflicting options: container type network can't be used with links. This would result in undefined behavior";
            return Err(Failure::invalid(text));
        }
        _ => {}
    }
    asked.iter().map(|text| parse(text)).collect()
}

/// `name`, `name:alias`, or `/name:/parent/alias`, as inspect shows it.
fn parse(text: &str) -> Result<Link> {
    let (name, alias) = match text.split_once(':') {
        _ if text.is_empty() => return Err(Failure::invalid("empty string specified for links")),
        None => (text, text),
        Some((_, alias)) if alias.contains(':') => return Err(Failure::invalid(format!("bad format for links: {text}"))),
        Some((name, alias)) => match name.strip_prefix('/') {
            Some(name) => (name, alias.rsplit('/').next().unwrap_or(alias)),
            None => (name, alias),
        },
    };
    Ok(Link { container: name.to_owned(), alias: alias.to_owned() })
}

/// `HostConfig.Links`.
pub(crate) fn shown(container: &Container, engine: &Engine) -> Option<Vec<String>> {
    let links = engine.links(container).into_iter().map(|(alias, other)| format!("/{}:/{}/{alias}", other.name, container.name));
    Some(links.collect::<Vec<_>>()).filter(|links| !links.is_empty())
}

/// The names that containers have by the links of others.
pub(crate) fn names(all: &[Arc<Container>]) -> BTreeMap<String, Vec<String>> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for parent in all {
        for link in &parent.request.network.links {
            names.entry(link.container.clone()).or_default().push(format!("/{}/{}", parent.name, link.alias));
        }
    }
    names.values_mut().for_each(|names| names.sort());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let check = |text: &str, expect: &str| {
            let got = parse(text).map_or_else(|failure| failure.0.message, |link| format!("{} as {}", link.container, link.alias));
            assert_eq!(got, expect);
        };
        check("db", "db as db");
        check("db:x", "db as x");
        check("/db:/web/x", "db as x");
        check(":", " as ");
        check("", "empty string specified for links");
        check("a:b:c", "bad format for links: a:b:c");
    }
}
