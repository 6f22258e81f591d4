//! Images that go through skopeo, buildah and podman, by a registry and by archives, and come back as what they were.

use dhow_tests::archive::{Tar, rootfs};
use dhow_tests::peer::containers;
use dhow_tests::registry::{Registry, digest, layer, media};
use dhow_tests::{Engine, Options};
use serde_json::Value;

fn bare() -> Engine {
    Engine::with(Options { empty: true, ..Options::default() })
}

fn note(text: &str) -> Vec<u8> {
    Tar::new().file("note", 0o644, text.as_bytes()).finish()
}

/// An image of two layers as OCI has it; gives the digest of its manifest.
fn image(registry: &Registry, repository: &str) -> String {
    let layers = [layer(&rootfs().finish(), Some("gzip")), layer(&note("second"), Some("gzip"))];
    registry.image(repository, Some("1"), "amd64", &layers)["digest"].as_str().expect("a digest").to_owned()
}

/// What must stay the same wherever it goes: its configuration and its layers' content.
fn facts(engine: &Engine, name: &str) -> (Value, Value) {
    let shown = engine.inspect(name);
    (shown["Id"].clone(), shown["RootFS"]["Layers"].clone())
}

fn manifest(registry: &Registry, repository: &str) -> String {
    digest(&registry.bytes(&format!("/v2/{repository}/manifests/1"), &format!("{}, {}", media::MANIFEST, media::DOCKER)))
}

#[test]
fn skopeo_keeps_every_digest_between_registries_and_archives() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    let dir = engine.scratch("skopeo");
    let Some(skopeo) = containers("skopeo", &dir) else { return };
    let wanted = image(&registry, "first");
    let name = registry.name("first:1");
    engine.ok(&format!("pull -q {name}"));
    let known = facts(&engine, &name);
    let path = |file: &str| dir.join(file).display().to_string();
    let copy = |from: &str, to: &str| skopeo(&["copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", from, to]).ok();
    let at = |repository: &str| format!("docker://{}", registry.name(&format!("{repository}:1")));

    // Our push, their copy, our pull.
    engine.ok(&format!("tag {name} {}", registry.name("ours:1")));
    engine.ok(&format!("push -q {}", registry.name("ours:1")));
    copy(&at("ours"), &at("theirs"));
    assert_eq!((manifest(&registry, "ours"), manifest(&registry, "theirs")), (wanted.clone(), wanted.clone()));

    // Our archive in both of its forms, to a registry.
    engine.ok(&format!("save -o {} {name}", path("ours.tar")));
    copy(&format!("oci-archive:{}", path("ours.tar")), &at("by-oci"));
    assert_eq!(manifest(&registry, "by-oci"), wanted);
    copy(&format!("docker-archive:{}", path("ours.tar")), &at("by-docker"));

    // Their archives.
    copy(&at("first"), &format!("oci-archive:{}:named:1", path("oci.tar")));
    copy(&at("first"), &format!("docker-archive:{}:named:2", path("docker.tar")));
    let all = [&name, &registry.name("ours:1")];
    engine.dhow(["rmi"]).args(all).ok();
    let loaded = |archive: &str| engine.ok(&format!("load -q -i {}", path(archive)));
    assert_eq!(loaded("oci.tar"), "Loaded image: named:1");
    assert_eq!(facts(&engine, "named:1"), known);
    // The archive's manifest is the one that goes out again.
    engine.ok(&format!("tag named:1 {}", registry.name("again:1")));
    engine.ok(&format!("push -q {}", registry.name("again:1")));
    assert_eq!(manifest(&registry, "again"), wanted);
    engine.ok(&format!("rmi named:1 {}", registry.name("again:1")));
    assert_eq!(loaded("docker.tar"), "Loaded image: named:2");
    assert_eq!(facts(&engine, "named:2"), known);
    engine.ok("rmi named:2");
    for repository in ["theirs", "by-oci", "by-docker"] {
        let name = registry.name(&format!("{repository}:1"));
        engine.ok(&format!("pull -q {name}"));
        assert_eq!(facts(&engine, &name), known, "{repository}");
        assert_eq!(engine.ok(&format!("run --rm {name} cat /note")), "second");
        engine.ok(&format!("rmi {name}"));
    }
    engine.finish();
}

/// A program that keeps images itself, with its words for archives.
fn keeps_images(program: &'static str, save: impl Fn(&str, &str) -> Vec<String>, load: impl Fn(&str) -> Vec<String>) {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    let dir = engine.scratch(program);
    let Some(run) = containers(program, &dir) else { return };
    let run = |words: &[&str]| run(words).ok();
    let wanted = image(&registry, "first");
    let name = registry.name("first:1");
    engine.ok(&format!("pull -q {name}"));
    let known = facts(&engine, &name);
    let id = known.0.as_str().expect("an id").to_owned();
    let path = |file: &str| dir.join(file).display().to_string();
    let ids = || run(&["images", "-q", "--no-trunc"]);

    // From us by a registry, and from them by it.
    engine.ok(&format!("tag {name} {}", registry.name("ours:1")));
    engine.ok(&format!("push -q {}", registry.name("ours:1")));
    assert_eq!(manifest(&registry, "ours"), wanted);
    run(&["pull", "-q", "--tls-verify=false", &registry.name("ours:1")]);
    assert_eq!(ids(), id);
    let theirs = registry.name("theirs:1");
    run(&["tag", &registry.name("ours:1"), &theirs]);
    run(&["push", "-q", "--tls-verify=false", &theirs]);
    engine.ok(&format!("pull -q {theirs}"));
    assert_eq!(facts(&engine, &theirs), known);

    // From them by archives.
    for form in ["docker-archive", "oci-archive"] {
        let words = save(&format!("{form}:{}", path(form)), &theirs);
        run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
    engine.ok(&format!("save -o {} {name}", path("ours.tar")));
    engine.ok(&format!("rmi {name} {theirs} {}", registry.name("ours:1")));
    for form in ["docker-archive", "oci-archive"] {
        let said = engine.ok(&format!("load -q -i {}", path(form)));
        let loaded = said.rsplit(": ").next().expect("a name").to_owned();
        assert_eq!(facts(&engine, &loaded), known, "{form}: {said}");
        engine.ok(&format!("rmi -f {loaded}"));
    }

    // From us by an archive.
    run(&["rmi", "-f", &id]);
    assert_eq!(ids(), "");
    for form in ["docker-archive", "oci-archive"] {
        let words = load(&format!("{form}:{}", path("ours.tar")));
        run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ids(), id, "{form}");
        run(&["rmi", "-f", &id]);
    }
    engine.finish();
}

#[test]
fn podman_gives_back_what_it_got() {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let save = |archive: &str, name: &str| {
        let (form, path) = archive.split_once(':').expect("a form");
        words(&["save", "-q", "--format", form, "-o", path, name])
    };
    keeps_images("podman", save, |archive| words(&["pull", "-q", archive]));
}

#[test]
fn buildah_gives_back_what_it_got() {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let save = |archive: &str, name: &str| words(&["push", "-q", name, &format!("{archive}:{name}")]);
    keeps_images("buildah", save, |archive| words(&["pull", "-q", archive]));
}
