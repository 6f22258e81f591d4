//! Push, to Debian's registry on loopback.

use dhow_tests::archive::{Tar, rootfs};
use dhow_tests::peer::{self, Dockerd};
use dhow_tests::registry::{Registry, layer, media};
use dhow_tests::{Cmd, Engine, Options, http, paths};
use serde_json::{Value, json};

fn bare() -> Engine {
    Engine::with(Options { empty: true, ..Options::default() })
}

fn note(text: &str) -> Vec<u8> {
    Tar::new().file("note", 0o644, text.as_bytes()).finish()
}

/// The short id of a layer, from the bottom.
fn diff(engine: &Engine, name: &str, number: usize) -> String {
    engine.inspect(name)["RootFS"]["Layers"][number].as_str().expect("a layer")[7..19].to_owned()
}

#[test]
fn what_was_pulled_is_pushed_under_its_digests() {
    let Some(registry) = Registry::start() else { return };
    let Some(second) = Registry::start() else { return };
    let engine = bare();
    let layers = [layer(&rootfs().finish(), Some("gzip")), layer(&note("zstd"), Some("zstd")), layer(&note("plain"), None)];
    let manifest = registry.image("a/b", Some("1"), "amd64", &layers);
    let digest = manifest["digest"].as_str().expect("a digest");
    let size = &manifest["size"];
    engine.ok(&format!("pull -q {}", registry.name("a/b:1")));
    // To another registry: everything is sent.
    let there = second.name("c:2");
    engine.ok(&format!("tag {} {there}", registry.name("a/b:1")));
    let out = engine.ok(&format!("push {there}"));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], format!("The push refers to repository [{}]", second.name("c")));
    for (number, at) in [(2, 1), (1, 2), (0, 3)] {
        let id = diff(&engine, &there, number);
        assert_eq!(lines[at], format!("{id}: Preparing"));
        let of: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix(&format!("{id}: "))).collect();
        assert_eq!(of, ["Preparing", "Pushed"]);
    }
    assert_eq!(lines.last(), Some(&format!("2: digest: {digest} size: {size}").as_str()));
    assert_eq!(second.bytes("/v2/c/manifests/2", media::MANIFEST), registry.bytes("/v2/a/b/manifests/1", media::MANIFEST));
    assert!(engine.inspect(&there)["RepoDigests"].as_array().expect("digests").contains(&json!(second.name(&format!("c@{digest}")))));

    // Once more: nothing is sent. Under another name of the same registry: it is mounted.
    let again = engine.ok(&format!("push {there}"));
    assert_eq!(again.matches("Layer already exists").count(), 3, "{again}");
    engine.ok(&format!("tag {there} {}", second.name("d:1")));
    let mounted = engine.ok(&format!("push {}", second.name("d:1")));
    assert_eq!(mounted.matches("Mounted from c").count(), 3, "{mounted}");
    assert_eq!(engine.ok(&format!("push -q {}", second.name("d:1"))), second.name("d:1"));

    // What was pushed runs where it was never pulled.
    engine.ok(&format!("rmi -f {}", engine.inspect(&there)["Id"].as_str().expect("an id")));
    assert_eq!(engine.ok(&format!("run --rm -q {there} cat /note")), "plain");
    engine.finish();
}

#[test]
fn what_was_made_here_is_pushed_the_same_each_time() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    engine.load("busybox");
    engine.dhow(["run", "--name", "made", "busybox", "sh", "-c", "echo mine > /mine"]).ok();
    engine.ok(&format!("commit made {}", registry.name("made")));
    let digest_of = |out: &str| out.lines().last().expect("a line").split(' ').nth(2).expect("a digest").to_owned();
    let out = engine.ok(&format!("push {}", registry.name("made")));
    assert!(out.starts_with("Using default tag: latest\n"), "{out}");
    assert_eq!(out.matches(": Pushed").count(), 2, "{out}");
    // The bytes that were made are kept: the second time they are the same.
    let again = engine.ok(&format!("push {}", registry.name("made")));
    assert_eq!(digest_of(&again), digest_of(&out));
    assert_eq!(again.matches("Layer already exists").count(), 2, "{again}");
    let manifest: Value = serde_json::from_slice(&registry.bytes("/v2/made/manifests/latest", media::DOCKER)).expect("JSON");
    assert_eq!(manifest["mediaType"], media::DOCKER);
    for kind in manifest["layers"].as_array().expect("layers").iter().map(|layer| &layer["mediaType"]) {
        assert_eq!(kind, "application/vnd.docker.image.rootfs.diff.tar.gzip");
    }
    // Its id is the same for who pulls it.
    let id = engine.inspect(&registry.name("made"))["Id"].clone();
    engine.ok("rm made");
    engine.ok(&format!("rmi -f {}", id.as_str().expect("an id")));
    engine.ok(&format!("pull -q {}", registry.name("made")));
    assert_eq!(engine.inspect(&registry.name("made"))["Id"], id);
    assert_eq!(engine.ok(&format!("run --rm {} cat /mine", registry.name("made"))), "mine");
    engine.finish();
}

