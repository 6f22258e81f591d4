//! Binds and tmpfs.

use dhow_tests::Engine;
use std::os::unix::fs::MetadataExt;

#[test]
fn binds() {
    let engine = Engine::new();
    let dir = engine.scratch("shared");
    std::fs::write(dir.join("file"), "from the host\n").expect("write");
    let bind = |mode: &str| format!("{}:/in{mode}", dir.display());
    assert_eq!(engine.shell(&format!("-v {}", bind("")), "cat /in/file; echo back > /in/answer").ok(), "from the host");
    assert_eq!(std::fs::read_to_string(dir.join("answer")).expect("read"), "back\n");
    assert!(engine.shell(&format!("-v {}", bind(":ro")), "echo x > /in/file").stderr().contains("Read-only file system"));
    let single = format!("-v {}:/etc/one:ro", dir.join("file").display());
    assert_eq!(engine.shell(&single, "cat /etc/one").ok(), "from the host");
    let mount = format!("--mount type=bind,source={},target=/in,readonly", dir.display());
    assert_eq!(engine.shell(&mount, "cat /in/file; touch /in/x 2>/dev/null || echo refused").ok(), "from the host\nrefused");
    let shown = engine.dhow(["create", "--name", "box", "-v", &bind(":ro"), "busybox"]).ok();
    let mounts = &engine.inspect(&shown)["Mounts"][0];
    assert_eq!(
        (mounts["Type"].as_str(), mounts["Destination"].as_str(), mounts["RW"].as_bool(), mounts["Mode"].as_str()),
        (Some("bind"), Some("/in"), Some(false), Some("ro"))
    );
    engine.finish();
}

#[test]
fn missing_sources() {
    let engine = Engine::new();
    let missing = engine.dir().join("h/missing");
    let said = engine.shell(&format!("--mount type=bind,source={},target=/in", missing.display()), "true").fails(125);
    assert!(
        said.contains(&format!("invalid mount config for type \"bind\": bind source path does not exist: {}", missing.display())),
        "{said}"
    );
    assert!(!missing.exists());
    assert_eq!(engine.shell(&format!("-v {}:/in", missing.display()), "ls /in | wc -l").ok(), "0");
    let made = std::fs::metadata(&missing).expect("made by -v");
    assert!(made.is_dir() && made.uid() == 0);
    engine.finish();
}

#[test]
fn read_only_means_all_below() {
    let engine = Engine::new();
    let dir = engine.scratch("outer");
    let inner = dir.join("inner");
    std::fs::create_dir(&inner).expect("make");
    dhow_tests::Cmd::new("mount").args(["-t", "tmpfs", "dhow-test"]).args([&inner]).ok();
    let out = engine.shell(&format!("-v {}:/in:ro", dir.display()), "touch /in/inner/x 2>&1; true");
    dhow_tests::Cmd::new("umount").args([&inner]).ok();
    // Recursively read-only from Linux 5.12 on.
    assert!(out.stdout().contains("Read-only file system"), "{out}");
    engine.finish();
}

#[test]
fn tmpfs() {
    let engine = Engine::new();
    let shown = engine.shell("--tmpfs /scratch:size=1m,mode=700", "grep ' /scratch ' /proc/mounts; stat -c %a /scratch").ok();
    assert!(shown.contains("size=1024k") && shown.contains("noexec") && shown.ends_with("700"), "{shown}");
    let shown = engine.shell("--mount type=tmpfs,target=/scratch,tmpfs-size=1048576", "grep ' /scratch ' /proc/mounts").ok();
    assert!(shown.contains("size=1024k"), "{shown}");
    engine.finish();
}

#[test]
fn bad_mounts() {
    let engine = Engine::new();
    let table = [
        ("-v /tmp:/", "invalid specification: destination can't be '/'"),
        ("-v /tmp:relative", "mount path must be absolute"),
        ("-v /tmp:/a:bad", "invalid mode: bad"),
        ("-v /tmp:/a -v /var:/a", "Duplicate mount point: /a"),
        ("-v a/b:/c", "includes invalid characters for a local volume name"),
    ];
    for (flags, text) in table {
        let said = engine.shell(flags, "true").fails(125);
        assert!(said.contains(text), "{flags}: {said}");
    }
    assert_eq!(engine.ok("ps -aq"), "");
    engine.finish();
}

#[test]
fn files_that_the_engine_makes() {
    let engine = Engine::new();
    let hosts = engine.shell("--hostname h1 --add-host other:10.0.0.9", "cat /etc/hosts").ok();
    assert!(
        hosts.starts_with("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n") && hosts.contains("10.0.0.9\tother"),
        "{hosts}"
    );
    assert_eq!(
        engine.shell("", "ls -la /.dockerenv | wc -l; readlink /etc/mtab; echo x >> /etc/resolv.conf && echo writable").ok(),
        "1\n/proc/mounts\nwritable"
    );
    engine.finish();
}
