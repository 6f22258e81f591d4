//! `run` by one request, which our own client uses, and what it shares with the three that others send.

use dhow_tests::{Engine, http, until};
use serde_json::{Value, json};

/// Creates, attaches and starts by one request; reads to the end of the stream.
fn run(engine: &Engine, body: &Value) -> http::Answer {
    let body = body.to_string();
    let head =
        "POST /containers/create HTTP/1.1\r\nHost: dhow\r\nConnection: Upgrade, close\r\nUpgrade: tcp\r\nContent-Type: application/json";
    let asks = "dhow-run: stream=1&stdout=1&stderr=1";
    let bytes = format!("{head}\r\n{asks}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    http::raw(&engine.socket(), bytes.as_bytes()).expect("an answer")
}

fn outcome(engine: &Engine, id: &str) -> (u16, Value) {
    let answer = http::request(&engine.socket(), "POST", &format!("/dhow/runs/{id}"), "").expect("an answer");
    (answer.status, serde_json::from_slice(&answer.body).expect("JSON"))
}

#[test]
fn by_hand() {
    let engine = Engine::new();
    let shell =
        |script: &str| json!({"Image": "busybox", "Cmd": ["sh", "-c", script], "AttachStdout": true, "HostConfig": {"AutoRemove": true}});
    let answer = run(&engine, &shell("echo out; exit 7"));
    assert_eq!(answer.status, 101, "{}", answer.text());
    assert_eq!(answer.body, b"\x01\0\0\0\0\0\0\x04out\n");
    let id = answer.header("dhow-id").expect("an id").to_owned();
    assert_eq!(outcome(&engine, &id), (200, json!({"StatusCode": 7})));
    // Once.
    assert_eq!(outcome(&engine, &id), (404, json!({"message": format!("No such run: {id}")})));

    // A start that fails is told by the same way, as a start tells it.
    let answer = run(&engine, &json!({"Image": "busybox", "Cmd": ["nope"], "HostConfig": {"AutoRemove": true}}));
    assert_eq!(answer.status, 101);
    let (status, failure) = outcome(&engine, answer.header("dhow-id").expect("an id"));
    assert_eq!(status, 400);
    assert!(failure["message"].as_str().is_some_and(|text| text.contains("\"nope\": executable file not found")), "{failure}");

    // What cannot be created is answered as ever; so is what comes with a warning, and then nothing is started.
    let answer = run(&engine, &json!({"Image": "nothing-of-that-name"}));
    assert_eq!((answer.status, answer.header("dhow-id")), (404, None));
    assert_eq!(engine.ok("ps -aq"), "");
    let mut warned = shell("sleep 100");
    warned["HostConfig"]["OomKillDisable"] = true.into();
    let answer = run(&engine, &warned);
    let created: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!((answer.status, created["Warnings"].as_array().map(Vec::len)), (201, Some(1)), "{created}");
    let id = created["Id"].as_str().expect("an id");
    assert_eq!(engine.inspect(id)["State"]["Status"], "created");
    engine.ok(&format!("rm {id}"));
    engine.finish();
}

/// Its events are those of three requests, whatever becomes of it.
#[test]
fn as_three_requests_do() {
    let engine = Engine::new();
    let told = |act: &dyn Fn() -> i32| {
        let before = engine.events().len();
        let code = act();
        until("it is gone", || engine.ok("ps -aq").is_empty());
        (code, engine.events().split_off(before))
    };
    for (script, expect) in [("true", 0), ("exit 3", 3)] {
        let one = told(&|| engine.dhow(["run", "--rm", "busybox", "sh", "-c", script]).run().code);
        let three = told(&|| {
            let id = engine.dhow(["create", "--rm", "busybox", "sh", "-c", script]).ok();
            engine.run(&format!("start -a {id}")).code
        });
        assert_eq!(one, three);
        assert_eq!(one.0, expect);
    }
    assert_eq!(told(&|| engine.run("run --rm busybox nope").code).0, 127);
    assert_eq!(told(&|| engine.run("run --rm busybox /etc").code).0, 126);
    engine.finish();
}

/// Its record comes late, and it comes.
#[test]
fn what_goes_on_is_recorded() {
    let engine = Engine::new();
    let mut client = engine.dhow(["run", "--rm", "--name", "goes-on", "busybox", "sleep", "1000"]).spawn();
    until("it runs", || !engine.ok("ps -q --filter name=goes-on").is_empty());
    let pid = engine.container_pid("goes-on");
    std::thread::sleep(std::time::Duration::from_millis(500));
    engine.kill_daemon();
    engine.start_daemon();
    assert_eq!(engine.container_pid("goes-on"), pid);
    engine.ok("rm -f goes-on");
    // Its connection broke.
    assert!(!client.wait().expect("its end").success());
    engine.finish();
}
