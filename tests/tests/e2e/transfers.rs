//! Pulls over connections that break, of engines that are killed, and of several at once.

use dhow_tests::archive::{Tar, rootfs};
use dhow_tests::middle::{Fate, Middle};
use dhow_tests::registry::{Registry, layer};
use dhow_tests::{Engine, Options, finish_child, until};

/// Bytes of an answer that come before it is broken off or held: head and some of the body.
const SOME: usize = 600_000;

fn bare() -> Engine {
    Engine::with(Options { empty: true, ..Options::default() })
}

/// A layer of which a good part can be lost.
fn large() -> (String, Vec<u8>, String) {
    let content: Vec<u8> = (0_u32..500_000).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    layer(&Tar::new().file("large", 0o644, &content).finish(), None)
}

fn blob(repository: &str, layer: &(String, Vec<u8>, String)) -> String {
    format!("/v2/{repository}/blobs/{}", dhow_tests::registry::digest(&layer.1))
}

#[test]
fn a_layer_goes_on_where_the_connection_broke_off() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    let large = large();
    registry.image("cut", Some("1"), "amd64", &[layer(&rootfs().finish(), Some("gzip")), large.clone()]);
    let path = blob("cut", &large);
    let cut = path.clone();
    let middle = Middle::start(&registry.address, move |heard, before| match before {
        0 if heard.path == cut => Fate::Cut(SOME),
        _ => Fate::Whole,
    });
    let name = format!("{}/cut:1", middle.address);
    engine.ok(&format!("pull {name}"));
    let asked = middle.heard_for(&path);
    assert_eq!((asked.len(), asked[0].range.as_str()), (2, ""));
    let from: usize = asked[1].range.trim_start_matches("bytes=").trim_end_matches('-').parse().expect("a range");
    assert!((100_000..SOME).contains(&from), "{from}");
    assert_eq!(engine.ok(&format!("run --rm {name} busybox wc -c /large")), "2000000 /large");
    engine.finish();
}

/// What a machine forgets when it starts anew: everything outside the data root.
fn forget(engine: &Engine) {
    for entry in std::fs::read_dir(engine.exec_root()).expect("the exec root") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }.expect("remove what a reboot would");
    }
}

#[test]
fn a_killed_engine_goes_on_where_it_was_also_after_a_reboot() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    let large = large();
    registry.image("killed", Some("1"), "amd64", &[layer(&rootfs().finish(), Some("gzip")), large.clone()]);
    let path = blob("killed", &large);
    let held = path.clone();
    let middle = Middle::start(&registry.address, move |heard, before| match before {
        0 if heard.path == held => Fate::Held(SOME),
        _ => Fate::Whole,
    });
    let name = format!("{}/killed:1", middle.address);
    let pull = engine.dhow(["pull", &name]).spawn();
    let kept = engine.data_root().join("images/ingest").join(&path[path.len() - 64..]);
    until("a part of the layer to be kept", || kept.metadata().is_ok_and(|meta| meta.len() > 100_000));
    engine.kill_daemon();
    let broken = finish_child(pull);
    assert_ne!(broken.code, 0, "{broken}");
    middle.open();
    forget(&engine);
    engine.start_daemon();
    // Nothing of it is an image yet.
    assert_eq!(engine.ok("images -q -a"), "");
    engine.ok(&format!("pull {name}"));
    let asked = middle.heard_for(&path);
    assert_eq!((asked.len(), asked[0].range.as_str()), (2, ""));
    assert!(asked[1].range.starts_with("bytes="), "{asked:?}");
    assert_eq!(engine.ok(&format!("run --rm {name} busybox wc -c /large")), "2000000 /large");
    assert!(!kept.exists());
    engine.finish();
}

