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
        ("/linux/namespaces", json!([{"type": "pid"}]), "hostname"),
        ("/linux/namespaces", json!([{"type": "uts"}, {"type": "user"}]), "linux.namespaces"),
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
        ("/hooks", json!({"prestart": {"path": "/bin/true"}}), "hooks.prestart"),
        ("/hooks", json!({"createRuntime": [{"path": "/nowhere"}]}), "createRuntime"),
        ("/process/terminal", json!("yes"), "process.terminal"),
        ("/process/capabilities", json!(["CAP_KILL"]), "process.capabilities"),
        ("/process/rlimits", json!([{"type": "RLIMIT_ODD", "soft": 1, "hard": 1}]), "process.rlimits[0].type"),
        ("/process/apparmorProfile", json!("no-such-profile"), "apparmor"),
        ("/mounts", json!([{"destination": "/a", "type": "bind", "source": "/etc", "options": ["bind", "idmap"]}]), "mounts.options"),
        ("/mounts", json!([{"destination": "/a", "type": "tmpfs", "source": "tmpfs", "options": ["size=odd"]}]), "size"),
        ("/mounts", json!({"destination": "/a"}), "mounts"),
        ("/linux/uidMappings", json!([{"containerID": 0, "hostID": 5, "size": 1}]), "linux.gidMappings"),
        ("/linux/namespaces", namespaces(json!({"type": "pid", "path": "/proc/1/ns/pid_for_nobody"})), "/proc/1/ns/pid_for_nobody"),
        ("/linux/timeOffsets", json!({"monotonic": {"secs": 1}}), "linux.timeOffsets.monotonic"),
        ("/linux/netDevices", json!({"no-such-link": {}}), "linux.netDevices.no-such-link"),
        ("/linux/intelRdt", json!({"closID": "x"}), "linux.intelRdt"),
        ("/linux/devices", json!([{"path": "/dev/x", "type": "z"}]), "linux.devices[0].type"),
        ("/linux/resources/devices", json!([{"allow": true, "type": "c", "access": "odd"}]), "devices"),
        ("/linux/resources/hugepageLimits", json!([{"pageSize": "3KB", "limit": 1}]), "hugetlb.3KB"),
        ("/linux/resources/memory", json!({"limit": "much"}), "linux.resources.memory.limit"),
        ("/linux/resources/pids", json!({"limit": 1_u64 << 40}), "pids"),
        ("/linux/resources/unified", json!({"../odd": "1"}), "unified"),
        ("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "SCMP_ACT_NOTIFY cannot be the default action"),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_NOTIFY"}]}),
            "SCMP_ACT_NOTIFY needs a listenerPath",
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_NOTIFY"}],
            "listenerPath": "/nowhere.sock"}),
            "/nowhere.sock",
        ),
        ("/linux/rootfsPropagation", json!("odd"), "linux.rootfsPropagation"),
        ("/linux/personality", json!({"domain": "LINUX", "flags": ["odd"]}), "linux.personality.flags"),
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
