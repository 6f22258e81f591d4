//! What the specification has beyond Docker's needs: each field reaches the kernel.

use crate::support::{Place, field, finish, host_mounts, pipes};
use dhow_runtime::{Kind, Listener, Step};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("spec12::scheduling", scheduling),
    ("spec12::processors_of_an_exec", processors_of_an_exec),
    ("spec12::clocks_of_its_own", clocks_of_its_own),
    ("spec12::a_time_namespace_by_path", a_time_namespace_by_path),
    ("spec12::clocks_in_a_user_namespace", clocks_in_a_user_namespace),
    ("spec12::a_tmpfs_with_what_was_there", a_tmpfs_with_what_was_there),
    ("spec12::attributes_of_the_mounts_below", attributes_of_the_mounts_below),
    ("spec12::remounts", remounts),
    ("spec12::mounts_with_their_own_owners", mounts_with_their_own_owners),
    ("spec12::owners_in_a_user_namespace", owners_in_a_user_namespace),
    ("spec12::a_root_that_listens", a_root_that_listens),
    ("spec12::calls_for_somebody_else", calls_for_somebody_else),
    ("spec12::network_devices", network_devices),
    ("spec12::devices_of_all_kinds", devices_of_all_kinds),
    ("spec12::personality_and_terminal_size", personality_and_terminal_size),
    ("spec12::the_oom_score_stays", the_oom_score_stays),
    ("spec12::a_mount_namespace_by_path", a_mount_namespace_by_path),
    ("spec12::refusals", refusals),
];

/// Field `n` of `/proc/PID/stat`, counted as in its manual.
fn stat_field(pid: i32, n: usize) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(n - 3).unwrap().to_owned()
}

fn scheduling() {
    let mut place = Place::new();
    place.set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 7}));
    place.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 6}));
    let (created, _output) = place.start("exec sleep 100");
    assert_eq!((stat_field(created.pid, 19).as_str(), stat_field(created.pid, 41).as_str()), ("7", "3"));
    let ionice = std::process::Command::new("ionice").args(["-p", &created.pid.to_string()]).output();
    if let Ok(ionice) = ionice {
        assert_eq!(String::from_utf8_lossy(&ionice.stdout), "best-effort: prio 6\n");
    }
    let mut place = Place::new();
    place.set("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0"}));
    let (stdio, output) = pipes();
    place.set("/process/args", json!(["cat", "/proc/self/numa_maps"]));
    match place.create_and_start(stdio) {
        Ok(created) => {
            let (text, code) = finish(&created.pidfd, output);
            assert!(code != 0 || text.contains("bind:0") || text.contains("bind=static:0"), "{text}");
        }
        // A kernel without NUMA.
        Err(failure) => assert_eq!((failure.object.as_str(), failure.errno), ("linux.memoryPolicy", libc::ENOSYS)),
    }
}

fn processors_of_an_exec() {
    let mut place = Place::new();
    let (created, _output) = place.start("exec sleep 100");
    let own = dhow_sys::sched::processors().unwrap();
    let (first, last) = (own[0], own[own.len() - 1]);
    for (affinity, expect) in
        [(json!({"initial": first.to_string()}), None), (json!({"initial": first.to_string(), "final": last.to_string()}), Some(last))]
    {
        let mut process = place.spec["process"].clone();
        process["args"] = json!(["cat", "/proc/self/status"]);
        process["execCPUAffinity"] = affinity;
        let (stdio, output) = pipes();
        let started = place.exec_process(&created, process, stdio).unwrap();
        let (text, code) = finish(&started.pidfd, output);
        assert_eq!(code, 0, "{text}");
        if let Some(expect) = expect {
            assert_eq!(field(&text, "Cpus_allowed_list"), expect.to_string());
        }
        assert_eq!(dhow_sys::sched::processors().unwrap(), own, "the caller is where it was");
    }
    let mut process = place.spec["process"].clone();
    process["execCPUAffinity"] = json!({"initial": "8000"});
    let (stdio, _output) = pipes();
    let failure = place.exec_process(&created, process, stdio).unwrap_err();
    assert_eq!(failure.object, "process.execCPUAffinity.initial");
}

