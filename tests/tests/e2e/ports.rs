//! Published ports: many of them, those that move, and the ways in that a network allows.

use crate::network::{engine, hear, server};
use dhow_tests::engine::Options;
use dhow_tests::{Cmd, Engine, until};
use rustix::io::Errno;
use rustix::net;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

fn published(engine: &Engine, name: &str, port: &str) -> Vec<String> {
    let bindings = engine.inspect(name)["NetworkSettings"]["Ports"][port].clone();
    let text = |binding: &Value, key: &str| binding[key].as_str().expect("text").to_owned();
    bindings.as_array().into_iter().flatten().map(|binding| format!("{} {}", text(binding, "HostIp"), text(binding, "HostPort"))).collect()
}

fn ruleset(engine: &Engine) -> String {
    engine.host().run(|| Cmd::new("nft").args(["list", "ruleset"]).ok())
}

#[test]
fn many_ports() {
    let engine = engine();
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    // More than one message to the shim has room for, none beside another.
    let numbers: Vec<u16> = (0..600).map(|number| 9000 + number * 3).collect();
    let flags: Vec<String> = numbers.iter().map(|number| format!("-p {number}:80")).collect();
    server(&engine, "web", &flags.join(" "));
    for at in [numbers[0], numbers[75], numbers[599]] {
        assert!(outside.run(|| hear(&format!("10.77.0.1:{at}"))).expect("from outside").contains("hello"), "{at}");
        until("the loopback's ways", || {
            let both = [format!("127.0.0.1:{at}"), format!("[::1]:{at}")];
            both.iter().all(|at| engine.host().run(|| hear(at)).is_ok_and(|text| text.contains("hello")))
        });
        assert!(engine.host().run(|| TcpListener::bind(("0.0.0.0", at))).is_err(), "{at} is ours");
    }
    assert_eq!(engine.ok("port web").lines().count(), 1200);
    // Its shim needs more descriptors than is usual; what runs in it does not have them for that.
    let limit = engine.shell("", "ulimit -n; ulimit -Hn").ok();
    assert_eq!(engine.dhow(["exec", "web", "sh", "-c", "ulimit -n; ulimit -Hn"]).ok(), limit);
    engine.ok("rm -f web");
    assert!(engine.host().run(|| TcpListener::bind(("0.0.0.0", 9000))).is_ok());

    // A row is one interval of each kind, and costs no socket for most of a long one.
    server(&engine, "row", "-p 10000-19999:10000-19999 -p 10000-10099:10000-10099/udp -p 80:80");
    assert_eq!(engine.inspect("row")["NetworkSettings"]["Ports"].as_object().map(serde_json::Map::len), Some(10_101));
    assert_eq!(ruleset(&engine).matches("10000-19999").count(), 1);
    let sockets = std::fs::read_dir(format!("/proc/{}/fd", engine.shim_pid("row"))).expect("descriptors").count();
    assert!((2 * 1024 + 200..2500).contains(&sockets), "{sockets}");
    let held = |at: u16| engine.host().run(|| TcpListener::bind(("0.0.0.0", at))).is_err();
    assert!(held(10_000) && held(11_023), "the first of a row are ours alone");
    engine.dhow(["exec", "-d", "row", "httpd", "-p", "11023", "-h", "/w"]).ok();
    until("the loopback's way into a row", || {
        ["127.0.0.1:11023", "[::1]:11023"].iter().all(|at| engine.host().run(|| hear(at)).is_ok_and(|text| text.contains("hello")))
    });
    engine.dhow(["exec", "-d", "row", "httpd", "-p", "19998", "-h", "/w"]).ok();
    until("one of the row", || outside.run(|| hear("10.77.0.1:19998")).is_ok_and(|text| text.contains("hello")));
    let taken = engine.run("run --rm -p 19998:80 busybox true");
    assert!(taken.stderr().contains("Bind for 0.0.0.0:19998 failed: port is already allocated"), "{taken}");
    let busy = engine.host().run(|| TcpListener::bind("0.0.0.0:20500")).expect("a free port");
    let refused = engine.run("run --rm -p 20000-21000:20000-21000 busybox true");
    assert!(refused.stderr().contains("failed to bind host port for 0.0.0.0:20500"), "{refused}");
    assert!(refused.stderr().contains("address already in use"), "{refused}");
    drop(busy);
    engine.ok("rm -f row");
    assert!(!ruleset(&engine).contains("10000-19999"));
    assert_eq!(engine.run("run --rm -p 20000-21000:20000-21000 busybox true").code, 0);
    engine.finish();
}

