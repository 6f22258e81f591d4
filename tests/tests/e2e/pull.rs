//! Pull, from Debian's registry on loopback.

use dhow_tests::archive::{Tar, rootfs};
use dhow_tests::peer::Dockerd;
use dhow_tests::registry::{Registry, digest, layer, media};
use dhow_tests::{Engine, Options};
use serde_json::json;

fn bare() -> Engine {
    Engine::with(Options { empty: true, ..Options::default() })
}

/// One small layer.
fn note(text: &str) -> Vec<u8> {
    Tar::new().file("note", 0o644, text.as_bytes()).finish()
}

fn short(layer: &(String, Vec<u8>, String)) -> String {
    digest(&layer.1)[7..19].to_owned()
}

fn digest_of(descriptor: &serde_json::Value) -> &str {
    descriptor["digest"].as_str().expect("a digest")
}

#[test]
fn layers_of_every_form_by_tag_and_by_digest() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    let layers = [layer(&rootfs().finish(), Some("gzip")), layer(&note("old"), Some("zstd")), layer(&note("new"), None)];
    let manifest = registry.image("forms", Some("1"), "amd64", &layers);
    let (name, wanted) = (registry.name("forms:1"), digest_of(&manifest));
    let out = engine.ok(&format!("pull {name}"));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "1: Pulling from forms");
    let ids: Vec<String> = layers.iter().map(short).collect();
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(lines[1 + number], format!("{id}: Pulling fs layer"));
        let of: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix(&format!("{id}: "))).collect();
        assert_eq!(of, ["Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"]);
    }
    let end = [format!("Digest: {wanted}"), format!("Status: Downloaded newer image for {name}"), name.clone()];
    assert_eq!(lines[lines.len() - 3..], end);
    assert_eq!(engine.ok(&format!("run --rm {name} cat /note")), "new");

    // The image is here: nothing about layers.
    let again = format!("1: Pulling from forms\nDigest: {wanted}\nStatus: Image is up to date for {name}\n{name}");
    assert_eq!(engine.ok(&format!("pull {name}")), again);
    let shown = engine.inspect(&name);
    assert_eq!(shown["RepoDigests"], json!([registry.name(&format!("forms@{wanted}"))]));

    engine.ok(&format!("rmi {name}"));
    assert_eq!(engine.ok("images -q -a"), "");
    let pinned = registry.name(&format!("forms@{wanted}"));
    let out = engine.ok(&format!("pull {pinned}"));
    assert!(out.starts_with(&format!("{wanted}: Pulling from forms\n")), "{out}");
    assert!(out.ends_with(&format!("Status: Downloaded newer image for {pinned}\n{pinned}")), "{out}");
    assert_eq!(engine.inspect(&pinned)["RepoTags"], json!([]));
    assert_eq!(engine.ok(&format!("pull -q {pinned}")), pinned);
    engine.finish();
}

#[test]
fn an_index_gives_the_image_for_the_platform() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    let mut entries = Vec::new();
    for (architecture, platform) in [
        ("arm64", json!({"architecture": "arm64", "os": "linux", "variant": "v8"})),
        ("amd64", json!({"architecture": "unknown", "os": "unknown"})),
        ("amd64", json!({"architecture": "amd64", "os": "linux"})),
    ] {
        let text = platform.to_string();
        let mut entry = registry.image("multi", None, architecture, &[layer(&note(&text), Some("gzip"))]);
        entry["platform"] = platform;
        entries.push(entry);
    }
    let index = registry.document(
        "multi",
        Some("latest"),
        media::INDEX,
        &json!({ "schemaVersion": 2, "mediaType": media::INDEX, "manifests": entries }),
    );
    let name = registry.name("multi");
    let out = engine.ok(&format!("pull {name}"));
    assert!(out.starts_with("Using default tag: latest\nlatest: Pulling from multi\n"), "{out}");
    assert!(out.contains(&format!("Digest: {}\n", digest_of(&index))), "{out}");
    let shown = engine.inspect(&name);
    let native = digest(&note(&json!({"architecture": "amd64", "os": "linux"}).to_string()));
    assert_eq!((&shown["Architecture"], &shown["RootFS"]["Layers"]), (&json!("amd64"), &json!([native])));
    engine.ok(&format!("pull -q --platform linux/arm64 {name}"));
    assert_eq!(engine.inspect(&name)["Architecture"], "arm64");
    let error = engine.run(&format!("pull --platform linux/s390x {name}")).fails(1);
    assert_eq!(error, "no matching manifest for linux/s390x in the manifest list entries\n");
    engine.finish();
}

