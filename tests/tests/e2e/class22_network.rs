//! Class 22: isolation of networks (CVE-2025-54388 and 2025-54410 after a reload of the firewall, 2020-13401 router advertisements,
//! 2024-32473 IPv6 where there is to be none). Names asked from internal networks (CVE-2024-29018) are in `networks`.

use crate::network::{engine, hear, server};
use dhow_tests::{Cmd, Engine, until};

fn sh(engine: &Engine, script: &str) -> String {
    engine.host().run(|| Cmd::new("sh").args(["-ec", script]).ok())
}

#[test]
fn class22_cve_2025_54388_reloads_open_nothing() {
    let engine = engine();
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    outside.run(|| Cmd::new("ip").args("route add default via 10.77.0.1".split(' ')).ok());
    for (name, subnet) in [("one", "10.121.0.0/24"), ("two", "10.122.0.0/24")] {
        engine.ok(&format!("network create --subnet {subnet} {name}"));
    }
    server(&engine, "web", "--network one --ip 10.121.0.9 -p 8080:80 -p 127.0.0.1:8081:80");
    engine.ok("run -d --init --name other --network two busybox sleep 1000");
    let reloads = [
        "true",
        "iptables-save > /dev/null; iptables -F; iptables -X; iptables -P FORWARD ACCEPT",
        "printf '*filter\\n:INPUT ACCEPT\\n:FORWARD ACCEPT\\n:OUTPUT ACCEPT\\nCOMMIT\\n' | iptables-restore",
        "nft flush ruleset",
        "nft delete table inet $(nft list tables inet | sed -n 's/.* \\(dhow[^ ]*\\)$/\\1/p')",
    ];
    for reload in reloads {
        sh(&engine, reload);
        // Whatever was taken is there again when the way in is.
        until("the published port", || outside.run(|| hear("10.77.0.1:8080")).is_ok_and(|text| text.contains("hello")));
        for closed in ["10.77.0.1:8081", "10.121.0.9:80", "10.121.0.9:8081"] {
            assert!(outside.run(|| hear(closed)).is_err(), "{closed} after {reload}");
        }
        let across = engine.dhow(["exec", "other", "wget", "-T", "1", "-qO-", "http://10.121.0.9"]).run();
        assert_ne!(across.code, 0, "between networks after {reload}: {across}");
    }
    sh(&engine, "nft delete table ip filter 2>/dev/null || true");
    engine.finish();
}

#[test]
fn class22_cve_2020_13401_no_router_is_believed() {
    let engine = engine();
    engine.ok("network create --ipv6 --subnet 10.121.0.0/24 --subnet fd00:121::/64 -o com.docker.network.bridge.name=brdual dual");
    let setting = |link: &str, name: &str| sh(&engine, &format!("cat /proc/sys/net/ipv6/conf/{link}/{name}")).trim().to_owned();
    let bridge = engine.dhow(["network", "inspect", "bridge", "-f", "{{index .Options \"com.docker.network.bridge.name\"}}"]).ok();
    assert_eq!([setting(bridge.trim(), "accept_ra"), setting(bridge.trim(), "disable_ipv6")], ["0", "1"]);
    assert_eq!([setting("brdual", "accept_ra"), setting("brdual", "disable_ipv6")], ["0", "0"]);
    // Nor has a container of a network without IPv6 an address of it (CVE-2024-32473).
    assert_eq!(
        engine.shell("", "cat /proc/net/if_inet6 | grep -c eth0; cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6").stdout().trim(),
        "0\n1"
    );
    engine.finish();
}
