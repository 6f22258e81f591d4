//! An archive of images: `docker save` of every age, and OCI layouts. What was refused leaves nothing.

#![no_main]

use dhow_image::Images;
use dhow_storage::{Choice, LayerStore, Limits, Store};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, OnceLock};

const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 200, depth: 16, name: 1024, extensions: 1 << 16 };

struct Place {
    root: tempfile::TempDir,
    images: Images,
}

fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let root = dhow_fuzz::scratch("/var/tmp");
        let layers = Store::with_limits(&root.path().join("layers"), Choice::Probe, LIMITS).expect("layers");
        layers.sweep(&|_| true).expect("a sweep");
        let images = Images::open(&root.path().join("images"), Arc::new(layers)).expect("images");
        Place { root, images }
    })
}

fuzz_target!(|input: &[u8]| {
    let Place { root, images } = place();
    let tar = dhow_fuzz::archive(input);
    // An archive that is refused in its middle may have brought whole images before.
    let _refused = images.load(&mut &tar[..], None, &mut |_| {});
    for image in images.list() {
        let ids = [image.id.clone()];
        images.save(&ids, None).map_or((), |archive| archive.write(&mut std::io::sink()).expect("what was loaded can be saved"));
        images.remove(&image.id, true, true, &[]).expect("what was loaded can be removed");
    }
    for place in ["images/blobs/sha256", "images/tmp", "images/ingest", "layers/layers", "layers/tmp"] {
        assert_eq!(std::fs::read_dir(root.path().join(place)).expect("a directory").count(), 0, "{place}");
    }
});
