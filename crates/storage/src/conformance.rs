//! What every [`LayerStore`] must do, as tests that any form can be put to. Needs root (devices, owners, overlay mounts).
//!
//! Each function is given a maker of fresh, empty stores and panics where the contract is broken.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test suite: a panic is its result, a name its description")]

use crate::tarball::{Kind, Member, Time, Writer};
use crate::{ChainId, Change, ChangeKind, DiffId, Error, LayerInfo, LayerStore, SnapshotKey};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Makes a fresh store.
pub type Make<'a> = &'a dyn Fn() -> Box<dyn LayerStore>;

/// Runs the whole suite.
pub fn run(make: Make<'_>) {
    for (name, test) in TESTS {
        eprintln_name(name);
        test(make);
    }
}

#[expect(clippy::print_stderr, reason = "tells which part of the suite fails; captured by the test harness")]
fn eprintln_name(name: &str) {
    eprintln!("conformance: {name}");
}

/// Every part of the suite by name.
pub const TESTS: &[(&str, fn(Make<'_>))] = &[
    ("apply_answers_what_it_made", apply_answers_what_it_made),
    ("apply_twice_is_a_success", apply_twice_is_a_success),
    ("apply_checks_the_digest", apply_checks_the_digest),
    ("staged_layers_are_placed_later", staged_layers_are_placed_later),
    ("a_failed_apply_leaves_nothing", a_failed_apply_leaves_nothing),
    ("trailing_bytes_count", trailing_bytes_count),
    ("a_chain_in_use_stays", a_chain_in_use_stays),
    ("snapshots_live_and_die", snapshots_live_and_die),
    ("merged_view", merged_view),
    ("whiteouts_and_opaque_directories", whiteouts_and_opaque_directories),
    ("parents_left_out_are_inherited", parents_left_out_are_inherited),
    ("hard_links_across_layers", hard_links_across_layers),
    ("attributes_survive", attributes_survive),
    ("tar_is_reproducible", tar_is_reproducible),
    ("commit_makes_the_same_content", commit_makes_the_same_content),
    ("diff_as_docker_shows_it", diff_as_docker_shows_it),
    ("base_fills_what_the_image_lacks", base_fills_what_the_image_lacks),
    ("usage_counts_content", usage_counts_content),
    ("two_at_once", two_at_once),
];

/// A layer's archive under construction.
#[derive(Debug, Default)]
pub struct Archive(Vec<(Member, Vec<u8>)>);

impl Archive {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    #[must_use]
    pub fn member(mut self, member: Member, content: &[u8]) -> Self {
        self.0.push((member, content.to_vec()));
        self
    }
    #[must_use]
    pub fn file(self, name: &str, content: &str) -> Self {
        let mut member = Member::new(Kind::Regular, name.as_bytes(), 0o644);
        member.size = content.len() as u64;
        self.member(member, content.as_bytes())
    }
    #[must_use]
    pub fn dir(self, name: &str, mode: u32) -> Self {
        self.member(Member::new(Kind::Directory, name.as_bytes(), mode), b"")
    }
    #[must_use]
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.link(Kind::Symlink, name, target)
    }
    #[must_use]
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.link(Kind::HardLink, name, target)
    }
    fn link(self, kind: Kind, name: &str, target: &str) -> Self {
        let mut member = Member::new(kind, name.as_bytes(), 0o777);
        member.link = target.as_bytes().to_vec();
        self.member(member, b"")
    }
    #[must_use]
    pub fn tar(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        for (member, content) in &self.0 {
            writer.header(member).unwrap();
            writer.content(content).unwrap();
        }
        writer.finish().unwrap();
        out
    }
    #[must_use]
    pub fn diff_id(&self) -> DiffId {
        diff_id(&self.tar())
    }
    /// Applies it, checked.
    pub fn apply(&self, store: &dyn LayerStore, parent: Option<&LayerInfo>) -> LayerInfo {
        let tar = self.tar();
        store.apply(parent.map(|p| &p.chain), &mut &tar[..], Some(&diff_id(&tar))).unwrap()
    }
}

