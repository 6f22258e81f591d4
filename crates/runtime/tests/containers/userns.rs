//! Containers in user namespaces of their own.

use crate::support::{Place, field, finish, pipes};
use dhow_runtime::{Kind, Stdio, Step};
use serde_json::json;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("userns::root_inside_is_nobody_outside", root_inside_is_nobody_outside),
    ("userns::files_keep_the_containers_ids", files_keep_the_containers_ids),
    ("userns::binds_are_not_shifted", binds_are_not_shifted),
    ("userns::execs_join_it", execs_join_it),
    ("userns::another_container_joins_it", another_container_joins_it),
    ("userns::terminals", terminals),
    ("userns::limits_can_be_raised", limits_can_be_raised),
    ("userns::the_kernels_filesystems", the_kernels_filesystems),
    ("userns::namespaces_of_the_host", namespaces_of_the_host),
    ("userns::class_19_a_setuid_program_stays_inside", class_19_a_setuid_program_stays_inside),
    ("userns::class_4_no_device_can_be_made", class_4_no_device_can_be_made),
    ("userns::devices_are_the_hosts", devices_are_the_hosts),
    ("userns::failures_leave_nothing", failures_leave_nothing),
];

fn mapped() -> Place {
    let mut place = Place::new();
    place.map();
    place
}

fn root_inside_is_nobody_outside() {
    let mut place = mapped();
    let (created, output) = place.start("id -u; id -g; cat /proc/self/uid_map; cat /proc/self/status; stat -c %u /proc/1 / /dev/shm; cat");
    let status = fs::read_to_string(format!("/proc/{}/status", created.pid)).unwrap();
    assert_eq!(field(&status, "Uid"), "100000\t100000\t100000\t100000");
    assert_eq!(field(&status, "Gid"), "100000\t100000\t100000\t100000");
    assert_eq!(field(&status, "Groups"), "");
    let (text, code) = finish(&created.pidfd, output);
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("0\n0\n         0     100000      65536\n"), "{text}");
    assert!(text.ends_with("0\n0\n0\n"), "{text}");
    assert_eq!(field(&text, "CapEff"), "00000000a80425fb");
}

fn files_keep_the_containers_ids() {
    let mut place = mapped();
    chown(place.lower().join("etc/passwd"), Some(1000), Some(1000)).unwrap();
    place.set("/process/user", json!({"uid": 0, "gid": 0, "additionalGids": [7]}));
    let text = place.ok("stat -c '%u %g' /bin/busybox /etc/passwd; echo x >> /etc/passwd; touch /new; mkdir /made; ls -n /new; id -G");
    assert!(text.starts_with("0 0\n1000 1000\n"), "{text}");
    assert!(text.ends_with("0 7\n"), "{text}");
    for (name, owner) in [("new", 0), ("made", 0), ("etc/passwd", 1000)] {
        let meta = fs::metadata(place.upper().join(name)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (owner, owner), "{name} on the disk");
    }
}

fn binds_are_not_shifted() {
    let mut place = mapped();
    // In a directory that only the host's root may enter.
    let private = place.dir.path().join("private");
    for name in ["ours", "theirs"] {
        fs::create_dir_all(private.join(name)).unwrap();
    }
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    chown(private.join("theirs"), Some(100_000), Some(100_000)).unwrap();
    for name in ["ours", "theirs"] {
        let (source, target) = (private.join(name), format!("/{name}"));
        place.push("/mounts", json!({"destination": target, "type": "bind", "source": source, "options": ["rbind", "rprivate"]}));
    }
    let text = place.ok("stat -c %u /ours /theirs; touch /theirs/x && echo written; touch /ours/x 2>/dev/null || echo refused");
    assert_eq!(text, "65534\n0\nwritten\nrefused\n");
    assert_eq!(fs::metadata(private.join("theirs/x")).unwrap().uid(), 100_000);
}

