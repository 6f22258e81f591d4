//! Shims that are made while their container is still being created.

use dhow_tests::{Engine, http, until};

/// The spawner's children.
fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("its children");
    text.split_whitespace().map(|pid| pid.parse().expect("a number")).collect()
}

/// Those that expect a container: they have a network namespace that is not the spawner's. Looked at quickly: they wait for a twentieth of a
/// second.
fn expecting(spawner: i32) -> Vec<i32> {
    let host = std::fs::read_link(format!("/proc/{spawner}/ns/net")).expect("its namespace");
    let has_another = |pid: &i32| {
        let held = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut held = held.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        held.any(|held| held.to_string_lossy().starts_with("net:[") && held != host)
    };
    children(spawner).into_iter().filter(has_another).collect()
}

/// Creates one that removes itself, as this process, and starts it. Whether its shim was there before.
fn starts_in_one(engine: &Engine, spawner: i32) -> bool {
    let body = r#"{"Image": "busybox", "Cmd": ["sleep", "100"], "HostConfig": {"AutoRemove": true}}"#;
    let created = http::request(&engine.socket(), "POST", "/containers/create", body).expect("an answer");
    assert_eq!(created.status, 201);
    let ahead = children(spawner);
    let created: serde_json::Value = serde_json::from_str(&created.text()).expect("JSON");
    let id = created["Id"].as_str().expect("an id");
    assert_eq!(http::request(&engine.socket(), "POST", &format!("/containers/{id}/start"), "").expect("an answer").status, 204);
    let shim = engine.shim_pid(id);
    engine.ok(&format!("rm -f {id}"));
    ahead.contains(&shim)
}

#[test]
fn a_shim_is_there_before_its_container() {
    let engine = Engine::new();
    let spawner = engine.spawner_pid();
    // A busy machine may take longer than it waits.
    until("a container has one that was made ahead", || starts_in_one(&engine, spawner));
    until("nothing waits", || children(spawner).is_empty());
    engine.finish();
}

/// After a start a shim stands by for the next one for a while, with nothing of a container.
#[test]
fn a_shim_stands_by() {
    let engine = Engine::new();
    let spawner = engine.spawner_pid();
    engine.ok("run --rm busybox true");
    until("one stands by, and is the next container's", || {
        let [standing_by] = children(spawner)[..] else {
            // A busy machine may take longer than it stands.
            engine.ok("run --rm busybox true");
            return false;
        };
        let expecting = expecting(spawner).contains(&standing_by);
        let id = engine.ok("run -d busybox sleep 100");
        let shim = engine.shim_pid(&id);
        engine.ok(&format!("rm -f {id}"));
        shim == standing_by && !expecting
    });
    until("nothing stands by", || children(spawner).is_empty());
    engine.finish();
}

/// What a client has not started is given up, and nobody takes it when that client has gone: between two commands the host may change.
#[test]
fn a_client_that_goes_takes_it_along() {
    let engine = Engine::new();
    let (spawner, mut seen) = (engine.spawner_pid(), 0);
    until("some were made ahead", || {
        until("nothing waits", || expecting(spawner).is_empty());
        let id = engine.ok("create --rm busybox sleep 100");
        let ahead = expecting(spawner);
        seen += ahead.len();
        engine.ok(&format!("start {id}"));
        assert!(!ahead.contains(&engine.shim_pid(&id)));
        engine.ok(&format!("rm -f {id}"));
        seen > 3
    });
    for _ in 0..20 {
        engine.ok("create --rm busybox true");
    }
    until("nothing waits", || expecting(spawner).is_empty());
    assert_eq!(engine.ok("run --rm busybox echo goes on"), "goes on");
    let ids = engine.ok("ps -aq");
    engine.ok(&format!("rm -f {}", ids.replace('\n', " ")));
    engine.finish();
}
