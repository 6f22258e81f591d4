//! The configuration read again on SIGHUP.

use dhow_tests::engine::{self, Options};
use dhow_tests::{Engine, until};
use serde_json::Value;

fn info(engine: &Engine, format: &str) -> String {
    engine.dhow(["info", "--format", format]).ok()
}

/// The attributes of the last event of that kind.
fn reloads(engine: &Engine) -> Vec<Value> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() + 1;
    let words = ["events", "--since", "1", "--until", &now.to_string(), "--filter", "type=daemon", "--format", "{{json .}}"];
    let text = engine.dhow(words).ok();
    text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).filter(|event| event["Action"] == "reload").collect()
}

#[test]
fn what_changes_in_a_running_daemon() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("daemon.json");
    let config = |text: &str| std::fs::write(&file, text).expect("a configuration");
    config(r#"{"labels":["a=b"]}"#);
    let flags = vec!["--config-file".to_owned(), file.to_string_lossy().into_owned()];
    let engine = Engine::with(Options { flags, ..Options::default() });
    engine.ok("run -d --name box busybox sleep 1000");
    assert_eq!(info(&engine, "{{json .Labels}} {{.LiveRestoreEnabled}} {{.DefaultRuntime}}"), r#"["a=b"] true runc"#);

    config(
        r#"{"labels":["a=c","d=e"],"live-restore":false,"runtimes":{"other":{"path":"/opt/other"}},"default-runtime":"other",
            "registry-mirrors":["http://mirror.example"],"insecure-registries":["plain.example"],"max-concurrent-downloads":1}"#,
    );
    engine::kill(engine.pid(), 1);
    until("it is told", || reloads(&engine).len() == 1);
    assert_eq!(info(&engine, "{{json .Labels}} {{.LiveRestoreEnabled}} {{.DefaultRuntime}}"), r#"["a=c","d=e"] false other"#);
    let event = reloads(&engine).remove(0);
    assert_eq!((&event["Type"], &event["Actor"]["ID"]), (&"daemon".into(), &info(&engine, "{{.ID}}").into()));
    let told = &event["Actor"]["Attributes"];
    let registries = "{{json .RegistryConfig.Mirrors}} {{(index .RegistryConfig.IndexConfigs \"plain.example\").Secure}}";
    assert_eq!(info(&engine, registries), r#"["http://mirror.example/"] false"#);
    assert_eq!(
        (&told["registry-mirrors"], &told["insecure-registries"]),
        (&r#"["http://mirror.example"]"#.into(), &r#"["plain.example"]"#.into())
    );
    let facts = ["labels", "live-restore", "default-runtime", "runtimes", "max-concurrent-downloads", "name"].map(|key| told[key].clone());
    let name = info(&engine, "{{.Name}}");
    assert_eq!(facts, [r#"["a=c","d=e"]"#, "false", "other", "other:/opt/other runc:dhow", "1", &name]);
    let refused = engine.run("run --rm busybox true").fails(127);
    assert!(refused.contains("/opt/other"), "the default runtime is another one now: {refused}");

    // What cannot be used changes nothing, and nobody is told.
    for bad in [r#"{"labels":["a"]}"#, "{", r#"{"default-runtime":"nosuch"}"#, r#"{"nosuchkey":1}"#, r#"{"bridge":"x"}"#] {
        config(bad);
        let before = engine.log().matches("configuration not read again").count();
        engine::kill(engine.pid(), 1);
        until("it is refused", || engine.log().matches("configuration not read again").count() > before);
    }
    assert_eq!(reloads(&engine).len(), 1);
    assert_eq!(info(&engine, "{{json .Labels}} {{.DefaultRuntime}}"), r#"["a=c","d=e"] other"#);

    config("{}");
    engine::kill(engine.pid(), 1);
    until("it is told", || reloads(&engine).len() == 2);
    assert_eq!(engine.ok("run --rm busybox echo ours"), "ours");
    assert_eq!(engine.ok("exec box echo lives"), "lives");
    engine.finish();
}

/// Defaults of containers, each key that Docker reads again.
#[test]
fn containers_that_are_made_after_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("daemon.json");
    let config = |text: &str| std::fs::write(&file, text).expect("a configuration");
    config("{}");
    let flags = vec!["--config-file".to_owned(), file.to_string_lossy().into_owned()];
    let engine = Engine::with(Options { flags, ..Options::default() });
    let made = || {
        let id = engine.ok("create busybox true");
        let host = engine.inspect(&id)["HostConfig"].clone();
        ["ShmSize", "IpcMode", "CgroupnsMode", "NetworkMode"].map(|key| host[key].to_string()).join(" ")
    };
    assert_eq!(made(), r#"67108864 "private" "private" "bridge""#);
    let all = r#""default-shm-size":"1m","default-ipc-mode":"shareable","default-cgroupns-mode":"host""#;
    let more = r#""debug":true,"max-concurrent-uploads":2,"max-download-attempts":3,"shutdown-timeout":7,"features":{"cdi":false}"#;
    config(&format!("{{{all},{more}}}"));
    engine::kill(engine.pid(), 1);
    until("it is told", || reloads(&engine).len() == 1);
    assert_eq!(made(), r#"1048576 "shareable" "host" "bridge""#);
    let told = reloads(&engine).remove(0)["Actor"]["Attributes"].clone();
    for (key, value) in [
        ("default-shm-size", "1048576"),
        ("default-ipc-mode", "shareable"),
        ("default-cgroupns-mode", "host"),
        ("debug", "true"),
        ("max-concurrent-uploads", "2"),
        ("max-download-attempts", "3"),
        ("shutdown-timeout", "7"),
        ("features", "map[cdi:false]"),
    ] {
        assert_eq!(told[key], value, "{key}");
    }
    engine.finish();
}
