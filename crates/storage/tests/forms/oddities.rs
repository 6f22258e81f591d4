//! Everything odd that a layer can hold, in every format that GNU tar writes.

use super::compare::{listing, same};
use super::seen::seen;
use super::tree::make;
use super::{indexed, mounted, stores};
use dhow_storage::conformance::Archive;
use dhow_storage::tarball::{Kind, Member};
use dhow_storage::{Choice, Form, LayerStore, Store};
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::path::Path;
use std::process::Command;

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_tree_with_every_oddity_is_what_gnu_tar_extracts() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    make(&source);
    let stores = stores(dir.path());
    let formats: [(&str, &[&str], bool); 5] = [
        ("gnu", &["--format=gnu"], false),
        ("gnu sparse", &["--format=gnu", "--sparse"], false),
        ("pax 1.0", &["--format=pax", "--sparse", "--sparse-version=1.0", "--xattrs", "--xattrs-include=*"], true),
        ("pax 0.1", &["--format=pax", "--sparse", "--sparse-version=0.1", "--xattrs", "--xattrs-include=*"], true),
        ("pax 0.0", &["--format=pax", "--sparse", "--sparse-version=0.0"], true),
    ];
    for (n, (name, flags, nanos)) in formats.into_iter().enumerate() {
        let tar = dir.path().join(format!("{n}.tar"));
        let small = if flags.contains(&"--sparse") { &[][..] } else { &["--exclude=./all hole", "--exclude=./huge"] };
        run(Command::new("tar").args(flags).args(small).arg("--numeric-owner").arg("-cf").arg(&tar).arg("-C").arg(&source).arg("."));
        let extracted = dir.path().join(format!("extracted{n}"));
        fs::create_dir(&extracted).unwrap();
        let extract = ["--numeric-owner", "--same-owner", "-p", "--xattrs", "--xattrs-include=*", "-xf"];
        run(Command::new("tar").args(extract).arg(&tar).arg("-C").arg(&extracted));
        let expected = listing(&rustix::fs::open(&extracted, OFlags::RDONLY, Mode::empty()).unwrap(), nanos);
        assert!(expected.len() > 70);
        for store in &stores {
            let info = store.apply(None, &mut fs::File::open(&tar).unwrap(), None).unwrap();
            let root = mounted(store, &info);
            same(&format!("{name}, {}", store.form()), &expected, &listing(&root, nanos));
            drop(root);
            check_index(store, &dir.path().join("index/layers").join(info.chain.hex()));
            store.remove_layer(&info.chain).unwrap();
        }
        fs::remove_dir_all(&extracted).unwrap();
    }
}

/// Has erofs-utils look at an index, if they are new enough to know blocks of 512 bytes. A layer without one is a directory.
pub(super) fn check_index(store: &dyn LayerStore, layer: &Path) {
    if store.form() != "tar+erofs" || !layer.join("index.erofs").exists() {
        return;
    }
    let program = std::env::var_os("DHOW_FSCK_EROFS").unwrap_or_else(|| "fsck.erofs".into());
    let mut command = Command::new(program);
    command.arg(format!("--device={}", layer.join("layer.tar").display()));
    if layer.join("side.data").exists() {
        command.arg(format!("--device={}", layer.join("side.data").display()));
    }
    match command.arg(layer.join("index.erofs")).output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        output => {
            let output = output.unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() || told.contains("blksize 512 isn't supported"), "{told}");
        }
    }
}

/// The same layers on every store, compared.
fn check(layers: &[Archive], least: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for store in stores(dir.path()) {
        let mut top = None;
        for archive in layers {
            top = Some(archive.apply(&store, top.as_ref()));
        }
        found.push((store.copies(), listing(&mounted(&store, &top.unwrap()), true)));
    }
    let ((_, first), others) = found.split_first().unwrap();
    assert!(first.len() >= least, "{}", first.len());
    for (copied, other) in others {
        let expected = if *copied { seen(first) } else { first.clone() };
        same("layers", &expected, other);
    }
}

#[test]
fn a_directory_of_a_hundred_thousand() {
    // Links: a file in the form `dir` costs a sync, and here only names count.
    let crowd = (0..100_000).fold(Archive::new().dir("d/", 0o755), |archive, n| archive.symlink(&format!("d/{n:x}"), "t"));
    let above = Archive::new().file("d/.wh.0", "").file("d/fff", "new").hard_link("same", "d/eee");
    check(&[crowd, above], 100_000);
}

#[test]
fn a_chain_of_three_hundred() {
    let bottom = (0..900).fold(Archive::new().dir("d/", 0o755), |archive, n| archive.symlink(&format!("d/{n}"), &n.to_string()));
    let above = (0..299).map(|n: u32| {
        let archive = Archive::new().file(&format!("own/{n}"), &n.to_string()).file(&format!("d/{n}"), "new");
        let archive = if n > 0 { archive.file(&format!("own/.wh.{}", n - 1), "") } else { archive };
        if n % 50 == 7 { archive.hard_link(&format!("kept{n}"), &format!("d/{}", n * 3)) } else { archive }
    });
    check(&std::iter::once(bottom).chain(above).collect::<Vec<_>>(), 900);
}

#[test]
fn what_an_index_cannot_describe_becomes_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = indexed(dir.path()) else { return };
    // Each of these takes 4096 entries of an index, and all together more than one may have.
    let member = |n: u64| {
        let mut member = Member::new(Kind::Regular, format!("d/{n}").as_bytes(), 0o640);
        (member.size, member.uid, member.sparse) = (1 << 21, 7, Some(vec![(n * 512, 3), ((1 << 21) - 3, 3)]));
        member
    };
    let bottom = Archive::new().file("below", "x").apply(&store, None);
    let tar = dir.path().join("tar");
    write_sparse(&tar, (1..=300).map(member));
    let info = store.apply(Some(&bottom.chain), &mut fs::File::open(&tar).unwrap(), None).unwrap();
    let layer = dir.path().join("index/layers").join(info.chain.hex());
    let mut names: Vec<_> = fs::read_dir(&layer).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["fs", "layer.json"]);
    let plain = Store::open(&dir.path().join("plain"), Choice::Only(Form::Directory)).unwrap();
    let below = Archive::new().file("below", "x").apply(&plain, None);
    let expected = plain.apply(Some(&below.chain), &mut fs::File::open(&tar).unwrap(), None).unwrap();
    assert_eq!(info, expected);
    same("unpacked", &listing(&mounted(&plain, &expected), true), &listing(&mounted(&store, &info), true));
}

/// An archive of sparse files in GNU's old format: `abc` and `xyz` in each.
fn write_sparse(path: &Path, members: impl Iterator<Item = Member>) {
    let mut out = Vec::new();
    for member in members {
        let pieces = member.sparse.clone().unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_path(std::str::from_utf8(&member.name).unwrap()).unwrap();
        header.set_mode(member.mode);
        header.set_uid(member.uid.into());
        header.set_gid(0);
        header.set_mtime(1);
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_size(6);
        let gnu = header.as_gnu_mut().unwrap();
        for (slot, (offset, length)) in gnu.sparse.iter_mut().zip(&pieces) {
            slot.offset.copy_from_slice(format!("{offset:011o}\0").as_bytes());
            slot.numbytes.copy_from_slice(format!("{length:011o}\0").as_bytes());
        }
        gnu.realsize.copy_from_slice(format!("{:011o}\0", member.size).as_bytes());
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(b"abcxyz");
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    fs::write(path, out).unwrap();
}
