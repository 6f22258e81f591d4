//! Many containers, stuck containers, thousands of lives: the engine stays as it was.

use dhow_tests::fuse::Hung;
use dhow_tests::{Engine, finish_child, http, leaks, until, until_some};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// "At once", as opposed to never: far above what a loaded machine needs, far below any patience.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A request that succeeds.
#[track_caller]
fn ask(engine: &Engine, method: &str, path: &str, body: &str) -> Value {
    let answer = http::request(&engine.socket(), method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    assert!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.text());
    if answer.body.is_empty() { Value::Null } else { serde_json::from_str(&answer.text()).unwrap_or(Value::Null) }
}

#[track_caller]
fn create(engine: &Engine, name: &str, command: &[&str]) -> String {
    let body = serde_json::json!({"Image": "busybox", "Cmd": command});
    ask(engine, "POST", &format!("/containers/create?name={name}"), &body.to_string())["Id"].as_str().expect("an id").to_string()
}

/// What readers ask is answered at once, whatever happens to the containers of these names; and others live on.
#[track_caller]
fn nobody_else_waits(engine: &Engine, stuck: &[String]) {
    let at_once = |what: &str, work: &dyn Fn()| {
        let start = Instant::now();
        work();
        assert!(start.elapsed() < AT_ONCE, "{what} took {:?}", start.elapsed());
    };
    at_once("the list", &|| {
        let list = ask(engine, "GET", "/containers/json?all=1", "");
        assert!(list.as_array().is_some_and(|list| list.len() >= stuck.len()), "{list}");
    });
    for name in stuck {
        at_once("inspect", &|| assert_eq!(ask(engine, "GET", &format!("/containers/{name}/json"), "")["Name"], format!("/{name}")));
    }
    at_once("events", &|| drop(ask(engine, "GET", "/events?since=1&until=2", "")));
    at_once("info", &|| drop(ask(engine, "GET", "/info", "")));
    at_once("a whole life of another", &|| {
        engine.ok("run -d --name other busybox sleep 1000");
        assert_eq!(engine.ok("exec other echo lives"), "lives");
        engine.ok("rm -f other");
        assert_eq!(engine.ok("run --rm busybox echo lives"), "lives");
    });
}

#[test]
fn a_hung_filesystem_holds_up_only_its_container() {
    let engine = Engine::new();
    let place = engine.scratch("hung");
    let Some(hung) = Hung::mount(&place) else { return };
    // More than the engine has threads for requests.
    let names: Vec<String> = (0..6).map(|number| format!("stuck{number}")).collect();
    let source = format!("{}/below:/x", place.display());
    let starts: Vec<_> =
        names.iter().map(|name| engine.dhow(["run", "-d", "--name", name, "-v", &source, "busybox", "true"]).spawn()).collect();
    until("every container is there", || engine.ok("ps -aq").lines().count() == names.len());
    until("somebody waits for the filesystem", || hung.asked() > 0);
    nobody_else_waits(&engine, &names);
    // Neither does a second wish wait in anybody's way.
    let removals: Vec<_> = names.iter().map(|name| engine.dhow(["rm", "-f", name]).spawn()).collect();
    nobody_else_waits(&engine, &names);
    drop(hung);
    // They fail, or find the directory below the mount: either way they end.
    for child in starts.into_iter().chain(removals) {
        let _either = finish_child(child);
    }
    engine.finish();
}

/// The freezer's control of a container on cgroup v1 (or hybrid), or the one of v2.
fn freezer(engine: &Engine, id: &str) -> (PathBuf, [&'static str; 2]) {
    let group = format!("{}/{id}", engine.cgroup().trim_start_matches('/'));
    let base = Path::new("/sys/fs/cgroup");
    let old = base.join("freezer").join(&group).join("freezer.state");
    if old.exists() { (old, ["THAWED", "FROZEN"]) } else { (base.join(&group).join("cgroup.freeze"), ["0", "1"]) }
}

#[test]
fn a_frozen_container_holds_up_only_itself() {
    let engine = Engine::new();
    let id = engine.ok("run -d --name stuck busybox sleep 1000");
    let (file, [thawed, frozen]) = freezer(&engine, &id);
    // Behind the engine's back: it takes the container for a running one.
    std::fs::write(&file, frozen).expect("freeze");
    let exec = engine.dhow(["exec", "stuck", "echo", "thawed"]).spawn();
    let stop = engine.dhow(["stop", "-t", "1000", "stuck"]).spawn();
    nobody_else_waits(&engine, &["stuck".to_string()]);
    assert_eq!(engine.inspect("stuck")["State"]["Status"], "running");
    std::fs::write(&file, thawed).expect("thaw");
    // SIGTERM does not end the first process of a namespace that has no handler for it.
    let _either = finish_child(exec);
    engine.ok("kill stuck");
    finish_child(stop).ok();
    engine.until_state("stuck", "exited");
    engine.finish();
}

/// What a process holds: descriptors, threads, KiB of memory of its own. The pages of its program are the build's, not its work's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    threads: usize,
    memory: u64,
}

