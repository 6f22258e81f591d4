//! Containers whose roots are full copies of their images: where the data root is on an overlayfs, as it is within a container, or by choice.

use dhow_tests::{Cmd, Engine, Options, finish_child, until};
use std::path::Path;

/// An engine whose data root is on an overlayfs.
fn overlaid() -> Engine {
    Engine::with(Options { overlaid: true, ..Options::default() })
}

/// Runs a script in a container of that name.
fn script(engine: &Engine, words: &str, script: &str) -> String {
    engine.dhow(words.split_whitespace()).args(["sh", "-c", script]).ok()
}

/// What is in a directory; nothing where there is none.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).map_or(Vec::new(), |dir| dir.map(|entry| entry.expect("an entry").file_name()).collect());
    let mut names: Vec<_> = entries.into_iter().map(|name| name.into_string().expect("a name")).collect();
    names.sort();
    names
}

#[test]
fn containers_run_on_overlayfs() {
    let engine = overlaid();
    let info = engine.ok("info");
    for line in ["Storage Driver: vfs", "Layers: dir", "Roots: copies"] {
        assert!(info.contains(line), "{info}");
    }
    script(&engine, "run --name box busybox", "echo mine > /mine; rm /bin/vi; chmod 600 /etc/passwd; mkdir -p /a/b");
    let inspect = engine.inspect("box");
    assert_eq!((&inspect["Driver"], &inspect["GraphDriver"]["Name"]), (&"vfs".into(), &"vfs".into()));
    assert!(inspect["GraphDriver"]["Data"].is_null());
    assert_eq!(engine.inspect("busybox")["GraphDriver"]["Name"], "vfs");
    assert_eq!(engine.ok("diff box"), "A /a\nA /a/b\nC /bin\nD /bin/vi\nC /etc\nC /etc/passwd\nA /mine");
    let sizes = engine.dhow(["ps", "-a", "-s", "--format", "{{.Names}} {{.Size}}"]).ok();
    // The changed file counts whole, as an overlay has it.
    let passwd = engine.ok("run --rm busybox cat /etc/passwd").len() + 1;
    assert!(sizes.starts_with(&format!("box {}B (virtual", passwd + 5)), "{sizes}");
    let again = engine.run("start -a box");
    assert_eq!(again.stderr(), "rm: can't remove '/bin/vi': No such file or directory\n");
    engine.finish();
}

#[test]
fn what_was_committed_is_the_same_on_an_engine_with_overlays() {
    let (engine, other) = (overlaid(), Engine::new());
    script(&engine, "run --name box busybox", "echo mine > /mine; rm -r /var /bin/vi; mkdir /var; touch /var/new; ln /mine /link");
    engine.ok("commit box made");
    script(&engine, "run --name above made", "rm /mine; echo two > /two");
    engine.ok("commit above made:2");
    let saved = engine.scratch("saved").join("made.tar");
    engine.dhow(["save", "made:2", "-o"]).args([&saved]).ok();
    other.dhow(["load", "-q", "-i"]).args([&saved]).ok();
    assert_eq!(engine.inspect("made:2")["RootFS"], other.inspect("made:2")["RootFS"]);
    let list = "find / -xdev ! -path '/proc*' ! -path '/sys*' ! -path '/dev*' ! -path /etc | sort | xargs stat -c '%n %F %a %u %s'
        | grep -v -e /etc/host -e resolv.conf"
        .replace('\n', " ");
    let lines = |engine: &Engine| {
        // What a directory itself takes, and how many names lead to one, is the filesystem's affair.
        let kept = |line: &str| {
            if line.contains(" directory ") { line.rsplitn(3, ' ').last().unwrap_or(line).to_owned() } else { line.to_owned() }
        };
        script(engine, "run --rm made:2", &list).lines().map(kept).collect::<Vec<_>>()
    };
    assert_eq!(lines(&engine), lines(&other));
    assert_eq!(engine.ok("run --rm made stat -c %h /link"), "2");
    assert!(!engine.ok("run --rm made:2 ls /").contains("mine"));
    other.finish();
    engine.finish();
}

#[test]
fn files_go_in_and_out_of_a_copy() {
    let engine = overlaid();
    let dir = engine.scratch("files");
    std::fs::write(dir.join("in"), "text").expect("a file");
    engine.ok("create --name box -v data:/data/deep -v /never busybox true");
    engine.dhow(["cp"]).args([dir.join("in")]).args(["box:/etc/in"]).ok();
    engine.dhow(["cp"]).args([dir.join("in")]).args(["box:/data/deep/in"]).ok();
    for place in ["/etc/in", "/data/deep/in"] {
        engine.dhow(["cp", &format!("box:{place}")]).args([dir.join("out")]).ok();
        assert_eq!(std::fs::read_to_string(dir.join("out")).expect("a file"), "text", "{place}");
    }
    assert_eq!(engine.ok("run --rm -v data:/d busybox cat /d/in"), "text");
    let exported = dir.join("root.tar");
    engine.dhow(["export", "box", "-o"]).args([&exported]).ok();
    let listed = Cmd::new("tar").args(["-tf"]).args([&exported]).ok();
    assert!(listed.lines().any(|line| line == "etc/in") && listed.lines().any(|line| line == ".dockerenv"), "{listed}");
    engine.ok("rm -v box");
    engine.ok("volume rm data");
    engine.finish();
}

