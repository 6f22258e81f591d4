//! What each parameter of each endpoint does, by the table in `parameters.txt`; and what no line of it can show.

use dhow_tests::archive::Tar;
use dhow_tests::peer::Dockerd;
use dhow_tests::{Cmd, Engine, http, paths, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A request and what is to come of it.
struct Row {
    /// The original is asked, too.
    compared: bool,
    method: &'static str,
    request: &'static str,
    body: &'static str,
    /// What of the answer is looked at.
    pick: &'static str,
    expect: &'static str,
}

/// What the table has of one parameter.
#[derive(Default)]
struct Shown {
    rows: Vec<Row>,
    /// Tests that show it.
    held: Vec<&'static str>,
}

/// By `METHOD ENDPOINT PARAMETER`, in the table's order.
fn table() -> Vec<(&'static str, Shown)> {
    let mut all: Vec<(&str, Shown)> = Vec::new();
    for line in include_str!("parameters.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(parameter) = line.strip_prefix("== ") {
            all.push((parameter, Shown::default()));
            continue;
        }
        let (_, shown) = all.last_mut().expect("a parameter before its rows");
        if let Some(test) = line.strip_prefix("held: ") {
            shown.held.push(test);
            continue;
        }
        let (compared, rest) = line.strip_prefix("ours: ").map_or((true, line), |rest| (false, rest));
        let (asked, result) = rest.rsplit_once(" -> ").unwrap_or_else(|| panic!("no result: {line}"));
        let (pick, expect) = result.split_once(" = ").unwrap_or_else(|| panic!("no result: {line}"));
        let (method, asked) = asked.split_once(' ').unwrap_or_else(|| panic!("no request: {line}"));
        // A body is an object after a blank; so is nothing in a request.
        let (request, body) = match asked.find(" {") {
            Some(at) => (&asked[..at], &asked[at + 1..]),
            None => (asked, ""),
        };
        shown.rows.push(Row { compared, method, request, body, pick, expect });
    }
    all
}

/// An engine that can be asked, whichever it is.
struct Asked<'a> {
    socket: PathBuf,
    client: &'a dyn Fn(&[&str]) -> Cmd,
}

