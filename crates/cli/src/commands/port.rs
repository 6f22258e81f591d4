//! `port`.

use dhow_api::client::Request;
use serde_json::{Map, Value};

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::Parsed;
use crate::output::say;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container port", "port"],
    usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
    short: "Show where the ports of a container are published",
    flags: &[],
    arity: Arity::Between(1, 2),
    stop_early: false,
    run,
};

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let name = shared::named(&parsed.args[0])?;
    let container: Value =
        app.block_on(async { Ok::<_, Error>(app.client().await?.json(Request::get(shared::container(name, "/json"))).await?) })?;
    let ports = container.pointer("/NetworkSettings/Ports").and_then(Value::as_object).cloned().unwrap_or_default();
    let text = match parsed.args.get(1).filter(|port| !port.is_empty()) {
        None => all(&ports),
        Some(port) => one(&ports, port, name)?,
    };
    say(&text)
}

/// Every published port, in order of number and protocol.
fn all(ports: &Map<String, Value>) -> String {
    let mut found: Vec<(u16, &str, String)> = Vec::new();
    for (port, bindings) in ports {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let places = addresses(bindings).into_iter().map(|place| (number.parse().unwrap_or(0), protocol, format!("{port} -> {place}\n")));
        found.extend(places);
    }
    found.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    found.into_iter().map(|(_, _, line)| line).collect()
}

/// Where one port is published.
fn one(ports: &Map<String, Value>, port: &str, container: &str) -> Result<String, Error> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    if number.parse::<u16>().is_err() {
        let why = crate::flags::number_problem(number);
        return Err(Error::new(format!(
            "Error: invalid port ({number}): strconv.ParseUint: parsing {}: {why}",
            crate::flags::quote(number)
        )));
    }
    match ports.get(&format!("{number}/{protocol}")).map(addresses).filter(|places| !places.is_empty()) {
        Some(places) => Ok(places.iter().map(|place| format!("{place}\n")).collect()),
        None => Err(Error::new(format!("Error: No public port '{port}' published for {container}"))),
    }
}

/// `0.0.0.0:8080` and `[::]:8080` out of a list of bindings.
fn addresses(bindings: &Value) -> Vec<String> {
    let text = |binding: &Value, key: &str| binding.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = bindings.as_array().map(Vec::as_slice).unwrap_or_default();
    let place = |binding: &Value| {
        let ip = text(binding, "HostIp");
        let ip = if ip.contains(':') { format!("[{ip}]") } else { ip };
        format!("{ip}:{}", text(binding, "HostPort"))
    };
    list.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn published() {
        let ports = json!({
            "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}, {"HostIp": "::", "HostPort": "32768"}],
            "7/udp": [{"HostIp": "127.0.0.1", "HostPort": "70"}],
            "90/tcp": null,
        });
        let Value::Object(ports) = ports else { unreachable!() };
        assert_eq!(all(&ports), "7/udp -> 127.0.0.1:70\n80/tcp -> 0.0.0.0:32768\n80/tcp -> [::]:32768\n");
        let check = |port: &str, expect: &str| {
            let got = one(&ports, port, "web").unwrap_or_else(|error| error.to_string());
            assert_eq!(got, expect, "{port}");
        };
        check("80", "0.0.0.0:32768\n[::]:32768\n");
        check("7/udp", "127.0.0.1:70\n");
        check("7", "Error: No public port '7' published for web");
        check("90/tcp", "Error: No public port '90/tcp' published for web");
        check("x", "Error: invalid port (x): strconv.ParseUint: parsing \"x\": invalid syntax");
        check("99999", "Error: invalid port (99999): strconv.ParseUint: parsing \"99999\": value out of range");
    }
}
