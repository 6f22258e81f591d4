//! What may stand in `daemon.json`, and what may not stand there because a flag says it.

use crate::flag_values::Given;
use crate::foreign;
use anyhow::{Result, bail};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Docker's keys whose flag is called otherwise.
const NAMED: [(&str, &str); 16] = [
    ("add-runtime", "runtimes"),
    ("authorization-plugin", "authorization-plugins"),
    ("cdi-spec-dir", "cdi-spec-dirs"),
    ("default-address-pool", "default-address-pools"),
    ("default-network-opt", "default-network-opts"),
    ("default-ulimit", "default-ulimits"),
    ("dns-opt", "dns-opts"),
    ("exec-opt", "exec-opts"),
    ("feature", "features"),
    ("host", "hosts"),
    ("host-gateway-ip", "host-gateway-ips"),
    ("insecure-registry", "insecure-registries"),
    ("label", "labels"),
    ("log-opt", "log-opts"),
    ("node-generic-resource", "node-generic-resources"),
    ("registry-mirror", "registry-mirrors"),
];
const STORAGE: (&str, &str) = ("storage-opt", "storage-opts");
/// Both may be given: they are put together.
const TOGETHER: [&str; 1] = ["runtimes"];
/// Flags whose value Docker shows as a map.
const MAPS: [&str; 2] = ["log-opt", "default-network-opt"];
/// Flags whose value Docker shows as a list.
const LISTS: [&str; 17] = [
    "add-runtime",
    "allow-nondistributable-artifacts",
    "authorization-plugin",
    "cdi-spec-dir",
    "default-address-pool",
    "default-ulimit",
    "dns",
    "dns-opt",
    "dns-search",
    "exec-opt",
    "host",
    "host-gateway-ip",
    "insecure-registry",
    "label",
    "node-generic-resource",
    "registry-mirror",
    "storage-opt",
];

/// Further keys that Docker knows and that mean nothing here. Flags count for keys as well.
const WITHOUT_EFFECT: [&str; 8] = [
    "builder",
    "config-file",
    "deprecated-key-path",
    "help",
    "swarm-raft-election-tick",
    "swarm-raft-heartbeat-tick",
    "validate",
    "version",
];

/// What is to be said of keys that nobody here reads.
///
/// # Errors
/// One of them is no key at all, has a value that Docker refuses, or is one that must not be passed over.
pub(crate) fn unread<'a>(file: &Path, keys: impl Iterator<Item = (&'a String, &'a Value)>) -> Result<Vec<String>> {
    let (mut said, mut unknown) = (Vec::new(), Vec::new());
    for (key, value) in keys {
        if let Some(of_it) = foreign::of_key(file, key, value)? {
            said.extend(of_it);
        } else if WITHOUT_EFFECT.contains(&key.as_str()) || NAMED.iter().chain([&STORAGE]).any(|(flag, _)| flag == key) {
            said.push(format!("{}: the key {key:?} has no effect in this release", file.display()));
        } else {
            unknown.push(key.as_str());
        }
    }
    said.sort_unstable();
    unknown.sort_unstable();
    if unknown.is_empty() {
        return Ok(said);
    }
    bail!("the following directives don't match any configuration option: {}", unknown.join(", "))
}

