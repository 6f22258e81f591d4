//! Containers without a mount namespace of their own: `dhow runtime` leaves the host's mounts alone, but for one that goes with them.

use dhow_tests::{Bundle, until};
use serde_json::{Value, json};
use std::path::Path;

/// A container in the namespaces of its caller, as far as mounts go.
fn bundle(args: &[&str]) -> (Bundle, Value) {
    let bundle = Bundle::new();
    let mut config = bundle.config.clone();
    config["process"]["args"] = json!(args);
    config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "mount");
    bundle.write(&config);
    std::fs::write(bundle.dir().join("rootfs/mine"), "").unwrap();
    (bundle, config)
}

fn namespace(pid: &str) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap().display().to_string()
}

/// The host's own root, and how it tells others of its mounts.
fn root_mount() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().filter(|line| line.split(' ').nth(4) == Some("/")).map(str::to_owned).collect()
}

#[test]
fn its_root_is_a_mount_of_the_host_that_goes_with_it() {
    let before = root_mount();
    let (bundle, _) = bundle(&["sleep", "1000"]);
    bundle.leave(&["create", "box"]);
    let pid = bundle.state("box")["pid"].to_string();
    assert_eq!(namespace(&pid), namespace("self"));
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/root")).unwrap(), bundle.dir().canonicalize().unwrap().join("rootfs"));
    bundle.ok("start box");
    // A further program is in the container's root, not in the host's.
    assert_eq!(bundle.ok("exec box ls /mine"), "/mine");
    assert_eq!(bundle.ok("exec box stat -c %t:%T /proc/keys"), "1:3");
    bundle.call("exec box touch /proc/sys/kernel/hostname").fails(1);
    assert_eq!(root_mount(), before);
    assert!(Path::new("/proc/keys").metadata().unwrap().is_file(), "the host's own is not masked");
    bundle.ok("kill box KILL");
    until("it has ended", || bundle.status("box") == "stopped");
    bundle.ok("delete box");
    assert_eq!(bundle.left(), [""; 0]);
    assert_eq!(root_mount(), before);
}

#[test]
fn whatever_happens_nothing_stays_mounted() {
    let (bundle, config) = bundle(&["cat", "/mine"]);
    bundle.ok("run box");
    assert_eq!(bundle.left(), [""; 0]);
    for (field, value) in [
        ("args", json!(["nosuch"])),
        ("cwd", json!("/mine")),
        ("rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 1_u64 << 62, "hard": 1_u64 << 62}])),
    ] {
        let mut wrong = config.clone();
        wrong["process"][field] = value;
        bundle.write(&wrong);
        for verb in ["create", "run"] {
            bundle.call(&format!("{verb} box")).fails(1);
            assert_eq!(bundle.left(), [""; 0], "{verb} {field}");
        }
    }
    // Somebody else has taken it off.
    bundle.write(&config);
    bundle.leave(&["create", "box"]);
    dhow_tests::Cmd::new("umount").args(["-l".as_ref(), bundle.dir().join("rootfs").as_os_str()]).ok();
    assert!(bundle.call("exec box true").fails(255).contains("is not mounted"));
    bundle.ok("delete --force box");
    assert_eq!(bundle.left(), [""; 0]);
}
