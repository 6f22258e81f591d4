//! Compressed bytes of layers that are not kept.

use dhow_tests::archive::{Tar, rootfs};
use dhow_tests::registry::{Registry, digest, layer, media};
use dhow_tests::{Engine, Options};
use serde_json::Value;

fn engine(flags: &[&str]) -> Engine {
    Engine::with(Options { empty: true, flags: flags.iter().map(ToString::to_string).collect(), ..Options::default() })
}

fn manifest(registry: &Registry, repository: &str) -> String {
    digest(&registry.bytes(&format!("/v2/{repository}/manifests/1"), &format!("{}, {}", media::MANIFEST, media::DOCKER)))
}

/// Files of the content store.
fn blobs(engine: &Engine) -> usize {
    std::fs::read_dir(engine.data_root().join("images/blobs/sha256")).expect("a directory").count()
}

/// `system df`: bytes of layers.
fn counted(engine: &Engine) -> Value {
    let df = dhow_tests::http::get(&engine.socket(), "/v1.43/system/df?type=image").expect("an answer");
    serde_json::from_slice::<Value>(&df.body).expect("JSON")["LayersSize"].clone()
}

#[test]
fn dropped_bytes_are_made_again_for_a_push() {
    let Some(registry) = Registry::start() else { return };
    let (keeps, drops) = (engine(&[]), engine(&["--storage-opt", "dhow.compressed=drop"]));
    let note = Tar::new().file("note", 0o644, b"second").finish();
    registry.image("first", Some("1"), "amd64", &[layer(&rootfs().finish(), Some("gzip")), layer(&note, Some("zstd"))]);
    let [first, second, third] = ["first", "second", "third"].map(|repository| registry.name(&format!("{repository}:1")));
    for engine in [&keeps, &drops] {
        engine.ok(&format!("pull -q {first}"));
        assert_eq!(engine.ok(&format!("run --rm {first} cat /note")), "second");
    }
    // A configuration, a manifest, two layers.
    let tars = drops.ok("info").contains("Layers: tar+erofs");
    assert_eq!((blobs(&keeps), blobs(&drops)), (4, if tars { 2 } else { 4 }));
    assert_eq!(counted(&keeps), counted(&drops));

    for name in [&second, &third] {
        drops.ok(&format!("tag {first} {name}"));
        drops.ok(&format!("push -q {name}"));
        drops.settled();
    }
    assert_eq!(manifest(&registry, "second"), manifest(&registry, "third"));
    // The manifest that was made stays; what was compressed for it does not.
    assert_eq!(blobs(&drops), if tars { 3 } else { 4 });
    let known = drops.inspect(&first)["RootFS"].clone();
    keeps.ok(&format!("rmi {first}"));
    keeps.ok(&format!("pull -q {second}"));
    assert_eq!(keeps.inspect(&second)["RootFS"], known);
    assert_eq!(keeps.ok(&format!("run --rm {second} cat /note")), "second");

    // An archive has what is there.
    let saved = drops.scratch("saved").join("saved.tar");
    drops.dhow(["save", &first, "-o"]).args([&saved]).ok();
    keeps.ok(&format!("rmi {second}"));
    keeps.dhow(["load", "-q", "-i"]).args([&saved]).ok();
    assert_eq!(keeps.inspect(&first)["RootFS"], known);

    drops.ok(&format!("rmi {first} {second} {third}"));
    assert_eq!((blobs(&drops), counted(&drops)), (0, Value::from(0)));
    keeps.finish();
    drops.finish();
}
