//! `dhow runtime` by itself: the lives of containers, told by its own words.

use dhow_tests::{Bundle, leaks, until};
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn a_container_from_create_to_delete() {
    let bundle = Bundle::new();
    bundle.program(&["sleep", "1000"]);
    bundle.leave(&["create", "--pid-file", "pid", "box"]);
    let state = bundle.state("box");
    let pid: i32 = std::fs::read_to_string(bundle.dir().join("pid")).unwrap().parse().unwrap();
    assert_eq!((state["status"].as_str(), state["pid"].as_i64()), (Some("created"), Some(i64::from(pid))));
    let dir = bundle.dir().canonicalize().unwrap();
    assert_eq!((state["bundle"].as_str(), state["rootfs"].as_str()), (dir.to_str(), dir.join("rootfs").to_str()));
    assert!(bundle.call("create box").fails(1).contains("container with given ID already exists"));
    // The program of the waiting process is not the file on the disk.
    assert_ne!(std::fs::read_link(format!("/proc/{pid}/exe")).unwrap(), dhow_tests::paths::dhow().canonicalize().unwrap());
    assert!(bundle.call("delete --help").ok().contains("--force"));

    bundle.ok("start box");
    assert_eq!(bundle.status("box"), "running");
    assert!(bundle.call("start box").fails(1).contains("cannot start an already running container"));
    assert!(bundle.call("delete box").fails(1).contains("cannot delete container box that is not stopped: running"));
    until("sleep runs", || leaks::command_line(pid).starts_with("sleep"));

    bundle.ok("pause box");
    assert_eq!(bundle.status("box"), "paused");
    assert!(bundle.call("exec box true").fails(255).contains("cannot exec in a paused container"));
    bundle.ok("resume box");
    assert_eq!(bundle.status("box"), "running");
    assert!(bundle.call("resume box").fails(1).contains("container not paused"));

    bundle.ok("kill box KILL");
    until("it has ended", || bundle.status("box") == "stopped");
    assert_eq!(bundle.state("box")["pid"], 0);
    assert!(bundle.call("kill box").fails(1).contains("container not running"));
    assert!(bundle.call("exec box true").fails(255).contains("cannot exec in a stopped container"));
    assert!(bundle.call("start box").fails(1).contains("cannot start a container that has stopped"));
    bundle.ok("delete box");
    for words in ["state box", "delete box", "kill box", "start box", "pause box", "ps box", "update box", "events box", "exec box true"] {
        assert!(bundle.call(words).stderr().contains("container does not exist"), "{words}");
    }
    bundle.ok("delete --force box");
    assert_eq!(bundle.left(), [""; 0]);
}

#[test]
fn run_stays_until_the_end_and_leaves_nothing() {
    let bundle = Bundle::new();
    bundle.program(&["sh", "-c", "cat; echo err >&2; hostname; exit 7"]);
    let out = bundle.runtime(&["run", "box"]).input("typed\n").run();
    assert_eq!((out.code, out.stdout().as_str(), out.stderr().as_str()), (7, "typed\nbox\n", "err\n"), "{out}");
    bundle.program(&["sh", "-c", "sh -c 'kill -9 $$'; exit $?"]);
    assert_eq!(bundle.call("run box").code, 137);
    assert_eq!(bundle.left(), [""; 0]);
    assert_eq!(bundle.call("run --keep box").code, 137);
    assert_eq!(bundle.status("box"), "stopped");
    bundle.ok("delete box");
    assert_eq!(bundle.left(), [""; 0]);
}

#[test]
fn a_signal_to_run_is_the_containers() {
    let bundle = Bundle::new();
    bundle.program(&["sh", "-c", "trap 'exit 5' TERM; touch /up; while :; do sleep 0.05; done"]);
    let child = bundle.runtime(&["run", "box"]).spawn();
    until("the trap is set", || bundle.dir().join("rootfs/up").exists());
    dhow_tests::engine::kill(child.id() as i32, 15);
    assert_eq!(dhow_tests::finish_child(child).code, 5);
    assert_eq!(bundle.left(), [""; 0]);
}

