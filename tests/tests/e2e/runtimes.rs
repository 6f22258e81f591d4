//! Foreign OCI runtimes: everything above the shim looks the same.

use dhow_tests::engine::{Options, kill};
use dhow_tests::{Engine, leaks, paths, until};
use serde_json::json;

/// An engine that knows the machine's `runc`, or our own runtime by its command line, as `foreign`; `None` (and a skip) without one.
fn engine(program: &str) -> Option<Engine> {
    if program == OWN {
        return Some(Engine::with(Options { runtime: Some("foreign".into()), ..Options::default() }));
    }
    let Some(path) = paths::program(program) else {
        dhow_tests::skip(&format!("{program} is not installed"));
        return None;
    };
    Some(Engine::with(Options { flags: vec![format!("--add-runtime=foreign={}", path.display())], ..Options::default() }))
}

/// `dhow runtime`.
const OWN: &str = "dhow";

fn a_life(program: &str) {
    let Some(engine) = engine(program) else { return };
    let out = engine.shell("--runtime foreign --hostname other", "hostname; id -u; echo err >&2; exit 3");
    assert_eq!((out.stdout().as_str(), out.stderr().as_str(), out.code), ("other\n0\n", "err\n", 3), "{out}");
    assert_eq!(engine.dhow(["run", "--rm", "-i", "--runtime", "foreign", "busybox", "cat"]).input("typed").ok(), "typed");

    let sleep = "trap 'echo stopping; exit 5' TERM; echo up; while :; do sleep 0.1; done";
    engine.dhow(["run", "-d", "--name", "box", "--runtime", "foreign", "-m", "64m", "busybox", "sh", "-c", sleep]).ok();
    until("it talks", || engine.ok("logs box") == "up");
    let shown = engine.inspect("box");
    assert_eq!(shown["HostConfig"]["Runtime"], "foreign");
    let exec = engine.dhow(["exec", "-w", "/bin", "-e", "A=b", "box", "sh", "-c", "pwd; echo $A; exit 4"]).run();
    assert_eq!((exec.stdout().as_str(), exec.code), ("/bin\nb\n", 4), "{exec}");
    engine.ok("update -m 96m --memory-swap 192m box");
    assert_eq!(engine.inspect("box")["HostConfig"]["Memory"], 96 << 20);
    let limit = memory_limit(engine.container_pid("box"));
    assert_eq!(limit, (96 << 20).to_string());

    engine.ok("pause box");
    assert_eq!(engine.inspect("box")["State"]["Status"], "paused");
    engine.ok("unpause box");
    engine.ok("stop box");
    assert_eq!(engine.inspect("box")["State"]["ExitCode"], 5);
    assert!(engine.ok("logs box").ends_with("stopping"));

    // Once more from the same place; killed while it is frozen.
    engine.ok("start box");
    engine.ok("pause box");
    engine.ok("kill box");
    assert_eq!(engine.inspect("box")["State"]["ExitCode"], 137);
    engine.ok("rm box");
    engine.finish();
}

/// The limit in force for a process, wherever its group is.
fn memory_limit(pid: i32) -> String {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let of = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        let v1 = format!("/sys/fs/cgroup/memory{group}/memory.limit_in_bytes");
        let v2 = format!("/sys/fs/cgroup{group}/memory.max");
        std::fs::read_to_string(if controllers == "memory" { v1 } else { v2 }).ok()
    };
    groups.lines().find_map(of).expect("a memory controller").trim().to_owned()
}

#[test]
fn runc_gives_a_container_its_whole_life() {
    a_life("runc");
}

#[test]
fn our_own_gives_a_container_its_whole_life() {
    a_life(OWN);
}

#[test]
fn crun_gives_a_container_its_whole_life() {
    // It refuses hosts where v1 hierarchies stand beside a unified one with controllers.
    if std::fs::read_to_string("/sys/fs/cgroup/unified/cgroup.controllers").is_ok_and(|text| !text.trim().is_empty()) {
        return dhow_tests::skip("crun does not know hybrid cgroups");
    }
    a_life("crun");
}

#[test]
fn terminals_of_a_foreign_runtime() {
    terminals("runc");
}

#[test]
fn terminals_of_our_own_runtime() {
    terminals(OWN);
}

fn terminals(program: &str) {
    let Some(engine) = engine(program) else { return };
    let tty = engine.dhow(["run", "-t", "--rm", "--runtime", "foreign", "busybox", "sh", "-c", "tty; test -t 0 && echo yes"]).ok();
    assert_eq!(tty.replace('\r', ""), "/dev/pts/0\nyes");
    engine.ok("run -d --name box --runtime foreign busybox sleep 1000");
    let tty = engine.dhow(["exec", "-t", "box", "tty"]).ok();
    assert_eq!(tty.trim_end(), "/dev/pts/0");
    engine.finish();
}

