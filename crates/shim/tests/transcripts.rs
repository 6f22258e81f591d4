//! What earlier releases said, and what later ones may say: every recorded message is understood, and a shim that speaks so is adopted.
//!
//! `release-*.jsonl` and `adopted-*.jsonl` were recorded from running containers of that release and never change. A release whose
//! messages differ adds its own. `older-*` and `newer-*` are written by hand: without what is optional, with what is unknown.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dhow_shim::handle::{Error, Event, Running, Shim};
use dhow_shim::protocol::{FromShim, FromSpawner, Request, State, ToShim, ToSpawner};
use dhow_sys::fdpass;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Deserialize)]
struct Line {
    from: String,
    to: String,
    fds: usize,
    message: Value,
}

const ID: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

fn load(name: &str) -> Vec<Line> {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether `whole` says everything that `part` says. What is absent and what is null mean the same.
fn says(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| value.is_null() || whole.get(key).is_some_and(|w| says(w, value)))
        }
        _ => whole == part,
    }
}

/// Reads a message as this release does, and returns what it says again.
fn round<T: DeserializeOwned + serde::Serialize>(message: &Value) -> Value {
    let parsed: T = serde_json::from_slice(&serde_json::to_vec(message).unwrap()).unwrap();
    serde_json::to_value(parsed).unwrap()
}

#[test]
fn every_recorded_message_is_understood() {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let recorded = name.starts_with("release-") || name.starts_with("adopted-");
        for line in load(&name) {
            let again = match (line.from.as_str(), line.to.as_str()) {
                ("daemon", "spawner") => round::<ToSpawner>(&line.message),
                ("spawner", "daemon") => round::<FromSpawner>(&line.message),
                ("daemon", "shim") => round::<ToShim>(&line.message),
                ("shim", "daemon") => round::<FromShim>(&line.message),
                other => panic!("{other:?}"),
            };
            assert!(!recorded || says(&again, &line.message), "{name}: {} became {again}", line.message);
            count += usize::from(recorded);
        }
    }
    assert!(count > 100);
}

/// Plays the shim's part over a listening socket in `dir`. Returns what did not go as recorded.
fn play(dir: &Path, lines: Vec<Line>) -> std::thread::JoinHandle<()> {
    use rustix::net;
    let listener = net::socket(net::AddressFamily::UNIX, net::SocketType::SEQPACKET, None).unwrap();
    net::bind(&listener, &net::SocketAddrUnix::new(dir.join("shim.sock")).unwrap()).unwrap();
    net::listen(&listener, 1).unwrap();
    std::thread::spawn(move || {
        let socket = net::accept(&listener).unwrap();
        let (hello, _) = fdpass::recv(&socket).unwrap().unwrap();
        assert!(matches!(serde_json::from_slice(&hello).unwrap(), ToShim::Hello(_)));
        for line in lines {
            if line.from == "shim" {
                let fds = vec![socket.as_fd(); line.fds];
                fdpass::send(&socket, &serde_json::to_vec(&line.message).unwrap(), &fds).unwrap();
                continue;
            }
            let (body, fds) = fdpass::recv(&socket).unwrap().unwrap();
            let said: Value = serde_json::from_slice(&body).unwrap();
            assert!(says(&said, &line.message), "{said} instead of {}", line.message);
            assert_eq!(fds.len(), line.fds);
        }
    })
}

/// Asks the shim what the recorded daemon asked, and returns how it was answered.
async fn ask(shim: &Shim, message: &Value) -> Result<(), Error> {
    let ToShim::Request { request, .. } = serde_json::from_slice(&serde_json::to_vec(message).unwrap()).unwrap() else { panic!() };
    let socket = || -> OwnedFd { std::os::unix::net::UnixStream::pair().unwrap().0.into() };
    match request {
        Request::Attach(config) => shim.attach(config, socket()).await,
        Request::Kill { signal, all } => shim.kill(signal, all).await,
        Request::Resize { exec, height, width } => shim.resize(exec.as_deref(), height, width).await,
        Request::Exec(config) => {
            let client = config.attach.is_some().then(socket);
            shim.exec(*config, client).await.map(drop)
        }
        Request::ExecKill { exec, signal } => shim.exec_kill(&exec, signal).await,
        Request::Update(config) => shim.update(*config).await,
        Request::Pause => shim.pause().await,
        Request::Resume => shim.resume().await,
        Request::Usage => shim.usage().await.map(drop),
        Request::Root => shim.root().await.map(drop),
        Request::Resolver { tcp } => shim.resolver(tcp).await.map(drop),
        Request::Relays { relays, anew } => {
            let sockets = relays.iter().map(|_| socket()).collect();
            shim.relays(relays, sockets, anew).await
        }
        Request::ReopenLog => shim.reopen_log().await,
        Request::Sync => shim.sync().await,
        Request::Release => shim.release().await,
        Request::Unknown => panic!("{message}"),
    }
}

