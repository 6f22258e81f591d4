//! `--network` and the flags that belong to the first network.

use std::collections::BTreeMap;

use dhow_api::types::network::EndpointIpam;
use dhow_api::types::{EndpointSettings, NetworkingConfig};

use super::values::{csv_record, some_if_any};
use crate::flags::Parsed;

/// One network to join.
#[derive(Debug, Default, Clone, PartialEq)]
struct Attachment {
    target: String,
    aliases: Vec<String>,
    links: Vec<String>,
    ipv4: String,
    ipv6: String,
    link_local: Vec<String>,
    mac: String,
    driver_opts: Vec<String>,
    priority: i64,
}

/// Checks a `--network` when the flag is read.
pub(super) fn check(text: &str) -> Result<(), String> {
    attachment(text).map(|_| ())
}

/// The network mode, and the places in networks.
pub(super) fn networking(parsed: &Parsed) -> Result<(String, NetworkingConfig), String> {
    let mut networks = parsed.all("network");
    networks.extend(parsed.all("net"));
    let only_one = networks.len() == 1;
    let given = !networks.is_empty();
    if !given {
        networks.push("default".to_owned());
    }
    let mut endpoints = BTreeMap::new();
    let mut mode = String::new();
    let (mut user_defined, mut predefined) = (false, false);
    for (at, text) in networks.iter().enumerate() {
        let mut network = attachment(text)?;
        if is_user_defined(&network.target) {
            user_defined = true
        } else {
            predefined = true
        }
        if at == 0 {
            apply_flags(&mut network, parsed)?;
            mode.clone_from(&network.target);
        }
        let target = network.target.clone();
        let settings = settings(network)?;
        if endpoints.contains_key(&target) {
            return Err(format!("network {} is specified multiple times", crate::flags::quote(&target)));
        }
        // A single network without options of its own needs no endpoint: the engine makes it.
        if at == 0 && only_one && settings == EndpointSettings::default() {
            continue;
        }
        endpoints.insert(target, Some(settings));
    }
    if user_defined && predefined {
        return Err("conflicting options: cannot attach both user-defined and non-user-defined network-modes".to_owned());
    }
    Ok((mode, NetworkingConfig { endpoints_config: Some(endpoints) }))
}

/// A network that somebody created, as opposed to a mode.
fn is_user_defined(mode: &str) -> bool {
    !matches!(mode, "default" | "bridge" | "host" | "none") && !mode.starts_with("container:")
}

fn attachment(text: &str) -> Result<Attachment, String> {
    let mut network = Attachment::default();
    // Without a key it is a name alone.
    if !text.contains('=') {
        network.target = text.to_owned();
        return Ok(network);
    }
    for field in csv_record(text)? {
        let Some((key, value)) = field.split_once('=') else { return Err(format!("invalid field {field}")) };
        let (key, value) = (key.trim().to_lowercase(), value.trim());
        match key.as_str() {
            "name" => network.target = value.to_owned(),
            "alias" => network.aliases.push(value.to_owned()),
            "ip" => network.ipv4 = value.to_owned(),
            "ip6" => network.ipv6 = value.to_owned(),
            "mac-address" => network.mac = mac_address(value)?,
            "link-local-ip" => network.link_local.push(value.to_owned()),
            "driver-opt" => network.driver_opts.push(value.to_owned()),
            // Short for the options of that name.
            "bandwidth-in" | "bandwidth-out" => network.driver_opts.push(format!("{key}={value}")),
            "gw-priority" => {
                network.priority = value.parse().map_err(|_| {
                    let problem = crate::flags::number_problem(value);
                    let value = crate::flags::quote(value);
                    format!("invalid gw-priority ({}): {problem}", value.trim_matches('"'))
                })?;
            }
            _ => return Err(format!("invalid field key {key}")),
        }
    }
    if network.target.is_empty() {
        return Err("network name/id is not specified".to_owned());
    }
    Ok(network)
}

