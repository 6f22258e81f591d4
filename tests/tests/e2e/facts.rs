//! What the API answers to requests that cannot be: Docker's statuses and words, one line each.

use dhow_tests::{Engine, http};
use serde_json::{Value, json};

/// Asks once; gives the status and the whole answer.
#[track_caller]
fn ask(engine: &Engine, method: &str, path: &str, body: &str) -> (u16, String) {
    let answer = http::request(&engine.socket(), method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    (answer.status, answer.text().trim_end().to_owned())
}

/// A request without a body, the status, and the message; no message stands for no body.
type Fact = (&'static str, u16, &'static str);

fn check(engine: &Engine, facts: &[Fact]) {
    let id = |name: &str| engine.inspect(name)["Id"].as_str().expect("an id").to_owned();
    let known = ["up", "idle", "held", "ended"].map(|name| (name, id(name)));
    for (line, status, message) in facts {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (method, path, body) = (word(), word(), word());
        let path = &[("{", "%7B"), ("}", "%7D"), ("\"", "%22"), ("[", "%5B"), ("]", "%5D")]
            .into_iter()
            .fold(path.to_owned(), |path, (c, code)| path.replace(c, code));
        let expect = known.iter().fold((*message).to_owned(), |text, (name, id)| text.replace(&format!("<{name}>"), id));
        let expect = if expect.is_empty() { String::new() } else { json!({ "message": expect }).to_string() };
        assert_eq!(ask(engine, method, path, body), (*status, expect), "{line}");
    }
}

/// One container in each state: running, created, paused, exited with 3.
fn engine() -> Engine {
    let engine = Engine::new();
    engine.ok("run -d --name up busybox sleep 1000");
    engine.ok("create --name idle busybox true");
    engine.ok("run -d --name held busybox sleep 1000");
    engine.ok("pause held");
    engine.dhow(["run", "--name", "ended", "busybox", "sh", "-c", "exit 3"]).run().exits(3);
    engine
}

#[test]
fn lives() {
    let engine = engine();
    check(
        &engine,
        &[
            ("POST /containers/up/start", 304, ""),
            ("POST /containers/held/start", 409, "cannot start a paused container, try unpause instead"),
            ("POST /containers/idle/stop", 304, ""),
            ("POST /containers/ended/stop", 304, ""),
            ("POST /containers/ended/kill", 409, "cannot kill container: ended: container <ended> is not running"),
            ("POST /containers/up/kill?signal=FOO", 400, "invalid signal: FOO"),
            ("POST /containers/idle/pause", 409, "container <idle> is not running"),
            ("POST /containers/held/pause", 409, "Container <held> is already paused"),
            ("POST /containers/up/unpause", 500, "Container <up> is not paused"),
            (
                "DELETE /containers/up",
                409,
                "cannot remove container \"up\": container is running: stop the container before removing or force remove",
            ),
            ("DELETE /containers/held", 409, "cannot remove container \"held\": container is paused and must be unpaused first"),
            ("POST /containers/up/rename?name=up", 400, "Renaming a container with the same name as its current name"),
            (
                "POST /containers/up/rename?name=idle",
                409,
                "Error when allocating new name: Conflict. The container name \"/idle\" is already in use by container \"<idle>\". You have to remove (or rename) that \
                 container to be able to reuse that name.",
            ),
            (
                "POST /containers/up/rename?name=z",
                400,
                "Error when allocating new name: Invalid container name (/z), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            ),
            ("POST /containers/idle/resize?h=1&w=1", 409, "container <idle> is not running"),
            ("POST /containers/held/attach?stream=1&stdout=1", 409, "container held is paused, unpause the container before attach"),
            ("GET /containers/up/logs", 400, "Bad parameters: you must choose at least one stream"),
            ("POST /containers/nosuch/start", 404, "No such container: nosuch"),
            ("GET /containers/up/archive?path=/nosuch", 404, "Could not find the file /nosuch in container up"),
            ("POST /containers/idle/exec {\"Cmd\":[\"true\"]}", 409, "container <idle> is not running"),
            ("POST /containers/held/exec {\"Cmd\":[\"true\"]}", 409, "Container held is paused, unpause the container before exec"),
            ("POST /containers/up/exec {}", 400, "No exec command specified"),
            ("GET /exec/nosuch/json", 404, "No such exec instance: nosuch"),
            ("GET /containers/json?filters=nonsense", 400, "invalid filter"),
            ("GET /containers/json?filters={\"bogus\":[\"1\"]}", 400, "invalid filter 'bogus'"),
            (
                "GET /containers/json?filters={\"status\":[\"weird\"]}",
                400,
                "invalid filter 'status=weird': invalid value for state (weird): must be one of created, running, paused, restarting, \
                 removing, exited, dead",
            ),
        ],
    );
    let twice = json!({"AttachStdout": true, "Cmd": ["true"]}).to_string();
    let (status, text) = ask(&engine, "POST", "/containers/up/exec", &twice);
    assert_eq!(status, 201, "{text}");
    let exec = serde_json::from_str::<Value>(&text).expect("JSON")["Id"].as_str().expect("an id").to_owned();
    assert_eq!(ask(&engine, "POST", &format!("/exec/{exec}/start"), "{\"Detach\":true}").0, 200);
    let again = json!({ "message": format!("exec command {exec} has already run") }).to_string();
    assert_eq!(ask(&engine, "POST", &format!("/exec/{exec}/start"), "{\"Detach\":true}"), (409, again));
    engine.finish();
}

#[test]
fn what_cannot_be_made() {
    let engine = engine();
    let policy = "invalid restart policy: ";
    let unknown = format!("{policy}unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'");
    let counted = format!("{policy}maximum retry count can only be used with 'on-failure'");
    let table: &[(Value, u16, &str)] = &[
        (json!({}), 400, "config cannot be empty in order to create a container"),
        (json!({"Image": "nosuch"}), 404, "No such image: nosuch:latest"),
        (json!({"Image": "busybox", "HostConfig": {"RestartPolicy": {"Name": "foo"}}}), 400, &unknown),
        (json!({"Image": "busybox", "HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}}}), 400, &counted),
        (
            json!({"Image": "busybox", "HostConfig": {"AutoRemove": true, "RestartPolicy": {"Name": "always"}}}),
            400,
            "can't create 'AutoRemove' container with restart policy",
        ),
        (json!({"Image": "busybox", "HostConfig": {"Runtime": "nope"}}), 400, "unknown or invalid runtime name: nope"),
        (
            json!({"Image": "busybox", "HostConfig": {"LogConfig": {"Type": "nope"}}}),
            400,
            "error looking up logging plugin nope: plugin \"nope\" not found",
        ),
        (json!({"Image": "busybox", "HostConfig": {"IpcMode": "foo"}}), 400, "invalid IPC mode: foo"),
        (
            json!({"Image": "busybox", "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1}}),
            400,
            "Interval in Healthcheck cannot be less than 1ms",
        ),
    ];
    for (body, status, message) in table {
        let expect = (*status, json!({ "message": message }).to_string());
        assert_eq!(ask(&engine, "POST", "/containers/create", &body.to_string()), expect, "{body}");
    }
    // Any case of the letters of a key, as Go reads them.
    let (status, text) = ask(&engine, "POST", "/containers/create?name=lower", r#"{"image":"busybox","labels":{"Ab":"c"},"CMD":["true"]}"#);
    assert_eq!(status, 201, "{text}");
    assert_eq!(engine.inspect("lower")["Config"]["Labels"], json!({"Ab": "c"}));
    engine.finish();
}

#[test]
fn paths_and_versions() {
    let engine = engine();
    check(
        &engine,
        &[
            ("GET /nosuch", 404, "page not found"),
            ("DELETE /info", 404, "page not found"),
            ("GET /v9.99/info", 400, "client version 9.99 is too new. Maximum supported API version is 1.51"),
            (
                "GET /v1.10/info",
                400,
                "client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version",
            ),
            ("GET /images/nosuch/json", 404, "No such image: nosuch:latest"),
            ("GET /networks/nosuch", 404, "network nosuch not found"),
            ("GET /events?since=20&until=10", 400, "`since` time (20) cannot be after `until` time (10)"),
        ],
    );
    let raw = |text: &str| {
        let answer = http::raw(&engine.socket(), text.as_bytes()).expect("an answer");
        (answer.status, answer.text().trim_end().to_owned())
    };
    let post = |kind: &str, body: &str| {
        raw(&format!(
            "POST /containers/create HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let said = |text: &str| json!({ "message": text }).to_string();
    let wrong = said("unsupported Content-Type header (text/plain): must be 'application/json'");
    assert_eq!(post("Content-Type: text/plain\r\n", "{}"), (400, wrong));
    let json = "Content-Type: application/json\r\n";
    assert_eq!(post(json, "{} x"), (400, said("unexpected content after JSON")));
    let (status, text) = post(json, "{");
    assert!(status == 400 && text.starts_with("{\"message\":\"invalid JSON: "), "{status} {text}");
    let ping = http::get(&engine.socket(), "/_ping").expect("an answer");
    let headers =
        ["api-version", "docker-experimental", "ostype", "cache-control", "pragma", "swarm"].map(|name| ping.header(name).unwrap_or("?"));
    assert_eq!(headers, ["1.51", "false", "linux", "no-cache, no-store, must-revalidate", "no-cache", "inactive"]);
    engine.finish();
}
