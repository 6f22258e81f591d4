//! Clients of a running container: several at once, the signals that they pass on, and what `wait` waits for.

use dhow_tests::{Cmd, Engine, engine, finish_child, http, skip, until};
use std::process::Child;

/// A script that says when it runs, and ends when it gets SIGUSR1. (Not when an `exec` makes a file: that would end
/// with the container, before its own end.)
const UNTIL_TOLD: &str = "trap go=1 USR1; echo before; until [ \"$go\" ]; do sleep 0.02; done; echo after; exit 4";
/// One that ends by itself on SIGUSR1.
const UNTIL_USR1: &str = "trap 'echo got; exit 9' USR1; echo ready; while :; do sleep 0.02; done";

/// How many have joined a container so far.
fn attached(engine: &Engine) -> usize {
    engine.events().iter().filter(|action| *action == "attach").count()
}

/// Every client sees what comes after it joined, and the code.
fn several(engine: &Engine, client: impl Fn(&[&str]) -> Cmd) {
    engine.dhow(["run", "-d", "--name", "box", "busybox", "sh", "-c", UNTIL_TOLD]).ok();
    until("the script runs", || engine.run("logs box").stdout().contains("before"));
    let before = attached(engine);
    let clients: Vec<Child> = (0..3).map(|_| client(&["attach", "--no-stdin", "box"]).spawn()).collect();
    until("all have joined", || attached(engine) == before + 3);
    engine.ok("kill -s USR1 box");
    for child in clients {
        let out = finish_child(child);
        assert_eq!((out.code, out.stdout().trim_start_matches("before\n"), out.stderr().as_str()), (4, "after\n", ""), "{out}");
    }
    engine.ok("rm box");
}

#[test]
fn several_clients_see_the_same() {
    let engine = Engine::new();
    several(&engine, |words| engine.dhow(words));
    engine.finish();
}

#[test]
fn several_docker_clients_see_the_same() {
    let engine = Engine::new();
    if engine.docker(["version"]).is_none() {
        return skip("the docker client is not installed");
    }
    several(&engine, |words| engine.docker(words).expect("checked"));
    engine.finish();
}

fn ready(engine: &Engine) {
    until("the script runs", || engine.run("logs box").stdout().contains("ready"));
}

#[test]
fn signals_go_through_attach_and_start() {
    let engine = Engine::new();
    engine.dhow(["create", "--name", "box", "busybox", "sh", "-c", UNTIL_USR1]).ok();
    let started = engine.dhow(["start", "-a", "box"]).spawn();
    ready(&engine);
    engine::kill(started.id() as i32, 10);
    let out = finish_child(started);
    assert_eq!((out.code, out.stdout().as_str()), (9, "ready\ngot\n"), "{out}");
    engine.ok("rm box");

    engine.dhow(["run", "-d", "--name", "box", "busybox", "sh", "-c", UNTIL_USR1]).ok();
    ready(&engine);
    let before = attached(&engine);
    let joined = engine.dhow(["attach", "--no-stdin", "box"]).spawn();
    until("it has joined", || attached(&engine) > before);
    engine::kill(joined.id() as i32, 10);
    let out = finish_child(joined);
    assert_eq!((out.code, out.stdout().ends_with("got\n")), (9, true), "{out}");
    engine.finish();
}

#[test]
fn without_sig_proxy_the_client_alone_ends() {
    let engine = Engine::new();
    engine.dhow(["run", "-d", "--name", "box", "busybox", "sh", "-c", UNTIL_USR1]).ok();
    ready(&engine);
    let before = attached(&engine);
    let joined = engine.dhow(["attach", "--no-stdin", "--sig-proxy=false", "box"]).spawn();
    until("it has joined", || attached(&engine) > before);
    engine::kill(joined.id() as i32, 15);
    assert_eq!(finish_child(joined).code, 143);
    assert_eq!(engine.inspect("box")["State"]["Status"], "running");
    engine.finish();
}

/// The status and the answer of a request that waits.
fn wait(engine: &Engine, path: &str) -> (u16, String) {
    let answer = http::request(&engine.socket(), "POST", path, "").expect("an answer");
    (answer.status, answer.text().trim().to_owned())
}

#[test]
fn conditions_of_wait() {
    let engine = Engine::new();
    engine.dhow(["run", "--name", "box", "busybox", "sh", "-c", "exit 5"]).run().exits(5);
    let ended = (200, "{\"StatusCode\":5}".to_owned());
    for path in ["/v1.51/containers/box/wait", "/v1.51/containers/box/wait?condition=not-running", "/containers/box/wait?condition="] {
        assert_eq!(wait(&engine, path), ended, "{path}");
    }
    // Before 1.30 there were no conditions.
    assert_eq!(wait(&engine, "/v1.29/containers/box/wait?condition=removed"), ended);
    let (status, text) = wait(&engine, "/v1.51/containers/box/wait?condition=bogus");
    assert_eq!((status, text.as_str()), (400, "{\"message\":\"invalid condition: \\\"bogus\\\"\"}"));
    assert_eq!(wait(&engine, "/v1.51/containers/nosuch/wait").0, 404);
    std::thread::scope(|scope| {
        let next = scope.spawn(|| wait(&engine, "/v1.51/containers/box/wait?condition=next-exit"));
        let gone = scope.spawn(|| wait(&engine, "/v1.51/containers/box/wait?condition=removed"));
        // A wait that comes late hears of the exit after: so it runs until nobody waits any more.
        until("the next exit is heard of", || {
            engine.run("start -a box").exits(5);
            next.is_finished()
        });
        assert_eq!(next.join().expect("no panic"), ended);
        assert!(!gone.is_finished(), "an exit is no removal");
        engine.ok("rm box");
        let answer = gone.join().expect("no panic");
        assert!(answer == ended || answer.0 == 404, "{answer:?}");
    });
    engine.finish();
}