/// Waits for so many lines of a container's, ends it, and hands them back.
fn said(place: &Place, created: &dhow_runtime::Created, output: fs::File, lines: usize) -> String {
    let mut output = BufReader::new(output);
    let mut text = String::new();
    for _ in 0..lines {
        output.read_line(&mut text).unwrap();
    }
    place.cgroup.kill().unwrap();
    dhow_sys::process::wait(&created.pidfd).unwrap();
    text
}

fn with_clock(place: &mut Place) {
    place.push("/linux/namespaces", json!({"type": "time"}));
    place.set("/linux/timeOffsets", json!({"boottime": {"secs": 1_000_000, "nanosecs": 5}, "monotonic": {"secs": 2_000_000}}));
}

fn uptime(text: &str) -> f64 {
    text.split_whitespace().next().unwrap().parse().unwrap()
}

fn clocks_of_its_own() {
    let before = fs::read_link("/proc/self/ns/time_for_children").unwrap();
    let mut place = Place::new();
    with_clock(&mut place);
    let (created, output) = place.start("cat /proc/uptime /proc/self/timens_offsets; exec sleep 100");
    assert_eq!(fs::read_link("/proc/self/ns/time_for_children").unwrap(), before, "the caller is where it was");
    assert_ne!(fs::read_link(format!("/proc/{}/ns/time", created.pid)).unwrap(), before);
    let (stdio, inside) = pipes();
    let started = place.exec(&created, &["cat", "/proc/uptime"], stdio).unwrap();
    let (exec, code) = finish(&started.pidfd, inside);
    assert_eq!(code, 0);
    let text = said(&place, &created, output, 3);
    let host = uptime(&fs::read_to_string("/proc/uptime").unwrap());
    for text in [&text, &exec] {
        assert!(uptime(text) > 1_000_000.0 && uptime(text) < 1_000_001.0 + host, "{text}");
    }
    assert!(text.contains("monotonic     2000000         0\nboottime      1000000         5"), "{text}");
}

fn a_time_namespace_by_path() {
    let mut wrong = Place::new();
    wrong.push("/linux/namespaces", json!({"type": "time", "path": "/proc/self/ns/net"}));
    let failure = wrong.fails(&["true"]);
    assert_eq!((failure.kind, failure.object.as_str()), (Kind::Invalid, "linux.namespaces.time"), "{failure}");
    let mut first = Place::new();
    with_clock(&mut first);
    let (created, _output) = first.start("exec sleep 100");
    let mut second = Place::new();
    second.push("/linux/namespaces", json!({"type": "time", "path": format!("/proc/{}/ns/time", created.pid)}));
    let text = second.ok("cat /proc/uptime");
    assert!(uptime(&text) > 1_000_000.0, "{text}");
}

fn clocks_in_a_user_namespace() {
    let mut place = Place::new();
    place.map();
    with_clock(&mut place);
    let (created, output) = place.start("cat /proc/uptime; exec sleep 100");
    let (stdio, inside) = pipes();
    let started = place.exec(&created, &["cat", "/proc/uptime"], stdio).unwrap();
    let (exec, code) = finish(&started.pidfd, inside);
    assert_eq!(code, 0, "{exec}");
    assert!(uptime(&exec) > 1_000_000.0);
    assert!(uptime(&said(&place, &created, output, 1)) > 1_000_000.0);
}

fn a_tmpfs_with_what_was_there() {
    let mut place = Place::new();
    let data = place.lower().join("data/sub");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("file"), "words\n").unwrap();
    fs::set_permissions(data.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
    chown(data.join("file"), Some(7), Some(8)).unwrap();
    place.push("/mounts", json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "mode=755", "ro"]}));
    let text =
        place.ok("cat /data/sub/file; stat -c '%a %u %g' /data/sub/file; grep ' /data ' /proc/self/mountinfo; touch /data/x 2>&1 || true");
    assert!(text.starts_with("words\n640 7 8\n"), "{text}");
    assert!(text.contains(" ro,") && text.contains("tmpfs") && text.contains("Read-only file system"), "{text}");
    let mut place = Place::new();
    fs::create_dir(place.lower().join("data")).unwrap();
    place.push("/mounts", json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}));
    place.ok("touch /data/x && ls /data/x");
}

