//! Who reaches whom: a table of probes, the same in every situation that a host can be in.

use dhow_tests::engine::Options;
use dhow_tests::netns::Netns;
use dhow_tests::{Cmd, Engine, until};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// From where, to which address, and whether it is to be reached. Names in braces are addresses.
const PROBES: &[(&str, &str, bool)] = &[
    ("host", "{web}:80", true),
    ("host", "{web}:81", true),
    ("host", "[{web6}]:80", true),
    ("host", "127.0.0.1:8080", true),
    ("host", "[::1]:8080", true),
    ("host", "10.77.0.1:8080", true),
    ("host", "[fd77::1]:8080", true),
    ("host", "10.77.0.1:8081", false),
    ("host", "127.0.0.1:8081", true),
    ("host", "{inner}:80", true),
    ("outside", "10.77.0.1:8080", true),
    ("outside", "[fd77::1]:8080", true),
    ("outside", "10.77.0.1:8081", false),
    ("outside", "{web}:80", false),
    ("outside", "{web}:81", false),
    ("outside", "[{web6}]:80", false),
    ("outside", "[{web6}]:81", false),
    ("outside", "{inner}:80", false),
    ("same", "{web}:80", true),
    ("same", "{web}:81", true),
    ("same", "[{web6}]:81", true),
    ("same", "10.77.0.1:8080", true),
    ("same", "[fd77::1]:8080", true),
    ("same", "10.77.0.2:7000", true),
    ("same", "[fd77::2]:7000", true),
    ("same", "{inner}:80", false),
    ("other", "{web}:80", false),
    ("other", "{web}:81", false),
    ("other", "10.77.0.1:8080", true),
    ("other", "10.77.0.2:7000", true),
    ("other", "{inner}:80", false),
    ("inside", "{inner}:80", true),
    ("inside", "{web}:80", false),
    ("inside", "10.77.0.1:8080", false),
    ("inside", "10.77.0.2:7000", false),
];

/// Everything that the probes need.
struct World {
    engine: Engine,
    places: BTreeMap<&'static str, Netns>,
    addresses: BTreeMap<&'static str, String>,
}

fn talk(at: &str, limit: Duration) -> std::io::Result<String> {
    let at: SocketAddr = at.parse().expect("an address");
    let mut stream = TcpStream::connect_timeout(&at, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn sh(netns: &Netns, script: &str) {
    netns.run(|| Cmd::new("sh").args(["-ec", script]).ok());
}

/// A network namespace beside the host, which has a web server of its own and a way to everywhere by the host.
fn outside(host: &Netns) -> Netns {
    let outside = host.neighbour("10.77.0.1", "10.77.0.2");
    sh(host, "ip addr add fd77::1/64 dev outside nodad");
    sh(&outside, "ip addr add fd77::2/64 dev inside nodad; ip route add default via 10.77.0.1; ip route add default via fd77::1");
    outside
}

/// Answers with `hello` whoever comes, until the test ends.
fn answer(netns: &Netns, at: &str) {
    let at = at.to_owned();
    let listener = netns.run(move || std::net::TcpListener::bind(at)).expect("a port");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut buffer = [0; 1024];
            let _asked = stream.read(&mut buffer);
            let _told = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello\n");
        }
    });
}

const SERVER: &str = "mkdir /w; echo hello > /w/index.html; httpd -v -p 81 -h /w; nc -ll -p 7 -e cat & exec httpd -f -v -p 80 -h /w";

