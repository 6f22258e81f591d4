//! `--userns-remap`: root in a container is nobody on the host, and every verb works as without it.

use dhow_tests::engine::Options;
use dhow_tests::{Cmd, Engine, Output, http, paths, until};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// The first of the host's ids that the containers have.
const FIRST: u32 = 300_000;
const SETTING: &str = "mapped:mapped";

/// An engine that sees accounts of its own, in a mount namespace of its own.
struct Remapped {
    engine: Engine,
    etc: tempfile::TempDir,
}

impl std::ops::Deref for Remapped {
    type Target = Engine;
    fn deref(&self) -> &Engine {
        &self.engine
    }
}

fn accounts(ranges: &str) -> tempfile::TempDir {
    let etc = tempfile::tempdir().unwrap();
    let lines = [
        ("passwd", "root:x:0:0::/root:/bin/sh\nmapped:x:4242:4242::/:/bin/sh\n"),
        ("group", "root:x:0:\nmapped:x:4242:\n"),
        ("subuid", ranges),
        ("subgid", ranges),
    ];
    for (name, text) in lines {
        std::fs::write(etc.path().join(name), text).unwrap();
    }
    etc
}

/// Words before the daemon's that put these files into its `/etc`.
fn wrapper(etc: &Path) -> Vec<String> {
    let script = format!("for f in passwd group subuid subgid; do mount --bind {}/$f /etc/$f; done; exec \"$@\"", etc.display());
    ["unshare", "-m", "sh", "-c", &script, "--"].map(str::to_owned).to_vec()
}

fn remapped() -> Remapped {
    remapped_with(&[])
}

fn remapped_with(more: &[&str]) -> Remapped {
    let etc = accounts(&format!("mapped:{FIRST}:65536\n"));
    let flags = ["--userns-remap", SETTING].iter().chain(more).map(|word| (*word).to_owned()).collect();
    let engine = Engine::with(Options { flags, wrapper: wrapper(etc.path()), ..Options::default() });
    Remapped { engine, etc }
}

impl Remapped {
    fn finish(self) {
        self.engine.finish();
        self.etc.close().unwrap();
    }
}

/// The user that a process is on the host.
fn outside(pid: i32) -> u32 {
    std::fs::metadata(format!("/proc/{pid}/task")).unwrap().uid()
}

fn upper(engine: &Engine, name: &str) -> std::path::PathBuf {
    engine.inspect(name)["GraphDriver"]["Data"]["UpperDir"].as_str().unwrap().into()
}

fn owner(path: impl AsRef<Path>) -> (u32, u32) {
    let meta = std::fs::symlink_metadata(path.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()));
    (meta.uid(), meta.gid())
}

#[test]
fn users_are_mapped_where_the_root_is_a_copy() {
    let engine = remapped_with(&["--storage-opt", "dhow.roots=copy"]);
    engine.dhow(["run", "-d", "--name", "box", "busybox", "sh", "-c", "touch /mine; chown 7 /mine; exec sleep 1000"]).ok();
    until("it sleeps", || engine.ok("exec box stat -c %u /mine /bin/sh") == "7\n0");
    assert_eq!(outside(engine.container_pid("box")), FIRST);
    engine.ok("kill box");
    assert_eq!(engine.ok("diff box"), "A /mine");
    engine.finish();
}

#[test]
fn root_inside_is_nobody_outside() {
    let engine = remapped();
    assert!(engine.ok("info --format {{.SecurityOptions}}").contains("name=userns"));
    engine.dhow(["run", "-d", "--name", "box", "busybox", "sh", "-c", "touch /mine; chown 1000:2000 /mine; exec sleep 1000"]).ok();
    until("it sleeps", || engine.run("exec box stat -c %u /mine").stdout().trim() == "1000");
    assert_eq!(engine.ok("exec box id -u"), "0");
    assert_eq!(engine.ok("exec -u 1000 box id -u"), "1000");
    assert_eq!(outside(engine.container_pid("box")), FIRST);
    assert_eq!(engine.ok("exec box cat /proc/self/uid_map").split_whitespace().collect::<Vec<_>>(), ["0", "300000", "65536"]);
    // On the disk is what the container sees: nothing is shifted there.
    assert_eq!(owner(upper(&engine, "box").join("mine")), (1000, 2000));
    let exec = engine.shell("--name short", "cat /proc/self/status").ok();
    assert!(exec.contains("CapEff:\t00000000a80425fb"), "{exec}");

    // A killed daemon's container, with another daemon.
    engine.kill_daemon();
    engine.start_daemon();
    assert_eq!(engine.ok("exec box id -u"), "0");
    engine.ok("restart -t 0 box");
    assert_eq!(outside(engine.container_pid("box")), FIRST);
    engine.ok("kill box");
    engine.finish();
}

