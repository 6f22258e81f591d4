//! `dhow runtime run` makes a container without a copy of itself where nobody can look; what is seen in there is never the file on the disk.

use dhow_tests::{Bundle, paths};
use serde_json::json;

fn script(bundle: &Bundle, name: &str, text: &str) {
    let path = bundle.dir().join("rootfs").join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn class01_cve_2019_5736_run_of_proc_self_exe() {
    let before = std::fs::read(paths::dhow()).unwrap();
    let bundle = Bundle::new();
    script(&bundle, "itself", "#!/proc/self/exe\n");
    for words in [&["/proc/self/exe", "runtime", "--version"][..], &["/proc/self/exe"], &["/itself", "runtime"], &["itself"]] {
        bundle.program(words);
        let out = bundle.call("run box");
        assert_ne!(out.code, 0, "{words:?}: {out}");
        assert!(!out.stdout().contains("version"), "{words:?}: {out}");
    }
    assert_eq!(bundle.left(), [""; 0]);
    assert!(std::fs::read(paths::dhow()).unwrap() == before);
}

#[test]
fn a_program_that_cannot_be_executed_is_told_alike_with_and_without_a_filter() {
    let bundle = Bundle::new();
    script(&bundle, "no-interpreter", "#!/nowhere\n");
    script(&bundle, "bad-format", "\u{1}\u{2}");
    let filters = [
        json!(null),
        json!({"defaultAction": "SCMP_ACT_ALLOW"}),
        // What the stub needs is forbidden: the other way is taken.
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["fcntl", "write"], "action": "SCMP_ACT_ERRNO"}]}),
    ];
    let mut told = Vec::new();
    for filter in &filters {
        for program in ["/no-interpreter", "/bad-format", "/nowhere", "/tmp"] {
            let mut config = bundle.config.clone();
            config["process"]["args"] = json!([program]);
            if !filter.is_null() {
                config["linux"]["seccomp"] = filter.clone();
            }
            bundle.write(&config);
            let out = bundle.call("run box");
            // The time that stands before it is not compared.
            let words = out.stderr().split_once(" level=").map(|(_, words)| words.to_owned());
            told.push((program, out.code, words.unwrap_or_default()));
        }
    }
    let (plain, filtered) = told.split_at(4);
    assert_eq!(plain, &filtered[..4]);
    assert_eq!(plain, &filtered[4..]);
    let words = ["no such file or directory", "exec format error", "no such file or directory", "is a directory"];
    for ((program, code, told), words) in plain.iter().zip(words) {
        assert!(*code != 0 && told.contains(words), "{program}: {code} {told}");
    }
    assert_eq!(bundle.left(), [""; 0]);
}

#[test]
fn the_program_is_as_its_specification_has_it() {
    let bundle = Bundle::new();
    let seen = "cat /proc/self/comm; tr '\\0' ' ' </proc/1/cmdline; echo; grep -E '^(Cap|NoNewPrivs|Seccomp:|Sig(Pnd|Blk|Ign|Cgt)|Uid|Groups)' /proc/self/status; ls /proc/self/fd; ulimit -n; cat /proc/1/limits | sort";
    let mut config = bundle.config.clone();
    config["process"]["args"] = json!(["sh", "-c", seen]);
    config["process"]["rlimits"] =
        json!([{"type": "RLIMIT_NOFILE", "soft": 30, "hard": 40}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    for user in [json!({"uid": 0, "gid": 0}), json!({"uid": 1000, "gid": 1000, "additionalGids": [5, 6]})] {
        for caps in [json!([]), json!(["CAP_KILL", "CAP_NET_BIND_SERVICE"])] {
            for nnp in [false, true] {
                config["process"]["user"] = user.clone();
                config["process"]["noNewPrivileges"] = nnp.into();
                config["process"]["capabilities"] =
                    json!({"bounding": caps, "effective": caps, "permitted": caps, "inheritable": caps, "ambient": caps});
                config.as_object_mut().unwrap().remove("hooks");
                bundle.write(&config);
                let by_stub = bundle.ok("run box");
                // A hook rules the stub out.
                config["hooks"] = json!({"poststop": [{"path": "/bin/true"}]});
                bundle.write(&config);
                assert_eq!(by_stub, bundle.ok("run box"), "{user} {caps} {nnp}");
            }
        }
    }
}
