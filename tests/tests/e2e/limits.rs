//! Memory, processor and process limits, and what happens at them.

use dhow_tests::{Engine, leaks, paths};
use std::path::PathBuf;

/// Reads a control file of a container, by its name on cgroup v1 or on v2.
fn control(engine: &Engine, name: &str, v1: (&str, &str), v2: &str) -> String {
    let id = engine.inspect(name)["Id"].as_str().expect("an id").to_string();
    let group = format!("{}/{id}", engine.cgroup().trim_start_matches('/'));
    let base = PathBuf::from("/sys/fs/cgroup");
    let candidates = [base.join(v1.0).join(&group).join(v1.1), base.join(&group).join(v2)];
    let found = candidates.iter().find_map(|path| std::fs::read_to_string(path).ok());
    found.unwrap_or_else(|| panic!("none of {candidates:?}")).trim().to_string()
}

#[test]
fn limits_reach_the_kernel() {
    let engine = Engine::new();
    engine.ok("run -d --name box -m 64m --cpus 0.5 --pids-limit 33 busybox sleep 1000");
    assert_eq!(control(&engine, "box", ("memory", "memory.limit_in_bytes"), "memory.max"), "67108864");
    assert_eq!(control(&engine, "box", ("pids", "pids.max"), "pids.max"), "33");
    let quota = control(&engine, "box", ("cpu", "cpu.cfs_quota_us"), "cpu.max");
    assert!(quota == "50000" || quota == "50000 100000", "{quota}");
    let host = &engine.inspect("box")["HostConfig"];
    assert_eq!(
        (host["Memory"].as_i64(), host["MemorySwap"].as_i64(), host["NanoCpus"].as_i64(), host["PidsLimit"].as_i64()),
        (Some(67_108_864), Some(134_217_728), Some(500_000_000), Some(33))
    );
    engine.finish();
}

#[test]
fn updates_reach_the_kernel_and_last() {
    let engine = Engine::new();
    engine.ok("run -d --name box -m 64m --cpu-shares 2048 --pids-limit 33 busybox sleep 1000");
    engine.ok("run -d --name other --cpus 0.5 --pids-limit 33 busybox sleep 1000");
    let flags = "-m 96m --memory-reservation 48m --cpu-shares 512 --cpu-period 50000 --cpu-quota 20000 --cpuset-cpus 0 --cpuset-mems 0";
    engine.ok(&format!("update {flags} --memory-swap 160m --pids-limit 44 box"));
    engine.ok("update --cpus 0.25 --pids-limit -1 other");
    for moment in ["after the update", "after a restart"] {
        let check = |name: &str, v1: (&str, &str, &str), v2: (&str, &str)| {
            let got = control(&engine, name, (v1.0, v1.1), v2.0);
            assert!(got == v1.2 || got == v2.1, "{name} {moment}: {} or {}: {got}", v1.1, v2.0);
        };
        check("box", ("memory", "memory.limit_in_bytes", "100663296"), ("memory.max", "100663296"));
        check("box", ("memory", "memory.soft_limit_in_bytes", "50331648"), ("memory.low", "50331648"));
        check("box", ("cpu", "cpu.shares", "512"), ("cpu.weight", "59"));
        check("box", ("cpu", "cpu.cfs_quota_us", "20000"), ("cpu.max", "20000 50000"));
        check("box", ("cpu", "cpu.cfs_period_us", "50000"), ("cpu.max", "20000 50000"));
        check("box", ("cpuset", "cpuset.cpus", "0"), ("cpuset.cpus", "0"));
        check("box", ("cpuset", "cpuset.mems", "0"), ("cpuset.mems", "0"));
        check("box", ("pids", "pids.max", "44"), ("pids.max", "44"));
        // Swap is not counted everywhere; the engine says so, and where it is the limit is there. On v2 without the memory's part.
        if engine.run("info -f {{.SwapLimit}}").stdout().trim() == "true" {
            check("box", ("memory", "memory.memsw.limit_in_bytes", "167772160"), ("memory.swap.max", "67108864"));
        }
        check("other", ("cpu", "cpu.cfs_quota_us", "25000"), ("cpu.max", "25000 100000"));
        check("other", ("pids", "pids.max", "max"), ("pids.max", "max"));
        engine.ok("restart -t 0 box other");
    }
    engine.finish();
}