#[must_use]
pub fn diff_id(tar: &[u8]) -> DiffId {
    DiffId::from_bytes(&Sha256::digest(tar).into())
}

#[must_use]
pub fn key(name: &str) -> SnapshotKey {
    SnapshotKey(name.to_owned())
}

/// Where a chain can be read, mounted for as long as the value lives.
#[derive(Debug)]
pub struct Mounted(std::os::fd::OwnedFd);

impl Mounted {
    #[must_use]
    pub fn view(store: &dyn LayerStore, info: &LayerInfo) -> Self {
        Self(store.view(&info.chain).unwrap().mount_detached().unwrap())
    }
    #[must_use]
    pub fn snapshot(store: &dyn LayerStore, name: &str) -> Self {
        Self(store.mount(&key(name)).unwrap().mount_detached().unwrap())
    }
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        Path::new("/proc/self/fd").join(self.0.as_raw_fd().to_string()).join(name)
    }
    #[must_use]
    pub fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }
    #[must_use]
    pub fn names(&self, name: &str) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.path(name)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn tar_of(store: &dyn LayerStore, chain: &ChainId) -> Vec<u8> {
    let mut out = Vec::new();
    store.tar(chain, &mut out).unwrap();
    out
}

/// Names in a tar with their kinds.
fn listing(tar: &[u8]) -> Vec<(String, Kind)> {
    let mut source = tar;
    let mut reader = crate::tarball::Reader::new(&mut source, crate::Limits::default());
    let mut members = Vec::new();
    while let Some(m) = reader.next().unwrap() {
        members.push((m.shown(), m.kind));
    }
    members
}

pub fn apply_answers_what_it_made(make: Make<'_>) {
    let store = make();
    let archive = Archive::new().dir("etc/", 0o755).file("etc/a", "12345").hard_link("etc/b", "etc/a").symlink("l", "etc");
    let info = archive.apply(&*store, None);
    assert_eq!((info.parent.as_ref(), &info.diff), (None, &archive.diff_id()));
    assert_eq!(info.chain, ChainId::of(None, &info.diff));
    assert_eq!(info.size, 5 + 3);
    assert_eq!(store.layer(&info.chain).unwrap(), info);
    let second = Archive::new().file("x", "y").apply(&*store, Some(&info));
    assert_eq!(second.chain, ChainId::of(Some(&info.chain), &second.diff));
    let mut all = store.layers().unwrap();
    all.sort_by_key(|l| l.size);
    assert_eq!(all, [second, info]);
    let unknown = ChainId::from_bytes(&[9; 32]);
    assert!(matches!(store.layer(&unknown), Err(Error::NoChain(_))));
    assert!(matches!(store.apply(Some(&unknown), &mut &archive.tar()[..], None), Err(Error::NoChain(_))));
}

pub fn apply_twice_is_a_success(make: Make<'_>) {
    let store = make();
    let archive = Archive::new().file("a", "b");
    let first = archive.apply(&*store, None);
    assert_eq!(archive.apply(&*store, None), first);
    assert_eq!(store.apply(None, &mut &archive.tar()[..], None).unwrap(), first);
    assert_eq!(store.layers().unwrap().len(), 1);
}

