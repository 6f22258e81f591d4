//! Archives in: load and import.

use std::os::unix::fs::MetadataExt;

use dhow_tests::archive::{Tar, rootfs};
use dhow_tests::{Cmd, Engine, Options, paths, skip};

fn bare() -> Engine {
    Engine::with(Options { empty: true, ..Options::default() })
}

#[test]
fn load_tells_what_it_loaded() {
    let engine = bare();
    let archive = paths::image("busybox");
    assert_eq!(engine.dhow(["load", "-i"]).args([&archive]).ok(), "Loaded image: busybox:latest");
    // Again, from standard input: the same image.
    let id = engine.ok("images -q --no-trunc");
    let again = engine.dhow(["load"]).stdin(std::fs::File::open(&archive).expect("the archive")).ok();
    assert_eq!(again, "Loaded image: busybox:latest");
    assert_eq!(engine.ok("images -q --no-trunc"), id);
    let shown = engine.inspect("busybox");
    assert_eq!(shown["RepoTags"], serde_json::json!(["busybox:latest"]));
    assert_eq!((shown["Os"].as_str(), shown["Architecture"].as_str()), (Some("linux"), Some("amd64")));
    assert_eq!(shown["Config"]["Cmd"], serde_json::json!(["sh"]));
    engine.finish();
}

#[test]
fn docker_client_loads() {
    let engine = bare();
    if let Some(load) = engine.docker(["load", "-i"]) {
        assert_eq!(load.args([paths::image("busybox")]).ok(), "Loaded image: busybox:latest");
        assert_eq!(engine.docker(["run", "--rm", "busybox", "echo", "loaded"]).expect("checked").ok(), "loaded");
    }
    engine.finish();
}

#[test]
fn compressed_archives() {
    let engine = bare();
    let dir = engine.scratch("archives");
    let plain = paths::image("busybox");
    for (program, ending) in [("gzip", "gz"), ("zstd", "zst"), ("xz", "xz")] {
        let Some(packer) = paths::program(program) else {
            skip(&format!("{program} is not installed"));
            continue;
        };
        if program == "xz" {
            continue; // Docker asks an xz program for these; here they come with the images issue.
        }
        let packed = dir.join(format!("busybox.tar.{ending}"));
        let out = Cmd::new(packer).args(["-c"]).args([&plain]).run();
        std::fs::write(&packed, out.bytes()).expect("write");
        assert_eq!(engine.dhow(["load", "-i"]).args([&packed]).ok(), "Loaded image: busybox:latest", "{program}");
        assert_eq!(engine.ok("run --rm busybox echo fine"), "fine");
        engine.ok("rmi busybox");
    }
    engine.finish();
}

#[test]
fn import_makes_an_image_of_a_tree() {
    let engine = bare();
    let tar = engine.scratch("archives").join("tree.tar");
    std::fs::write(&tar, rootfs().dir("srv/").file("srv/file", 0o640, b"content\n").symlink("srv/link", "file").finish()).expect("write");
    let id =
        engine.dhow(["import", "-c", "CMD [\"cat\", \"/srv/link\"]", "-c", "ENV A=b", "-m", "made"]).args([&tar]).args(["tree:v1"]).ok();
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    assert_eq!(engine.ok("run --rm tree:v1"), "content");
    assert_eq!(engine.dhow(["run", "--rm", "tree:v1", "stat", "-c", "%a %u %g %F", "/srv/file"]).ok(), "640 0 0 regular file");
    let bytes = std::fs::read(&tar).expect("read");
    let piped = engine.dhow(["import", "-", "piped"]).input(bytes).ok();
    assert!(piped.starts_with("sha256:"), "{piped}");
    assert_eq!(engine.ok("run --rm piped echo piped"), "piped");
    engine.finish();
}

