//! Links on the default network: another container by a name of one's own, in the hosts file and in the environment.
//!
//! A link is kept by the container that asked for it, as the other one's id. What it leads to is looked up each time: the other one may have
//! another name, another address, or be gone.

use crate::error::{Error, Kind, Result};
use crate::model::network::{Link, Membership, Place};
use crate::model::{Container, NetworkMode, Request};
use crate::network::DEFAULT;
use crate::registry::Registry;
use dhow_network::linked::Linked;
use dhow_network::ports::Protocol;
use std::net::IpAddr;
use std::sync::Arc;

/// Finds the containers that a request links to, and keeps their ids. Of two links with one name the first counts.
pub(crate) fn resolve(registry: &Registry, request: &mut Request) -> Result<()> {
    let mut found: Vec<Link> = Vec::new();
    for Link { container: name, alias } in std::mem::take(&mut request.network.links) {
        let get = |text: &str| {
            let slot = registry.get(text);
            slot.map(|slot| slot.get()).map_err(|e| Error::new(Kind::Invalid, format!("could not get container for {name}: {}", e.message)))
        };
        let mut other = get(&name)?;
        // A container without a network of its own stands for the one whose network it shares. A circle cannot be made.
        while let NetworkMode::Container(id) = &other.request.host.network {
            other = get(id)?;
        }
        if other.request.host.network == NetworkMode::Host {
            return Err(Error::new(Kind::Invalid, HOST));
        }
        if !found.iter().any(|link| link.alias == alias) {
            found.push(Link { container: other.id.clone(), alias });
        }
    }
    request.network.links = found;
    Ok(())
}

/// Docker's words where the host's network is at either end.
const HOST: &str = "conflicting options: host type networking can't be used with links. This would result in undefined behavior";

fn bridged(container: &Container) -> Option<&Membership> {
    container.networks.get(DEFAULT)
}

fn place(container: &Container) -> Option<&Place> {
    bridged(container)?.place.as_ref()
}

/// What its links lead to, in their order. A link to a container that is gone leads nowhere.
pub(crate) fn targets(registry: &Registry, container: &Container) -> Vec<(String, Arc<Container>)> {
    let links = container.request.network.links.iter();
    links.filter_map(|link| Some((link.alias.clone(), registry.get(&link.container).ok()?.get()))).collect()
}

/// Fails where a link of a container that is about to start leads to none of the default network.
pub(crate) fn check(registry: &Registry, container: &Container) -> Result<()> {
    if container.request.network.links.is_empty() || bridged(container).is_none() {
        return Ok(());
    }
    match targets(registry, container).iter().find(|(_, other)| bridged(other).is_none()) {
        Some((_, other)) => {
            let text = format!("Cannot link to /{}, as it does not belong to the default network", other.name);
            Err(Error::new(Kind::Internal, text))
        }
        None => Ok(()),
    }
}

/// The variables that its links give a container. Where all must be there (it is about to start), one to a container that does not run is an
/// error; otherwise it gives none.
pub(crate) fn environment(registry: &Registry, container: &Container, all: bool) -> Result<Vec<String>> {
    let mut env = Vec::new();
    if container.request.network.links.is_empty() || bridged(container).is_none() {
        return Ok(env);
    }
    for (alias, other) in targets(registry, container) {
        let full = format!("/{}/{alias}", container.name);
        if other.state.pid != 0 {
            // Without a default network there is no address, but all the rest.
            let at = place(&other).and_then(|place| place.ipv4.or(place.ipv6)).map(|(address, _)| address.to_string());
            env.extend(variables(&full, &at.unwrap_or_default(), &other.request.env, &other.request.network.exposed));
        } else if all {
            let text = format!("Cannot link to a non running container: /{} AS {full}", other.name);
            return Err(Error::new(Kind::Internal, text));
        }
    }
    Ok(env)
}

/// The lines of its hosts file: address, and the names for it.
pub(crate) fn lines(registry: &Registry, container: &Container) -> Vec<(String, String)> {
    if container.request.network.links.is_empty() || bridged(container).is_none() {
        return Vec::new();
    }
    let mut lines = Vec::new();
    for (alias, other) in targets(registry, container) {
        let mut names = format!("{alias} {}", other.request.hostname);
        if alias != other.name {
            names = format!("{names} {}", other.name);
        }
        let addresses = place(&other).into_iter().flat_map(Place::addresses);
        lines.extend(addresses.map(|address| (address.to_string(), names.clone())));
    }
    lines
}

