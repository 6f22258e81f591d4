//! The same archives loaded by dockerd and by us: what lies in its layers' directories is what a container of ours sees, attribute by attribute.
//!
//! Left out, because the two differ on purpose: a hard link to a file of a lower layer (dockerd refuses the archive, we link to a copy of the
//! file), and a name that one layer both brings and takes away (dockerd refuses it or goes by the order of the members).

#[expect(clippy::unwrap_used, reason = "a panic is a test's result")]
#[path = "../../../crates/storage/tests/forms/compare.rs"]
mod compare;
#[expect(clippy::unwrap_used, reason = "a panic is a test's result")]
#[path = "../../../crates/storage/tests/forms/tree.rs"]
mod tree;

use compare::{listing, same};
use dhow_sys::overlay::{Lower, Overlay};
use dhow_tests::archive::Tar;
use dhow_tests::peer::Dockerd;
use dhow_tests::registry::digest;
use dhow_tests::{Cmd, Engine, Options};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// What every container has, and what runs in ours.
const OURS: [&str; 7] = ["/.dockerenv", "/dev", "/etc", "/proc", "/sys", "/run this", "/"];

/// An archive of an image with these layers.
fn image(name: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let diffs: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diffs } });
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}.tar")).collect();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": names }]);
    let tar = names.iter().zip(layers).fold(Tar::new(), |tar, (name, layer)| tar.file(name, 0o644, layer));
    tar.file("config.json", 0o644, config.to_string().as_bytes()).file("manifest.json", 0o644, manifest.to_string().as_bytes()).finish()
}

/// A directory as GNU tar writes it.
fn packed(dir: &Path, flags: &[&str]) -> Vec<u8> {
    let out = dir.with_extension("tar");
    Cmd::new("tar").args(flags).args(["--numeric-owner", "--sort=name", "-cf"]).args([&out]).args(["-C"]).args([dir]).args(["."]).ok();
    fs::read(out).expect("an archive")
}

fn open(path: impl AsRef<Path>) -> OwnedFd {
    rustix::fs::open(path.as_ref(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("a directory")
}

/// What dockerd made of an image: its directories on each other.
fn theirs(docker: &Dockerd, name: &str) -> Vec<String> {
    let shown: Value = serde_json::from_str(&docker.docker(&["image", "inspect", name]).ok()).expect("JSON");
    let data = &shown[0]["GraphDriver"]["Data"];
    let dirs = ["UpperDir", "LowerDir"].iter().filter_map(|key| data[key].as_str()).flat_map(|dirs| dirs.split(':'));
    let lower: Vec<Lower> = dirs.map(|dir| PathBuf::from(dir).into()).collect();
    let root = Overlay { lower, upper: None, work: None, volatile: false }.mount_detached().expect("an overlay");
    without(listing(&root, true), &[])
}

/// What a container of ours sees.
fn ours(engine: &Engine, name: &str) -> Vec<String> {
    engine.dhow(["run", "-d", "--name", "looked-at", "-v", "program:/run this", name, "/run this/busybox", "sleep", "1000"]).ok();
    let root = open(format!("/proc/{}/root", engine.container_pid("looked-at")));
    let found = listing(&root, true);
    engine.ok("rm -f looked-at");
    without(found, &OURS)
}

/// The lines that are not about these names. Of the top only the mode and the owner count: the container's own is another directory.
fn without(mut lines: Vec<String>, names: &[&str]) -> Vec<String> {
    let top: Vec<&str> = lines[0].split(' ').take(3).collect();
    let top = top.join(" ");
    let about = |line: &str| names.iter().any(|name| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '/'])));
    lines.retain(|line| !line.starts_with("/ ") && !about(line));
    lines.insert(0, top);
    lines
}

/// dockerd, and engines of ours: one whose layers are in the form that is chosen here, one whose layers are directories. Both have a volume with
/// something to run.
fn engines() -> Option<(Dockerd, [Engine; 2])> {
    let docker = Dockerd::start()?;
    let ours = [&[][..], &["--storage-opt", "dhow.layers=dir"]].map(|flags| {
        let flags = flags.iter().map(ToString::to_string).collect();
        let engine = Engine::with(Options { flags, ..Options::default() });
        engine.dhow(["create", "--name", "from", "-v", "program:/bin", "busybox"]).ok();
        engine
    });
    Some((docker, ours))
}

