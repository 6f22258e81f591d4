//! Archives made at random, three on top of each other: both forms show the same, and refuse the same.

use super::compare::{listing, same};
use super::oddities::check_index;
use super::seen::seen;
use super::{mounted, stores};
use dhow_storage::conformance::Archive;
use dhow_storage::tarball::{Kind, Member, Time};
use dhow_storage::{LayerInfo, LayerStore};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Few names, so that members meet.
fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c"), Just("long-enough-to-matter"), Just("..")], 1..4)
        .prop_map(|parts| parts.join("/"))
}

fn member() -> impl Strategy<Value = (Member, Vec<u8>)> {
    let attributes = (0..0o10000_u32, 0..5_u32, -3..3_i64, 0..1_000_000_000_u32);
    let what = prop_oneof![
        4 => (path(), proptest::collection::vec(any::<u8>(), 0..2000)).prop_map(|(path, content)| {
            let mut member = Member::new(Kind::Regular, path.as_bytes(), 0);
            member.size = content.len() as u64;
            (member, content)
        }),
        3 => path().prop_map(|path| (Member::new(Kind::Directory, path.as_bytes(), 0), Vec::new())),
        2 => (path(), path(), prop_oneof![Just(Kind::Symlink), Just(Kind::HardLink)]).prop_map(|(path, target, kind)| {
            let mut member = Member::new(kind, path.as_bytes(), 0);
            member.link = target.into_bytes();
            (member, Vec::new())
        }),
        2 => (path(), any::<bool>()).prop_map(|(path, opaque)| {
            let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let mark = if opaque { ".wh..wh..opq".to_owned() } else { format!(".wh.{name}") };
            (Member::new(Kind::Regular, format!("{dir}/{mark}").as_bytes(), 0), Vec::new())
        }),
        1 => (path(), 0..3_u32).prop_map(|(path, minor)| {
            let mut member = Member::new(Kind::Char, path.as_bytes(), 0);
            member.device = (minor, minor);
            (member, Vec::new())
        }),
        1 => path().prop_map(|path| (Member::new(Kind::Fifo, path.as_bytes(), 0), Vec::new())),
    ];
    (what, attributes).prop_map(|((mut member, content), (mode, owner, seconds, nanos))| {
        (member.mode, member.uid, member.gid) = (mode, owner, owner * 1000);
        member.mtime = Time { seconds: 1_000_000 + seconds, nanos };
        if owner == 3 && matches!(member.kind, Kind::Regular | Kind::Directory) {
            member.xattrs = vec![(b"user.x".to_vec(), vec![1; mode as usize % 100])];
        }
        (member, content)
    })
}

fn layers() -> impl Strategy<Value = Vec<Vec<(Member, Vec<u8>)>>> {
    proptest::collection::vec(proptest::collection::vec(member(), 0..12), 3)
}

/// What each store makes of a layer: members that it refuses are left out, one by one from the end, so that most archives come through.
fn apply(stores: &[impl LayerStore], members: &[(Member, Vec<u8>)], parents: &mut Vec<Option<LayerInfo>>) {
    let mut kept = members.to_vec();
    loop {
        let tar = kept.iter().fold(Archive::new(), |archive, (member, content)| archive.member(member.clone(), content)).tar();
        let parent = |n: usize| parents.get(n).and_then(Option::as_ref).map(|info: &LayerInfo| &info.chain);
        let made: Vec<_> = stores.iter().enumerate().map(|(n, store)| store.apply(parent(n), &mut &tar[..], None)).collect();
        let words: Vec<_> = made.iter().map(|made| made.as_ref().err().map(ToString::to_string)).collect();
        assert!(words.iter().all(|word| word == &words[0]), "{words:?}");
        if words[0].is_none() {
            let made: Vec<_> = made.into_iter().map(|made| Some(made.unwrap())).collect();
            assert!(made.iter().all(|info| info == &made[0]));
            *parents = made;
            return;
        }
        assert!(kept.pop().is_some());
    }
}

/// Runs fifty cases in one pair of stores.
fn fifty() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let mut runner = TestRunner::new(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() });
    let case = |layers: Vec<Vec<(Member, Vec<u8>)>>| {
        let mut tops = vec![None; stores.len()];
        for members in &layers {
            apply(&stores, members, &mut tops);
        }
        let shown: Vec<_> = stores.iter().zip(&tops).map(|(store, top)| listing(&mounted(store, top.as_ref().unwrap()), true)).collect();
        for (store, other) in stores.iter().zip(&shown).skip(1) {
            let expected = if store.copies() { seen(&shown[0]) } else { shown[0].clone() };
            same("random layers", &expected, other);
        }
        for store in &stores {
            for info in store.layers().unwrap() {
                check_index(store, &dir.path().join("index/layers").join(info.chain.hex()));
            }
            while store.layers().unwrap().iter().any(|info| store.remove_layer(&info.chain).is_ok()) {}
        }
        Ok(())
    };
    runner.run(&layers(), case).unwrap();
}

#[test]
fn both_forms_show_the_same_1() {
    fifty();
}

#[test]
fn both_forms_show_the_same_2() {
    fifty();
}

#[test]
fn both_forms_show_the_same_3() {
    fifty();
}

#[test]
fn both_forms_show_the_same_4() {
    fifty();
}
