//! Images that were not synced when the kernel ended: whole, or not there.
#![expect(clippy::unwrap_used, reason = "a panic is a test's result")]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{Place, config, docker_archive, gzip, load, named, open_in, place, sha256, tar};

/// An image of a plain layer and a compressed one.
struct Scene {
    place: Place,
    config: String,
    packed: String,
    plain: String,
}

impl Scene {
    fn new() -> Self {
        let place = place();
        let layers = [tar(&[("a", b"1")]), tar(&[("b", &[7; 20_000])])];
        let config = config(&[&layers[0], &layers[1]]);
        let packed = gzip(&layers[1]);
        load(&place, &docker_archive("x:1", &config, &[&layers[0], &packed])).unwrap();
        Self { place, config: sha256(&config), packed: sha256(&packed), plain: sha256(&layers[0]) }
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.place.dir.path().join("image/blobs/sha256").join(digest)
    }

    /// The process ends, and another one begins in a run of the kernel.
    fn again(self, run: &str) -> Self {
        let Place { dir, images, layers } = self.place;
        drop((images, layers));
        let (images, layers) = open_in(run, dir.path());
        Self { place: Place { dir, images, layers }, ..self }
    }

    /// What is there of it: the image, its blobs, its layers.
    fn left(&self) -> (bool, usize, usize) {
        let image = self.place.images.resolve("x:1").is_ok();
        if image {
            let mut archive = Vec::new();
            self.place.images.save(&["x:1".into()], None).unwrap().write(&mut archive).unwrap();
            assert!(!archive.is_empty());
        }
        (image, fs::read_dir(self.blob("")).unwrap().count(), self.place.layers.layers().unwrap().len())
    }
}

/// As after a power cut: the name is there, the bytes are not.
fn cut(path: &Path) {
    File::options().write(true).open(path).unwrap().set_len(0).unwrap();
}

/// Cuts every file of this name among the layers.
fn cut_layers(scene: &Scene, name: &str) {
    for layer in fs::read_dir(scene.place.dir.path().join("storage/layers")).unwrap() {
        let path = layer.unwrap().path().join(name);
        if path.exists() {
            cut(&path);
        }
    }
}

#[test]
fn an_image_is_whole_or_gone() {
    let whole = (true, 3, 2);
    let check = |damage: &dyn Fn(&Scene), expect| {
        let scene = Scene::new().again("one");
        assert_eq!(scene.left(), whole);
        damage(&scene);
        let scene = scene.again("two");
        assert_eq!(scene.left(), expect);
        // What was found is found again, and what was not is not there any more.
        let scene = scene.again("three");
        assert_eq!(scene.left(), expect);
        scene.place.images.persist().unwrap();
        assert_eq!(scene.again("four").left(), expect);
    };
    check(&|_| {}, whole);
    check(&|scene| cut_layers(scene, "layer.json"), whole);
    check(&|scene| cut_layers(scene, "index.erofs"), whole);
    check(&|scene| cut(&scene.blob(&scene.config)), (false, 0, 0));
    // The layer that was made of it is there.
    check(&|scene| cut(&scene.blob(&scene.packed)), (true, 2, 2));
    check(
        &|scene| {
            cut(&scene.blob(&scene.packed));
            cut_layers(scene, "layer.json");
        },
        (false, 0, 0),
    );
    // One file in two places, where the layer is kept as its tar; else the layer was made of it and cannot be checked.
    check(&|scene| cut(&scene.blob(&scene.plain)), (false, 0, 0));
}

#[test]
fn what_was_synced_is_not_looked_at() {
    let scene = Scene::new();
    scene.place.images.persist().unwrap();
    cut(&scene.blob(&scene.packed));
    let scene = scene.again("two");
    assert_eq!((scene.place.images.list().len(), scene.blob(&scene.packed).exists()), (1, true));
}

#[test]
fn what_a_promise_stands_on_is_synced_first() {
    let scene = Scene::new();
    let image = scene.place.images.resolve("x:1").unwrap().id.clone();
    scene.place.images.persist_image("sha256:of-nobody").unwrap();
    let doubted = scene.again("two");
    // It has the new run's mark: nothing was synced for an image that nobody has.
    cut(&doubted.blob(&doubted.packed));
    let doubted = doubted.again("three");
    assert!(!doubted.blob(&doubted.packed).exists());
    doubted.place.images.persist_image(&image).unwrap();
    cut(&doubted.blob(&doubted.plain));
    assert!(doubted.again("four").place.images.resolve("x:1").is_ok(), "it bears no mark, so nobody looks");
}

#[test]
fn new_content_of_an_image_is_synced_too() {
    let scene = Scene::new();
    scene.place.images.persist().unwrap();
    let root = scene.place.dir.path().to_owned();
    drop((scene.place.images, scene.place.layers));
    let (images, _) = open_in("one", &root);
    let images = Arc::new(images);
    let image = images.resolve("x:1").unwrap();
    let outgoing = images.outgoing(&image, &named("x:1"), None).unwrap();
    let packed = outgoing.pack(0).unwrap();
    drop(outgoing);
    let path = root.join("image/blobs/sha256").join(packed.digest.strip_prefix("sha256:").unwrap());
    cut(&path);
    let (images, _) = open_in("two", &root);
    assert!(images.resolve("x:1").is_ok());
    assert!(!path.exists());
}