/// A directory with a tmpfs on its `below`, seen by the test's mount namespace.
fn with_a_mount_below(place: &Place) -> std::path::PathBuf {
    let source = place.dir.path().join("source");
    fs::create_dir_all(source.join("below")).unwrap();
    let tmpfs = dhow_sys::mount::Filesystem::open("tmpfs").unwrap().mount(0).unwrap();
    dhow_sys::mount::attach(&tmpfs, dhow_sys::mount::open_path(&source.join("below")).unwrap()).unwrap();
    source
}

fn attributes_of_the_mounts_below() {
    let lines = |options: Value| {
        let mut place = Place::new();
        let source = with_a_mount_below(&place);
        place.push("/mounts", json!({"destination": "/t", "type": "bind", "source": source, "options": options}));
        let text = place.ok("cat /proc/self/mountinfo");
        dhow_sys::mount::unmount_detach(source.join("below")).unwrap();
        let of = |at: &str| {
            let line = text.lines().find(|line| line.split(' ').nth(4) == Some(at)).unwrap_or_else(|| panic!("{at} in {text}"));
            line.split(' ').nth(5).unwrap().to_owned()
        };
        (of("/t"), of("/t/below"))
    };
    for (options, above, below) in [
        (json!(["rbind", "ro"]), "ro,", "rw,"),
        (json!(["rbind", "rro"]), "ro,", "ro,"),
        (json!(["rbind", "rro", "nosuid"]), "ro,nosuid,", "ro,"),
        (json!(["rbind", "rnosuid", "rnodev", "rnoexec", "ro"]), "ro,nosuid,nodev,noexec,", "rw,nosuid,nodev,noexec,"),
        (json!(["rbind", "rnoatime", "rprivate"]), "rw,noatime", "rw,noatime"),
        (json!(["rbind", "rnosymfollow", "sync", "iversion"]), "rw,", "rw,"),
    ] {
        let (of_top, of_below) = lines(options.clone());
        // An option more would show between those expected and the way of access times.
        let same =
            |found: &str, expect: &str| found.strip_prefix(expect).is_some_and(|rest| !rest.contains("no") || rest.contains("symfollow"));
        assert!(same(&of_top, above) && same(&of_below, below), "{options}: {of_top} and {of_below}");
        let symfollow = options.to_string().contains("nosymfollow");
        assert_eq!((of_top.contains("nosymfollow"), of_below.contains("nosymfollow")), (symfollow, symfollow));
    }
}

fn remounts() {
    let mut place = Place::new();
    place.push("/mounts", json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}));
    place.push("/mounts", json!({"destination": "/tmp", "type": "none", "options": ["remount", "ro", "noexec"]}));
    let text = place.ok("grep ' /tmp ' /proc/self/mountinfo; touch /tmp/x 2>&1 || true");
    assert!(text.contains(" /tmp ro,noexec,") && text.contains("Read-only file system"), "{text}");
}

/// The kernel takes no mapping of the directory's filesystem.
fn cannot_map(failure: &dhow_runtime::Failure) -> bool {
    matches!(failure.errno, libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP)
}

fn mounts_with_their_own_owners() {
    let before = host_mounts();
    let map = |host: u32| json!([{"containerID": 1000, "hostID": host, "size": 1}, {"containerID": 0, "hostID": 0, "size": 1}]);
    let mut place = Place::new();
    let source = place.dir.path().join("files");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "").unwrap();
    chown(source.join("file"), Some(1000), Some(1000)).unwrap();
    let mount = |target: &str, options: Value| json!({"destination": target, "type": "bind", "source": source, "options": options, "uidMappings": map(2000), "gidMappings": map(3000)});
    place.push("/mounts", mount("/mapped", json!(["rbind", "idmap"])));
    place.push("/mounts", mount("/below", json!(["rbind", "ridmap", "ro"])));
    place.push("/mounts", mount("/quiet", json!(["bind"])));
    place.push("/mounts", json!({"destination": "/plain", "type": "bind", "source": source}));
    place.set("/process/args", json!(["sh", "-c", "stat -c '%u %g' /mapped/file /below/file /quiet/file /plain/file"]));
    let (stdio, output) = pipes();
    match place.create_and_start(stdio) {
        Ok(created) => assert_eq!(finish(&created.pidfd, output), ("2000 3000\n2000 3000\n2000 3000\n1000 1000\n".to_owned(), 0)),
        Err(failure) => assert!(cannot_map(&failure), "{failure}"),
    }
    assert!(dhow_sys::process::reap_any().unwrap().is_none(), "those that held the mappings are gone");
    place.assert_same_mounts(&before);
}

