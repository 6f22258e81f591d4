//! What the plans do, in network namespaces of the tests' own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dhow_network::endpoint::{self, Place, Plan};
use dhow_network::netlink::{Message, Socket, attributes, number};
use dhow_network::nft::{self, Family};
use dhow_network::ports::{Mapping, Protocol};
use dhow_network::published::{self, SETS};
use dhow_network::resolver::Way;
use dhow_network::table::{self, Contents, Mode, Network};
use dhow_network::{conntrack, cooperate, forward, limits, link, resolver};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

const NEWNET: u64 = 0x4000_0000;

/// Runs on a thread of its own, in a fresh namespace. Says why where that is not allowed.
fn alone(act: impl FnOnce() + Send + 'static) {
    let run = move || match dhow_sys::process::unshare(NEWNET) {
        Ok(()) => {
            dhow_sys::net::loopback_up().unwrap();
            act();
        }
        Err(error) => assert!(!rustix::process::geteuid().is_root(), "a network namespace: {error}"),
    };
    std::thread::spawn(run).join().unwrap();
}

/// The loopback of a plan is there before its resolver, and without any place.
#[test]
fn a_plan_may_begin_with_the_loopback() {
    alone(|| {
        let new = || {
            let made = std::thread::spawn(|| {
                dhow_sys::process::unshare(NEWNET).unwrap();
                File::open("/proc/thread-self/ns/net").unwrap()
            });
            made.join().unwrap()
        };
        let answers = |there: &File| {
            dhow_network::namespace::inside(there.as_fd(), || Ok(TcpStream::connect("127.0.0.1:9").unwrap_err().kind())).unwrap()
        };
        let down = new();
        assert!(endpoint::apply(&Plan::default(), down.as_fd()).unwrap().is_none());
        assert_eq!(answers(&down), std::io::ErrorKind::NetworkUnreachable);
        assert!(endpoint::apply(&Plan { loopback: true, ..Plan::default() }, down.as_fd()).unwrap().is_none());
        assert_eq!(answers(&down), std::io::ErrorKind::ConnectionRefused);
        assert!(endpoint::apply(&Plan { loopback: true, resolver: true, ..Plan::default() }, new().as_fd()).unwrap().is_some());
    });
}

