//! `dhow runtime` called by somebody who is not root, and by somebody who is root in a user namespace only.

use dhow_tests::{Bundle, Cmd, paths, skip, until};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

/// Nobody else's.
const UID: u32 = 54_321;
/// The first of the further ids that the user is given.
const FURTHER: u32 = 600_000;

/// A bundle of that user's, with a runtime that is called by that user.
struct Lone {
    bundle: Bundle,
    /// What is put into `/etc`, and where the program is seen: in a mount namespace of each call's own.
    _files: tempfile::TempDir,
}

impl std::ops::Deref for Lone {
    type Target = Bundle;
    fn deref(&self) -> &Bundle {
        &self.bundle
    }
}

/// `how` is put before the runtime. `None` (and said aloud) where the machine lacks a program.
fn lone(how: &str) -> Option<Lone> {
    if let Some(missing) = ["unshare", "setpriv", "newuidmap"].iter().find(|name| paths::program(name).is_none()) {
        skip(&format!("{missing} is not installed"));
        return None;
    }
    let files = tempfile::Builder::new().prefix("dl").tempdir_in("/tmp").expect("a directory");
    std::fs::set_permissions(files.path(), PermissionsExt::from_mode(0o755)).expect("a directory for all");
    let ranges = format!("lone:{FURTHER}:65536\n");
    let passwd = format!("root:x:0:0::/root:/bin/sh\nlone:x:{UID}:{UID}::/:/bin/sh\n");
    for (name, text) in [("passwd", passwd.as_str()), ("group", "root:x:0:\n"), ("subuid", &ranges), ("subgid", &ranges), ("dhow", "")] {
        std::fs::write(files.path().join(name), text).expect("a file");
    }
    let script = format!(
        "mount --make-rprivate / && for f in passwd group subuid subgid; do mount --bind $1/$f /etc/$f; done && mount --bind $2 $1/dhow || exit 99
        dir=$1; shift 2; exec setpriv --reuid {UID} --regid {UID} --clear-groups {how} $dir/dhow runtime \"$@\""
    );
    let dhow = paths::dhow();
    let words = ["unshare", "-m", "sh", "-c", &script, "sh", &files.path().to_string_lossy(), &dhow.to_string_lossy()];
    let bundle = Bundle::of(words.map(str::to_owned).to_vec());
    Cmd::new("chown").args(["-R", &format!("{UID}:{UID}")]).args([bundle.dir()]).ok();
    Some(Lone { bundle, _files: files })
}

impl Lone {
    /// The runtime's own specification for such users, with this program.
    fn example(&self, program: &[&str]) -> Value {
        std::fs::remove_file(self.dir().join("config.json")).expect("a specification");
        self.ok("spec --rootless");
        let mut config: Value = serde_json::from_slice(&std::fs::read(self.dir().join("config.json")).expect("one again")).expect("JSON");
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(program);
        config
    }

    fn run(&self, config: &Value) -> String {
        self.write(config);
        self.ok("run box")
    }

    #[track_caller]
    fn refused(&self, config: &Value, words: &str) -> String {
        self.write(config);
        let said = self.call(words).fails(1);
        assert_eq!(self.left(), [""; 0], "{said}");
        said
    }
}

fn ranges(ranges: &[(u32, u32, u32)]) -> Value {
    ranges.iter().map(|(container, host, size)| json!({"containerID": container, "hostID": host, "size": size})).collect()
}

fn mapped(config: &Value, pairs: &[(u32, u32, u32)]) -> Value {
    let mut config = config.clone();
    config["linux"]["uidMappings"] = ranges(pairs);
    config["linux"]["gidMappings"] = ranges(pairs);
    config
}

#[test]
fn a_life_with_ones_own_id_alone() {
    let Some(lone) = lone("") else { return };
    let script =
        "id -u; cat /proc/self/setgroups; echo $(cat /proc/self/uid_map); echo x > /dev/null && hostname; touch /made && stat -c %u /made";
    let config = lone.example(&["sh", "-c", script]);
    let mut writable = config.clone();
    writable["root"]["readonly"] = json!(false);
    assert_eq!(lone.run(&writable), format!("0\ndeny\n0 {UID} 1\ndhow\n0"));
    assert_eq!(std::fs::metadata(lone.dir().join("rootfs/made")).map(|meta| std::os::unix::fs::MetadataExt::uid(&meta)).unwrap(), UID);

    let mut config = config;
    config["process"]["args"] = json!(["sleep", "1000"]);
    config["process"]["oomScoreAdj"] = json!(500);
    lone.write(&config);
    lone.leave(&["create", "box"]);
    assert_eq!(lone.status("box"), "created");
    lone.ok("start box");
    let pid = lone.state("box")["pid"].to_string();
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim(), "500");
    assert_eq!(lone.runtime(&["exec", "box", "sh", "-c", "id -u; hostname; ls /proc | grep -c '^1$'"]).ok(), "0\ndhow\n1");
    assert!(lone.call("exec -u 5 box true").fails(255).contains("cannot set uid to unmapped user in user namespace"));
    assert!(lone.call("exec -g 5 box true").fails(255).contains("cannot set any additional groups in a rootless container"));
    let list: Value = serde_json::from_str(&lone.ok("list --format json")).unwrap();
    assert_eq!((list[0]["id"].as_str(), list[0]["owner"].as_str()), (Some("box"), Some("lone")));
    // It has no control group: nothing is counted, and nothing can be stopped or limited.
    assert!(lone.ok("events --stats box").contains("\"type\":\"stats\""));
    for words in ["ps box", "pause box", "update --pids-limit 5 box"] {
        assert!(lone.call(words).fails(1).contains("group"), "{words}");
    }
    lone.ok("kill box KILL");
    until("it has ended", || lone.status("box") == "stopped");
    lone.ok("delete box");
    assert_eq!(lone.left(), [""; 0]);
}