fn held(pid: i32) -> Held {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let field = |name: &str| -> u64 {
        let text = status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()).expect("a field of /proc");
        text.parse().expect("a number")
    };
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count();
    Held { descriptors, threads: usize::try_from(field("Threads:")).expect("few"), memory: field("RssAnon:") }
}

/// The daemon stays below 60 MB; up to 18 of them are pages of its program, in a build that is optimised.
const DAEMON_MEMORY: u64 = (60 - 18) << 10;

#[test]
fn slow_three_hundred_containers_at_once() {
    const COUNT: usize = 300;
    let engine = Engine::new();
    let ids: Vec<String> = (0..COUNT)
        .map(|number| {
            let id = create(&engine, &format!("c{number}"), &["sleep", "100000"]);
            ask(&engine, "POST", &format!("/containers/{id}/start"), "");
            id
        })
        .collect();
    let running = ask(&engine, "GET", "/containers/json", "");
    assert_eq!(running.as_array().map(Vec::len), Some(COUNT));
    nobody_else_waits(&engine, &["c0".into(), format!("c{}", COUNT - 1)]);
    for id in [&ids[0], &ids[COUNT - 1]] {
        assert_eq!(engine.ok(&format!("exec {id} hostname")), id[..12]);
    }
    let daemon = held(engine.pid());
    assert!(daemon.memory < DAEMON_MEMORY, "{daemon:?}");
    // A new daemon finds them all.
    engine.kill_daemon();
    engine.start_daemon();
    assert_eq!(ask(&engine, "GET", "/containers/json", "").as_array().map(Vec::len), Some(COUNT));
    assert!(held(engine.pid()).memory < DAEMON_MEMORY, "{:?}", held(engine.pid()));
    engine.finish();
}

/// Bytes below a directory, as the disk counts them.
fn disk(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files: BTreeMap<u64, u64> =
        leaks::files(dir).iter().filter_map(|file| file.symlink_metadata().ok()).map(|meta| (meta.ino(), meta.blocks() * 512)).collect();
    files.values().sum()
}

/// How many lives: the promise is 2000 (`DHOW_CYCLES=2000`); a leak shows in fewer.
fn cycles() -> u64 {
    std::env::var("DHOW_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

/// What daemon and spawner hold and the data root takes, once it no longer changes: finished threads go, the database's log is folded back,
/// memory is given back.
fn at_rest(engine: &Engine) -> ([Held; 2], u64) {
    // What happened is kept on purpose, up to a bound of its own.
    let lasting = || disk(&engine.data_root()) - disk(&engine.data_root().join("events"));
    let look = || ([held(engine.pid()), held(engine.spawner_pid())], lasting());
    let (mut last, mut since) = (look(), Instant::now());
    until_some("the engine comes to rest", || {
        let now = look();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        // Longer than anything it waits with.
        (since.elapsed() > Duration::from_secs(4)).then_some(now)
    })
}

#[test]
fn slow_thousands_of_lives_leave_nothing() {
    let engine = Engine::new();
    let live = |count: u64| {
        for _ in 0..count {
            let id = create(&engine, "", &["true"]);
            ask(&engine, "POST", &format!("/containers/{id}/start"), "");
            ask(&engine, "DELETE", &format!("/containers/{id}?force=1"), "");
        }
    };
    // Caches are warm, the database's log has its full length.
    live(100);
    let (before, disk_before) = at_rest(&engine);
    live(cycles());
    let (after, disk_after) = at_rest(&engine);
    for (now, then) in after.iter().zip(&before) {
        assert!(now.descriptors <= then.descriptors && now.threads <= then.threads, "before {then:?}, after {now:?}");
        // Half a KiB for each would be a leak.
        assert!(now.memory <= then.memory + 512 + cycles() / 2, "before {then:?}, after {now:?}");
    }
    // The database's index grows with its busiest moment; a file for each life would be far more.
    assert!(disk_after <= disk_before + (512 << 10), "before {disk_before}, after {disk_after}");
    engine.finish();
}
