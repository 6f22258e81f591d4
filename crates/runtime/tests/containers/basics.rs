//! What a container sees, and what it inherits: nothing.

use crate::support::{DEFAULT_CAPS, Place, field, finish, host_mounts, pipes};
use dhow_runtime::Step;
use dhow_runtime::cgroup::{Cgroup, Mode, Unfinished};
use dhow_runtime::seccomp::Program;
use serde_json::json;
use std::os::fd::AsRawFd;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("basics::its_own_world", its_own_world),
    ("basics::mounts_are_its_own", mounts_are_its_own),
    ("basics::masks_and_read_only_paths", masks_and_read_only_paths),
    ("basics::devices", devices),
    ("basics::nothing_is_inherited", nothing_is_inherited),
    ("basics::users_and_groups", users_and_groups),
    ("basics::rlimits_umask_and_cwd", rlimits_umask_and_cwd),
    ("basics::binds", binds),
    ("basics::binds_without_mount_setattr", binds_without_mount_setattr),
    ("basics::read_only_root", read_only_root),
    ("basics::namespaces_by_path", namespaces_by_path),
    ("basics::cgroups_inside", cgroups_inside),
    ("basics::cgroups_as_on_v2", cgroups_as_on_v2),
    ("basics::a_directory_as_root", a_directory_as_root),
    ("basics::a_mounted_root", a_mounted_root),
    ("basics::root_outlives_the_process", root_outlives_the_process),
    ("basics::without_a_stop", without_a_stop),
    ("basics::beside", beside),
    ("basics::beside_after_the_loopback", beside_after_the_loopback),
    ("basics::what_is_copied_is_charged", what_is_copied_is_charged),
    ("basics::timings", timings),
];

