//! Archives made to harm (classes 7 and 8 of the known mistakes), and what they must not reach.
#![allow(clippy::unwrap_used, reason = "a panic is a test's result")]

use dhow_storage::conformance::{Archive, Mounted, diff_id, key};
use dhow_storage::tarball::{Kind, Member};
use dhow_storage::{Choice, Error, Form, LayerStore, Limits, Store};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// A store beside things that an archive must not touch.
struct Scene {
    dir: tempfile::TempDir,
    store: Store,
}

/// Runs a test on both forms, on the second one where this kernel has it.
fn on_both(test: impl Fn(Scene)) {
    with_limits(Limits::default(), test);
}

fn with_limits(limits: Limits, test: impl Fn(Scene)) {
    test(Scene::with(limits, Choice::Only(Form::Directory)));
    let scene = Scene::with(limits, Choice::Probe);
    if scene.store.form() == "tar+erofs" {
        test(scene);
    }
}

impl Scene {
    fn with(limits: Limits, choice: Choice) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/secret"), "untouched").unwrap();
        let store = Store::with_limits(&dir.path().join("store"), choice, limits).unwrap();
        Self { dir, store }
    }

    fn apply(&self, archive: Archive) -> Result<dhow_storage::LayerInfo, Error> {
        self.store.apply(None, &mut &archive.tar()[..], None)
    }

    /// Refused, and nothing is left of it, inside the store or outside.
    #[track_caller]
    fn refused(&self, archive: Archive) -> String {
        let error = self.apply(archive).unwrap_err().to_string();
        assert_eq!(self.store.layers().unwrap(), []);
        self.clean();
        error
    }

    #[track_caller]
    fn clean(&self) {
        let store = self.dir.path().join("store");
        assert_eq!(fs::read_dir(store.join("tmp")).unwrap().count(), 0, "left in tmp");
        let secret = self.dir.path().join("outside/secret");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "untouched");
        let meta = fs::metadata(&secret).unwrap();
        assert_eq!((meta.nlink(), meta.uid()), (1, 0));
        let outside: Vec<_> = fs::read_dir(self.dir.path().join("outside")).unwrap().collect();
        assert_eq!(outside.len(), 1);
    }

    /// The host path of the outside, as an archive would write it.
    fn outside(&self) -> String {
        self.dir.path().join("outside").to_str().unwrap().to_owned()
    }
}

#[test]
fn class7_names_that_leave_the_root() {
    on_both(|scene| {
        for name in ["../x", "a/../../x", "..", "./../x"] {
            let error = scene.refused(Archive::new().file(name, "x"));
            assert!(error.contains("outside") || error.contains("root"), "{name}: {error}");
        }
        // Absolute names are names below the root, as in Docker.
        let info = scene.apply(Archive::new().file("/abs", "1").file("/../up", "2")).unwrap();
        let view = Mounted::view(&scene.store, &info);
        assert_eq!((view.read("abs"), view.read("up")), (Some("1".into()), Some("2".into())));
        scene.clean();
    });
}

#[test]
fn class7_cve_2014_9357_links_as_parents_stay_inside() {
    on_both(|scene| {
        let outside = scene.outside();
        // Absolute and relative links that on the host would lead out lead to places inside.
        let archive = Archive::new()
            .symlink("abs", &outside)
            .file("abs/planted", "1")
            .symlink("rel", "../../../../../../../..")
            .file("rel/planted", "2")
            .symlink("chain", "abs")
            .file("chain/second", "3");
        let info = scene.apply(archive).unwrap();
        let view = Mounted::view(&scene.store, &info);
        assert_eq!(view.read(&format!("{}/planted", &outside[1..])), Some("1".into()));
        assert_eq!(view.read(&format!("{}/second", &outside[1..])), Some("3".into()));
        assert_eq!(view.read("planted"), Some("2".into()));
        scene.clean();
    });
}

#[test]
fn class7_loops_of_links_end() {
    on_both(|scene| {
        let error = scene.refused(Archive::new().symlink("a", "b").symlink("b", "a").file("a/x", "1"));
        assert!(error.contains("symbolic links"), "{error}");
        // A link that doubles with every step.
        let bomb = (0..40).fold(Archive::new().symlink("l0", "."), |a, i| a.symlink(&format!("l{}", i + 1), &format!("l{i}/l{i}")));
        scene.refused(bomb.file("l40/x", "1"));
    });
}

