//! `network create`.

use std::collections::BTreeMap;

use dhow_api::client::Request;
use serde_json::{Value, json};

use super::connect::{all_strings, strings};
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, list, map, string, switch};
use crate::options::pairs;
use crate::output::{say, warn};

/// The command.
pub(in super::super) static COMMAND: Command = Command {
    names: &["network create"],
    usage: "[OPTIONS] NETWORK",
    short: "Make a network",
    flags: FLAGS,
    arity: Arity::Exactly(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    switch("attachable", "Plain containers may join it in a cluster"),
    map("aux-address", "Address that something else has, by name").default("map[]"),
    string("config-from", "The network whose configuration it takes"),
    switch("config-only", "Only a configuration for others"),
    string("driver", "What kind of network").short('d').default("bridge"),
    strings("gateway", "Its own address in a subnet"),
    switch("ingress", "The one for published ports of a cluster"),
    switch("internal", "No way out or in"),
    strings("ip-range", "The part of a subnet that containers get addresses of"),
    string("ipam-driver", "Who manages its addresses").default("default"),
    map("ipam-opt", "Option of that driver").default("map[]"),
    switch("ipv4", "IPv4 addresses").default("true"),
    switch("ipv6", "IPv6 addresses"),
    list("label", "Label, key=value"),
    map("opt", "Option of the driver").short('o').default("map[]"),
    string("scope", "Where it is known"),
    strings("subnet", "A subnet, in CIDR form"),
];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let body = body(parsed)?;
    let request = Request::post("/networks/create").json(&body)?;
    let answer: Value = app.block_on(async { Ok::<_, Error>(app.client().await?.json(request).await?) })?;
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    if !text("Warning").is_empty() {
        warn(&format!("WARNING: {}", text("Warning")));
    }
    say(&format!("{}\n", text("Id")))
}

fn body(parsed: &Parsed) -> Result<Value, Error> {
    let mut body = json!({
        "Name": parsed.args[0],
        "Driver": parsed.value("driver").unwrap_or("bridge"),
        "Scope": parsed.text("scope"),
        "IPAM": {
            "Driver": parsed.value("ipam-driver").unwrap_or("default"),
            "Options": pairs(&parsed.all("ipam-opt")),
            "Config": configs(parsed)?,
        },
        "Internal": parsed.is("internal"),
        "Attachable": parsed.is("attachable"),
        "Ingress": parsed.is("ingress"),
        "ConfigOnly": parsed.is("config-only"),
        "ConfigFrom": null,
        "Options": pairs(&parsed.all("opt")),
        "Labels": pairs(&parsed.all("label")),
    });
    if let Some(from) = parsed.value("config-from").filter(|from| !from.is_empty()) {
        body["ConfigFrom"] = json!({"Network": from});
    }
    for (flag, key) in [("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")] {
        if parsed.given(flag) {
            body[key] = json!(parsed.is(flag));
        }
    }
    Ok(body)
}

/// One entry for each subnet, with the ranges, gateways and addresses that lie in it.
fn configs(parsed: &Parsed) -> Result<Vec<Value>, Error> {
    let subnets = all_strings(parsed, "subnet");
    let mut entries: Vec<BTreeMap<&str, Value>> = subnets.iter().map(|subnet| BTreeMap::from([("Subnet", json!(subnet))])).collect();
    let bounds: Vec<Option<(u128, u128, bool)>> = subnets.iter().map(|subnet| bounds(subnet)).collect();
    if subnets.is_empty() && ["ip-range", "gateway"].iter().any(|flag| !all_strings(parsed, flag).is_empty()) {
        return Err(Error::new("every ip-range or gateway must have a corresponding subnet"));
    }
    let place = |text: &str| {
        let address = text.split('/').next().unwrap_or(text);
        let (number, ipv4) = number(address)?;
        bounds.iter().position(|range| range.is_some_and(|(first, last, four)| four == ipv4 && (first..=last).contains(&number)))
    };
    for (flag, key, what) in [("ip-range", "IPRange", "range"), ("gateway", "Gateway", "gateway")] {
        for text in all_strings(parsed, flag) {
            let at = place(&text).ok_or_else(|| Error::new(format!("no matching subnet for {what} {text}")))?;
            if entries[at].insert(key, json!(text)).is_some() {
                let plural = if flag == "gateway" { "gateways" } else { "ranges" };
                return Err(Error::new(format!("cannot configure multiple {plural} ({text}) on the same subnet ({})", subnets[at])));
            }
        }
    }
    for (name, text) in pairs(&parsed.all("aux-address")) {
        let at = place(&text).ok_or_else(|| Error::new(format!("no matching subnet for aux-address {text}")))?;
        let all = entries[at].entry("AuxiliaryAddresses").or_insert_with(|| json!({}));
        all[name] = json!(text);
    }
    Ok(entries.into_iter().map(|entry| json!(entry)).collect())
}

fn number(text: &str) -> Option<(u128, bool)> {
    match text.parse().ok()? {
        std::net::IpAddr::V4(v4) => Some((u128::from(u32::from(v4)), true)),
        std::net::IpAddr::V6(v6) => Some((u128::from(v6), false)),
    }
}

/// First and last address of a subnet.
fn bounds(subnet: &str) -> Option<(u128, u128, bool)> {
    let (address, prefix) = subnet.split_once('/')?;
    let (number, ipv4) = number(address)?;
    let host = (if ipv4 { 32u32 } else { 128 }).checked_sub(prefix.parse().ok()?)?;
    let mask = 1u128.checked_shl(host).map_or(u128::MAX, |size| size - 1);
    Some((number & !mask, number | mask, ipv4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags;

    fn check(words: &str, expect: &str) {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let parsed = flags::parse(FLAGS, &words, false).unwrap();
        let got = body(&parsed).map_or_else(|error| error.to_string(), |body| body["IPAM"]["Config"].to_string());
        assert_eq!(got, expect);
    }

    #[test]
    fn subnets_and_what_lies_in_them() {
        check("n", "[]");
        check(
            "--subnet 10.0.0.0/24,10.0.1.0/24 --gateway 10.0.1.1 --ip-range 10.0.0.128/25 --aux-address a=10.0.0.9 n",
            r#"[{"AuxiliaryAddresses":{"a":"10.0.0.9"},"IPRange":"10.0.0.128/25","Subnet":"10.0.0.0/24"},{"Gateway":"10.0.1.1","Subnet":"10.0.1.0/24"}]"#,
        );
        check("--gateway 10.0.0.1 n", "every ip-range or gateway must have a corresponding subnet");
        check("--subnet 10.1.0.0/24 --gateway 10.0.0.1 n", "no matching subnet for gateway 10.0.0.1");
        // The engine says that.
        check("--subnet x n", r#"[{"Subnet":"x"}]"#);
    }
}
