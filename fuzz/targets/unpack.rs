//! A layer's archive, of any compression, over a layer that has everything that it could be led astray by. Whatever it holds, nothing
//! beside the store is touched, and what was refused leaves nothing.

#![no_main]

use dhow_storage::tarball::{Kind, Member, Writer};
use dhow_storage::{Choice, Form, LayerInfo, LayerStore, Limits, Store};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::OnceLock;

const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 200, depth: 16, name: 1024, extensions: 1 << 16 };

struct Place {
    root: tempfile::TempDir,
    store: Store,
    below: LayerInfo,
}

fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let root = dhow_fuzz::scratch("/dev/shm");
        std::fs::write(root.path().join("witness"), "untouched").expect("a witness");
        let store = Store::with_limits(&root.path().join("store"), Choice::Only(Form::Directory), LIMITS).expect("a store");
        store.sweep(&|_| true).expect("a sweep");
        let tar = below(root.path());
        let below = store.apply(None, &mut &tar[..], None).expect("a layer");
        Place { root, store, below }
    })
}

/// Directories, a file, and links that lead out.
fn below(root: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    let mut tar = Writer::new(&mut out);
    for name in ["a/", "a/b/", "d/"] {
        tar.header(&Member::new(Kind::Directory, name.as_bytes(), 0o755)).expect("a header");
    }
    tar.file(b"a/file", 0o644, b"below").expect("a file");
    for (name, target) in [("a/out", root.display().to_string()), ("up", "../../../../../..".into()), ("d/loop", "loop".into())] {
        let mut member = Member::new(Kind::Symlink, name.as_bytes(), 0o777);
        member.link = target.into_bytes();
        tar.header(&member).expect("a header");
    }
    tar.finish().expect("an end");
    out
}

fuzz_target!(|input: &[u8]| {
    let place = place();
    let tar = dhow_fuzz::archive(input);
    if let Ok(info) = place.store.apply(Some(&place.below.chain), &mut &tar[..], None) {
        // What was taken in can be written out and taken in again, and is the same then.
        let mut first = Vec::new();
        place.store.tar(&info.chain, &mut first).expect("a tar");
        if info.chain != place.below.chain {
            place.store.remove_layer(&info.chain).expect("a removal");
        }
        let again = place.store.apply(Some(&place.below.chain), &mut &first[..], None).expect("our own tar");
        let mut second = Vec::new();
        place.store.tar(&again.chain, &mut second).expect("a tar");
        assert!(first == second, "a layer that was written is another one when it is read");
        place.store.remove_layer(&again.chain).expect("a removal");
    }
    let root = place.root.path();
    assert_eq!(std::fs::read_dir(root.join("store/tmp")).expect("tmp").count(), 0);
    assert_eq!(std::fs::read_dir(root.join("store/layers")).expect("layers").count(), 1);
    assert_eq!(std::fs::read_dir(root).expect("the root").count(), 2);
    assert_eq!(std::fs::read(root.join("witness")).expect("the witness"), b"untouched");
});