#[test]
fn two_pulls_fetch_a_shared_layer_once() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    let large = large();
    for tag in ["1", "2"] {
        let own = layer(&Tar::new().file("own", 0o644, tag.as_bytes()).finish(), Some("gzip"));
        registry.image("shared", Some(tag), "amd64", &[large.clone(), own]);
    }
    let path = blob("shared", &large);
    let held = path.clone();
    let middle = Middle::start(&registry.address, move |heard, _| if heard.path == held { Fate::Held(SOME) } else { Fate::Whole });
    let pulls: Vec<_> =
        ["1", "2"].map(|tag| engine.dhow(["pull", &format!("{}/shared:{tag}", middle.address)]).spawn()).into_iter().collect();
    // Both know by now what they want: their configurations are here.
    until("both pulls to be on their way", || {
        let configurations = middle.heard().iter().filter(|heard| heard.path.contains("/blobs/") && heard.path != path).count();
        configurations >= 4 && !middle.heard_for(&path).is_empty()
    });
    middle.open();
    for pull in pulls {
        finish_child(pull).ok();
    }
    assert_eq!(middle.heard_for(&path).len(), 1, "{:?}", middle.heard());
    engine.finish();
}

#[test]
fn a_pull_that_nobody_waits_for_ends() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    let large = large();
    registry.image("gone", Some("1"), "amd64", std::slice::from_ref(&large));
    let path = blob("gone", &large);
    let held = path.clone();
    let middle = Middle::start(&registry.address, move |heard, _| if heard.path == held { Fate::Held(SOME) } else { Fate::Whole });
    let mut pull = engine.dhow(["pull", &format!("{}/gone:1", middle.address)]).spawn();
    let kept = engine.data_root().join("images/ingest").join(&path[path.len() - 64..]);
    until("a part of the layer to be kept", || kept.metadata().is_ok_and(|meta| meta.len() > 100_000));
    pull.kill().expect("kill the client");
    assert!(!pull.wait().expect("its end").success());
    // The layer is nobody's any more: who asks for it again begins a transfer of its own, where the first one was.
    middle.open();
    engine.ok(&format!("pull -q {}/gone:1", middle.address));
    let asked = middle.heard_for(&path);
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[1].range.starts_with("bytes="), "{asked:?}");
    engine.finish();
}

/// No more layers are on their way at one time than the configuration says, and as many.
#[test]
fn as_many_at_once_as_is_allowed() {
    let Some(registry) = Registry::start() else { return };
    let flags = ["--max-concurrent-downloads", "2", "--max-concurrent-uploads", "2"].map(str::to_owned);
    let engine = Engine::with(Options { empty: true, flags: flags.to_vec(), ..Options::default() });
    let note = |number: u32| layer(&Tar::new().file(&format!("note{number}"), 0o644, b"x").finish(), Some("gzip"));
    let layers: Vec<_> = (0..6).map(note).collect();
    registry.image("many", Some("1"), "amd64", &layers);
    let paths: Vec<String> = layers.iter().map(|layer| blob("many", layer)).collect();

    let wanted = paths.clone();
    let middle = Middle::start(&registry.address, move |heard, _| if wanted.contains(&heard.path) { Fate::Held(0) } else { Fate::Whole });
    let name = format!("{}/many:1", middle.address);
    let pull = engine.dhow(["pull", &name]).spawn();
    until("two layers to be asked for", || middle.heard().iter().filter(|heard| paths.contains(&heard.path)).count() >= 2);
    middle.open();
    let out = finish_child(pull).ok();
    assert_eq!(out.matches(": Pull complete").count(), 6, "{out}");
    assert_eq!(middle.most_at_once(), 2);

    let middle = Middle::start(&registry.address, |heard, _| {
        if matches!(heard.method.as_str(), "PATCH" | "PUT") && heard.path.contains("/blobs/uploads/") { Fate::Held(0) } else { Fate::Whole }
    });
    let there = format!("{}/sent:1", middle.address);
    engine.ok(&format!("tag {name} {there}"));
    let push = engine.dhow(["push", &there]).spawn();
    let sending = |heard: &&dhow_tests::middle::Heard| matches!(heard.method.as_str(), "PATCH" | "PUT");
    until("two layers to be sent", || middle.heard().iter().filter(sending).count() >= 2);
    middle.open();
    let out = finish_child(push).ok();
    assert_eq!(out.matches(": Pushed").count(), 6, "{out}");
    assert_eq!(middle.most_at_once(), 2);
    engine.finish();
}