#[test]
fn with_and_without_in_one_daemon() {
    let engine = remapped();
    engine.dhow(["run", "-d", "--name", "mapped", "busybox", "sh", "-c", "touch /x; exec sleep 1000"]).ok();
    engine.dhow(["run", "-d", "--name", "plain", "--userns=host", "busybox", "sh", "-c", "touch /x; exec sleep 1000"]).ok();
    assert_eq!((outside(engine.container_pid("mapped")), outside(engine.container_pid("plain"))), (FIRST, 0));
    for (name, mode) in [("mapped", ""), ("plain", "host")] {
        until("the file is there", || engine.run(&format!("exec {name} test -e /x")).code == 0);
        assert_eq!(engine.ok(&format!("exec {name} stat -c %u%g /x /bin/sh")), "00\n00");
        assert_eq!(owner(upper(&engine, name).join("x")), (0, 0));
        assert_eq!(engine.inspect(name)["HostConfig"]["UsernsMode"], mode);
    }
    let map =
        |name: &str| engine.ok(&format!("exec {name} cat /proc/self/uid_map")).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((map("mapped")[1].as_str(), map("plain")[1].as_str()), ("300000", "0"));
    assert_eq!(engine.ok("run --rm --userns=host --privileged --pid host --network host busybox id -u"), "0");
    engine.ok("rm -f mapped plain");
    engine.finish();
}

#[test]
fn what_excludes_it_is_refused_in_dockers_words() {
    let engine = remapped();
    for (flag, words) in [
        (
            "--privileged",
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
        ),
        ("--network=host", "cannot share the host's network namespace when user namespaces are enabled"),
        ("--pid=host", "cannot share the host PID namespace when user namespaces are enabled"),
    ] {
        let said = engine.run(&format!("create {flag} busybox")).fails(1);
        assert!(said.contains(&format!("Error response from daemon: {words}")), "{said}");
    }
    assert!(engine.run("create --userns=private busybox").fails(125).contains("--userns: invalid USER mode"));
    let body = r#"{"Image":"busybox","HostConfig":{"UsernsMode":"private"}}"#;
    let answer = http::request(&engine.socket(), "POST", "/containers/create", body).expect("an answer");
    assert_eq!((answer.status, answer.text().contains("invalid userns mode: private")), (400, true), "{}", answer.text());
    assert!(engine.run("run --rm -u 70000 busybox true").fails(125).contains("cannot set uid to unmapped user in user namespace"));
    // The host's ipc and uts namespaces are not excluded.
    assert_eq!(engine.shell("--ipc=host --uts=host", "id -u; ls -d /dev/mqueue").ok(), "0\n/dev/mqueue");
    engine.finish();
}

#[test]
fn binds_are_not_shifted() {
    let engine = remapped();
    let root = engine.scratch("binds");
    // Only the host's root comes here.
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::create_dir(root.join("ours")).unwrap();
    std::fs::create_dir(root.join("theirs")).unwrap();
    std::os::unix::fs::chown(root.join("theirs"), Some(FIRST + 1), Some(FIRST + 2)).unwrap();
    let bind = |name: &str| format!("{}:/{name}", root.join(name).display());
    let script = "stat -c '%u %g' /ours /theirs /made; touch /made/x; touch /theirs/y; touch /ours/z 2>/dev/null || echo refused";
    let words = ["-v", &bind("ours"), "-v", &bind("theirs"), "-v", &format!("{}:/made", root.join("new/made").display())];
    let said = engine.dhow(["run", "--rm"]).args(words).args(["busybox", "sh", "-c", script]).ok();
    assert_eq!(said, "65534 65534\n1 2\n0 0\nrefused");
    for made in ["new", "new/made", "new/made/x", "theirs/y"] {
        assert_eq!(owner(root.join(made)), (FIRST, FIRST), "{made}");
    }
    // But for those that are told to be; they are as on the host where the container has the host's ids.
    let mapped = bind("ours") + ":idmap";
    let script = "stat -c '%u %g' /ours; touch /ours/z && chown 7:8 /ours/z; rm /ours/z";
    for flags in [&[][..], &["--userns=host"]] {
        assert_eq!(engine.dhow(["run", "--rm", "-v", &mapped]).args(flags).args(["busybox", "sh", "-c", script]).ok(), "0 0");
    }
    let read = bind("ours") + ":rro,idmap";
    let script = "stat -c '%u %g' /ours; touch /ours/z 2>/dev/null || echo read-only";
    assert_eq!(engine.dhow(["run", "--rm", "-v", &read, "busybox", "sh", "-c", script]).ok(), "0 0\nread-only");
    // The engine's own files are the container's.
    assert_eq!(
        engine
            .shell("", "stat -c %u /etc/hosts /etc/resolv.conf /etc/hostname; echo '1.2.3.4 x' >> /etc/hosts && tail -n1 /etc/hosts")
            .ok(),
        "0\n0\n0\n1.2.3.4 x"
    );
    engine.finish();
}

