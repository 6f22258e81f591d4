//! kill -9 of the daemon, of the spawner, of a shim.

use dhow_tests::engine::kill;
use dhow_tests::{Cmd, Engine, leaks, paths, until};

/// Counts aloud until SIGUSR1, then says how far it came and exits with 7: its life has no fixed length, so no machine is too slow for the test.
const COUNTER: &str = "trap 'echo end $i; exit 7' USR1; i=0; while :; do echo line $i; i=$((i+1)); sleep 0.01; done";

#[test]
fn a_killed_daemon_loses_no_line_and_no_exit_code() {
    let engine = Engine::new();
    engine.dhow(["run", "-d", "--name", "box", "busybox", "sh", "-c", COUNTER]).ok();
    let pid = engine.container_pid("box");
    let lines = || engine.ok("logs box").lines().count();
    until("it talks", || lines() > 5);
    engine.kill_daemon();
    assert!(leaks::alive(pid).is_some(), "the container died with the daemon");
    engine.start_daemon();
    let shown = engine.inspect("box");
    assert!(shown["State"]["Running"] == true && shown["State"]["Pid"] == pid, "{shown}");
    let before = lines();
    until("it goes on talking", || lines() > before);
    // Once more, and this time it ends while no daemon is there.
    engine.kill_daemon();
    kill(pid, 10);
    until("the container ends", || leaks::alive(pid).is_none());
    engine.start_daemon();
    engine.until_state("box", "exited");
    assert_eq!(engine.inspect("box")["State"]["ExitCode"], 7);
    assert_eq!(engine.ok("wait box"), "7");
    let logs = engine.ok("logs box");
    let (counted, end) = logs.rsplit_once('\n').expect("lines");
    let said: usize = end.strip_prefix("end ").and_then(|n| n.parse().ok()).expect(end);
    // The signal may come between a line and its count.
    let shown: Vec<&str> = counted.lines().collect();
    assert!(shown.len() == said || shown.len() == said + 1, "{} lines, and it counted {said}", shown.len());
    assert!(shown.iter().enumerate().all(|(i, line)| *line == format!("line {i}")), "{logs}");
    engine.finish();
}

#[test]
fn an_adopted_container_obeys() {
    let engine = Engine::new();
    engine.dhow(["run", "-d", "-i", "--name", "box", "busybox", "sh", "-c", "read line; echo heard $line; sleep 1000"]).ok();
    engine.kill_daemon();
    engine.start_daemon();
    assert_eq!(engine.ok("exec box echo exec"), "exec");
    let mut attached = engine.dhow(["attach", "box"]).stdin(std::process::Stdio::piped()).spawn();
    std::io::Write::write_all(attached.stdin.as_mut().expect("piped"), b"you\n").expect("write");
    until("its input arrives", || engine.ok("logs box").contains("heard you"));
    engine.ok("stop -t 0 box");
    assert_eq!(dhow_tests::finish_child(attached).code, 137);
    engine.until_state("box", "exited");
    engine.ok("start box");
    assert_eq!(engine.inspect("box")["State"]["Running"], true);
    engine.finish();
}

#[test]
fn a_stopped_daemon_leaves_containers_running() {
    let engine = Engine::new();
    engine.ok("run -d --name box busybox sleep 1000");
    let pid = engine.container_pid("box");
    assert_eq!(engine.stop_daemon(), 0);
    assert!(leaks::alive(pid).is_some());
    engine.start_daemon();
    assert_eq!(engine.container_pid("box"), pid);
    engine.finish();
}

#[test]
fn who_stops_the_daemon_may_stop_its_containers() {
    let engine = Engine::new();
    engine.ok("run -d --init --name box busybox sleep 1000");
    engine.ok("run -d --init --name always --restart always busybox sleep 1000");
    let (box_pid, always) = (engine.container_pid("box"), engine.container_pid("always"));
    let stop = |flags: &[&str]| {
        Cmd::new(paths::dhow()).args(["daemon", "stop", "--pidfile"]).args([engine.dir().join("p")]).args(flags).ok();
        // It has ended; its parent, the test, hears of it.
        assert_eq!(engine.reap_daemon(), 0);
    };
    stop(&[]);
    assert!(leaks::alive(box_pid).is_some() && leaks::alive(always).is_some());
    engine.start_daemon();
    assert_eq!(engine.container_pid("box"), box_pid);
    stop(&["--all"]);
    assert!(leaks::alive(box_pid).is_none() && leaks::alive(always).is_none());
    let nobody = Cmd::new(paths::dhow()).args(["daemon", "stop", "--pidfile"]).args([engine.dir().join("p")]).run().fails(1);
    assert!(nobody.contains("no daemon runs"), "{nobody}");
    engine.start_daemon();
    engine.until_state("box", "exited");
    engine.until_state("always", "running");
    engine.finish();
}

