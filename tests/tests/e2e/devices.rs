//! Devices given to a container: nodes, rules, privileged, CDI.

use dhow_tests::engine::Options;
use dhow_tests::{Engine, leaks};

#[test]
fn a_device_by_path_and_what_may_be_done_with_it() {
    let engine = Engine::new();
    let shown = engine
        .shell("--device /dev/full:/dev/mine:rw --device /dev/zero:/dev/here", "ls -l /dev/mine; head -c2 /dev/here | od -An -tx1")
        .ok();
    assert!(shown.starts_with('c') && shown.contains("1,   7") && shown.ends_with(" 00 00"), "{shown}");
    let host = &engine.run("create --name box --device /dev/full:/dev/mine:r busybox true");
    assert_eq!(host.code, 0, "{host}");
    let devices = &engine.inspect("box")["HostConfig"]["Devices"];
    assert_eq!(devices[0]["PathInContainer"], "/dev/mine");
    assert_eq!(devices[0]["CgroupPermissions"], "r");
    engine.finish();
}

#[test]
fn a_rule_lets_a_node_be_used() {
    let engine = Engine::new();
    // The loop control device: any container may make the node, none may open it.
    let script = "mknod /tmp/n c 10 237 && exec 3</tmp/n";
    assert!(engine.shell("", script).stderr().contains("Operation not permitted"));
    if std::path::Path::new("/dev/loop-control").exists() {
        let out = engine.dhow(["run", "--rm", "--device-cgroup-rule", "c 10:237 r", "busybox", "sh", "-c", script]).run();
        assert_eq!(out.code, 0, "{out}");
    }
    engine.finish();
}

#[test]
fn refusals_in_dockers_words() {
    let engine = Engine::new();
    let gather = "error gathering device information while adding custom device";
    let table = [
        ("--device /dev/nope", 127, format!("{gather} \"/dev/nope\": no such file or directory")),
        ("--device /etc/passwd", 125, format!("{gather} \"/etc/passwd\": not a device node")),
        ("--gpus all", 125, "could not select device driver \"\" with capabilities: [[gpu]]".into()),
        ("--device vendor.com/x=y", 125, "CDI device injection failed: unresolvable CDI devices vendor.com/x=y".into()),
    ];
    for (flags, code, text) in table {
        let said = engine.shell(flags, "true").fails(code);
        assert!(said.contains(&text), "{flags}: {said}");
    }
    engine.finish();
}

#[test]
fn privileged_has_everything() {
    let engine = Engine::new();
    let script = "grep -E '^(CapEff|Seccomp:)' /proc/self/status; grep -c ' /proc/[a-z]' /proc/mounts;
        grep -E ' /sys ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1";
    let shown = engine.shell("--privileged", script).ok();
    let own = std::fs::read_to_string("/proc/self/status").expect("status");
    let bounding = own.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).expect("a set");
    assert_eq!(shown, format!("CapEff:\t{bounding}\nSeccomp:\t0\n0\nrw"));
    let listed = engine.shell("--privileged", "ls /dev").ok();
    assert!(listed.lines().any(|name| name == "kmsg") == std::path::Path::new("/dev/kmsg").exists(), "{listed}");
    engine.finish();
}

#[test]
fn devices_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = "cdiVersion: 0.6.0\nkind: vendor.com/thing\ncontainerEdits:\n  env: [ALL=1]\ndevices:\n- name: one\n  containerEdits:\n    env: [ONE=1]\n    additionalGids: [4242]\n    deviceNodes:\n    - path: /dev/thing\n      hostPath: /dev/full\n    mounts:\n    - hostPath: /etc/hostname\n      containerPath: /thing/name\n      options: [ro]\n";
    std::fs::write(dir.path().join("thing.yaml"), text).expect("a file");
    let flags = vec!["--cdi-spec-dir".into(), dir.path().to_string_lossy().into_owned()];
    let engine = Engine::with(Options { flags, ..Options::default() });
    let script = "echo $ALL $ONE; id -G; ls -l /dev/thing | cut -c1; cat /thing/name";
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    assert_eq!(engine.shell("--device vendor.com/thing=one", script).ok(), format!("1 1\n0 10 4242\nc\n{}", host.trim()));
    assert_eq!(engine.ok("info --format {{.CDISpecDirs}}"), format!("[{}]", dir.path().display()));
    engine.finish();
}

#[test]
fn an_ipc_namespace_and_its_memory_are_shared() {
    let engine = Engine::new();
    engine.ok("run -d --name donor --ipc shareable busybox sleep 1000");
    engine.ok("run -d --name closed busybox sleep 1000");
    engine.dhow(["exec", "donor", "sh", "-c", "echo hello > /dev/shm/x"]).ok();
    assert_eq!(engine.shell("--ipc container:donor", "cat /dev/shm/x; echo back > /dev/shm/y; readlink /proc/self/ns/ipc").ok(), {
        let link = std::fs::read_link(format!("/proc/{}/ns/ipc", engine.container_pid("donor"))).expect("a namespace");
        format!("hello\n{}", link.display())
    });
    assert_eq!(engine.ok("exec donor cat /dev/shm/y"), "back");
    let said = engine.shell("--ipc container:closed", "true").fails(125);
    assert!(said.contains("non-shareable IPC (hint: use IpcMode:shareable for the donor container)"), "{said}");
    assert_eq!(engine.shell("--ipc none", "grep -c /dev/shm /proc/mounts").stdout().trim(), "0");
    // Nothing of it is mounted on the host: only network namespaces are pinned there.
    let mounted = leaks::mounts(engine.dir());
    assert!(mounted.iter().all(|line| line.contains(" - nsfs ")), "{mounted:?}");
    engine.finish();
}

#[test]
fn class_25_no_container_sees_anothers_environment() {
    let engine = Engine::new();
    let start = |n: u32| engine.dhow(["run", "--rm", "-e", &format!("SECRET_{n}=x{n}"), "busybox", "env"]).ok();
    let shown: Vec<String> = std::thread::scope(|scope| {
        let start = &start;
        let all: Vec<_> = (0..6).map(|n| scope.spawn(move || start(n))).collect();
        all.into_iter().map(|thread| thread.join().expect("a run")).collect()
    });
    for (n, env) in shown.iter().enumerate() {
        let secrets: Vec<&str> = env.lines().filter(|line| line.starts_with("SECRET_")).collect();
        assert_eq!(secrets, [format!("SECRET_{n}=x{n}")]);
        assert!(!env.contains("DHOW_TEST"), "the daemon's own: {env}");
    }
    engine.finish();
}

#[test]
fn the_daemons_defaults_for_limits() {
    let flags = ["--default-ulimit", "nofile=100:200", "--default-shm-size", "1m"].map(str::to_owned).to_vec();
    let engine = Engine::with(Options { flags, ..Options::default() });
    assert_eq!(engine.shell("", "ulimit -Sn; ulimit -Hn; df -k /dev/shm | tail -1 | awk '{print $2}'").ok(), "100\n200\n1024");
    assert_eq!(engine.shell("--ulimit nofile=50:60", "ulimit -Sn; ulimit -Hn").ok(), "50\n60");
    engine.finish();
}
