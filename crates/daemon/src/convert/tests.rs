//! From a create body to what inspect and ps show, as a whole.

use super::{defaults, document::Document, inspect, request};
use crate::facts::Facts;
use dhow_api::ApiVersion;
use dhow_api::types::CreateBody;
use dhow_engine::model::{Container, IpcMode, MountKind, NamespaceMode, NetworkMode, Request, Sandbox, Seccomp, State, Status};
use std::collections::BTreeMap;

fn facts() -> Facts {
    Facts { id: "engine".into(), log_driver: "json-file".into(), ..Facts::default() }
}

fn convert(json: &str) -> Result<(Request, Vec<String>), (u16, String)> {
    let body: CreateBody = serde_json::from_str(json).unwrap();
    let resolve = |name: &str| Ok(format!("{name}-id"));
    request::convert(body, b"{}", &facts(), &resolve).map_err(|failure| (failure.0.status, failure.0.message))
}

pub(crate) fn container(json: &str) -> Container {
    let (mut request, _) = convert(json).unwrap();
    // What the engine merges.
    request.hostname = "aaaaaaaaaaaa".into();
    Container {
        id: "a".repeat(64),
        name: "web".into(),
        created: 1_700_000_000_000_000_000,
        image_id: "sha256:1".into(),
        path: "sh".into(),
        args: vec!["-c".into(), "echo hi".into()],
        state: State {
            status: Status::Exited,
            pid: 0,
            pid_start_time: 0,
            exit_code: 3,
            error: String::new(),
            oom_killed: false,
            started_at: Some(1_700_000_000_000_000_000),
            finished_at: Some(1_700_000_001_500_000_000),
            ..State::default()
        },
        execs: Vec::new(),
        sandbox: Sandbox::default(),
        networks: BTreeMap::new(),
        published: Vec::new(),
        log_path: "/d/x-json.log".into(),
        graph: BTreeMap::from([("UpperDir".into(), "/d/upper".into())]),
        request,
    }
}

pub(crate) const SMALL: &str = r#"{"Image":"busybox","Cmd":["sh","-c","echo hi"],"Env":["A=b"]}"#;

#[test]
fn inspect_in_docker_order() {
    let shown = inspect::container(&container(SMALL), &facts());
    insta::assert_snapshot!("inspect", serde_json::to_string_pretty(&shown).unwrap());
}

#[test]
fn list_entry_in_docker_order() {
    let container = container(SMALL);
    let now = 1_700_000_001_500_000_000 + 180_000_000_000;
    let shown = inspect::summary(&container, &Document::of(&container), now, false);
    insta::assert_snapshot!("summary", serde_json::to_string_pretty(&shown).unwrap());
}

#[test]
fn what_the_engine_is_asked() {
    let json = r#"{"Image":"x","Tty":true,"StopSignal":"INT","HostConfig":{"NetworkMode":"host","PidMode":"container:db","IpcMode":"host",
        "Privileged":false,"CapAdd":["net_admin"],"SecurityOpt":["seccomp=unconfined"],"Binds":["/a:/b:ro"],"Tmpfs":{"/run":"size=1m"},
        "Memory":67108864,"NanoCpus":1500000000,"PidsLimit":0,"ShmSize":1024,"ConsoleSize":[24,80],"Init":true,"ReadonlyRootfs":true,
        "Ulimits":[{"Name":"nofile","Soft":1,"Hard":2}],"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":2}}}"#;
    let (request, warnings) = convert(json).unwrap();
    let host = &request.host;
    assert_eq!((&host.network, &host.pid, &host.ipc), (&NetworkMode::Host, &NamespaceMode::Container("db-id".into()), &IpcMode::Host));
    assert_eq!((host.seccomp.clone(), host.init, host.read_only, host.shm_size), (Seccomp::Unconfined, true, true, 1024));
    assert_eq!(host.mounts.iter().map(|m| m.kind).collect::<Vec<_>>(), [MountKind::Bind, MountKind::Tmpfs]);
    assert_eq!((host.resources.memory, host.resources.nano_cpus, host.resources.pids_limit), (67_108_864, 1_500_000_000, None));
    assert_eq!((request.tty, request.console_size, request.stop_signal.as_deref()), (true, Some((24, 80)), Some("INT")));
    assert_eq!(host.restart, Some(("on-failure".into(), 2)));
    assert_eq!(warnings, Vec::<String>::new());
    let document: Document = serde_json::from_str(&request.document).unwrap();
    assert_eq!(document.host_config.pid_mode, "container:db-id");
}

