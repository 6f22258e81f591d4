//! What kind of value each key of `daemon.json` has, and what is said where it has another one: Go's words.

use anyhow::{Result, bail};
use serde_json::{Map, Value};

/// A kind, by what Go calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Switch,
    Number,
    Text,
    List,
    /// Of texts.
    Map,
    /// Of switches.
    Switches,
}

use Kind::{List, Map as Texts, Number, Switch, Switches, Text};

/// The keys that this engine reads, but for those whose own readers say what is wrong.
const KINDS: [(&str, Kind); 58] = [
    ("allow-direct-routing", Switch),
    ("bip", Text),
    ("bip6", Text),
    ("bridge", Text),
    ("cdi-spec-dirs", List),
    ("cgroup-parent", Text),
    ("data-root", Text),
    ("debug", Switch),
    ("default-cgroupns-mode", Text),
    ("default-gateway", Text),
    ("default-gateway-v6", Text),
    ("default-ipc-mode", Text),
    ("default-runtime", Text),
    ("dns", List),
    ("dns-opts", List),
    ("dns-search", List),
    ("exec-root", Text),
    ("experimental", Switch),
    ("features", Switches),
    ("firewall-cooperate", Switch),
    ("fixed-cidr", Text),
    ("fixed-cidr-v6", Text),
    ("group", Text),
    ("host-gateway-ip", Text),
    ("host-gateway-ips", List),
    ("hosts", List),
    ("icc", Switch),
    ("index-url", Text),
    ("init", Switch),
    ("insecure-registries", List),
    ("ip", Text),
    ("ip-forward", Switch),
    ("ip-masq", Switch),
    ("iptables", Switch),
    ("ipv6", Switch),
    ("labels", List),
    ("live-restore", Switch),
    ("log-driver", Text),
    ("log-format", Text),
    ("log-level", Text),
    ("log-opts", Texts),
    ("max-concurrent-downloads", Number),
    ("max-concurrent-uploads", Number),
    ("max-download-attempts", Number),
    ("metrics-addr", Text),
    ("mtu", Number),
    ("no-new-privileges", Switch),
    ("pidfile", Text),
    ("registry-mirrors", List),
    ("seccomp-profile", Text),
    ("shutdown-timeout", Number),
    ("storage-opts", List),
    ("tls", Switch),
    ("tlscacert", Text),
    ("tlscert", Text),
    ("tlskey", Text),
    ("tlsverify", Switch),
    ("userns-remap", Text),
];

/// Refuses a value of the wrong kind.
pub(crate) fn check(file: &Map<String, Value>) -> Result<()> {
    for (key, kind) in &KINDS {
        if let Some(value) = file.get(*key) {
            kind.check(key, value)?;
        }
    }
    Ok(())
}

impl Kind {
    /// Refuses what is not of this kind.
    pub(crate) fn check(self, key: &str, value: &Value) -> Result<()> {
        let (fits, wanted) = match (self, value) {
            (_, Value::Null) => return Ok(()),
            (Switch, value) => (value.is_boolean(), "bool"),
            (Number, value) => (value.is_i64(), "int"),
            (Text, value) => (value.is_string(), "string"),
            (List, Value::Array(all)) => return all.iter().try_for_each(|one| Text.check(key, one)),
            (Texts, Value::Object(all)) => return all.values().try_for_each(|one| Text.check(key, one)),
            (Switches, Value::Object(all)) => return all.values().try_for_each(|one| Switch.check(key, one)),
            (List, _) => (false, "[]string"),
            (Texts, _) => (false, "map[string]string"),
            (Switches, _) => (false, "map[string]bool"),
        };
        if fits {
            return Ok(());
        }
        let found = match value {
            Value::Bool(_) => "bool",
            Value::Number(number) if self == Number => return number_does_not_fit(key, number),
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            _ => "object",
        };
        bail!("json: cannot unmarshal {found} into Go struct field Config.{key} of type {wanted}")
    }
}

fn number_does_not_fit(key: &str, number: &serde_json::Number) -> Result<()> {
    bail!("json: cannot unmarshal number {number} into Go struct field Config.{key} of type int")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_another_kind() {
        let is = |file: Value, expect: &str| {
            let got = check(file.as_object().unwrap()).map_or_else(|error| error.to_string(), |()| String::new());
            let head = "json: cannot unmarshal ";
            assert_eq!(got, if expect.is_empty() { String::new() } else { format!("{head}{expect}") }, "{file}");
        };
        is(json!({"debug": true, "labels": ["a=b"], "mtu": 5, "features": {"a": true}, "ip": "x", "dns": null, "other": 5}), "");
        is(json!({"debug": "x"}), "string into Go struct field Config.debug of type bool");
        is(json!({"labels": "a"}), "string into Go struct field Config.labels of type []string");
        is(json!({"hosts": [1]}), "number into Go struct field Config.hosts of type string");
        is(json!({"mtu": "x"}), "string into Go struct field Config.mtu of type int");
        is(json!({"mtu": 1.5}), "number 1.5 into Go struct field Config.mtu of type int");
        is(json!({"log-opts": {"a": 5}}), "number into Go struct field Config.log-opts of type string");
        is(json!({"log-opts": []}), "array into Go struct field Config.log-opts of type map[string]string");
        is(json!({"features": {"a": "b"}}), "string into Go struct field Config.features of type bool");
        is(json!({"userns-remap": {}}), "object into Go struct field Config.userns-remap of type string");
    }
}