#[test]
fn volumes_and_mounts_get_what_the_image_has() {
    let engine = overlaid();
    assert_eq!(engine.ok("run --rm -v data:/etc busybox cat /etc/group").lines().next(), Some("root:x:0:"));
    assert!(engine.ok("run --rm -v data:/d busybox ls /d").contains("passwd"));
    // A volume's own content hides the image's, and an image as a mount has nothing that is not its own.
    let seen = script(&engine, "run --rm --mount type=image,src=busybox,dst=/image busybox", "ls -a /image; ls /image/etc");
    assert!(seen.contains("passwd") && !seen.contains("dockerenv") && !seen.contains("hostname"), "{seen}");
    engine.ok("volume rm data");
    engine.ok("rmi -f busybox");
    assert_eq!(names(&engine.data_root().join("layers/layers")), [""; 0]);
    for run in names(&engine.data_root().join("layers/views")) {
        assert_eq!(names(&engine.data_root().join("layers/views").join(run)), [""; 0]);
    }
    engine.finish();
}

#[test]
fn a_copy_outlives_its_daemon() {
    let engine = overlaid();
    script(&engine, "run -d --name box busybox", "echo one > /one; sleep 1000");
    until("it has written", || engine.dhow(["exec", "box", "cat", "/one"]).run().code == 0);
    engine.kill_daemon();
    engine.start_daemon();
    assert_eq!(engine.ok("exec box cat /one"), "one");
    engine.ok("kill box");
    assert_eq!(engine.ok("diff box"), "A /one");
    engine.ok("restart -t 0 box");
    assert_eq!(engine.ok("exec box cat /one"), "one");
    engine.ok("rm -f box");
    until("the copy is gone", || names(&engine.data_root().join("layers/snapshots")).is_empty());
    until("nothing of it is left", || names(&engine.data_root().join("layers/tmp")).is_empty());
    engine.finish();
}

/// A daemon killed while it copies leaves the container whole or nothing of it.
#[test]
fn killed_while_a_container_is_made() {
    let engine = overlaid();
    for round in 0..8_u32 {
        let name = format!("box{round}");
        let child = engine.dhow(["create", "--name", &name, "busybox", "true"]).spawn();
        let snapshots = engine.data_root().join("layers/snapshots");
        let wanted = (round * 60) as usize;
        // At a moment that this round has for itself: so many names of the copy are there.
        let copied = || {
            let made = names(&snapshots).into_iter().map(|key| names(&snapshots.join(key).join("root/bin")).len()).max();
            made.unwrap_or(0) > wanted || engine.ok("ps -a -q --no-trunc").lines().count() > 0
        };
        until("it is being copied", copied);
        engine.kill_daemon();
        let _its_answer_is_anything = finish_child(child);
        engine.start_daemon();
        let known: Vec<_> = engine.ok("ps -a -q --no-trunc").lines().map(str::to_owned).collect();
        assert_eq!(names(&snapshots), known, "round {round}");
        until("nothing half-made is left", || names(&engine.data_root().join("layers/tmp")).is_empty());
        for id in known {
            assert_eq!(engine.ok(&format!("start -a {id}")), "");
            assert_eq!(engine.ok(&format!("diff {id}")), "");
            engine.ok(&format!("rm {id}"));
            until("the copy is gone", || names(&snapshots).is_empty());
        }
    }
    engine.finish();
}

#[test]
fn copies_by_choice_and_back() {
    let root = tempfile::tempdir_in("/tmp").expect("a directory");
    let config = root.path().join("daemon.json");
    let choose = |roots: &str| std::fs::write(&config, format!(r#"{{"storage-opts":["dhow.roots={roots}"]}}"#)).expect("a file");
    // As daemon.json has it for Docker.
    std::fs::write(&config, r#"{"storage-driver":"vfs"}"#).expect("a file");
    let flags = vec!["--config-file".to_owned(), config.display().to_string()];
    let engine = Engine::with(Options { flags, ..Options::default() });
    script(&engine, "run --name copied busybox", "echo 1 >> /runs");
    for (roots, driver, name) in [("overlay", "overlay2", "over"), ("auto", "overlay2", "auto"), ("copy", "vfs", "again")] {
        choose(roots);
        engine.kill_daemon();
        engine.start_daemon();
        assert!(engine.ok("info").contains(&format!("Storage Driver: {driver}")));
        script(&engine, &format!("run --name {name} busybox"), "echo 1 >> /runs");
        assert_eq!(engine.inspect(name)["Driver"], driver);
        assert_eq!(engine.inspect("copied")["Driver"], "vfs");
        engine.ok("start -a copied");
        assert_eq!([engine.ok(&format!("diff {name}")), engine.ok("diff copied")], ["A /runs", "A /runs"]);
    }
    let out = engine.scratch("out").join("runs");
    engine.dhow(["cp", "copied:/runs"]).args([&out]).ok();
    assert_eq!(std::fs::read_to_string(out).expect("a file"), "1\n1\n1\n1\n");
    engine.finish();
}