/// Adopts the shim of a transcript and repeats its daemon's part: the state it greeted with, which requests were refused, all events.
async fn adopt(lines: Vec<Line>) -> (State, Vec<String>, Vec<Event>) {
    let dir = tempfile::tempdir().unwrap();
    let shim = play(dir.path(), lines.clone());
    let Running { shim: handle, state, mut events, .. } = Shim::connect(ID, dir.path()).await.unwrap();
    let mut refused = Vec::new();
    for line in lines.iter().filter(|line| line.from == "daemon") {
        if let Err(error) = ask(&handle, &line.message).await {
            assert!(matches!(error, Error::Refused(_)), "{error:?}");
            refused.push(line.message["op"].as_str().unwrap().to_owned());
        }
    }
    let mut all = Vec::new();
    while let Some(event) = events.recv().await {
        all.push(event);
    }
    tokio::task::spawn_blocking(move || shim.join().unwrap()).await.unwrap();
    (state, refused, all)
}

fn kinds(events: &[Event]) -> String {
    let name = |event: &Event| match event {
        Event::Exited(exit) => format!("exited {} {}", exit.code, exit.oom),
        Event::ExecExited { exec, code } => format!("exec {exec} {code}"),
        Event::Detached { exec } => format!("detached {exec:?}"),
        Event::Oom => "oom".to_owned(),
        Event::ProbeBegan { exec } => format!("probe {exec}"),
        Event::Probed { exec, probe, status, streak } => format!("probed {exec} {:?} {:?} {status:?} {streak}", probe.end, probe.output),
        Event::Gone => "gone".to_owned(),
    };
    events.iter().map(name).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn shims_of_earlier_and_later_releases_are_adopted() {
    let (state, refused, events) = adopt(load("adopted-running-0.1.0.jsonl")).await;
    assert!(matches!(state, State::Running { pid, .. } if pid > 0));
    assert_eq!((refused.len(), kinds(&events).as_str()), (0, "exited 11 false, gone"));

    let (state, refused, events) = adopt(load("adopted-exited-0.1.0.jsonl")).await;
    assert!(matches!(state, State::Exited(exit) if exit.code == 12));
    assert_eq!((refused.len(), kinds(&events).as_str()), (0, "gone"));

    let (state, refused, events) = adopt(load("older-shim.jsonl")).await;
    assert!(matches!(state, State::Running { pid: 78, start_time: 5, at: 6 }));
    assert_eq!((refused.concat().as_str(), kinds(&events).as_str()), ("sync", "detached None, exited 137 false, gone"));

    let (state, refused, events) = adopt(load("newer-shim.jsonl")).await;
    assert!(matches!(state, State::Running { pid: 78, .. }));
    assert_eq!((refused.concat().as_str(), kinds(&events).as_str()), ("pause", "exited 3 false, gone"));

    let (state, _, events) = adopt(load("newer-health.jsonl")).await;
    assert!(matches!(state, State::Running { pid: 78, .. }));
    let told = "probe p2, probed p2 Exited { code: 1 } \"no\" Healthy 1, probed p3 Unknown \"\" Unknown 2, exited 137 false, gone";
    assert_eq!(kinds(&events), told);
}

/// Whole sessions of the recorded release, from the greeting on, as if its shims had been adopted then.
#[tokio::test]
async fn recorded_sessions_are_repeated() {
    let mut sessions: Vec<Vec<Line>> = Vec::new();
    for line in load("release-0.1.0.jsonl").into_iter().filter(|line| line.from == "shim" || line.to == "shim") {
        match line.message["kind"].as_str().unwrap() {
            "hello" if line.from == "shim" => sessions.push(vec![line]),
            "hello" | "started" | "start_failed" => {}
            _ => sessions.last_mut().unwrap().push(line),
        }
    }
    let mut told = Vec::new();
    for mut session in sessions.into_iter().filter(|session| session.len() > 1) {
        session[0].message["id"] = ID.into();
        // What was refused then is refused again; nothing else is.
        let failed = session.iter().filter(|line| line.message["outcome"] == "failed").count();
        let (_, refused, events) = adopt(session).await;
        assert_eq!(refused.len(), failed);
        told.push(kinds(&events));
    }
    assert_eq!(told.len(), 4);
    assert!(told[0].starts_with("exec e1 9, exec e2 0") && told[0].ends_with("exec last 137, exited 137 false, gone"), "{}", told[0]);
    assert_eq!(told[1..], ["exited 137 false, gone", "oom, exited 137 true, gone", "detached None, exited 0 false, gone"]);
}