#[test]
fn class7_hard_links_stay_inside() {
    on_both(|scene| {
        let secret = format!("{}/secret", scene.outside());
        scene.refused(Archive::new().hard_link("stolen", &secret));
        scene.refused(Archive::new().hard_link("stolen", "../../../../etc/passwd"));
        scene.refused(Archive::new().symlink("way", &scene.outside()).hard_link("stolen", "way/secret"));
        scene.refused(Archive::new().dir("d/", 0o755).hard_link("stolen", "d"));
        scene.refused(Archive::new().hard_link("stolen", "/"));
    });
}

#[test]
fn class7_cve_2021_32760_no_chmod_or_chown_through_a_link() {
    on_both(|scene| {
        let secret = format!("{}/secret", scene.outside());
        let before = fs::metadata(&secret).unwrap().mode();
        // A hard link to a symbolic link, with attributes that would follow it.
        let mut hard = Member::new(Kind::HardLink, b"hard", 0o4777);
        (hard.uid, hard.link) = (1234, b"soft".to_vec());
        let mut soft = Member::new(Kind::Symlink, b"soft", 0o4777);
        (soft.uid, soft.link) = (1234, secret.clone().into_bytes());
        let info = scene.apply(Archive::new().member(soft, b"").member(hard, b"")).unwrap();
        assert_eq!(fs::metadata(&secret).unwrap().mode(), before);
        let view = Mounted::view(&scene.store, &info);
        assert!(fs::symlink_metadata(view.path("hard")).unwrap().is_symlink());
        scene.clean();
    });
}

#[test]
fn class7_a_later_member_replaces_not_follows() {
    on_both(|scene| {
        let secret = format!("{}/secret", scene.outside());
        let archive = Archive::new()
            .symlink("f", &secret)
            .file("f", "mine")
            .symlink("d", &scene.outside())
            .dir("d/", 0o700)
            .file("d/in", "1")
            .file("tree/a/b", "x")
            .file("tree", "now a file")
            .file("other", "x")
            .dir("other/", 0o755)
            .file("other/deep", "y");
        let info = scene.apply(archive).unwrap();
        let view = Mounted::view(&scene.store, &info);
        assert_eq!(
            (view.read("f"), view.read("d/in"), view.read("tree"), view.read("other/deep")),
            (Some("mine".into()), Some("1".into()), Some("now a file".into()), Some("y".into()))
        );
        assert_eq!(info.size, 4 + 1 + 10 + 1);
        scene.clean();
    });
}

#[test]
fn class7_whiteouts_of_nothing_and_of_everything() {
    on_both(|scene| {
        for name in [".wh.", ".wh...", ".wh..", "d/.wh..."] {
            scene.refused(Archive::new().file(name, ""));
        }
        scene.refused(Archive::new().file("x", "").hard_link(".y", ".wh.x"));
        // Left-overs of aufs mean nothing, a device 0:0 means a removal and no device.
        let bottom = scene.apply(Archive::new().file("gone", "1").file("kept", "1")).unwrap();
        let mut device = Member::new(Kind::Char, b"gone", 0o666);
        device.device = (0, 0);
        let tar = Archive::new().member(device, b"").file(".wh..wh.plnk/1.2", "").file(".wh..wh.aufs", "").tar();
        let top = scene.store.apply(Some(&bottom.chain), &mut &tar[..], Some(&diff_id(&tar))).unwrap();
        let view = Mounted::view(&scene.store, &top);
        assert!(!view.path("gone").exists() && view.path("kept").exists());
    });
}

#[test]
fn class7_whiteout_through_a_link_stays_inside() {
    on_both(|scene| {
        let info =
            scene.apply(Archive::new().symlink("way", &scene.outside()).file("way/.wh.secret", "").file("way/.wh..wh..opq", "")).unwrap();
        assert_eq!(info.size, scene.outside().len() as u64);
        scene.clean();
    });
}

