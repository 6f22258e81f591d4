//! How the layers of images are kept.

use dhow_tests::{Cmd, Engine, Options, until};
use std::os::unix::fs::MetadataExt;

/// `EROFS_SUPER_MAGIC_V1`
const EROFS: u64 = 0xe0f5_e1e2;

/// `EXT4_SUPER_MAGIC`
const EXT4: u64 = 0xef53;

/// The filesystems of the layers that a container's shim holds.
fn filesystems(engine: &Engine, name: &str) -> Vec<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", engine.container_pid(name))).expect("the container runs");
    let shim = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent").trim().to_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{shim}/fd")).expect("the shim runs") {
        let path = entry.expect("a descriptor").path();
        // Sockets and pipes are on none of these.
        if rustix::fs::statfs(&path).is_ok_and(|stat| stat.f_type as u64 == EROFS) {
            found.push(std::fs::metadata(&path).expect("a directory").dev());
        }
    }
    found
}

#[test]
fn a_layer_is_one_filesystem_over_a_restart_of_the_daemon() {
    let engine = Engine::new();
    if !engine.ok("info").contains("Layers: tar+erofs") {
        return;
    }
    for (name, again) in [("one", false), ("two", true), ("three", false)] {
        if again {
            engine.kill_daemon();
            engine.start_daemon();
        }
        engine.dhow(["run", "-d", "--name", name, "busybox", "sleep", "1000"]).ok();
    }
    let first = filesystems(&engine, "one");
    assert_eq!(first.len(), 1, "{first:?}");
    // What is cached of the program is cached once, for all three.
    assert_eq!([filesystems(&engine, "two"), filesystems(&engine, "three")], [first.clone(), first]);
    assert!(!engine.ok("exec two cat /proc/mounts").contains("erofs"), "a layer's mount is seen");
    engine.finish();
}

/// Bytes of a file of a container's root that are in memory, as `fincore` counts them.
fn resident(engine: &Engine, name: &str, file: &str) -> u64 {
    let path = format!("/proc/{}/root/{file}", engine.container_pid(name));
    Cmd::new("fincore").args(["-b", "-n", "-o", "RES", &path]).ok().trim().parse().expect("a number")
}

#[test]
fn what_one_container_reads_all_have_in_memory() {
    const SIZE: u64 = 24 << 20;
    let engine = Engine::new();
    if !engine.ok("info").contains("Layers: tar+erofs") {
        return engine.finish();
    }
    let dir = engine.scratch("image");
    std::fs::write(dir.join("large"), (0..SIZE).map(|n| (n % 251) as u8).collect::<Vec<_>>()).expect("a file");
    Cmd::new("tar").args(["cf", "image.tar", "large"]).dir(&dir).ok();
    engine.dhow(["import", &dir.join("image.tar").display().to_string(), "large"]).ok();
    // The program comes from a volume: nothing of the image is read by the start.
    engine.dhow(["create", "--name", "from", "-v", "program:/bin", "busybox"]).ok();
    let run = |name: &str| drop(engine.dhow(["run", "-d", "--name", name, "-v", "program:/bin", "large", "/bin/sleep", "1000"]).ok());
    run("one");
    run("two");
    // The kernel may take some of it back at any time; the one that has read it reads it again then.
    let read_by_one = |seen_by: &str| {
        until(&format!("what one has read is there for {seen_by}"), || {
            assert_eq!(engine.ok("exec one /bin/md5sum /large").split(' ').count(), 3);
            resident(&engine, seen_by, "large") == SIZE
        });
    };
    read_by_one("two");
    engine.kill_daemon();
    engine.start_daemon();
    run("three");
    // It reads nothing itself.
    read_by_one("three");
    for name in ["one", "two", "three", "from"] {
        engine.ok(&format!("rm -f {name}"));
    }
    engine.ok("volume rm program");
    engine.finish();
}

/// By the kernel's version, which the engine itself never asks. Tests run on ext4.
#[test]
fn the_form_that_works_here_is_chosen() {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut parts = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    let engine = Engine::new();
    let has_erofs = std::fs::read_to_string("/proc/filesystems").is_ok_and(|list| list.lines().any(|line| line.ends_with("\terofs")));
    let on = rustix::fs::statfs(engine.data_root()).expect("the data root").f_type as u64;
    let expect = match version {
        // What carries layers on 6.12 to 6.14 does not carry them as they are mounted here; before, no file can be mounted at all.
        _ if version < (6, 15) => "Layers: dir",
        _ if has_erofs && on == EXT4 => "Layers: tar+erofs",
        // The kernel may load the module only now, or the disk may refuse: nothing to foretell.
        _ => return engine.finish(),
    };
    let info = engine.ok("info");
    assert!(info.contains(expect), "{info}");
    assert_eq!(engine.ok("run --rm busybox cat /etc/hostname").len(), 12);
    engine.finish();
}

#[test]
fn on_a_filesystem_in_memory_layers_are_directories() {
    let engine = Engine::with(Options { small_disk: Some("64m".into()), ..Options::default() });
    let info = engine.ok("info");
    assert!(info.contains("Layers: dir") && info.contains("Storage Driver: overlay2"), "{info}");
    assert_eq!(engine.ok("run --rm busybox echo from memory"), "from memory");
    engine.finish();
}

/// Neither index nor a container's own directory can lie on overlayfs: layers are directories there, and containers have copies of them.
#[test]
fn on_overlayfs_layers_are_directories() {
    let engine = Engine::with(Options { overlaid: true, ..Options::default() });
    let info = engine.ok("info");
    assert!(info.contains("Layers: dir"), "{info}");
    let saved = engine.scratch("saved").join("busybox.tar");
    engine.dhow(["save", "busybox", "-o"]).args([&saved]).ok();
    let id = engine.inspect("busybox")["Id"].clone();
    engine.ok("rmi busybox");
    engine.dhow(["load", "-q", "-i"]).args([&saved]).ok();
    assert_eq!(engine.inspect("busybox")["Id"], id);
    assert_eq!(engine.ok("run --rm busybox echo from a copy"), "from a copy");
    engine.finish();
}

#[test]
fn images_and_containers_stay_when_the_form_changes() {
    let root = tempfile::tempdir_in("/tmp").expect("a directory");
    let config = root.path().join("daemon.json");
    let choose = |form: &str| std::fs::write(&config, format!(r#"{{"storage-opts":["dhow.layers={form}"]}}"#)).expect("a file");
    choose("auto");
    let flags = vec!["--config-file".to_owned(), config.display().to_string()];
    let engine = Engine::with(Options { flags, ..Options::default() });
    engine.dhow(["run", "--name", "box", "busybox", "sh", "-c", "echo kept > /kept"]).ok();
    for (form, layer) in [("dir", "one"), ("auto", "two")] {
        choose(form);
        engine.kill_daemon();
        engine.start_daemon();
        engine.ok("start -a box");
        engine.ok(&format!("commit box {layer}"));
        assert_eq!(engine.ok(&format!("run --rm {layer} cat /kept")), "kept");
        engine.ok(&format!("save -o {}/{layer}.tar {layer}", root.path().display()));
        engine.ok(&format!("rmi {layer}"));
        engine.ok(&format!("load -i {}/{layer}.tar", root.path().display()));
        assert_eq!(engine.ok(&format!("run --rm {layer} cat /kept")), "kept");
    }
    engine.finish();
}