fn execs_join_it() {
    let mut place = mapped();
    let (created, _output) = place.start("sleep 100");
    let (stdio, output) = pipes();
    let script = "id -u; readlink /proc/self/ns/user; cat /proc/self/status; touch /by-exec; sleep 0.1";
    let started = place.exec(&created, &["sh", "-c", script], stdio).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", started.pid)).unwrap();
    assert_eq!(field(&status, "Uid"), "100000\t100000\t100000\t100000");
    let (text, code) = finish(&started.pidfd, output);
    assert_eq!(code, 0, "{text}");
    let own = fs::read_link(format!("/proc/{}/ns/user", created.pid)).unwrap();
    assert!(text.starts_with(&format!("0\n{}\n", own.display())), "{text}");
    assert_eq!(field(&text, "CapEff"), "00000000a80425fb");
    assert_eq!(fs::metadata(place.upper().join("by-exec")).unwrap().uid(), 0);

    let mut process = place.spec["process"].clone();
    process["args"] = json!(["id", "-u"]);
    process["user"] = json!({"uid": 1000, "gid": 1000});
    process["rlimits"] = json!([{"type": "RLIMIT_CORE", "soft": 1, "hard": u64::MAX}]);
    let (stdio, output) = pipes();
    let started = place.exec_process(&created, process.clone(), stdio).unwrap();
    assert_eq!(finish(&started.pidfd, output), ("1000\n".to_owned(), 0));
    process["user"] = json!({"uid": 70_000, "gid": 0});
    let (stdio, _output) = pipes();
    assert_eq!(place.exec_process(&created, process, stdio).unwrap_err().step, Step::User);
}

fn another_container_joins_it() {
    let mut first = mapped();
    let (created, _output) = first.start("touch /dev/shm/first; sleep 100");
    let mut second = Place::new();
    let path = |kind: &str| format!("/proc/{}/ns/{kind}", created.pid);
    let join = |kind: &str, file: &str| json!({"type": kind, "path": path(file)});
    second.set(
        "/linux/namespaces",
        json!([{"type": "mount"}, {"type": "uts"}, {"type": "cgroup"}, join("user", "user"), join("network", "net"), join("ipc", "ipc"), join("pid", "pid")]),
    );
    second.spec["linux"]["sysctl"] = json!({});
    let (text, code) =
        second.run("id -u; for n in user net ipc pid; do readlink /proc/self/ns/$n; done; ps; stat -c %u /new-root-file 2>&1; touch /x");
    assert_eq!(code, 0, "{text}");
    for kind in ["user", "net", "ipc", "pid"] {
        let link = fs::read_link(path(kind)).unwrap();
        assert!(text.contains(link.to_str().unwrap()), "{kind}: {text}");
    }
    assert!(text.starts_with("0\n") && text.contains("sleep 100"), "{text}");
    assert_eq!(fs::metadata(second.upper().join("x")).unwrap().uid(), 0);
    // Its own pid namespace belongs to the joined user namespace, or it could not be shown.
    second.spec["linux"]["namespaces"][6] = json!({"type": "pid"});
    assert!(second.ok("ps").contains("ps"));
    // Mappings, where they are given, must be the true ones.
    let map = json!([{"containerID": 0, "hostID": 200_000, "size": 65_536}]);
    second.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    let failure = second.create(pipes().0).unwrap_err();
    assert!(failure.message.starts_with("are not those of"), "{failure}");
    assert!(second.cgroup.pids().unwrap().is_empty());
}

fn terminals() {
    let mut place = mapped();
    place.set("/process/terminal", json!(true));
    place.set(
        "/process/args",
        json!(["sh", "-c", "tty; stat -c '%u %t' /dev/console /dev/pts/0; echo t > /dev/tty; echo c > /dev/console"]),
    );
    let mut created = place.create(Stdio::Terminal { size: None }).unwrap();
    let master = created.console.take().unwrap();
    created.start().unwrap();
    let (text, _) = finish(&created.pidfd, File::from(master));
    assert!(text.starts_with("/dev/pts/0\r\n0 88\r\n0 88\r\nt\r\nc\r\n"), "{text:?}");
}

fn limits_can_be_raised() {
    const SYS_RESOURCE: u64 = 1 << 24;
    let mut place = mapped();
    place.set("/process/rlimits", json!([{"type": "RLIMIT_CORE", "soft": 3, "hard": 5}]));
    let may = dhow_sys::caps::get().unwrap().effective & SYS_RESOURCE != 0;
    if may {
        place.push("/process/rlimits", json!({"type": "RLIMIT_NOFILE", "soft": 1_048_576, "hard": 1_048_576}));
    }
    let text = place.ok("cat /proc/self/limits");
    let words = |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words("Max core file size").contains("3 5"), "{text}");
    assert!(!may || words("Max open files").contains("1048576 1048576"), "{text}");
}

