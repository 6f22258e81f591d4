//! The specification as snapshots: what a container gets for what it asks.

use super::*;
use crate::container::testing::container;
use crate::model::{Mount, MountKind, Resources, Sandbox};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn spec_of(change: impl FnOnce(&mut Container)) -> serde_json::Value {
    spec_in(None, change)
}

fn spec_in(userns: Option<&Userns>, change: impl FnOnce(&mut Container)) -> serde_json::Value {
    let mut c = container(ID, "web");
    c.request.hostname = "0123456789ab".into();
    c.path = "sh".into();
    c.args = vec!["-c".into(), "true".into()];
    c.sandbox =
        Sandbox { resolv_conf: "/d/resolv.conf".into(), hostname: "/d/hostname".into(), hosts: "/d/hosts".into(), ..Sandbox::default() };
    change(&mut c);
    let host = Host::sample();
    let user = Resolved { uid: 0, gid: 0, groups: vec![0, 10], home: "/root".into() };
    let capabilities = crate::container::start::capabilities(&c).unwrap();
    let init = c.request.host.init.then(|| Path::new("/data/init/docker-init"));
    let spec = build(Inputs {
        container: &c,
        host: &host,
        user: &user,
        capabilities: &capabilities,
        linked: &[],
        joins: &Joins { network: Some("/run/dhow/netns/x".into()), ..Joins::default() },
        userns,
        cgroup: format!("/dhow/{ID}"),
        init,
        devices: Devices { rules: policy::devices::rules(c.request.host.privileged), ..Devices::default() },
        apparmor: None,
    });
    sorted(serde_json::to_value(spec).unwrap())
}

/// Sets have no order: capabilities and sysctls are sorted for the eye.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let ordered: std::collections::BTreeMap<_, _> = map
                .into_iter()
                .map(|(key, value)| {
                    let mut value = sorted(value);
                    if matches!(key.as_str(), "bounding" | "effective" | "permitted")
                        && let Value::Array(list) = &mut value
                    {
                        list.sort_by_key(ToString::to_string);
                    }
                    (key, value)
                })
                .collect();
            Value::Object(ordered.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

fn show(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

#[test]
fn by_default() {
    insta::assert_snapshot!(show(&spec_of(|_| {})));
}

#[test]
fn ids_mapped() {
    let ranges = vec![Range { container: 0, host: 100_000, size: 65_536 }];
    let map = dhow_runtime::idmap::IdMap { uids: ranges.clone(), gids: ranges };
    let (plain, new) = (spec_of(|_| {}), spec_in(Some(&Userns { map: map.clone(), join: None }), |_| {}));
    let expect = serde_json::json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    assert_eq!((&new["linux"]["uidMappings"], &new["linux"]["gidMappings"]), (&expect, &expect));
    let namespaces = |spec: &serde_json::Value| spec["linux"]["namespaces"].as_array().unwrap().clone();
    let user: Vec<_> = namespaces(&new).into_iter().filter(|ns| !namespaces(&plain).contains(ns)).collect();
    assert_eq!(user, [serde_json::json!({"type": "user"})]);
    assert_eq!(new["linux"]["sysctl"], serde_json::json!({"net.ipv4.ip_unprivileged_port_start": "0"}));
    assert!(plain["linux"]["uidMappings"].is_null());
    let joined = spec_in(Some(&Userns { map, join: Some("/proc/7/ns/user".into()) }), |_| {});
    assert!(namespaces(&joined).contains(&serde_json::json!({"type": "user", "path": "/proc/7/ns/user"})));
}

#[test]
fn privileged() {
    insta::assert_snapshot!(show(&spec_of(|c| c.request.host.privileged = true)));
}

#[test]
fn read_only_with_mounts_and_init() {
    insta::assert_snapshot!(show(&spec_of(|c| {
        let bind = |source: &str, target: &str, read_only| Mount {
            kind: MountKind::Bind,
            source: source.into(),
            target: target.into(),
            read_only,
            bind: Default::default(),
            propagation: String::new(),
            create_source: true,
            options: vec![],
            volume: None,
            image: None,
            inherited: false,
        };
        let h = &mut c.request.host;
        h.read_only = true;
        h.init = true;
        h.mounts = vec![bind("/a", "/data/deep/../in", true), bind("/b", "/data", false), bind("/my-hosts", "/etc/hosts", false)];
        h.mounts.push(Mount {
            kind: MountKind::Tmpfs,
            source: Default::default(),
            target: "/tmp".into(),
            options: vec!["size=1m".into()],
            ..bind("", "/", false)
        });
        c.request.tty = true;
        c.request.console_size = Some((24, 80));
    })));
}

#[test]
fn limits_and_shared_namespaces() {
    insta::assert_snapshot!(show(&spec_of(|c| {
        let h = &mut c.request.host;
        h.resources =
            Resources { memory: 64 << 20, memory_swap: 128 << 20, nano_cpus: 1_500_000_000, pids_limit: Some(50), ..Resources::default() };
        h.network = NetworkMode::Container("other".into());
        h.pid = NamespaceMode::Host;
        h.ipc = IpcMode::Host;
        h.uts = NamespaceMode::Host;
        h.ulimits = vec![crate::model::Ulimit { name: "nofile".into(), soft: 1024, hard: -1 }];
        h.oom_score_adj = 500;
        h.no_new_privileges = true;
        c.request.working_dir = "/srv/../app".into();
    })));
}
