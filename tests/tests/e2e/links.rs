//! Links on the default network: variables, hosts entries, names.

use crate::network::engine;
use dhow_tests::Engine;
use serde_json::json;

fn hosts(engine: &Engine, container: &str) -> String {
    format!("{}\n", engine.dhow(["exec", container, "cat", "/etc/hosts"]).ok())
}

fn address(engine: &Engine, container: &str) -> String {
    engine.inspect(container)["NetworkSettings"]["IPAddress"].as_str().expect("an address").to_owned()
}

#[test]
fn a_link_tells_where_another_one_is() {
    let engine = engine();
    engine.ok("run -d --init --name db --hostname dbhost --expose 80 --expose 81 --expose 53/udp -e A=1 -e HOME=/x busybox sleep 1000");
    engine.ok("run -d --init --name web --hostname webhost --link db --link db:d-b busybox sleep 1000");
    let at = address(&engine, "db");
    let told = engine.dhow(["exec", "web", "env"]).ok();
    for line in [
        format!("D_B_PORT=tcp://{at}:80"),
        format!("D_B_PORT_80_TCP_END=tcp://{at}:81"),
        format!("D_B_PORT_53_UDP_ADDR={at}"),
        "D_B_NAME=/web/d-b".to_owned(),
        "DB_NAME=/web/db".to_owned(),
        "DB_ENV_A=1".to_owned(),
    ] {
        assert!(told.lines().any(|have| have == line), "{line} in {told}");
    }
    assert!(!told.contains("ENV_HOME"), "{told}");
    // What its own program was started with is the same.
    assert!(engine.dhow(["exec", "web", "cat", "/proc/1/environ"]).ok().contains("D_B_NAME=/web/d-b"));
    let text = hosts(&engine, "web");
    assert!(text.contains(&format!("\n{at}\tdb dbhost\n{at}\td-b dbhost db\n")), "{text}");
    assert!(engine.dhow(["exec", "web", "ping", "-c1", "-W5", "d-b"]).ok().contains(&at));
    assert_eq!(engine.inspect("web")["HostConfig"]["Links"], json!(["/db:/web/db", "/db:/web/d-b"]));
    assert_eq!(engine.dhow(["ps", "--no-trunc", "--format", "{{.Names}}"]).ok(), "web\ndb,web/d-b,web/db");
    assert_eq!(engine.dhow(["ps", "--format", "{{.Names}}"]).ok(), "web\ndb");
    assert_eq!(engine.inspect("web/d-b")["Name"], "/db");

    // The other one comes back at another address, and what somebody wrote into the file stays.
    engine.dhow(["exec", "web", "sh", "-c", "echo 1.2.3.4 mine >> /etc/hosts"]).ok();
    engine.ok("stop -t 0 db");
    assert!(engine.dhow(["exec", "web", "env"]).ok().contains("HOSTNAME=webhost"), "an exec while the other one rests");
    engine.ok("run -d --init --name between busybox sleep 1000");
    engine.ok("start db");
    let now = address(&engine, "db");
    assert_ne!(now, at);
    dhow_tests::until("the hosts file tells the new address", || hosts(&engine, "web").contains(&format!("\n{now}\td-b dbhost db\n")));
    let text = hosts(&engine, "web");
    assert!(text.contains("\n1.2.3.4 mine\n") && !text.contains(&format!("\n{at}\t")), "{text}");

    // Other names for both.
    engine.ok("rename web front");
    engine.ok("rename db back");
    assert_eq!(engine.inspect("front")["HostConfig"]["Links"], json!(["/back:/front/db", "/back:/front/d-b"]));
    dhow_tests::until("the hosts file tells the new name", || hosts(&engine, "front").contains("\td-b dbhost back\n"));

    // A link goes, then what the other one leads to.
    assert_eq!(engine.dhow(["rm", "--link", "front/db"]).ok(), "front/db");
    assert_eq!(engine.inspect("front")["HostConfig"]["Links"], json!(["/back:/front/d-b"]));
    assert!(!hosts(&engine, "front").contains("\tdb "));
    engine.stop_daemon();
    engine.start_daemon();
    assert_eq!(engine.inspect("front/d-b")["Name"], "/back", "links outlive the daemon");
    assert!(engine.dhow(["exec", "front", "env"]).ok().contains(&format!("D_B_PORT=tcp://{now}:80")));
    engine.ok("rm -f back");
    assert_eq!(engine.inspect("front")["HostConfig"]["Links"], json!(null));
    engine.ok("restart -t 0 front");
    engine.finish();
}

