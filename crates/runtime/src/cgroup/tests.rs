//! On this host's own hierarchies, as root, each test below a parent of its own.

use super::*;
use oci_spec::runtime::LinuxResources;
use std::fs;
use std::process::{Child, Command};

struct Place {
    parent: String,
}

impl Place {
    fn new(name: &str) -> Option<Self> {
        if layout().hierarchies.is_empty() || !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: needs root and a cgroup file system");
            return None;
        }
        Some(Self { parent: format!("/dhow-test-{}-{name}", std::process::id()) })
    }
    fn path(&self) -> String {
        format!("{}/one", self.parent)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(cgroup) = Cgroup::at(&self.path()) {
            let _ = cgroup.kill();
            let _ = cgroup.remove();
        }
        let _ = Cgroup::remove_parent_if_empty(&self.parent);
    }
}

fn resources(json: &str) -> LinuxResources {
    serde_json::from_str(json).unwrap()
}

/// A shell that enters the cgroup before it does anything, as the runtime's child does.
fn run_in(cgroup: &Cgroup, script: &str) -> Child {
    let mut enter: Vec<String> = cgroup.v1_tasks().map(|tasks| tasks.display().to_string()).collect();
    enter.extend(cgroup.unified_dir().map(|dir| dir.join("cgroup.procs").display().to_string()));
    let enter: String = enter.iter().map(|file| format!("echo 0 > {file} && ")).collect();
    Command::new("/bin/sh").arg("-c").arg(format!("{enter} {{ {script}\n}}")).spawn().unwrap()
}

fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    for _ in 0..500 {
        if ready() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("waited in vain: {what}");
}