#[test]
fn what_cannot_be_pushed() {
    let Some(registry) = Registry::locked() else { return };
    let engine = bare();
    engine.load("busybox");
    let check = |words: &str, expect: &str| assert_eq!(engine.run(words).fails(1), format!("{expect}\n"), "{words}");
    check(&format!("push {}", registry.name("none")), &format!("An image does not exist locally with the tag: {}", registry.name("none")));
    engine.ok(&format!("tag busybox {}", registry.name("x:1")));
    check(&format!("push {}", registry.name("x:2")), &format!("tag does not exist: {}", registry.name("x:2")));
    check(&format!("push {}", registry.name("x:1")), "no basic auth credentials");
    check(&format!("push -a {}", registry.name("x:1")), "tag can't be used with --all-tags/-a");
    check(&format!("push {}@sha256:{}", registry.name("x"), "a".repeat(64)), "cannot push a digest reference");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    engine.ok(&format!("tag busybox {closed}/x"));
    check(&format!("push {closed}/x"), &format!("Get \"http://{closed}/v2/\": dial tcp {closed}: connect: connection refused"));
    engine.finish();
}

#[test]
fn the_same_words_as_dockerd() {
    let Some(registry) = Registry::start() else { return };
    let Some(theirs) = Registry::start() else { return };
    let Some(own) = Registry::start() else { return };
    let Some(peer) = Dockerd::start() else { return };
    let engine = bare();
    engine.load("busybox");
    peer.docker(&["load", "-q", "-i", &paths::image("busybox").to_string_lossy()]).ok();
    let sessions: [(&Registry, &dyn Fn(&[&str]) -> Option<Cmd>); 3] = [
        (&theirs, &|words| Some(peer.docker(words))),
        (&registry, &|words| engine.docker(words)),
        (&own, &|words| Some(engine.dhow(words))),
    ];
    let mut heard = Vec::new();
    for (registry, command) in sessions {
        let mut all = String::new();
        for words in [
            vec!["tag", "busybox", "R:1"],
            vec!["tag", "busybox", "R:2"],
            vec!["push", "R:1"],
            vec!["push", "R:1"],
            vec!["push", "-a", "R"],
            vec!["push", "-q", "R:2"],
            vec!["push", "R"],
            vec!["push", "R:3"],
            vec!["tag", "busybox", "Ro:1"],
            vec!["push", "Ro:1"],
        ] {
            let name = registry.name("r");
            let words: Vec<String> = words.iter().map(|word| word.replace('R', &name)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let Some(command) = command(&words) else { return };
            let out = command.run();
            all.push_str(&format!("{}\n{}{}", out.code, out.stdout(), out.stderr()).replace(&name, "R"));
        }
        heard.push(all);
    }
    // The bytes of an archive that was compressed differ from program to program, and with them the manifest's digest.
    let plain = |text: &String| {
        let words = text.split(' ').map(|word| if word.starts_with("sha256:") { "sha256:X" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(plain(&heard[1]), plain(&heard[0]));
    assert_eq!(plain(&heard[2]), plain(&heard[0]));
    engine.finish();
}

#[test]
fn distribution_and_search_answer_from_the_registry() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    let manifest = registry.image("some", Some("1"), "arm64", &[layer(&note("x"), Some("gzip"))]);
    let get = |path: &str| {
        let answer = http::get(&engine.socket(), path).expect("an answer");
        (answer.status, serde_json::from_slice::<Value>(&answer.body).expect("JSON"))
    };
    let (status, found) = get(&format!("/distribution/{}/json", registry.name("some:1")));
    assert_eq!(status, 200, "{found}");
    let descriptor = json!({"mediaType": manifest["mediaType"], "digest": manifest["digest"], "size": manifest["size"]});
    assert_eq!(found, json!({"Descriptor": descriptor, "Platforms": [{"architecture": "arm64", "os": "linux"}]}));
    let mut entry = manifest;
    entry["platform"] = json!({"architecture": "arm64", "os": "linux", "variant": "v8"});
    registry.document("some", Some("all"), media::INDEX, &json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": [entry]}));
    let (_, found) = get(&format!("/distribution/{}/json", registry.name("some:all")));
    assert_eq!(found["Platforms"], json!([{"architecture": "arm64", "os": "linux", "variant": "v8"}]));
    let (status, error) = get(&format!("/distribution/{}/json", registry.name("some:no")));
    assert_eq!((status, error), (404, json!({"message": "manifest unknown: manifest unknown"})));

    let error = engine.run(&format!("search {}", registry.name("x"))).fails(1);
    assert_eq!(error, "Error response from daemon: Unexpected status code 404\n");
    let error = engine.run("search --limit 101 x").fails(1);
    assert_eq!(error, "Error response from daemon: limit 101 is outside the range of [1, 100]\n");
    let error = engine.run("search --filter colour=red x").fails(1);
    assert_eq!(error, "Error response from daemon: invalid filter 'colour'\n");
    engine.finish();
}

#[test]
fn a_copy_through_docker_us_and_podman_is_the_same_image() {
    let Some(registry) = Registry::start() else { return };
    let Some(peer) = Dockerd::start() else { return };
    let engine = bare();
    let (first, second) = (registry.name("first:1"), registry.name("second:1"));
    peer.docker(&["load", "-q", "-i", &paths::image("busybox").to_string_lossy()]).ok();
    peer.docker(&["tag", "busybox", &first]).ok();
    peer.docker(&["push", "-q", &first]).ok();
    let digest = dhow_tests::registry::digest(&registry.bytes("/v2/first/manifests/1", media::DOCKER));

    engine.ok(&format!("pull -q {first}"));
    engine.ok(&format!("tag {first} {second}"));
    engine.ok(&format!("push -q {second}"));
    assert_eq!(dhow_tests::registry::digest(&registry.bytes("/v2/second/manifests/1", media::DOCKER)), digest);
    let id = engine.inspect(&second)["Id"].as_str().expect("an id").to_owned();

    peer.docker(&["pull", "-q", &second]).ok();
    assert_eq!(peer.docker(&["images", "-q", "--no-trunc", &second]).ok(), id);
    let digests = peer.docker(&["inspect", "--format", "{{.RepoDigests}}", &second]).ok();
    assert!(digests.contains(&registry.name(&format!("second@{digest}"))), "{digests}");

    // What was made here is the same for them.
    engine.dhow(["run", "--name", "made", &second, "sh", "-c", "echo mine > /mine"]).ok();
    let made = registry.name("made:1");
    engine.ok(&format!("commit made {made}"));
    engine.ok("rm made");
    engine.ok(&format!("push -q {made}"));
    let id = engine.inspect(&made)["Id"].as_str().expect("an id").to_owned();
    peer.docker(&["pull", "-q", &made]).ok();
    assert_eq!(peer.docker(&["images", "-q", "--no-trunc", &made]).ok(), id);

    let Some(podman) = peer::containers("podman", &engine.scratch("podman")) else { return };
    podman(&["pull", "-q", "--tls-verify=false", &made]).ok();
    assert_eq!(podman(&["images", "-q", "--no-trunc", &made]).ok(), id);
    let third = registry.name("third:1");
    podman(&["tag", &made, &third]).ok();
    podman(&["push", "-q", "--tls-verify=false", &third]).ok();
    engine.ok(&format!("pull -q {third}"));
    assert_eq!(engine.inspect(&third)["Id"], id.as_str());
    engine.finish();
}