#[test]
fn where_containers_are_kept_apart_a_link_opens_what_is_exposed() {
    let flags = ["--icc=false"].map(str::to_owned).into();
    let engine = Engine::with(dhow_tests::Options { network: true, flags, ..dhow_tests::Options::default() });
    let serve = "for port in 80 81; do while :; do echo from-$port | nc -l -p $port; done & done; sleep 1000";
    engine.dhow(["run", "-d", "--init", "--name", "db", "--expose", "80", "busybox", "sh", "-c", serve]).ok();
    engine.ok("run -d --init --name web --link db busybox sleep 1000");
    engine.ok("run -d --init --name other busybox sleep 1000");
    let ask = |who: &str, at: &str, port: u16| {
        let words = format!("nc -w 2 {at} {port} < /dev/null");
        engine.dhow(["exec", who, "sh", "-c", &words]).run().stdout()
    };
    let only_the_link = |what: &str| {
        let at = address(&engine, "db");
        dhow_tests::until("the link leads somewhere", || ask("web", "db", 80).trim() == "from-80");
        assert_eq!(ask("web", &at, 81).trim(), "", "{what}: a port that is not exposed");
        assert_eq!(ask("other", &at, 80).trim(), "", "{what}: one that has no link");
        assert_eq!(ask("db", &address(&engine, "web"), 80).trim(), "", "{what}: the other way");
    };
    only_the_link("at first");
    engine.kill_daemon();
    engine.start_daemon();
    only_the_link("with the next daemon");
    engine.ok("restart -t 0 db");
    only_the_link("after a restart");
    // Who gets the address of one that linked has no link.
    let was = address(&engine, "web");
    engine.ok("rm -f web");
    engine.ok("run -d --init --name heir busybox sleep 1000");
    assert_eq!(address(&engine, "heir"), was);
    assert_eq!(ask("heir", &address(&engine, "db"), 80).trim(), "");
    engine.finish();
}

#[test]
fn links_that_cannot_be() {
    let engine = engine();
    engine.ok("run -d --init --name db busybox sleep 1000");
    engine.ok("run -d --init --name alone --network none busybox sleep 1000");
    engine.ok("run -d --init --name hosted --network host busybox sleep 1000");
    engine.ok("create --name resting busybox true");
    let refused = |words: &str, expect: &str| {
        let done = engine.run(words);
        assert!(done.code != 0 && done.stderr().contains(expect), "{words}: {done}");
    };
    let host = "conflicting options: host type networking can't be used with links. This would result in undefined behavior";
    refused("run --rm --link nosuch busybox true", "could not get container for nosuch: No such container: nosuch");
    refused("run --rm --link a:b:c busybox true", "bad format for links: a:b:c");
    refused("run --rm --link hosted:x busybox true", host);
    refused("run --rm --network host --link db:x busybox true", host);
    refused(
        "run --rm --network container:db --link db:x busybox true",
        "conflicting options: container type network can't be used with links. This would result in undefined behavior",
    );
    refused("run --rm --link alone:x busybox true", "Cannot link to /alone, as it does not belong to the default network");
    refused("run --rm --name ww --link resting:x busybox true", "Cannot link to a non running container: /resting AS /ww/x");
    refused("rm --link db", "Conflict, cannot remove the default link name of the container");
    refused("rm --link db/nosuch", "No such container: db/nosuch");
    // One that shares another's network stands for that one.
    engine.ok("run -d --init --name shares --network container:db busybox sleep 1000");
    let text = engine.ok("run --rm --link shares:x busybox cat /etc/hosts");
    assert!(text.contains(&format!("{}\tx ", address(&engine, "db"))), "{text}");
    // Without the default network there is nothing to link.
    engine.ok("run --rm --network none --link db:x busybox true");
    engine.ok("rm -f alone hosted resting");
    engine.finish();
}