pub fn staged_layers_are_placed_later(make: Make<'_>) {
    let store = make();
    let archive = Archive::new().file("home/a", "new").hard_link("b", "d/a").hard_link("c", "b").file(".wh.gone", "");
    let tar = archive.tar();
    let stage = || store.stage(&mut &tar[..], Some(&diff_id(&tar))).unwrap();
    let (first, second, third, unwanted) = (stage(), stage(), stage(), stage());
    assert_eq!(first.diff(), &archive.diff_id());
    assert_eq!(store.layers().unwrap(), []);
    drop(unwanted);
    let below = |text: &str, mode: u32| {
        let mut home = Member::new(Kind::Directory, b"home/", mode);
        (home.uid, home.gid) = (7, 8);
        Archive::new().member(home, b"").file("d/a", text).file("gone", text).apply(&*store, None)
    };
    let (one, two) = (below("one", 0o700), below("two", 0o2770));
    // The same over two chains: what is below decides.
    for (staged, parent, text, mode) in [(first, &one, "one", 0o700), (second, &two, "two", 0o2770)] {
        let info = store.place(staged, Some(&parent.chain)).unwrap();
        assert_eq!((&info.parent, info.size), (&Some(parent.chain.clone()), 3 + 3));
        let view = Mounted::view(&*store, &info);
        assert_eq!([view.read("b"), view.read("c"), view.read("d/a")], [Some(text.into()), Some(text.into()), Some(text.into())]);
        let home = fs::metadata(view.path("home")).unwrap();
        assert_eq!((home.mode() & 0o7777, home.uid(), view.path("gone").exists()), (mode, 7, false));
    }
    // What is there already stays, and what has nothing to link to is refused, both without a trace.
    let again = store.place(third, Some(&one.chain)).unwrap();
    assert_eq!(store.layer(&again.chain).unwrap(), again);
    assert!(matches!(store.place(stage(), None), Err(Error::Archive { .. })));
    assert!(matches!(store.place(stage(), Some(&ChainId::from_bytes(&[3; 32]))), Err(Error::NoChain(_))));
    let wrong = DiffId::from_bytes(&[7; 32]);
    assert!(matches!(store.stage(&mut &tar[..], Some(&wrong)), Err(Error::Digest { .. })));
    assert_eq!(store.layers().unwrap().len(), 4);
    store.sweep(&|_| true).unwrap();
}

