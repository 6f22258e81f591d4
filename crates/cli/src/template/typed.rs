//! What Go knows and JSON does not say: which objects are structures.
//!
//! Docker's client fills templates with its own structures. They print as `{a b}` where a map prints as `map[k:v]`, and have
//! fields that the engine leaves out where there is nothing; a list that is `null` prints as `[]`. The view puts all that
//! into the values: what JSON could not say carries a mark.

use serde_json::{Map, Value, json};

/// The key that makes an object a structure, or where its value is a text, a null that prints so. No engine sends it.
const MARK: &str = "\u{0}";

const NO_VALUE: &str = "<no value>";

/// Structures that people print whole, by the key that they stand under, and their fields in order with what an absent one is.
fn fields(key: &str) -> Option<Vec<(&'static str, Value)>> {
    let texts = |names: &[&'static str]| names.iter().map(|name| (*name, json!(""))).collect::<Vec<_>>();
    Some(match key {
        "RestartPolicy" => vec![("Name", json!("")), ("MaximumRetryCount", json!(0))],
        "LogConfig" => vec![("Type", json!("")), ("Config", json!({}))],
        "PortBinding" => texts(&["HostIp", "HostPort"]),
        "Mount" => {
            let mut all = texts(&["Type", "Name", "Source", "Destination", "Driver", "Mode"]);
            all.extend([("RW", json!(false)), ("Propagation", json!(""))]);
            all
        }
        "State" => {
            let mut all = texts(&["Status"]);
            all.extend(["Running", "Paused", "Restarting", "OOMKilled", "Dead"].map(|name| (name, json!(false))));
            all.extend(["Pid", "ExitCode"].map(|name| (name, json!(0))));
            all.extend(texts(&["Error", "StartedAt", "FinishedAt"]));
            all.push(("Health", Value::Null));
            all
        }
        "GraphDriver" => vec![("Data", nothing("map[]")), ("Name", json!(""))],
        "RootFS" => vec![("Type", json!("")), ("Layers", nothing("[]"))],
        "Network" => vec![
            ("IPAMConfig", Value::Null),
            ("Links", nothing("[]")),
            ("Aliases", nothing("[]")),
            ("MacAddress", json!("")),
            ("DriverOpts", nothing("map[]")),
            ("GwPriority", json!(0)),
            ("NetworkID", json!("")),
            ("EndpointID", json!("")),
            ("Gateway", json!("")),
            ("IPAddress", json!("")),
            ("IPPrefixLen", json!(0)),
            ("IPv6Gateway", json!("")),
            ("GlobalIPv6Address", json!("")),
            ("GlobalIPv6PrefixLen", json!(0)),
            ("DNSNames", nothing("[]")),
        ],
        "Config" => config(),
        _ => return None,
    })
}

/// A container's.
fn config() -> Vec<(&'static str, Value)> {
    vec![
        ("Hostname", json!("")),
        ("Domainname", json!("")),
        ("User", json!("")),
        ("AttachStdin", json!(false)),
        ("AttachStdout", json!(false)),
        ("AttachStderr", json!(false)),
        ("ExposedPorts", nothing("map[]")),
        ("Tty", json!(false)),
        ("OpenStdin", json!(false)),
        ("StdinOnce", json!(false)),
        ("Env", nothing("[]")),
        ("Cmd", nothing("[]")),
        ("Healthcheck", Value::Null),
        ("ArgsEscaped", json!(false)),
        ("Image", json!("")),
        ("Volumes", nothing("map[]")),
        ("WorkingDir", json!("")),
        ("Entrypoint", nothing("[]")),
        ("NetworkDisabled", json!(false)),
        ("MacAddress", json!("")),
        ("OnBuild", nothing("[]")),
        ("Labels", nothing("map[]")),
        ("StopSignal", json!("")),
        ("StopTimeout", Value::Null),
        ("Shell", nothing("[]")),
    ]
}

/// Members of `HostConfig`, `Config` and the object itself that are lists, and such that are maps.
const LISTS: &[&str] = &[
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeightDevice",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "Entrypoint",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Links",
    "MaskedPaths",
    "OnBuild",
    "ReadonlyPaths",
    "RepoDigests",
    "RepoTags",
    "SecurityOpt",
    "Ulimits",
    "VolumesFrom",
];
const MAPS: &[&str] = &["Annotations", "ExposedPorts", "Labels", "PortBindings", "StorageOpt", "Sysctls", "Tmpfs", "Volumes"];

/// Fields of a container that are not there where there is nothing to say.
const OPTIONAL: &[&str] = &["/SizeRw", "/SizeRootFs", "/State/Health", "/Config/Healthcheck"];

/// An object of `inspect` as Go's templates see it.
pub(crate) fn view(value: &Value) -> Value {
    let mut value = value.clone();
    let is_container = value.get("State").is_some();
    let container = ["/State", "/Config"].into_iter().filter(|_| is_container);
    for path in ["/HostConfig/RestartPolicy", "/HostConfig/LogConfig", "/GraphDriver", "/RootFS"].into_iter().chain(container) {
        if let Some(found) = value.pointer_mut(path) {
            mark(found, path.rsplit('/').next().unwrap_or_default());
        }
    }
    each(value.pointer_mut("/Mounts"), |mount| mark(mount, "Mount"));
    for network in value.pointer_mut("/NetworkSettings/Networks").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        mark(network, "Network");
    }
    for path in ["/NetworkSettings/Ports", "/HostConfig/PortBindings"] {
        for bindings in value.pointer_mut(path).and_then(Value::as_object_mut).into_iter().flat_map(|ports| ports.values_mut()) {
            if bindings.is_null() {
                *bindings = nothing("[]");
            }
            each(Some(bindings), |binding| mark(binding, "PortBinding"));
        }
    }
    for path in ["", "/HostConfig", "/Config"] {
        let members = value.pointer_mut(path).and_then(Value::as_object_mut).into_iter().flatten();
        for (key, member) in members.filter(|(_, member)| member.is_null()) {
            if LISTS.contains(&key.as_str()) {
                *member = nothing("[]");
            } else if MAPS.contains(&key.as_str()) {
                *member = nothing("map[]");
            }
        }
    }
    if value.get("State").is_some() {
        for path in OPTIONAL {
            let (parent, key) = path.rsplit_once('/').unwrap_or(("", path));
            if let Some(Value::Object(map)) = value.pointer_mut(parent) {
                map.entry(key).or_insert(Value::Null);
            }
        }
    }
    value
}