fn apply_flags(network: &mut Attachment, parsed: &Parsed) -> Result<(), String> {
    let mut aliases = parsed.all("network-alias");
    aliases.extend(parsed.all("net-alias"));
    let conflict = |what: &str| Err(format!("conflicting options: cannot specify both {what}"));
    if !aliases.is_empty() {
        if !network.aliases.is_empty() {
            return conflict("--network-alias and per-network alias");
        }
        network.aliases = aliases;
    }
    let links = parsed.all("link");
    if !links.is_empty() && is_user_defined(&network.target) {
        network.links = links;
    }
    for (flag, slot, what) in
        [("ip", &mut network.ipv4, "--ip and per-network IPv4 address"), ("ip6", &mut network.ipv6, "--ip6 and per-network IPv6 address")]
    {
        if let Some(value) = parsed.value(flag).filter(|value| !value.is_empty()) {
            if !slot.is_empty() {
                return conflict(what);
            }
            value.clone_into(slot);
        }
    }
    if let Some(mac) = parsed.value("mac-address").filter(|value| !value.is_empty()) {
        let mac = mac_address(mac)?;
        if !network.mac.is_empty() {
            return conflict("--mac-address and per-network MAC address");
        }
        network.mac = mac;
    }
    let link_local = parsed.all("link-local-ip");
    if !link_local.is_empty() {
        if !network.link_local.is_empty() {
            return conflict("--link-local-ip and per-network link-local IP addresses");
        }
        network.link_local = link_local;
    }
    Ok(())
}

fn settings(network: Attachment) -> Result<EndpointSettings, String> {
    if !is_user_defined(&network.target) && !network.aliases.is_empty() {
        return Err("network-scoped aliases are only supported for user-defined networks".to_owned());
    }
    let mut settings = EndpointSettings {
        aliases: some_if_any(network.aliases),
        links: some_if_any(network.links),
        mac_address: network.mac,
        gw_priority: network.priority,
        ..EndpointSettings::default()
    };
    if !network.driver_opts.is_empty() {
        settings.driver_opts = Some(super::values::pairs(&network.driver_opts));
    }
    if !network.ipv4.is_empty() || !network.ipv6.is_empty() || !network.link_local.is_empty() {
        settings.ipam_config =
            Some(EndpointIpam { ipv4_address: network.ipv4, ipv6_address: network.ipv6, link_local_ips: network.link_local });
    }
    Ok(settings)
}

fn mac_address(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.trim().split([':', '-']).collect();
    let byte = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if parts.len() == 6 && parts.iter().all(byte) { Ok(text.trim().to_owned()) } else { Err(format!("{text} is not a valid mac address")) }
}

/// `host:ip` or `host=ip`, as `host:ip`.
pub(super) fn extra_host(text: &str) -> Result<String, String> {
    let split = text.split_once('=').or_else(|| text.split_once(':')).filter(|(host, _)| !host.is_empty());
    let (host, address) = split.ok_or_else(|| format!("bad format for add-host: {}", crate::flags::quote(text)))?;
    if address == "host-gateway" {
        return Ok(format!("{host}:{address}"));
    }
    let bare = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address);
    match bare.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(format!("{host}:{bare}")),
        Err(_) => Err(format!("invalid IP address in add-host: {}", crate::flags::quote(address))),
    }
}

pub(super) fn check_extra_host(text: &str) -> Result<(), String> {
    extra_host(text).map(|_| ())
}

/// `name` or `name:alias`, with any slashes that inspect shows.
pub(super) fn check_link(text: &str) -> Result<(), String> {
    match text {
        "" => Err("empty string specified for links".to_owned()),
        text if text.split(':').count() > 2 => Err(format!("bad format for links: {text}")),
        _ => Ok(()),
    }
}

pub(super) fn check_dns(text: &str) -> Result<(), String> {
    match text.trim().parse::<std::net::IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("IP address is not correctly formatted: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let network = attachment("name=foo,alias=x,ip=1.2.3.4,driver-opt=a=b,gw-priority=3").unwrap();
        assert_eq!((network.target.as_str(), network.priority, network.ipv4.as_str()), ("foo", 3, "1.2.3.4"));
        assert_eq!(attachment("x=y").unwrap_err(), "invalid field key x");
        assert_eq!(attachment("alias=y").unwrap_err(), "network name/id is not specified");
        assert_eq!(attachment("container:x").unwrap().target, "container:x");
    }

    #[test]
    fn hosts() {
        assert_eq!(extra_host("a=[::1]").unwrap(), "a:::1");
        assert_eq!(extra_host("a:1.2.3.4").unwrap(), "a:1.2.3.4");
        assert_eq!(extra_host("x").unwrap_err(), "bad format for add-host: \"x\"");
        assert_eq!(extra_host("a:b").unwrap_err(), "invalid IP address in add-host: \"b\"");
        assert_eq!(mac_address("foo").unwrap_err(), "foo is not a valid mac address");
    }
}
