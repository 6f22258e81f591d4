//! What happened is on disk: it outlives the daemon, and a listener sees it and what follows as one.

use dhow_tests::{Engine, finish_child, until};
use std::path::PathBuf;

fn log(engine: &Engine) -> PathBuf {
    engine.data_root().join("events/log")
}

/// Waits until the last event is this action of this container, and is on disk: what comes before it is there too.
#[track_caller]
fn until_written(engine: &Engine, action: &str, name: &str) {
    until(&format!("{action} is written"), || {
        let text = std::fs::read_to_string(log(engine)).unwrap_or_default();
        let last = text.lines().last().unwrap_or_default();
        last.contains(&format!("\"action\":\"{action}\"")) && last.contains(&format!("\"name\":\"{name}\""))
    });
}

#[test]
fn history_outlives_the_daemon_however_it_ends() {
    let engine = Engine::new();
    engine.ok("run --rm --name first busybox true");
    until("the container is gone", || engine.events().last().is_some_and(|action| action == "destroy"));
    let first = engine.events();
    assert!(first.ends_with(&["create", "attach", "connect", "start", "disconnect", "die", "destroy"].map(str::to_owned)), "{first:?}");

    assert_eq!(engine.stop_daemon(), 0);
    engine.start_daemon();
    assert_eq!(engine.events(), first);

    engine.ok("create --name second busybox");
    engine.ok("rm second");
    until_written(&engine, "destroy", "second");
    engine.kill_daemon();
    // A crash in the middle of a line.
    let mut torn = std::fs::read(log(&engine)).unwrap();
    torn.extend_from_slice(b"{\"at\":17,\"n\":");
    std::fs::write(log(&engine), torn).unwrap();
    engine.start_daemon();
    let second = [first, ["create", "destroy"].map(str::to_owned).to_vec()].concat();
    assert_eq!(engine.events(), second);

    engine.ok("create --name third busybox");
    until_written(&engine, "create", "third");
    assert_eq!(engine.events(), [second, vec!["create".to_owned()]].concat());
}

#[test]
fn a_listener_sees_past_and_future_as_one() {
    let engine = Engine::new();
    let listen =
        |since: &str| engine.dhow(["events", "--since", since, "--format", "{{.TimeNano}} {{.Action}} {{.Actor.Attributes.name}}"]);
    let words = |name: &str| engine.ok(&format!("run --rm --name {name} busybox true"));
    words("before");
    // Some of what was is on disk by now, some is not; all that follows is live.
    let live: Vec<_> = (0..4)
        .map(|round| {
            let child = listen("0").spawn();
            words(&format!("round{round}"));
            child
        })
        .collect();
    until("all is over", || engine.events().iter().filter(|action| *action == "destroy").count() == 5);
    // The daemon's end is the end of every stream.
    assert_eq!(engine.stop_daemon(), 0);
    let live: Vec<String> = live.into_iter().map(|child| finish_child(child).stdout()).collect();
    engine.start_daemon();
    let all = listen("0").args(["--until", "0s"]).ok();
    let all: Vec<&str> = all.lines().collect();
    assert!(all.len() >= 26, "{all:?}");
    for stream in live {
        let seen: Vec<&str> = stream.lines().collect();
        assert_eq!(seen, all[..seen.len()], "{stream}");
        assert!(seen.iter().any(|line| line.ends_with("destroy before")), "{stream}");
    }
}

#[test]
fn ranges_of_time_and_filters() {
    let engine = Engine::new();
    engine.ok("create --name one --label a=b busybox");
    engine.ok("create --name two busybox");
    engine.ok("tag busybox other:1");
    let show = |words: &[&str]| {
        let words = [&["events", "--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}"], words].concat();
        engine.dhow(words).ok()
    };
    let created = engine.dhow(["events", "--since", "0", "--until", "1h", "--format", "x"]).run();
    assert_eq!(created.ok(), "");
    let at = engine.dhow(["events", "--since", "0", "--until", &next_second(), "-f", "container=two", "--format", "{{.TimeNano}}"]).ok();
    let at: i64 = at.parse().unwrap();
    let moment = |nanos: i64| format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    assert_eq!(show(&["--since", &moment(at), "--until", &moment(at)]), "container create two");
    assert_eq!(show(&["--since", &moment(at + 1), "--until", &next_second()]), "image tag other:1");
    assert_eq!(show(&["--until", &moment(at - 1), "-f", "type=container"]), "container create one");
    assert_eq!(show(&["--since", "0", "--until", &next_second(), "-f", "label=a"]), "container create one");
    let wrong = engine.dhow(["events", "--since", "2", "--until", "1"]).run().fails(1);
    assert_eq!(wrong, "Error response from daemon: `since` time (2) cannot be after `until` time (1)\n");
}

/// The end of this second, as a query says it.
fn next_second() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    (now + 1).to_string()
}
