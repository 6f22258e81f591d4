//! A web server from Debian's package behind a published port: it knows who asks.

use crate::network::hear;
use dhow_tests::engine::Options;
use dhow_tests::{Cmd, Engine, until};

#[test]
fn nginx_sees_who_asks() {
    let engine = Engine::with(Options { network: true, ..Options::default() });
    engine.load("services");
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    engine.host().run(|| Cmd::new("ip").args("addr add fd77::1/64 dev outside nodad".split(' ')).ok());
    outside.run(|| Cmd::new("ip").args("addr add fd77::2/64 dev inside nodad".split(' ')).ok());
    let config = engine.scratch("config").join("nginx.conf");
    let text =
        "events {}\nhttp {\n  access_log /dev/stdout;\n  server { listen 80; listen [::]:80; location / { return 200 hello; } }\n}\n";
    std::fs::write(&config, text).expect("a configuration");
    engine.ok("network create --ipv6 --subnet 10.121.0.0/24 --subnet fd00:121::/64 net");
    let mapped = format!("{}:/etc/nginx/nginx.conf:ro", config.display());
    let words =
        ["run", "-d", "--name", "web", "--network", "net", "-p", "8080:80", "-v", &mapped, "services", "nginx", "-g", "daemon off;"];
    engine.dhow(words).ok();
    let curl = |url: &'static str| Cmd::new("curl").args(["-sS", "-m", "20", url]);
    until("it serves", || engine.host().run(|| hear("127.0.0.1:8080")).is_ok_and(|text| text.ends_with("hello")));
    for url in ["http://127.0.0.1:8080", "http://[::1]:8080", "http://10.77.0.1:8080"] {
        assert_eq!(engine.host().run(|| curl(url).ok()), "hello", "{url}");
    }
    for url in ["http://10.77.0.1:8080/by-ipv4", "http://[fd77::1]:8080/by-ipv6"] {
        assert_eq!(outside.run(|| curl(url).ok()), "hello", "{url}");
    }
    assert_eq!(engine.shell("--network net --ip 10.121.0.77", "wget -qO- http://web/by-name").ok(), "hello");
    // Who came in its own name is logged by it.
    let told = |who: &str, what: &str| {
        until(what, || {
            engine.dhow(["logs", "web"]).run().stdout().lines().any(|line| line.starts_with(&format!("{who} - ")) && line.contains(what))
        });
    };
    told("10.77.0.2", "/by-ipv4");
    told("fd77::2", "/by-ipv6");
    if !engine.ok("logs web").contains("fd00:121::") {
        told("10.121.0.77", "/by-name");
    }
    engine.ok("rm -f web");
    engine.finish();
}
