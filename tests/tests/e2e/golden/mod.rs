//! What answers look like in each version of the API: keys, types, and values where they are settled, frozen in `answers/*.txt`; and what a
//! real dockerd answered to the same (`docker-20.10/*.txt`), with which ours agree but for the differences in [`KNOWN`].
//!
//! A line is `PATH TYPES VERSIONS`: `HostConfig.Memory number=0 24-51`. With `DHOW_BLESS=1` the files are written anew, those of dockerd
//! where there is one.

mod known;

use dhow_tests::peer::Dockerd;
use dhow_tests::{Engine, http, paths};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The oldest and the newest version, and the newest that the recorded dockerd knows.
const OLDEST: u16 = 24;
const NEWEST: u16 = 51;
const RECORDED: u16 = 41;

/// Name of the file, and what is asked for.
const ASKED: [(&str, &str); 20] = [
    ("version", "/version"),
    ("info", "/info"),
    ("containers", "/containers/json?all=1&size=1"),
    ("container", "/containers/box/json?size=1"),
    ("container-ended", "/containers/ended/json"),
    ("top", "/containers/box/top"),
    ("stats", "/containers/box/stats?stream=0&one-shot=1"),
    ("stats-ended", "/containers/ended/stats?stream=0&one-shot=1"),
    ("changes", "/containers/ended/changes"),
    ("plugins", "/plugins"),
    ("exec", "/exec/EXEC/json"),
    ("images", "/images/json"),
    ("image", "/images/busybox/json"),
    ("history", "/images/busybox/history"),
    ("networks", "/networks"),
    ("network", "/networks/none"),
    ("volumes", "/volumes"),
    ("volume", "/volumes/gold"),
    ("df", "/system/df"),
    ("events", "/events?since=1&until=NOW"),
];

/// A path, and a type there: in which versions.
type Shape = BTreeMap<(String, String), BTreeSet<u16>>;

/// Adds what a document looks like.
fn look(shape: &mut Shape, minor: u16, path: &str, value: &Value) {
    let mut add = |kind: &str| {
        let settled = !value.is_array() && !value.is_object() && known::is_settled(path);
        let kind = if settled { format!("{kind}={value}") } else { kind.to_owned() };
        shape.entry((path.to_owned(), kind)).or_default().insert(minor);
    };
    match value {
        Value::Null => add("null"),
        Value::Bool(_) => add("bool"),
        Value::Number(_) => add("number"),
        Value::String(_) => add("string"),
        Value::Array(all) => {
            add("array");
            all.iter().for_each(|one| look(shape, minor, &format!("{path}[]"), one));
        }
        Value::Object(map) => {
            if !path.is_empty() {
                add("object");
            }
            for (key, value) in map {
                let is_id = key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
                let key = if is_id { "ID" } else { key };
                let below = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                look(shape, minor, &below, value);
            }
        }
    }
}

/// `24-30,41`.
fn ranges(versions: &BTreeSet<u16>) -> String {
    let mut text = String::new();
    let mut all = versions.iter().copied().peekable();
    while let Some(first) = all.next() {
        let mut last = first;
        while let Some(next) = all.next_if_eq(&(last + 1)) {
            last = next;
        }
        let comma = if text.is_empty() { "" } else { "," };
        let _ = if first == last { write!(text, "{comma}{first}") } else { write!(text, "{comma}{first}-{last}") };
    }
    text
}

fn shown(shape: &Shape) -> String {
    shape.iter().map(|((path, kind), versions)| format!("{path} {kind} {}\n", ranges(versions))).collect()
}

fn post(socket: &Path, path: &str, body: &str) -> Value {
    let answer = http::request(socket, "POST", path, body).expect("an answer");
    assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.text());
    serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
}