#[test]
fn whiteouts_between_layers() {
    let engine = bare();
    // Two layers by hand: the second removes a file, and makes a directory opaque.
    let base = rootfs().dir("d/").file("d/gone", 0o644, b"x").file("d/kept", 0o644, b"x").dir("o/").file("o/old", 0o644, b"x").finish();
    let top = Tar::new()
        .dir("d/")
        .file("d/.wh.gone", 0o644, b"")
        .dir("o/")
        .file("o/.wh..wh..opq", 0o644, b"")
        .file("o/new", 0o644, b"x")
        .finish();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": { "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [digest(&engine, &base), digest(&engine, &top)] },
    });
    let manifest = serde_json::json!([{ "Config": "c.json", "RepoTags": ["two:layers"], "Layers": ["a.tar", "b.tar"] }]);
    let archive = Tar::new()
        .file("manifest.json", 0o644, manifest.to_string().as_bytes())
        .file("a.tar", 0o644, &base)
        .file("b.tar", 0o644, &top)
        .file("c.json", 0o644, config.to_string().as_bytes())
        .finish();
    assert_eq!(engine.dhow(["load"]).input(archive).ok(), "Loaded image: two:layers");
    assert_eq!(engine.ok("run --rm two:layers ls /d /o"), "/d:\nkept\n\n/o:\nnew");
    engine.finish();
}

fn digest(engine: &Engine, bytes: &[u8]) -> String {
    let file = engine.scratch("digest").join("bytes");
    std::fs::write(&file, bytes).expect("write");
    format!("sha256:{}", &Cmd::new("sha256sum").args([&file]).ok()[..64])
}

#[test]
fn a_pull_without_a_registry_says_so() {
    let engine = bare();
    let out = engine.run("pull nosuch");
    assert_ne!(out.code, 0, "{out}");
    engine.finish();
}

/// Bytes on disk below the data root's images and layers, each file once, however many names it has.
fn on_disk(engine: &Engine) -> u64 {
    engine.settled();
    fn walk(dir: &std::path::Path, seen: &mut std::collections::BTreeMap<u64, u64>) {
        for entry in std::fs::read_dir(dir).expect("a directory") {
            let entry = entry.expect("an entry");
            let meta = entry.metadata().expect("a file");
            if meta.is_dir() {
                walk(&entry.path(), seen);
            } else {
                seen.insert(meta.ino(), meta.blocks() * 512);
            }
        }
    }
    let mut seen = std::collections::BTreeMap::new();
    for place in ["images/blobs", "images/ingest", "images/tmp", "layers/layers", "layers/tmp"] {
        walk(&engine.data_root().join(place), &mut seen);
    }
    seen.values().sum()
}

/// Every blob and every layer goes with the last image that needs it, in the moment in which that goes, and not before.
#[test]
fn disk_is_given_back_at_once() {
    const LARGE: u64 = 4 << 20;
    let engine = Engine::with(Options { empty: true, ..Options::default() });
    // Nothing that compresses, and nothing that is sparse.
    let content =
        |salt: u32| -> Vec<u8> { (0..LARGE as u32 / 4).flat_map(|n| (n ^ salt).wrapping_mul(2_654_435_761).to_le_bytes()).collect() };
    let archive = |name: &str, layers: &[&[u8]]| {
        let diffs: Vec<String> = layers.iter().map(|layer| dhow_tests::registry::digest(layer)).collect();
        let config = serde_json::json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diffs } });
        let names: Vec<String> = (0..layers.len()).map(|number| format!("layer{number}.tar")).collect();
        let manifest = serde_json::json!([{ "Config": "config.json", "RepoTags": [name], "Layers": names }]);
        let tar = names.iter().zip(layers).fold(Tar::new(), |tar, (name, layer)| tar.file(name, 0o644, layer));
        let tar = tar.file("config.json", 0o644, config.to_string().as_bytes());
        let path = engine.scratch("archives").join("one.tar");
        std::fs::write(&path, tar.file("manifest.json", 0o644, manifest.to_string().as_bytes()).finish()).expect("an archive");
        engine.dhow(["load", "-q", "-i"]).args([path]).ok();
    };
    let layer = |salt: u32| Tar::new().file(&format!("f{salt}"), 0o644, &content(salt)).finish();
    let (shared, first, second) = (layer(1), layer(2), layer(3));
    archive("first:1", &[&shared, &first]);
    let one = on_disk(&engine);
    assert!(one >= 2 * LARGE, "{one}");
    archive("second:1", &[&shared, &second]);
    let both = on_disk(&engine);
    // The shared layer is there once.
    assert!((one + LARGE..one + one).contains(&both), "{one} {both}");
    engine.ok("rmi first:1");
    assert_eq!(on_disk(&engine), one);
    engine.ok("rmi second:1");
    assert_eq!(on_disk(&engine), 0);
    engine.finish();
}
