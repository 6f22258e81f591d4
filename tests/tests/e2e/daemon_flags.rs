//! What dockerd's flags make of a running daemon.

use crate::network::{hear, server};
use dhow_tests::engine::Options;
use dhow_tests::{Cmd, Engine, http, paths, until};
use rustix::io::{FdFlags, fcntl_setfd};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn networked(flags: &str) -> Engine {
    Engine::with(Options { flags: words(flags), network: true, ..Options::default() })
}

fn forwards(engine: &Engine) -> String {
    engine.host().run(|| std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("the setting")).trim().to_owned()
}

fn rules(engine: &Engine) -> String {
    engine.host().run(|| Cmd::new("nft").args(["list", "ruleset"]).ok())
}

/// As the unit file of Docker's package starts it: by the name `dockerd`, with the socket of the service manager and containerd's address.
#[test]
fn a_unit_file_of_dockers() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("docker.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    fcntl_setfd(&listener, FdFlags::empty()).expect("a socket for the daemon");
    let name = dir.path().join("dockerd");
    std::os::unix::fs::symlink(paths::dhow(), &name).expect("a link");
    // The words of the test's own engine follow the word `daemon`, which dockerd does not have.
    let call = format!(
        "export LISTEN_PID=$$ LISTEN_FDS=1; exec 3<&{}; shift; exec {} -H fd:// --containerd=/run/containerd/containerd.sock \"$@\"",
        listener.as_raw_fd(),
        name.display()
    );
    let wrapper = ["bash", "-c", &call].map(str::to_owned).to_vec();
    let engine = Engine::with(Options { wrapper, ..Options::default() });
    let ask = |words: &[&str]| engine.dhow(words).env("DOCKER_HOST", format!("unix://{}", path.display()));
    assert_eq!(ask(&["run", "--rm", "busybox", "echo", "hello"]).ok(), "hello");
    let log = engine.log();
    assert_eq!(log.matches("the flag --containerd has no effect: no containerd is asked").count(), 1, "{log}");
    engine.finish();
}

#[test]
fn a_log_of_objects() {
    let engine = Engine::with(Options { flags: words("--log-format json --rootless"), empty: true, ..Options::default() });
    let log = engine.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect();
    let ready = lines.iter().find(|line| line["msg"] == "the daemon is ready").expect("a line");
    assert_eq!((&ready["level"], ready["data_root"].as_str()), (&"info".into(), engine.data_root().to_str()));
    let warned = lines.iter().find(|line| line["level"] == "warning").expect("a warning");
    assert!(warned["msg"].as_str().is_some_and(|text| text.starts_with("the flag --rootless has no effect")), "{warned}");
    assert!(lines.iter().all(|line| line["time"].as_str().is_some_and(|time| time.ends_with('Z'))), "{log}");
    engine.finish();
}

#[test]
fn measurements() {
    let engine = Engine::with(Options { flags: words("--metrics-addr 127.0.0.1:9323"), network: true, ..Options::default() });
    engine.ok("run -d --network none --name one busybox sleep 1000");
    engine.ok("run -d --network none --name two busybox sleep 1000");
    engine.ok("pause two");
    engine.ok("create --name three busybox true");
    let ask = |path: &str| {
        engine.host().run(|| {
            let mut stream = TcpStream::connect("127.0.0.1:9323").expect("a connection");
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("a request");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            answer
        })
    };
    let answer = ask("/metrics").to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    for (state, count) in [("paused", 1), ("running", 1), ("stopped", 1)] {
        let line = format!("engine_daemon_container_states_containers{{state=\"{state}\"}} {count}\n");
        assert!(answer.contains(&line), "{line}: {answer}");
    }
    let memory = engine.ok("info --format {{.MemTotal}}");
    assert!(answer.contains(&format!("engine_daemon_engine_memory_bytes {memory}\n")), "{answer}");
    assert!(answer.contains("# type engine_daemon_engine_info gauge\nengine_daemon_engine_info{architecture="), "{answer}");
    assert!(ask("/other").starts_with("HTTP/1.1 404"));
    // Only measurements are to be had there.
    assert!(ask("/info").starts_with("HTTP/1.1 404"));
    engine.finish();
}