pub fn apply_checks_the_digest(make: Make<'_>) {
    let store = make();
    let tar = Archive::new().file("a", "b").tar();
    let wrong = DiffId::from_bytes(&[7; 32]);
    match store.apply(None, &mut &tar[..], Some(&wrong)) {
        Err(Error::Digest { expected, actual }) => {
            assert_eq!((expected, actual), (wrong.to_string(), diff_id(&tar).to_string()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.layers().unwrap(), []);
}

pub fn a_failed_apply_leaves_nothing(make: Make<'_>) {
    let store = make();
    let tar = Archive::new().file("a", &"b".repeat(5000)).tar();
    assert!(store.apply(None, &mut &tar[..3000], None).is_err());
    let outside = Archive::new().file("a", "").file("../x", "").tar();
    assert!(matches!(store.apply(None, &mut &outside[..], None), Err(Error::Archive { .. })));
    assert_eq!(store.layers().unwrap(), []);
}

pub fn trailing_bytes_count(make: Make<'_>) {
    let store = make();
    let mut tar = Archive::new().file("a", "b").tar();
    tar.extend_from_slice(&[0; 8192]);
    tar.extend_from_slice(b"trailing");
    let info = store.apply(None, &mut &tar[..], Some(&diff_id(&tar))).unwrap();
    assert_eq!(info.diff, diff_id(&tar));
}

pub fn a_chain_in_use_stays(make: Make<'_>) {
    let store = make();
    let bottom = Archive::new().file("a", "1").apply(&*store, None);
    let top = Archive::new().file("b", "2").apply(&*store, Some(&bottom));
    assert!(matches!(store.remove_layer(&bottom.chain), Err(Error::InUse { .. })));
    store.prepare(&key("c"), Some(&top.chain)).unwrap();
    assert!(matches!(store.remove_layer(&top.chain), Err(Error::InUse { .. })));
    store.remove(&key("c")).unwrap();
    store.remove_layer(&top.chain).unwrap();
    assert!(matches!(store.remove_layer(&top.chain), Err(Error::NoChain(_))));
    store.remove_layer(&bottom.chain).unwrap();
    assert_eq!(store.layers().unwrap(), []);
    // And it can come again.
    Archive::new().file("a", "1").apply(&*store, None);
}

pub fn snapshots_live_and_die(make: Make<'_>) {
    let store = make();
    let info = Archive::new().file("a", "1").apply(&*store, None);
    store.prepare(&key("one"), Some(&info.chain)).unwrap();
    assert!(matches!(store.prepare(&key("one"), None), Err(Error::Exists(_))));
    store.persist_snapshot(&key("one")).unwrap();
    assert!(store.persist_snapshot(&key("nobody")).is_err());
    store.prepare(&key("two"), None).unwrap();
    let mut keys: Vec<_> = store.snapshots().unwrap().into_iter().map(|k| k.0).collect();
    keys.sort();
    assert_eq!(keys, ["one", "two"]);
    for bad in ["", "UP", "a/b", "..", "a.b", &"x".repeat(129)] {
        assert!(matches!(store.prepare(&key(bad), None), Err(Error::Invalid { .. })), "{bad}");
    }
    assert!(matches!(store.prepare(&key("three"), Some(&ChainId::from_bytes(&[1; 32]))), Err(Error::NoChain(_))));
    for missing in
        [store.remove(&key("no")), store.mount(&key("no")).map(drop), store.diff(&key("no")).map(drop), store.usage(&key("no")).map(drop)]
    {
        assert!(matches!(missing, Err(Error::NoSnapshot(_))));
    }
    store.remove(&key("one")).unwrap();
    store.sweep(&|_| false).unwrap();
    assert_eq!(store.snapshots().unwrap(), []);
    assert_eq!(store.layers().unwrap().len(), 1);
}

pub fn merged_view(make: Make<'_>) {
    let store = make();
    let bottom = Archive::new().dir("d/", 0o750).file("d/a", "1").file("d/b", "1").file("top", "x").apply(&*store, None);
    let top = Archive::new().file("d/b", "2").file("d/c", "2").apply(&*store, Some(&bottom));
    let view = Mounted::view(&*store, &top);
    assert_eq!([view.read("d/a"), view.read("d/b"), view.read("d/c"), view.read("top")], ["1", "2", "2", "x"].map(|s| Some(s.to_owned())));
    assert!(fs::write(view.path("new"), "").is_err());
    store.prepare(&key("s"), Some(&top.chain)).unwrap();
    let snapshot = Mounted::snapshot(&*store, "s");
    fs::write(snapshot.path("d/a"), "3").unwrap();
    assert_eq!((snapshot.read("d/a"), view.read("d/a")), (Some("3".into()), Some("1".into())));
}

pub fn whiteouts_and_opaque_directories(make: Make<'_>) {
    let store = make();
    let bottom = Archive::new()
        .file("d/a", "1")
        .file("d/b", "1")
        .file("o/x", "1")
        .file("o/y/z", "1")
        .file("f", "1")
        .file("dir/in", "1")
        .apply(&*store, None);
    let top = Archive::new()
        .file("d/.wh.a", "")
        .file("o/new", "2")
        .file("o/.wh..wh..opq", "")
        .file(".wh.f", "")
        .file(".wh.missing", "")
        .file(".wh..wh.plnk", "")
        .file(".wh.dir", "")
        .dir("dir/", 0o755)
        .file("dir/other", "2")
        .apply(&*store, Some(&bottom));
    let view = Mounted::view(&*store, &top);
    assert_eq!((view.names("d"), view.names("o"), view.names("dir")), (vec!["b".into()], vec!["new".into()], vec!["other".into()]));
    assert!(!view.path("f").exists());
    // A later file beats a removal in the same layer, in either order, and comes back with a layer above.
    let again = Archive::new().file("f", "3").file(".wh.f", "").file("o/x", "3").apply(&*store, Some(&top));
    let view = Mounted::view(&*store, &again);
    assert_eq!((view.read("f"), view.names("o")), (Some("3".into()), vec!["new".into(), "x".into()]));
    let tar = tar_of(&*store, &top.chain);
    if store.kept_tar(&top.chain).unwrap().is_some() {
        assert_eq!(diff_id(&tar), top.diff);
    } else {
        let names: Vec<_> = listing(&tar).into_iter().map(|(n, _)| n).collect();
        assert_eq!(names, ["d/", "d/.wh.a", "dir/", "dir/.wh..wh..opq", "dir/other", ".wh.f", "o/", "o/.wh..wh..opq", "o/new"]);
    }
    let everything = Archive::new().file(".wh..wh..opq", "").file("only", "").apply(&*store, Some(&again));
    let view = Mounted::view(&*store, &everything);
    assert!(view.path("only").exists() && !view.path("d").exists() && !view.path("f").exists());
}

pub fn parents_left_out_are_inherited(make: Make<'_>) {
    let store = make();
    let mut private = Member::new(Kind::Directory, b"home/", 0o2750);
    (private.uid, private.gid, private.mtime) = (1000, 1001, Time { seconds: 1_000_000, nanos: 5 });
    let bottom = Archive::new().member(private, b"").apply(&*store, None);
    let top = Archive::new().file("home/a", "").file("fresh/b", "").apply(&*store, Some(&bottom));
    let view = Mounted::view(&*store, &top);
    let home = fs::metadata(view.path("home")).unwrap();
    assert_eq!((home.mode() & 0o7777, home.uid(), home.gid(), home.mtime(), home.mtime_nsec()), (0o2750, 1000, 1001, 1_000_000, 5));
    let fresh = fs::metadata(view.path("fresh")).unwrap();
    assert_eq!((fresh.mode() & 0o7777, fresh.uid(), fresh.gid()), (0o755, 0, 0));
}

pub fn hard_links_across_layers(make: Make<'_>) {
    let store = make();
    let bottom = Archive::new().file("d/a", "content").apply(&*store, None);
    let top = Archive::new().hard_link("b", "d/a").hard_link("c", "/b").apply(&*store, Some(&bottom));
    let view = Mounted::view(&*store, &top);
    assert_eq!(
        (view.read("b"), view.read("c"), view.read("d/a")),
        (Some("content".into()), Some("content".into()), Some("content".into()))
    );
    assert_eq!(fs::metadata(view.path("b")).unwrap().ino(), fs::metadata(view.path("d/a")).unwrap().ino());
    assert_eq!(top.size, 7);
    let missing = Archive::new().hard_link("b", "nothing").tar();
    assert!(store.apply(Some(&bottom.chain), &mut &missing[..], None).is_err());
}

pub fn attributes_survive(make: Make<'_>) {
    let store = make();
    let mut tool = Member::new(Kind::Regular, b"bin/tool", 0o6755);
    (tool.uid, tool.gid, tool.size) = (12, 34, 3);
    tool.mtime = Time { seconds: 1_234_567_890, nanos: 987_654_321 };
    // A capability as the kernel writes it: revision 2, effective, CAP_NET_RAW.
    let capability = vec![1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    tool.xattrs = vec![
        (b"security.capability".to_vec(), capability.clone()),
        (b"trusted.overlay.opaque".to_vec(), b"y".to_vec()),
        (b"user.overlay.whiteout".to_vec(), b"y".to_vec()),
        (b"user.note".to_vec(), b"n".to_vec()),
    ];
    let mut null = Member::new(Kind::Char, b"null", 0o666);
    null.device = (1, 3);
    let info = Archive::new()
        .member(tool, b"elf")
        .member(null, b"")
        .member(Member::new(Kind::Fifo, b"pipe", 0o622), b"")
        .symlink("s", "../../x")
        .apply(&*store, None);
    let view = Mounted::view(&*store, &info);
    let tool = fs::metadata(view.path("bin/tool")).unwrap();
    assert_eq!((tool.mode() & 0o7777, tool.uid(), tool.gid()), (0o6755, 12, 34));
    assert_eq!((tool.mtime(), tool.mtime_nsec()), (1_234_567_890, 987_654_321));
    assert_eq!(fs::read_link(view.path("s")).unwrap(), Path::new("../../x"));
    assert_eq!(fs::metadata(view.path("null")).unwrap().rdev(), rustix::fs::makedev(1, 3));
    assert_eq!(fs::metadata(view.path("pipe")).unwrap().permissions().mode() & 0o7777, 0o622);
    let xattr = |name: &str| {
        let mut value = [0; 64];
        let length = rustix::fs::getxattr(view.path("bin/tool"), name, &mut value[..]);
        length.map(|length| value[..length].to_vec()).ok()
    };
    assert_eq!((xattr("security.capability"), xattr("user.note")), (Some(capability.clone()), Some(b"n".to_vec())));
    assert_eq!((xattr("trusted.overlay.opaque"), xattr("user.overlay.whiteout")), (None, None));
    let tar = tar_of(&*store, &info.chain);
    if store.kept_tar(&info.chain).unwrap().is_some() {
        return assert_eq!(diff_id(&tar), info.diff);
    }
    let mut source = &tar[..];
    let mut reader = crate::tarball::Reader::new(&mut source, crate::Limits::default());
    let tool = std::iter::from_fn(|| reader.next().unwrap()).find(|m| m.name == b"bin/tool").unwrap();
    assert_eq!(tool.xattrs, [(b"security.capability".to_vec(), capability), (b"user.note".to_vec(), b"n".to_vec())]);
}

pub fn tar_is_reproducible(make: Make<'_>) {
    let (one, two) = (make(), make());
    let build = |store: &dyn LayerStore, turned: bool| {
        let mut members = ["d/z", "d/a", "b", "ü"];
        if turned {
            members.reverse();
        }
        let archive = members.iter().fold(Archive::new().dir("d/", 0o700), |a, n| a.file(n, n));
        let info = archive.apply(store, None);
        let tar = tar_of(store, &info.chain);
        let kept = store.kept_tar(&info.chain).unwrap().map(|file| {
            assert!(tar == archive.tar(), "the very bytes");
            assert!(std::io::read_to_string(file).unwrap().as_bytes() == tar, "of the very file");
        });
        (tar, kept.is_some())
    };
    let (one, two) = (build(&*one, false), build(&*two, true));
    assert!(one == two || one.1, "the same bytes in any order, or as they came");
}

pub fn commit_makes_the_same_content(make: Make<'_>) {
    let store = make();
    let bottom = Archive::new().file("etc/keep", "1").file("etc/gone", "1").file("old/x", "1").apply(&*store, None);
    store.prepare(&key("c"), Some(&bottom.chain)).unwrap();
    {
        let mounted = Mounted::snapshot(&*store, "c");
        fs::remove_file(mounted.path("etc/gone")).unwrap();
        fs::remove_dir_all(mounted.path("old")).unwrap();
        fs::create_dir(mounted.path("old")).unwrap();
        fs::write(mounted.path("old/new"), "2").unwrap();
        fs::write(mounted.path("big"), vec![b'x'; 300_000]).unwrap();
        fs::hard_link(mounted.path("big"), mounted.path("big2")).unwrap();
    }
    let top = store.commit(&key("c")).unwrap();
    assert_eq!(top.parent.as_ref(), Some(&bottom.chain));
    assert_eq!(top.size, 300_001);
    let tar = tar_of(&*store, &top.chain);
    assert_eq!(diff_id(&tar), top.diff);
    assert_eq!(store.commit(&key("c")).unwrap(), top, "the snapshot stays, its content is the same");
    let view = Mounted::view(&*store, &top);
    assert_eq!(
        (view.names("etc"), view.names("old")),
        (vec!["hostname".into(), "hosts".into(), "keep".into(), "mtab".into(), "resolv.conf".into()], vec!["new".into()])
    );
    assert_eq!(fs::metadata(view.path("big")).unwrap().ino(), fs::metadata(view.path("big2")).unwrap().ino());
    // Elsewhere its tar makes the very same layer.
    let other = make();
    let below = Archive::new().file("etc/keep", "1").file("etc/gone", "1").file("old/x", "1").apply(&*other, None);
    let moved = other.apply(Some(&below.chain), &mut &tar[..], Some(&top.diff)).unwrap();
    assert_eq!(moved, top);
    assert!(tar_of(&*other, &moved.chain) == tar, "the same bytes elsewhere");
}

pub fn diff_as_docker_shows_it(make: Make<'_>) {
    let store = make();
    let bottom = Archive::new()
        .file("etc/a", "1")
        .file("etc/b", "1")
        .file("etc/c", "1")
        .file("var/x/y", "1")
        .file("lib/z", "1")
        .file("f", "1")
        .apply(&*store, None);
    store.prepare(&key("c"), Some(&bottom.chain)).unwrap();
    {
        let m = Mounted::snapshot(&*store, "c");
        fs::write(m.path("etc/a"), "changed").unwrap();
        fs::remove_file(m.path("etc/b")).unwrap();
        fs::set_permissions(m.path("etc/c"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::create_dir_all(m.path("new/deep")).unwrap();
        fs::write(m.path("new/deep/file"), "").unwrap();
        fs::remove_dir_all(m.path("var")).unwrap();
        // Copied up and taken back: nothing to see.
        fs::write(m.path("lib/tmp"), "").unwrap();
        fs::remove_file(m.path("lib/tmp")).unwrap();
        fs::remove_file(m.path("f")).unwrap();
        fs::create_dir(m.path("f")).unwrap();
        fs::remove_file(m.path(".dockerenv")).unwrap();
    }
    let expect = [
        (ChangeKind::Deleted, "/.dockerenv"),
        (ChangeKind::Modified, "/etc"),
        (ChangeKind::Modified, "/etc/a"),
        (ChangeKind::Deleted, "/etc/b"),
        (ChangeKind::Modified, "/etc/c"),
        (ChangeKind::Modified, "/f"),
        (ChangeKind::Added, "/new"),
        (ChangeKind::Added, "/new/deep"),
        (ChangeKind::Added, "/new/deep/file"),
        (ChangeKind::Deleted, "/var"),
    ];
    let expect: Vec<_> = expect.into_iter().map(|(kind, path)| Change { path: path.into(), kind }).collect();
    assert_eq!(store.diff(&key("c")).unwrap(), expect);
}

pub fn base_fills_what_the_image_lacks(make: Make<'_>) {
    let store = make();
    let info = Archive::new().file("etc/hosts", "mine").symlink("proc", "elsewhere").apply(&*store, None);
    let view = Mounted::view(&*store, &info);
    assert_eq!((view.read("etc/hosts"), view.read("etc/hostname")), (Some("mine".into()), Some(String::new())));
    assert_eq!(fs::read_link(view.path("etc/mtab")).unwrap(), Path::new("/proc/mounts"));
    assert_eq!(fs::read_link(view.path("proc")).unwrap(), Path::new("elsewhere"));
    for dir in ["dev/pts", "dev/shm", "sys"] {
        assert!(view.path(dir).is_dir(), "{dir}");
    }
    store.prepare(&key("c"), None).unwrap();
    assert_eq!(store.diff(&key("c")).unwrap(), []);
    let root = Mounted::snapshot(&*store, "c");
    assert_eq!(fs::metadata(root.path(".")).unwrap().mode() & 0o7777, 0o755);
    drop(root);
    let empty = store.commit(&key("c")).unwrap();
    assert_eq!(listing(&tar_of(&*store, &empty.chain)), []);
}

pub fn usage_counts_content(make: Make<'_>) {
    let store = make();
    store.prepare(&key("c"), None).unwrap();
    let before = store.usage(&key("c")).unwrap();
    assert_eq!((before.bytes, before.inodes), (0, 1));
    {
        let m = Mounted::snapshot(&*store, "c");
        fs::create_dir(m.path("d")).unwrap();
        fs::write(m.path("d/a"), "12345").unwrap();
        fs::hard_link(m.path("d/a"), m.path("d/b")).unwrap();
    }
    let after = store.usage(&key("c")).unwrap();
    assert_eq!((after.bytes, after.inodes), (5, 3));
}

pub fn two_at_once(make: Make<'_>) {
    let store = make();
    let archive = (0..50).fold(Archive::new(), |a, i| a.file(&format!("f{i}"), "x"));
    let tar = archive.tar();
    let results: BTreeMap<_, _> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|i| (i, scope.spawn(|| store.apply(None, &mut &tar[..], Some(&diff_id(&tar))).unwrap()))).collect();
        threads.into_iter().map(|(i, t)| (i, t.join().unwrap())).collect()
    });
    assert!(results.values().all(|r| r == &results[&0]));
    assert_eq!(store.layers().unwrap().len(), 1);
}