#[test]
fn what_is_not_there() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    registry.image("some", Some("1"), "amd64", &[layer(&note("x"), None)]);
    let check = |name: &str, expect: &str| {
        assert_eq!(engine.run(&format!("pull {name}")).fails(1), format!("Error response from daemon: {expect}\n"));
    };
    let unknown = "manifest unknown: manifest unknown";
    check(&registry.name("some:2"), &format!("manifest for {} not found: {unknown}", registry.name("some:2")));
    check(&registry.name("none:1"), &format!("manifest for {} not found: {unknown}", registry.name("none:1")));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    check(&format!("{closed}/x:1"), &format!("Get \"http://{closed}/v2/\": dial tcp {closed}: connect: connection refused"));
    assert_eq!(engine.ok("images -q -a"), "");
    engine.finish();
}

#[test]
fn content_that_lies_leaves_nothing() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    let (kind, bytes, _) = layer(&note("x"), Some("gzip"));
    registry.image("lies", Some("1"), "amd64", &[layer(&note("fine"), Some("gzip")), (kind, bytes, digest(b"something else"))]);
    let error = engine.run(&format!("pull {}", registry.name("lies:1"))).fails(1);
    assert!(error.starts_with("failed to register layer: invalid diffID for layer 1: "), "{error}");
    assert_eq!(engine.ok("images -q -a"), "");
    for place in ["images/blobs/sha256", "layers/layers"] {
        let left = std::fs::read_dir(engine.data_root().join(place)).expect("a directory").count();
        assert_eq!(left, 0, "{place}");
    }
    engine.finish();
}

#[test]
fn run_and_create_pull_what_is_missing() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    registry.image("box", Some("latest"), "amd64", &[layer(&rootfs().finish(), Some("gzip"))]);
    let name = registry.name("box");
    let refused = engine.run(&format!("run --rm --pull never {name} true")).fails(125);
    assert!(refused.contains(&format!("No such image: {name}:latest")), "{refused}");
    let out = engine.run(&format!("run --rm {name} echo ran"));
    assert!(
        out.stderr().starts_with(&format!("Unable to find image '{name}:latest' locally\nlatest: Pulling from box\n")),
        "{}",
        out.stderr()
    );
    assert_eq!(out.ok(), "ran");
    let out = engine.run(&format!("run --rm --pull always {name} echo again"));
    assert!(out.stderr().ends_with(&format!("Status: Image is up to date for {name}:latest\n")), "{}", out.stderr());
    assert_eq!(out.ok(), "again");
    engine.ok(&format!("rmi {name}"));
    let id = engine.ok(&format!("create --pull missing -q {name} true"));
    assert_eq!(id.len(), 64);
    engine.ok(&format!("rm {id}"));
    engine.finish();
}

#[test]
fn every_tag_of_a_repository() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    for tag in ["1", "2", "old"] {
        registry.image("tags", Some(tag), "amd64", &[layer(&note("shared"), Some("gzip")), layer(&note(tag), None)]);
    }
    engine.ok(&format!("pull -a {}", registry.name("tags")));
    let mut tags: Vec<String> = engine.ok("images --format {{.Tag}}").lines().map(str::to_owned).collect();
    tags.sort();
    assert_eq!(tags, ["1", "2", "old"]);
    engine.finish();
}

/// All but the words that dockerd leaves out when another one follows soon: its watchers hear the newest alone.
fn heard(out: &str) -> Vec<&str> {
    let passing = [": Verifying Checksum", ": Download complete"];
    out.lines().filter(|line| !passing.iter().any(|word| line.ends_with(word))).collect()
}

#[test]
fn the_same_words_as_dockerd() {
    let Some(registry) = Registry::start() else { return };
    let Some(peer) = Dockerd::start() else { return };
    let engine = bare();
    let shared = layer(&rootfs().finish(), Some("gzip"));
    registry.image("same", Some("1"), "amd64", std::slice::from_ref(&shared));
    registry.image("same", Some("2"), "amd64", &[shared, layer(&note("2"), Some("gzip"))]);
    for words in
        [vec!["pull", "same:1"], vec!["pull", "same:1"], vec!["pull", "same:2"], vec!["pull", "-q", "same:2"], vec!["pull", "same:3"]]
    {
        let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let name = words.pop().expect("a name");
        words.push(registry.name(&name));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Some(ours) = engine.docker(&words) else { return };
        let (ours, theirs) = (ours.run(), peer.docker(&words).run());
        assert_eq!((heard(&ours.stdout()), ours.stderr()), (heard(&theirs.stdout()), theirs.stderr()), "{words:?}");
    }
    let list = ["images", "--digests", "--no-trunc", "--format", "{{.Repository}} {{.Tag}} {{.Digest}} {{.ID}}"];
    // None of them says when it was made: their order is anybody's.
    let sorted = |out: String| out.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(engine.docker(list).expect("checked").ok()), sorted(peer.docker(&list).ok()));
    engine.finish();
}
