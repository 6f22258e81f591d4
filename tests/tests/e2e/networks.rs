//! Networks that users make: verbs, names, places that come and go while containers run.

use crate::network::{engine, hear, server};
use dhow_tests::netns::Netns;
use dhow_tests::{Engine, until};
use serde_json::Value;
use std::net::UdpSocket;
use std::time::Duration;

fn network(engine: &Engine, name: &str) -> Value {
    let text = engine.dhow(["network", "inspect", name]).ok();
    serde_json::from_str::<Value>(&text).expect("JSON")[0].clone()
}

/// A container that waits, in these networks.
fn waiter(engine: &Engine, name: &str, flags: &str) {
    engine.ok(&format!("run -d --init --name {name} {flags} busybox sleep 1000"));
}

fn exec(engine: &Engine, name: &str, script: &str) -> dhow_tests::Output {
    engine.dhow(["exec", name, "sh", "-c", script]).run()
}

/// The address that a container finds for a name; nothing where it finds none.
fn look_up(engine: &Engine, container: &str, name: &str) -> String {
    let found = exec(engine, container, &format!("nslookup {name} | sed -n '/^Name/,$ s/^Address.*: //p' | sort | tr '\\n' ' '"));
    found.stdout().trim().to_owned()
}

fn address(engine: &Engine, container: &str, network: &str) -> String {
    engine.inspect(container)["NetworkSettings"]["Networks"][network]["IPAddress"].as_str().expect("an address").to_owned()
}

#[test]
fn containers_find_each_other_by_name() {
    let engine = engine();
    engine.ok("network create net");
    server(&engine, "web", "--network net --network-alias db --hostname www");
    waiter(&engine, "one", "--network net --link web:linked");
    let web = address(&engine, "web", "net");
    let id = engine.inspect("web")["Id"].as_str().expect("an id")[..12].to_owned();
    for name in ["web", "db", "www", "linked", "WEB", "web.net", &id] {
        assert_eq!(look_up(&engine, "one", name), web, "{name}");
    }
    assert!(exec(&engine, "one", "wget -qO- http://web").ok().contains("hello"));
    let names = engine.inspect("web")["NetworkSettings"]["Networks"]["net"]["DNSNames"].clone();
    assert_eq!(names, serde_json::json!(["web", "db", id, "www"]));
    let back = exec(&engine, "one", &format!("nslookup {web}")).ok();
    assert!(back.contains("web.net"), "{back}");
    let file = exec(&engine, "one", "cat /etc/resolv.conf").ok();
    assert!(file.contains("nameserver 127.0.0.11\n") && file.contains("ndots:0"), "{file}");
    // Port 53 stays free for its own servers.
    assert!(!exec(&engine, "one", "netstat -lnut").ok().contains(":53 "));
    // Several with one name; those that have ended are not found.
    waiter(&engine, "two", "--network net --network-alias db");
    let two = address(&engine, "two", "net");
    let mut both = [web.clone(), two];
    both.sort();
    assert_eq!(look_up(&engine, "one", "db"), both.join(" "));
    engine.ok("rm -f two");
    assert_eq!(look_up(&engine, "one", "db"), web);
    // Over a connection too; a container of the default network has no such names.
    let asked = exec(&engine, "one", "nslookup two; nslookup web");
    assert!(asked.stdout().contains(&web), "{asked}");
    waiter(&engine, "plain", "");
    assert!(!exec(&engine, "plain", "cat /etc/resolv.conf").ok().contains("127.0.0.11"));
    engine.finish();
}