fn end(engines: [Engine; 2]) {
    for engine in engines {
        engine.ok("rm from");
        engine.ok("volume rm program");
        engine.finish();
    }
}

/// What GNU tar makes of an archive, in a directory that is not there yet.
fn extracted(archive: &[u8], dir: &Path) -> Vec<String> {
    fs::create_dir(dir).expect("a directory");
    let flags = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", "-", "-C"];
    Cmd::new("tar").args(flags).args([dir]).input(archive.to_vec()).ok();
    without(listing(&open(dir), true), &OURS)
}

/// Compares what all engines make of an image, and tells it.
#[track_caller]
fn compared(docker: &Dockerd, engines: &[Engine; 2], what: &str, layers: &[Vec<u8>]) -> Vec<String> {
    let archive = image("compared:1", layers);
    docker.docker(&["load", "-q"]).input(archive.clone()).ok();
    let expected = theirs(docker, "compared:1");
    docker.docker(&["rmi", "compared:1"]).ok();
    for (engine, form) in engines.iter().zip(["as chosen", "dir"]) {
        engine.dhow(["load", "-q"]).input(archive.clone()).ok();
        same(&format!("{what}, {form}"), &expected, &ours(engine, "compared:1"));
        engine.ok("rmi compared:1");
    }
    expected
}

#[test]
fn slow_every_oddity_is_what_dockerd_makes_of_it() {
    let Some((docker, engines)) = engines() else { return };
    let source = engines[0].scratch("odd").join("tree");
    fs::create_dir(&source).expect("a directory");
    tree::make(&source);
    // dockerd writes holes as zeros, all of them. It does not know GNU's older form of sparse files.
    let small = ["--exclude=./all hole", "--exclude=./huge"];
    for flags in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse", "--sparse-version=1.0", "--xattrs", "--xattrs-include=*"],
        &["--format=pax", "--sparse", "--sparse-version=0.1"],
        &["--format=pax", "--sparse", "--sparse-version=0.0"],
    ] {
        let layer = packed(&source, &[flags, &small].concat());
        let lines = compared(&docker, &engines, &flags.join(" "), &[layer]).len();
        assert!(lines > 70, "{lines}");
    }
    end(engines);
}

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Directories that are there, and the names in each; what a layer does to them goes into a directory of its own.
#[derive(Default)]
struct Model(BTreeMap<String, Vec<String>>);

impl Model {
    /// Makes one more layer in an empty directory.
    fn layer(&mut self, dice: &mut Dice, root: &Path) {
        let mut touched = Vec::new();
        let known: Vec<String> = self.0.keys().cloned().collect();
        for parent in known {
            if dice.roll(3) == 0 && !parent.is_empty() {
                continue;
            }
            // A parent that an upper layer took away.
            if !self.0.contains_key(&parent) {
                continue;
            }
            let at = root.join(&parent);
            fs::create_dir_all(&at).expect("directories");
            self.lower_names(dice, &parent, &at);
            for _ in 0..dice.roll(9) {
                let name = format!("n{}", dice.roll(1000));
                let taken = at.join(format!(".wh.{name}")).exists() || self.0[&parent].contains(&name);
                if !taken {
                    self.new_name(dice, root, &parent, &name, &mut touched);
                }
            }
        }
    }

    /// Takes some of the names away that lower layers have, or replaces files.
    fn lower_names(&mut self, dice: &mut Dice, parent: &str, at: &Path) {
        let names = self.0[parent].clone();
        if !names.is_empty() && !parent.is_empty() && dice.roll(6) == 0 {
            fs::write(at.join(".wh..wh..opq"), "").expect("a mark");
            names.iter().for_each(|name| self.forget(parent, name));
            return;
        }
        for name in names {
            let path = join(parent, &name);
            match dice.roll(6) {
                0 => {
                    fs::write(at.join(format!(".wh.{name}")), "").expect("a mark");
                    self.forget(parent, &name);
                }
                1 if !self.0.contains_key(&path) => fs::write(at.join(&name), "replaced").expect("a file"),
                _ => {}
            }
        }
    }

