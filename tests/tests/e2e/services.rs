//! Programs that people run in containers, from Debian's packages: their data outlives them, and what is mapped into them is what they read.

use dhow_tests::command::Cmd;
use dhow_tests::engine::{self, Options};
use dhow_tests::{Engine, paths, until};
use std::io::{Read, Write};
use std::net::TcpStream;

fn with_services(network: bool) -> Engine {
    let engine = Engine::with(Options { empty: true, network, ..Options::default() });
    engine.load("services");
    engine
}

/// Kills the main process without a word, and takes the container away.
fn kill(engine: &Engine, name: &str) {
    engine::kill(engine.container_pid(name), 9);
    assert_eq!(engine.ok(&format!("wait {name}")), "137");
    engine.ok(&format!("rm {name}"));
}

#[test]
fn slow_postgresql_keeps_its_data() {
    let engine = with_services(false);
    let start = "[ -s /var/lib/postgresql/db/PG_VERSION ] || $bin/initdb -D /var/lib/postgresql/db >/dev/null; \
                 exec $bin/postgres -D /var/lib/postgresql/db -c unix_socket_directories=/tmp -c listen_addresses=";
    let up = || {
        // The image's directory belongs to postgres, and so does the volume over it.
        let words = ["run", "-d", "--name", "db", "-u", "postgres", "-v", "data:/var/lib/postgresql", "services"];
        let script = format!("bin=$(echo /usr/lib/postgresql/*/bin); {start}");
        engine.dhow(words).args(["bash", "-c", &script]).ok();
        until("it takes queries", || engine.dhow(["exec", "db", "psql", "-h", "/tmp", "-c", "select 1"]).run().code == 0);
    };
    let ask = |query: &str| engine.dhow(["exec", "db", "psql", "-h", "/tmp", "-Atc", query]).ok();
    up();
    ask("create table facts (name text, value int)");
    assert_eq!(ask("insert into facts values ('a', 1), ('b', 2)"), "INSERT 0 2");
    kill(&engine, "db");
    up();
    assert_eq!(ask("select sum(value) from facts"), "3");
    kill(&engine, "db");
    engine.ok("volume rm data");
    engine.finish();
}

#[test]
fn slow_redis_keeps_its_data_and_it_moves() {
    let engine = with_services(false);
    let up = |volume: &str| {
        let words = ["run", "-d", "--name", "store", "-v", volume, "services"];
        let server = ["redis-server", "--bind", "127.0.0.1", "--dir", "/data", "--appendonly", "yes", "--appendfsync", "always"];
        engine.dhow(words).args(server).ok();
        until("it answers", || engine.run("exec store redis-cli ping").stdout().contains("PONG"));
    };
    up("first:/data");
    assert_eq!(engine.ok("exec store redis-cli set key value"), "OK");
    kill(&engine, "store");
    up("first:/data");
    assert_eq!(engine.ok("exec store redis-cli get key"), "value");

    // By way of a third container, as the handbook has it.
    let work = engine.scratch("move");
    let back = format!("{}:/backup", work.display());
    engine.ok("stop store");
    engine
        .dhow(["run", "--rm", "--volumes-from", "store", "-v", &back, "services", "tar", "cf", "/backup/data.tar", "-C", "/data", "."])
        .ok();
    engine.ok("rm store");
    engine.dhow(["run", "--rm", "-v", "second:/data", "-v", &back, "services", "tar", "xf", "/backup/data.tar", "-C", "/data"]).ok();
    up("second:/data");
    assert_eq!(engine.ok("exec store redis-cli get key"), "value");
    kill(&engine, "store");
    engine.ok("volume rm first second");
    engine.finish();
}

#[test]
fn slow_nginx_keeps_its_pages() {
    let engine = with_services(false);
    // As Debian has set it up: the volume begins with the pages of the image.
    let up = || {
        engine.dhow(["run", "-d", "--name", "web", "-v", "pages:/var/www/html", "services", "nginx", "-g", "daemon off;"]).ok();
    };
    let ask = "exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET %s HTTP/1.0\r\n\r\n' \"$1\" >&3 && cat <&3";
    let get = |path: &str| engine.dhow(["exec", "web", "bash", "-c", ask, "get", path]).run().stdout();
    up();
    until("it serves Debian's page", || get("/").contains("Welcome to nginx"));
    engine.dhow(["exec", "web", "sh", "-c", "echo kept > /var/www/html/mine"]).ok();
    assert!(get("/mine").ends_with("\r\n\r\nkept\n"), "{}", get("/mine"));
    kill(&engine, "web");
    up();
    until("it serves the page of before", || get("/mine").ends_with("\r\n\r\nkept\n"));
    kill(&engine, "web");
    engine.ok("volume rm pages");
    engine.finish();
}

#[test]
fn slow_the_tutorial_with_nginx() {
    let engine = with_services(true);
    tutorial(&engine, &|words| engine.dhow(words));
    if let Some(docker) = paths::program("docker") {
        tutorial(&engine, &|words| engine.client(&docker).args(words));
    }
    engine.finish();
}

/// The tutorial by one client's commands.
fn tutorial(engine: &Engine, say: &dyn Fn(&[&str]) -> Cmd) {
    let (pages, config) = (engine.scratch("pages"), engine.scratch("config").join("nginx.conf"));
    std::fs::write(pages.join("index.html"), "a page\n").expect("a page");
    let text = "events {}\nhttp {\n  access_log /dev/stdout;\n  server { listen 80; root /pages; add_header X-Mapped yes; }\n}\n";
    std::fs::write(&config, text).expect("a configuration");
    let (pages_at, config_at) = (format!("{}:/pages:ro", pages.display()), format!("{}:/etc/nginx/nginx.conf:ro", config.display()));
    let words =
        ["run", "-d", "--name", "web", "-p", "8080:80", "-v", &pages_at, "-v", &config_at, "services", "nginx", "-g", "daemon off;"];
    say(&words).ok();
    let get = || {
        engine.host().run(|| {
            let mut stream = TcpStream::connect("127.0.0.1:8080").ok()?;
            stream.write_all(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer).filter(|answer| answer.starts_with("HTTP/1.1 200"))
        })
    };
    until("it serves", || get().is_some());
    let answer = get().expect("an answer");
    assert!(answer.contains("X-Mapped: yes") && answer.ends_with("\r\n\r\na page\n"), "{answer}");
    std::fs::write(pages.join("index.html"), "another page\n").expect("a page");
    assert!(get().expect("an answer").ends_with("another page\n"));
    until("its log tells", || say(&["logs", "web"]).ok().contains("\"GET / HTTP/1.0\" 200"));
    assert_eq!(say(&["exec", "web", "cat", "/pages/index.html"]).ok(), "another page");
    assert_eq!(say(&["port", "web"]).ok(), "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080");
    // Not waited for: it may be ended by the container's end that it asks for.
    say(&["exec", "-d", "web", "nginx", "-s", "quit"]).ok();
    assert_eq!(say(&["wait", "web"]).ok(), "0");
    say(&["rm", "web"]).ok();
}