/// A further namespace.
fn namespace() -> File {
    let make = || {
        dhow_sys::process::unshare(NEWNET).unwrap();
        dhow_sys::net::loopback_up().unwrap();
        File::open("/proc/thread-self/ns/net").unwrap()
    };
    std::thread::spawn(make).join().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn place(port: &str, at: &str) -> Place {
    let IpAddr::V4(v4) = address(at) else { panic!("IPv4") };
    Place {
        bridge: "br0".into(),
        port: port.into(),
        name: "eth0".into(),
        mac: endpoint::mac_of(v4),
        mtu: 1500,
        isolated: false,
        addresses: vec![(address(at), 24)],
        gateways: vec![address("10.9.0.1")],
        ..Place::default()
    }
}

fn bridge() {
    let mut socket = Socket::route().unwrap();
    link::add_bridge(&mut socket, "br0", endpoint::mac_of([10, 9, 0, 1].into()), 1500).unwrap();
    let index = link::find(&mut socket, "br0").unwrap().unwrap().index;
    link::add_address(&mut socket, index, address("10.9.0.1"), 24).unwrap();
    link::add_address(&mut socket, index, address("10.9.0.1"), 24).unwrap();
    assert_eq!(link::addresses(&mut socket, index).unwrap(), [(address("10.9.0.1"), 24)]);
    let routes = link::routes(&mut socket).unwrap();
    assert_eq!(routes, [("10.9.0.0/24".parse().unwrap(), index)]);
    assert!(link::add_bridge(&mut socket, "br0", [2, 0, 0, 0, 0, 1], 1500).unwrap_err().to_string().contains("File exists"));
}

/// Answers one connection with `hello` and the address of who asked.
fn serve(inside: &File, port: u16) -> std::thread::JoinHandle<String> {
    let (ready, listening) = std::sync::mpsc::channel();
    let inside = inside.try_clone().unwrap();
    let server = std::thread::spawn(move || {
        dhow_network::namespace::inside(inside.as_fd(), || {
            let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
            ready.send(()).unwrap();
            let (mut stream, from) = listener.accept().unwrap();
            stream.write_all(b"hello").unwrap();
            Ok(from.ip().to_string())
        })
        .unwrap()
    });
    listening.recv().unwrap();
    server
}

fn hear(to: (&str, u16)) -> String {
    let mut text = String::new();
    let limit = std::time::Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&std::net::SocketAddr::new(address(to.0), to.1), limit).unwrap();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Of what is sent and of what comes, for the link of that name.
fn queues(socket: &mut Socket, name: &str) -> [Option<u32>; 2] {
    let [by_name, sent, received] = [3, 31, 32];
    let reply = socket.get(Message::new(18, 0).body(&[0; 16]).text(by_name, name)).unwrap();
    [sent, received].map(|kind| attributes(&reply.body[16..]).find(|(found, _)| *found == kind).map(|(_, value)| number(value)))
}

#[test]
fn an_endpoint_is_reached_and_closed() {
    alone(|| {
        bridge();
        let inside = namespace();
        endpoint::apply(&Plan { places: vec![place("veth1", "10.9.0.2")], ..Plan::default() }, inside.as_fd()).unwrap();
        let mut socket = Socket::route().unwrap();
        assert_eq!(queues(&mut socket, "veth1"), [Some(1); 2]);
        let there = dhow_network::namespace::inside(inside.as_fd(), || Ok(queues(&mut Socket::route().unwrap(), "eth0"))).unwrap();
        assert_eq!(there, [Some(1); 2]);
        let server = serve(&inside, 80);
        assert_eq!(hear(("10.9.0.2", 80)), "hello");
        assert_eq!(server.join().unwrap(), "10.9.0.1");
        endpoint::close(&["veth1".into(), "gone".into()]).unwrap();
        // The address is another's now, and that one is reached although the first still has it.
        let other = namespace();
        endpoint::apply(&Plan { places: vec![place("veth2", "10.9.0.2")], ..Plan::default() }, other.as_fd()).unwrap();
        let server = serve(&other, 80);
        assert_eq!(hear(("10.9.0.2", 80)), "hello");
        server.join().unwrap();
        endpoint::take_away("veth2").unwrap();
        endpoint::take_away("veth2").unwrap();
        let missing = endpoint::apply(
            &Plan { places: vec![Place { bridge: "none".into(), ..place("v3", "10.9.0.3") }], ..Plan::default() },
            other.as_fd(),
        );
        assert!(missing.unwrap_err().to_string().starts_with("find the bridge none: "));
    });
}

fn network() -> Network {
    Network {
        bridge: "br0".into(),
        subnets: vec!["10.9.0.0/24".parse().unwrap()],
        internal: false,
        icc: true,
        masquerade: true,
        modes: [Mode::Nat; 2],
        trusted: Vec::new(),
        direct: false,
    }
}

fn put(filter: &mut Socket, mappings: &[Mapping]) {
    let contents = Contents {
        networks: vec![network()],
        mappings: mappings.to_vec(),
        open: mappings.to_vec(),
        linked: None,
        only_ours: [true, false],
    };
    nft::commit(filter, nft::put(&table::table("t", &contents)), "put the table", "t").unwrap();
}

fn change(mappings: &[Mapping], add: bool) -> Vec<dhow_network::netlink::Message> {
    let elements = SETS.iter().zip(published::elements(mappings));
    elements.flat_map(|(kind, elements)| nft::change_elements(Family::Inet, "t", kind.name, &elements, add)).collect()
}

#[test]
fn a_port_is_published_by_the_table() {
    alone(|| {
        bridge();
        forward::disable(false).unwrap();
        assert!(forward::enable(false).unwrap() && !forward::enable(false).unwrap());
        let mut filter = Socket::netfilter().unwrap();
        let inside = namespace();
        endpoint::apply(&Plan { places: vec![place("veth1", "10.9.0.2")], ..Plan::default() }, inside.as_fd()).unwrap();
        let mut mapping =
            Mapping { protocol: Protocol::Tcp, host: address("0.0.0.0"), host_port: 8080, target: address("10.9.0.2"), target_port: 80 };
        put(&mut filter, &[mapping.clone()]);
        put(&mut filter, &[mapping.clone()]);
        let server = serve(&inside, 80);
        // From this namespace by an address of its own.
        assert_eq!(hear(("10.9.0.1", 8080)), "hello");
        server.join().unwrap();
        // As an element that comes and goes.
        mapping.host_port = 8081;
        let mapping = [mapping];
        nft::commit(&mut filter, change(&mapping, true), "publish", "t").unwrap();
        let server = serve(&inside, 80);
        assert_eq!(hear(("10.9.0.1", 8081)), "hello");
        server.join().unwrap();
        nft::commit(&mut filter, change(&mapping, false), "withdraw", "t").unwrap();
        assert!(TcpStream::connect(("10.9.0.1", 8081)).is_err());
        assert_eq!(nft::tables(&mut filter, Family::Inet).unwrap(), ["t"]);
        nft::commit(&mut filter, nft::remove("t", Family::Inet), "remove the table", "t").unwrap();
        nft::commit(&mut filter, nft::remove("t", Family::Inet), "remove the table", "t").unwrap();
        assert!(nft::tables(&mut filter, Family::Inet).unwrap().is_empty());
    });
}

fn range(protocol: Protocol, first: u16, count: u16, step: u16, moved: u16) -> Vec<Mapping> {
    let one = |number| {
        let port = first + number * step;
        let (host, target) = (address("0.0.0.0"), address("10.9.0.2"));
        Mapping { protocol, host, host_port: port, target, target_port: port + moved }
    };
    (0..count).map(one).collect()
}

#[test]
fn ten_thousand_ports_in_one_transaction() {
    alone(|| {
        let mut filter = Socket::netfilter().unwrap();
        let each = range(Protocol::Udp, 10_000, 10_000, 1, 1);
        put(&mut filter, &each);
        // What fails leaves everything as it was.
        let mut messages = change(&each[..1], false);
        messages.extend(messages.clone());
        assert!(nft::commit(&mut filter, messages, "withdraw", "t").is_err());
        nft::commit(&mut filter, change(&each[..1], false), "withdraw", "t").unwrap();
        // A row of which each has its own number inside is one interval.
        let row = range(Protocol::Tcp, 10_000, 10_000, 1, 0);
        assert_eq!(change(&row, true).len(), 1);
        nft::commit(&mut filter, change(&row, true), "publish", "t").unwrap();
        nft::commit(&mut filter, change(&row, false), "withdraw", "t").unwrap();
        assert!(nft::commit(&mut filter, change(&row, false), "withdraw", "t").is_err());
    });
}

#[test]
fn a_row_of_ports_is_published_as_an_interval() {
    alone(|| {
        bridge();
        let mut filter = Socket::netfilter().unwrap();
        let inside = namespace();
        endpoint::apply(&Plan { places: vec![place("veth1", "10.9.0.2")], ..Plan::default() }, inside.as_fd()).unwrap();
        put(&mut filter, &[]);
        let row = range(Protocol::Tcp, 8000, 100, 1, 0);
        nft::commit(&mut filter, change(&row, true), "publish", "t").unwrap();
        for port in [8000, 8050, 8099] {
            let server = serve(&inside, port);
            assert_eq!(hear(("10.9.0.1", port)), "hello");
            server.join().unwrap();
        }
        nft::commit(&mut filter, change(&row, false), "withdraw", "t").unwrap();
        assert!(TcpStream::connect(("10.9.0.1", 8050)).is_err());
    });
}

#[test]
fn a_rule_is_put_into_a_chain_of_others_and_taken_away() {
    alone(|| {
        let mut filter = Socket::netfilter().unwrap();
        // Somebody else's table, that stands in for one: its forward chain drops.
        let drops = nft::Hook { kind: "filter", number: 2, priority: 0, accept: false, link: None };
        let chain = nft::Chain { name: "FORWARD", hook: Some(drops), rules: vec![vec![nft::Expr::Do(nft::Verdict::Return)]] };
        let other = nft::Table { name: "filter".into(), family: Family::Ip, sets: Vec::new(), chains: vec![chain] };
        nft::commit(&mut filter, nft::put(&other), "put", "filter").unwrap();
        put(&mut filter, &[]);
        let rules = |filter: &mut Socket| nft::rules(filter, Family::Ip, "filter", "FORWARD").unwrap();
        for _ in 0..2 {
            let found = cooperate::apply(&mut filter, "t", true).unwrap();
            assert_eq!((found.len(), found[0].opened.as_deref()), (1, Some("ip filter FORWARD")));
            let all = rules(&mut filter);
            assert_eq!((all.len(), all[0].comment.as_str(), all[0].end.as_str()), (2, "dhow: t", "accept"));
        }
        let found = cooperate::apply(&mut filter, "t", false).unwrap();
        assert_eq!((found.len(), &found[0].opened, rules(&mut filter).len()), (1, &None, 1));
    });
}

/// Tracked connections of the namespace.
fn tracked() -> usize {
    std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").unwrap().trim().parse().unwrap()
}

#[test]
fn connections_are_forgotten_by_address_and_by_port() {
    alone(|| {
        let mut filter = Socket::netfilter().unwrap();
        put(&mut filter, &[]);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut send = |port: u16| socket.send_to(b"x", ("127.0.0.2", port)).map(|_| ()).unwrap();
        (6000..6040).for_each(&mut send);
        let before = tracked();
        assert!(before >= 40, "{before}");
        let ports = |first, count| range(Protocol::Udp, first, count, 1, 0);
        conntrack::forget_ports(&ports(6000, 3)).unwrap();
        assert_eq!(tracked(), before - 3);
        // So many that all are looked through.
        conntrack::forget_ports(&ports(6000, 30)).unwrap();
        assert_eq!(tracked(), before - 30);
        conntrack::forget_addresses(&[address("10.9.0.2"), address("fd00::2")]).unwrap();
        assert_eq!(tracked(), before - 30);
        conntrack::forget_addresses(&[address("127.0.0.1")]).unwrap();
        assert_eq!(tracked(), 0);
    });
}

#[test]
fn questions_for_names_arrive_and_nothing_is_tracked() {
    alone(|| {
        questions_for_names_arrive(Way::Rewriting);
        assert_eq!(tracked(), 0);
    });
}

#[test]
fn questions_for_names_arrive_by_translation() {
    alone(|| questions_for_names_arrive(Way::Translating));
}

fn questions_for_names_arrive(way: Way) {
    use rustix::net::{SendFlags, send};
    use std::net::UdpSocket;
    let there = File::open("/proc/thread-self/ns/net").unwrap();
    let sockets = resolver::open(there.as_fd(), &[way]).unwrap();
    // The port is free for the container's own servers.
    let (own, listener) = (UdpSocket::bind("0.0.0.0:53").unwrap(), TcpListener::bind("0.0.0.0:53").unwrap());
    let (udp, tcp) = (UdpSocket::from(sockets.udp), TcpListener::from(sockets.tcp));
    udp.set_nonblocking(false).unwrap();
    let mut bytes = [0; 9];
    for from in ["127.0.0.1:0", "10.9.0.7:0", "127.0.0.11:0"] {
        if from.starts_with("10") {
            let mut socket = Socket::route().unwrap();
            link::add_address(&mut socket, 1, address("10.9.0.7"), 32).unwrap();
        }
        // Connected: an answer from elsewhere would not be heard.
        let asker = UdpSocket::bind(from).unwrap();
        asker.connect("127.0.0.11:53").unwrap();
        // In two parts the kernel computes the checksum, which it does not in one.
        send(&asker, b"quest", SendFlags::MORE).unwrap();
        send(&asker, b"ion", SendFlags::empty()).unwrap();
        let (count, back) = udp.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..count], back), (&b"question"[..], asker.local_addr().unwrap()));
        udp.send_to(b"answer", back).unwrap();
        let count = asker.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"answer");
    }
    let mut asker = TcpStream::connect("127.0.0.11:53").unwrap();
    tcp.set_nonblocking(false).unwrap();
    let (mut answerer, _) = tcp.accept().unwrap();
    asker.write_all(b"question").unwrap();
    answerer.read_exact(&mut bytes[..8]).unwrap();
    answerer.write_all(b"answer").unwrap();
    asker.read_exact(&mut bytes[..6]).unwrap();
    assert_eq!(&bytes[..6], b"answer");
    // What is asked at other addresses is the container's own.
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.send_to(b"own", "127.0.0.1:53").unwrap();
    assert_eq!(own.recv(&mut bytes).unwrap(), 3);
    drop(listener);
}