/// What is below a directory of the data root.
fn left(engine: &Engine, place: &str) -> usize {
    std::fs::read_dir(engine.data_root().join(place)).expect("a directory").count()
}

/// Holds the answer to the request with this number, and kills the engine while it waits for it.
fn killed_at(engine: &Engine, registry: &Registry, number: usize, words: &dyn Fn(&str) -> Vec<String>) -> bool {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let middle = Middle::start(&registry.address, move |_, _| {
        let at = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if at == number { Fate::Held(0) } else { Fate::Whole }
    });
    let mut client = engine.dhow(words(&middle.address)).spawn();
    let mut done = false;
    until("the request, or the end", || {
        done = client.try_wait().expect("look at the client").is_some();
        done || middle.heard().len() > number
    });
    if !done {
        engine.kill_daemon();
        assert_ne!(finish_child(client).code, 0);
        engine.start_daemon();
    }
    middle.open();
    done
}

#[test]
fn slow_killed_at_any_request_of_a_pull() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    registry.image("any", Some("1"), "amd64", &[layer(&rootfs().finish(), Some("gzip")), large()]);
    let mut number = 0;
    while !killed_at(&engine, &registry, number, &|address| vec!["pull".into(), format!("{address}/any:1")]) {
        assert_eq!(engine.ok("images -q -a"), "", "request {number}");
        assert_eq!((left(&engine, "images/blobs/sha256"), left(&engine, "images/tmp")), (0, 0), "request {number}");
        assert_eq!(left(&engine, "layers/layers"), 0, "request {number}");
        number += 1;
    }
    // A greeting, the manifest, the configuration, a layer. The other layer may have come whole before one of the kills, and is kept.
    assert!(number >= 4, "{number}");
    let id = engine.ok("images -q");
    assert_eq!(engine.ok(&format!("run --rm {id} busybox wc -c /large")), "2000000 /large");
    engine.ok(&format!("rmi -f {id}"));
    assert_eq!((left(&engine, "images/blobs/sha256"), left(&engine, "layers/layers"), left(&engine, "images/ingest")), (0, 0, 0));
    engine.finish();
}

#[test]
fn slow_killed_at_any_request_of_a_push() {
    let Some(registry) = Registry::start() else { return };
    let engine = bare();
    engine.load("busybox");
    let id = engine.ok("images -q --no-trunc");
    let mut number = 0;
    loop {
        let words = |address: &str| {
            let name = format!("{address}/n{number}:1");
            engine.ok(&format!("tag busybox {name}"));
            vec!["push".into(), name]
        };
        if killed_at(&engine, &registry, number, &words) {
            break;
        }
        assert_eq!(engine.ok("images -q --no-trunc busybox"), id, "request {number}");
        assert_eq!(left(&engine, "images/tmp"), 0, "request {number}");
        number += 1;
    }
    // A greeting; for the layer and the configuration a question, a place, and at least one request; the manifest.
    assert!(number >= 8, "{number}");
    // The last one is whole, and what the engine says of its digest is true.
    let digests = engine.inspect("busybox")["RepoDigests"].to_string();
    let manifest = registry.bytes(&format!("/v2/n{number}/manifests/1"), dhow_tests::registry::media::DOCKER);
    assert!(digests.contains(&dhow_tests::registry::digest(&manifest)), "{digests}");
    assert_eq!(engine.ok("run --rm busybox echo whole"), "whole");
    engine.finish();
}