#[test]
fn errors_are_logged_as_callers_parse_them() {
    let bundle = Bundle::new();
    bundle.program(&["nosuch"]);
    let words = "runc create failed: unable to start container process: exec: \"nosuch\": executable file not found in $PATH";
    let out = bundle.call("--log log --log-format json create box");
    assert_eq!((out.code, out.stderr().trim_end()), (1, words));
    let line: Value = serde_json::from_str(std::fs::read_to_string(bundle.dir().join("log")).unwrap().trim_end()).unwrap();
    assert_eq!((line["level"].as_str(), line["msg"].as_str()), (Some("error"), Some(words)));
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(bundle.left(), [""; 0]);
    let out = bundle.call("create box");
    assert!(out.stderr().contains("level=error msg=\"runc create failed"), "{out}");
}

#[test]
fn further_programs() {
    let bundle = Bundle::new();
    bundle.program(&["sleep", "1000"]);
    bundle.leave(&["run", "-d", "box"]);
    let out =
        bundle.runtime(&["exec", "-e", "A=b", "--cwd", "/bin", "-u", "5:6", "box", "sh", "-c", "pwd; echo $A; id -u; id -g; exit 4"]).run();
    assert_eq!((out.code, out.stdout().as_str()), (4, "/bin\nb\n5\n6\n"), "{out}");
    let out = bundle.call("exec --cap CAP_NOPE box true");
    assert!(out.code == 0 && out.stderr().contains("ignoring unknown or unavailable capabilities: [CAP_NOPE]"), "{out}");
    let missing = bundle.call("exec box nosuch");
    let said = missing.fails(255);
    assert!(said.contains("exec failed: unable to start container process: exec: \\\"nosuch\\\": executable file not found"), "{said}");
    let process = json!({"user": {"uid": 0, "gid": 0}, "args": ["sleep", "1001"], "cwd": "/", "env": ["PATH=/bin"]});
    std::fs::write(bundle.dir().join("process.json"), process.to_string()).unwrap();
    bundle.leave(&["exec", "-d", "--pid-file", "pid", "--process", "process.json", "box"]);
    let pid: i32 = std::fs::read_to_string(bundle.dir().join("pid")).unwrap().parse().unwrap();
    let mut pids: Vec<i32> = serde_json::from_str(&bundle.ok("ps --format json box")).unwrap();
    pids.sort_unstable();
    let mut expect = vec![pid, bundle.state("box")["pid"].as_i64().unwrap() as i32];
    expect.sort_unstable();
    assert_eq!(pids, expect);
    let table = bundle.ok("ps box");
    assert!(table.starts_with("UID") && table.contains("sleep 1001"), "{table}");
    bundle.ok("kill --all box KILL");
    until("it has ended", || bundle.status("box") == "stopped");
    bundle.ok("delete box");
    assert_eq!(bundle.left(), [""; 0]);
}

#[test]
fn limits_are_changed_and_told() {
    let bundle = Bundle::new();
    bundle.program(&["sleep", "1000"]);
    bundle.leave(&["run", "-d", "box"]);
    bundle.ok("update --pids-limit 55 box");
    let stats = |bundle: &Bundle| serde_json::from_str::<Value>(&bundle.ok("events --stats box")).unwrap();
    let told = stats(&bundle);
    assert_eq!((told["type"].as_str(), told["id"].as_str()), (Some("stats"), Some("box")));
    assert_eq!(told["data"]["pids"], json!({"current": 1, "limit": 55}));
    let resources = json!({"pids": {"limit": 44}, "memory": {"limit": 64 << 20}});
    bundle.runtime(&["update", "-r", "-", "box"]).input(resources.to_string()).ok();
    let told = stats(&bundle);
    assert_eq!((&told["data"]["pids"]["limit"], &told["data"]["memory"]["usage"]["limit"]), (&json!(44), &json!(64 << 20)));
    let list: Value = serde_json::from_str(&bundle.ok("list --format json")).unwrap();
    assert_eq!((list[0]["id"].as_str(), list[0]["owner"].as_str()), (Some("box"), Some("root")));
    bundle.ok("delete -f box");
    assert_eq!(bundle.ok("list --format json"), "null");
    assert_eq!(bundle.left(), [""; 0]);
}

/// A hook that notes its name, the status that it was told, and its pid.
fn hook(moment: &str, log: &Path) -> Value {
    let script = format!("read -r state; s=${{state#*'\"status\":\"'}}; echo {moment} ${{s%%'\"'*}} >> {}", log.display());
    json!({"path": "/bin/sh", "args": ["sh", "-c", script]})
}