#[test]
fn volumes_hold_the_containers_ids() {
    let engine = remapped();
    engine.shell("-v shared:/etc", "id -u; touch /etc/mine; chown 7:8 /etc/mine").ok();
    let look = "stat -c '%n %u:%g' /v /v/passwd /v/mine";
    let expect = "/v 0:0\n/v/passwd 0:0\n/v/mine 7:8";
    // The same without a user namespace, and on the disk.
    for flags in ["-v shared:/v", "-v shared:/v --userns=host"] {
        assert_eq!(engine.shell(flags, look).ok(), expect, "{flags}");
    }
    assert_eq!(owner(engine.dir().join("d/volumes/shared/_data/mine")), (7, 8));
    // So it is with a part of one, and with a filesystem of its own.
    engine.run("volume create -o type=tmpfs -o device=tmpfs -o o=mode=755 mem").ok();
    engine.run("run -d --name keeps -v mem:/v busybox sleep 1000").ok();
    engine.shell("-v mem:/v --userns=host", "mkdir /v/a; touch /v/a/mine; chown 7:8 /v/a/mine").ok();
    engine.shell("-v shared:/v", "mkdir /v/a; touch /v/a/mine; chown 7:8 /v/a/mine").ok();
    for name in ["mem", "shared"] {
        let flags = format!("--mount src={name},dst=/p,volume-subpath=a");
        assert_eq!(engine.shell(&flags, "stat -c '%n %u:%g' /p /p/mine; touch /p/new").ok(), "/p 0:0\n/p/mine 7:8");
    }
    engine.run("rm -f keeps").ok();
    engine.run("volume rm shared").ok();
    engine.finish();
}

#[test]
fn diff_commit_and_export() {
    let engine = remapped();
    engine.dhow(["run", "--name", "cc", "busybox", "sh", "-c", "mkdir /d; echo x > /d/f; chown 1000:50 /d/f; rm /bin/ls"]).ok();
    assert_eq!(engine.ok("diff cc"), "C /bin\nD /bin/ls\nA /d\nA /d/f");
    engine.ok("commit cc mine");
    let look = "stat -c '%u %g' /d /d/f; cat /d/f; test -e /bin/ls || echo gone";
    for flags in [&[][..], &["--userns=host"]] {
        let said = engine.dhow(["run", "--rm"]).args(flags).args(["mine", "sh", "-c", look]).ok();
        assert_eq!(said, "0 0\n1000 50\nx\ngone", "{flags:?}");
    }
    let archive = engine.scratch("out").join("cc.tar");
    engine.dhow(["export", "-o"]).args([&archive]).args(["cc"]).ok();
    let listed = Cmd::new("tar").args(["--numeric-owner", "-tvf"]).args([&archive]).ok();
    assert!(listed.lines().any(|line| line.contains(" 1000/50 ") && line.ends_with(" d/f")), "{listed}");
    assert!(!listed.contains("300000"), "{listed}");
    engine.ok("rm cc");
    engine.ok("rmi mine");
    engine.finish();
}