fn its_own_world() {
    let mut place = Place::new();
    let (text, code) = place
        .run("echo $$; hostname 2>/dev/null || cat /proc/sys/kernel/hostname; ps | grep -c '^ '; cat /proc/net/dev | grep -c :; exit 7");
    assert_eq!(code, 7, "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "1");
    assert_eq!(lines[1], "inside");
    assert!(lines[2].parse::<u32>().unwrap() <= 5, "only its own processes: {text}");
    assert_eq!(lines[3], "1", "only the loopback interface");
    assert!(place.upper().read_dir().unwrap().count() <= 1, "nothing but what was made is in the upper");
}

fn mounts_are_its_own() {
    let before = host_mounts();
    let mut place = Place::new();
    place.set("/process/args", json!(["cat", "/proc/self/mountinfo"]));
    let (stdio, output) = pipes();
    let mut created = place.create(stdio).unwrap();
    place.assert_same_mounts(&before);
    created.start().unwrap();
    place.assert_same_mounts(&before);
    let (text, code) = finish(&created.pidfd, output);
    assert_eq!(code, 0);
    for line in text.lines() {
        let at = line.split(' ').nth(4).unwrap();
        let known = ["/", "/proc", "/dev", "/sys"].iter().any(|own| at == *own || at.starts_with(&format!("{own}/")));
        assert!(known, "{line}");
        assert!(!line.contains("shared:") && !line.contains("master:"), "{line}");
    }
    for at in [
        " / / rw,",
        " /proc rw,nosuid,nodev,noexec,relatime",
        " /sys ro,nosuid,nodev,noexec",
        " /dev/shm rw,nosuid,nodev,noexec",
        " /dev/mqueue ",
    ] {
        assert!(text.contains(at), "{at} in {text}");
    }
}

fn masks_and_read_only_paths() {
    let mut place = Place::new();
    let text = place.ok(
        "cat /proc/interrupts /proc/keys | head -c 1; ls /sys/firmware; for f in /proc/interrupts /proc/keys; do stat -c '%F %t:%T' $f; done; \
         (echo 1 > /proc/sys/net/ipv4/ip_forward) 2>&1; (echo 1 > /proc/irq/default_smp_affinity) 2>&1; (touch /sys/firmware/x) 2>&1; \
         cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
    );
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(&lines[..2], ["character special file 1:3", "character special file 1:3"], "{text}");
    assert_eq!(text.matches("Read-only file system").count(), 3, "{text}");
    assert_eq!(*lines.last().unwrap(), "0", "sysctls were set: {text}");
}

fn devices() {
    let mut place = Place::new();
    place.set(
        "/linux/devices",
        json!([{"path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200, "fileMode": 0o640, "uid": 7, "gid": 8}]),
    );
    let text = place.ok("cd /dev; stat -c '%n %F %a %t:%T %u' null zero full random urandom tty net/tun; for l in fd stdin stdout stderr ptmx core; do readlink $l; done; true");
    for line in
        ["null character special file 666 1:3 0", "tty character special file 666 5:0 0", "net/tun character special file 640 a:c8 7"]
    {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(text.contains("/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n"), "{text}");
    assert_eq!(text.contains("/proc/kcore"), std::path::Path::new("/proc/kcore").exists());
}

fn nothing_is_inherited() {
    let mut place = Place::new();
    place.filter = Some(Program { instructions: vec![(0x06, 0, 0, 0x7fff_0000)], flags: 0 });
    place.set("/process/oomScoreAdj", json!(0));
    // The caller blocks and ignores signals, leaks descriptors, is nice, has a umask and an oom score.
    let leaked = std::fs::File::open("/etc").unwrap();
    let low = rustix::io::dup(&leaked).unwrap();
    let high = rustix::io::fcntl_dupfd_cloexec(&leaked, 700).unwrap();
    rustix::io::fcntl_setfd(&high, rustix::io::FdFlags::empty()).unwrap();
    assert!(!rustix::io::fcntl_getfd(&low).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    let _signals = dhow_sys::signal::Signals::block_all().unwrap();
    rustix::process::umask(0o077.into());
    std::fs::write("/proc/self/oom_score_adj", "300").unwrap();
    rustix::process::setpriority_process(None, 5).unwrap();
    let text = place.ok("ls /proc/$$/fd; cat /proc/self/status; echo oom: $(cat /proc/self/oom_score_adj); echo nice: $(cut -d' ' -f19 /proc/self/stat 2>/dev/null || cat /proc/self/stat); echo umask: $(umask); echo sid: $(cat /proc/$$/stat); echo env: $(env)");
    for name in ["SigBlk", "SigIgn", "ShdPnd"] {
        assert_eq!(u64::from_str_radix(field(&text, name), 16).unwrap(), 0, "{name}: {text}");
    }
    for (name, value) in [("CapInh", 0), ("CapPrm", DEFAULT_CAPS), ("CapEff", DEFAULT_CAPS), ("CapBnd", DEFAULT_CAPS), ("CapAmb", 0)] {
        assert_eq!(u64::from_str_radix(field(&text, name), 16).unwrap(), value, "{name}: {text}");
    }
    assert_eq!(field(&text, "Seccomp"), "2");
    assert_eq!(field(&text, "Groups"), "");
    assert_eq!(field(&text, "NoNewPrivs"), "0");
    assert!(text.starts_with("0\n1\n2\nName:"), "class 2: {} and {} stay outside: {text}", low.as_raw_fd(), high.as_raw_fd());
    assert_eq!(field(&text, "oom"), "0");
    assert_eq!(field(&text, "umask"), "0022");
    let mut env: Vec<&str> = field(&text, "env").split(' ').collect();
    env.sort_unstable();
    assert_eq!(env, ["HOME=/root", "PATH=/usr/bin:/bin", "PWD=/", "SHLVL=1"], "the last two are the shell's own");
    let stat: Vec<&str> = field(&text, "sid").rsplit(") ").next().unwrap().split(' ').collect();
    assert_eq!((stat[2], stat[3], stat[4]), ("1", "1", "0"), "its own group and session, no terminal");
    assert_eq!(stat[16], "0", "nice");
}

fn users_and_groups() {
    let mut place = Place::new();
    place.set("/process/user", json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 6]}));
    place.set("/process/noNewPrivileges", json!(true));
    let text = place.ok("id -u; id -g; cat /proc/self/status; echo $HOME; echo out > /dev/stdout; (touch /x) 2>&1; true");
    assert!(text.starts_with("1000\n1001\n"), "{text}");
    assert_eq!(field(&text, "Groups"), "5 6");
    assert_eq!(field(&text, "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(field(&text, "NoNewPrivs"), "1");
    for name in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        assert_eq!(u64::from_str_radix(field(&text, name), 16).unwrap(), 0, "class 19: {name}");
    }
    assert!(text.contains("/home/u\nout\n"), "{text}");
    assert!(text.contains("Permission denied"), "{text}");
    // With ambient capabilities a user keeps what was asked for.
    let caps = json!(["CAP_NET_RAW"]);
    place.set(
        "/process/capabilities",
        json!({"bounding": caps, "effective": caps, "permitted": caps, "inheritable": caps, "ambient": caps}),
    );
    let text = place.ok("cat /proc/self/status");
    for name in ["CapPrm", "CapEff", "CapInh", "CapAmb", "CapBnd"] {
        assert_eq!(u64::from_str_radix(field(&text, name), 16).unwrap(), 1 << 13, "{name}");
    }
}

fn rlimits_umask_and_cwd() {
    let mut place = Place::new();
    place.set(
        "/process/rlimits",
        json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]),
    );
    place.set("/process/user/umask", json!(0o027));
    place.set("/process/cwd", json!("/made/for/it"));
    let text = place.ok("ulimit -Sn; ulimit -Hn; ulimit -c; umask; pwd; stat -c %a .");
    assert_eq!(text, "100\n200\n0\n0027\n/made/for/it\n755\n");
}

fn binds() {
    let mut place = Place::new();
    let source = place.dir.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "content").unwrap();
    place.push("/mounts", json!({"destination": "/rw", "type": "bind", "source": source, "options": ["rbind", "rprivate"]}));
    place.push("/mounts", json!({"destination": "/ro", "type": "bind", "source": source, "options": ["rbind", "ro", "nosuid"]}));
    place.push("/mounts", json!({"destination": "/a/new/file", "type": "bind", "source": source.join("file"), "options": ["bind", "ro"]}));
    place.push("/mounts", json!({"destination": "/hostproc", "type": "bind", "source": "/proc", "options": ["rbind", "ro", "rslave"]}));
    let text = place.ok("cat /rw/file /ro/file /a/new/file; echo; touch /rw/made; (touch /ro/x) 2>&1; (echo >> /a/new/file) 2>&1; (echo 1 > /hostproc/sys/vm/drop_caches) 2>&1; cat /proc/self/mountinfo");
    assert!(text.starts_with("contentcontentcontent\n"), "{text}");
    assert_eq!(text.matches("Read-only file system").count(), 3, "{text}");
    assert!(source.join("made").exists());
    let slave = text.lines().any(|line| line.split(' ').nth(4) == Some("/hostproc") && line.contains("master:"));
    assert!(slave, "a slave of the host's mount: {text}");
    let others = text.lines().filter(|line| line.contains(" /rw ") || line.contains(" /ro "));
    assert!(others.clone().count() == 2 && others.clone().all(|line| !line.contains("master:") && !line.contains("shared:")), "{text}");
}

/// Linux before 5.12, played by a filter over this process and all it makes.
fn binds_without_mount_setattr() {
    let program = [
        (0x20, 0, 0, 0),
        (0x15, 0, 1, libc::SYS_mount_setattr as u32),
        (0x06, 0, 0, 0x0005_0000 | libc::ENOSYS as u32),
        (0x06, 0, 0, 0x7fff_0000),
    ];
    dhow_sys::seccomp::load(&program, 0).unwrap();
    masks_and_read_only_paths();
    binds();
    a_directory_as_root();
    read_only_root();
}

fn read_only_root() {
    let mut place = Place::new();
    place.set("/root/readonly", json!(true));
    let text = place.ok("(touch /x) 2>&1; touch /dev/shm/y && echo fine");
    assert!(text.contains("Read-only file system") && text.ends_with("fine\n"), "{text}");
}

fn namespaces_by_path() {
    let mut first = Place::new();
    let (created, _output) = first.start("sleep 100");
    let mut second = Place::new();
    let path = |kind: &str| format!("/proc/{}/ns/{kind}", created.pid);
    second.set(
        "/linux/namespaces",
        json!([{"type": "mount"}, {"type": "cgroup"},
        {"type": "network", "path": path("net")}, {"type": "ipc", "path": path("ipc")},
        {"type": "uts", "path": path("uts")}, {"type": "pid", "path": path("pid")}]),
    );
    second.set("/hostname", json!(""));
    let text = second.ok("for n in net ipc uts pid; do readlink /proc/self/ns/$n; done; cat /proc/sys/kernel/hostname; ps");
    for (line, kind) in text.lines().zip(["net", "ipc", "uts", "pid"]) {
        assert_eq!(line, std::fs::read_link(path(kind)).unwrap().to_str().unwrap());
    }
    assert!(text.contains("inside") && text.contains("sleep 100"), "{text}");
    // The caller's own children are still born where they should be.
    let own = std::process::Command::new("readlink").arg("/proc/self/ns/pid").output().unwrap().stdout;
    assert_eq!(String::from_utf8(own).unwrap().trim(), std::fs::read_link("/proc/self/ns/pid").unwrap().to_str().unwrap());
}

fn cgroups_inside() {
    let mut place = Place::limited(&json!({"pids": {"limit": 20}}));
    let text = place.ok("cat /proc/self/cgroup; echo --; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; (mkdir /sys/fs/cgroup/x) 2>&1; (mkdir /sys/fs/cgroup/pids/x) 2>&1; grep cgroup /proc/self/mountinfo");
    let (groups, rest) = text.split_once("--\n").unwrap();
    for line in groups.lines() {
        assert!(line.ends_with(":/"), "class 20: {line}");
    }
    assert!(rest.starts_with("20\n"), "{rest}");
    assert!(rest.contains("Read-only file system"), "{rest}");
    for line in rest.lines().filter(|line| line.contains(" - cgroup")) {
        let fields: Vec<&str> = line.split(' ').collect();
        assert_eq!(fields[3], "/", "{line}");
        assert!(fields[5].starts_with("ro,nosuid,nodev,noexec"), "{line}");
    }
}

/// On a hybrid host the unified hierarchy alone stands in for a v2 host: what the kernel is asked for is the same.
fn cgroups_as_on_v2() {
    let mut place = Place::new();
    let whole = place.cgroup.clone();
    let Some(unified) = whole.dirs.iter().find(|(controllers, _)| controllers.is_empty()).cloned() else {
        println!("skipped: this host has no unified hierarchy");
        return;
    };
    place.cgroup = Cgroup { mode: Mode::V2, dirs: vec![unified] };
    let text = place.ok("grep ^0: /proc/self/cgroup; grep -c . /sys/fs/cgroup/cgroup.procs; grep ' /sys/fs/cgroup' /proc/self/mountinfo");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "0::/");
    assert!(lines[1].parse::<u32>().unwrap() >= 1);
    assert!(lines[2].contains(" / /sys/fs/cgroup ro,nosuid,nodev,noexec") && lines.len() == 3, "{text}");
    let (created, _output) = place.start("sleep 100");
    let (stdio, output) = pipes();
    let started = place.exec(&created, &["grep", "^0:", "/proc/self/cgroup"], stdio).unwrap();
    assert_eq!(finish(&started.pidfd, output).0, "0::/\n");
    created_is_killed(&created.pidfd);
    whole.remove().unwrap();
}