#[test]
fn class7_devices_are_made_but_reach_nothing_here() {
    on_both(|scene| {
        let mut disk = Member::new(Kind::Block, b"disk", 0o666);
        disk.device = (7, 0);
        let info = scene.apply(Archive::new().member(disk, b"")).unwrap();
        let view = Mounted::view(&scene.store, &info);
        assert!(fs::symlink_metadata(view.path("disk")).unwrap().file_type().is_block_device());
        // Nobody but root gets as far as the node.
        for dir in ["store", "store/layers", "store/snapshots", "store/tmp"] {
            assert_eq!(fs::metadata(scene.dir.path().join(dir)).unwrap().mode() & 0o777, 0o700, "{dir}");
        }
    });
}

#[test]
fn class18_modes_are_put_right_at_open() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    drop(Store::open(&root, Choice::Probe).unwrap());
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    drop(Store::open(&root, Choice::Probe).unwrap());
    assert_eq!(fs::metadata(&root).unwrap().mode() & 0o777, 0o700);
}

/// Zeros without end, after the archive's own.
struct Endless(std::io::Cursor<Vec<u8>>);

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(out)? {
            0 => {
                out.fill(0);
                Ok(out.len())
            }
            count => Ok(count),
        }
    }
}

#[test]
fn class8_limits() {
    let limits = Limits { bytes: 10_000, entries: 100, depth: 8, name: 64, extensions: 2048 };
    with_limits(limits, |scene| {
        assert!(scene.refused(Archive::new().file("big", &"x".repeat(10_001))).contains("bytes"));
        assert!(scene.refused((0..101).fold(Archive::new(), |a, i| a.file(&i.to_string(), ""))).contains("members"));
        assert!(scene.refused(Archive::new().file(&"d/".repeat(9), "")).contains("components"));
        assert!(scene.refused(Archive::new().file(&"n".repeat(65), "")).contains("name"));
        let mut heavy = Member::new(Kind::Regular, b"x", 0o644);
        heavy.xattrs = vec![(b"user.a".to_vec(), vec![0; 4096])];
        assert!(scene.refused(Archive::new().member(heavy, b"")).contains("extended headers"));
        // A file that is all hole counts with its holes.
        let tar = Archive::new().file("a", "").tar();
        let error = scene.store.apply(None, &mut Endless(std::io::Cursor::new(tar)), None).unwrap_err().to_string();
        assert!(error.contains("trailing"), "{error}");
        scene.clean();
    });
}

#[test]
fn class8_deep_paths_by_way_of_links() {
    with_limits(Limits { name: 300, ..Limits::default() }, |scene| {
        // Each step goes down by a link that leads ten directories deeper than it says.
        let step = "d/".repeat(10);
        let archive = (0..40).fold(Archive::new().file(&format!("{step}x"), ""), |a, i| {
            let from = if i == 0 { String::new() } else { format!("l{}/", i - 1) };
            a.symlink(&format!("l{i}"), &format!("{from}{step}")).file(&format!("l{i}/y"), "")
        });
        scene.refused(archive);
    });
}