#[test]
fn copies_in_and_out() {
    let engine = remapped();
    let dir = engine.scratch("files");
    std::fs::write(dir.join("in"), "typed").unwrap();
    std::os::unix::fs::chown(dir.join("in"), Some(1000), Some(50)).unwrap();
    engine
        .dhow(["run", "-d", "--name", "box", "busybox", "sh", "-c", "echo x > /own; chown 7:8 /own; chmod 600 /own; exec sleep 1000"])
        .ok();
    until("the file is there", || engine.run("exec box cat /own").stdout() == "x\n");
    for running in [true, false] {
        engine.dhow(["cp", "-a", &dir.join("in").to_string_lossy(), "box:/in"]).ok();
        engine.dhow(["cp", "-a", "box:/own", &dir.join("out").to_string_lossy()]).ok();
        assert_eq!(owner(dir.join("out")), (7, 8), "running: {running}");
        assert_eq!(owner(upper(&engine, "box").join("in")), (1000, 50), "running: {running}");
        if running {
            assert_eq!(engine.dhow(["exec", "box", "stat", "-c", "%u %g", "/in"]).ok(), "1000 50");
            engine.ok("exec box rm /in");
            engine.ok("kill box");
        }
    }
    engine.ok("rm box");
    engine.finish();
}

#[test]
fn namespaces_of_other_containers() {
    let engine = remapped();
    engine.ok("run -d --name first --ipc shareable busybox sleep 1000");
    let link = |pid: i32, kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    let first = engine.container_pid("first");
    for (flag, kind) in [("--network", "net"), ("--pid", "pid"), ("--ipc", "ipc")] {
        engine.ok(&format!("run -d --name second {flag} container:first busybox sleep 1000"));
        let second = engine.container_pid("second");
        assert_eq!(link(second, kind), link(first, kind), "{flag}");
        assert_eq!(link(second, "user"), link(first, "user"), "{flag}");
        assert_eq!(outside(second), FIRST);
        assert_eq!(engine.dhow(["exec", "second", "sh", "-c", "id -u; ls /sys/class/net"]).ok(), "0\nlo", "{flag}");
        engine.ok("rm -f second");
    }
    let all = "--network container:first --pid container:first --ipc container:first";
    assert!(engine.shell(all, "ps; touch /dev/shm/x").ok().contains("sleep 1000"));
    assert_eq!(engine.ok("exec first stat -c %u /dev/shm/x"), "0");
    // Whoever lives in the host's user namespace may join, but not be joined.
    assert!(engine.shell("--userns=host --pid container:first --network container:first", "ps").ok().contains("sleep 1000"));
    engine.ok("run -d --name plain --userns=host busybox sleep 1000");
    let said = engine.run("run --rm --network container:plain busybox true").fails(125);
    assert!(said.contains("lives in the host's user namespace: use --userns=host"), "{said}");
    engine.ok("rm -f first plain");
    engine.finish();
}