#[test]
fn what_goes_by_is_limited() {
    alone(|| {
        bridge();
        let inside = namespace();
        let limits = limits::Limits { into: 1_250_000, out: 2_500_000, table: "limit-veth1".into() };
        let place = Place { limits, ..place("veth1", "10.9.0.2") };
        endpoint::apply(&Plan { places: vec![place], ..Plan::default() }, inside.as_fd()).unwrap();
        let mut socket = Socket::route().unwrap();
        let index = link::find(&mut socket, "veth1").unwrap().unwrap().index;
        assert_eq!(limits::of_link(&mut socket, index).unwrap(), Some(1_250_000));
        let tables = || nft::tables(&mut Socket::netfilter().unwrap(), Family::Netdev).unwrap();
        assert_eq!(tables(), ["limit-veth1"]);
        let server = serve(&inside, 80);
        assert_eq!(hear(("10.9.0.2", 80)), "hello");
        server.join().unwrap();
        limits::sweep("limit-", &|port| port == "veth1").unwrap();
        assert_eq!(tables().len(), 1);
        limits::sweep("limit-", &|_| false).unwrap();
        assert!(tables().is_empty());
        limits::remove("limit-veth1").unwrap();
    });
}

#[test]
fn links_that_share_a_wire() {
    alone(|| {
        bridge();
        let wire = namespace();
        // The parent is the end of a pair in a namespace that stands for the host.
        endpoint::apply(&Plan { places: vec![place("veth1", "10.9.0.9")], ..Plan::default() }, wire.as_fd()).unwrap();
        let mut socket = Socket::route().unwrap();
        if !link::knows(&mut socket, "macvlan").unwrap() {
            println!("SKIPPED: the kernel has no macvlan");
            return;
        }
        let shared = |name: &str, at: &str, sysctls: &[(&str, &str)]| {
            let there = namespace();
            let place = Place {
                bridge: "eth0".into(),
                port: String::new(),
                sharing: Some(link::Sharing::Macvlan(4)),
                name: name.into(),
                mac: [0; 6],
                mtu: 0,
                gateways: vec![address("0.0.0.0")],
                sysctls: sysctls.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
                ..place("", at)
            };
            let plan = Plan { places: vec![place], ..Plan::default() };
            dhow_network::namespace::inside(wire.as_fd(), || endpoint::apply(&plan, there.as_fd())).map(|_| there)
        };
        let one = shared("eth0", "10.9.0.21", &[("ipv4/conf/eth0/log_martians", "1")]).unwrap();
        let two = shared("lan7", "10.9.0.22", &[]).unwrap();
        let server = serve(&one, 80);
        assert_eq!(endpoint_hears(&two), "hello");
        server.join().unwrap();
        let inside = |there: &File, act: fn() -> String| dhow_network::namespace::inside(there.as_fd(), || Ok(act())).unwrap();
        assert_eq!(inside(&one, || std::fs::read_to_string("/proc/sys/net/ipv4/conf/eth0/log_martians").unwrap()), "1\n");
        // Everything is reached by the link itself.
        assert!(inside(&two, || std::fs::read_to_string("/proc/thread-self/net/route").unwrap()).contains("lan7\t00000000\t00000000"));
        let refused = shared("eth0", "10.9.0.23", &[("ipv4/conf/eth0/nosuch", "1")]).unwrap_err().to_string();
        assert!(refused.starts_with("write /proc/sys/net/ipv4/conf/eth0/nosuch: "), "{refused}");
        endpoint::take_away_inside(two.as_fd(), "lan7").unwrap();
        let gone = dhow_network::namespace::inside(two.as_fd(), || link::find(&mut Socket::route().unwrap(), "lan7"));
        assert_eq!(gone.unwrap(), None);
        assert!(!link::knows(&mut socket, "no-such-kind").unwrap());
    });
}