#[test]
fn ports_follow_the_way_out() {
    let engine = engine();
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    let reached = |at: &str| outside.run(|| hear(at)).is_ok_and(|text| text.contains("hello"));
    engine.ok("network create --subnet 10.121.0.0/24 one");
    engine.ok("network create --subnet 10.122.0.0/24 two");
    server(&engine, "web", "--network one -p 8080:80 -p 80");
    let random = published(&engine, "web", "80/tcp")[2].replace("0.0.0.0 ", "");
    let all = published(&engine, "web", "80/tcp");
    let everywhere = |what: &str| {
        for at in ["10.77.0.1:8080".to_owned(), format!("10.77.0.1:{random}")] {
            until(what, || reached(&at));
        }
        until(what, || engine.host().run(|| hear("127.0.0.1:8080")).is_ok_and(|text| text.contains("hello")));
        assert_eq!(published(&engine, "web", "80/tcp"), all, "{what}");
    };
    everywhere("at first");
    // One that comes after it by name is no better; it takes over when the first goes.
    engine.ok("network connect two web");
    assert!(ruleset(&engine).contains("10.121.0.2"));
    engine.ok("network disconnect one web");
    let rules = ruleset(&engine);
    assert!(rules.contains("10.122.0.2 . 80") && !rules.contains("10.121.0.2 . 80"), "{rules}");
    everywhere("by the other network");
    engine.ok("network disconnect two web");
    assert_eq!(published(&engine, "web", "80/tcp"), Vec::<String>::new());
    assert!(!reached("10.77.0.1:8080"));
    assert!(engine.host().run(|| TcpListener::bind("0.0.0.0:8080")).is_ok(), "nobody holds it");
    engine.ok("network connect one web");
    until("published again", || reached("10.77.0.1:8080"));
    // A better one takes over at once.
    engine.ok("network connect --gw-priority 10 two web");
    assert!(ruleset(&engine).contains("10.122.0.2 . 80"));
    until("by the better one", || reached("10.77.0.1:8080"));
    engine.ok("rm -f web");
    assert!(!ruleset(&engine).contains("10.122.0.2"));
    engine.finish();
}

#[test]
fn one_family_leads_to_the_other() {
    let engine = engine();
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    engine.host().run(|| Cmd::new("ip").args("addr add fd77::1/64 dev outside nodad".split(' ')).ok());
    outside.run(|| Cmd::new("ip").args("addr add fd77::2/64 dev inside nodad".split(' ')).ok());
    engine.ok("network create --ipv6 --ipv4=false --subnet fd00:125::/64 six");
    server(&engine, "six", "--network six -p 8080:80");
    server(&engine, "four", "-p 8090:80");
    for at in ["10.77.0.1:8080", "[fd77::1]:8080", "10.77.0.1:8090", "[fd77::1]:8090"] {
        until(at, || outside.run(|| hear(at)).is_ok_and(|text| text.contains("hello")));
    }
    for at in ["127.0.0.1:8080", "[::1]:8080", "127.0.0.1:8090", "[::1]:8090"] {
        until(at, || engine.host().run(|| hear(at)).is_ok_and(|text| text.contains("hello")));
    }
    until("the log shows who asked", || engine.dhow(["logs", "six"]).run().stderr().contains("fd77::2"));
    until("the log shows who asked", || engine.dhow(["logs", "four"]).run().stderr().contains("10.77.0.2"));
    engine.finish();
}

