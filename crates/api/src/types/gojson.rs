//! What Go's decoder says of JSON that does not fit, for clients that look for its words: the kind of the value, the struct that the field is
//! in, the path to the field, and the field's type.

/// Structs of requests whose names are others in Go, with their packages. All others have theirs.
const STRUCTS: [(&str, &str, &str); 16] = [
    ("AuthConfig", "registry", "AuthConfig"),
    ("CreateBody", "runconfig", "ContainerConfigWrapper"),
    ("Config", "runconfig", "ContainerConfigWrapper"),
    ("UpdateBody", "container", "UpdateConfig"),
    ("ExecCreateBody", "container", "ExecOptions"),
    ("ExecStartBody", "container", "ExecStartOptions"),
    ("VolumeBody", "volume", "CreateOptions"),
    ("NetworkCreate", "network", "CreateRequest"),
    ("NetworkConnect", "network", "ConnectOptions"),
    ("NetworkDisconnect", "network", "DisconnectOptions"),
    ("NetworkingConfig", "network", "NetworkingConfig"),
    ("EndpointSettings", "network", "EndpointSettings"),
    ("EndpointIpam", "network", "EndpointIPAMConfig"),
    ("Ipam", "network", "IPAM"),
    ("IpamConfig", "network", "IPAMConfig"),
    ("VolumeDriver", "mount", "Driver"),
];

/// Packages of structs with the same name.
const PACKAGES: [(&str, &str); 9] = [
    ("ConfigReference", "network"),
    ("Mount", "mount"),
    ("BindOptions", "mount"),
    ("VolumeOptions", "mount"),
    ("ImageOptions", "mount"),
    ("TmpfsOptions", "mount"),
    ("PortBinding", "nat"),
    ("Ulimit", "units"),
    ("WeightDevice", "blkiodev"),
];

/// Fields whose types have names.
const FIELDS: [(&str, &str); 28] = [
    ("BlkioWeightDevice", "[]*blkiodev.WeightDevice"),
    ("BlkioDeviceReadBps", "[]*blkiodev.ThrottleDevice"),
    ("BlkioDeviceWriteBps", "[]*blkiodev.ThrottleDevice"),
    ("BlkioDeviceReadIOps", "[]*blkiodev.ThrottleDevice"),
    ("BlkioDeviceWriteIOps", "[]*blkiodev.ThrottleDevice"),
    ("Ulimits", "[]*units.Ulimit"),
    ("ExposedPorts", "nat.PortSet"),
    ("PortBindings", "nat.PortMap"),
    ("NetworkMode", "container.NetworkMode"),
    ("IpcMode", "container.IpcMode"),
    ("PidMode", "container.PidMode"),
    ("UTSMode", "container.UTSMode"),
    ("UsernsMode", "container.UsernsMode"),
    ("CgroupnsMode", "container.CgroupnsMode"),
    ("Cgroup", "container.CgroupSpec"),
    ("Isolation", "container.Isolation"),
    ("Interval", "time.Duration"),
    ("Timeout", "time.Duration"),
    ("StartPeriod", "time.Duration"),
    ("StartInterval", "time.Duration"),
    ("Retries", "int"),
    ("StopTimeout", "int"),
    ("MaximumRetryCount", "int"),
    ("Count", "int"),
    ("EndpointsConfig", "map[string]*network.EndpointSettings"),
    ("Propagation", "mount.Propagation"),
    ("Consistency", "mount.Consistency"),
    ("ConsoleSize", "[2]uint"),
];

const START: &str = "json: cannot unmarshal ";

/// The name of a struct in Go.
fn owner(name: &str) -> &str {
    STRUCTS.iter().find(|(ours, ..)| *ours == name).map_or(name, |(.., theirs)| theirs)
}

/// Words for a value that does not fit the field `key` of the struct `of`, whose type is `rust`; `None` where the error is another one.
/// One that comes from a struct within the field gets the field before its path.
pub(super) fn explain(error: &str, of: &str, key: &str, rust: &str) -> Option<String> {
    let error = without_place(error);
    if let Some(rest) = error.strip_prefix(START) {
        let (what, rest) = rest.split_once(" into Go struct field ")?;
        let (inner, path) = rest.split_once('.')?;
        return Some(format!("{START}{what} into Go struct field {inner}.{key}.{path}"));
    }
    let (found, wanted) = mismatch(error)?;
    let kinds = kinds(rust, key);
    let fits = |kind: &&(Sort, String)| match wanted {
        "a map" => kind.0 == Sort::Map,
        "a sequence" => kind.0 == Sort::List,
        _ => kind.0 == Sort::Leaf,
    };
    let (_, kind) = kinds.iter().find(fits).or(kinds.last())?;
    Some(format!("{START}{} into Go struct field {}.{key} of type {kind}", what(found, kind)?, owner(of)))
}

