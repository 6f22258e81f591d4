//! The flags of `run`, and how it ends.

use dhow_tests::wait::until;
use dhow_tests::{Engine, engine, finish_child};

#[test]
fn run_flags() {
    let engine = Engine::new();
    // flags, script, what it prints
    let table: &[(&str, &str, &str)] = &[
        ("-e A=1 -e B", "echo $A-$B-$HOME-$PATH", "1--/root-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("-w /made/here", "pwd", "/made/here"),
        ("-u nobody", "id -un; id -gn; echo $HOME", "nobody\nnogroup\n/home"),
        ("-u 1234:5678", "id -u; id -g; echo $HOME", "1234\n5678\n/"),
        ("-u operator", "id -Gn", "operator wheel audio"),
        ("--group-add 77", "id -G", "0 10 77"),
        ("--hostname h1", "hostname; cat /etc/hostname; grep -c h1 /etc/hosts || true", "h1\nh1\n0"),
        ("--read-only", "touch /x 2>/dev/null || echo refused; touch /dev/shm/x && echo shm", "refused\nshm"),
        ("--read-only --tmpfs /scratch", "touch /scratch/x && echo scratch", "scratch"),
        ("--init", "cat /proc/1/comm | tr -d '\\n' | grep -q sh && echo no || echo init", "init"),
        ("--ulimit nofile=100:200", "ulimit -n; ulimit -Hn", "100\n200"),
        ("--entrypoint echo", "x", "-c x"),
        ("--shm-size 1m", "df -k /dev/shm | tail -1 | awk '{print $2}'", "1024"),
        ("--env-file /dev/null", "echo fine", "fine"),
        ("--domainname d1", "cat /proc/sys/kernel/domainname", "d1"),
    ];
    for (flags, script, printed) in table {
        let out = if flags.starts_with("--entrypoint") {
            engine.dhow(["run", "--rm"]).args(flags.split(' ')).args(["busybox", "-c", script]).run()
        } else {
            engine.shell(flags, script)
        };
        assert_eq!(out.clone().ok(), *printed, "{flags}: {out}");
    }
    engine.finish();
}

#[test]
fn run_cleans_up_after_itself() {
    let engine = Engine::new();
    for code in [0, 1, 42] {
        assert_eq!(engine.shell("", &format!("exit {code}")).code, code);
    }
    assert_eq!(engine.ok("ps -aq"), "");
    engine.ok("run --name kept busybox true");
    assert_eq!(engine.ok("ps -a --format {{.Names}}"), "kept");
    engine.finish();
}

#[test]
fn signals_are_forwarded() {
    let engine = Engine::new();
    let script = "trap 'echo got; exit 5' INT; echo ready; while :; do sleep 0.02; done";
    let child = engine.dhow(["run", "--name", "box", "busybox", "sh", "-c", script]).spawn();
    until("the script runs", || engine.run("logs box").stdout().contains("ready"));
    engine::kill(child.id() as i32, 2);
    let out = finish_child(child);
    assert_eq!((out.code, out.stdout().as_str()), (5, "ready\ngot\n"));
    engine.finish();
}

#[test]
fn a_restarted_container_keeps_its_files() {
    let engine = Engine::new();
    engine.dhow(["run", "--name", "box", "busybox", "sh", "-c", "echo x >> /kept; cat /kept"]).ok();
    assert_eq!(engine.ok("start -a box"), "x\nx");
    assert_eq!(engine.ok("start -a box"), "x\nx\nx");
    engine.finish();
}

#[test]
fn privileged_and_capabilities() {
    let engine = Engine::new();
    let caps = |flags: &str| engine.shell(flags, "grep CapEff /proc/self/status | cut -f2").ok();
    assert_eq!(caps(""), "00000000a80425fb");
    assert_eq!(caps("--cap-drop ALL"), "0000000000000000");
    assert_eq!(caps("--cap-drop all --cap-add chown"), "0000000000000001");
    assert_eq!(caps("--cap-add SYS_ADMIN"), "00000000a82425fb");
    assert_eq!(caps("--cap-drop CAP_NET_RAW"), "00000000a80405fb");
    let host = std::fs::read_to_string("/proc/self/status").expect("status");
    let bounding = host.lines().find_map(|line| line.strip_prefix("CapBnd:")).expect("CapBnd").trim().to_string();
    assert_eq!(caps("--privileged"), bounding);
    assert!(engine.shell("--privileged", "grep Seccomp: /proc/self/status").ok().ends_with('0'));
    engine.finish();
}

#[test]
fn a_quick_life_is_whole() {
    // Output and exit code arrive even when the container ends before anybody can attach.
    let engine = Engine::new();
    for round in 0..20 {
        assert_eq!(engine.dhow(["run", "--rm", "busybox", "echo", &round.to_string()]).ok(), round.to_string());
    }
    engine.finish();
}

#[test]
fn many_at_once() {
    let engine = Engine::new();
    let children: Vec<_> = (0..12)
        .map(|number| engine.dhow(["run", "--rm", "busybox", "sh", "-c", &format!("echo {number}; exit {number}")]).spawn())
        .collect();
    for (number, child) in children.into_iter().enumerate() {
        let out = finish_child(child);
        assert_eq!(out.stdout(), format!("{number}\n"), "{out}");
        assert_eq!(out.code, number as i32);
    }
    assert_eq!(engine.ok("ps -aq"), "");
    engine.finish();
}