/// The ports that links open in the default network: those that the containers they lead to expose. `own`: one as it is about to be.
pub(crate) fn opened(registry: &Registry, own: Option<&Container>) -> Vec<Linked> {
    let mut opened = Vec::new();
    let ipv4 = |container: &Container| match place(container)?.ipv4?.0 {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    };
    let newest = |container: &Arc<Container>| own.filter(|own| own.id == container.id).cloned().map_or_else(|| container.clone(), Arc::new);
    for container in registry.all().iter().map(|slot| newest(&slot.get())) {
        let Some(from) = ipv4(&container) else { continue };
        for (_, other) in targets(registry, &container) {
            let other = newest(&other);
            let Some(to) = ipv4(&other) else { continue };
            opened.extend(other.request.network.exposed.iter().map(|(protocol, port)| Linked {
                from,
                to,
                protocol: *protocol,
                port: *port,
            }));
        }
    }
    opened.sort();
    opened.dedup();
    opened
}

/// What a program in the linking container is told of the other one, in Docker's variables.
fn variables(full: &str, address: &str, env: &[String], exposed: &[(Protocol, u16)]) -> Vec<String> {
    let name = full.rsplit('/').next().unwrap_or(full).to_uppercase().replace('-', "_");
    let mut ports = exposed.to_vec();
    // tcp before all others.
    ports.sort_by_key(|(protocol, port)| (*protocol != Protocol::Tcp, protocol.as_str(), *port));
    ports.dedup();
    let mut all = Vec::new();
    let url = |(protocol, port): (Protocol, u16)| format!("{protocol}://{address}:{port}");
    let prefix = |(protocol, port): (Protocol, u16)| format!("{name}_PORT_{port}_{}", protocol.as_str().to_uppercase());
    all.extend(ports.first().map(|first| format!("{name}_PORT={}", url(*first))));
    for run in ports.chunk_by(|a, b| a.0 == b.0 && a.1.checked_add(1) == Some(b.1)) {
        for port in run {
            let prefix = prefix(*port);
            all.push(format!("{prefix}={}", url(*port)));
            all.push(format!("{prefix}_ADDR={address}"));
            all.push(format!("{prefix}_PORT={}", port.1));
            all.push(format!("{prefix}_PROTO={}", port.0));
        }
        if let [first, .., last] = run {
            let prefix = prefix(*first);
            all.push(format!("{prefix}_START={}", url(*first)));
            all.push(format!("{prefix}_PORT_START={}", first.1));
            all.push(format!("{prefix}_END={}", url(*last)));
            all.push(format!("{prefix}_PORT_END={}", last.1));
        }
    }
    all.push(format!("{name}_NAME={full}"));
    let own = env.iter().filter_map(|entry| entry.split_once('=')).filter(|(key, _)| !matches!(*key, "HOME" | "PATH"));
    all.extend(own.map(|(key, value)| format!("{name}_ENV_{key}={value}")));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_is_told() {
        let check = |ports: &[(Protocol, u16)], expect: &str| {
            let env = ["A=1=2", "HOME=/x", "PATH=/y", "bare"].map(str::to_owned);
            let got = variables("/web/d-b", "10.0.0.2", &env, ports);
            let expect: Vec<&str> = expect.split_whitespace().chain(["D_B_NAME=/web/d-b", "D_B_ENV_A=1=2"]).collect();
            assert_eq!(got, expect);
        };
        check(&[], "");
        check(
            &[(Protocol::Udp, 53), (Protocol::Tcp, 80)],
            "D_B_PORT=tcp://10.0.0.2:80
             D_B_PORT_80_TCP=tcp://10.0.0.2:80 D_B_PORT_80_TCP_ADDR=10.0.0.2 D_B_PORT_80_TCP_PORT=80 D_B_PORT_80_TCP_PROTO=tcp
             D_B_PORT_53_UDP=udp://10.0.0.2:53 D_B_PORT_53_UDP_ADDR=10.0.0.2 D_B_PORT_53_UDP_PORT=53 D_B_PORT_53_UDP_PROTO=udp",
        );
        check(
            &[(Protocol::Tcp, 81), (Protocol::Tcp, 80), (Protocol::Udp, 82)],
            "D_B_PORT=tcp://10.0.0.2:80
             D_B_PORT_80_TCP=tcp://10.0.0.2:80 D_B_PORT_80_TCP_ADDR=10.0.0.2 D_B_PORT_80_TCP_PORT=80 D_B_PORT_80_TCP_PROTO=tcp
             D_B_PORT_81_TCP=tcp://10.0.0.2:81 D_B_PORT_81_TCP_ADDR=10.0.0.2 D_B_PORT_81_TCP_PORT=81 D_B_PORT_81_TCP_PROTO=tcp
             D_B_PORT_80_TCP_START=tcp://10.0.0.2:80 D_B_PORT_80_TCP_PORT_START=80
             D_B_PORT_80_TCP_END=tcp://10.0.0.2:81 D_B_PORT_80_TCP_PORT_END=81
             D_B_PORT_82_UDP=udp://10.0.0.2:82 D_B_PORT_82_UDP_ADDR=10.0.0.2 D_B_PORT_82_UDP_PORT=82 D_B_PORT_82_UDP_PROTO=udp",
        );
    }
}
