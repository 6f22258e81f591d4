//! Compressed bytes of layers that do not stay: everything that reads a layer's content works without them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use dhow_image::{Arrival, Arrived, Bring, Compressed, Hand, Images};
use dhow_storage::{Choice, Form, LayerStore, Limits, Store};
use std::path::Path;
use std::sync::Arc;
use support::{config, docker_archive, gzip, named, sha256, tar};

struct Place {
    dir: tempfile::TempDir,
    images: Arc<Images>,
    /// Layers are kept as their tars here.
    tars: bool,
}

fn place(choice: Choice) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let layers: Arc<dyn LayerStore> = Arc::new(Store::with_limits(&dir.path().join("storage"), choice, Limits::default()).unwrap());
    layers.sweep(&|_| false).unwrap();
    let tars = layers.form() == Form::Index.name();
    let images = Images::open(&dir.path().join("image"), layers).unwrap().with_compressed(Compressed::Drop);
    Place { dir, images: Arc::new(images), tars }
}

fn blobs(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("image/blobs/sha256")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The names under which these are kept.
fn names(of: &[&[u8]]) -> Vec<String> {
    let mut names: Vec<String> = of.iter().map(|bytes| sha256(bytes)).collect();
    names.sort();
    names
}

fn save(images: &Images) -> Vec<u8> {
    let mut out = Vec::new();
    images.save(&["x:1".to_owned()], None).unwrap().write(&mut out).unwrap();
    out
}

#[test]
fn what_is_loaded_is_saved_and_pushed_without_them() {
    for choice in [Choice::Probe, Choice::Only(Form::Directory)] {
        let place = place(choice);
        let (plain, second) = (tar(&[("a", b"one")]), tar(&[("b", b"two")]));
        let packed = gzip(&second);
        let config = config(&[&plain, &second]);
        let archive = docker_archive("x:1", &config, &[&plain, &packed]);
        place.images.load(&mut &archive[..], None, &mut |_| {}).unwrap();
        if !place.tars {
            // A directory does not give back the tar that it came from.
            assert_eq!(blobs(place.dir.path()), names(&[&plain, &packed, &config]));
            continue;
        }
        // What came plain is one file with the layer.
        assert_eq!(blobs(place.dir.path()), names(&[&plain, &config]));
        let saved = save(&place.images);
        let holds = |bytes: &[u8]| saved.windows(bytes.len()).any(|part| part == bytes);
        assert!(holds(&second) && !holds(&packed));

        // Pushed twice, side by side: the same bytes, which go with the last one that sends them.
        let image = place.images.resolve("x:1").unwrap();
        let push = || place.images.clone().outgoing(&image, &named("localhost:5000/x:1"), None).unwrap();
        let (one, two) = (push(), push());
        let digest = one.pack(1).unwrap().digest;
        assert_eq!(two.pack(1).unwrap().digest, digest);
        drop(one);
        assert!(place.images.open_content(&digest).is_ok());
        drop(two);
        assert!(place.images.open_content(&digest).is_err());
        assert_eq!(push().pack(1).unwrap().digest, digest);
        place.images.remove("x:1", false, true, &[]).unwrap();
        assert_eq!(blobs(place.dir.path()), names(&[]));
    }
}

/// Brings one layer.
struct Bringer<'a>(&'a Images, &'a [u8]);

impl Bring for Bringer<'_> {
    fn want(&mut self, needed: &[bool], hand: Hand) {
        if needed[0] {
            hand.put(0, arrived(self.0, self.1));
        }
    }
    fn teller(&self) -> Arc<dyn Fn(usize, u64, u64) + Send + Sync> {
        Arc::new(|_, _, _| {})
    }
}

fn arrived(images: &Images, bytes: &[u8]) -> Arc<Arrived> {
    let mut ingest = images.ingest(&format!("sha256:{}", sha256(bytes)), bytes.len() as u64).unwrap();
    ingest.write(bytes).unwrap();
    Arc::new(ingest.finish().unwrap().unwrap())
}

#[test]
fn what_is_pulled_leaves_them_nowhere() {
    let place = place(Choice::Probe);
    let plain = tar(&[("a", b"one")]);
    let packed = gzip(&plain);
    let config = config(&[&plain]);
    let arrival = Arrival {
        config: config.clone(),
        layers: vec![format!("sha256:{}", sha256(&packed))],
        documents: Vec::new(),
        names: vec![named("x:1")],
        top: None,
    };
    for _ in 0..2 {
        place.images.arrive(&arrival, &mut Bringer(&place.images, &packed)).unwrap();
        let expect = if place.tars { names(&[&config]) } else { names(&[&packed, &config]) };
        assert_eq!(blobs(place.dir.path()), expect);
        assert_eq!(std::fs::read_dir(place.dir.path().join("image/ingest")).unwrap().count(), 0);
    }
    place.images.remove("x:1", false, true, &[]).unwrap();
    assert_eq!(blobs(place.dir.path()), names(&[]));
}