#[test]
fn a_tree_of_any_depth_goes() {
    on_both(|scene| {
        scene.store.prepare(&key("deep"), None).unwrap();
        let upper = scene.store.mount(&key("deep")).unwrap().upper.unwrap();
        // Deeper than any path can say, as a container makes it: mkdir, chdir, and again.
        let mut at =
            rustix::fs::open(&upper, rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
        for level in 0..3000 {
            let name = format!("level-{}", level % 7);
            rustix::fs::mkdirat(&at, &*name, rustix::fs::Mode::RWXU).unwrap();
            rustix::fs::mknodat(&at, "pipe", rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
            at = rustix::fs::openat(&at, &*name, rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
                .unwrap();
        }
        drop(at);
        fs::write(upper.join(".moved-1"), "in the way").unwrap();
        for result in [
            scene.store.commit(&key("deep")).map(drop),
            scene.store.usage(&key("deep")).map(drop),
            scene.store.diff(&key("deep")).map(drop),
        ] {
            assert!(matches!(result, Err(Error::Limit { .. })));
        }
        scene.store.remove(&key("deep")).unwrap();
        scene.clean();
    });
}

/// The deepest tree that is walked is walked within a thread's ordinary stack.
#[test]
fn the_deepest_tree_can_be_walked() {
    on_both(|scene| {
        scene.store.prepare(&key("deep"), None).unwrap();
        let upper = scene.store.mount(&key("deep")).unwrap().upper.unwrap();
        fs::create_dir_all(upper.join("d/".repeat(255))).unwrap();
        fs::write(upper.join("d/".repeat(255)).join("f"), "x").unwrap();
        assert_eq!(scene.store.usage(&key("deep")).unwrap().bytes, 1);
        assert_eq!(scene.store.diff(&key("deep")).unwrap().len(), 256);
        let info = scene.store.commit(&key("deep")).unwrap();
        let mut tar = Vec::new();
        scene.store.tar(&info.chain, &mut tar).unwrap();
        let again = Store::open(&scene.dir.path().join("again"), Choice::Probe).unwrap();
        assert_eq!(again.apply(None, &mut &tar[..], Some(&info.diff)).unwrap(), info);
    });
}

#[test]
fn removal_does_not_follow_links() {
    on_both(|scene| {
        scene.store.prepare(&key("c"), None).unwrap();
        let upper = scene.store.mount(&key("c")).unwrap().upper.unwrap();
        std::os::unix::fs::symlink(scene.outside(), upper.join("way")).unwrap();
        std::os::unix::fs::symlink(scene.outside(), upper.join("..data")).unwrap();
        scene.store.remove(&key("c")).unwrap();
        scene.clean();
    });
}

#[test]
fn a_commit_reads_no_pipe_and_follows_no_link() {
    on_both(|scene| {
        scene.store.prepare(&key("c"), None).unwrap();
        let upper = scene.store.mount(&key("c")).unwrap().upper.unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, upper.join("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        std::os::unix::fs::symlink(format!("{}/secret", scene.outside()), upper.join("link")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(upper.join("socket")).unwrap();
        let info = scene.store.commit(&key("c")).unwrap();
        drop(socket);
        let view = Mounted::view(&scene.store, &info);
        assert!(view.path("pipe").exists() && !view.path("socket").exists());
        assert!(fs::symlink_metadata(view.path("link")).unwrap().is_symlink());
    });
}

#[test]
fn what_a_crash_leaves_goes_with_the_sweep() {
    on_both(|scene| {
        let root = scene.dir.path().join("store");
        let bottom = scene.apply(Archive::new().file("a", "1")).unwrap();
        let tar = Archive::new().file("b", "2").tar();
        let top = scene.store.apply(Some(&bottom.chain), &mut &tar[..], None).unwrap();
        scene.store.prepare(&key("kept"), Some(&top.chain)).unwrap();
        scene.store.prepare(&key("unwanted"), Some(&top.chain)).unwrap();
        let Scene { dir, store } = scene;
        drop(store);
        // Half made: a layer being unpacked, a layer without a record, one with a lying record, a snapshot without a record.
        let plant = |path: &str| {
            fs::create_dir_all(root.join(path)).unwrap();
            fs::write(root.join(path).join("x"), "").unwrap();
        };
        plant("tmp/abc/fs/d");
        plant(&format!("layers/{}/fs", "e".repeat(64)));
        plant("snapshots/half/upper");
        let lying = root.join(format!("layers/{}", "f".repeat(64)));
        fs::create_dir_all(lying.join("fs")).unwrap();
        fs::copy(root.join(format!("layers/{}/layer.json", top.chain.hex())), lying.join("layer.json")).unwrap();

        let store = Store::open(&root, Choice::Probe).unwrap();
        store.sweep(&|k| k.0 == "kept").unwrap();
        let count = |path: &str| fs::read_dir(root.join(path)).unwrap().count();
        assert_eq!((count("tmp"), count("layers"), count("snapshots")), (0, 2, 1));
        assert_eq!(store.snapshots().unwrap(), [key("kept")]);
        assert_eq!(store.layer(&top.chain).unwrap(), top);
        assert!(matches!(store.remove_layer(&bottom.chain), Err(Error::InUse { .. })));
        // A chain whose bottom is lost is not there, and can be made again.
        drop(store);
        fs::remove_dir_all(root.join(format!("layers/{}", bottom.chain.hex()))).unwrap();
        let store = Store::open(&root, Choice::Probe).unwrap();
        assert_eq!((store.layers().unwrap(), store.snapshots().unwrap()), (vec![], vec![]));
        assert!(Path::new(&root).join("base/fs/dev/console").exists());
        drop(dir);
    });
}