#[test]
fn experimental_features() {
    for (flags, expect) in [("--experimental", true), ("--experimental=false", false)] {
        let engine = Engine::with(Options { flags: words(flags), ..Options::default() });
        let ping = http::get(&engine.socket(), "/_ping").expect("an answer");
        assert_eq!(ping.header("docker-experimental"), Some(if expect { "true" } else { "false" }));
        assert_eq!(engine.ok("info --format {{.ExperimentalBuild}}"), expect.to_string());
        let version = engine.dhow(["version", "--format", "{{.Server.Experimental}} {{json .Server.Components}}"]).ok();
        let both = version.starts_with(&format!("{expect} ")) && version.contains(&format!("\"Experimental\":\"{expect}\""));
        assert!(both, "{version}");
        engine.ok("create --name box busybox true");
        let start = http::request(&engine.socket(), "POST", "/containers/box/start?checkpoint=x", "").expect("an answer");
        assert_eq!(start.status, if expect { 501 } else { 400 }, "{}", start.text());
        engine.finish();
    }
}

#[test]
fn without_masquerade_or_forwarding() {
    let engine = networked("--ip-masq=false --ip-forward=0");
    assert_eq!(forwards(&engine), "0");
    let option = engine.ok(r#"network inspect bridge --format {{index.Options"com.docker.network.bridge.enable_ip_masquerade"}}"#);
    assert_eq!(option, "false");
    server(&engine, "web", "-p 8080:80");
    assert!(rules(&engine).contains("dnat"), "{}", rules(&engine));
    assert!(!rules(&engine).contains("masquerade"), "{}", rules(&engine));
    assert!(engine.ok("info --format {{.IPv4Forwarding}}") == "false");
    // Networks of the users' own have it still.
    engine.ok("network create own");
    assert!(rules(&engine).contains("masquerade"), "{}", rules(&engine));
    engine.ok("rm -f web");
    engine.ok("network rm own");
    engine.finish();
}

#[test]
fn without_a_packet_filter() {
    let engine = networked("--iptables=false");
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    server(&engine, "web", "-p 8080:80");
    assert_eq!(rules(&engine), "");
    // The socket of the host takes what comes from outside too.
    until("from outside", || outside.run(|| hear("10.77.0.1:8080")).is_ok_and(|text| text.contains("hello")));
    until("from the host", || engine.host().run(|| hear("127.0.0.1:8080")).is_ok_and(|text| text.contains("hello")));
    let row: Vec<u16> = vec![10_000, 10_100, 10_199];
    engine.ok("rm -f web");
    server(&engine, "row", "-p 10000-10199:10000-10199");
    for port in row {
        let port = port.to_string();
        engine.dhow(["exec", "-d", "row", "httpd", "-p", &port, "-h", "/w"]).ok();
        until("one of the row", || outside.run(|| hear(&format!("10.77.0.1:{port}"))).is_ok_and(|text| text.contains("hello")));
    }
    assert_eq!(rules(&engine), "");
    engine.ok("rm -f row");
    engine.finish();
}

/// What an engine before it has put goes.
#[test]
fn the_table_of_an_engine_before() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("daemon.json");
    std::fs::write(&file, "{}").expect("a configuration");
    let engine = networked(&format!("--config-file {}", file.display()));
    server(&engine, "web", "-p 8080:80");
    assert!(rules(&engine).contains("dnat"));
    std::fs::write(&file, r#"{"iptables":false,"ip-forward":false}"#).expect("a configuration");
    engine.stop_daemon();
    assert!(rules(&engine).contains("dnat"), "the container runs");
    engine.start_daemon();
    assert_eq!((rules(&engine).as_str(), forwards(&engine).as_str()), ("", "0"));
    until("by the relay", || engine.host().run(|| hear("127.0.0.1:8080")).is_ok_and(|text| text.contains("hello")));
    std::fs::write(&file, "{}").expect("a configuration");
    engine.stop_daemon();
    engine.start_daemon();
    assert!(rules(&engine).contains("dnat"));
    assert_eq!(forwards(&engine), "1");
    engine.ok("rm -f web");
    engine.finish();
}
