//! Images for several platforms that came as one index: gathered, shown, saved, loaded and pushed as one.

use dhow_tests::archive::{Tar, rootfs};
use dhow_tests::registry::{Registry, digest, layer, media};
use dhow_tests::{Engine, Options, http};
use serde_json::{Value, json};

const ATTESTATION: &str = "application/vnd.in-toto+json";

fn bare() -> Engine {
    Engine::with(Options { empty: true, ..Options::default() })
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// An index as BuildKit makes it: an image and an attestation for each platform. Gives its descriptor.
fn index(registry: &Registry, repository: &str) -> Value {
    let mut entries = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let own = Tar::new().file("made-for", 0o644, architecture.as_bytes()).finish();
        let mut entry = registry.image(repository, None, architecture, &[layer(&rootfs().finish(), Some("gzip")), layer(&own, None)]);
        entry["platform"] = json!({ "architecture": architecture, "os": "linux" });
        let statement = registry.blob(repository, ATTESTATION, format!("{{\"about\":\"{architecture}\"}}").as_bytes());
        let config = registry.blob(repository, media::CONFIG, format!("{{\"of\":\"{architecture}\"}}").as_bytes());
        let manifest = json!({ "schemaVersion": 2, "mediaType": media::MANIFEST, "config": config, "layers": [statement] });
        let mut attestation = registry.document(repository, None, media::MANIFEST, &manifest);
        attestation["annotations"] =
            json!({ "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": entry["digest"] });
        attestation["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
        entries.extend([entry, attestation]);
    }
    let document = json!({ "schemaVersion": 2, "mediaType": media::INDEX, "manifests": entries });
    registry.document(repository, Some("1"), media::INDEX, &document)
}

/// What is below a directory of the data root.
fn left(engine: &Engine, place: &str) -> usize {
    std::fs::read_dir(engine.data_root().join(place)).expect("a directory").count()
}

fn get(engine: &Engine, path: &str) -> Value {
    let answer = http::get(&engine.socket(), path).expect("an answer");
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn architecture(engine: &Engine, words: &[&str]) -> String {
    engine.dhow(["image", "inspect", "--format", "{{.Architecture}}"]).args(words).ok()
}

/// Pulls both platforms, amd64 last.
fn gather(engine: &Engine, name: &str) {
    engine.ok(&format!("pull -q --platform linux/arm64 {name}"));
    engine.ok(&format!("pull -q --platform linux/amd64 {name}"));
}

#[test]
fn platforms_are_gathered_and_shown_as_one() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    let top = index(&registry, "multi");
    let name = registry.name("multi:1");
    engine.ok(&format!("pull -q {name}"));
    let listed = |words: &str| engine.ok(words).lines().count();
    assert_eq!(architecture(&engine, &[&name]), "amd64");
    let manifests = |path: &str| -> Vec<(bool, String)> {
        let list = get(&engine, path);
        let list = if list.is_array() { list[0]["Manifests"].clone() } else { list["Manifests"].clone() };
        list.as_array()
            .map_or_else(Vec::new, |list| list.iter().map(|one| (one["Available"] == true, text(&one["Kind"]).to_owned())).collect())
    };
    let shown = |of: [bool; 4]| -> Vec<(bool, String)> {
        of.into_iter().zip(["image", "attestation", "image", "attestation"]).map(|(here, kind)| (here, kind.to_owned())).collect()
    };
    // Without a platform only what is needed comes.
    assert_eq!(manifests("/v1.47/images/json?manifests=1"), shown([true, false, false, false]));
    assert_eq!(manifests("/v1.47/images/json"), []);
    assert_eq!(manifests("/v1.46/images/json?manifests=1"), []);

    // Another platform is added; the name means what was asked for last, as on Docker.
    engine.ok(&format!("pull -q --platform linux/arm64 {name}"));
    assert_eq!(architecture(&engine, &[&name]), "arm64");
    assert_eq!(architecture(&engine, &["--platform", "linux/amd64", &name]), "amd64");
    let wrong = engine.dhow(["image", "inspect", "--platform", "linux/s390x", &name]).run().fails(1);
    let found = "was found but its platform (linux/arm64) does not match the specified platform (linux/s390x)";
    assert!(wrong.contains(found), "{wrong}");
    assert_eq!((listed("images -q"), listed("images -q -a"), listed("images -q -f dangling=true")), (1, 2, 0));
    assert_eq!(engine.ok("image prune -f"), "Total reclaimed space: 0B");
    assert_eq!(manifests(&format!("/v1.48/images/{name}/json?manifests=1")), shown([true, false, true, true]));
    let inspected = get(&engine, &format!("/v1.48/images/{name}/json?manifests=1"));
    assert_eq!(inspected["Descriptor"]["digest"], top["digest"]);
    assert_eq!(inspected["RepoDigests"], json!([registry.name(&format!("multi@{}", text(&top["digest"])))]));
    let platforms = json!({ "architecture": "arm64", "os": "linux" });
    assert_eq!(inspected["Manifests"][2]["ImageData"]["Platform"], platforms);
    assert_eq!(inspected["Manifests"][3]["AttestationData"]["For"], inspected["Manifests"][2]["ID"]);
    let both = http::get(&engine.socket(), &format!("/v1.49/images/{name}/json?manifests=1&platform=%7B%22os%22:%22linux%22%7D"));
    let both = both.expect("an answer");
    assert_eq!(both.status, 400, "{}", String::from_utf8_lossy(&both.body));

    // What is asked for by platform is used, whatever the name means.
    assert_eq!(engine.ok(&format!("run --rm --pull never --platform linux/amd64 {name} cat /made-for")), "amd64");
    assert_eq!(engine.ok(&format!("history -q --platform linux/amd64 {name}")), engine.ok(&format!("history -q --platform amd64 {name}")));
    let tree = engine.ok("images --tree");
    assert!(tree.contains("├─ linux/amd64") && tree.contains("└─ linux/arm64"), "{tree}");

    // The last name takes everything along.
    engine.ok(&format!("rmi {name}"));
    assert_eq!((left(&engine, "images/blobs/sha256"), left(&engine, "layers/layers")), (0, 0));
    engine.finish();
}

#[test]
fn one_platform_of_several_is_removed() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    index(&registry, "multi");
    let name = registry.name("multi:1");
    gather(&engine, &name);
    engine.ok(&format!("rmi --platform linux/arm64 {name}"));
    assert_eq!(architecture(&engine, &[&name]), "amd64");
    engine.dhow(["image", "inspect", "--platform", "linux/arm64", &name]).run().fails(1);
    engine.ok(&format!("tag {name} other:1"));
    engine.ok(&format!("rmi {name}"));
    assert_eq!(architecture(&engine, &["other:1"]), "amd64");
    engine.finish();
}