/// Refuses what is said by a flag and in the file.
pub(crate) fn conflicts(given: &Given, file: &Map<String, Value>) -> Result<()> {
    let file = flat(file);
    let mut found = Vec::new();
    for (flag, values) in given {
        let key = NAMED.iter().chain([&STORAGE]).find(|(name, _)| name == flag).map_or(flag.as_str(), |(_, key)| key);
        // The older name of one of them.
        let older = if flag == "host-gateway-ip" { flag.as_str() } else { key };
        if TOGETHER.contains(&key) {
            continue;
        }
        for key in if older == key { vec![key] } else { vec![key, older] } {
            if let Some(value) = file.get(key) {
                found.push(format!("{key}: (from flag: {}, from file: {})", flag_shown(flag, values), shown(value)));
            }
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    bail!("the following directives are specified both as a flag and in the configuration file: {}", found.join(", "))
}

/// Settings with a name for several of them count for themselves.
fn flat(file: &Map<String, Value>) -> BTreeMap<&str, &Value> {
    let mut all = BTreeMap::new();
    for (key, value) in file {
        match (key.as_str(), value) {
            ("proxies", Value::Object(proxies)) => all.extend(proxies.iter().map(|(key, value)| (key.as_str(), value))),
            (key, value) => drop(all.insert(key, value)),
        }
    }
    all
}

fn flag_shown(flag: &str, values: &[String]) -> String {
    let password = matches!(flag, "http-proxy" | "https-proxy");
    match values {
        _ if LISTS.contains(&flag) => format!("[{}]", values.join(" ")),
        // One that is only named is on.
        _ if flag == "feature" => {
            let shown = |pair: &String| if pair.contains('=') { pair.replacen('=', ":", 1) } else { format!("{pair}:true") };
            format!("map[{}]", values.iter().map(shown).collect::<Vec<_>>().join(" "))
        }
        _ if MAPS.contains(&flag) => format!("map[{}]", values.iter().map(|pair| pair.replacen('=', ":", 1)).collect::<Vec<_>>().join(" ")),
        [.., last] if password => masked(last),
        [.., last] => last.clone(),
        // A switch.
        [] => "true".to_owned(),
    }
}

/// As Go prints what it has read.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => masked(text),
        Value::Array(all) => format!("[{}]", all.iter().map(shown).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            format!("map[{}]", map.iter().map(|(key, value)| format!("{key}:{}", shown(value))).collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

/// An address without the password in it.
fn masked(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://xxxxx:xxxxx@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn keys_that_nobody_reads() {
        let check = |text: &str| unread(Path::new("/f"), object(text).iter()).map_err(|error| error.to_string());
        let said = ["/f: the key \"builder\" has no effect in this release", "/f: the key \"rootless\" has no effect: "];
        let got = check(r#"{"rootless":true,"builder":{}}"#).unwrap();
        assert!(got.len() == 2 && got.iter().zip(said).all(|(got, expect)| got.starts_with(expect)), "{got:?}");
        assert_eq!(
            check(r#"{"bogus":1,"rootless":true,"nope":2}"#),
            Err("the following directives don't match any configuration option: bogus, nope".into())
        );
        assert_eq!(check(r#"{"authorization-plugins":[]}"#), Ok(vec![]));
        assert!(check(r#"{"authorization-plugins":["who"]}"#).unwrap_err().starts_with("authorization-plugins: "));
    }

    #[test]
    fn what_is_said_twice() {
        let check = |given: &[(&str, &[&str])], text: &str, expect: &str| {
            let given = given.iter().map(|(flag, values)| ((*flag).to_owned(), values.iter().map(ToString::to_string).collect())).collect();
            let found = conflicts(&given, &object(text)).map_err(|error| error.to_string());
            let head = "the following directives are specified both as a flag and in the configuration file: ";
            assert_eq!(found, if expect.is_empty() { Ok(()) } else { Err(format!("{head}{expect}")) });
        };
        check(&[("data-root", &["/a"])], r#"{"exec-root":"/b"}"#, "");
        check(&[("data-root", &["/a"])], r#"{"data-root":"/b"}"#, "data-root: (from flag: /a, from file: /b)");
        check(&[("host", &["unix:///a", "tcp://b"])], r#"{"hosts":["c"]}"#, "hosts: (from flag: [unix:///a tcp://b], from file: [c])");
        check(&[("debug", &[])], r#"{"debug":false}"#, "debug: (from flag: true, from file: false)");
        check(&[("log-opt", &["a=b=c"])], r#"{"log-opts":{"d":"e"}}"#, "log-opts: (from flag: map[a:b=c], from file: map[d:e])");
        check(&[("add-runtime", &["a=b"])], r#"{"runtimes":{}}"#, "");
        check(&[("mtu", &["1400"])], r#"{"mtu":1500}"#, "mtu: (from flag: 1400, from file: 1500)");
        check(
            &[("feature", &["a", "b=false"])],
            r#"{"features":{"c":true}}"#,
            "features: (from flag: map[a:true b:false], from file: map[c:true])",
        );
        let gateway = r#"{"host-gateway-ip":"10.0.0.1"}"#;
        check(&[("host-gateway-ip", &["10.0.0.2"])], gateway, "host-gateway-ip: (from flag: [10.0.0.2], from file: 10.0.0.1)");
        check(
            &[("http-proxy", &["http://u:p@one"])],
            r#"{"proxies":{"http-proxy":"http://u:p@two"}}"#,
            "http-proxy: (from flag: http://xxxxx:xxxxx@one, from file: http://xxxxx:xxxxx@two)",
        );
    }
}