#[test]
fn places_come_and_go_while_it_runs() {
    let engine = engine();
    engine.ok("network create one");
    engine.ok("network create --subnet 10.123.0.0/24 --ip-range 10.123.0.128/25 --gateway 10.123.0.1 two");
    let web = server(&engine, "web", "--network two --ip 10.123.0.77 --mac-address 02:42:0a:7b:00:99");
    assert_eq!(web["NetworkSettings"]["Networks"]["two"]["IPAddress"], "10.123.0.77");
    assert_eq!(web["NetworkSettings"]["Networks"]["two"]["MacAddress"], "02:42:0a:7b:00:99");
    waiter(&engine, "box", "--network one");
    assert_eq!(look_up(&engine, "box", "web"), "");
    assert_eq!(engine.run("network connect --alias second two box").stderr(), "");
    assert_eq!(look_up(&engine, "box", "web"), "10.123.0.77");
    assert!(exec(&engine, "box", "wget -qO- http://web").ok().contains("hello"));
    assert_eq!(look_up(&engine, "web", "second"), "10.123.0.128");
    assert!(exec(&engine, "box", "cat /etc/hosts").ok().contains("10.123.0.128\t"));
    let twice = engine.run("network connect two box");
    assert!(twice.code == 1 && twice.stderr().contains("endpoint with name box already exists in network two"), "{twice}");
    let inside = network(&engine, "two")["Containers"].clone();
    let mut names: Vec<&str> = inside.as_object().expect("containers").values().filter_map(|c| c["Name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["box", "web"]);
    let used = engine.run("network rm two");
    assert!(used.code == 1 && used.stderr().contains("network two has active endpoints (name:\"box\""), "{used}");
    // The way out goes over to the network that is left.
    engine.ok("network disconnect one box");
    assert!(exec(&engine, "box", "ip route").ok().contains("default via 10.123.0.1"));
    assert!(exec(&engine, "box", "wget -qO- http://web").ok().contains("hello"));
    engine.ok("network disconnect two box");
    assert_eq!(exec(&engine, "box", "ip -o link | wc -l").ok().trim(), "1");
    let none = engine.run("network disconnect two box");
    assert!(none.code == 1 && none.stderr().contains("is not connected to network two"), "{none}");
    // At rest: it counts from the next start on.
    engine.ok("stop -t 0 box");
    engine.ok("network connect one box");
    engine.ok("start box");
    assert_ne!(address(&engine, "box", "one"), "");
    engine.ok("rm -f box web");
    engine.ok("network rm one two");
    assert_eq!(engine.dhow(["network", "ls", "-q", "--filter", "type=custom"]).ok(), "");
    engine.finish();
}

#[test]
fn networks_are_apart() {
    let engine = engine();
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    engine.ok("network create red");
    engine.ok("network create blue");
    engine.ok("network create --internal inner");
    engine.ok("network create -o com.docker.network.bridge.enable_icc=false alone");
    server(&engine, "web", "--network red -p 8080:80");
    server(&engine, "hidden", "--network inner");
    server(&engine, "shy", "--network alone");
    let (web, hidden, shy) = (address(&engine, "web", "red"), address(&engine, "hidden", "inner"), address(&engine, "shy", "alone"));
    // What is reached is waited for; for what is not, a moment is enough.
    let asks = |network: &str, at: &str, seconds: u32| {
        let script = format!("timeout {seconds} wget -q -O- http://{at} 2>/dev/null || echo none");
        let said = engine.dhow(["run", "--rm", "--network", network, "busybox", "sh", "-c", &script]).ok();
        assert!(said == "hello" || said == "none", "from {network} to {at}: {said}");
        said == "hello"
    };
    let reaches = |network: &str, at: &str| asks(network, at, 3);
    assert!(asks("red", &web, 60));
    assert!(asks("inner", &hidden, 60));
    assert!(!reaches("blue", &web) && !reaches("bridge", &web) && !reaches("inner", &web));
    assert!(!reaches("red", &hidden) && !reaches("alone", &shy));
    // The host reaches them all; from outside only what is published is reached, and an internal network reaches nothing there.
    for at in [&web, &hidden, &shy] {
        assert!(engine.host().run(|| hear(&format!("{at}:80"))).expect(at).contains("hello"), "{at}");
    }
    assert!(outside.run(|| hear("10.77.0.1:8080")).expect("the port").contains("hello"));
    let listener = outside.run(|| std::net::TcpListener::bind("10.77.0.2:7000")).expect("a port");
    let out = |network: &str, seconds: &str| {
        let flags = ["run", "--rm", "--network", network, "busybox", "nc", "-w", seconds, "10.77.0.2", "7000"];
        engine.dhow(flags).run().code == 0
    };
    std::thread::scope(|scope| {
        let serve = scope.spawn(|| listener.accept().map(|(_, from)| from.ip().to_string()));
        let (inner, red) = (out("inner", "2"), out("red", "60"));
        if !red {
            // So that nobody waits for ever.
            let _ended = outside.run(|| std::net::TcpStream::connect("10.77.0.2:7000"));
        }
        assert!(!inner && red, "{inner} {red}");
        // With the host's address.
        assert_eq!(serve.join().expect("a thread").expect("a connection"), "10.77.0.1");
    });
    // What is only of internal networks asks nobody outside for names.
    assert!(exec(&engine, "hidden", "nslookup example.org").stdout().contains("SERVFAIL"));
    engine.finish();
}

#[test]
fn networks_and_names_outlive_the_daemon() {
    let engine = engine();
    engine.ok("network create --label a=b net");
    waiter(&engine, "web", "--network net");
    waiter(&engine, "one", "--network net");
    let before = network(&engine, "net");
    let web = address(&engine, "web", "net");
    let inside = Netns::of(engine.container_pid("one"));
    engine.kill_daemon();
    // A question that is asked meanwhile is answered afterwards.
    let asker = inside.run(|| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    asker.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    let question = b"\x07\x07\x01\0\0\x01\0\0\0\0\0\0\x03web\0\0\x01\0\x01";
    asker.send_to(question, "127.0.0.11:53").expect("a question");
    engine.start_daemon();
    let mut answer = [0; 512];
    let (length, _) = asker.recv_from(&mut answer).expect("an answer");
    let octets: Vec<u8> = web.split('.').map(|part| part.parse().expect("a number")).collect();
    assert!(answer[..length].ends_with(&octets), "{:?}", &answer[..length]);
    assert_eq!(network(&engine, "net"), before);
    assert_eq!(look_up(&engine, "one", "web"), web);
    waiter(&engine, "two", "--network net");
    assert_ne!(address(&engine, "two", "net"), web);
    // And when nothing ran: the bridge comes back with the engine.
    engine.ok("rm -f one two web");
    engine.kill_daemon();
    engine.start_daemon();
    server(&engine, "web", "--network net");
    assert!(engine.host().run(|| hear(&format!("{}:80", address(&engine, "web", "net")))).expect("an answer").contains("hello"));
    engine.finish();
}

#[test]
fn both_families() {
    let engine = engine();
    engine.ok("network create --ipv6 --subnet 10.124.0.0/24 --subnet fd00:124::/64 dual");
    server(&engine, "web", "--network dual --ip6 fd00:124::77 -p 8080:80");
    waiter(&engine, "one", "--network dual");
    let place = engine.inspect("web")["NetworkSettings"]["Networks"]["dual"].clone();
    assert_eq!((&place["GlobalIPv6Address"], &place["IPv6Gateway"]), (&"fd00:124::77".into(), &"fd00:124::1".into()));
    assert!(look_up(&engine, "one", "web").contains("fd00:124::77"));
    assert!(exec(&engine, "one", "wget -qO- 'http://[fd00:124::77]'").ok().contains("hello"));
    assert!(exec(&engine, "one", "ip -6 route").ok().contains("default via fd00:124::1"));
    assert!(engine.host().run(|| hear("[fd00:124::77]:80")).expect("an answer").contains("hello"));
    assert!(engine.host().run(|| hear("[::1]:8080")).expect("an answer").contains("hello"));
    // One that says nothing of subnets gets one of its own.
    engine.ok("network create --ipv6 --ipv4=false six");
    let config = network(&engine, "six")["IPAM"]["Config"].clone();
    assert!(
        config.as_array().is_some_and(|all| all.len() == 1) && config[0]["Subnet"].as_str().is_some_and(|s| s.starts_with("fd")),
        "{config}"
    );
    engine.finish();
}

#[test]
fn what_is_refused_leaves_nothing() {
    let engine = engine();
    let check = |line: &str, words: &str| {
        let out = engine.run(line);
        assert!(out.code != 0 && out.stderr().contains(words), "{line}: {out}");
    };
    engine.ok("network create --subnet 10.125.0.0/24 net");
    check("network create net", "network with name net already exists");
    check("network create --subnet 10.125.0.0/16 other", "invalid pool request: Pool overlaps with other one on this address space");
    check("network create bridge", "operation is not permitted on predefined bridge network");
    check("network create --driver nope other", "could not find plugin nope");
    check(
        "network create -o com.docker.network.bridge.enable_icc=x other",
        "failed to parse com.docker.network.bridge.enable_icc value: x",
    );
    check("network rm bridge", "bridge is a pre-defined network and cannot be removed");
    check("network rm nope", "network nope not found");
    check("network inspect nope", "network nope not found");
    waiter(&engine, "one", "--network net --ip 10.125.0.9");
    check("run --rm --network net --ip 10.125.0.9 busybox true", "Address already in use");
    check(
        "run --rm --network net --ip 10.126.0.9 busybox true",
        "invalid config for network net: invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.126.0.9",
    );
    check("network connect net nope", "No such container: nope");
    check("network connect host one", "container cannot be connected to host network");
    waiter(&engine, "none", "--network none");
    check("network connect net none", "with one of the networks in private (none) mode");
    engine.ok("network create free");
    let pruned = engine.dhow(["network", "prune", "-f"]).ok();
    assert_eq!(pruned, "Deleted Networks:\nfree\n");
    let listed = engine.dhow(["network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"]).ok();
    assert_eq!(listed, "bridge bridge local\nhost host local\nnet bridge local\nnone null local");
    until("the events of one network", || {
        let told = engine.dhow(["events", "--since", "1h", "--until", "0s", "--filter", "network=free", "--format", "{{.Action}}"]).run();
        told.stdout() == "create\ndestroy\n"
    });
    engine.finish();
}