/// Go's words for a body that cannot be read; `None` where it has no words that we know.
pub fn words(body: &[u8], error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let text = without_place(&text);
    if text.starts_with(START) {
        return Some(text.to_owned());
    }
    if let Some((found, name)) = mismatch(text).and_then(|(found, wanted)| Some((found, wanted.strip_prefix("struct ")?))) {
        let (_, package, name) = STRUCTS.iter().find(|(ours, ..)| *ours == name)?;
        return Some(format!("{START}{} into Go value of type {package}.{name}", what(found, "")?));
    }
    if error.is_eof() {
        return Some("unexpected EOF".into());
    }
    let letter = || {
        let line = body.split(|byte| *byte == b'\n').nth(error.line().checked_sub(1)?)?;
        Some(char::from(*line.get(error.column().checked_sub(1)?)?))
    };
    let place = match text {
        "expected value" => "looking for beginning of value",
        "trailing comma" if letter()? == ']' => "looking for beginning of value",
        "trailing comma" | "key must be a string" => "looking for beginning of object key string",
        "expected `:`" => "after object key",
        "expected `,` or `}`" => "after object key:value pair",
        "expected `,` or `]`" => "after array element",
        _ => return None,
    };
    Some(format!("invalid character '{}' {place}", letter()?))
}

fn without_place(error: &str) -> &str {
    error.rsplit_once(" at line ").map_or(error, |(text, _)| text)
}

/// What was found, and what was wanted.
fn mismatch(error: &str) -> Option<(&str, &str)> {
    error.strip_prefix("invalid type: ").or_else(|| error.strip_prefix("invalid value: "))?.rsplit_once(", expected ")
}

/// The kind of a value; a number that a whole number of that type cannot be is named.
fn what(found: &str, kind: &str) -> Option<String> {
    let (word, rest) = found.split_once(' ').unwrap_or((found, ""));
    let number = || found.split('`').nth(1).unwrap_or_default();
    let whole = kind.starts_with("int") || kind.starts_with("uint") || kind == "time.Duration";
    Some(match word {
        "integer" | "floating" if whole => format!("number {}", number()),
        "integer" | "floating" | "number" => "number".into(),
        "string" => "string".into(),
        "boolean" => "bool".into(),
        "map" => "object".into(),
        "sequence" => "array".into(),
        _ => return rest.is_empty().then_some(None).flatten(),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Map,
    List,
    Leaf,
}

fn inside<'t>(rust: &'t str, head: &str) -> Option<&'t str> {
    rust.strip_prefix(head)?.strip_suffix('>')
}

fn option(rust: &str) -> Option<&str> {
    inside(rust, "core::option::Option<")
}

fn list(rust: &str) -> Option<&str> {
    inside(rust, "alloc::vec::Vec<")
}

fn map(rust: &str) -> Option<&str> {
    inside(rust, "alloc::collections::btree::map::BTreeMap<alloc::string::String, ")
}

/// A type and what is in it, outermost first.
fn kinds(rust: &str, key: &str) -> Vec<(Sort, String)> {
    let mut all = Vec::new();
    let mut rest = rust;
    loop {
        let (sort, within) = match (option(rest), list(rest), map(rest)) {
            (Some(within), ..) => {
                rest = within;
                continue;
            }
            (_, Some(within), _) => (Sort::List, Some(within)),
            (_, _, Some(within)) => (Sort::Map, Some(within)),
            _ => (Sort::Leaf, None),
        };
        let named = FIELDS.iter().find(|(field, _)| all.is_empty() && *field == key);
        all.push((sort, named.map_or_else(|| go(rest), |(_, name)| (*name).to_owned())));
        match within {
            Some(within) => rest = within,
            None => return all,
        }
    }
}

/// A type as Go writes it.
fn go(rust: &str) -> String {
    if let Some(within) = option(rust) {
        return go(within);
    }
    if let Some(within) = list(rust) {
        return format!("[]{}", go(within));
    }
    if let Some(within) = map(rust) {
        return format!("map[string]{}", go(within));
    }
    let name = rust.rsplit("::").next().unwrap_or(rust);
    let struct_of = |name: &str| {
        let renamed = STRUCTS.iter().find(|(ours, ..)| *ours == name).map(|(_, package, theirs)| format!("{package}.{theirs}"));
        let package = || PACKAGES.iter().find(|(ours, _)| *ours == name).map_or("container", |(_, package)| package);
        renamed.unwrap_or_else(|| format!("{}.{name}", package()))
    };
    match name {
        "String" | "Words" => "string".into(),
        "bool" => "bool".into(),
        "i64" => "int64".into(),
        "i32" => "int".into(),
        "u16" => "uint16".into(),
        "u32" => "uint".into(),
        "u64" => "uint64".into(),
        "Nothing" => "struct {}".into(),
        other => struct_of(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CreateBody, ExecStartBody, VolumeBody};

    fn check<T: serde::de::DeserializeOwned>(body: &str, expect: &str) {
        let error = serde_json::from_str::<T>(body).err().unwrap_or_else(|| panic!("{body} is taken"));
        assert_eq!(words(body.as_bytes(), &error).unwrap_or_else(|| error.to_string()), expect, "{body}");
    }

    /// As a dockerd said it.
    #[test]
    fn of_a_container() {
        for line in include_str!("gojson.txt").lines() {
            let (body, expect) = line.split_once(" -> ").unwrap();
            check::<CreateBody>(body, expect);
        }
    }

    #[test]
    fn of_others() {
        check::<ExecStartBody>(
            r#"{"Detach":3}"#,
            "json: cannot unmarshal number into Go struct field ExecStartOptions.Detach of type bool",
        );
        check::<VolumeBody>(
            r#"{"DriverOpts":{"a":1}}"#,
            "json: cannot unmarshal number into Go struct field CreateOptions.DriverOpts of type string",
        );
        check::<VolumeBody>("[]", "json: cannot unmarshal array into Go value of type volume.CreateOptions");
    }
}
