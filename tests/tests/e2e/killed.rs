//! Engines that are killed at any moment while they work on images: what is there afterwards is what was there before or what was asked for,
//! byte for byte, and nothing else.

use dhow_tests::{Cmd, Engine, Options, finish_child};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Kills of each kind of work.
const KILLS: u32 = 15;

/// What of images is on disk, and what the engine says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    images: usize,
    /// `system df`: bytes of layers.
    counted: i64,
    blobs: usize,
    /// Every file of every layer with its bytes.
    layers: BTreeMap<String, u64>,
    /// What should always be empty.
    halves: Vec<String>,
}

impl State {
    fn of(engine: &Engine) -> Self {
        // Else the records of layers are about to change.
        engine.settled();
        let df = dhow_tests::http::get(&engine.socket(), "/v1.43/system/df?type=image").expect("an answer");
        let df: Value = serde_json::from_slice(&df.body).expect("JSON");
        let mut layers = BTreeMap::new();
        files(&engine.data_root().join("layers/layers"), "", &mut layers);
        let mut blobs = BTreeMap::new();
        files(&engine.data_root().join("images/blobs/sha256"), "", &mut blobs);
        let mut halves = BTreeMap::new();
        for place in ["images/tmp", "images/ingest", "layers/tmp"] {
            files(&engine.data_root().join(place), place, &mut halves);
        }
        let counted = df["LayersSize"].as_i64().expect("a size");
        assert_eq!(counted, on_disk(&engine.data_root().join("layers/layers")), "what is counted is what is there");
        Self {
            images: engine.ok("images -q -a").lines().count(),
            counted,
            blobs: blobs.len(),
            layers,
            halves: halves.into_keys().collect(),
        }
    }
}

/// Every file below a directory, and every directory that has nothing in it.
fn files(dir: &Path, name: &str, found: &mut BTreeMap<String, u64>) {
    let entries: Vec<_> = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry")).collect();
    for entry in entries {
        let below = format!("{name}/{}", entry.file_name().to_string_lossy());
        let meta = entry.metadata().expect("a file");
        if meta.is_dir() {
            files(&entry.path(), &below, found);
            found.insert(below, 0);
        } else {
            found.insert(below, meta.len());
        }
    }
}

/// Bytes of the files and links in all layers, each inode once: in directories, or in the tars as tar lists them.
fn on_disk(layers: &Path) -> i64 {
    let mut bytes = 0;
    for layer in std::fs::read_dir(layers).expect("a directory") {
        let layer = layer.expect("an entry").path();
        if layer.join("fs").exists() {
            bytes += content(&layer.join("fs"), &mut BTreeSet::new());
            continue;
        }
        let listed = Cmd::new("tar").args(["-tvf"]).args([layer.join("layer.tar")]).ok();
        for line in listed.lines() {
            bytes += match line.as_bytes()[0] {
                b'-' => line.split_whitespace().nth(2).expect("a size").parse().expect("a number"),
                b'l' => line.rsplit_once(" -> ").expect("a target").1.len() as i64,
                _ => 0,
            };
        }
    }
    bytes
}

fn content(dir: &Path, seen: &mut BTreeSet<u64>) -> i64 {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| {
            let meta = entry.metadata().expect("a file");
            match meta.file_type() {
                kind if kind.is_dir() => content(&entry.path(), seen),
                kind if (kind.is_file() || kind.is_symlink()) && seen.insert(meta.ino()) => meta.len() as i64,
                _ => 0,
            }
        })
        .sum()
}

/// A number below another one, different each time.
fn random(below: u128) -> u64 {
    let any = u128::from(std::collections::hash_map::RandomState::new().build_hasher().finish());
    u64::try_from(any % below.max(1)).expect("it is small")
}

/// Does the work undisturbed, to know both states; then again and again, and kills the engine in its midst. `undo` leads back to the first.
fn kill_during(engine: &Engine, work: &dyn Fn() -> Cmd, undo: &dyn Fn()) {
    let before = State::of(engine);
    let began = Instant::now();
    work().ok();
    let takes = began.elapsed();
    let after = State::of(engine);
    assert_ne!(before, after);
    undo();
    assert_eq!(State::of(engine), before);
    for number in 0..KILLS {
        let child = work().spawn();
        // The end of the command is a moment like any other.
        let moment = Duration::from_micros(random(takes.as_micros() * 12 / 10));
        std::thread::sleep(moment);
        engine.kill_daemon();
        let _its_answer_is_anything = finish_child(child);
        engine.start_daemon();
        let now = State::of(engine);
        assert!(now == before || now == after, "kill {number} after {moment:?} of {takes:?}: {now:#?}");
        if now == after {
            undo();
            assert_eq!(State::of(engine), before, "kill {number}");
        }
    }
}

#[test]
fn slow_killed_while_loading_and_removing() {
    let engine = Engine::with(Options { empty: true, ..Options::default() });
    let archive = dhow_tests::paths::image("busybox");
    let load = || engine.dhow(["load", "-q", "-i"]).args([&archive]);
    kill_during(&engine, &load, &|| drop(engine.ok("rmi -f busybox")));
    load().ok();
    kill_during(&engine, &|| engine.dhow(["rmi", "busybox"]), &|| drop(load().ok()));
    kill_during(&engine, &|| engine.dhow(["image", "prune", "-a", "-f"]), &|| drop(load().ok()));
    engine.ok("rmi busybox");
    let end = State::of(&engine);
    assert_eq!((end.images, end.counted, end.blobs, end.layers.len()), (0, 0, 0, 0));
    engine.finish();
}

#[test]
fn slow_killed_while_committing() {
    let engine = Engine::new();
    let script = "for i in $(seq 200); do echo $i > /f$i; done; dd if=/dev/zero of=/large bs=1M count=8 2>&1";
    engine.dhow(["run", "--name", "changed", "busybox", "sh", "-c", script]).ok();
    kill_during(&engine, &|| engine.dhow(["commit", "changed", "made:1"]), &|| drop(engine.ok("rmi made:1")));
    engine.ok("commit changed made:1");
    assert_eq!(engine.ok("run --rm made:1 cat /f200"), "200");
    engine.ok("rm changed");
    engine.ok("rmi made:1 busybox");
    let end = State::of(&engine);
    assert_eq!((end.images, end.counted, end.blobs, end.layers.len()), (0, 0, 0, 0));
    engine.finish();
}