fn created_is_killed(pidfd: &std::os::fd::OwnedFd) {
    dhow_sys::process::pidfd_signal(pidfd, libc::SIGKILL).unwrap();
    dhow_sys::process::wait(pidfd).unwrap();
}

fn a_directory_as_root() {
    let mut place = Place::new();
    place.set("/process/args", json!(["sh", "-c", "grep ' / ' /proc/self/mountinfo; touch /made; echo $$"]));
    let (stdio, output) = pipes();
    let spec = serde_json::from_value(place.spec.clone()).unwrap();
    let root = dhow_runtime::Root::Dir(place.lower());
    let mut created = dhow_runtime::Create {
        spec: &spec,
        root,
        cgroup: &place.cgroup,
        seccomp: None,
        stdio,
        trees: &[],
        hooks: None,
        manner: dhow_runtime::Manner::default(),
    }
    .run()
    .unwrap();
    created.start().unwrap();
    let (text, code) = finish(&created.pidfd, output);
    assert_eq!(code, 0, "{text}");
    assert!(text.ends_with("\n1\n") && !text.contains("overlay"), "{text}");
    assert!(place.lower().join("made").exists());
}

fn a_mounted_root() {
    let mut place = Place::new();
    place.set("/process/args", json!(["sh", "-c", "grep -c ' / / .*overlay' /proc/self/mountinfo; touch /made"]));
    let (stdio, output) = pipes();
    let mut created = place.create_mounted(stdio).unwrap();
    created.start().unwrap();
    assert_eq!(finish(&created.pidfd, output), ("1\n".to_owned(), 0));
    assert!(place.upper().join("made").exists());
}

