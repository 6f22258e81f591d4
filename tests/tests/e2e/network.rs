//! The default bridge network, in a namespace that stands for the host.

use dhow_tests::{Cmd, Engine, Options, until};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

pub(crate) fn engine() -> Engine {
    Engine::with(Options { network: true, ..Options::default() })
}

/// What the web server at this address says, asked from the thread's namespace.
pub(crate) fn hear(at: &str) -> std::io::Result<String> {
    let at: SocketAddr = at.parse().expect("an address");
    let mut text = String::new();
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(3))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// A web server that says hello and logs who asked.
pub(crate) fn server(engine: &Engine, name: &str, flags: &str) -> Value {
    let script = "mkdir /w; echo hello > /w/index.html; exec httpd -f -v -p 80 -h /w";
    engine.dhow(["run", "-d", "--name", name]).args(flags.split_whitespace()).args(["busybox", "sh", "-c", script]).ok();
    until("the server listens", || engine.dhow(["exec", name, "wget", "-qO-", "http://127.0.0.1"]).run().code == 0);
    engine.inspect(name)
}

#[test]
fn a_container_has_an_address_and_reaches_its_host() {
    let engine = engine();
    let one = server(&engine, "one", "");
    let settings = &one["NetworkSettings"];
    let address = settings["IPAddress"].as_str().expect("an address").to_owned();
    assert_eq!(settings["Networks"]["bridge"]["IPAddress"], settings["IPAddress"]);
    assert_eq!(settings["Networks"]["bridge"]["Gateway"], settings["Gateway"]);
    assert_eq!(settings["Ports"], serde_json::json!({}));
    assert!(engine.host().run(|| hear(&format!("{address}:80"))).expect("an answer").contains("hello"));
    // From another container, by address; both have their own name in their hosts file.
    let other = engine.shell("--hostname other", &format!("wget -qO- http://{address}; cat /etc/hosts; ip -o addr show eth0; ip route"));
    let text = other.ok();
    assert!(text.contains("hello"), "{text}");
    assert!(text.contains("\tother\n") && text.contains("default via"), "{text}");
    assert!(!text.contains("inet6"), "{text}");
    engine.ok("stop -t 0 one");
    let stopped = engine.inspect("one");
    assert_eq!(stopped["NetworkSettings"]["IPAddress"], "");
    assert_eq!(stopped["NetworkSettings"]["Networks"]["bridge"]["IPAddress"], "");
    engine.finish();
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    let engine = engine();
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    let web = server(&engine, "web", "-p 8080:80 -p 127.0.0.1:8081:80 --expose 99");
    let ports = &web["NetworkSettings"]["Ports"];
    assert_eq!(ports["80/tcp"][0], serde_json::json!({"HostIp": "0.0.0.0", "HostPort": "8080"}));
    assert_eq!(ports["99/tcp"], Value::Null);
    let from_host = |at: &str| engine.host().run(|| hear(at));
    // By translation, by the relay, by the relay of IPv6.
    for at in ["10.77.0.1:8080", "127.0.0.1:8080", "127.0.0.1:8081", "[::1]:8080"] {
        assert!(from_host(at).expect(at).contains("hello"), "{at}");
    }
    // A neighbour reaches what is published everywhere, with its own address, and nothing else.
    assert!(outside.run(|| hear("10.77.0.1:8080")).expect("the port").contains("hello"));
    until("the log shows who asked", || engine.dhow(["logs", "web"]).run().stderr().contains("10.77.0.2"));
    assert!(outside.run(|| hear("10.77.0.1:8081")).is_err());
    let address = web["NetworkSettings"]["IPAddress"].as_str().expect("an address");
    let by_route = outside.run(|| {
        Cmd::new("ip").args(["route", "add", "default", "via", "10.77.0.1"]).ok();
        hear(&format!("{address}:80"))
    });
    assert!(by_route.is_err(), "an unpublished way in: {by_route:?}");
    // Containers reach it by the host's address.
    let gateway = web["NetworkSettings"]["Gateway"].as_str().expect("a gateway");
    assert!(engine.shell("", &format!("wget -qO- http://{gateway}:8080")).ok().contains("hello"));
    assert_eq!(engine.ok("port web 80"), "0.0.0.0:8080\n[::]:8080\n127.0.0.1:8081");
    let listed = engine.dhow(["ps", "--format", "{{.Ports}}"]).ok();
    assert_eq!(listed.trim(), "99/tcp, 0.0.0.0:8080->80/tcp, 127.0.0.1:8081->80/tcp, [::]:8080->80/tcp");
    assert_eq!(engine.dhow(["ps", "-q", "--filter", "publish=8080"]).ok().lines().count(), 1);
    assert_eq!(engine.dhow(["ps", "-q", "--filter", "publish=8082"]).ok(), "");
    // Nobody else gets the port, neither of ours nor another process.
    let taken = engine.run("run -d --name two -p 8080:80 busybox true");
    assert_eq!(taken.code, 125);
    assert!(taken.stderr().contains("Bind for 0.0.0.0:8080 failed: port is already allocated"), "{taken}");
    assert_eq!(engine.inspect("two")["State"]["Status"], "created");
    assert!(engine.host().run(|| std::net::TcpListener::bind("0.0.0.0:8080")).is_err());
    let holder = engine.host().run(|| std::net::TcpListener::bind("0.0.0.0:9090")).expect("a free port");
    let busy = engine.run("run --rm -p 9090:80 busybox true");
    assert!(busy.stderr().contains("address already in use"), "{busy}");
    drop(holder);
    // Given back at once.
    engine.ok("rm -f web");
    assert!(engine.run("run --rm -p 8080:80 busybox true").code == 0);
    assert!(from_host("127.0.0.1:8080").is_err());
    engine.finish();
}