#[test]
fn further_ids_by_newuidmap() {
    let Some(lone) = lone("") else { return };
    let config = lone.example(&["sleep", "1000"]);
    lone.write(&mapped(&config, &[(0, UID, 1), (1, FURTHER, 100)]));
    lone.leave(&["run", "-d", "box"]);
    let pid = lone.state("box")["pid"].to_string();
    for file in ["uid_map", "gid_map"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        assert_eq!(text.split_whitespace().collect::<Vec<_>>().join(" "), format!("0 {UID} 1 1 {FURTHER} 100"));
    }
    assert_eq!(lone.runtime(&["exec", "-u", "7:8", "box", "sh", "-c", "id -u; id -g; cat /proc/self/setgroups"]).ok(), "7\n8\nallow");
    lone.ok("delete -f box");

    let said = lone.refused(&mapped(&config, &[(0, UID, 1), (1, 5, 10)]), "run box");
    assert!(said.contains("linux.uidMappings: ") && said.contains("newuidmap: uid range [1-11) -> [5-15) not allowed"), "{said}");
    assert_eq!(lone.left(), [""; 0]);
}

#[test]
fn what_it_cannot_have_is_told() {
    let Some(lone) = lone("env PATH=/nowhere") else { return };
    let config = lone.example(&["true"]);
    let said = lone.refused(&mapped(&config, &[(0, UID, 1), (1, FURTHER, 100)]), "run box");
    assert!(said.contains("linux.uidMappings: more than the own id is mapped, and newuidmap is not installed"), "{said}");
    let with = |pointer: &str, value: Value| {
        let mut config = config.clone();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        config.pointer_mut(parent).expect("a parent")[key] = value;
        config
    };
    for (config, expect) in [
        (
            with("/linux/resources", json!({"memory": {"limit": 100 << 20}})),
            "cannot set memory limit: container could not join or create cgroup",
        ),
        (with("/linux/cgroupsPath", json!("/somewhere/box")), "permission denied"),
        (
            with("/process/user", json!({"uid": 0, "gid": 0, "additionalGids": [0]})),
            "process.user.additionalGids: cannot set any additional groups",
        ),
        (with("/mounts/2/options", json!(["gid=5"])), "mounts[2].options: cannot specify gid=5 mount option for rootless container"),
    ] {
        let said = lone.refused(&config, "run box");
        assert!(said.contains(expect), "{expect}: {said}");
    }
    let mut config = with("/linux/namespaces", json!([{"type": "mount"}]));
    for key in ["uidMappings", "gidMappings"] {
        config["linux"].as_object_mut().unwrap().remove(key);
    }
    config.as_object_mut().unwrap().remove("hostname");
    let said = lone.refused(&config, "run box");
    assert!(said.contains("linux.namespaces: rootless container requires user namespaces"), "{said}");
    // Whoever says that this is no such caller is told what is not allowed.
    let config = with("/process/args", json!(["true"]));
    assert!(lone.refused(&config, "--rootless false run box").contains("permission denied"));
    assert!(lone.refused(&config, "--rootless maybe run box").contains("strconv.ParseBool: parsing \\\"maybe\\\": invalid syntax"));
    lone.write(&config);
    lone.ok("--rootless auto run box");
    lone.ok("--rootless=true run box");
    assert_eq!(lone.left(), [""; 0]);
}

/// As whoever began a user namespace by themselves, with a mount namespace to it and without.
#[test]
fn root_of_a_user_namespace() {
    for how in ["unshare --user --map-root-user --mount", "unshare --user --map-root-user"] {
        let Some(lone) = lone(how) else { return };
        let mut config = lone.example(&["sh", "-c", "id -u; cat /proc/self/setgroups"]);
        // In the namespace the user is root.
        assert_eq!(config["linux"]["uidMappings"][0]["hostID"], 0);
        assert_eq!(lone.run(&mapped(&config, &[(0, 0, 1)])), "0\ndeny", "{how}");
        config["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "pid"}, {"type": "uts"}, {"type": "ipc"}]);
        for key in ["uidMappings", "gidMappings"] {
            config["linux"].as_object_mut().unwrap().remove(key);
        }
        assert_eq!(lone.run(&config), "0\ndeny", "{how}");
        assert_eq!(lone.left(), [""; 0]);
    }
}