#[test]
fn ways_in_that_a_network_allows() {
    let engine = engine();
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    outside.run(|| Cmd::new("ip").args("route add default via 10.77.0.1".split(' ')).ok());
    let option = |name: &str, value: &str| format!("-o com.docker.network.bridge.{name}={value}");
    let networks = [
        ("routed", option("gateway_mode_ipv4", "routed")),
        ("open", option("gateway_mode_ipv4", "nat-unprotected")),
        ("trusting", option("trusted_host_interfaces", "nolink:outside")),
        ("local", option("host_binding_ipv4", "127.0.0.1")),
    ];
    for (at, (name, flags)) in networks.iter().enumerate() {
        engine.ok(&format!("network create --subnet 10.13{at}.0.0/24 {flags} {name}"));
        server(&engine, name, &format!("--network {name} -p 808{at}:80"));
        engine.dhow(["exec", "-d", name, "httpd", "-p", "81", "-h", "/w"]).ok();
    }
    // From outside: which of port 80, port 81, the host's port.
    for (at, (name, expect)) in
        [("routed", [true, false, false]), ("open", [true, true, true]), ("trusting", [true, false, true]), ("local", [false; 3])]
            .iter()
            .enumerate()
    {
        let ways = [format!("10.13{at}.0.2:80"), format!("10.13{at}.0.2:81"), format!("10.77.0.1:808{at}")];
        for (way, expect) in ways.iter().zip(expect) {
            let reached = || outside.run(|| hear(way)).is_ok_and(|text| text.contains("hello"));
            if *expect {
                until(&format!("{name} by {way}"), reached);
            } else {
                assert!(!reached(), "{name} by {way}");
            }
        }
    }
    assert_eq!(published(&engine, "routed", "80/tcp"), ["0.0.0.0 ", ":: 8080"]);
    assert_eq!(published(&engine, "local", "80/tcp"), ["127.0.0.1 8083"]);
    assert!(engine.host().run(|| hear("127.0.0.1:8083")).expect("the loopback").contains("hello"));
    // The host has no part in an isolated one.
    engine.ok(&format!("network create --internal --subnet 10.140.0.0/24 {} isolated", option("gateway_mode_ipv4", "isolated")));
    server(&engine, "first", "--network isolated --ip 10.140.0.7");
    assert!(engine.shell("--network isolated", "wget -qO- http://10.140.0.7").ok().contains("hello"));
    assert!(engine.host().run(|| hear("10.140.0.7:80")).is_err());
    assert!(!engine.host().run(|| Cmd::new("ip").args(["-4", "addr"]).ok()).contains("10.140."));
    let refused = engine.run(&format!("network create {} other", option("gateway_mode_ipv4", "isolated")));
    assert!(refused.stderr().contains("gateway mode 'isolated' can only be used for an internal network"), "{refused}");
    let refused = engine.run(&format!("network create {} other", option("gateway_mode_ipv6", "x")));
    assert!(
        refused.stderr().contains("failed to parse com.docker.network.bridge.gateway_mode_ipv6 value: x (unknown gateway mode x)"),
        "{refused}"
    );
    engine.finish();
}

#[test]
fn published_ports_by_the_containers_own_addresses() {
    let engine = Engine::with(Options { network: true, flags: vec!["--allow-direct-routing".into()], ..Options::default() });
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    outside.run(|| Cmd::new("ip").args("route add default via 10.77.0.1".split(' ')).ok());
    engine.ok("network create --subnet 10.131.0.0/24 net");
    engine.ok("network create --internal --subnet 10.132.0.0/24 closed");
    // The host has no address in this one.
    engine.ok("network create --subnet 10.133.0.0/24 -o com.docker.network.bridge.inhibit_ipv4=true alone");
    server(&engine, "web", "--network net -p 8080:80");
    engine.dhow(["exec", "-d", "web", "httpd", "-p", "81", "-h", "/w"]).ok();
    server(&engine, "shut", "--network closed -p 8081:80");
    until("a published port", || outside.run(|| hear("10.131.0.2:80")).is_ok_and(|text| text.contains("hello")));
    assert!(outside.run(|| hear("10.131.0.2:81")).is_err(), "one that is not published");
    assert!(outside.run(|| hear("10.132.0.2:80")).is_err(), "one of an internal network");
    assert!(!engine.host().run(|| Cmd::new("ip").args(["-4", "addr"]).ok()).contains("10.133."));
    assert!(engine.shell("--network alone", "ip -4 -o addr show eth0").ok().contains("10.133.0.2"));
    engine.finish();
}