#[test]
fn auto_remove_happens_after_a_crash_too() {
    let engine = Engine::new();
    engine.ok("run -d --rm --name box busybox sleep 1000");
    let pid = engine.container_pid("box");
    engine.kill_daemon();
    kill(pid, 9);
    until("the container is dead", || leaks::alive(pid).is_none());
    engine.start_daemon();
    until("it is removed", || engine.ok("ps -aq").is_empty());
    engine.finish();
}

#[test]
fn a_killed_spawner_is_replaced() {
    let engine = Engine::new();
    engine.ok("run -d --name before busybox sleep 1000");
    let (container, spawner) = (engine.container_pid("before"), engine.spawner_pid());
    kill(spawner, 9);
    until("the spawner is dead", || leaks::alive(spawner).is_none());
    assert!(leaks::alive(container).is_some());
    assert_eq!(engine.ok("exec before echo still"), "still");
    assert_eq!(engine.ok("run --rm busybox echo next"), "next");
    assert_ne!(engine.spawner_pid(), spawner);
    engine.finish();
}

#[test]
fn a_killed_shim_is_noticed_and_cleaned_up() {
    let engine = Engine::new();
    engine.ok("run -d --name box busybox sleep 1000");
    let (container, shim) = (engine.container_pid("box"), engine.shim_pid("box"));
    kill(shim, 9);
    engine.until_state("box", "exited");
    until("its process is gone", || leaks::alive(container).is_none());
    assert_ne!(engine.inspect("box")["State"]["ExitCode"], 0);
    // It starts again as if nothing had been.
    engine.ok("start box");
    assert_eq!(engine.ok("exec box echo again"), "again");
    engine.finish();
}

#[test]
fn daemon_and_shim_killed_together() {
    let engine = Engine::new();
    engine.ok("run -d --name box busybox sleep 1000");
    let (container, shim) = (engine.container_pid("box"), engine.shim_pid("box"));
    engine.kill_daemon();
    kill(shim, 9);
    until("the shim is dead", || leaks::alive(shim).is_none());
    engine.start_daemon();
    engine.until_state("box", "exited");
    until("its process is gone", || leaks::alive(container).is_none());
    engine.ok("rm box");
    engine.finish();
}

#[test]
fn slow_killed_at_any_instant() {
    // Nothing that was answered with success is lost, nothing half-made stays.
    let engine = Engine::new();
    let mut made = Vec::new();
    for round in 0..8_u64 {
        let starting: Vec<_> = (0..3)
            .map(|number| engine.dhow(["run", "-d", "--name", &format!("c{round}-{number}"), "busybox", "sleep", "1000"]).spawn())
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(round * 4));
        engine.kill_daemon();
        for child in starting {
            let out = dhow_tests::finish_child(child);
            if out.code == 0 {
                made.push(out.ok());
            }
        }
        engine.start_daemon();
        let known = engine.ok("ps -aq --no-trunc");
        for id in &made {
            assert!(known.contains(id.as_str()), "{id} was answered with success and is lost");
            assert_eq!(engine.inspect(id)["State"]["Running"], true, "{id}");
        }
    }
    engine.finish();
}

#[test]
fn a_second_daemon_on_the_same_roots_is_refused() {
    let engine = Engine::new();
    let out = engine
        .dhow(["daemon", "--data-root"])
        .args([engine.data_root()])
        .args(["--exec-root"])
        .args([engine.dir().join("x2")])
        .args(["-H", &format!("unix://{}", engine.dir().join("s2").display()), "--pidfile"])
        .args([engine.dir().join("p2")])
        .run();
    assert_ne!(out.code, 0, "{out}");
    assert_eq!(engine.ok("run --rm busybox echo fine"), "fine");
    engine.finish();
}
