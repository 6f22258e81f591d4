//! Volumes that are filesystems of their own, and parts of volumes.

use dhow_tests::{Cmd, Engine, skip, until};

fn mount_table() -> String {
    std::fs::read_to_string("/proc/self/mountinfo").expect("the mount table")
}

#[test]
fn one_filesystem_for_all_containers_as_long_as_one_runs() {
    let engine = Engine::new();
    engine.run("volume create -d local -o type=tmpfs -o device=tmpfs -o o=size=4m,uid=7,mode=0750,noexec mem").ok();
    let shown = engine.inspect("mem");
    assert_eq!(shown["Options"]["o"], "size=4m,uid=7,mode=0750,noexec");
    assert_eq!(shown["Mountpoint"], engine.data_root().join("volumes/mem/_data").display().to_string());
    engine.run("run -d --name first -v mem:/m busybox sleep 1000").ok();
    let script =
        "stat -c '%u %a' /m; df -k /m | awk 'END { print $2 }'; grep -c '/m .*noexec.* tmpfs ' /proc/self/mountinfo; echo kept > /m/f";
    assert_eq!(engine.shell("-v mem:/m", script).ok(), "7 750\n4096\n1");
    assert_eq!(engine.run("exec first cat /m/f").ok(), "kept");
    // Nobody sees it outside, and it outlives the engine that mounted it.
    assert!(!mount_table().contains("volumes/mem") && engine.dir().join("d/volumes/mem/_data").read_dir().unwrap().next().is_none());
    engine.kill_daemon();
    engine.start_daemon();
    assert_eq!(engine.shell("-v mem:/m:ro", "cat /m/f; touch /m/g 2>/dev/null || echo read-only").ok(), "kept\nread-only");
    assert_eq!(engine.shell("--volumes-from first", "cat /m/f").ok(), "kept");
    engine.kill_daemon();
    engine.start_daemon();
    // A container at rest has it too, where somebody else keeps it.
    engine.run("create --name rests -v mem:/m busybox cat /m/f").ok();
    let file = engine.scratch("files").join("f");
    std::fs::write(&file, "copied in").expect("a file");
    engine.dhow(["cp", &file.display().to_string(), "rests:/m/g"]).ok();
    assert_eq!(engine.run("exec first cat /m/g").ok(), "copied in");
    engine.dhow(["cp", "rests:/m/f", &file.display().to_string()]).ok();
    assert_eq!(std::fs::read_to_string(&file).expect("the copy"), "kept\n");
    assert_eq!(engine.run("start -a rests").ok(), "kept");
    let said = engine.run("volume rm mem").fails(1);
    assert!(said.contains("remove mem: volume is in use - ["), "{said}");
    // With the last container it goes.
    engine.run("rm -f first").ok();
    assert_eq!(engine.shell("-v mem:/m", "ls -A /m").ok(), "");
    assert!(engine.run("start -a rests").fails(1).contains("/m/f"));
    engine.run("rm rests").ok();
    engine.run("volume rm mem").ok();
    engine.finish();
}

#[test]
fn a_device_with_a_filesystem() {
    let engine = Engine::new();
    let image = engine.scratch("device").join("image");
    std::fs::File::create(&image).and_then(|file| file.set_len(8 << 20)).expect("an image");
    let made = std::process::Command::new("mkfs.ext4").arg("-q").arg(&image).status();
    if !made.is_ok_and(|status| status.success()) {
        return skip("no mkfs.ext4");
    }
    let found = std::process::Command::new("losetup").args(["-f", "--show"]).arg(&image).output();
    let Some(device) = found.ok().filter(|out| out.status.success()).map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    else {
        return skip("no loop device");
    };
    // It is freed when nobody uses it any more.
    let _device = Device(device.clone());
    engine.dhow(["volume", "create", "-o", "type=ext4", "-o", &format!("device={device}"), "disk"]).ok();
    assert_eq!(engine.shell("-v disk:/d", "ls /d; echo text > /d/f").ok(), "lost+found");
    engine.run("run -d --name holds -v disk:/d busybox sleep 1000").ok();
    engine.kill_daemon();
    engine.start_daemon();
    assert_eq!(engine.run("exec holds cat /d/f").ok(), "text");
    engine.run("rm -f holds").ok();
    engine.dhow(["volume", "create", "-o", "type=ext4", "-o", "o=ro,noatime", "-o", &format!("device={device}"), "again"]).ok();
    let script = "cat /d/f; touch /d/g 2>/dev/null || echo read-only; grep -c ' /d ro,noatime.* ext4 ' /proc/self/mountinfo";
    // The kernel does not have one filesystem writable and not: the shims before are to be gone.
    until("the filesystem is free", || !engine.shell("-v again:/d", "true").stderr().contains("device or resource busy"));
    assert_eq!(engine.shell("-v again:/d", script).ok(), "text\nread-only\n1");
    engine.finish();
}

