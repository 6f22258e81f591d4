//! Ports: what is to be published, and what is.

use crate::error::{Failure, Result};
use dhow_api::types::list::Port;
use dhow_api::types::{Config, HostConfig, PortBinding};
use dhow_engine::model::{Container, NetworkMode};
use dhow_engine::network::{Protocol, Wanted};
use std::collections::BTreeMap;

/// `80/tcp`, `80`.
fn parse(text: &str) -> Result<(u16, Protocol)> {
    let wrong = || Failure::invalid(format!("invalid port specification: \"{text}\""));
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    Ok((port.parse().map_err(|_| wrong())?, Protocol::parse(&protocol.to_lowercase()).ok_or_else(wrong)?))
}

/// What a container asks to be published, by port.
pub(crate) fn wanted(config: &Config, host: &HostConfig) -> Result<Vec<Wanted>> {
    let mut all = Vec::new();
    for (text, bindings) in host.port_bindings.iter().flatten() {
        let (port, protocol) = parse(text)?;
        let any = [PortBinding::default()];
        let bindings = bindings.as_deref().unwrap_or_default();
        for binding in if bindings.is_empty() { &any } else { bindings } {
            all.push(Wanted { protocol, port, host: address(binding)?, range: range(binding)? });
        }
    }
    if host.publish_all_ports {
        for text in config.exposed_ports.keys() {
            let (port, protocol) = parse(text)?;
            if !all.iter().any(|wanted| (wanted.port, wanted.protocol) == (port, protocol)) {
                all.push(Wanted { protocol, port, host: None, range: None });
            }
        }
    }
    // Those that name their port first, so that no random one takes it.
    all.sort_by_key(|wanted| (wanted.range.is_none(), wanted.port, wanted.protocol));
    Ok(all)
}

/// The ports that a container says it listens at. What is no port is passed over, as Docker does.
pub(crate) fn exposed(config: &Config) -> Vec<(Protocol, u16)> {
    config.exposed_ports.keys().filter_map(|text| parse(text).ok()).map(|(port, protocol)| (protocol, port)).collect()
}

/// `0.0.0.0` is that alone; no address is every one.
fn address(binding: &PortBinding) -> Result<Option<std::net::IpAddr>> {
    match binding.host_ip.as_str() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| Failure::invalid(format!("invalid IP address: {text}"))),
    }
}

fn range(binding: &PortBinding) -> Result<Option<(u16, u16)>> {
    let text = binding.host_port.as_str();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        _ if text.is_empty() || text == "0" => Ok(None),
        (Ok(first), Ok(last)) if first <= last => Ok(Some((first, last))),
        _ => Err(Failure::invalid(format!("invalid port specification: \"{text}\""))),
    }
}

/// `NetworkSettings.Ports`: each exposed port, with where it is published.
pub(crate) fn shown(container: &Container, config: &Config) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    let mut all: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
    if container.state.pid == 0 || container.request.host.network != NetworkMode::Networks {
        return all;
    }
    for port in config.exposed_ports.keys() {
        let port = if port.contains('/') { port.clone() } else { format!("{port}/tcp") };
        all.insert(port, None);
    }
    for mapping in &container.published {
        // One that is reached by the container's own address has no number on the host.
        let number = Some(mapping.host_port).filter(|number| *number != 0).map(|number| number.to_string());
        let binding = PortBinding { host_ip: mapping.host.to_string(), host_port: number.unwrap_or_default() };
        let entry = all.entry(format!("{}/{}", mapping.target_port, mapping.protocol)).or_default();
        entry.get_or_insert_default().push(binding);
    }
    all
}

/// The same for a list.
pub(crate) fn listed(container: &Container, config: &Config) -> Vec<Port> {
    let mut all = Vec::new();
    for (text, bindings) in shown(container, config) {
        let Ok((private_port, protocol)) = parse(&text) else { continue };
        let kind = protocol.as_str().to_owned();
        match bindings {
            None => all.push(Port { private_port, kind, ..Port::default() }),
            Some(bindings) => all.extend(bindings.into_iter().map(|binding| Port {
                ip: binding.host_ip,
                private_port,
                public_port: binding.host_port.parse().unwrap_or(0),
                kind: kind.clone(),
            })),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expect: &str) {
        let host: HostConfig = serde_json::from_str(json).unwrap();
        let config: Config = serde_json::from_str(r#"{"ExposedPorts":{"80/tcp":{},"53/udp":{}}}"#).unwrap();
        let got = match wanted(&config, &host) {
            Ok(all) => all.iter().map(|w| format!("{}/{} {:?} {:?};", w.port, w.protocol, w.host, w.range)).collect(),
            Err(failure) => failure.0.message,
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn what_is_asked_for() {
        check(r#"{"PublishAllPorts":true}"#, "53/udp None None;80/tcp None None;");
        check(
            r#"{"PublishAllPorts":true,"PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080-8090"},{"HostPort":"80"}]}}"#,
            "80/tcp Some(127.0.0.1) Some((8080, 8090));80/tcp None Some((80, 80));53/udp None None;",
        );
        check(r#"{"PortBindings":{"80":null}}"#, "80/tcp None None;");
        check(r#"{"PortBindings":{"x":[]}}"#, "invalid port specification: \"x\"");
        check(r#"{"PortBindings":{"80/tcp":[{"HostPort":"99999"}]}}"#, "invalid port specification: \"99999\"");
        check(r#"{"PortBindings":{"80/tcp":[{"HostIp":"y"}]}}"#, "invalid IP address: y");
    }
}
