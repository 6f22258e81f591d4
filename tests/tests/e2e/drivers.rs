//! Networks on a shared wire, configurations of networks, options of places.

use crate::network::{engine, hear, server};
use dhow_tests::netns::Netns;
use dhow_tests::{Cmd, Engine, until};
use serde_json::{Value, json};

fn network(engine: &Engine, name: &str) -> Value {
    let text = engine.dhow(["network", "inspect", name]).ok();
    serde_json::from_str::<Value>(&text).expect("JSON")[0].clone()
}

fn refused(engine: &Engine, words: &str, expect: &str) {
    let done = engine.run(words);
    assert!(done.code != 0 && done.stderr().contains(expect), "{words}: {done}");
}

/// Whether the host's kernel makes such links.
fn kernel_has(host: &Netns, kind: &str) -> bool {
    let made = host.run(|| Cmd::new("ip").args(["link", "add", "link", "outside", "name", "probe", "type", kind]).run().code == 0);
    if made {
        host.run(|| Cmd::new("ip").args(["link", "del", "probe"]).ok());
    }
    made
}

#[test]
fn macvlan_on_a_link_of_the_host() {
    let engine = engine();
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    if !kernel_has(engine.host(), "macvlan") {
        dhow_tests::skip("the kernel has no macvlan");
        engine.finish();
        return;
    }
    engine.ok("network create -d macvlan --subnet 10.77.0.0/24 --ip-range 10.77.0.64/28 --gateway 10.77.0.2 -o parent=outside lan");
    let web = server(&engine, "web", "--network lan --ip 10.77.0.70 --mac-address 02:42:0a:4d:00:46");
    let place = &web["NetworkSettings"]["Networks"]["lan"];
    assert_eq!(
        (&place["IPAddress"], &place["MacAddress"], &place["Gateway"]),
        (&json!("10.77.0.70"), &json!("02:42:0a:4d:00:46"), &json!("10.77.0.2"))
    );
    // Who is on the wire reaches it without any port being published.
    assert!(outside.run(|| hear("10.77.0.70:80")).expect("the wire").contains("hello"));
    // So do others of the network, by name.
    let other = ["run", "--rm", "--network", "lan", "busybox", "sh", "-c", "wget -qO- http://web; ip route"];
    let said = engine.dhow(other).ok();
    assert!(said.contains("hello") && said.contains("default via 10.77.0.2 dev eth0"), "{said}");
    // A second network on the same wire; places come and go while a container runs; all of it outlives the daemon.
    engine.ok("network create -d macvlan --subnet 10.78.0.0/24 -o parent=outside -o macvlan_mode=private far");
    engine.ok("network connect far web");
    assert!(engine.ok("exec web ip -o addr").contains("10.78.0.2/24"));
    engine.stop_daemon();
    engine.start_daemon();
    assert!(outside.run(|| hear("10.77.0.70:80")).expect("the wire").contains("hello"));
    engine.ok("network disconnect far web");
    assert!(!engine.ok("exec web ip -o addr").contains("10.78.0.2"));
    let used = engine.run("network rm lan");
    assert!(used.code == 1 && used.stderr().contains("network lan has active endpoints (name:\"web\""), "{used}");
    // The address is another's at once.
    engine.ok("rm -f web");
    server(&engine, "next", "--network lan --ip 10.77.0.70");
    until("the address is reached again", || outside.run(|| hear("10.77.0.70:80")).is_ok_and(|text| text.contains("hello")));
    engine.ok("rm -f next");
    // One that has the wire alone does not share it.
    refused(
        &engine,
        "network create -d macvlan -o parent=outside -o macvlan_mode=passthru alone",
        "is already using parent interface outside",
    );
    engine.ok("network rm lan far");
    engine.ok("network create -d macvlan --subnet 10.77.0.0/24 --gateway 10.77.0.2 --aux-address h=10.77.0.3 -o parent=outside -o macvlan_mode=passthru alone");
    server(&engine, "web", "--network alone --ip 10.77.0.71");
    assert!(outside.run(|| hear("10.77.0.71:80")).expect("the wire").contains("hello"));
    engine.ok("rm -f web");
    engine.ok("network rm alone");
    // The parent is the host's own: it stays.
    engine.host().run(|| Cmd::new("ip").args(["link", "show", "outside"]).ok());
    engine.finish();
}