#[test]
fn random_ports() {
    let engine = engine();
    let one = server(&engine, "one", "-p 80 -p 127.0.0.1:9000-9010:99/udp --expose 70/udp -P");
    let ports = &one["NetworkSettings"]["Ports"];
    let number = |port: &str| ports[port][0]["HostPort"].as_str().and_then(|text| text.parse::<u16>().ok()).expect("a port");
    assert!(number("80/tcp") >= 32768 && number("70/udp") >= 32768, "{ports}");
    assert_eq!(ports["80/tcp"][1]["HostIp"], "::");
    assert_eq!(ports["80/tcp"][0]["HostPort"], ports["80/tcp"][1]["HostPort"]);
    assert_eq!(number("99/udp"), 9000);
    let at = format!("127.0.0.1:{}", number("80/tcp"));
    assert!(engine.host().run(|| hear(&at)).expect("an answer").contains("hello"));
    let second = engine.dhow(["run", "-d", "-p", "127.0.0.1:9000-9010:99/udp", "--name", "two", "busybox", "sleep", "100"]).ok();
    assert_eq!(engine.inspect(&second)["NetworkSettings"]["Ports"]["99/udp"][0]["HostPort"], "9001");
    engine.finish();
}

#[test]
fn ports_and_addresses_outlive_the_daemon() {
    let engine = engine();
    let before = server(&engine, "web", "-p 8080:80");
    engine.kill_daemon();
    assert!(engine.host().run(|| hear("127.0.0.1:8080")).expect("without a daemon").contains("hello"));
    // Somebody cleared the packet filter meanwhile.
    engine.host().run(|| Cmd::new("nft").args(["flush", "ruleset"]).ok());
    engine.start_daemon();
    let after = engine.inspect("web");
    assert_eq!(before["NetworkSettings"], after["NetworkSettings"]);
    let address = after["NetworkSettings"]["IPAddress"].as_str().expect("an address");
    for at in ["127.0.0.1:8080", &format!("{address}:80")] {
        assert!(engine.host().run(|| hear(at)).expect(at).contains("hello"), "{at}");
    }
    let tables = engine.host().run(dhow_tests::leaks::tables);
    assert_eq!(tables.len(), 1, "{tables:?}");
    // The books are right too.
    assert!(engine.run("run --rm -p 8080:80 busybox true").stderr().contains("port is already allocated"));
    let second = engine.shell("", "ip -4 -o addr show eth0").ok();
    assert!(!second.contains(&format!(" {address}/")), "{second}");
    engine.finish();
}