fn nothing(shown: &str) -> Value {
    json!({ MARK: shown })
}

/// One of the client's own structures: its fields in order, and what it is in JSON where that has other keys.
pub(crate) fn own(kind: &str, fields: impl IntoIterator<Item = (&'static str, Value)>, json: Option<&Value>) -> Value {
    let mut map = Map::new();
    map.insert(MARK.to_owned(), json!({ "type": kind, "json": json }));
    map.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Value::Object(map)
}

/// Go's name for the type of such a structure.
pub(super) fn kind_of_own(map: &Map<String, Value>) -> Option<&str> {
    map.get(MARK)?.get("type")?.as_str()
}

/// What a map answers for a key that it has not.
pub(super) fn no_value() -> Value {
    nothing(NO_VALUE)
}

/// Whatever is asked of it, it stays so.
pub(super) fn is_no_value(value: &Value) -> bool {
    nil(value) == Some(NO_VALUE)
}

/// A null list or map as an empty one.
pub(super) fn empty(value: Value) -> Value {
    match nil(&value) {
        Some("[]") => json!([]),
        Some(NO_VALUE) | None => value,
        Some(_) => json!({}),
    }
}

/// How a null list or map prints.
pub(super) fn nil(value: &Value) -> Option<&str> {
    value.get(MARK)?.as_str()
}

fn each(list: Option<&mut Value>, change: impl Fn(&mut Value)) {
    list.and_then(Value::as_array_mut).into_iter().flatten().for_each(change);
}

fn mark(value: &mut Value, key: &str) {
    let (Value::Object(map), Some(fields)) = (&mut *value, fields(key)) else { return };
    let mut marked = Map::new();
    marked.insert(MARK.to_owned(), json!({ "json": &*map }));
    for (name, absent) in fields {
        marked.insert(name.to_owned(), map.remove(name).filter(|value| !value.is_null()).unwrap_or(absent));
    }
    marked.append(map);
    *value = Value::Object(marked);
}

/// What Go's `if` takes for true: everything that is not empty.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        value if nil(value).is_some() => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Whether it is a structure and no map: there is nothing to count in it or to go through.
pub(super) fn is_structure(map: &Map<String, Value>) -> bool {
    map.get(MARK).is_some_and(|mark| !mark.is_string())
}

/// The values of a structure in order; none for a map.
pub(super) fn structure(map: &Map<String, Value>) -> Option<impl Iterator<Item = &Value>> {
    map.contains_key(MARK).then(|| map.iter().filter(|(key, _)| *key != MARK).map(|(_, value)| value))
}

/// The value without marks, and without what they brought: as the engine said it.
pub(super) fn plain(value: &Value) -> Value {
    match value {
        _ if nil(value).is_some() => Value::Null,
        Value::Object(map) => {
            if let Some(json) = map.get(MARK).and_then(|mark| mark.get("json")).filter(|json| !json.is_null()) {
                return json.clone();
            }
            let known = |(key, _): &(&String, &Value)| *key != MARK;
            let entries = map.iter().filter(known).filter(|(key, value)| !(value.is_null() && is_optional(key)));
            Value::Object(entries.map(|(key, value)| (key.clone(), plain(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        other => other.clone(),
    }
}

fn is_optional(key: &str) -> bool {
    OPTIONAL.iter().any(|path| path.rsplit('/').next() == Some(key))
}

#[cfg(test)]
mod tests {
    use super::super::{Missing, Template};
    use super::*;

    #[test]
    fn as_go_prints_it() {
        let container = json!({
            "State": {"Status": "exited"},
            "Config": {"Entrypoint": null, "Cmd": ["a"], "Volumes": null},
            "HostConfig": {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "LogConfig": {"Type": "json-file", "Config": {}}},
            "Mounts": [{"Type": "bind", "Source": "/a", "Destination": "/b", "Mode": "", "RW": true, "Propagation": "rprivate"}],
            "NetworkSettings": {
                "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "90/tcp": null},
                "Networks": {"none": {"Links": null, "Aliases": ["x"]}},
            },
            "GraphDriver": {"Name": "overlay2", "Data": null},
        });
        let check = |text: &str, expect: &str| {
            let got = Template::parse("", text).unwrap().render(&view(&container), Missing::Entry);
            assert_eq!(got.unwrap_or_else(|error| error), expect, "{text}");
        };
        check("{{.HostConfig.RestartPolicy}} {{.HostConfig.RestartPolicy.Name}}", "{no 0} no");
        check("{{.HostConfig.LogConfig}}", "{json-file map[]}");
        check("{{.Mounts}}", "[{bind  /a /b   true rprivate}]");
        check("{{range .Mounts}}{{.Source}}{{.Name}}{{end}}", "/a");
        check("{{.NetworkSettings.Ports}}", "map[80/tcp:[{0.0.0.0 8080}] 90/tcp:[]]");
        check(r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#, "8080");
        check("{{json .Mounts}}", &container["Mounts"].to_string());
        check("{{.State}}", "{exited false false false false false 0 0    <nil>}");
        check("{{json .Config}}", &container["Config"].to_string());
        check("{{len .State}}", r#"template: :1:2: executing "" at <len .State>: error calling len: len of type struct"#);
        check(
            "{{range .State}}{{end}}",
            r#"template: :1:8: executing "" at <.State>: range can't iterate over {exited false false false false false 0 0    <nil>}"#,
        );
        check("{{range .NetworkSettings.Networks}}{{.}}{{end}}", "{<nil> [] [x]  map[] 0     0   0 []}");
        check("{{.GraphDriver}}", "{map[] overlay2}");
        check("{{json .HostConfig}} {{json .State}}", &format!("{} {}", container["HostConfig"], container["State"]));
        check("{{.Config.Entrypoint}}{{.Config.Cmd}}{{.Config.Volumes}}{{json .Config.Entrypoint}}", "[][a]map[]null");
        check("{{if .Config.Entrypoint}}yes{{end}}{{range .Config.Volumes}}x{{end}}{{len .Config.Entrypoint}}", "0");
        check("{{.SizeRw}} {{.State.Health}} {{len .Mounts}}", "<nil> <nil> 1");
        check(
            "{{.State.Health.Status}}",
            r#"template: :1:8: executing "" at <.State.Health.Status>: nil pointer evaluating interface {}.Status"#,
        );
    }
}