#[test]
fn too_many_processes() {
    let engine = Engine::new();
    let out = engine.shell("--pids-limit 8", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; wait");
    assert!(out.stderr().contains("can't fork"), "{out}");
    engine.finish();
}

#[test]
fn out_of_memory_is_told() {
    let engine = Engine::new();
    let volume = format!("{}:/attacker:ro", paths::attacker().display());
    let out = engine
        .dhow(["run", "--name", "box", "-m", "32m", "--memory-swap", "32m", "-v", &volume, "busybox", "/attacker", "eat", "200"])
        .run();
    assert_eq!(out.code, 137, "{out}");
    let state = &engine.inspect("box")["State"];
    assert_eq!((state["OOMKilled"].as_bool(), state["ExitCode"].as_i64()), (Some(true), Some(137)));
    assert!(engine.events().iter().any(|action| action == "oom"));
    // A restart forgets it.
    engine.dhow(["run", "-d", "--name", "calm", "-m", "32m", "busybox", "sleep", "1000"]).ok();
    engine.ok("kill calm");
    assert_eq!(engine.inspect("calm")["State"]["OOMKilled"], false);
    engine.finish();
}

#[test]
fn slow_out_of_memory_in_debian() {
    let engine = Engine::new();
    engine.load("debian");
    let out = engine.dhow(["run", "--name", "box", "-m", "64m", "debian:bookworm-slim", "sh", "-c", "tail -c 200m /dev/zero | tail"]).run();
    assert_eq!(out.code, 137, "{out}");
    assert_eq!(engine.inspect("box")["State"]["OOMKilled"], true);
    engine.finish();
}

#[test]
fn an_exit_is_told_while_the_disk_is_busy() {
    // How fast is the benchmark's business. Here: the exit is announced, and recorded, while a writer still keeps the disk busy.
    let engine = Engine::new();
    let dirty = engine.scratch("dirty");
    let running = engine
        .dhow(["run", "-d", "--name", "writer", "-v", &format!("{}:/dirty", dirty.display()), "busybox", "sh", "-c"])
        .args(["while :; do dd if=/dev/zero of=/dirty/file bs=1M count=200 2>/dev/null; done"])
        .ok();
    for _ in 0..5 {
        assert_eq!(engine.dhow(["run", "busybox", "sh", "-c", "dd if=/dev/zero of=/own bs=1M count=5 2>/dev/null; exit 3"]).run().code, 3);
    }
    assert!(leaks::alive(engine.container_pid(&running)).is_some());
    engine.finish();
}

#[test]
fn bad_limits() {
    let engine = Engine::new();
    let table = [
        ("-m 1m", 125, "Minimum memory limit allowed is 6MB"),
        ("-m 64m --memory-swap 32m", 125, "Minimum memoryswap limit should be larger than memory limit, see usage"),
        ("--cpus 1000", 125, "range of CPUs is from 0.01 to"),
        ("--cpus 1 --cpu-quota 5000", 125, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
        ("-m nonsense", 125, "invalid"),
    ];
    for (flags, code, text) in table {
        let said = engine.shell(flags, "true").fails(code);
        assert!(said.contains(text), "{flags}: {said}");
    }
    assert_eq!(engine.ok("ps -aq"), "");
    engine.finish();
}

/// What its shim has open, and the program never sees, does not count.
#[test]
fn few_descriptors_are_enough_for_a_start() {
    let engine = Engine::new();
    assert_eq!(engine.shell("--ulimit nofile=6:7", "ulimit -n; ulimit -Hn").ok(), "6\n7");
    engine.ok("run -d --init --name few --ulimit nofile=6:7 busybox sleep 1000");
    assert_eq!(engine.dhow(["exec", "few", "sh", "-c", "ulimit -n; ulimit -Hn"]).ok(), "6\n7");
    engine.finish();
}