fn the_kernels_filesystems() {
    let mut place = mapped();
    let text = place.ok(
        "head -c 4 /dev/zero | stat -c %F /dev/null /dev/zero /dev/tty; echo x > /dev/null; stat -c %a /proc/acpi /proc/sys; cat /proc/kcore 2>/dev/null; \
         touch /proc/sys/x 2>/dev/null || echo ro; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; stat -c %g /dev/pts; \
         touch /sys/fs/cgroup/x 2>/dev/null || echo ro; cat /proc/self/cgroup",
    );
    assert!(text.starts_with("character special file\ncharacter special file\ncharacter special file\n"), "{text}");
    assert!(text.contains("ro\n0\n"), "{text}");
    assert!(text.lines().filter(|line| line.split(':').count() == 3).all(|line| line.ends_with(":/")), "{text}");
}

fn namespaces_of_the_host() {
    let mut place = mapped();
    place.set("/linux/namespaces", json!([{"type": "mount"}, {"type": "user"}, {"type": "pid"}, {"type": "cgroup"}]));
    place.spec["linux"]["sysctl"] = json!({});
    place.spec.as_object_mut().unwrap().remove("hostname");
    let text = place.ok("for n in net ipc uts; do readlink /proc/self/ns/$n; done; ls /sys/class/net /dev/mqueue");
    for kind in ["net", "ipc", "uts"] {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert!(text.contains(link.to_str().unwrap()), "{kind}: {text}");
    }
}

fn class_19_a_setuid_program_stays_inside() {
    let mut place = mapped();
    let program = place.lower().join("etc/busybox");
    fs::copy("/bin/busybox", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    place.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let (created, output) = place.start("exec /etc/busybox sh -c 'id; cat /proc/self/status; sleep 0.2'");
    std::thread::sleep(std::time::Duration::from_millis(100));
    let status = fs::read_to_string(format!("/proc/{}/status", created.pid)).unwrap();
    let ids = field(&status, "Uid");
    assert!(ids.split('\t').all(|id| id == "101000" || id == "100000"), "{ids}");
    let (text, code) = finish(&created.pidfd, output);
    assert_eq!(code, 0, "{text}");
    assert!(field(&text, "Uid").contains("1000\t"), "{text}");
}

fn class_4_no_device_can_be_made() {
    let mut place = mapped();
    std::os::unix::fs::symlink("busybox", place.lower().join("bin/mknod")).unwrap();
    let text = place.ok("mknod /disk b 254 0 2>&1; mknod /dev/mem c 1 1 2>&1; mknod /tmp/null c 1 3 2>&1; ls /dev");
    assert_eq!(text.matches("Operation not permitted").count(), 3, "{text}");
    assert!(!place.upper().join("disk").exists());
}

fn devices_are_the_hosts() {
    let mut place = mapped();
    let device = |path: &str, minor: u32| json!({"path": path, "type": "c", "major": 1, "minor": minor, "fileMode": 0o666});
    place.set("/linux/devices", json!([device("/dev/mine", 5), device("/opt/full", 7)]));
    let text = place.ok("head -c 3 /dev/mine | cat -v; echo x 2>/dev/null > /opt/full || echo full");
    assert_eq!(text, "^@^@^@full\n");
    place.set("/linux/devices", json!([{"path": "/dev/none", "type": "c", "major": 241, "minor": 3}]));
    let failure = place.fails(&["true"]);
    assert_eq!((failure.step, failure.object.as_str()), (Step::Device, "/dev/none"));
}

fn failures_leave_nothing() {
    let mut place = mapped();
    place.push("/mounts", json!({"destination": "/x", "type": "bind", "source": "/no/such/source", "options": ["rbind"]}));
    let failure = place.fails(&["true"]);
    assert_eq!((failure.step, failure.object.as_str(), failure.is_missing()), (Step::Mount, "/no/such/source", true));

    let mut place = mapped();
    assert_eq!(place.fails(&["no-such-program"]).kind, Kind::NotFound);
    place.set("/process/user", json!({"uid": 65_536, "gid": 0}));
    let failure = place.fails(&["true"]);
    assert_eq!(
        (failure.object.as_str(), failure.message.as_str()),
        ("process.user.uid", "cannot set uid to unmapped user in user namespace")
    );

    let mut place = mapped();
    place.push("/linux/namespaces", json!({"type": "ipc", "path": "/proc/self/ns/net"}));
    place.spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|ns| ns["type"] != "ipc" || ns["path"].is_string());
    assert_eq!(place.fails(&["true"]).object, "linux.namespaces.ipc");

    let mut place = mapped();
    fs::remove_dir(place.dir.path().join("work")).unwrap();
    let failure = place.fails(&["true"]);
    assert_eq!(failure.step, Step::Root, "{failure}");
}