    fn new_name(&mut self, dice: &mut Dice, root: &Path, parent: &str, name: &str, files: &mut Vec<PathBuf>) {
        let path = join(parent, name);
        let at = root.join(&path);
        match dice.roll(8) {
            0..=2 => {
                fs::write(&at, vec![dice.roll(256) as u8; dice.roll(20_000) as usize]).expect("a file");
                files.push(at);
            }
            3 | 4 => {
                fs::create_dir(&at).expect("a directory");
                self.0.insert(path, Vec::new());
            }
            5 => symlink(format!("../n{}", dice.roll(1000)), &at).expect("a link"),
            6 if !files.is_empty() => {
                let first = &files[dice.roll(files.len() as u64) as usize];
                fs::hard_link(first, &at).expect("a link");
            }
            6 => node(&at, FileType::Fifo, 0),
            _ => node(&at, FileType::CharacterDevice, rustix::fs::makedev(dice.roll(300) as u32 + 1, dice.roll(70_000) as u32)),
        }
        self.0.get_mut(parent).expect("it is there").push(name.to_owned());
    }

    fn forget(&mut self, parent: &str, name: &str) {
        let path = join(parent, name);
        self.0.get_mut(parent).expect("it is there").retain(|known| known != name);
        self.0.retain(|dir, _| *dir != path && !dir.starts_with(&format!("{path}/")));
    }
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}

fn node(path: &Path, kind: FileType, device: u64) {
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device).expect("a node");
}

/// Owners, modes, attributes and times for all that is there, from the bottom.
fn attributes(dice: &mut Dice, root: &Path) {
    let mut entries: Vec<PathBuf> = fs::read_dir(root).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        let meta = path.symlink_metadata().expect("it is there");
        if meta.is_dir() {
            attributes(dice, &path);
        }
        let (uid, gid) = (dice.roll(3) as u32 * 40_000, dice.roll(3) as u32 * 1000);
        std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).expect("an owner");
        if !meta.is_symlink() {
            fs::set_permissions(&path, fs::Permissions::from_mode(dice.roll(0o10000) as u32)).expect("a mode");
        }
        if (meta.is_file() || meta.is_dir()) && dice.roll(4) == 0 {
            rustix::fs::setxattr(&path, "user.x", &vec![b'v'; dice.roll(90) as usize + 1], rustix::fs::XattrFlags::empty()).expect("xattr");
        }
        let time = rustix::fs::Timespec { tv_sec: 1_000_000 + dice.roll(2_000_000_000) as i64, tv_nsec: dice.roll(1_000_000_000) as i64 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, &path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).expect("times");
    }
}

/// Images, the layers of each, and the trees side by side in each layer: 200 trees.
const IMAGES: u64 = 10;
const LAYERS: usize = 4;
const TREES: usize = 5;

#[test]
fn slow_two_hundred_trees_made_at_random_are_what_dockerd_and_tar_make_of_them() {
    let Some((docker, engines)) = engines() else { return };
    let dir = engines[0].scratch("random");
    let flags = ["--format=pax", "--xattrs", "--xattrs-include=user.*"];
    let mut lines = 0;
    for seed in 1..=IMAGES {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut models: [Model; TREES] = std::array::from_fn(|_| Model(BTreeMap::from([(String::new(), Vec::new())])));
        let layers: Vec<Vec<u8>> = (0..LAYERS)
            .map(|number| {
                let root = dir.join(format!("{seed}-{number}"));
                for (tree, model) in models.iter_mut().enumerate() {
                    let at = root.join(format!("tree-{tree}"));
                    fs::create_dir_all(&at).expect("a directory");
                    model.layer(&mut dice, &at);
                }
                attributes(&mut dice, &root);
                packed(&root, &flags)
            })
            .collect();
        lines += compared(&docker, &engines, &format!("seed {seed}"), &layers).len();
        // The lowest layer takes nothing away: tar unpacks it, too.
        let lowest = compared(&docker, &engines, &format!("seed {seed}, the lowest"), &layers[..1]);
        same(&format!("seed {seed}, tar"), &extracted(&layers[0], &dir.join(format!("{seed}-extracted"))), &lowest);
    }
    assert!(lines > 1000, "{lines}");
    end(engines);
}
