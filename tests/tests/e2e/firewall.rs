//! The packet filters of others, where nothing of ours is put into them.

use crate::network::{hear, server};
use dhow_tests::engine::Options;
use dhow_tests::{Cmd, Engine, until};

fn warnings(engine: &Engine) -> String {
    engine.dhow(["info", "--format", "{{range .Warnings}}{{println .}}{{end}}"]).ok()
}

#[test]
fn what_is_lost_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("daemon.json");
    std::fs::write(&file, r#"{"firewall-cooperate":false,"default-address-pools":[{"base":"10.66.0.0/16","size":24}]}"#).expect("a file");
    let flags = vec!["--config-file".to_owned(), file.to_string_lossy().into_owned()];
    let engine = Engine::with(Options { network: true, flags, ..Options::default() });
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    server(&engine, "web", "-p 8080:80");
    assert!(outside.run(|| hear("10.77.0.1:8080")).expect("the port").contains("hello"));
    engine.host().run(|| Cmd::new("iptables").args(["-P", "FORWARD", "DROP"]).ok());
    let lost = "WARNING: ip filter FORWARD drops what it does not know: published ports and what containers ask for outside are lost there";
    until("it is told", || warnings(&engine).contains(lost));
    assert!(outside.run(|| hear("10.77.0.1:8080")).is_err());
    assert!(!engine.host().run(|| Cmd::new("nft").args(["list", "ruleset"]).ok()).contains("comment"));
    engine.host().run(|| Cmd::new("iptables").args(["-P", "FORWARD", "ACCEPT"]).ok());
    until("it is not told any more", || !warnings(&engine).contains("FORWARD"));
    assert!(outside.run(|| hear("10.77.0.1:8080")).expect("the port").contains("hello"));
    engine.host().run(|| Cmd::new("nft").args(["delete", "table", "ip", "filter"]).ok());
    // What is reachable, and where subnets come from.
    let shown = engine.ok("info");
    assert!(shown.contains("Firewall Backend: nftables\n  Reachable from outside: web 0.0.0.0:8080/tcp [::]:8080/tcp\n"), "{shown}");
    assert!(shown.contains("Default Address Pools:\n   Base: 10.66.0.0/16, Size: 24\n"), "{shown}");
    engine.finish();
}

#[test]
fn iptables_legacy_is_told_of() {
    let engine = crate::network::engine();
    let set = |policy: &str| engine.host().run(|| Cmd::new("iptables-legacy").args(["-P", "FORWARD", policy]).run());
    assert!(!warnings(&engine).contains("iptables-legacy"));
    // A kernel without it has nothing to tell.
    if set("DROP").code == 0 {
        assert!(warnings(&engine).contains("WARNING: FORWARD of iptables-legacy drops"), "{}", warnings(&engine));
        assert_eq!(set("ACCEPT").code, 0);
        assert!(!warnings(&engine).contains("iptables-legacy"));
    }
    engine.finish();
}