/// Makes the things that are asked for, and asks in every version. The answers to what makes them are there too.
fn play(socket: &Path, newest: u16) -> BTreeMap<String, Shape> {
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    let versioned = |path: &str| format!("/v1.{newest}{path}");
    post(socket, &versioned("/volumes/create"), r#"{"Name":"gold","Labels":{"a":"b"}}"#);
    let body = r#"{"Image":"busybox","Cmd":["sleep","1000"],"Env":["A=b"],"Labels":{"a":"b"},"ExposedPorts":{"80/tcp":{}},"Hostname":"golden",
        "HostConfig":{"NetworkMode":"none","Binds":["gold:/v"],"Tmpfs":{"/t":""},"PortBindings":{"80/tcp":[{"HostPort":"8080"}]}}}"#;
    post(socket, &versioned("/containers/create?name=box"), body);
    post(socket, &versioned("/containers/box/start"), "");
    post(
        socket,
        &versioned("/containers/create?name=ended"),
        r#"{"Image":"busybox","Cmd":["true"],"Hostname":"golden","HostConfig":{"NetworkMode":"none"}}"#,
    );
    post(socket, &versioned("/containers/ended/start"), "");
    post(socket, &versioned("/containers/ended/wait"), "");
    let exec = post(socket, &versioned("/containers/box/exec"), r#"{"Cmd":["sleep","1000"]}"#);
    let exec = exec["Id"].as_str().expect("an exec").to_owned();
    post(socket, &versioned(&format!("/exec/{exec}/start")), r#"{"Detach":true}"#);
    // Its event is to lie before the end of those that are asked for, however long the questions before it take.
    assert_eq!(http::get(socket, &versioned("/containers/box/top")).expect("an answer").status, 200);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() + 1;
    for minor in OLDEST..=newest {
        for (name, path) in ASKED {
            // Before 1.41 there is no answer without a second sample.
            if name == "stats" && minor < 41 && minor % 8 != 0 {
                continue;
            }
            let path = path.replace("EXEC", &exec).replace("NOW", &now.to_string());
            let answer = http::get(socket, &format!("/v1.{minor}{path}")).expect("an answer");
            assert_eq!(answer.status, 200, "{path} in 1.{minor}: {}", answer.text());
            let shape = shapes.entry(name.to_owned()).or_default();
            for document in serde_json::Deserializer::from_slice(&answer.body).into_iter::<Value>() {
                let document = document.expect("JSON");
                // Events differ in what they tell by their kind.
                let kind = document.get("Action").and_then(Value::as_str).map(|action| format!("{}.{action}", document["Type"]));
                look(shape, minor, &kind.unwrap_or_default().replace('"', ""), &document);
            }
            shape.retain(|(path, _), _| !known::is_of_the_host(name, path));
        }
    }
    // Only now: the original remembers few events.
    for minor in OLDEST..=newest {
        for (name, path, body) in known::CHANGES {
            let path = format!("/v1.{minor}{path}");
            let answer = post(socket, &path, body);
            look(shapes.entry((*name).to_owned()).or_default(), minor, "", &answer);
        }
    }
    shapes
}

fn files(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/golden").join(of)
}

fn is_blessed() -> bool {
    std::env::var_os("DHOW_BLESS").is_some()
}

fn write(of: &str, shapes: &BTreeMap<String, Shape>) {
    std::fs::create_dir_all(files(of)).expect("a directory");
    for (name, shape) in shapes {
        std::fs::write(files(of).join(format!("{name}.txt")), shown(shape)).expect("a file");
    }
}

fn read(of: &str, name: &str) -> String {
    std::fs::read_to_string(files(of).join(format!("{name}.txt"))).unwrap_or_default()
}

fn ours() -> BTreeMap<String, Shape> {
    let engine = Engine::new();
    let shapes = play(&engine.socket(), NEWEST);
    engine.run("rm -f box ended").ok();
    engine.finish();
    shapes
}

#[test]
fn answers_are_as_they_were_in_every_version() {
    let shapes = ours();
    if is_blessed() {
        return write("answers", &shapes);
    }
    let mut changed = String::new();
    for (name, shape) in &shapes {
        let (was, is) = (read("answers", name), shown(shape));
        let (was, is): (BTreeSet<_>, BTreeSet<_>) = (was.lines().collect(), is.lines().collect());
        was.difference(&is).for_each(|line| changed += &format!("{name}: gone: {line}\n"));
        is.difference(&was).for_each(|line| changed += &format!("{name}: new: {line}\n"));
    }
    assert!(changed.is_empty(), "{changed}");
}

#[test]
fn dockerds_answers_were_recorded() {
    if !is_blessed() {
        assert!(ASKED.iter().all(|(name, _)| !read("docker-20.10", name).is_empty()));
        return;
    }
    let Some(peer) = Dockerd::start() else { return };
    peer.docker(&["load", "-q", "-i"]).args([paths::image("busybox")]).ok();
    write("docker-20.10", &play(&peer.socket(), RECORDED));
    peer.docker(&["rm", "-f", "box", "ended"]).ok();
}

/// Line for line, up to the newest version that both know.
#[test]
fn they_agree_with_dockerds_field_by_field() {
    let mut found = String::new();
    let mut used = BTreeSet::new();
    for file in std::fs::read_dir(files("docker-20.10")).expect("the recorded answers") {
        let name = file.expect("an entry").file_name().to_string_lossy().trim_end_matches(".txt").to_owned();
        let (theirs, ours) = (parse(&read("docker-20.10", &name)), parse(&read("answers", &name)));
        for (sign, these, others) in [("-", &theirs, &ours), ("+", &ours, &theirs)] {
            for line in these.difference(others) {
                let line = format!("{name} {sign} {line}");
                match known::KNOWN.iter().position(|(pattern, _)| known::fits(pattern, &line)) {
                    Some(at) => drop(used.insert(at)),
                    None => found += &format!("{line}\n"),
                }
            }
        }
    }
    let unused = known::KNOWN.iter().enumerate().filter(|(at, _)| !used.contains(at));
    unused.for_each(|(_, (pattern, _))| found += &format!("nothing fits {pattern}\n"));
    assert!(found.is_empty(), "{found}");
}

/// `PATH TYPE MINOR` for every version up to the recorded one.
fn parse(text: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for line in text.lines() {
        let (rest, versions) = line.rsplit_once(' ').expect("three words");
        for range in versions.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| text.parse::<u16>().expect("a version");
            let mut part: BTreeSet<u16> = (number(first)..=number(last)).collect();
            part.retain(|minor| *minor <= RECORDED);
            if !part.is_empty() {
                all.insert(format!("{rest} {}", ranges(&part)));
            }
        }
    }
    all
}

#[test]
fn versions_in_short() {
    assert_eq!(ranges(&[24, 25, 26, 30, 41, 42].into()), "24-26,30,41-42");
    assert_eq!(parse("a b 24-26,30,41-51\n"), ["a b 24-26", "a b 30", "a b 41"].map(str::to_owned).into());
}
