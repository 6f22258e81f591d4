//! `stats`: what containers use, and who is shown.

use dhow_tests::{Engine, finish_child, http, until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};

fn sample(engine: &Engine, name: &str, query: &str) -> Value {
    let answer = http::get(&engine.socket(), &format!("/containers/{name}/stats?{query}")).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[test]
fn a_sample_has_everything() {
    let engine = Engine::new();
    let id = engine.ok("run -d --name web --memory 64m --pids-limit 50 busybox sleep 1000");
    let one = sample(&engine, "web", "stream=false&one-shot=true");
    assert_eq!((one["name"].as_str(), one["id"].as_str()), (Some("/web"), Some(id.as_str())));
    assert_eq!(one["preread"], "0001-01-01T00:00:00Z");
    assert_eq!((one["pids_stats"]["current"].as_u64(), one["pids_stats"]["limit"].as_u64()), (Some(1), Some(50)));
    assert_eq!(one["memory_stats"]["limit"], 64 << 20);
    assert!(one["memory_stats"]["usage"].as_u64() > Some(0) && one["memory_stats"]["stats"].is_object());
    assert!(one["cpu_stats"]["cpu_usage"]["total_usage"].as_u64() > Some(0));
    assert!(one["cpu_stats"]["system_cpu_usage"].as_u64() > Some(0) && one["cpu_stats"]["online_cpus"].as_u64() > Some(0));
    assert_eq!(one["precpu_stats"]["cpu_usage"]["total_usage"], 0);
    let two = sample(&engine, "web", "stream=false");
    let total = |which: &str| two[which]["cpu_usage"]["total_usage"].as_u64();
    assert!(total("precpu_stats") > Some(0) && total("cpu_stats") >= total("precpu_stats"), "{two}");
    assert!(two["cpu_stats"]["system_cpu_usage"].as_u64() > two["precpu_stats"]["system_cpu_usage"].as_u64());
    // A container that does not run gives zeros at once.
    engine.ok("create --name cold busybox true");
    let cold = sample(&engine, "cold", "stream=false");
    assert_eq!((cold["read"].as_str(), cold["memory_stats"].to_string()), (Some("0001-01-01T00:00:00Z"), "{}".to_owned()));
    assert_eq!(http::get(&engine.socket(), "/containers/nosuch/stats").expect("an answer").status, 404);
    assert_eq!(http::get(&engine.socket(), "/containers/web/stats?stream=1&one-shot=1").expect("an answer").status, 400);
    engine.finish();
}

#[test]
fn the_command_line_shows_a_table() {
    let engine = Engine::new();
    engine.ok("run -d --name web busybox sleep 1000");
    engine.ok("create --name cold busybox true");
    let table = engine.ok("stats --no-stream");
    let mut lines = table.lines();
    let heads: Vec<&str> = lines.next().expect("a header").split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(heads, ["CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"]);
    assert!(lines.next().expect("a row").contains("web"));
    assert_eq!(lines.next(), None);
    assert_eq!(engine.ok("stats --no-stream -a --format {{.Name}}|{{.PIDs}}"), "cold|0\nweb|1");
    let row: Value = serde_json::from_str(&engine.ok("stats --no-stream --format json web")).expect("JSON");
    assert_eq!((row["Container"].as_str(), row["Name"].as_str(), row["NetIO"].as_str()), (Some("web"), Some("web"), Some("0B / 0B")));
    assert_eq!(engine.run("stats --no-stream nosuch").fails(1), "Error response from daemon: No such container: nosuch\n");
    assert_eq!(engine.run("stats nosuch").fails(1), "Error response from daemon: No such container: nosuch\n");
    if let Some(docker) = engine.docker(["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemPerc}}", "web"]) {
        let text = docker.ok();
        assert!(text.starts_with("web 1 0.") && text.ends_with('%'), "{text}");
    }
    engine.finish();
}

#[test]
fn containers_come_and_go() {
    let engine = Engine::new();
    engine.ok("run -d --name first busybox sleep 1000");
    let mut child = engine.dhow(["stats", "--format", "row {{.Name}}"]).spawn();
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    assert_eq!(next(), "row first");
    engine.ok("run -d --name second busybox sleep 1000");
    until("the newcomer is shown", || next() == "row second");
    engine.ok("rm -f second");
    // Two rows of the one that stays, with nothing between them.
    until("the other one is gone", || next() == "row first" && next() == "row first");
    child.kill().expect("kill");
    let _output = child.wait();
    // By name: the end of the last one is the end.
    let mut named = engine.dhow(["stats", "first"]).spawn();
    let mut header = [0_u8; 12];
    named.stdout.as_mut().expect("piped").read_exact(&mut header).expect("a header");
    assert_eq!(&header, b"CONTAINER ID");
    engine.ok("rm -f first");
    assert_eq!(finish_child(named).code, 0);
    engine.finish();
}

#[test]
fn nobody_looks_nothing_is_sampled() {
    let engine = Engine::new();
    engine.ok("run -d --name web busybox sleep 1000");
    sample(&engine, "web", "stream=false&one-shot=true");
    until("the files of the groups are closed", || {
        let names = std::fs::read_dir(format!("/proc/{}/fd", engine.pid())).expect("descriptors");
        let mut paths = names.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        !paths.any(|path| path.ends_with("pids.current"))
    });
    engine.finish();
}