fn root_outlives_the_process() {
    let mut place = Place::new();
    let (created, output) = place.start("echo text > /kept");
    assert_eq!(finish(&created.pidfd, output).1, 0);
    let kept = rustix::fs::openat(&created.root, "kept", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
    assert_eq!(std::io::read_to_string(std::fs::File::from(kept)).unwrap(), "text\n");
    assert!(place.upper().join("kept").exists());
}

fn without_a_stop() {
    let mut place = Place::new();
    let mut start = |args: &[&str]| {
        place.set("/process/args", json!(args));
        let (stdio, output) = pipes();
        let spec = serde_json::from_value(place.spec.clone()).unwrap();
        let root = dhow_runtime::Root::Dir(place.lower());
        let create = dhow_runtime::Create {
            spec: &spec,
            root,
            cgroup: &place.cgroup,
            seccomp: None,
            stdio,
            trees: &[],
            hooks: None,
            manner: dhow_runtime::Manner::default(),
        };
        (create.run_and_start(), output)
    };
    let (created, output) = start(&["sh", "-c", "echo $$"]);
    let mut created = created.unwrap();
    assert!(created.start().is_err(), "it has started");
    assert_eq!(finish(&created.pidfd, output), ("1\n".to_owned(), 0));
    assert_eq!(start(&["/nope"]).0.unwrap_err().message, "stat /nope: no such file or directory");
}

/// Somebody is in the network namespace while the mounts are made, whoever makes the namespace.
fn beside() {
    let number = |path: &str| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let group = |place: &mut Place, late: bool| if late { begin_group(place) } else { Unfinished::default() };
    for late in [false, true] {
        let mut place = Place::new();
        let unfinished = group(&mut place, late);
        place.set("/process/args", json!(["sh", "-c", "stat -L -c %i /proc/self/ns/net; cat /sys/class/net/lo/flags"]));
        let (stdio, output) = pipes();
        let mut told = Vec::new();
        let mut created = place.create_beside(stdio, unfinished, &mut told).unwrap();
        assert_eq!(told, [rustix::fs::fstat(&created.netns).unwrap().st_ino]);
        assert_ne!(told, [number("/proc/self/ns/net")]);
        created.start().unwrap();
        // Loopback is up.
        assert_eq!(finish(&created.pidfd, output), (format!("{}\n0x9\n", told[0]), 0), "late: {late}");
        // One that fails afterwards was told of, too, and says why it failed.
        let mut place = Place::new();
        let unfinished = group(&mut place, late);
        place.set("/process/args", json!(["/nope"]));
        let mut told = Vec::new();
        let failure = place.create_beside(pipes().0, unfinished, &mut told).unwrap_err();
        assert_eq!((told.len(), failure.message.as_str()), (1, "stat /nope: no such file or directory"), "late: {late}");
        assert!(place.cgroup.pids().unwrap().is_empty());
    }
    // In a user namespace it is entered later.
    let mut place = Place::new();
    place.map().set("/process/args", json!(["true"]));
    let (stdio, output) = pipes();
    let mut told = Vec::new();
    let mut created = place.create_beside(stdio, Unfinished::default(), &mut told).unwrap();
    created.start().unwrap();
    assert_eq!((finish(&created.pidfd, output).1, told.len()), (0, 0));
}

/// Memory that a mount takes is the container's, wherever it stands in the list.
fn what_is_copied_is_charged() {
    const SIZE: u64 = 8 << 20;
    let mut place = Place::new();
    let unfinished = begin_group(&mut place);
    std::fs::create_dir(place.upper().join("data")).unwrap();
    std::fs::write(place.upper().join("data/file"), vec![1; SIZE as usize]).unwrap();
    let copied = json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]});
    place.spec["mounts"].as_array_mut().unwrap().insert(0, copied);
    place.set("/process/args", json!(["sleep", "100"]));
    let mut created = place.create_beside(pipes().0, unfinished, &mut Vec::new()).unwrap();
    created.start().unwrap();
    let usage = place.cgroup.usage().unwrap();
    dhow_sys::process::pidfd_signal(&created.pidfd, libc::SIGKILL).unwrap();
    dhow_sys::process::wait(&created.pidfd).unwrap();
    assert!(usage.memory >= SIZE, "{usage:?}");
}