#[test]
fn hooks_of_all_kinds_in_their_order() {
    let bundle = Bundle::new();
    let log = bundle.dir().join("log");
    let mut config = bundle.config.clone();
    config["process"]["args"] = json!(["true"]);
    // The root of the container is a place of the host to this one.
    config["mounts"].as_array_mut().unwrap().push(json!({"destination": log, "type": "bind", "source": log, "options": ["bind"]}));
    std::fs::write(&log, "").unwrap();
    let moments = ["poststop", "prestart", "createRuntime", "createContainer", "startContainer", "poststart"];
    config["hooks"] =
        moments.iter().map(|moment| ((*moment).to_owned(), json!([hook(moment, &log)]))).collect::<serde_json::Map<_, _>>().into();
    bundle.write(&config);
    let said = || std::fs::read_to_string(&log).unwrap();
    bundle.leave(&["create", "box"]);
    assert_eq!(said(), "prestart creating\ncreateRuntime creating\ncreateContainer creating\n");
    bundle.ok("start box");
    assert!(said().ends_with("startContainer created\npoststart running\n"), "{}", said());
    until("it has ended", || bundle.status("box") == "stopped");
    bundle.ok("delete box");
    assert!(said().ends_with("poststop stopped\n"), "{}", said());

    config["hooks"] = json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo no luck >&2; exit 3"]}], "poststop": [hook("poststop", &log)]});
    bundle.write(&config);
    std::fs::write(&log, "").unwrap();
    let failed = bundle.call("create box").fails(1);
    assert!(failed.contains("error running createRuntime hook #0: exit status 3, stdout: , stderr: no luck"), "{failed}");
    assert_eq!(said(), "poststop stopped\n");
    assert_eq!(bundle.left(), [""; 0]);
}

#[test]
fn descriptors_are_preserved_where_asked() {
    let bundle = Bundle::new();
    bundle.program(&["sh", "-c", "cat <&3; test -e /proc/self/fd/4 && echo more"]);
    let shell = |flags: &str| {
        let runtime = bundle.runtime(&["run"]).words();
        let runtime: Vec<_> = runtime.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let script = format!("echo kept > f; exec 3<f 4<f; exec {} {flags} box", runtime.join(" "));
        dhow_tests::Cmd::new("sh").dir(bundle.dir()).args(["-c", &script]).run()
    };
    assert_eq!(shell("--preserve-fds 1").stdout(), "kept\n");
    assert_eq!(shell("--preserve-fds 2").stdout(), "kept\nmore\n");
    assert!(shell("").stdout().is_empty());
    assert!(shell("--preserve-fds 30").fails(1).contains("is open"));
    assert_eq!(bundle.left(), [""; 0]);
}

#[test]
fn a_small_container_in_a_small_group() {
    let bundle = Bundle::new();
    let mut config = bundle.config.clone();
    config["process"]["args"] = json!(["true"]);
    config["linux"]["resources"]["memory"] = json!({"limit": 1 << 20});
    bundle.write(&config);
    bundle.ok("run box");
    assert_eq!(bundle.left(), [""; 0]);
}

#[test]
fn what_it_can_do_and_a_specification_to_begin_with() {
    let bundle = Bundle::new();
    let features: Value = serde_json::from_str(&bundle.ok("features")).unwrap();
    assert_eq!(features["hooks"].as_array().unwrap().len(), 6);
    assert!(features["linux"]["seccomp"]["enabled"].as_bool().unwrap());
    assert!(bundle.call("spec").fails(1).contains("File config.json exists. Remove it first"));
    std::fs::remove_file(bundle.dir().join("config.json")).unwrap();
    bundle.ok("spec");
    let mut config: Value = serde_json::from_slice(&std::fs::read(bundle.dir().join("config.json")).unwrap()).unwrap();
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["hostname"]);
    config["linux"]["cgroupsPath"] = json!(bundle.cgroup());
    bundle.write(&config);
    assert_eq!(bundle.ok("run box"), "dhow");
    assert!(bundle.ok("--version").contains("spec: 1.2.0"));
    assert!(bundle.call("nope").fails(3).contains("level=error msg=\"No help topic for 'nope'\""));
}