#[test]
fn a_whole_index_is_pushed_under_its_digest() {
    let Some(registry) = Registry::start() else { return };
    let Some(second) = Registry::start() else { return };
    let engine = bare();
    let top = index(&registry, "multi");
    let (name, there) = (registry.name("multi:1"), second.name("copy:2"));
    engine.ok(&format!("pull -q {name}"));
    engine.ok(&format!("tag {name} {there}"));

    // Only one platform is here: it is pushed, and that is said.
    let Some(docker) = engine.docker(["push", &there]) else { return };
    let out = docker.run();
    let note = "Not all multiplatform-content is present and only the available single-platform image was pushed";
    assert!(format!("{}{}", out.stdout(), out.stderr()).contains(note), "{}{}", out.stdout(), out.stderr());
    let own = engine.run(&format!("push {there}"));
    assert!(format!("{}{}", own.stdout(), own.stderr()).contains(note), "{}{}", own.stdout(), own.stderr());
    assert_ne!(digest(&second.bytes("/v2/copy/manifests/2", &format!("{}, {}", media::INDEX, media::MANIFEST))), text(&top["digest"]));

    gather(&engine, &name);
    engine.ok(&format!("tag {name} {there}"));
    let out = engine.ok(&format!("push {there}"));
    assert!(out.ends_with(&format!("2: digest: {} size: {}", text(&top["digest"]), top["size"])), "{out}");
    assert_eq!(second.bytes("/v2/copy/manifests/2", media::INDEX), registry.bytes("/v2/multi/manifests/1", media::INDEX));
    engine.ok(&format!("push --platform linux/arm64 {}", {
        engine.ok(&format!("tag {name} {}", second.name("one:1")));
        second.name("one:1")
    }));
    let entries: Value = serde_json::from_slice(&second.bytes("/v2/copy/manifests/2", media::INDEX)).expect("JSON");
    assert_eq!(digest(&second.bytes("/v2/one/manifests/1", media::MANIFEST)), text(&entries["manifests"][2]["digest"]));

    // Who has never seen the first registry gets all of it from the second.
    engine.ok(&format!("rmi {name} {there} {}", second.name("one:1")));
    assert_eq!(left(&engine, "images/blobs/sha256"), 0);
    gather(&engine, &there);
    assert_eq!(engine.ok(&format!("run --rm --pull never --platform linux/arm64 {there} cat /made-for")), "arm64");
    engine.finish();
}

#[test]
fn archives_carry_all_platforms_or_one() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    let top = index(&registry, "multi");
    let name = registry.name("multi:1");
    gather(&engine, &name);
    let dir = engine.scratch("archives");
    let (whole, one) = (dir.join("whole.tar"), dir.join("one.tar"));
    let (whole, one) = (whole.to_str().expect("a path"), one.to_str().expect("a path"));
    engine.ok(&format!("save -o {whole} {name}"));
    engine.ok(&format!("save --platform linux/arm64 -o {one} {name}"));
    engine.ok(&format!("rmi {name}"));

    assert_eq!(engine.ok(&format!("load -q -i {whole}")), format!("Loaded image: {name}"));
    assert_eq!(architecture(&engine, &[&name]), "amd64");
    assert_eq!(architecture(&engine, &["--platform", "linux/arm64", &name]), "arm64");
    assert_eq!((engine.ok("images -q").lines().count(), engine.ok("images -q -a").lines().count()), (1, 2));
    engine.ok(&format!("tag {name} {}", registry.name("again:1")));
    let out = engine.ok(&format!("push {}", registry.name("again:1")));
    assert!(out.contains(text(&top["digest"])), "{out}");
    engine.ok(&format!("rmi {name} {}", registry.name("again:1")));

    engine.ok(&format!("load -q --platform linux/arm64 -i {whole}"));
    assert_eq!((architecture(&engine, &[&name]).as_str(), engine.ok("images -q -a").lines().count()), ("arm64", 1));
    engine.ok(&format!("rmi {name}"));
    engine.ok(&format!("load -q -i {one}"));
    assert_eq!((architecture(&engine, &[&name]).as_str(), engine.ok("images -q -a").lines().count()), ("arm64", 1));
    engine.ok(&format!("rmi {name}"));
    assert_eq!((left(&engine, "images/blobs/sha256"), left(&engine, "layers/layers")), (0, 0));
    engine.finish();
}
