//! Control groups of `dhow runtime`: where they are, how limits change, what is told of them.

use dhow_tests::{Bundle, leaks, until};
use serde_json::json;
use std::path::Path;

#[test]
fn a_limit_that_is_not_given_stays() {
    let bundle = Bundle::new();
    bundle.program(&["sleep", "1000"]);
    bundle.leave(&["run", "-d", "box"]);
    bundle.ok("update --cpu-quota 50000 --cpu-period 200000 --memory 64m --memory-swap 134217728 box");
    bundle.ok("update --cpu-period 250000 box");
    bundle.ok("update --pids-limit 33 box");
    bundle.runtime(&["update", "-r", "-", "box"]).input(json!({"memory": {"reservation": 32 << 20}}).to_string()).ok();
    let group = |files: &[&str]| {
        let text = files.iter().find_map(|file| {
            let dirs = leaks::cgroups(&bundle.cgroup());
            dirs.iter().find_map(|dir| std::fs::read_to_string(dir.join(file)).ok())
        });
        text.unwrap_or_else(|| panic!("{files:?}")).trim().to_owned()
    };
    let max = group(&["cpu.max", "cpu.cfs_quota_us"]);
    assert!(max == "50000 250000" || max == "50000", "{max}");
    assert_eq!(group(&["cpu.max", "cpu.cfs_period_us"]).rsplit(' ').next(), Some("250000"));
    assert_eq!(group(&["memory.max", "memory.limit_in_bytes"]), (64 << 20).to_string());
    assert_eq!(group(&["memory.low", "memory.soft_limit_in_bytes"]), (32 << 20).to_string());
    assert_eq!(group(&["pids.max"]), "33");
    // One that the kernel refuses is told with its field, and changes nothing.
    assert!(bundle.call("update --cpuset-cpus 4000 box").fails(1).contains("cpuset.cpus"));
    assert_eq!((bundle.status("box").as_str(), group(&["pids.max"]).as_str()), ("running", "33"));
    bundle.ok("delete -f box");
    assert_eq!(bundle.left(), [""; 0]);
}

#[test]
fn kills_for_lack_of_memory_are_told_when_they_happen() {
    let bundle = Bundle::new();
    let mut config = bundle.config.clone();
    config["process"]["args"] = json!(["sleep", "1000"]);
    config["linux"]["resources"]["memory"] = json!({"limit": 16 << 20, "swap": 16 << 20});
    bundle.write(&config);
    bundle.leave(&["run", "-d", "box"]);
    let out = std::fs::File::create(bundle.dir().join("events")).unwrap();
    // So long an interval that nothing but a notice wakes it.
    let words = bundle.runtime(&["events", "--interval", "1h", "box"]).words();
    let mut events = std::process::Command::new(&words[0]).args(&words[1..]).stdout(out).current_dir(bundle.dir()).spawn().unwrap();
    let told = || std::fs::read_to_string(bundle.dir().join("events")).unwrap();
    until("the first statistics", || told().contains("\"stats\""));
    bundle.call("exec box dd if=/dev/zero of=/dev/null bs=64M count=1").fails(137);
    until("the kill is told", || told().contains("\"oom\""));
    bundle.ok("kill box KILL");
    assert_eq!(events.wait().unwrap().code(), Some(0), "it ends with the container");
    assert_eq!(told().matches("\"oom\"").count(), 1, "{}", told());
    until("it has ended", || bundle.status("box") == "stopped");
    bundle.ok("delete box");
    assert_eq!(bundle.left(), [""; 0]);
}

#[test]
fn a_relative_group_is_below_the_callers_own() {
    let hierarchy = Path::new("/sys/fs/cgroup/pids");
    if !hierarchy.is_dir() {
        return dhow_tests::skip("there is no hierarchy of pids alone");
    }
    let bundle = Bundle::new();
    let name = bundle.cgroup().trim_start_matches('/').to_owned();
    let mut config = bundle.config.clone();
    config["process"]["args"] = json!(["sleep", "1000"]);
    config["linux"]["cgroupsPath"] = json!(name);
    bundle.write(&config);
    let own = hierarchy.join(format!("{name}-own"));
    std::fs::create_dir(&own).unwrap();
    let words = bundle.runtime(&["run", "-d", "box"]).words();
    let script = format!("echo $$ > {}/cgroup.procs; exec \"$@\" </dev/null >/dev/null 2>&1", own.display());
    let made = dhow_tests::Cmd::new("sh").dir(bundle.dir()).args(["-c", &script, "sh"]).args(words).run();
    assert_eq!(made.code, 0, "{made}");
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", bundle.state("box")["pid"])).unwrap();
    let of_pids = groups.lines().find_map(|line| line.split_once(":pids:")).map(|(_, path)| path.to_owned());
    assert!(of_pids.as_deref().is_some_and(|path| path.ends_with(&format!("/{name}-own/{name}"))), "{groups}");
    bundle.ok("delete -f box");
    assert!(!own.join(&name).exists());
    std::fs::remove_dir(&own).unwrap();
    assert_eq!(bundle.left(), [""; 0]);
}

#[test]
fn a_group_that_is_there_keeps_what_is_set() {
    let bundle = Bundle::new();
    let mut config = bundle.config.clone();
    config["process"]["args"] = json!(["sleep", "1000"]);
    // What is given is set, and only that.
    config["linux"]["resources"] = json!({"devices": [{"allow": false, "access": "rwm"}], "cpu": {"shares": 512}});
    bundle.write(&config);
    let hierarchy = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].into_iter().map(Path::new).find(|dir| dir.is_dir()).unwrap();
    let group = hierarchy.join(bundle.cgroup().trim_start_matches('/'));
    std::fs::create_dir(&group).unwrap();
    std::fs::write(group.join("pids.max"), "77").unwrap();
    bundle.leave(&["run", "-d", "box"]);
    assert_eq!(std::fs::read_to_string(group.join("pids.max")).unwrap().trim(), "77");
    // One that is in use is not shared.
    assert!(bundle.call("create other").fails(1).contains("is in use by process"));
    bundle.ok("delete -f box");
    assert_eq!(bundle.left(), [""; 0]);
}