#[test]
fn limits_are_applied_and_everything_is_removed() {
    let Some(place) = Place::new("limits") else { return };
    let cgroup = Cgroup::create(
        &place.path(),
        Some(&resources(
            r#"{"memory":{"limit":67108864,"swap":134217728},"cpu":{"quota":50000,"period":100000,"shares":512},"pids":{"limit":50}}"#,
        )),
    )
    .unwrap();
    assert_eq!(cgroup.mode, mode());
    assert!(cgroup.dirs.iter().all(|(_, dir)| dir.is_dir()));
    let usage = cgroup.usage().unwrap();
    assert_eq!(usage.memory_limit, Some(67_108_864));
    assert_eq!((usage.pids, usage.oom_kills), (0, 0));
    assert_eq!(fs::read_to_string(cgroup.dir("pids").unwrap().join("pids.max")).unwrap().trim(), "50");
    cgroup.update(&resources(r#"{"memory":{"limit":134217728,"swap":268435456},"pids":{"limit":-1}}"#)).unwrap();
    assert_eq!(cgroup.usage().unwrap().memory_limit, Some(134_217_728));
    cgroup.update(&resources(r#"{"memory":{"limit":33554432,"swap":33554432}}"#)).unwrap();
    assert_eq!(cgroup.usage().unwrap().memory_limit, Some(33_554_432));
    assert_eq!(fs::read_to_string(cgroup.dir("pids").unwrap().join("pids.max")).unwrap().trim(), "max");
    let json = serde_json::to_string(&cgroup).unwrap();
    assert_eq!(serde_json::from_str::<Cgroup>(&json).unwrap(), cgroup);
    cgroup.remove().unwrap();
    cgroup.remove().unwrap();
    Cgroup::remove_parent_if_empty(&place.parent).unwrap();
    assert!(cgroup.dirs.iter().all(|(_, dir)| !dir.exists() && !dir.parent().unwrap().exists()));
    assert_eq!(cgroup.usage().unwrap(), Usage::default());
}

#[test]
fn a_refusal_names_file_and_value_and_leaves_nothing() {
    let Some(place) = Place::new("refusal") else { return };
    let error = Cgroup::create(&place.path(), Some(&resources(r#"{"cpu":{"cpus":"4000"}}"#))).unwrap_err();
    assert_eq!(error.step, Step::Cgroup);
    assert!(error.object.ends_with("/one/cpuset.cpus"), "{error}");
    assert!(error.message.starts_with("write \"4000\": ") && error.errno != 0, "{error}");
    let cgroup = Cgroup::at(&place.path()).unwrap();
    assert!(cgroup.dirs.iter().all(|(_, dir)| !dir.exists() && !dir.parent().unwrap().exists()));
}

#[test]
fn processes_are_listed_frozen_killed_and_their_own_cgroups_removed() {
    let Some(place) = Place::new("kill") else { return };
    let cgroup = Cgroup::create(&place.path(), Some(&LinuxResources::default())).unwrap();
    let mut child = run_in(&cgroup, "sleep 100 & sleep 100 & wait");
    wait_for("three processes", || cgroup.pids().unwrap().len() == 3);
    for (_, dir) in &cgroup.dirs {
        fs::create_dir_all(dir.join("made/inside")).unwrap();
    }
    let pids = cgroup.pids().unwrap();
    let inner = cgroup.dirs.last().unwrap().1.join("made/inside/cgroup.procs");
    fs::write(&inner, pids[2].to_string()).unwrap();
    assert_eq!(cgroup.pids().unwrap().len(), 3);
    cgroup.freeze(true).unwrap();
    cgroup.freeze(false).unwrap();
    cgroup.freeze(true).unwrap();
    cgroup.kill().unwrap();
    if cgroup.unified_dir().is_none() {
        cgroup.freeze(false).unwrap();
    }
    assert!(!child.wait().unwrap().success());
    cgroup.remove().unwrap();
    assert!(cgroup.pids().unwrap().is_empty());
    cgroup.kill().unwrap();
}

#[test]
fn killing_one_by_one_works_without_the_kernels_help() {
    let Some(place) = Place::new("slowly") else { return };
    let cgroup = Cgroup::create(&place.path(), None).unwrap();
    let mut child = run_in(&cgroup, "sleep 100 & sleep 100 & wait");
    wait_for("three processes", || cgroup.pids().unwrap().len() == 3);
    cgroup.kill_one_by_one().unwrap();
    assert!(!child.wait().unwrap().success());
    cgroup.remove().unwrap();
}

#[test]
fn a_directory_in_use_is_refused_and_an_empty_one_made_anew() {
    let Some(place) = Place::new("again") else { return };
    let limited = resources(r#"{"memory":{"limit":67108864}}"#);
    let cgroup = Cgroup::create(&place.path(), Some(&limited)).unwrap();
    let again = Cgroup::create(&place.path(), None).unwrap();
    assert_eq!(again, cgroup);
    assert_eq!(again.usage().unwrap().memory_limit, None);
    let mut child = run_in(&cgroup, "sleep 100");
    wait_for("a process", || !cgroup.pids().unwrap().is_empty());
    wait_for("a process everywhere", || cgroup.dirs.iter().all(|(_, dir)| !control::procs(dir).unwrap().is_empty()));
    let error = Cgroup::create(&place.path(), None).unwrap_err();
    assert!(error.message.contains("in use by process"), "{error}");
    cgroup.kill().unwrap();
    child.wait().unwrap();
    cgroup.remove().unwrap();
}

#[test]
fn an_out_of_memory_kill_is_counted() {
    let Some(place) = Place::new("oom") else { return };
    let cgroup = Cgroup::create(&place.path(), Some(&resources(r#"{"memory":{"limit":16777216,"swap":16777216}}"#))).unwrap();
    assert_eq!(cgroup.oom_kills().unwrap(), 0);
    let mut child = run_in(&cgroup, "tail -c 100m /dev/zero | tail -c 100m > /dev/null; true");
    child.wait().unwrap();
    assert!(cgroup.oom_kills().unwrap() > 0);
    assert_eq!(cgroup.usage().unwrap().oom_kills, cgroup.oom_kills().unwrap());
    cgroup.remove().unwrap();
}

#[test]
fn devices_are_closed_and_opened() {
    let Some(place) = Place::new("devices") else { return };
    let cgroup = Cgroup::create(&place.path(), Some(&LinuxResources::default())).unwrap();
    let test = "head -c 1 /dev/zero > /dev/null && ! head -c 1 /dev/kmsg > /dev/null 2>&1 && ! head -c 1 /dev/mem > /dev/null 2>&1";
    assert!(run_in(&cgroup, test).wait().unwrap().success());
    cgroup.remove().unwrap();
}

#[test]
fn device_programs_of_the_unified_hierarchy_work() {
    let Some(place) = Place::new("program") else { return };
    let cgroup = Cgroup::create(&place.path(), None).unwrap();
    if cgroup.unified_dir().is_none() {
        eprintln!("skipped: no unified hierarchy");
        return;
    }
    let null_only = resources(r#"{"devices":[{"allow":false,"access":"rwm"}]}"#);
    let policy = devices::policy(null_only.devices().as_deref().unwrap()).unwrap();
    let mut plan = plan::Plan { program: Some(policy.program()), ..plan::Plan::default() };
    cgroup.apply(&plan).unwrap();
    // A second time: the old program is replaced.
    cgroup.apply(&plan).unwrap();
    let dir = fs::File::open(cgroup.unified_dir().unwrap()).unwrap();
    assert_eq!(dhow_sys::bpf::device_programs(&dir).unwrap().len(), 1);
    let closed = "head -c 1 /dev/zero > /dev/null && ! head -c 1 /dev/kmsg > /dev/null 2>&1";
    assert!(run_in(&cgroup, closed).wait().unwrap().success());
    let all = resources(r#"{"devices":[{"allow":true,"access":"rwm"},{"allow":false,"type":"c","major":1,"minor":5,"access":"r"}]}"#);
    plan.program = Some(devices::policy(all.devices().as_deref().unwrap()).unwrap().program());
    cgroup.apply(&plan).unwrap();
    assert!(run_in(&cgroup, "! head -c 1 /dev/zero > /dev/null 2>&1 && head -c 1 /dev/urandom > /dev/null").wait().unwrap().success());
    cgroup.remove().unwrap();
}

#[test]
fn bad_paths_are_refused() {
    for path in ["", "/", "a/../b", "../b", "/a/../b", "/a//b", "/a/.", "/a/"] {
        assert_eq!(relative(path).unwrap_err().kind, Kind::Invalid, "{path:?}");
    }
    assert_eq!((relative("/a/b").unwrap(), relative("a/b").unwrap()), (Path::new("a/b"), Path::new("a/b")));
}

/// Not an assertion on speed, a place to look: `cargo test -p dhow-runtime cgroup::tests::speed -- --nocapture`.
#[test]
fn speed() {
    let Some(place) = Place::new("speed") else { return };
    let limits = resources(r#"{"memory":{"limit":67108864,"swap":134217728},"pids":{"limit":50}}"#);
    let keep = Cgroup::create(&format!("{}/keep", place.parent), None).unwrap();
    let mut times = Vec::new();
    for _ in 0..20 {
        let start = std::time::Instant::now();
        let cgroup = Cgroup::create(&place.path(), Some(&limits)).unwrap();
        let made = start.elapsed();
        cgroup.remove().unwrap();
        times.push((made, start.elapsed() - made));
    }
    keep.remove().unwrap();
    times.sort();
    println!("create, remove: {:?}", times[10]);
}

#[test]
fn one_that_is_begun_has_no_limits_until_it_is_finished() {
    let Some(place) = Place::new("begun") else { return };
    let limited = resources(r#"{"memory":{"limit":67108864},"pids":{"limit":7}}"#);
    let (cgroup, unfinished) = Cgroup::begin(&place.path(), Some(&limited), true).unwrap();
    assert_eq!(unfinished.is_something(), mode() != Mode::V2);
    assert!(cgroup.dirs.iter().all(|(controllers, dir)| dir.is_dir() == (mode() == Mode::V2 || controllers.is_empty())));
    unfinished.finish(&cgroup).unwrap();
    assert_eq!(cgroup, Cgroup::at(&place.path()).unwrap());
    assert_eq!(cgroup.usage().unwrap().memory_limit, Some(67_108_864));
    cgroup.remove().unwrap();
}

#[test]
fn whoever_begins_finds_others_before_anything_is_made() {
    let Some(place) = Place::new("taken") else { return };
    let cgroup = Cgroup::create(&place.path(), None).unwrap();
    let mut child = run_in(&cgroup, "sleep 100");
    wait_for("a process everywhere", || cgroup.dirs.iter().all(|(_, dir)| !control::procs(dir).unwrap().is_empty()));
    // In one hierarchy alone: the one that clone takes is made anew otherwise.
    if let Some(dir) = cgroup.unified_dir().filter(|_| mode() == Mode::Hybrid) {
        for pid in control::procs(dir).unwrap() {
            fs::write(dir.ancestors().nth(2).unwrap().join("cgroup.procs"), pid.to_string()).unwrap();
        }
        wait_for("the directory is free", || fs::remove_dir(dir).is_ok());
    }
    for anew in [true, false] {
        let error = Cgroup::begin(&place.path(), None, anew).unwrap_err();
        assert!(error.message.contains("in use by process"), "{error}");
        assert!(mode() != Mode::Hybrid || !cgroup.unified_dir().unwrap().exists());
    }
    cgroup.kill_one_by_one().unwrap();
    child.wait().unwrap();
    cgroup.remove().unwrap();
}

#[test]
fn what_cannot_be_finished_is_taken_back() {
    let Some(place) = Place::new("unfinished") else { return };
    let refused = resources(r#"{"cpu":{"cpus":"4000"}}"#);
    let Ok((cgroup, unfinished)) = Cgroup::begin(&place.path(), Some(&refused), true) else {
        assert_eq!(mode(), Mode::V2);
        return;
    };
    let error = unfinished.finish(&cgroup).unwrap_err();
    assert!(error.object.ends_with("cpuset.cpus"), "{error}");
    assert!(cgroup.dirs.iter().all(|(controllers, dir)| dir.exists() == controllers.is_empty()));
    cgroup.remove().unwrap();
}
