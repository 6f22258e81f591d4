//! Health checks and restart policies as a person sees them, with a daemon that is killed in between.

use dhow_tests::{Engine, until};

fn health(engine: &Engine, name: &str) -> String {
    engine.inspect(name)["State"]["Health"]["Status"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn a_check_from_starting_to_healthy() {
    let engine = Engine::new();
    let flags = ["--health-cmd", "test -e /tmp/ok", "--health-interval", "50ms", "--health-retries", "2", "--health-start-period", "1h"];
    let flags: Vec<&str> = flags.into_iter().chain(["--health-start-interval", "20ms"]).collect();
    engine.dhow(["run", "-d", "--name", "web"]).args(&flags).args(["busybox", "sleep", "1000"]).ok();
    until("a probe has run", || engine.inspect("web")["State"]["Health"]["Log"].is_array());
    assert_eq!(engine.inspect("web")["State"]["Health"]["FailingStreak"], 0);
    assert!(engine.ok("ps --format {{.Status}}").ends_with("(health: starting)"));
    assert_eq!(engine.ok("ps -q --filter health=healthy"), "");
    engine.ok("exec web touch /tmp/ok");
    until("it is well", || health(&engine, "web") == "healthy");
    assert!(engine.ok("ps --format {{.Status}}").ends_with("(healthy)"));
    assert_eq!(engine.ok("ps --filter health=healthy --format {{.Names}}"), "web");
    engine.ok("exec web rm /tmp/ok");
    until("it is ill", || health(&engine, "web") == "unhealthy");
    let events = engine.events();
    let at = |wanted: &str| events.iter().position(|action| action == wanted).unwrap_or_else(|| panic!("no {wanted} in {events:?}"));
    assert!(at("health_status: healthy") < at("health_status: unhealthy"));
    assert!(at("exec_create: /bin/sh -c test -e /tmp/ok") < at("exec_start: /bin/sh -c test -e /tmp/ok"));
    engine.ok("rm -f web");
    let refused = engine.run("run --rm --health-cmd true --health-interval 1us busybox true");
    assert_eq!(refused.code, 125);
    assert!(refused.stderr().contains("Interval in Healthcheck cannot be less than 1ms"), "{refused}");
    engine.finish();
}

#[test]
fn probes_go_on_while_the_daemon_is_away() {
    let engine = Engine::new();
    let check = "echo x >> /tmp/n; cat /tmp/n | wc -l";
    engine.dhow(["run", "-d", "--name", "web", "--health-interval", "20ms", "--health-cmd", check, "busybox", "sleep", "1000"]).ok();
    until("it is well", || health(&engine, "web") == "healthy");
    let count = |value: &serde_json::Value| value["Output"].as_str().and_then(|text| text.trim().parse::<u64>().ok());
    let before = engine.inspect("web")["State"]["Health"]["Log"].as_array().and_then(|log| count(log.last()?)).expect("a result");
    engine.kill_daemon();
    std::thread::sleep(std::time::Duration::from_millis(200));
    engine.start_daemon();
    let log = engine.inspect("web")["State"]["Health"]["Log"].as_array().expect("results").clone();
    let counts: Vec<u64> = log.iter().filter_map(count).collect();
    assert!(counts.windows(2).all(|pair| pair[1] == pair[0] + 1) && counts.last() > Some(&before), "{before}, then {counts:?}");
    assert_eq!(health(&engine, "web"), "healthy");
    engine.ok("rm -f web");
    engine.finish();
}

#[test]
fn a_back_off_survives_the_daemon() {
    let engine = Engine::new();
    engine.dhow(["run", "-d", "--name", "looping", "--restart", "always", "busybox", "sh", "-c", "exit 5"]).ok();
    engine.dhow(["run", "-d", "--name", "stopped", "-t", "--restart", "unless-stopped", "busybox", "sleep", "1000"]).ok();
    engine.ok("stop -t 0 stopped");
    until("it has been started three times", || engine.inspect("looping")["RestartCount"].as_u64() >= Some(3));
    engine.until_state("looping", "restarting");
    engine.kill_daemon();
    engine.start_daemon();
    assert_eq!(engine.inspect("stopped")["State"]["Status"], "exited");
    let before = engine.inspect("looping")["RestartCount"].as_u64();
    assert!(before >= Some(3), "{before:?}");
    until("it is started again", || engine.inspect("looping")["RestartCount"].as_u64() > before);
    engine.until_state("looping", "restarting");
    assert!(engine.ok("ps --format {{.Names}}:{{.Status}}").starts_with("looping:Restarting (5)"));
    let refused = engine.run("rm looping");
    assert!(refused.stderr().contains("container is restarting: stop the container before removing or force remove"), "{refused}");
    engine.ok("update --restart no looping");
    assert_eq!(engine.inspect("looping")["HostConfig"]["RestartPolicy"]["Name"], "no");
    engine.ok("stop looping");
    let state = engine.inspect("looping")["State"].clone();
    assert_eq!((&state["Status"], &state["ExitCode"]), (&"exited".into(), &5.into()));
    engine.ok("rm looping stopped");
    engine.finish();
}
