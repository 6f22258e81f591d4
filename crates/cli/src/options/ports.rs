//! `-p` and `--expose`: ports and ranges of ports.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dhow_api::types::{Nothing, PortBinding};

use super::values::csv_record;

/// Published ports by `80/tcp`.
pub(super) type Bindings = BTreeMap<String, Option<Vec<PortBinding>>>;
/// Exposed ports.
pub(super) type Exposed = BTreeMap<String, Nothing>;

/// What `-p` and `--expose` ask for.
pub(super) fn parse(publish: &[String], expose: &[String]) -> Result<(Exposed, Bindings), String> {
    let mut exposed = Exposed::new();
    let mut bindings = Bindings::new();
    for text in publish {
        let spec = if text.contains('=') { long_form(text)? } else { text.clone() };
        for (port, binding) in publish_one(&spec)? {
            exposed.insert(port.clone(), Nothing {});
            let entry = bindings.entry(port).or_default().get_or_insert_with(Vec::new);
            if !entry.contains(&binding) {
                entry.push(binding);
            }
        }
    }
    for text in expose {
        for port in expose_one(text)? {
            exposed.insert(port, Nothing {});
        }
    }
    Ok((exposed, bindings))
}

/// `target=80,published=8080,protocol=tcp` as the short form.
fn long_form(text: &str) -> Result<String, String> {
    let (mut target, mut published, mut protocol) = (String::new(), String::new(), "tcp".to_owned());
    for field in csv_record(text)? {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("invalid field: {field}"))?;
        match key {
            "target" => target = value.to_owned(),
            "published" => published = value.to_owned(),
            "protocol" => protocol = value.to_owned(),
            "mode" => {}
            _ => return Err(format!("invalid field key {key}")),
        }
    }
    if target.is_empty() {
        return Err("missing mandatory field \"target\"".to_owned());
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

fn publish_one(spec: &str) -> Result<Vec<(String, PortBinding)>, String> {
    let (address, host, container) = split_spec(spec);
    let (container, protocol) = split_protocol(container);
    if !address.is_empty() && address.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {address}"));
    }
    if container.is_empty() {
        return Err(format!("no port specified: {spec}<empty>"));
    }
    let (first, last) = range(container).ok_or_else(|| format!("invalid containerPort: {container}"))?;
    let hosts = if host.is_empty() { None } else { Some(range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?) };
    let protocol = known_protocol(protocol)?;
    if let Some((host_first, host_last)) = hosts
        && host_last - host_first != last - first
        && first != last
    {
        return Err(format!("invalid ranges specified for container and host Ports: {container} and {host}"));
    }
    let ports = (first..=last).enumerate().map(|(at, port)| {
        let host_port = match hosts {
            None => String::new(),
            // One container port takes the first free one of a range.
            Some((host_first, host_last)) if first == last && host_first != host_last => {
                format!("{host_first}-{host_last}")
            }
            Some((host_first, _)) => (usize::from(host_first) + at).to_string(),
        };
        (format!("{port}/{protocol}"), PortBinding { host_ip: address.to_owned(), host_port })
    });
    Ok(ports.collect())
}

/// `[ip:][host:]container`; an IPv6 address stands in brackets.
fn split_spec(spec: &str) -> (&str, &str, &str) {
    let Some((before, container)) = spec.rsplit_once(':') else { return ("", "", spec) };
    match before.rsplit_once(':') {
        _ if before.ends_with(']') => (unbracket(before), "", container),
        None => ("", before, container),
        Some((address, host)) => (unbracket(address), host, container),
    }
}

fn unbracket(address: &str) -> &str {
    address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address)
}

fn split_protocol(port: &str) -> (&str, &str) {
    match port.split_once('/') {
        Some((port, protocol)) => (port, protocol),
        None => (port, ""),
    }
}

fn known_protocol(text: &str) -> Result<String, String> {
    match text.to_ascii_lowercase().as_str() {
        "" => Ok("tcp".to_owned()),
        known @ ("tcp" | "udp" | "sctp") => Ok(known.to_owned()),
        _ => Err(format!("invalid proto: {text}")),
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

fn expose_one(text: &str) -> Result<Vec<String>, String> {
    if text.contains(':') {
        return Err(format!("invalid port format for --expose: {text}"));
    }
    let (port, protocol) = split_protocol(text);
    let number = |text: &str| text.parse::<u16>().is_err();
    let Some((first, last)) = range(port) else {
        let wrong = port.split('-').find(|part| number(part)).unwrap_or(port);
        return Err(format!(
            "invalid range format for --expose: {text}, error: strconv.ParseUint: parsing {}: {}",
            crate::flags::quote(wrong),
            crate::flags::number_problem(wrong)
        ));
    };
    let protocol = if protocol.is_empty() { "tcp" } else { protocol };
    Ok((first..=last).map(|port| format!("{port}/{}", protocol.to_ascii_lowercase())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: &str, expect: &str) {
        let got = match parse(&[spec.to_owned()], &[]) {
            Ok((_, bindings)) => {
                let lines = bindings
                    .iter()
                    .flat_map(|(port, list)| list.iter().flatten().map(move |to| format!("{port}={}:{}", to.host_ip, to.host_port)));
                lines.collect::<Vec<_>>().join(" ")
            }
            Err(error) => error,
        };
        assert_eq!(got, expect, "{spec}");
    }

    #[test]
    fn published() {
        check("80", "80/tcp=:");
        check("8080:80/udp", "80/udp=:8080");
        check("127.0.0.1:8080:80", "80/tcp=127.0.0.1:8080");
        check("127.0.0.1::80", "80/tcp=127.0.0.1:");
        check("[::1]:8080:80", "80/tcp=::1:8080");
        check("8000-8002:80-82", "80/tcp=:8000 81/tcp=:8001 82/tcp=:8002");
        check("8000-8010:80", "80/tcp=:8000-8010");
        check("target=80,published=8080,protocol=udp", "80/udp=:8080");
    }

    #[test]
    fn refused() {
        check("x", "invalid containerPort: x");
        check("x:80", "invalid hostPort: x");
        check("80/foo", "invalid proto: foo");
        check("300.1.1.1:80:80", "invalid IP address: 300.1.1.1");
        check("80:", "no port specified: 80:<empty>");
        check("1-3:80-81", "invalid ranges specified for container and host Ports: 80-81 and 1-3");
        check("80-79", "invalid containerPort: 80-79");
        check("99999", "invalid containerPort: 99999");
    }

    #[test]
    fn exposed() {
        assert_eq!(expose_one("80-81/UDP").unwrap(), ["80/udp", "81/udp"]);
        assert_eq!(
            expose_one("a/b/c").unwrap_err(),
            "invalid range format for --expose: a/b/c, error: strconv.ParseUint: parsing \"a\": invalid syntax"
        );
    }
}