#[test]
fn an_address_is_reachable_again_at_once() {
    let engine = engine();
    let first = server(&engine, "again", "");
    for _ in 0..5 {
        let address = first["NetworkSettings"]["IPAddress"].as_str().expect("an address").to_owned();
        engine.ok("rm -f again");
        let again = server(&engine, "again", "");
        assert_eq!(again["NetworkSettings"]["IPAddress"], address.as_str());
        assert!(engine.host().run(|| hear(&format!("{address}:80"))).expect("an answer").contains("hello"));
    }
    engine.finish();
}

#[test]
fn no_network_is_still_no_network() {
    let engine = engine();
    assert_eq!(engine.shell("--network none", "ip -o link | wc -l").ok(), "1");
    let missing = engine.run("run --name lost --network nope busybox true");
    assert_eq!(missing.code, 125);
    assert!(missing.stderr().contains("failed to set up container networking: network nope not found"), "{missing}");
    assert_eq!(engine.inspect("lost")["State"]["Status"], "created");
    let joined = engine.dhow(["run", "-d", "--name", "base", "busybox", "sleep", "100"]).ok();
    let shared = engine.shell("--network container:base", "ip -4 -o addr show eth0").ok();
    let address = engine.inspect("base")["NetworkSettings"]["IPAddress"].as_str().expect("an address").to_owned();
    assert!(shared.contains(&address), "{joined} {shared}");
    engine.finish();
}

/// A container that answers every datagram with its name.
fn answers(engine: &Engine, name: &str, flags: &str) {
    let script = "use Socket; socket(S, PF_INET, SOCK_DGRAM, 17); bind(S, sockaddr_in(5353, INADDR_ANY)) or die;
        while (1) { my $from = recv(S, my $got, 99, 0); send(S, $ARGV[0], 0, $from) }";
    engine
        .dhow(["run", "-d", "--init", "--name", name])
        .args(flags.split_whitespace())
        .args(["debian:bookworm-slim", "perl", "-e", script, name])
        .ok();
}

#[test]
fn datagrams_go_where_the_port_leads_now() {
    let engine = engine();
    engine.load("debian");
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    // One flow for all of it, which the kernel tracks.
    let asker = outside.run(|| UdpSocket::bind("10.77.0.2:7001")).expect("a socket");
    asker.set_read_timeout(Some(Duration::from_millis(300))).expect("a limit");
    let answer = |expect: &str| {
        until("the right one answers", || {
            asker.send_to(b"?", "10.77.0.1:5353").expect("a datagram");
            let mut buffer = [0; 64];
            let got = asker.recv(&mut buffer).map(|length| String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
            got.is_ok_and(|got| got == expect)
        });
    };
    answers(&engine, "one", "-p 5353:5353/udp");
    answer("one");
    engine.ok("rm -f one");
    // The address goes to another one, the port to a third.
    engine.ok("run -d --init --name filler busybox sleep 1000");
    answers(&engine, "two", "-p 5353:5353/udp");
    answer("two");
    // By the loopback too.
    let near = engine.host().run(|| UdpSocket::bind("127.0.0.1:0")).expect("a socket");
    near.set_read_timeout(Some(Duration::from_millis(300))).expect("a limit");
    until("the loopback's way", || {
        near.send_to(b"?", "127.0.0.1:5353").expect("a datagram");
        near.recv(&mut [0; 64]).is_ok()
    });
    engine.finish();
}

#[test]
fn the_table_is_put_again_when_somebody_clears_it() {
    let engine = engine();
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    let web = server(&engine, "web", "-p 8080:80");
    let address = web["NetworkSettings"]["IPAddress"].as_str().expect("an address");
    let before = engine.host().run(|| Cmd::new("nft").args(["list", "ruleset"]).ok());
    let table = engine.host().run(dhow_tests::leaks::tables).into_iter().next().expect("a table");
    for line in ["flush ruleset".to_owned(), format!("flush {table}"), format!("delete {table}")] {
        engine.host().run(|| Cmd::new("nft").args(line.split(' ')).ok());
        until("the rules are there again", || engine.host().run(|| Cmd::new("nft").args(["list", "ruleset"]).ok()) == before);
        assert!(outside.run(|| hear("10.77.0.1:8080")).expect(&line).contains("hello"));
        let by_route = outside.run(|| {
            Cmd::new("ip").args(["route", "replace", "default", "via", "10.77.0.1"]).ok();
            hear(&format!("{address}:80"))
        });
        assert!(by_route.is_err(), "an unpublished way in: {by_route:?}");
    }
    engine.finish();
}
