//! What is wrong in a specification is refused by its name, and leaves nothing behind.

use dhow_tests::Bundle;
use serde_json::{Value, json};

/// Sets a value at a path like `/process/args`; null takes it away.
fn set(config: &mut Value, pointer: &str, value: Value) {
    let (above, name) = pointer.rsplit_once('/').unwrap();
    let above = config.pointer_mut(above).unwrap_or_else(|| panic!("{pointer}")).as_object_mut().unwrap();
    match value {
        Value::Null => above.remove(name),
        value => above.insert(name.to_owned(), value),
    };
}

#[test]
fn a_wrong_specification_is_refused_by_name() {
    let bundle = Bundle::new();
    let namespaces = |more: Value| {
        let mut all = bundle.config["linux"]["namespaces"].as_array().unwrap().clone();
        all.retain(|one| one["type"] != more["type"]);
        all.push(more);
        Value::Array(all)
    };
    let cases: Vec<(&str, Value, &str)> = vec![
        ("/ociVersion", json!(5), "ociVersion"),
        ("/ociVersion", json!("3.0.0"), "ociVersion"),
        ("/root", Value::Null, "root: is missing"),
        ("/root/path", json!("nowhere"), "root.path"),
        ("/root/path", json!(["a"]), "root.path"),
        ("/process", Value::Null, "process"),
        ("/process/args", json!([]), "process.args"),
        ("/process/args", json!("sh"), "process.args"),
        ("/process/cwd", json!("relative"), "process.cwd"),
        ("/process/env", json!(["novalue"]), "process.env[0]"),
        ("/process/user/uid", json!(-1), "process.user.uid"),
        ("/process/user/uid", json!("root"), "process.user.uid"),
        ("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 8}]), "process.rlimits.RLIMIT_NOFILE"),
        ("/process/oomScoreAdj", json!(2000), "process.oomScoreAdj"),
        ("/linux", Value::Null, "linux"),
        ("/linux/namespaces", namespaces(json!({"type": "network", "path": "/proc/nowhere"})), "/proc/nowhere"),
        ("/linux/namespaces", namespaces(json!({"type": "network", "path": "/proc/1/ns/uts"})), "/proc/1/ns/uts"),
        ("/linux/namespaces", namespaces(json!({"type": "network", "path": "relative"})), "linux.namespaces.net"),
        ("/linux/namespaces", namespaces(json!({"type": "odd"})), "linux.namespaces[5].type"),
        ("/linux/namespaces", json!([{"type": "pid"}]), "linux.namespaces"),
        ("/linux/sysctl", json!({"kernel.panic": "1"}), "linux.sysctl.kernel.panic"),
        ("/linux/sysctl", json!({"net.ipv4.no_such_name": "1"}), "no_such_name"),
        ("/linux/cgroupsPath", json!("/"), "linux.cgroupsPath"),
        ("/linux/resources/memory", json!({"limit": 50 << 20, "swap": 10 << 20}), "memory"),
        ("/linux/resources/cpu", json!({"cpus": "4000"}), "cpuset.cpus"),
        ("/linux/resources/cpu", json!({"quota": 1}), "cpu"),
        ("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_NOPE"}), "linux.seccomp.defaultAction"),
        ("/mounts", json!([{"destination": "/a", "type": "nosuchfs", "source": "x"}]), "/a"),
        ("/mounts", json!([{"destination": "/a", "type": "bind", "source": "/nowhere", "options": ["bind"]}]), "/nowhere"),
        ("/hooks", json!({"poststop": [{"path": "relative"}]}), "hooks.poststop.path"),
    ];
    for (pointer, value, expect) in cases {
        let mut config = bundle.config.clone();
        config["process"]["args"] = json!(["true"]);
        set(&mut config, pointer, value.clone());
        bundle.write(&config);
        for verb in ["create", "run"] {
            let out = bundle.call(&format!("{verb} box"));
            assert_eq!(out.code, 1, "{verb} {pointer} {value}: {out}");
            assert!(out.stderr().contains(expect), "{verb} {pointer} {value}: {out}");
            assert_eq!(bundle.left(), [""; 0], "{verb} {pointer} {value}");
        }
    }
}

#[test]
fn what_is_unknown_is_skipped() {
    let bundle = Bundle::new();
    let mut config = bundle.config.clone();
    config["process"]["args"] = json!(["echo", "fine"]);
    for pointer in ["/odd", "/process/odd", "/root/odd", "/linux/odd", "/linux/resources/odd"] {
        set(&mut config, pointer, json!({"a": [1, {"b": null}]}));
    }
    bundle.write(&config);
    assert_eq!(bundle.ok("run box"), "fine");
}

#[test]
fn a_wrong_command_line_is_refused() {
    let bundle = Bundle::new();
    for (words, expect) in [
        ("create", "requires exactly 1 argument"),
        ("create a b", "requires exactly 1 argument"),
        ("create a/b", "invalid container ID format: a/b"),
        ("create ..", "invalid container ID format: .."),
        ("create --nope a", "flag provided but not defined: -nope"),
        ("create --bundle /nowhere a", "/nowhere: no such file or directory"),
        ("create --console-socket /nowhere a", "cannot use console socket"),
        ("create --pid-file /nowhere/pid a", "/nowhere/pid"),
        ("kill a NOPE", "container does not exist"),
        ("--log-format xml list", "invalid log-format: xml"),
        ("list --format xml", "invalid format option"),
    ] {
        let out = bundle.call(words);
        assert!(out.code != 0 && out.stderr().contains(expect), "{words}: {out}");
        assert_eq!(bundle.left(), [""; 0], "{words}");
    }
}