impl World {
    fn new() -> Self {
        let engine = Engine::with(Options { network: true, ..Options::default() });
        let outside = outside(engine.host());
        answer(&outside, "[::]:7000");
        engine.ok("network create --ipv6 --subnet 10.121.0.0/24 --subnet fd00:121::/64 one");
        engine.ok("network create --subnet 10.122.0.0/24 two");
        engine.ok("network create --subnet 10.123.0.0/24 --internal closed");
        let run = |name: &str, flags: &str, script: &str| {
            engine.dhow(["run", "-d", "--init", "--name", name]).args(flags.split(' ')).args(["busybox", "sh", "-c", script]).ok();
        };
        run("web", "--network one -p 8080:80 -p 127.0.0.1:8081:80 -p 8007:7", SERVER);
        run("inner", "--network closed", SERVER);
        run("same", "--network one", "sleep 1000");
        run("other", "--network two", "sleep 1000");
        run("inside", "--network closed", "sleep 1000");
        let mut places = BTreeMap::from([("host", engine.host().clone()), ("outside", outside)]);
        for name in ["web", "same", "other", "inside"] {
            places.insert(name, Netns::of(engine.container_pid(name)));
        }
        let address = |container: &str, network: &str, key: &str| {
            engine.inspect(container)["NetworkSettings"]["Networks"][network][key].as_str().expect("an address").to_owned()
        };
        let addresses = BTreeMap::from([
            ("web", address("web", "one", "IPAddress")),
            ("web6", address("web", "one", "GlobalIPv6Address")),
            ("inner", address("inner", "closed", "IPAddress")),
        ]);
        Self { engine, places, addresses }
    }

    fn expand(&self, text: &str) -> String {
        self.addresses.iter().fold(text.to_owned(), |text, (name, address)| text.replace(&format!("{{{name}}}"), address))
    }

    /// All probes, at once.
    fn check(&self, situation: &str) {
        let wrong: Vec<String> = std::thread::scope(|scope| {
            let each = PROBES.iter().map(|(from, to, expect)| scope.spawn(|| self.probe(from, &self.expand(to), *expect)));
            each.collect::<Vec<_>>().into_iter().filter_map(|probe| probe.join().expect("a probe")).collect()
        });
        assert!(wrong.is_empty(), "{situation}: {wrong:#?}\n{}", self.engine.host().run(|| Cmd::new("nft").args(["list", "ruleset"]).ok()));
    }

    fn probe(&self, from: &str, to: &str, expect: bool) -> Option<String> {
        let place = &self.places[from];
        let is_hello = |limit| place.run(|| talk(to, limit)).is_ok_and(|text| text.contains("hello"));
        let tries = if expect { 20 } else { 1 };
        let limit = Duration::from_millis(if expect { 2000 } else { 700 });
        let reached = (0..tries).any(|_| {
            let reached = is_hello(limit);
            if !reached && expect {
                std::thread::sleep(Duration::from_millis(100));
            }
            reached
        });
        (reached != expect).then(|| format!("{from} -> {to}: {}", if reached { "reached" } else { "not reached" }))
    }

    /// The containers' namespaces are let go first: they would keep their links.
    fn finish(self) {
        drop(self.places);
        self.engine.finish();
    }

    /// An open connection to the echo of the container.
    fn open(&self, from: &str, at: &str) -> TcpStream {
        let at: SocketAddr = at.parse().expect("an address");
        let stream = self.places[from].run(|| TcpStream::connect_timeout(&at, Duration::from_secs(20))).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        stream
    }
}

fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"ping\n").expect("a line");
    let mut line = [0; 5];
    stream.read_exact(&mut line).expect("the line comes back");
    assert_eq!(&line, b"ping\n");
}

#[test]
fn restarts_and_cleared_filters() {
    let world = World::new();
    world.check("at first");
    // Who asks is seen as who it is.
    until("the log shows who asked", || {
        let log = world.engine.dhow(["logs", "web"]).run().stderr();
        log.contains("10.77.0.2") && log.contains("fd77::2")
    });
    let mut open = [world.open("outside", "10.77.0.1:8007"), world.open("host", "127.0.0.1:8007"), world.open("outside", "[fd77::1]:8007")];
    open.iter_mut().for_each(echoes);
    world.engine.kill_daemon();
    world.check("without a daemon");
    open.iter_mut().for_each(echoes);
    world.engine.start_daemon();
    world.check("with the next daemon");
    open.iter_mut().for_each(echoes);
    let rules = || world.engine.host().run(|| Cmd::new("nft").args(["list", "ruleset"]).ok());
    let before = rules();
    sh(world.engine.host(), "nft flush ruleset");
    until("the rules are there again", || rules() == before);
    world.check("after a flush");
    open.iter_mut().for_each(echoes);
    world.finish();
}