/// A loop device.
struct Device(String);

impl Drop for Device {
    fn drop(&mut self) {
        let freed = Cmd::new("losetup").args(["-d", &self.0]).run();
        assert!(freed.code == 0 || std::thread::panicking(), "{freed}");
    }
}

#[test]
fn what_cannot_be_mounted_in_dockers_words() {
    let engine = Engine::new();
    let place = |name: &str| engine.data_root().join("volumes").join(name).join("_data").display().to_string();
    for (name, options, at, words) in [
        ("v1", "type=tmpfs device=tmpfs o=nosuchoption=1", "/new", "mount tmpfs:PLACE, data: nosuchoption=1: invalid argument"),
        ("v2", "type=nosuchtype device=none", "/new", "mount none:PLACE: no such device"),
        ("v3", "type=none device=/nosuchdir o=bind", "/new", "mount /nosuchdir:PLACE, flags: 0x1000: no such file or directory"),
        ("v4", "type=ext4 device=/dev/null o=ro,noexec", "/new", "mount /dev/null:PLACE, flags: 0x9: block device required"),
        ("v5", "type=none device=/nosuchdir o=bind", "/bin", "mount /nosuchdir:PLACE, flags: 0x1000: no such file or directory"),
        ("v6", "type=tmpfs device=tmpfs o=nosuchoption", "/bin", "mount tmpfs:PLACE, data: nosuchoption: invalid argument"),
    ] {
        let options: Vec<_> = options.split(' ').flat_map(|option| ["-o", option]).collect();
        engine.dhow(["volume", "create"]).args(options).args([name]).ok();
        let said = engine.dhow(["run", "--name", name, "-v", &format!("{name}:{at}"), "busybox", "true"]).run();
        let populate = if at == "/bin" { "failed to populate volume: " } else { "" };
        let place = place(name);
        let words = words.replace("PLACE", &place);
        let expect = format!("{populate}error while mounting volume '{place}': failed to mount local volume: {words}\n");
        assert!(said.code != 0 && said.stderr().contains(&expect), "{name}: {said}");
        if populate.is_empty() {
            assert_eq!(engine.inspect(name)["State"]["ExitCode"], 128);
            engine.run(&format!("rm {name}")).ok();
        }
        engine.run(&format!("volume rm {name}")).ok();
    }
    engine.finish();
}

#[test]
fn a_part_of_a_volume() {
    let engine = Engine::new();
    engine.run("volume create -o type=tmpfs -o device=tmpfs mem").ok();
    engine.run("run -d --name keeps -v mem:/v busybox sleep 1000").ok();
    let place = |name: &str| engine.data_root().join("volumes").join(name).join("_data").display().to_string();
    for name in ["plain", "mem"] {
        engine.shell(&format!("-v {name}:/v"), "mkdir -p /v/a/b; echo text > /v/a/b/f; ln -s a/b /v/link; echo top > /v/top").ok();
        let run = |part: &str, more: &str, script: &str| {
            let mount = format!("type=volume,src={name},dst=/p,volume-subpath={part}{more}");
            engine.dhow(["run", "--rm", "--mount", &mount, "busybox", "sh", "-c", script]).run()
        };
        assert_eq!(run("a/b", "", "ls /p; cat /p/f; ls /p/..  | grep -c top; true").ok(), "f\ntext\n0");
        assert_eq!(run("link", ",readonly", "cat /p/f; touch /p/g 2>/dev/null || echo read-only").ok(), "text\nread-only");
        assert_eq!(run("a/b/f", "", "cat /p; echo more >> /p").ok(), "text");
        assert_eq!(run("a/../a/b/f", "", "cat /p").ok(), "text\nmore");
        let base = place(name);
        let said = run("a/none/x", "", "true").stderr();
        let expect = format!("cannot access path {base}/a/none/x: lstat {base}/a/none: no such file or directory");
        assert!(said.contains(&expect), "{said}");
        for bad in ["../x", "/a", "a/../.."] {
            let said = run(bad, "", "true").stderr();
            assert!(said.contains("invalid mount config for type \"volume\": subpath must be a relative path within the volume"), "{said}");
        }
        // What is taken over is the same part; a copy of a container at rest sees it too.
        engine.dhow(["create", "--name", "has", "--mount", &format!("src={name},dst=/p,volume-subpath=a/b"), "busybox", "true"]).ok();
        assert_eq!(engine.shell("--volumes-from has", "cat /p/f").ok(), "text\nmore");
        assert!(engine.run("cp has:/p/f -").stdout().contains("text\nmore\n"));
        engine.run("rm has").ok();
    }
    let said = engine.dhow(["create", "--mount", "dst=/p,volume-subpath=a", "busybox", "true"]).run().stderr();
    assert!(said.contains("must not set Subpath when using anonymous volumes"), "{said}");
    engine.run("rm -f keeps").ok();
    engine.finish();
}
