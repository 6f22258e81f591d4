//! Compose, old and new, brings up, scales and takes down a project of two services of a ready-made image.

use dhow_tests::command::Cmd;
use dhow_tests::engine::Options;
use dhow_tests::{Engine, paths, skip, until};
use std::path::{Path, PathBuf};

/// `%` is how one waits for the other.
const PROJECT: &str = "
services:
  web:
    image: busybox
    command: sh -c 'mkdir -p /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www'
    ports: ['80']
    volumes: ['data:/data']
    networks: [front]
    healthcheck: {test: [CMD, wget, -q, -O-, 'http://127.0.0.1/'], interval: 1s, timeout: 20s, retries: 30}
  client:
    image: busybox
    command: sh -c 'while true; do wget -qO- http://web/; sleep 1; done'
    depends_on: %
    networks: [front]
    stop_grace_period: 1s
volumes: {data: {}}
networks: {front: {}}
";

/// The project through its life; `compose` gives a command with the words of Compose.
fn life(engine: &Engine, compose: &dyn Fn(&[&str]) -> Cmd) {
    compose(&["up", "-d"]).ok();
    until("the client reaches the service by its name", || {
        let web = engine.ok("ps -q --no-trunc --filter label=com.docker.compose.service=web");
        let log = compose(&["logs", "--no-color", "client"]).ok();
        !web.is_empty() && log.contains(&web[..12])
    });
    compose(&["up", "-d", "--scale", "web=3"]).ok();
    let count = |service: &str| engine.ok(&format!("ps -q --filter label=com.docker.compose.service={service}")).lines().count();
    assert_eq!((count("web"), count("client")), (3, 1));
    until("the name has all their addresses", || {
        let asked = compose(&["exec", "-T", "client", "nslookup", "web"]).run().stdout();
        let mut found: Vec<&str> = asked.lines().filter_map(|line| line.strip_prefix("Address: ")).collect();
        found.sort_unstable();
        found.dedup();
        found.len() == 3
    });
    assert_eq!(compose(&["exec", "-T", "web", "sh", "-c", "echo kept > /data/file; echo done"]).ok(), "done");
    // The volume is the project's, not a container's.
    compose(&["up", "-d", "--force-recreate", "--scale", "web=1"]).ok();
    assert_eq!(count("web"), 1);
    assert_eq!(compose(&["exec", "-T", "web", "cat", "/data/file"]).ok(), "kept");
    assert!(compose(&["port", "web", "80"]).ok().starts_with("0.0.0.0:"));
    compose(&["down", "-v", "-t", "1"]).ok();
    assert_eq!((engine.ok("ps -aq"), engine.ok("volume ls -q")), (String::new(), String::new()));
    assert_eq!(engine.ok("network ls --filter type=custom -q"), "");
}

fn project(engine: &Engine, waits: &str) -> PathBuf {
    let dir = engine.scratch("project");
    std::fs::write(dir.join("docker-compose.yml"), PROJECT.replace('%', waits)).expect("a project");
    dir
}

fn words<'a>(file: &'a Path, words: &[&'a str]) -> Vec<&'a str> {
    [&["-f", file.to_str().expect("a path of letters")], words].concat()
}

#[test]
fn slow_version_2_with_a_project() {
    let Some(plugin) = std::env::var_os("DHOW_COMPOSE").map(PathBuf::from) else {
        return skip("Compose 2 is not there: `cargo xtask test` fetches it");
    };
    let Some(docker) = paths::program("docker") else { return skip("the docker client is not installed") };
    let engine = Engine::with(Options { network: true, ..Options::default() });
    let file = project(&engine, "{web: {condition: service_healthy}}").join("docker-compose.yml");
    let plugins = engine.scratch(".docker/cli-plugins");
    std::fs::copy(plugin, plugins.join("docker-compose")).expect("the plugin");
    life(&engine, &|verb| engine.client(&docker).args(["compose"]).args(words(&file, verb)));
    engine.finish();
}

#[test]
fn slow_version_1_with_a_project() {
    let Some(program) = paths::program("docker-compose") else { return skip("Compose 1 is not installed") };
    let engine = Engine::with(Options { network: true, ..Options::default() });
    let file = project(&engine, "[web]").join("docker-compose.yml");
    // Files of its time say their version.
    let text = std::fs::read_to_string(&file).expect("the project");
    std::fs::write(&file, format!("version: '3.8'\n{text}")).expect("the project");
    // It reads `ContainerConfig` when it makes containers anew, which the API has not had since 1.45; Docker's answers lack it too.
    life(&engine, &|verb| engine.client(&program).env("COMPOSE_API_VERSION", "1.44").args(words(&file, verb)));
    engine.finish();
}