/// Packet filters of others: what puts them there, what stands in the way then, where our rule is.
const FOREIGN: &[(&str, &str, &str)] = &[
    ("a policy of iptables", "iptables -P FORWARD DROP; ip6tables -P FORWARD DROP", "ip filter FORWARD, ip6 filter FORWARD"),
    (
        "what Docker leaves",
        "for t in iptables ip6tables; do $t -P FORWARD DROP; $t -N DOCKER-USER; $t -A DOCKER-USER -j RETURN; \
         $t -I FORWARD -j DOCKER-USER; done",
        "ip filter FORWARD by a rule in ip filter DOCKER-USER, ip6 filter FORWARD by a rule in ip6 filter DOCKER-USER",
    ),
    (
        "what ufw does",
        "for t in iptables ip6tables; do $t -P FORWARD DROP; $t -N ufw-before-forward; $t -A FORWARD -j ufw-before-forward; \
         $t -A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; done",
        "ip filter FORWARD, ip6 filter FORWARD",
    ),
    (
        "what firewalld does",
        "nft add table inet firewalld; nft add chain inet firewalld filter_FORWARD '{ type filter hook forward priority 10; }'; \
         nft add rule inet firewalld filter_FORWARD ct state established,related accept; \
         nft add rule inet firewalld filter_FORWARD reject with icmpx type admin-prohibited",
        "inet firewalld filter_FORWARD",
    ),
    (
        "what an administrator writes",
        "nft add table inet filter; nft add chain inet filter forward '{ type filter hook forward priority 0; policy drop; }'",
        "inet filter forward",
    ),
];

const CLEAR: &str = "for t in iptables ip6tables; do $t -P FORWARD ACCEPT; $t -F; $t -X; done; \
    for t in 'inet firewalld' 'inet filter' 'ip filter' 'ip6 filter'; do nft delete table $t 2>/dev/null || true; done";

/// The chains of others in which info says that a rule of ours is.
fn opened(engine: &Engine) -> String {
    let format = "{{range .FirewallBackend.Info}}{{if eq (index . 0) \"Opened\"}}{{println (index . 1)}}{{end}}{{end}}";
    let text = engine.dhow(["info", "--format", format]).ok();
    text.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join(", ")
}

#[test]
fn filters_of_others() {
    let world = World::new();
    let host = world.engine.host();
    let ours = || host.run(|| Cmd::new("nft").args(["list", "ruleset"]).ok()).matches("comment \"dhow: ").count();
    for (situation, script, expect) in FOREIGN {
        sh(host, script);
        until(situation, || opened(&world.engine) == *expect);
        world.check(situation);
        for number in ["1", "0"] {
            sh(host, &format!("for f in iptables ip6tables; do echo {number} > /proc/sys/net/bridge/bridge-nf-call-$f; done"));
            world.check(&format!("{situation}, br_netfilter {number}"));
        }
        let rules = expect.split(", ").count();
        assert_eq!(ours(), rules, "{situation}: one rule each");
        sh(host, CLEAR);
        until("nothing of ours is left there", || ours() == 0 && opened(&world.engine).is_empty());
    }
    world.check("without them");
    // One that comes, and another engine beside.
    sh(host, FOREIGN[1].1);
    until("it is opened", || opened(&world.engine) == FOREIGN[1].2);
    let second = Engine::with(Options { beside: Some(host.clone()), ..Options::default() });
    second.ok("run -d --init --name web -p 9080:80 --network bridge busybox httpd -f -p 80");
    world.check("a second engine beside it");
    until("the second one's port", || world.places["outside"].run(|| talk("10.77.0.1:9080", Duration::from_secs(2))).is_ok());
    assert_eq!(ours(), 4);
    second.ok("rm -f web");
    second.finish();
    assert_eq!(ours(), 2, "the second one's are gone, ours are there");
    world.check("the second engine is gone");
    world.engine.ok("rm -f web inner same other inside");
    assert_eq!(world.engine.stop_daemon(), 0);
    assert_eq!(ours(), 0);
    sh(host, CLEAR);
    world.engine.start_daemon();
    world.finish();
}