/// A socket of SCTP that has a connection's form; `None` where the kernel has none.
fn sctp() -> Option<OwnedFd> {
    match net::socket(net::AddressFamily::INET, net::SocketType::STREAM, Some(net::ipproto::SCTP)) {
        Err(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT) => None,
        socket => Some(socket.expect("a socket of SCTP")),
    }
}

/// What an SCTP server says.
fn hear_sctp(at: &str) -> rustix::io::Result<String> {
    let socket = sctp().expect("SCTP");
    net::sockopt::set_socket_timeout(&socket, net::sockopt::Timeout::Recv, Some(Duration::from_secs(5)))?;
    net::sockopt::set_socket_timeout(&socket, net::sockopt::Timeout::Send, Some(Duration::from_secs(5)))?;
    net::connect(&socket, &at.parse::<SocketAddr>().expect("an address"))?;
    let mut buffer = [0; 64];
    let length = rustix::io::read(&socket, &mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

#[test]
fn ports_of_sctp() {
    if sctp().is_none() {
        return dhow_tests::skip("the kernel has no SCTP");
    }
    let engine = engine();
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    engine.ok("run -d --init --name server -p 7000:7001/sctp busybox sleep 1000");
    assert_eq!(published(&engine, "server", "7001/sctp"), ["0.0.0.0 7000", ":: 7000"]);
    let pid = engine.inspect("server")["State"]["Pid"].as_i64().expect("a process");
    let container = dhow_tests::netns::Netns::of(i32::try_from(pid).expect("a process id"));
    let listener = container.run(|| {
        let socket = sctp().expect("SCTP");
        net::bind(&socket, &SocketAddr::from(([0, 0, 0, 0], 7001))).expect("bind");
        net::listen(&socket, 8).expect("listen");
        socket
    });
    // It tells each who it sees.
    let serve = std::thread::spawn(move || {
        for _ in 0..2 {
            let (peer, from) = net::acceptfrom(&listener).expect("accept");
            let from = SocketAddr::try_from(from.expect("an address")).expect("an address of IP");
            rustix::io::write(&peer, format!("hello {}", from.ip()).as_bytes()).expect("answer");
        }
    });
    let heard = outside.run(|| hear_sctp("10.77.0.1:7000")).expect("from outside");
    assert_eq!(heard, "hello 10.77.0.2", "the container sees who asks");
    let heard = engine.host().run(|| hear_sctp("10.77.0.1:7000")).expect("from the host");
    assert!(heard.starts_with("hello "), "{heard}");
    serve.join().expect("the server");
    assert!(outside.run(|| hear_sctp("10.77.0.1:7001")).is_err(), "another port");
    let refused = engine.run("run --rm -p 7000:7001/sctp busybox true");
    assert!(refused.stderr().contains("Bind for 0.0.0.0:7000 failed: port is already allocated"), "{refused}");
    engine.finish();
}

#[test]
fn one_network_that_cannot_be_is_no_hindrance() {
    let engine = engine();
    let ip = |words: &str| engine.host().run(|| Cmd::new("ip").args(words.split(' ')).ok());
    engine.ok("network create --subnet 10.121.0.0/24 -o com.docker.network.bridge.name=brx one");
    engine.kill_daemon();
    ip("link del brx");
    ip("link add brx type veth peer name bry");
    engine.start_daemon();
    server(&engine, "web", "-p 8080:80");
    assert!(engine.host().run(|| hear("127.0.0.1:8080")).expect("the other one").contains("hello"));
    let refused = engine.run("run --rm --network one busybox true");
    assert!(refused.stderr().contains("network one is not possible here: the link brx is there and is no bridge, but veth"), "{refused}");
    // What is not ours is left alone.
    assert!(ip("link show brx").contains("brx"));
    ip("link del brx");
    assert!(engine.shell("--network one", "ip -4 -o addr show eth0").ok().contains("10.121.0.2"));
    engine.finish();
}

#[test]
fn addresses_of_the_settings() {
    let engine = Engine::with(Options { network: true, flags: vec!["--ip".into(), "127.0.0.1".into()], ..Options::default() });
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    server(&engine, "web", "-p 8080:80 -p 0.0.0.0:8081:80");
    assert_eq!(published(&engine, "web", "80/tcp"), ["127.0.0.1 8080", "0.0.0.0 8081"]);
    assert!(outside.run(|| hear("10.77.0.1:8081")).expect("the other").contains("hello"));
    assert!(outside.run(|| hear("10.77.0.1:8080")).is_err());
    engine.finish();
}

#[test]
fn what_the_host_listens_at() {
    let engine = engine();
    let on_host = |at: &str| engine.host().run(|| TcpListener::bind(at)).expect("a free port");
    let check = |flags: &str, expect: &str| {
        let refused = engine.run(&format!("run --name lost {flags} busybox true"));
        assert!(refused.code == 125 && refused.stderr().contains(expect), "{flags}: {refused}");
        assert_eq!(engine.inspect("lost")["State"]["ExitCode"], 128);
        engine.ok("rm lost");
    };
    let held = [on_host("0.0.0.0:7001"), on_host("127.0.0.1:7002"), on_host("[::]:7003")];
    let datagrams = engine.host().run(|| UdpSocket::bind("0.0.0.0:7001")).expect("a free port");
    check("-p 7001:80", "failed to bind host port for 0.0.0.0:7001:172.17.0.2:80/tcp: address already in use");
    check("-p 7002:80", "failed to bind host port for 0.0.0.0:7002:172.17.0.2:80/tcp: address already in use");
    check("-p 127.0.0.1:7002:80", "failed to bind host port for 127.0.0.1:7002:172.17.0.2:80/tcp: address already in use");
    check("-p 7001:80/udp", "failed to bind host port for 0.0.0.0:7001:172.17.0.2:80/udp: address already in use");
    check("-p 192.0.2.1:7004:80", "failed to bind host port for 192.0.2.1:7004:172.17.0.2:80/tcp: cannot assign requested address");
    // Of a range the first that is free; other protocols have numbers of their own.
    server(&engine, "web", "-p 7001-7005:80 -p 7002:80/udp");
    assert_eq!(published(&engine, "web", "80/tcp")[0], "0.0.0.0 7004");
    drop((held, datagrams));
    engine.finish();
}

#[test]
fn two_hundred_leave_nothing() {
    let engine = engine();
    engine.ok("network create --subnet 10.150.0.0/23 many");
    let links = || engine.host().run(|| Cmd::new("ip").args(["-o", "link"]).ok()).lines().filter(|line| line.contains("veth")).count();
    let before = ruleset(&engine);
    let start = |number: usize, flags: &str| {
        let port = 30_000 + number;
        let line = format!("run {flags} --network many -p {port}:80 -p {port}:80/udp busybox true");
        assert_eq!(engine.run(&line).code, 0, "{line}");
    };
    (0..100).for_each(|number| start(number, "--rm"));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || (0..25).for_each(|number| start(thread * 25 + number, "--rm")));
        }
    });
    until("no link is left", || links() == 0);
    assert_eq!(ruleset(&engine), before);
    // All addresses are free again, the lowest first.
    assert!(engine.shell("--network many", "ip -4 -o addr show eth0").ok().contains(" 10.150.0.2/23"));
    let inspected: Value = serde_json::from_str(&engine.ok("network inspect many")).expect("JSON");
    assert_eq!(inspected[0]["Containers"], serde_json::json!({}));
    // All at once, and all live.
    let names: Vec<String> = (0..40).map(|number| format!("c{number}")).collect();
    std::thread::scope(|scope| {
        for chunk in names.chunks(10) {
            let engine = &engine;
            scope.spawn(move || {
                chunk.iter().for_each(|name| drop(engine.ok(&format!("run -d --init --name {name} --network many busybox sleep 1000"))))
            });
        }
    });
    let address = |name: &String| engine.inspect(name)["NetworkSettings"]["Networks"]["many"]["IPAddress"].as_str().map(str::to_owned);
    let addresses: BTreeSet<_> = names.iter().map(address).collect();
    assert_eq!(addresses.len(), 40);
    engine.ok(&format!("rm -f {}", names.join(" ")));
    until("no link is left", || links() == 0);
    assert_eq!(engine.ok("network rm many"), "many");
    engine.finish();
}