/// A group for the container that is made late, where this host has such.
fn begin_group(place: &mut Place) -> Unfinished {
    place.cgroup.clone().remove().unwrap();
    let path = format!("/dhow-runtime-test{}", place.dir.path().file_name().unwrap().display());
    let (cgroup, unfinished) = Cgroup::begin(&path, None, true).unwrap();
    place.cgroup = cgroup;
    unfinished
}

/// Nobody is told of a network namespace before its loopback is up: sockets are bound there at once. Here it never comes up.
fn beside_after_the_loopback() {
    let (load, equal, answer) = (0x20, 0x15, 0x06);
    let refuse = [
        (load, 0, 0, 0),
        (equal, 0, 3, libc::SYS_ioctl as u32),
        (load, 0, 0, 24),
        (equal, 0, 1, libc::SIOCSIFFLAGS as u32),
        (answer, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        (answer, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    dhow_sys::seccomp::load(&refuse, 0).unwrap();
    let mut told = Vec::new();
    let failure = Place::new().create_beside(pipes().0, Unfinished::default(), &mut told).unwrap_err();
    assert_eq!((failure.step, failure.object.as_str(), failure.errno), (Step::Network, "lo", libc::EPERM));
    assert!(told.is_empty());
}

fn timings() {
    let mut place = Place::new();
    place.set("/process/args", json!(["true"]));
    let count: usize = std::env::var("DHOW_TIMINGS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut all = Vec::new();
    for _ in 0..count {
        if count > 1 {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let (stdio, output) = pipes();
        let begin = std::time::Instant::now();
        let created = place.create_and_start(stdio).unwrap();
        let started = begin.elapsed();
        finish(&created.pidfd, output);
        all.push((started, created.timings.clone()));
        assert!(created.timings.iter().any(|(name, _)| name == "mounts"));
    }
    all.sort_by_key(|(started, _)| *started);
    let (started, phases) = &all[all.len() / 2];
    println!("fastest {:?}; median {started:?} {phases:?}", all[0].0);
    println!("phases of the fastest: {:?}", all[0].1);
}