#[test]
fn volumes_of_a_foreign_runtime() {
    let Some(engine) = engine("runc") else { return };
    engine.ok("volume create -o type=tmpfs -o device=tmpfs mem");
    engine.ok("run -d --name keeps --runtime foreign -v mem:/v busybox sleep 1000");
    engine.dhow(["exec", "keeps", "sh", "-c", "mkdir /v/a; echo text > /v/a/f"]).ok();
    engine.kill_daemon();
    engine.start_daemon();
    for flags in ["-v mem:/v", "--mount src=mem,dst=/v/a,volume-subpath=a", "--mount src=mem,dst=/v/a/f,volume-subpath=a/f"] {
        assert_eq!(engine.shell(&format!("--runtime foreign {flags}"), "cat /v/a/f").ok(), "text", "{flags}");
    }
    let said = engine.shell("--runtime foreign --mount src=mem,dst=/v,volume-subpath=b", "true").stderr();
    assert!(said.contains("volumes/mem/_data/b: no such file or directory"), "{said}");
    engine.ok("rm -f keeps");
    engine.finish();
}

#[test]
fn a_foreign_runtimes_errors_in_dockers_words() {
    errors("runc");
}

#[test]
fn our_own_runtimes_errors_in_dockers_words() {
    errors(OWN);
}

fn errors(program: &str) {
    let Some(engine) = engine(program) else { return };
    let missing = engine.run("run --rm --runtime foreign busybox nosuch");
    let words = "OCI runtime create failed: runc create failed: unable to start container process: exec: \"nosuch\": executable file not found in $PATH: unknown";
    assert!(missing.stderr().contains(words), "{missing}");
    assert_eq!(missing.code, 127);
    assert_eq!(engine.run("run --rm --runtime foreign busybox /etc/passwd").code, 126);
    engine.ok("run -d --name box --runtime foreign busybox sleep 1000");
    let exec = engine.run("exec box nosuch");
    assert!(exec.stdout().contains("OCI runtime exec failed: exec failed: unable to start container process: exec: \"nosuch\""), "{exec}");
    assert_eq!(exec.code, 127);
    let unknown = engine.run("run --rm --runtime nope busybox true");
    assert!(unknown.stderr().contains("unknown or invalid runtime name: nope"), "{unknown}");
    assert_eq!(unknown.code, 125);
    engine.finish();
}

#[test]
fn a_foreign_container_survives_the_daemon_and_is_cleaned_up_after_its_shim() {
    survival("runc");
}

#[test]
fn our_own_runtimes_container_survives_the_daemon_and_is_cleaned_up_after_its_shim() {
    survival(OWN);
}

fn survival(program: &str) {
    let Some(engine) = engine(program) else { return };
    engine
        .dhow(["run", "-d", "--name", "box", "--runtime", "foreign", "busybox", "sh", "-c", "while :; do echo tick; sleep 0.1; done"])
        .ok();
    let pid = engine.container_pid("box");
    engine.kill_daemon();
    engine.start_daemon();
    assert_eq!(engine.container_pid("box"), pid);
    assert_eq!(engine.ok("exec box echo again"), "again");
    kill(engine.shim_pid("box"), 9);
    engine.until_state("box", "exited");
    until("its processes are gone", || leaks::alive(pid).is_none());
    engine.ok("start box");
    engine.ok("rm -f box");
    engine.finish();
}

#[test]
fn out_of_memory_in_a_foreign_runtime_is_told() {
    out_of_memory("runc");
}

#[test]
fn out_of_memory_in_our_own_runtime_is_told() {
    out_of_memory(OWN);
}

fn out_of_memory(program: &str) {
    let Some(engine) = engine(program) else { return };
    let volume = format!("{}:/attacker:ro", paths::attacker().display());
    let limits = ["-m", "32m", "--memory-swap", "32m", "-v", &volume];
    let out = engine.dhow(["run", "--name", "box", "--runtime", "foreign"]).args(limits).args(["busybox", "/attacker", "eat", "200"]).run();
    assert_eq!(out.code, 137, "{out}");
    assert_eq!(engine.inspect("box")["State"]["OOMKilled"], true);
    engine.finish();
}

#[test]
fn the_file_names_runtimes_and_a_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("daemon.json");
    let Some(runc) = paths::program("runc") else { return dhow_tests::skip("runc is not installed") };
    let body = json!({"runtimes": {"foreign": {"path": runc, "runtimeArgs": ["--debug"]}, "gone": {"path": "/nowhere/runtime"}},
        "default-runtime": "foreign"});
    std::fs::write(&file, body.to_string()).unwrap();
    let engine = Engine::with(Options { flags: vec!["--config-file".into(), file.display().to_string()], ..Options::default() });
    let info = engine.dhow(["info", "--format", "{{.DefaultRuntime}} {{range $k, $v := .Runtimes}}{{$k}} {{end}}"]).ok();
    assert_eq!(info.trim_end(), "foreign foreign gone runc");
    assert_eq!(engine.shell("", "echo default").ok(), "default");
    assert_eq!(engine.shell("--runtime runc", "echo own").ok(), "own");
    let gone = engine.run("run --rm --runtime gone busybox true");
    let words = [
        "OCI runtime create failed: unable to retrieve OCI runtime error (",
        "fork/exec /nowhere/runtime: no such file or directory: unknown",
    ];
    assert!(words.iter().all(|word| gone.stderr().contains(word)), "{gone}");
    assert_eq!(gone.code, 127);
    engine.finish();
}