#[test]
fn nothing_is_dropped_in_silence() {
    let check = |host: &str, status: u16, expect: &str| {
        let json = format!(r#"{{"Image":"x","HostConfig":{host}}}"#);
        assert_eq!(convert(&json).unwrap_err(), (status, expect.to_owned()), "{host}");
    };
    check(r#"{"IOMaximumIOps":1}"#, 400, "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps");
    check(r#"{"CpuPeriod":-1}"#, 400, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
    check(r#"{"NetworkMode":"none","PortBindings":{"x":[]}}"#, 400, "invalid port specification: \"x\"");
    check(r#"{"CpuShares":-1}"#, 400, "invalid CPU shares (-1): value must be a positive integer");
    check(r#"{"MemorySwappiness":-2}"#, 400, "Invalid value: -2, valid memory swappiness range is 0-100");
    check(r#"{"VolumesFrom":["x:nocopy"]}"#, 400, "invalid mode: nocopy");
    check(r#"{"VolumesFrom":[":ro"]}"#, 400, "invalid name or ID supplied: \"\"");
    check(r#"{"VolumesFrom":[""]}"#, 400, "volumes-from specification cannot be an empty string");
    let part = r#"{"Mounts":[{"Type":"volume","Source":"vol","Target":"/x","VolumeOptions":{"Subpath":"../a"}}]}"#;
    check(part, 400, "invalid mount config for type \"volume\": subpath must be a relative path within the volume");
    check(r#"{"Links":["a:b:c"]}"#, 400, "bad format for links: a:b:c");
    check(
        r#"{"Links":["a"],"NetworkMode":"host"}"#,
        400,
        "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
    );
    check(r#"{"Runtime":"nope"}"#, 400, "unknown or invalid runtime name: nope");
    check(r#"{"IpcMode":"foo"}"#, 400, "invalid IPC mode: foo");
    check(r#"{"PidMode":"foo"}"#, 400, "invalid PID mode: foo");
    check(r#"{"UsernsMode":"private"}"#, 400, "invalid userns mode: private");
    check(r#"{"ShmSize":-1}"#, 400, "SHM size can not be less than 0");
    // A path where something is mounted is no volume.
    let host = r#"{"Binds":["/a:/data"],"Mounts":[{"Type":"bind","Source":"/a","Target":"/m"}],"Tmpfs":{"/t":""}}"#;
    convert(&format!(r#"{{"Image":"x","Volumes":{{"/data/":{{}},"/m":{{}},"/t":{{}}}},"HostConfig":{host}}}"#)).unwrap();
}

#[test]
fn the_image_fills_what_only_docker_knows() {
    let mut config = dhow_api::types::Config::default();
    let raw = br#"{"config":{"ExposedPorts":{"80/tcp":{}},"Volumes":{"/v":{}},"Healthcheck":{"Test":["CMD","true"]}}}"#;
    defaults::image_config(&mut config, &defaults::image_config_of(raw));
    assert!(config.exposed_ports.contains_key("80/tcp") && config.volumes.unwrap().contains_key("/v") && config.healthcheck.is_some());
}

#[test]
fn older_clients_could_not_mean_newer_fields() {
    let mut body: CreateBody = serde_json::from_str(r#"{"Image":"x","HostConfig":{"ConsoleSize":[1,2],"Annotations":{"a":"b"}}}"#).unwrap();
    super::versions::adapt(&mut body, ApiVersion::v1(39)).unwrap();
    let host = body.host_config.unwrap();
    assert_eq!((host.ipc_mode.as_str(), host.console_size, host.annotations.len()), ("shareable", [0, 0], 0));
}