impl Asked<'_> {
    fn make_ready(&self) {
        let run = |words: &str| drop((self.client)(&words.split(' ').collect::<Vec<_>>()).ok());
        run("tag busybox other:1");
        run("volume create --label a=b vol");
        run("volume create spare");
        let common = "--net none";
        run(&format!("run -d --name box {common} --label a=b -v vol:/data --expose 80 busybox sleep 1000"));
        run(&format!("run -dt --name term {common} busybox sleep 1000"));
        (self.client)(&["run", "--name", "loud", "--net", "none", "busybox", "sh", "-c", "echo err >&2"]).ok();
        let options = ["run", "--name", "done", "--net", "none", "--log-opt", "env=from", "-e", "from=here", "busybox"];
        (self.client)(&[&options[..], &["sh", "-c", "echo one; echo two; exit 3"]].concat()).run().exits(3);
        run(&format!("create --name made {common} --label a=c -v /anon busybox true"));
    }

    fn ask(&self, row: &Row) -> String {
        let request = self.filled(row.request);
        let path = if request.starts_with("/v1") { request } else { format!("/v1.41{request}") };
        let answer = http::request(&self.socket, row.method, &path, row.body);
        let answer = answer.unwrap_or_else(|error| panic!("{} {}: {error}", row.method, row.request));
        let text = answer.text();
        if row.pick == "status" || answer.status >= 400 {
            let message = serde_json::from_str::<Value>(&text).ok().and_then(|error| Some(error["message"].as_str()?.to_owned()));
            return format!("{} {}", answer.status, message.filter(|_| answer.status >= 400).unwrap_or_default()).trim_end().to_owned();
        }
        let (what, pointer) = row.pick.split_once(' ').unwrap_or(("", row.pick));
        if row.pick == "text" {
            return without_time(&unframed(&answer.body)).replace('\n', "\\n");
        }
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}: {text}", row.request));
        let found = json.pointer(pointer);
        match (what, found) {
            ("len", Some(Value::Array(list))) => list.len().to_string(),
            ("kind", None) => "nothing".into(),
            ("kind", Some(value)) => kind(value).into(),
            ("", Some(Value::String(text))) => text.clone(),
            ("", Some(value)) => value.to_string(),
            _ => format!("no such thing in {text}"),
        }
    }

    /// With the ids, and written as an address wants it.
    fn filled(&self, request: &str) -> String {
        let mut filled = request.to_owned();
        for (mark, kind) in [("@id:", "containers"), ("@image:", "images")] {
            while let Some((before, rest)) = filled.split_once(mark) {
                let (name, after) = rest.split_once('@').expect("the end of a name");
                let answer = http::get(&self.socket, &format!("/v1.41/{kind}/{name}/json")).expect("an answer");
                let id = serde_json::from_str::<Value>(&answer.text()).expect("JSON")["Id"].as_str().expect("an id").to_owned();
                filled = format!("{before}{id}{after}");
            }
        }
        let escaped = |c: char| match c {
            ' ' | '"' | '{' | '}' | '[' | ']' | '^' => format!("%{:02X}", u32::from(c)),
            other => other.to_string(),
        };
        filled.chars().map(escaped).collect()
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// What is in the frames of a stream.
fn unframed(mut rest: &[u8]) -> String {
    let mut text = Vec::new();
    while let [0..=2, 0, 0, 0, a, b, c, d, tail @ ..] = rest {
        let (now, later) = tail.split_at((u32::from_be_bytes([*a, *b, *c, *d]) as usize).min(tail.len()));
        text.extend_from_slice(now);
        rest = later;
    }
    text.extend_from_slice(rest);
    String::from_utf8_lossy(&text).into_owned()
}

fn without_time(text: &str) -> String {
    match text.split_once(' ') {
        Some((time, rest)) if time.len() == 30 && time.ends_with('Z') => format!("TIME {rest}"),
        _ => text.to_owned(),
    }
}

#[test]
fn each_does_what_it_says() {
    let engine = Engine::new();
    let client = |words: &[&str]| engine.dhow(words.iter().copied());
    let asked = Asked { socket: engine.socket(), client: &client };
    asked.make_ready();
    let mut wrong = String::new();
    for (parameter, shown) in table() {
        for row in shown.rows {
            let got = asked.ask(&row);
            // Of a refusal the status may be enough.
            let same = got == row.expect || (row.pick == "status" && row.expect.len() == 3 && got.starts_with(row.expect));
            if !same {
                wrong += &format!("{parameter}: {} {}\n  expected {}\n  got      {got}\n", row.method, row.request, row.expect);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    engine.finish();
}

#[test]
fn each_does_what_dockerd_does() {
    let Some(peer) = Dockerd::start() else { return };
    peer.docker(&["load", "-qi", &paths::image("busybox").to_string_lossy()]).ok();
    let client = |words: &[&str]| peer.docker(words);
    let asked = Asked { socket: peer.socket(), client: &client };
    asked.make_ready();
    let mut wrong = String::new();
    for (parameter, shown) in table() {
        for row in shown.rows.iter().filter(|row| row.compared) {
            let got = asked.ask(row);
            let same = got == row.expect || (row.pick == "status" && row.expect.len() == 3 && got.starts_with(row.expect));
            if !same {
                wrong += &format!("{parameter}: {} {}\n  expected {}\n  dockerd  {got}\n", row.method, row.request, row.expect);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The parameters of the API, each with at least one line or one test that is there.
#[test]
fn none_is_known_by_name_only() {
    let known = include_str!("parameters-known.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let shown: BTreeMap<&str, Shown> = table().into_iter().collect();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e");
    let mut missing = Vec::new();
    for line in known {
        let (endpoint, parameters) = line.split_once(':').expect("an endpoint");
        for parameter in parameters.split_whitespace() {
            let name = format!("{endpoint} {parameter}");
            match shown.get(name.as_str()) {
                None => missing.push(name),
                Some(shown) if shown.rows.is_empty() && shown.held.is_empty() => missing.push(name),
                Some(_) => {}
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    for (parameter, shown) in shown {
        for held in shown.held {
            let mut parts = held.split("::").skip(1);
            let (file, test) = (parts.next().expect("a file"), parts.next());
            let text = std::fs::read_to_string(tests.join(format!("{file}.rs"))).unwrap_or_else(|e| panic!("{parameter}: {held}: {e}"));
            assert!(test.is_none_or(|test| text.contains(&format!("fn {test}("))), "{parameter}: {held}");
        }
    }
}

fn post(engine: &Engine, path: &str) -> u16 {
    http::request(&engine.socket(), "POST", path, "").expect("an answer").status
}

#[test]
fn sizes_of_terminals() {
    let engine = Engine::new();
    engine.ok("run -dit --name box busybox sh");
    assert_eq!(post(&engine, "/containers/box/resize?h=40&w=100"), 200);
    let size = engine.dhow(["exec", "box", "stty", "-F", "/proc/1/fd/0", "size"]).ok();
    assert_eq!(size.trim(), "40 100");
    let body = r#"{"Tty":true,"AttachStdout":true,"Cmd":["sh","-c","until [ -f /go ]; do sleep 0.1; done; stty size > /size"]}"#;
    let made = http::request(&engine.socket(), "POST", "/containers/box/exec", body).expect("an answer");
    let id = serde_json::from_str::<Value>(&made.text()).expect("JSON")["Id"].as_str().expect("an id").to_owned();
    let start = http::request(&engine.socket(), "POST", &format!("/exec/{id}/start"), r#"{"Detach":true,"Tty":true}"#);
    assert_eq!(start.expect("an answer").status, 200);
    for (query, expect) in [("h=x&w=1", 400), ("h=1", 400), ("h=30&w=90", 200)] {
        assert_eq!(post(&engine, &format!("/exec/{id}/resize?{query}")), expect, "{query}");
    }
    engine.ok("exec box touch /go");
    until("it has looked", || engine.dhow(["exec", "box", "cat", "/size"]).run().stdout().trim() == "30 90");
    engine.finish();
}

#[test]
fn signals_of_stop_and_restart() {
    let engine = Engine::new();
    let script = "trap 'exit 4' USR1; echo up >> /up; while :; do sleep 0.05; done";
    engine.dhow(["run", "-d", "--name", "box", "--init", "busybox", "sh", "-c", script]).ok();
    let ups = || engine.dhow(["exec", "box", "cat", "/up"]).run().stdout().lines().count();
    let ready = |count: usize| until("it is up", || ups() == count);
    ready(1);
    assert_eq!(post(&engine, "/v1.42/containers/box/restart?signal=USR1&t=300"), 204);
    ready(2);
    assert_eq!(post(&engine, "/v1.42/containers/box/stop?signal=USR1&t=300"), 204);
    assert_eq!(engine.inspect("box")["State"]["ExitCode"], 4);
    engine.ok("start box");
    ready(3);
    // Clients of old could not name one: it is asked to end as always, and then killed.
    assert_eq!(post(&engine, "/v1.41/containers/box/stop?signal=USR1&t=0"), 204);
    assert_ne!(engine.inspect("box")["State"]["ExitCode"], 4);
    engine.finish();
}

#[test]
fn a_followed_log() {
    let engine = Engine::new();
    let script = "trap go=1 USR1; echo one; until [ \"$go\" ]; do sleep 0.05; done; echo two";
    engine.dhow(["run", "-d", "--name", "box", "busybox", "sh", "-c", script]).ok();
    until("it is heard", || engine.run("logs box").stdout() == "one\n");
    let follow = || http::get(&engine.socket(), "/containers/box/logs?stdout=1&follow=1").expect("an answer");
    let heard = std::thread::scope(|scope| {
        let heard = scope.spawn(follow);
        engine.ok("kill -s USR1 box");
        heard.join().expect("no panic")
    });
    assert_eq!(unframed(&heard.body), "one\ntwo\n");
    engine.finish();
}

#[test]
fn ports_of_filters() {
    let engine = Engine::with(dhow_tests::Options { network: true, ..Default::default() });
    engine.ok("run -d --name web -p 8080:80 --expose 99 busybox sleep 1000");
    let found = |filter: &str| engine.ok(&format!("ps -q --filter {filter}")).lines().count();
    for (filter, expect) in [
        ("expose=80", 1),
        ("expose=90-99/tcp", 1),
        ("expose=99/udp", 0),
        ("expose=8080", 0),
        ("publish=8080", 1),
        ("publish=8000-9000", 1),
        ("publish=99", 0),
        ("network=bridge", 1),
        ("network=none", 0),
    ] {
        assert_eq!(found(filter), expect, "{filter}");
    }
    let refused = engine.run("ps --filter publish=80:80").fails(1);
    assert!(refused.contains("filter for 'publish' should not contain ':': 80:80"), "{refused}");
    engine.finish();
}

/// Made of an image is also what is made of one that was made of it.
#[test]
fn ancestors() {
    let engine = Engine::new();
    engine.ok("create --name one busybox true");
    engine.ok("commit one second");
    engine.ok("create --name two second true");
    engine.ok("commit two third");
    engine.ok("create --name three third true");
    let found = |name: &str| engine.ok(&format!("ps -aq --filter ancestor={name}")).lines().count();
    assert_eq!(["busybox", "second", "third", "nosuch"].map(found), [3, 2, 1, 0]);
    engine.finish();
}

fn send(engine: &Engine, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let answer = http::raw(&engine.socket(), &[head.as_bytes(), body].concat()).expect("an answer");
    (answer.status, answer.text())
}

#[test]
fn archives_into_containers() {
    let engine = Engine::new();
    engine.ok("run -d --name box --user 1000:1001 busybox sleep 1000");
    let put = |query: &str, tar: Tar| send(&engine, "PUT", &format!("/containers/box/archive?path=/tmp{query}"), &tar.finish());
    let owner = |name: &str| engine.dhow(["exec", "box", "stat", "-c", "%u:%g %F", &format!("/tmp/{name}")]).ok().trim().to_owned();
    assert_eq!(put("", Tar::new().file("a", 0o644, b"a")).0, 200);
    assert_eq!(owner("a"), "0:0 regular file");
    assert_eq!(put("&copyUIDGID=1", Tar::new().file("b", 0o644, b"b")).0, 200);
    assert_eq!(owner("b"), "1000:1001 regular file");
    assert_eq!(put("&copyUIDGID=0", Tar::new().dir("d/")).0, 200);
    // A file in the place of a directory, and a directory in the place of a file.
    for tar in [Tar::new().file("d", 0o644, b"d"), Tar::new().dir("a/")] {
        let (status, text) = put("&noOverwriteDirNonDir=1", tar);
        assert!(status >= 400 && text.contains("cannot overwrite"), "{status} {text}");
    }
    assert_eq!((owner("a").as_str(), owner("d").as_str()), ("0:0 regular file", "0:0 directory"));
    assert_eq!(put("&noOverwriteDirNonDir=0", Tar::new().file("d", 0o644, b"d")).0, 200);
    assert_eq!(owner("d"), "0:0 regular file");
    let missing = send(&engine, "PUT", "/containers/box/archive?path=/nosuch", &Tar::new().finish());
    assert_eq!(missing.0, 404, "{}", missing.1);
    engine.finish();
}

#[test]
fn an_import() {
    let engine = Engine::new();
    let tar = Tar::new().file("hello", 0o644, b"hello").finish();
    let query = "fromSrc=-&repo=made&tag=2&message=why%20not&changes=CMD%20%2Fhello&changes=ENV%20A%3Db&platform=linux%2Famd64";
    let (status, text) = send(&engine, "POST", &format!("/v1.51/images/create?{query}"), &tar);
    assert!(status == 200 && text.contains("sha256:"), "{status} {text}");
    let image = engine.inspect("made:2");
    assert_eq!((&image["Comment"], &image["Config"]["Env"][0], &image["Os"]), (&"why not".into(), &"A=b".into(), &"linux".into()));
    assert_eq!(image["Config"]["Cmd"][2], "/hello");
    let (_, plain) = send(&engine, "POST", "/v1.51/images/create?fromSrc=-", &tar);
    assert!(plain.contains("sha256:"), "{plain}");
    let refused = send(&engine, "POST", "/v1.51/images/create?fromSrc=-&repo=UPPER", &tar);
    assert_eq!(refused.0, 400, "{}", refused.1);
    let bad = send(&engine, "POST", "/v1.51/images/create?fromSrc=-&changes=RUN%20x", &tar);
    assert_eq!(bad.0, 400, "{}", bad.1);
    engine.finish();
}

/// Images without a name, on which others build.
#[test]
fn images_between_others() {
    let engine = Engine::new();
    engine.ok("create --name box busybox true");
    let below = engine.ok("commit -m below box");
    engine.ok(&format!("create --name next {below} true"));
    let above = engine.ok("commit -m above next above");
    let list = |query: &str| {
        let answer = http::get(&engine.socket(), &format!("/v1.51/images/json?{query}")).expect("an answer");
        let list = serde_json::from_str::<Value>(&answer.text()).expect("JSON");
        let ids = list.as_array().expect("a list").iter().map(|image| image["Id"].as_str().expect("an id").to_owned());
        ids.collect::<Vec<_>>()
    };
    let has = |query: &str| [&below, &above].map(|id| list(query).contains(id));
    assert_eq!((has(""), has("all=1"), has("all=0")), ([false, true], [true, true], [false, true]));
    let filter = |text: &str| format!("all=1&filters=%7B%22{}%22%5D%7D", text.replace('=', "%22%3A%5B%22"));
    assert_eq!(has(&filter(&format!("since={below}"))), [false, true]);
    assert_eq!(has(&filter(&format!("before={above}"))), [true, false]);
    engine.ok("rm box next");
    // What it stood on stays where that is asked for, and goes with the last of it.
    let delete = |query: &str| http::request(&engine.socket(), "DELETE", &format!("/v1.51/images/above?{query}"), "").expect("an answer");
    let kept = delete("noprune=1").text();
    assert!(kept.contains(&above) && !kept.contains(&below), "{kept}");
    assert_eq!(has("all=1"), [true, false]);
    engine.ok(&format!("create --name next {below} true"));
    let again = engine.ok("commit next above");
    engine.ok("rm next");
    let gone = delete("noprune=0").text();
    assert!(gone.contains(&again) && gone.contains(&below), "{gone}");
    engine.finish();
}