#[test]
fn what_a_container_needs_of_the_kernel() {
    let engine = remapped();
    let tty = engine.dhow(["run", "-t", "--rm", "busybox", "sh", "-c", "tty; stat -c %u /dev/pts/0 /dev/console"]).ok();
    assert_eq!(tty.lines().map(str::trim).collect::<Vec<_>>(), ["/dev/pts/0", "0", "0"]);
    assert_eq!(engine.dhow(["run", "-i", "--rm", "-u", "1000", "busybox", "sh", "-c", "cat > /dev/stdout"]).input("typed").ok(), "typed");
    let said = engine
        .shell(
            "--init --read-only --tmpfs /t:uid=7,mode=700 --ulimit core=3:4",
            "stat -c %u /t; grep -c 'core file size *3 *4' /proc/self/limits; touch /x 2>&1; true",
        )
        .ok();
    assert!(said.starts_with("7\n1\n"), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
    let said = engine
        .shell("--sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=4096", "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax");
    assert_eq!(said.ok(), "1\n4096");
    assert_eq!(engine.shell("--device /dev/full:/dev/mine", "echo x 2>/dev/null > /dev/mine || echo full").ok(), "full");
    assert_eq!(engine.shell("--cap-add SYS_ADMIN --security-opt seccomp=unconfined", "mount -t tmpfs x /tmp; echo $?").ok(), "0");
    engine.finish();
}

#[test]
fn class04_device_nodes_cannot_be_made() {
    let engine = remapped();
    let script = "mknod /disk b 254 0; mknod /dev/kmem c 1 2; mknod /dev/shm/null c 1 3; echo done";
    for flags in ["", "--cap-add ALL --security-opt seccomp=unconfined"] {
        let out = engine.shell(flags, script);
        assert_eq!(out.stdout(), "done\n", "{out}");
        assert_eq!(out.stderr().matches("Operation not permitted").count(), 3, "{out}");
    }
    engine.finish();
}

#[test]
fn class19_a_setuid_program_and_all_capabilities_stay_inside() {
    let engine = remapped();
    let script = "cp /bin/busybox /tmp/busybox; chmod 4755 /tmp/busybox; exec su -s /bin/sh nobody -c 'exec /tmp/busybox sleep 1000'";
    engine.dhow(["run", "-d", "--name", "box", "busybox", "sh", "-c", script]).ok();
    let pids = || {
        let text = engine.ok("top box -eo pid,args");
        let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row.get(1) == Some(&"/tmp/busybox")).filter_map(|row| row[0].parse::<i32>().ok()).collect::<Vec<_>>()
    };
    until("the program runs", || !pids().is_empty());
    for pid in pids() {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let ids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
        assert!(ids.split_whitespace().all(|id| (FIRST..FIRST + 65_536).contains(&id.parse().unwrap())), "{ids}");
    }
    // Every capability, and still nothing of the host's: its files, its settings, its clock, its modules.
    let secret = engine.scratch("secret");
    std::fs::write(secret.join("key"), "x").unwrap();
    std::fs::set_permissions(secret.join("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let script = "cat /s/key; chown 0 /s/key; rm /s/key; echo 1 > /proc/sys/kernel/hostname_x; echo x > /proc/sysrq-trigger; date -s 2001-01-01 > /dev/null; hostname own && hostname";
    let bind = format!("{}:/s", secret.display());
    let out = engine
        .dhow(["run", "--rm", "--cap-add", "ALL", "--security-opt", "seccomp=unconfined", "-v", &bind, "busybox", "sh", "-c", script])
        .run();
    assert_eq!(out.stdout(), "own\n", "{out}");
    assert_eq!(std::fs::read_to_string(secret.join("key")).unwrap(), "x");
    engine.ok("rm -f box");
    engine.finish();
}

#[test]
fn the_setting() {
    let with = |ranges: &str, setting: &str| -> (tempfile::TempDir, Output) {
        let etc = accounts(ranges);
        let dir = tempfile::tempdir().unwrap();
        let words = wrapper(etc.path());
        let out = Cmd::new(&words[0])
            .args(&words[1..])
            .args([
                paths::dhow().as_os_str(),
                "daemon".as_ref(),
                "--data-root".as_ref(),
                dir.path().join("d").as_ref(),
                "--exec-root".as_ref(),
            ])
            .args([dir.path().join("x")])
            .args(["--userns-remap", setting])
            .run();
        (etc, out)
    };
    for (ranges, setting, words) in [
        ("", "mapped", "Can't create ID mappings: no subuid ranges found for user \"mapped\""),
        ("", "nosuch", "Error during uid lookup for \"nosuch\""),
        ("", "a:b:c", "Invalid user/group specification in --userns-remap: \"a:b:c\""),
        ("mapped:1:0\n", "4242", "Can't create ID mappings: uids[0]: is empty or goes beyond the largest id"),
    ] {
        let (_etc, out) = with(ranges, setting);
        assert_eq!(out.code, 1, "{out}");
        assert!(out.stderr().contains(words), "{out}");
    }

    // By default ranges are entered for a user of that name, once.
    let etc = accounts("other:100000:65536\n");
    let flags = vec!["--userns-remap=default".to_owned()];
    let engine = Engine::with(Options { flags, wrapper: wrapper(etc.path()), ..Options::default() });
    let entered = "other:100000:65536\ndockremap:165536:65536\n";
    for file in ["subuid", "subgid"] {
        assert_eq!(std::fs::read_to_string(etc.path().join(file)).unwrap(), entered);
    }
    assert_eq!(engine.shell("", "cat /proc/self/uid_map").ok().split_whitespace().nth(1), Some("165536"));
    assert_eq!(engine.stop_daemon(), 0);
    engine.start_daemon();
    assert_eq!(std::fs::read_to_string(etc.path().join("subuid")).unwrap(), entered);
    engine.finish();
}