#[test]
fn wires_that_cannot_be() {
    let engine = engine();
    let _outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    refused(&engine, "network create -d macvlan -o parent=lo x1", "loopback interface is not a valid macvlan parent link");
    refused(
        &engine,
        "network create -d macvlan -o parent=nosuch x1",
        "invalid subinterface vlan name nosuch, example formatting is eth0.10",
    );
    refused(
        &engine,
        "network create -d macvlan -o parent=outside.x x1",
        "unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)",
    );
    refused(&engine, "network create -d macvlan -o macvlan_mode=foo x1", "requested macvlan mode 'foo' is not valid");
    refused(&engine, "network create -d ipvlan -o ipvlan_mode=l9 x1", "requested ipvlan mode 'l9' is not valid");
    let links = || engine.host().run(|| Cmd::new("ip").args(["-br", "link"]).ok());
    let before = links();
    for (kind, words, made) in [
        ("ipvlan", "network create -d ipvlan --subnet 10.79.0.0/24 -o parent=outside x1", None),
        ("dummy", "network create -d macvlan --internal x1", Some("dm-")),
        ("vlan", "network create -d macvlan -o parent=outside.10 x1", Some("outside.10")),
    ] {
        let done = engine.run(words);
        // Either it is there, with the link that it needs, and both go again; or it is said what is missing, and nothing is left.
        if done.code == 0 {
            assert!(made.is_none_or(|made| links().contains(made)), "{}", links());
            let inside = engine.run("run --rm --network x1 busybox ip -o addr");
            assert!(inside.code != 0 || inside.stdout().contains("eth0"), "{inside}");
            engine.ok("network rm x1");
        } else {
            assert!(done.stderr().contains("the kernel"), "{kind}: {done}");
        }
        assert_eq!(links(), before, "{kind}");
    }
    assert_eq!(engine.ok("network ls -q --filter type=custom"), "");
    engine.finish();
}

#[test]
fn configurations_of_networks() {
    let engine = engine();
    engine.ok("network create --config-only --subnet 10.33.0.0/24 --ip-range 10.33.0.128/25 --label a=b -o com.docker.network.driver.mtu=1400 cfg");
    let shown = network(&engine, "cfg");
    assert_eq!((&shown["ConfigOnly"], &shown["Driver"]), (&json!(true), &json!("null")));
    assert_eq!(shown["IPAM"]["Config"], json!([{"Subnet": "10.33.0.0/24", "IPRange": "10.33.0.128/25"}]));
    engine.ok("network create --config-from cfg real");
    let shown = network(&engine, "real");
    assert_eq!((&shown["ConfigFrom"]["Network"], &shown["Labels"]["a"]), (&json!("cfg"), &json!("b")));
    let inside = engine.ok("run --rm --network real busybox ip -o addr show eth0");
    assert!(inside.contains("10.33.0.129/24"), "{inside}");
    let own = "user specified configurations are not supported if the network depends on a configuration network";
    refused(&engine, "network create --config-from cfg --subnet 10.34.0.0/24 more", own);
    refused(&engine, "network create --config-from cfg --label x=y more", own);
    refused(&engine, "network create --config-from nosuch more", "configuration network \"nosuch\" does not exist");
    refused(&engine, "network create --config-from real more", "configuration network \"real\" does not exist");
    refused(&engine, "network create --config-only --internal more", "configuration network can only contain network specific fields");
    refused(&engine, "run --rm --network cfg busybox true", "cannot create endpoint on configuration-only network");
    refused(&engine, "network rm cfg", "configuration network \"cfg\" is in use");
    engine.stop_daemon();
    engine.start_daemon();
    refused(&engine, "network rm cfg", "configuration network \"cfg\" is in use");
    engine.ok("network rm real");
    engine.ok("network rm cfg");
    engine.finish();
}

