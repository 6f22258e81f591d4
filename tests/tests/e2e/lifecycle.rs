//! From create to rm, by our own command line and by the docker client: the same words, the same answers.

use dhow_tests::wait::until;
use dhow_tests::{Cmd, Engine};
use serde_json::Value;

/// A client: words to a command, `None` where it is not installed.
type Client<'a> = &'a dyn Fn(&str) -> Option<Cmd>;

fn with_dhow(test: fn(&Engine, Client<'_>)) {
    let engine = Engine::new();
    test(&engine, &|words| Some(engine.dhow(words.split(' '))));
    engine.finish();
}

fn with_docker(test: fn(&Engine, Client<'_>)) {
    let engine = Engine::new();
    if engine.docker(["version"]).is_some() {
        test(&engine, &|words| engine.docker(words.split(' ')));
    }
    engine.finish();
}

macro_rules! both_clients {
    ($($test:ident),* $(,)?) => {
        mod dhow { $(#[test] fn $test() { super::with_dhow(super::$test); })* }
        mod docker_client { $(#[test] fn $test() { super::with_docker(super::$test); })* }
    };
}

both_clients!(
    create_to_rm,
    run_detached,
    logs_follow,
    exec_in_it,
    stop_and_kill,
    forced_removal,
    wait_tells_the_code,
    version_and_info,
    images_tag_and_rmi,
    rename_pause_and_events
);

fn ok(client: Client<'_>, words: &str) -> String {
    client(words).expect("checked before").ok()
}

fn fails(client: Client<'_>, words: &str, code: i32) -> String {
    client(words).expect("checked before").run().fails(code)
}

fn create_to_rm(engine: &Engine, client: Client<'_>) {
    let id = ok(client, "create --name c1 -e A=1 busybox sh");
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let state = &engine.inspect("c1")["State"];
    assert_eq!((state["Status"].as_str(), state["Pid"].as_i64(), state["ExitCode"].as_i64()), (Some("created"), Some(0), Some(0)));
    assert_eq!(state["StartedAt"], "0001-01-01T00:00:00Z");
    assert_eq!(ok(client, "ps -q"), "");
    assert_eq!(ok(client, "ps -aq --no-trunc"), id);
    assert_eq!(ok(client, "start c1"), "c1");
    engine.until_state("c1", "exited");
    assert_eq!(ok(client, "ps -a --format {{.Names}}|{{.Image}}|{{.Command}}|{{.State}}"), "c1|busybox|\"sh\"|exited");
    // By id, by prefix, by name with a slash.
    for name in [id.as_str(), &id[..12], &id[..5], "/c1"] {
        assert_eq!(ok(client, &format!("inspect -f {{{{.Name}}}} {name}")), "/c1");
    }
    assert_eq!(ok(client, "rm c1"), "c1");
    assert_eq!(ok(client, "ps -aq"), "");
    assert!(fails(client, "start c1", 1).contains("No such container: c1"));
}

fn run_detached(engine: &Engine, client: Client<'_>) {
    let id = ok(client, "run -d --name web --hostname host1 --label a=b busybox sleep 1000");
    assert_eq!(id.len(), 64);
    let shown = engine.inspect("web");
    assert_eq!(shown["Id"], id.as_str());
    assert_eq!(shown["Path"], "sleep");
    assert_eq!(shown["Args"], serde_json::json!(["1000"]));
    assert_eq!(shown["State"]["Running"], true);
    assert_eq!(shown["Config"]["Hostname"], "host1");
    assert_eq!(shown["Config"]["Labels"]["a"], "b");
    assert_eq!(shown["HostConfig"]["LogConfig"]["Type"], "json-file");
    let table = ok(client, "ps");
    let mut lines = table.lines();
    let heads: Vec<&str> = lines.next().expect("a header").split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(heads, ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
    let row = lines.next().expect("a row");
    assert!(
        row.starts_with(&id[..12])
            && row.contains("busybox")
            && row.contains("\"sleep 1000\"")
            && row.contains("Up ")
            && row.ends_with("web"),
        "{row}"
    );
    assert_eq!(ok(client, "stop -t 1 web"), "web");
    assert_eq!(engine.inspect("web")["State"]["ExitCode"], 137);
}

fn logs_follow(engine: &Engine, client: Client<'_>) {
    engine
        .dhow([
            "run",
            "-d",
            "--name",
            "talk",
            "busybox",
            "sh",
            "-c",
            "for i in 1 2 3; do echo out $i; echo err $i >&2; sleep 0.1; done; exit 4",
        ])
        .ok();
    let followed = client("logs -f talk").expect("checked before").run();
    assert_eq!(
        (followed.stdout().as_str(), followed.stderr().as_str(), followed.code),
        ("out 1\nout 2\nout 3\n", "err 1\nerr 2\nerr 3\n", 0)
    );
    assert_eq!(
        ok(client, "logs --tail 2 talk").lines().count() + client("logs --tail 2 talk").expect("checked").run().stderr().lines().count(),
        2
    );
    let stamped = ok(client, "logs -t talk");
    let first = stamped.lines().next().expect("a line");
    let (time, text) = first.split_once(' ').expect("a time");
    assert!(text == "out 1" && time.len() == 30 && time.ends_with('Z'), "{first}");
    engine.until_state("talk", "exited");
    assert_eq!(engine.inspect("talk")["State"]["ExitCode"], 4);
}

fn exec_in_it(engine: &Engine, client: Client<'_>) {
    ok(client, "run -d --name box -e FROM=container -w /tmp busybox sleep 1000");
    assert_eq!(ok(client, "exec box pwd"), "/tmp");
    assert_eq!(ok(client, "exec box sh -c echo${IFS}$FROM"), "container");
    assert_eq!(
        ok(client, "exec -e MORE=1 -w / -u 33:33 box sh -c id;pwd;echo${IFS}$MORE"),
        "uid=33(www-data) gid=33(www-data) groups=33(www-data)\n/\n1"
    );
    assert_eq!(client("exec -i box cat").expect("checked").input("through\n").ok(), "through");
    assert_eq!(client("exec box sh -c exit${IFS}7").expect("checked").run().code, 7);
    let missing = client("exec box nosuch").expect("checked").run();
    let said = format!("{}{}", missing.stdout(), missing.stderr());
    assert_eq!(missing.code, 127, "{said}");
    assert!(said.contains("exec: \"nosuch\": executable file not found in $PATH"), "{said}");
    assert_eq!(client("exec box /etc/passwd").expect("checked").run().code, 126);
    assert_eq!(ok(client, "exec -d box touch /tmp/done"), "");
    until("the detached exec ran", || engine.run("exec box test -e /tmp/done").code == 0);
    assert!(fails(client, "exec nosuch true", 1).contains("No such container: nosuch"));
}

fn stop_and_kill(engine: &Engine, client: Client<'_>) {
    engine
        .dhow(["run", "-d", "--name", "polite", "busybox", "sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done"])
        .ok();
    // The first process is deaf to SIGTERM until its trap is set.
    until("the trap is set", || engine.ok("logs polite").contains("ready"));
    assert_eq!(ok(client, "stop polite"), "polite");
    assert_eq!(engine.inspect("polite")["State"]["ExitCode"], 3);
    assert_eq!(ok(client, "start polite"), "polite");
    assert_eq!(ok(client, "kill polite"), "polite");
    engine.until_state("polite", "exited");
    assert_eq!(engine.inspect("polite")["State"]["ExitCode"], 137);
    let said = fails(client, "kill polite", 1);
    assert!(said.contains("cannot kill container: polite: container") && said.contains("is not running"), "{said}");
    // Stopping what is stopped is no error.
    assert_eq!(ok(client, "stop polite"), "polite");
    assert_eq!(ok(client, "restart -t 0 polite"), "polite");
    assert_eq!(engine.inspect("polite")["State"]["Running"], true);
    assert!(fails(client, "kill -s FOO polite", 1).contains("FOO"));
}

fn forced_removal(engine: &Engine, client: Client<'_>) {
    let id = ok(client, "run -d --name box busybox sleep 1000");
    let said = fails(client, "rm box", 1);
    assert!(
        said.contains("cannot remove container \"box\": container is running: stop the container before removing or force remove"),
        "{said}"
    );
    assert_eq!(ok(client, "rm -f box"), "box");
    assert!(fails(client, &format!("inspect {id}"), 1).contains("No such object"));
    assert_eq!(engine.ok("ps -aq"), "");
}

fn wait_tells_the_code(_engine: &Engine, client: Client<'_>) {
    ok(client, "run -d --name box busybox sh -c sleep${IFS}0.3;exit${IFS}9");
    assert_eq!(ok(client, "wait box"), "9");
    assert_eq!(ok(client, "wait box"), "9");
    assert_eq!(client("run --rm busybox sh -c exit${IFS}12").expect("checked").run().code, 12);
}

fn version_and_info(_engine: &Engine, client: Client<'_>) {
    let version = client("version").expect("checked").args(["--format", "{{json .}}"]).ok();
    let version: Value = serde_json::from_str(&version).expect("JSON");
    assert!(version["Server"]["ApiVersion"].is_string() || version["Server"]["Components"].is_array(), "{version}");
    let text = ok(client, "version");
    for word in ["Client:", "Server:", "API version:", "OS/Arch:"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    let text = ok(client, "info");
    for word in ["Containers: 0", "Images: 1", "Cgroup Version:", "Kernel Version:", "CPUs:"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

fn images_tag_and_rmi(_engine: &Engine, client: Client<'_>) {
    let table = ok(client, "images");
    assert!(table.starts_with("REPOSITORY") && table.contains("busybox") && table.contains("latest"), "{table}");
    ok(client, "tag busybox other/name:v1");
    assert_eq!(ok(client, "images -q").lines().count(), 2);
    assert!(fails(client, "rmi nosuch", 1).contains("No such image: nosuch:latest"));
    assert_eq!(ok(client, "rmi other/name:v1"), "Untagged: other/name:v1");
    ok(client, "create --name box busybox true");
    let said = fails(client, "rmi busybox", 1);
    assert!(said.contains("conflict: unable to remove repository reference \"busybox\" (must force) - container"), "{said}");
    ok(client, "rm box");
    let said = ok(client, "rmi busybox");
    assert!(said.contains("Untagged: busybox:latest") && said.contains("Deleted: sha256:"), "{said}");
}

fn rename_pause_and_events(engine: &Engine, client: Client<'_>) {
    let id = ok(client, "run -d --name before busybox sleep 1000");
    ok(client, "rename before after");
    assert_eq!(engine.inspect(&id)["Name"], "/after");
    ok(client, "pause after");
    assert_eq!(engine.inspect("after")["State"]["Status"], "paused");
    assert!(fails(client, "exec after true", 1).contains("is paused, unpause the container before exec"));
    ok(client, "unpause after");
    assert_eq!(ok(client, "exec after echo alive"), "alive");
    ok(client, "rm -f after");
    let actions = engine.events();
    for action in ["create", "start", "rename", "pause", "unpause", "kill", "die", "destroy"] {
        assert!(actions.iter().any(|known| known == action), "no {action} in {actions:?}");
    }
}