fn owners_in_a_user_namespace() {
    let mut place = Place::new();
    place.map();
    let source = place.dir.path().join("files");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "").unwrap();
    chown(source.join("file"), Some(5), Some(6)).unwrap();
    let own = json!([{"containerID": 5, "hostID": 100_009, "size": 2}, {"containerID": 0, "hostID": 100_000, "size": 1}]);
    let bind = |target: &str, options: Value| json!({"destination": target, "type": "bind", "source": source, "options": options});
    place.push("/mounts", bind("/as-container", json!(["bind", "idmap"])));
    let mut with_map = bind("/own", json!(["bind", "idmap"]));
    (with_map["uidMappings"], with_map["gidMappings"]) = (own.clone(), own);
    place.push("/mounts", with_map);
    place.set("/process/args", json!(["sh", "-c", "stat -c '%u %g' /as-container/file /own/file; touch /own/new && echo made"]));
    let (stdio, output) = pipes();
    match place.create_and_start(stdio) {
        Ok(created) => {
            assert_eq!(finish(&created.pidfd, output), ("5 6\n9 10\nmade\n".to_owned(), 0));
            assert_eq!(fs::metadata(source.join("new")).unwrap().uid(), 0);
        }
        Err(failure) => assert!(cannot_map(&failure), "{failure}"),
    }
}

fn a_root_that_listens() {
    for (propagation, hears) in [("slave", true), ("private", false)] {
        let mut place = Place::new();
        let root = place.dir.path().join("root");
        fs::create_dir(&root).unwrap();
        // A mount of its own in the host's shared tree.
        let tree = dhow_sys::mount::clone_tree(rustix::fs::CWD, &place.lower(), false).unwrap();
        dhow_sys::mount::attach(&tree, dhow_sys::mount::open_path(&root).unwrap()).unwrap();
        place.set("/linux/rootfsPropagation", json!(propagation));
        place.root = Some(root.clone());
        let (created, output) = place.start("exec sleep 100");
        let tmpfs = dhow_sys::mount::Filesystem::open("tmpfs").unwrap().mount(0).unwrap();
        dhow_sys::mount::attach(&tmpfs, dhow_sys::mount::open_path(&root.join("tmp")).unwrap()).unwrap();
        let inside = fs::read_to_string(format!("/proc/{}/mountinfo", created.pid)).unwrap();
        assert_eq!(inside.lines().any(|line| line.split(' ').nth(4) == Some("/tmp")), hears, "{propagation}: {inside}");
        said(&place, &created, output, 0);
        for place in [root.join("tmp"), root] {
            dhow_sys::mount::unmount_detach(place).unwrap();
        }
    }
}

fn calls_for_somebody_else() {
    let mut place = Place::new();
    let socket = place.dir.path().join("agent");
    let agent = UnixListener::bind(&socket).unwrap();
    place.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket, "listenerMetadata": "words",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]}),
    );
    let spec = serde_json::from_value(place.spec.clone()).unwrap();
    place.listener = Listener::of(&spec, "box", place.dir.path());
    let (stdio, output) = pipes();
    place.set("/process/args", json!(["mkdir", "/tmp/made"]));
    let created = place.create_and_start(stdio).unwrap();
    let (words, fd) = hear(&agent);
    assert_eq!((&words["fds"], &words["pid"], &words["metadata"]), (&json!(["seccompFd"]), &json!(created.pid), &json!("words")));
    assert_eq!((&words["state"]["id"], &words["state"]["status"]), (&json!("box"), &json!("creating")));
    answer(&fd, libc::ENOTEMPTY);
    let (text, code) = finish(&created.pidfd, output);
    assert!(code != 0 && text.contains("not empty"), "{text}");

    // A filter that nobody listens to is refused, and so is a listener who is not there.
    place.listener = None;
    let failure = place.fails(&["true"]);
    assert_eq!((failure.kind, failure.object.as_str()), (Kind::Invalid, "linux.seccomp.listenerPath"));
    drop(agent);
    place.listener = Listener::of(&spec, "box", place.dir.path());
    let failure = place.fails(&["true"]);
    assert_eq!((failure.step, failure.errno), (Step::Seccomp, libc::ECONNREFUSED), "{failure}");
}

