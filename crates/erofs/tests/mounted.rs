//! Trees as the kernel and erofs-utils read them back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod model;

use dhow_erofs::{Attributes, Content, Extent, File, Node, NodeId, Time, Tree, Unfit};
use model::{Bench, attributes};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn add(tree: &mut Tree, directory: NodeId, name: &str, content: Content) -> NodeId {
    let id = tree.add(Node { attributes: attributes(0o644), content }).unwrap();
    tree.link(directory, name.as_bytes(), id);
    id
}

fn directory() -> Content {
    Content::Directory(BTreeMap::new())
}

#[test]
fn every_kind_and_attribute() {
    let bench = Bench::new();
    let data = bench.data();
    let mut tree = Tree::new(attributes(0o1777));
    let usr = add(&mut tree, Tree::ROOT, "usr", directory());
    tree.node_mut(usr).attributes.xattrs = vec![(b"trusted.overlay.opaque".to_vec(), b"y".to_vec())];
    let file = add(&mut tree, usr, "file", data.whole(512, 1000));
    tree.node_mut(file).attributes = Attributes {
        mode: 0o4755,
        uid: 70_000,
        gid: u32::MAX - 1,
        mtime: Time { seconds: -5, nanos: 999_999_999 },
        xattrs: vec![
            (b"security.capability".to_vec(), vec![1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (b"user.long".to_vec(), vec![b'x'; 3000]),
        ],
    };
    tree.link(Tree::ROOT, b"second name", file);
    add(&mut tree, usr, "empty", Content::File(File::default()));
    add(&mut tree, usr, "nothing but a hole", Content::File(File { size: 1 << 42, extents: Vec::new() }));
    for length in [1, 100, 400, 511, 512, 513, 4095] {
        add(&mut tree, usr, &format!("link {length}"), Content::Symlink(vec![b'y'; length].into()));
    }
    add(&mut tree, Tree::ROOT, "removed", Content::Char(0, 0));
    add(&mut tree, Tree::ROOT, "null", Content::Char(1, 3));
    add(&mut tree, Tree::ROOT, "disk", Content::Block(259, 70_000));
    add(&mut tree, Tree::ROOT, "pipe", Content::Fifo);
    let orphan = tree.add(Node { attributes: attributes(0), content: Content::Fifo }).unwrap();
    tree.link(usr, b"orphan", orphan);
    assert_eq!(tree.unlink(usr, b"orphan"), Some(orphan));
    bench.check(&tree);
}

#[test]
fn a_file_in_pieces() {
    let bench = Bench::new();
    let mut tree = Tree::new(attributes(0o755));
    let piece = |offset, length, device, position| Extent { offset, length, device, position };
    let cases: &[(u64, &[Extent])] = &[
        (10_000, &[piece(4096, 4096, 0, 1024)]),
        (10_000, &[piece(512, 512, 0, 0), piece(2048, 1024, 1, 512), piece(9728, 272, 1, 4096)]),
        (1 << 30, &[piece(0, 65_536, 0, 0), piece((1 << 30) - 65_536, 65_536, 1, 0)]),
        (40_000, &[piece(0, 512, 0, 512), piece(512, 1024, 0, 0), piece(1536, 38_464, 1, 0)]),
    ];
    for (n, (size, extents)) in cases.iter().enumerate() {
        add(&mut tree, Tree::ROOT, &n.to_string(), Content::File(File { size: *size, extents: extents.to_vec() }));
    }
    bench.check(&tree);
}

#[test]
fn directories_of_any_size() {
    let bench = Bench::new();
    let mut tree = Tree::new(attributes(0o755));
    for entries in [0, 1, 20, 30, 31, 32, 33, 1000, 100_000] {
        let holder = add(&mut tree, Tree::ROOT, &format!("d{entries}"), directory());
        for n in 0..entries {
            add(&mut tree, holder, &format!("{n:x}"), Content::Fifo);
        }
    }
    let mut deep = Tree::ROOT;
    for n in 0..300 {
        deep = add(&mut tree, deep, &format!("{n}"), directory());
    }
    bench.check(&tree);
}

#[test]
fn what_does_not_fit_is_not_written() {
    let file = |size, extents: &[Extent]| Content::File(File { size, extents: extents.to_vec() });
    let piece = |offset, length, position| Extent { offset, length, device: 0, position };
    let check = |content: Content, expect: Unfit| {
        let mut tree = Tree::new(attributes(0o755));
        add(&mut tree, Tree::ROOT, "f", content);
        let mut out = Vec::new();
        match dhow_erofs::write(&tree, &[1 << 20], &[0; 16], &mut out) {
            Err(dhow_erofs::Error::Unfit(unfit)) => assert_eq!(unfit, expect),
            other => panic!("{other:?} where {expect:?} was expected"),
        }
        assert!(out.is_empty());
    };
    check(file(512, &[piece(0, 512, 100)]), Unfit::Pieces);
    check(file(1024, &[piece(100, 412, 0)]), Unfit::Pieces);
    check(file(1024, &[piece(0, 100, 0)]), Unfit::Pieces);
    check(file(1024, &[piece(0, 1025, 0)]), Unfit::Pieces);
    check(file(1024, &[piece(512, 512, 0), piece(0, 512, 0)]), Unfit::Pieces);
    check(file(u64::MAX, &[piece(0, u64::MAX, 0)]), Unfit::Pieces);
    check(file(512, &[piece(0, 512, 1 << 20)]), Unfit::Pieces);
    // A terabyte with one block in its middle would take two billion chunks.
    check(file(1 << 40, &[piece(1 << 39, 512, 0), piece((1 << 39) + 1024, 512, 0)]), Unfit::Pieces);
    let mut tree = Tree::new(attributes(0o755));
    tree.node_mut(Tree::ROOT).attributes.xattrs = vec![(b"odd.name".to_vec(), Vec::new())];
    assert!(matches!(dhow_erofs::write(&tree, &[], &[0; 16], &mut Vec::new()), Err(dhow_erofs::Error::Unfit(Unfit::Attributes))));
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let make = || {
        let mut tree = Tree::new(attributes(0o755));
        for n in 0..100 {
            add(&mut tree, Tree::ROOT, &n.to_string(), Content::Symlink(n.to_string().into_bytes().into()));
        }
        let mut out = Vec::new();
        let size = dhow_erofs::write(&tree, &[0], &[7; 16], &mut out).unwrap();
        assert_eq!(size, out.len() as u64);
        out
    };
    assert_eq!(make(), make());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_trees(steps in proptest::collection::vec(model::step(), 0..120)) {
        let bench = Bench::new();
        bench.check(&model::build(&steps));
    }
}