fn endpoint_hears(there: &File) -> String {
    dhow_network::namespace::inside(there.as_fd(), || Ok(hear(("10.9.0.21", 80)))).unwrap()
}

#[test]
fn links_of_vlans_and_ipvlan() {
    alone(|| {
        bridge();
        let wire = namespace();
        endpoint::apply(&Plan { places: vec![place("veth1", "10.9.0.9")], ..Plan::default() }, wire.as_fd()).unwrap();
        let on_the_wire = || {
            let mut socket = Socket::route().unwrap();
            let before = link::all(&mut socket).unwrap();
            let missing = ["vlan", "ipvlan"].map(|kind| (!link::knows(&mut socket, kind).unwrap()).then_some(kind));
            assert_eq!(link::all(&mut socket).unwrap(), before, "to look whether it knows one makes none");
            if let Some(kind) = missing.into_iter().flatten().next() {
                println!("SKIPPED: the kernel has no {kind}");
                return Ok(false);
            }
            if let Err(error) = link::add_dummy(&mut socket, "dm-1") {
                assert!(error.to_string().contains("(the kernel lacks this)"), "{error}");
                println!("SKIPPED: the kernel has no dummy");
                return Ok(false);
            }
            assert_eq!(link::find(&mut socket, "dm-1").unwrap().unwrap().kind, "dummy");
            let parent = link::find(&mut socket, "eth0").unwrap().unwrap().index;
            link::add_vlan(&mut socket, "eth0.10", parent, 10).unwrap();
            assert_eq!(link::find(&mut socket, "eth0.10").unwrap().unwrap().kind, "vlan");
            link::delete(&mut socket, "eth0.10").unwrap();
            link::delete(&mut socket, "dm-1").unwrap();
            Ok(true)
        };
        if !dhow_network::namespace::inside(wire.as_fd(), on_the_wire).unwrap() {
            return;
        }
        // At layer 2, then at layer 3, where everything is reached by the link itself.
        for (mode, gateways) in [(0, vec![address("10.9.0.1")]), (1, vec![address("0.0.0.0")]), (2, vec![address("0.0.0.0")])] {
            let shared = |at: &str| {
                let there = namespace();
                let place = Place {
                    bridge: "eth0".into(),
                    port: String::new(),
                    sharing: Some(link::Sharing::Ipvlan(mode, 0)),
                    mac: [0; 6],
                    mtu: 0,
                    gateways: gateways.clone(),
                    ..place("", at)
                };
                let plan = Plan { places: vec![place], ..Plan::default() };
                dhow_network::namespace::inside(wire.as_fd(), || endpoint::apply(&plan, there.as_fd())).unwrap();
                there
            };
            let (one, two) = (shared("10.9.0.21"), shared("10.9.0.22"));
            let server = serve(&one, 80);
            assert_eq!(endpoint_hears(&two), "hello", "mode {mode}");
            server.join().unwrap();
            for there in [one, two] {
                endpoint::take_away_inside(there.as_fd(), "eth0").unwrap();
            }
        }
    });
}