/// One connection's words and descriptor.
fn hear(agent: &UnixListener) -> (Value, std::os::fd::OwnedFd) {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let (mut stream, _) = agent.accept().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); 64];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut first = [0; 4096];
    let message = recvmsg(&stream, &mut [std::io::IoSliceMut::new(&mut first)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut fds: Vec<_> = control
        .drain()
        .filter_map(|part| if let RecvAncillaryMessage::ScmRights(fds) = part { Some(fds.collect::<Vec<_>>()) } else { None })
        .flatten()
        .collect();
    let mut text = first[..message.bytes].to_vec();
    stream.read_to_end(&mut text).unwrap();
    (serde_json::from_slice(&text).unwrap(), fds.remove(0))
}

/// Takes one call and lets it fail.
fn answer(fd: &std::os::fd::OwnedFd, errno: i32) {
    dhow_sys::seccomp::refuse_next(fd, errno).unwrap();
}

fn network_devices() {
    // The host is played by a network namespace.
    dhow_sys::process::unshare(libc::CLONE_NEWNET as u64).unwrap();
    let ip = |words: &[&str]| {
        let done = std::process::Command::new("ip").args(words).output().unwrap();
        assert!(done.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    // Neither busybox nor a kernel without the module makes pairs.
    let pair = std::process::Command::new("ip").args(["link", "add", "one", "type", "veth", "peer", "name", "two"]).output();
    if !pair.is_ok_and(|done| done.status.success()) {
        println!("SKIPPED: network devices: no pair of them can be made");
        return;
    }
    ip(&["link", "add", "three", "type", "veth", "peer", "name", "four"]);
    ip(&["address", "add", "10.7.0.1/24", "dev", "one"]);
    ip(&["address", "add", "fd00:7::1/64", "dev", "one", "nodad"]);
    ip(&["link", "set", "one", "up"]);
    ip(&["link", "set", "two", "up"]);
    let mut place = Place::new();
    place.set("/linux/netDevices", json!({"one": {"name": "inside"}, "three": {"name": "net%d"}}));
    let text = place.ok("cat /proc/net/dev /proc/net/if_inet6 /proc/net/fib_trie; cat /sys/class/net/inside/flags");
    assert!(text.contains("inside:") && text.contains("net0:") && !text.contains("one:"), "{text}");
    assert!(text.contains("10.7.0.1") && text.contains("fd000007000000000000000000000001"), "{text}");
    assert_eq!(u32::from_str_radix(text.lines().last().unwrap().trim_start_matches("0x"), 16).unwrap() & 1, 1, "it is up: {text}");
    for (devices, word) in [(json!({"nope": {}}), "no such"), (json!({"lo": {}}), "")] {
        let mut place = Place::new();
        let name = devices.as_object().unwrap().keys().next().unwrap().clone();
        place.set("/linux/netDevices", devices);
        let failure = place.fails(&["true"]);
        assert_eq!((failure.step, failure.object), (Step::Network, format!("linux.netDevices.{name}")));
        assert!(failure.message.contains(word));
    }
}

fn devices_of_all_kinds() {
    let mut place = Place::new();
    place.set(
        "/linux/devices",
        json!([
            {"path": "/dev/block", "type": "b", "major": 7, "minor": 200, "fileMode": 0o600, "uid": 3, "gid": 4},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o622},
            {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 3},
            {"path": "/srv/own/char", "type": "c", "major": 1, "minor": 5, "fileMode": 0o20_444},
        ]),
    );
    let text = place.ok("stat -c '%F %a %t:%T %u %g' /dev/block /dev/pipe /dev/unbuffered /srv/own/char");
    let expect =
        "block special file 600 7:c8 3 4\nfifo 622 0:0 0 0\ncharacter special file 666 1:3 0 0\ncharacter special file 444 1:5 0 0\n";
    assert_eq!(text, expect);
    let mut place = Place::new();
    fs::create_dir(place.lower().join("srv")).unwrap();
    fs::write(place.lower().join("srv/x"), "").unwrap();
    place.set("/linux/devices", json!([{"path": "/srv/x", "type": "c", "major": 1, "minor": 5}]));
    assert_eq!(place.fails(&["true"]).step, Step::Device);
}

fn personality_and_terminal_size() {
    let mut place = Place::new();
    place.set("/linux/personality", json!({"domain": "LINUX32"}));
    assert_eq!(place.ok("cat /proc/self/personality"), "00000008\n");
    let mut place = Place::new();
    place.set("/process/terminal", json!(true));
    place.set("/process/consoleSize", json!({"height": 33, "width": 77}));
    place.set("/process/args", json!(["stty", "size"]));
    let mut created = place.create(dhow_runtime::Stdio::Terminal { size: None }).unwrap();
    let master = fs::File::from(created.console.take().unwrap());
    created.start().unwrap();
    assert_eq!(finish(&created.pidfd, master), ("33 77\r\n".to_owned(), 0));
}

fn the_oom_score_stays() {
    fs::write("/proc/self/oom_score_adj", "321").unwrap();
    let mut place = Place::new();
    assert_eq!(place.ok("cat /proc/self/oom_score_adj"), "321\n");
    place.set("/process/oomScoreAdj", json!(400));
    assert_eq!(place.ok("cat /proc/self/oom_score_adj"), "400\n");
}

/// A process that only holds a mount namespace of its own, whose mounts nobody else sees.
fn holder() -> (i32, std::os::fd::OwnedFd) {
    use dhow_sys::mount::{Propagation, propagate_root};
    use dhow_sys::process;
    let (mut ready, tell) = std::io::pipe().unwrap();
    match dhow_sys::clone::fork().unwrap() {
        dhow_sys::clone::Forked::Child => {
            let made = process::unshare(libc::CLONE_NEWNS as u64).and_then(|()| propagate_root(true, Propagation::Private));
            // It must not outlive a test that fails.
            let tied = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
            drop(tell);
            while made.is_ok() && tied.is_ok() {
                std::thread::sleep(std::time::Duration::from_secs(100));
            }
            process::exit_now(1)
        }
        dhow_sys::clone::Forked::Parent { pid, pidfd } => {
            drop(tell);
            ready.read_to_end(&mut Vec::new()).unwrap();
            (pid, pidfd)
        }
    }
}

fn a_mount_namespace_by_path() {
    let (pid, pidfd) = holder();
    let path = format!("/proc/{pid}/ns/mnt");
    let mut place = Place::new();
    fs::write(place.lower().join("mine"), "").unwrap();
    place.spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "mount");
    place.push("/linux/namespaces", json!({"type": "mount", "path": path}));
    let text = place.ok("readlink /proc/self/ns/mnt; ls /mine; stat -c %t:%T /proc/keys");
    let expect = format!("{}\n/mine\n1:3\n", fs::read_link(&path).unwrap().display());
    assert_eq!(text, expect);
    // Whoever was there sees what he saw.
    assert!(!std::path::Path::new(&format!("/proc/{pid}/root/mine")).exists());
    assert!(std::path::Path::new(&format!("/proc/{pid}/root/etc")).exists());
    dhow_sys::process::pidfd_signal(&pidfd, libc::SIGKILL).unwrap();
    dhow_sys::process::wait(&pidfd).unwrap();
}

fn refusals() {
    // The root of the test's own namespace is shared.
    let mut place = Place::new();
    place.spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "mount");
    place.push("/linux/namespaces", json!({"type": "mount", "path": "/proc/self/ns/mnt"}));
    assert_eq!(place.fails(&["true"]).object, "linux.namespaces.mount");
    let before = host_mounts();
    for (pointer, value, object) in [
        ("/process/selinuxLabel", json!("a:b:c"), "process.selinuxLabel"),
        ("/linux/mountLabel", json!("a:b:c"), "linux.mountLabel"),
        ("/process/scheduler", json!({"policy": "SCHED_ISO"}), "process.scheduler"),
        ("/linux/intelRdt", json!({"closID": "x"}), "linux.intelRdt"),
        ("/linux/timeOffsets", json!({"monotonic": {"secs": 1}}), "linux.timeOffsets.monotonic"),
    ] {
        let mut place = Place::new();
        place.set(pointer, value);
        let failure = place.fails(&["true"]);
        // A host with SELinux takes labels.
        if !std::path::Path::new("/sys/fs/selinux/enforce").exists() || !object.ends_with("Label") {
            assert_eq!(failure.object, object, "{failure}");
        }
        place.assert_same_mounts(&before);
    }
}
