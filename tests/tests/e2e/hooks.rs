//! Hooks of devices by name: programs that run at moments of a container's life.

use dhow_tests::engine::Options;
use dhow_tests::{Engine, wait};
use std::path::Path;

/// A hook at a moment, as a line of shell. What comes on its standard input goes to `FILE.state`.
fn hook(dir: &Path, moment: &str, script: &str) -> String {
    let file = dir.join(format!("{moment}.state"));
    let script = format!("cat > {}; {script}", file.display()).replace('"', "\\\"");
    format!(
        "  - hookName: {moment}\n    path: /bin/sh\n    args: [sh, -c, \"{script}\"]\n    env: [\"PATH=/usr/bin:/bin\", \"MOMENT={moment}\"]\n    timeout: 10\n"
    )
}

/// An engine that knows one device, `test.dhow/thing=one`, with these hooks.
fn engine(dir: &Path, hooks: &str) -> Engine {
    let head =
        "cdiVersion: 0.6.0\nkind: test.dhow/thing\ndevices:\n- name: one\n  containerEdits:\n    env: [ONE=1]\ncontainerEdits:\n  hooks:\n";
    std::fs::write(dir.join("thing.yaml"), format!("{head}{hooks}")).expect("a file");
    Engine::with(Options { flags: vec!["--cdi-spec-dir".into(), dir.to_string_lossy().into_owned()], ..Options::default() })
}

fn state(dir: &Path, moment: &str) -> serde_json::Value {
    let text = std::fs::read(dir.join(format!("{moment}.state"))).unwrap_or_else(|error| panic!("{moment}: {error}"));
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn they_run_in_their_order_and_places() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let say = |words: &str| format!("echo {words} >> {}", log.display());
    let told = dir.path().join("createContainer.state");
    let bundle = format!("$(grep -o '\"bundle\":\"[^\"]*\"' {} | cut -d'\"' -f4)", told.display());
    let hooks = [
        hook(dir.path(), "createRuntime", &say("createRuntime $MOMENT")),
        hook(dir.path(), "createContainer", &format!("echo made > {bundle}/rootfs/made; {}", say("createContainer"))),
        hook(dir.path(), "poststart", &say("poststart")),
        hook(dir.path(), "poststop", &say("poststop")),
    ];
    let engine = engine(dir.path(), &hooks.concat());
    let shown =
        engine.dhow(["run", "--name", "box", "--annotation", "a=b", "--device", "test.dhow/thing=one", "busybox", "cat", "/made"]).ok();
    assert_eq!(shown, "made");
    engine.ok("rm box");
    // The last of a container goes behind the back of whoever removes it.
    let said = || std::fs::read_to_string(&log).expect("a log");
    wait::until("the last hook", || said().lines().count() >= 4);
    assert_eq!(said(), "createRuntime createRuntime\ncreateContainer\npoststart\npoststop\n");
    let statuses = ["createRuntime", "createContainer", "poststart", "poststop"].map(|moment| state(dir.path(), moment)["status"].clone());
    assert_eq!(statuses, ["creating", "creating", "running", "stopped"]);
    let early = state(dir.path(), "createRuntime");
    assert!(early["pid"].as_i64().is_some_and(|pid| pid > 1), "{early}");
    assert_eq!(early["annotations"]["a"], "b");
    assert_eq!(state(dir.path(), "createContainer")["pid"], 1);
    assert!(state(dir.path(), "poststop")["pid"].is_null());
    engine.finish();
}

#[test]
fn a_hook_that_fails_stops_the_start() {
    let check = |moment: &str, script: &str, expect: &str| {
        let dir = tempfile::tempdir().expect("a directory");
        let engine = engine(dir.path(), &hook(dir.path(), moment, script));
        let said = engine.shell("--device test.dhow/thing=one", "echo ran").fails(125);
        assert!(said.contains(expect), "{moment}: {said}");
        assert!(!said.contains("ran\n"), "{moment}: {said}");
        engine.finish();
    };
    let failed = "error running createRuntime hook #0: exit status 3, stdout: , stderr: no luck";
    check("createRuntime", "echo no luck >&2; exit 3", failed);
    check("createContainer", "exit 4", "error running createContainer hook #0: exit status 4, stdout: , stderr: ");
}

#[test]
fn a_hook_in_the_container() {
    let dir = tempfile::tempdir().expect("a directory");
    // It is the container's shell with the container's rights.
    let hooks = "  - hookName: startContainer\n    path: /bin/sh\n    args: [sh, -c, \"busybox id -u > /tmp/hook; grep Seccomp: /proc/self/status >> /tmp/hook; cat >> /tmp/hook\"]\n    env: [\"PATH=/bin:/usr/bin\"]\n";
    let engine = engine(dir.path(), hooks);
    let flags = "--device test.dhow/thing=one --user 1000 --tmpfs /tmp:mode=1777";
    let shown = engine.shell(flags, "cat /tmp/hook").ok();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[..2], ["1000", "Seccomp:\t2"], "{shown}");
    let state: serde_json::Value = serde_json::from_str(lines[2]).expect("JSON");
    assert_eq!((&state["status"], &state["pid"]), (&"created".into(), &1.into()));
    engine.finish();
}

#[test]
fn a_hook_has_its_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let hooks = "  - hookName: createRuntime\n    path: /bin/sleep\n    args: [sleep, \"1000\"]\n    timeout: 1\n";
    let engine = engine(dir.path(), hooks);
    let said = engine.shell("--device test.dhow/thing=one", "true").fails(125);
    assert!(said.contains("error running createRuntime hook #0: hook ran past specified timeout of 1.0s"), "{said}");
    engine.finish();
}
