//! `network connect` and `network disconnect`.

use dhow_api::client::Request;
use dhow_api::types::EndpointSettings;
use dhow_api::types::network::EndpointIpam;
use serde_json::json;

use super::path;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, int, list, special, string, switch};
use crate::options::{pairs, some_if_any};

/// `network connect`.
pub(in super::super) static CONNECT: Command = Command {
    names: &["network connect"],
    usage: "[OPTIONS] NETWORK CONTAINER",
    short: "Give a container a place in a network",
    flags: &[
        strings("alias", "A further name of the container in this network"),
        strings("driver-opt", "Option of the network's driver"),
        int("gw-priority", "Of several networks the highest gives the default gateway"),
        string("ip", "Its IPv4 address"),
        string("ip6", "Its IPv6 address"),
        list("link", "Another container, by a name"),
        strings("link-local-ip", "A link-local address"),
    ],
    arity: Arity::Exactly(2),
    stop_early: false,
    run: connect,
};

/// `network disconnect`.
pub(in super::super) static DISCONNECT: Command = Command {
    names: &["network disconnect"],
    usage: "[OPTIONS] NETWORK CONTAINER",
    short: "Take a container's place in a network away",
    flags: &[switch("force", "Even where the container is in a bad way").short('f')],
    arity: Arity::Exactly(2),
    stop_early: false,
    run: disconnect,
};

/// Texts divided by commas, many times.
pub(super) const fn strings(long: &'static str, help: &'static str) -> Flag {
    special(long, "strings", help, |_| Ok(()))
}

/// What such a flag was given.
pub(super) fn all_strings(parsed: &Parsed, flag: &str) -> Vec<String> {
    parsed.all(flag).iter().flat_map(|text| text.split(',')).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

fn connect(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let ipam = EndpointIpam {
        ipv4_address: parsed.text("ip").to_owned(),
        ipv6_address: parsed.text("ip6").to_owned(),
        link_local_ips: all_strings(parsed, "link-local-ip"),
    };
    let endpoint = EndpointSettings {
        ipam_config: Some(ipam),
        links: some_if_any(parsed.all("link")),
        aliases: some_if_any(all_strings(parsed, "alias")),
        driver_opts: Some(pairs(&all_strings(parsed, "driver-opt"))).filter(|options| !options.is_empty()),
        gw_priority: parsed.int("gw-priority").unwrap_or(0),
        ..EndpointSettings::default()
    };
    let body = json!({"Container": parsed.args[1], "EndpointConfig": endpoint});
    post(app, Request::post(path(&parsed.args[0], "/connect")).json(&body)?)
}

fn disconnect(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let body = json!({"Container": parsed.args[1], "Force": parsed.is("force")});
    post(app, Request::post(path(&parsed.args[0], "/disconnect")).json(&body)?)
}

fn post(app: &App, request: Request) -> Result<(), Error> {
    app.block_on(async {
        app.client().await?.call(request).await?;
        Ok(())
    })
}
