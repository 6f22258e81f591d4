//! What a container sees: itself.

use dhow_tests::Engine;

#[test]
fn only_its_own_processes() {
    let engine = Engine::new();
    let shown = engine.shell("", "echo $$; ps | grep -v PID | wc -l; ls -d /proc/[0-9]* | wc -l").ok();
    let numbers: Vec<u32> = shown.lines().map(|line| line.trim().parse().expect("a number")).collect();
    assert_eq!(numbers[0], 1);
    assert!(numbers[1] <= 4 && numbers[2] <= 4, "{shown}");
    engine.finish();
}

#[test]
fn its_own_hostname() {
    let engine = Engine::new();
    let id = engine.ok("run -d --name box busybox sleep 1000");
    assert_eq!(engine.ok("exec box hostname"), id[..12]);
    assert_ne!(std::fs::read_to_string("/proc/sys/kernel/hostname").expect("hostname").trim(), &id[..12]);
    engine.finish();
}

#[test]
fn no_mounts_of_the_host() {
    let engine = Engine::new();
    let mounts = engine.shell("", "cat /proc/mounts").ok();
    let host = std::fs::read_to_string("/proc/mounts").expect("mounts");
    let targets: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    // In the order they were made on newer kernels, so the root need not be the first.
    let roots: Vec<&str> = mounts.lines().filter(|line| line.split(' ').nth(1) == Some("/")).collect();
    assert!(roots.len() == 1 && roots[0].starts_with("overlay / overlay"), "{mounts}");
    for target in &targets {
        let expected = ["/proc", "/sys", "/dev", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname"];
        assert!(*target == "/" || expected.iter().any(|known| target.starts_with(known)), "{target}\n{mounts}");
    }
    for line in host.lines().filter(|line| line.starts_with("/dev/")) {
        let target = line.split(' ').nth(1).expect("a target");
        assert!(target.len() < 2 || !targets.contains(&target), "{target} of the host is seen");
    }
    assert!(!mounts.contains("/x/") || !mounts.contains(engine.exec_root().to_string_lossy().as_ref()), "{mounts}");
    engine.finish();
}

#[test]
fn a_root_is_mounted_nowhere_on_the_host() {
    let engine = Engine::new();
    engine.ok("run -d --name box busybox sleep 1000");
    let table = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let id = engine.inspect("box")["Id"].as_str().expect("an id").to_string();
    let overlays: Vec<&str> =
        table.lines().filter(|line| line.contains(" - overlay ") && line.contains(engine.dir().to_string_lossy().as_ref())).collect();
    assert!(overlays.is_empty(), "{id}: {overlays:?}");
    engine.finish();
}

#[test]
fn seccomp_and_capabilities_as_docker_sets_them() {
    let engine = Engine::new();
    let status = |flags: &str| engine.shell(flags, "cat /proc/self/status").ok();
    let field = |status: &str, name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("a field").trim().to_string()
    };
    let root = status("");
    assert_eq!(field(&root, "Seccomp"), "2");
    assert_eq!(field(&root, "NoNewPrivs"), "0");
    for (set, mask) in [
        ("CapEff", "00000000a80425fb"),
        ("CapPrm", "00000000a80425fb"),
        ("CapBnd", "00000000a80425fb"),
        ("CapInh", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
    ] {
        assert_eq!(field(&root, set), mask, "{set} of root");
    }
    let other = status("-u 1000:1000");
    assert_eq!(field(&other, "Seccomp"), "2");
    for (set, mask) in [
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapBnd", "00000000a80425fb"),
        ("CapInh", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
    ] {
        assert_eq!(field(&other, set), mask, "{set} of a user");
    }
    assert_eq!(field(&status("--security-opt no-new-privileges"), "NoNewPrivs"), "1");
    assert_eq!(field(&status("--security-opt seccomp=unconfined"), "Seccomp"), "0");
    engine.finish();
}

#[test]
fn namespaces_are_its_own() {
    let engine = Engine::new();
    engine.ok("run -d --name box busybox sleep 1000");
    let pid = engine.container_pid("box");
    let link = |pid: &str, name: &str| std::fs::read_link(format!("/proc/{pid}/ns/{name}")).expect("a namespace");
    for name in ["pid", "mnt", "net", "ipc", "uts", "cgroup"] {
        assert_ne!(link(&pid.to_string(), name), link("self", name), "{name}");
    }
    assert_eq!(link(&pid.to_string(), "user"), link("self", "user"));
    // exec enters all of them.
    for name in ["pid", "mnt", "net", "ipc", "uts", "cgroup"] {
        assert_eq!(engine.ok(&format!("exec box readlink /proc/self/ns/{name}")), link(&pid.to_string(), name).to_string_lossy());
    }
    engine.finish();
}

#[test]
fn host_namespaces_on_request() {
    let engine = Engine::new();
    let own = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).expect("a namespace").to_string_lossy().into_owned();
    for (flag, name) in
        [("--pid host", "pid"), ("--network host", "net"), ("--ipc host", "ipc"), ("--uts host", "uts"), ("--cgroupns host", "cgroup")]
    {
        assert_eq!(engine.shell(flag, &format!("readlink /proc/self/ns/{name}")).ok(), own(name), "{flag}");
    }
    engine.finish();
}

#[test]
fn no_network_but_loopback() {
    let engine = Engine::new();
    assert_eq!(
        engine
            .shell("--network none", "ls /sys/class/net; cat /sys/class/net/lo/operstate; ping -c1 -W1 127.0.0.1 >/dev/null && echo up")
            .ok(),
        "lo\nunknown\nup"
    );
    assert_eq!(engine.shell("", "ls /sys/class/net").ok(), "lo");
    assert_eq!(
        engine.shell("", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /proc/sys/net/ipv4/ping_group_range").ok(),
        "0\n0\t2147483647"
    );
    engine.finish();
}

#[test]
fn masked_and_read_only_paths() {
    let engine = Engine::new();
    let script = "for f in /proc/kcore /proc/keys /proc/timer_list /proc/latency_stats /proc/interrupts; do [ -e $f ] && [ -s $f ] && cat $f | head -c1 | grep -q . && echo leaks $f; done
        for d in /proc/acpi /proc/scsi /sys/firmware; do [ -d $d ] && [ -n \"$(ls $d)\" ] && echo leaks $d; done
        for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq/default_smp_affinity; do [ -e $f ] && (echo x > $f) 2>/dev/null && echo writes $f; done
        (echo x > /sys/kernel/mm/ksm/run) 2>/dev/null && echo writes /sys
        echo done";
    assert_eq!(engine.shell("", script).ok(), "done");
    engine.finish();
}

#[test]
fn the_devices_are_dockers() {
    let engine = Engine::new();
    let listed = engine.shell("", "cd /dev; ls").ok();
    let expected = "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero";
    // A link to /proc/kcore, where the kernel has one.
    let core = if std::path::Path::new("/proc/kcore").exists() { "core\n" } else { "" };
    assert_eq!(listed, format!("{core}{expected}"));
    // Others may not be made to work, CAP_MKNOD or not.
    let out = engine.shell("", "mknod /tmp/d b 254 0 && head -c1 /tmp/d; mknod /tmp/m c 1 1 && head -c1 /tmp/m");
    assert!(out.stderr().contains("Operation not permitted") || out.stderr().contains("can't open"), "{out}");
    assert_eq!(engine.shell("", "echo x > /dev/null && head -c2 /dev/zero | od -An -tx1").ok(), " 00 00");
    engine.finish();
}
