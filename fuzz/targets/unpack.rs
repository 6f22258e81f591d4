//! A layer's archive, of any compression, over a layer that has everything that it could be led astray by, in both forms of a store. Whatever
//! it holds, nothing beside the store is touched, what was refused leaves nothing, and both forms take and refuse the same.

#![no_main]

use dhow_storage::tarball::{Kind, Member, Writer};
use dhow_storage::{Choice, DiffId, Form, LayerInfo, LayerStore, Limits, Store};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::OnceLock;

const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 200, depth: 16, name: 1024, extensions: 1 << 16 };

struct Place {
    root: tempfile::TempDir,
    store: Store,
    below: LayerInfo,
}

impl Place {
    fn new(scratch: &str, choice: Choice) -> Self {
        let root = dhow_fuzz::scratch(scratch);
        std::fs::write(root.path().join("witness"), "untouched").expect("a witness");
        let store = Store::with_limits(&root.path().join("store"), choice, LIMITS).expect("a store");
        store.sweep(&|_| true).expect("a sweep");
        let tar = below(root.path());
        let below = store.apply(None, &mut &tar[..], None).expect("a layer");
        Self { root, store, below }
    }

    /// Takes a layer in, and what it gives back once more; tells what it is.
    fn take(&self, tar: &[u8]) -> Option<DiffId> {
        let (store, below) = (&self.store, &self.below);
        let taken = store.apply(Some(&below.chain), &mut &tar[..], None).ok();
        if let Some(info) = &taken {
            // What was taken in can be written out and taken in again, and is the same then.
            let mut first = Vec::new();
            store.tar(&info.chain, &mut first).expect("a tar");
            // The layer can be used, in whatever form it is.
            store.view(&info.chain).expect("a view");
            if info.chain != below.chain {
                store.remove_layer(&info.chain).expect("a removal");
            }
            let again = store.apply(Some(&below.chain), &mut &first[..], None).expect("our own tar");
            let mut second = Vec::new();
            store.tar(&again.chain, &mut second).expect("a tar");
            assert!(first == second, "a layer that was written is another one when it is read");
            store.remove_layer(&again.chain).expect("a removal");
        }
        self.check();
        taken.map(|info| info.diff)
    }

    fn check(&self) {
        let root = self.root.path();
        assert_eq!(std::fs::read_dir(root.join("store/tmp")).expect("tmp").count(), 0);
        assert_eq!(std::fs::read_dir(root.join("store/layers")).expect("layers").count(), 1);
        assert_eq!(std::fs::read_dir(root).expect("the root").count(), 2);
        assert_eq!(std::fs::read(root.join("witness")).expect("the witness"), b"untouched");
    }
}

/// A store in memory, whose layers are directories, and one on a disk, where they are tars if that works here.
fn places() -> &'static [Place; 2] {
    static PLACES: OnceLock<[Place; 2]> = OnceLock::new();
    PLACES.get_or_init(|| [Place::new("/dev/shm", Choice::Only(Form::Directory)), Place::new("/var/tmp", Choice::Probe)])
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
    let tar = dhow_fuzz::archive(input);
    let [directories, chosen] = places();
    assert_eq!(directories.take(&tar), chosen.take(&tar), "one form takes what the other refuses");
});
