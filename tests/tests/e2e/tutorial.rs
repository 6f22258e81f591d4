//! What the tutorials do, in their order: pausing keeps state, stopping asks first and kills then, update changes what inspect says.

use dhow_tests::{Engine, until};

#[test]
fn pause_keeps_state() {
    let engine = Engine::new();
    // The shell counts in memory: a container that was made anew would begin again.
    let count = "i=0; while true; do i=$((i+1)); echo $i; sleep 0.05; done";
    engine.dhow(["run", "-d", "--name", "box", "busybox", "sh", "-c", count]).ok();
    until("it counts", || engine.ok("logs box").lines().count() > 3);
    let pid = engine.container_pid("box");
    engine.ok("pause box");
    let state = engine.inspect("box")["State"].clone();
    assert_eq!((&state["Status"], &state["Paused"], &state["Running"]), (&"paused".into(), &true.into(), &true.into()));
    assert!(engine.dhow(["ps", "--format", "{{.Status}}"]).ok().contains("(Paused)"));
    assert!(engine.run("exec box true").fails(1).contains("is paused, unpause the container before exec"));
    let before = engine.ok("logs box").lines().count();
    engine.ok("unpause box");
    until("it goes on", || engine.ok("logs box").lines().count() > before + 3);
    let said: Vec<usize> = engine.ok("logs box").lines().map(|line| line.parse().expect("a number")).collect();
    assert!(said.iter().enumerate().all(|(at, number)| *number == at + 1), "{said:?}");
    assert_eq!(engine.container_pid("box"), pid);
    engine.finish();
}

#[test]
fn stop_asks_and_then_kills() {
    let engine = Engine::new();
    let polite = "trap 'echo asked; exit 3' TERM; echo ready; while true; do sleep 0.05; done";
    engine.dhow(["run", "-d", "--name", "polite", "busybox", "sh", "-c", polite]).ok();
    let deaf = "trap 'echo asked' TERM; echo ready; while true; do sleep 0.05; done";
    engine.dhow(["run", "-d", "--name", "deaf", "busybox", "sh", "-c", deaf]).ok();
    for name in ["polite", "deaf"] {
        until("its trap is set", || engine.ok(&format!("logs {name}")).contains("ready"));
    }
    assert_eq!(engine.ok("stop polite"), "polite");
    assert_eq!(engine.inspect("polite")["State"]["ExitCode"], 3);
    assert_eq!(engine.ok("stop -t 1 deaf"), "deaf");
    assert_eq!(engine.inspect("deaf")["State"]["ExitCode"], 137);
    for name in ["polite", "deaf"] {
        assert_eq!(engine.ok(&format!("logs {name}")), "ready\nasked");
    }
    engine.finish();
}

#[test]
fn update_changes_what_inspect_says() {
    let engine = Engine::new();
    engine.ok("run -d --name box -m 64m busybox sleep 1000");
    engine.ok("update -m 96m --memory-swap 128m --cpu-shares 512 box");
    let host = &engine.inspect("box")["HostConfig"];
    assert_eq!((host["Memory"].as_i64(), host["MemorySwap"].as_i64()), (Some(96 << 20), Some(128 << 20)));
    assert_eq!(host["CpuShares"], 512);
    engine.ok("restart -t 0 box");
    assert_eq!(engine.inspect("box")["HostConfig"]["Memory"], 96 << 20);
    engine.finish();
}