#[test]
fn places_with_options() {
    let engine = engine();
    engine.ok("network create net");
    engine.ok("network create other");
    let flags = [
        "name=net,driver-opt=com.docker.network.endpoint.ifname=lan7,bandwidth-in=10mbit,bandwidth-out=20mbit",
        "name=other,driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1,mac-address=02:00:00:00:00:77",
    ];
    engine.dhow(["run", "-d", "--init", "--name", "box", "--network", flags[0], "--network", flags[1], "busybox", "sleep", "1000"]).ok();
    let links = engine.ok("exec box ip -o link");
    assert!(links.contains(" lan7@") && links.contains(" eth0@") && links.contains("02:00:00:00:00:77"), "{links}");
    assert_eq!(engine.ok("exec box cat /proc/sys/net/ipv4/conf/eth0/log_martians"), "1");
    assert_eq!(engine.ok("exec box cat /proc/sys/net/ipv4/conf/lan7/log_martians"), "0");
    // The limits are at the host's end, where the container cannot reach them, and outlive the daemon.
    let limits =
        || engine.host().run(|| (Cmd::new("tc").args(["qdisc", "show"]).ok(), Cmd::new("nft").args(["list", "ruleset", "netdev"]).ok()));
    let limited = |at: &str| {
        let (queues, rules) = limits();
        assert!(queues.contains("qdisc tbf") && queues.contains("rate 10Mbit"), "{at}: {queues}");
        assert!(
            rules.contains("limit rate over 2500000 bytes/second") || rules.contains("limit rate over 2441 kbytes/second"),
            "{at}: {rules}"
        );
    };
    limited("at the start");
    engine.stop_daemon();
    engine.start_daemon();
    limited("after a restart of the daemon");
    // The other way: a network joined while it runs.
    engine.ok("network disconnect net box");
    let (queues, rules) = limits();
    assert!(!queues.contains("tbf") && !rules.contains("limit rate"), "{queues}{rules}");
    engine.ok("network connect --driver-opt bandwidth-out=20mbit --driver-opt bandwidth-in=10mbit net box");
    limited("of a network joined later");
    engine.ok("rm -f box");
    assert!(!limits().1.contains("limit rate"));
    // What cannot be.
    let with = |option: &str| format!("run --rm --network name=net,driver-opt={option} busybox true");
    refused(&engine, &with("bandwidth-in=fast"), "invalid value for bandwidth-in: \"fast\"");
    refused(&engine, &with("com.docker.network.endpoint.ifname=a/b"), "invalid interface name: \"a/b\"");
    refused(
        &engine,
        &with("com.docker.network.endpoint.sysctls=net.ipv4.conf.eth0.x=1"),
        "unrecognised network interface sysctl 'net.ipv4.conf.eth0.x=1'",
    );
    refused(&engine, &with("com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.nosuch=1"), "/proc/sys/net/ipv4/conf/eth0/nosuch");
    let same = "com.docker.network.endpoint.ifname=lan0";
    let both = [format!("name=net,driver-opt={same}"), format!("name=other,driver-opt={same}")];
    let twice = engine.dhow(["run", "--rm", "--network", &both[0], "--network", &both[1], "busybox", "true"]).run();
    assert!(twice.code != 0 && twice.stderr().contains("the interface name lan0 is used"), "{twice}");
    engine.finish();
}

#[test]
fn the_default_network_as_it_is_configured() {
    let flags = "--bip 10.66.0.1/24 --fixed-cidr 10.66.0.128/25 --ipv6 --fixed-cidr-v6 fd66::/64 --default-gateway 10.66.0.5 --dns 10.66.0.1 \
                 --dns-search example.org --dns-opt ndots:3 --host-gateway-ip 10.66.0.9 --default-network-opt bridge=com.docker.network.driver.mtu=1400";
    let flags = flags.split_whitespace().map(str::to_owned).collect();
    let engine = Engine::with(dhow_tests::Options { network: true, flags, ..dhow_tests::Options::default() });
    let shown = network(&engine, "bridge");
    assert_eq!(
        shown["IPAM"]["Config"],
        json!([
            {"Subnet": "10.66.0.0/24", "IPRange": "10.66.0.128/25", "Gateway": "10.66.0.1", "AuxiliaryAddresses": {"DefaultGatewayIPv4": "10.66.0.5"}},
            {"Subnet": "fd66::/64", "Gateway": "fd66::1"}
        ])
    );
    let said = engine.shell("--add-host up:host-gateway", "ip -o addr show eth0; ip route; cat /etc/resolv.conf /etc/hosts").ok();
    for text in [
        "10.66.0.128/24",
        "fd66::2/64",
        "default via 10.66.0.5",
        "nameserver 10.66.0.1\nsearch example.org\noptions ndots:3\n",
        "10.66.0.9\tup\n",
    ] {
        assert!(said.contains(text), "{text} in {said}");
    }
    let own = engine.shell("--dns 10.66.0.7 --dns-search own.org", "cat /etc/resolv.conf").ok();
    assert!(own.contains("nameserver 10.66.0.7\nsearch own.org\noptions ndots:3\n"), "{own}");
    engine.ok("network create net");
    assert!(engine.ok("run --rm --network net busybox ip link show eth0").contains("mtu 1400"));
    // A subnet in the way of a route of the host is taken where somebody insists, and said; nobody gets it otherwise.
    engine.host().run(|| Cmd::new("ip").args(["route", "add", "10.99.0.0/16", "dev", "lo"]).ok());
    let forced = engine.run("network create --subnet 10.99.3.0/24 forced");
    assert!(forced.code == 0 && forced.stderr().contains("10.99.3.0/24 overlaps the route 10.99.0.0/16 of the host to lo"), "{forced}");
    engine.finish();
}
