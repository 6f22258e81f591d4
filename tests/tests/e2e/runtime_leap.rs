//! `dhow runtime run` makes a container without a copy of itself where nobody can look; what is seen in there is never the file on the disk.

use dhow_tests::command::finish_child;
use dhow_tests::{Bundle, paths};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

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
        // The same, on all descriptors but the program's own.
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["fcntl", "write"], "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 0, "value": 3, "op": "SCMP_CMP_GE"}]}]}),
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
    for filtered in filtered.chunks(4) {
        assert_eq!(plain, filtered);
    }
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

/// A second procfs, mounted in a place of the test's.
struct Procfs(PathBuf);

impl Procfs {
    fn mount(at: PathBuf) -> Self {
        std::fs::create_dir(&at).unwrap();
        rustix::mount::mount("proc", &at, "proc", rustix::mount::MountFlags::RDONLY, None).unwrap();
        Self(at)
    }
}

impl Drop for Procfs {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

/// A file, by what tells it from all others.
fn identity(path: impl AsRef<Path>) -> String {
    let stat = rustix::fs::stat(path.as_ref()).unwrap();
    format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// Runs `script` with `source` at /x. Returns what it prints, and which file its runtime ran from meanwhile; `Err` is what the runtime said
/// instead.
fn with_a_bind(bundle: &Bundle, mapped: bool, source: &Path, script: &str) -> Result<(String, String), String> {
    let mut config = bundle.config.clone();
    let mounts = config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({"destination": "/x", "type": "bind", "source": source, "options": ["bind"]}));
    config["process"]["args"] = json!(["sh", "-c", format!("{script}; echo ready; read go")]);
    if mapped {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    }
    bundle.write(&config);
    // Its root may make nothing there itself.
    let (at, resolved) = (bundle.dir().join("rootfs/x"), bundle.dir().join(source));
    let _ = std::fs::remove_file(&at).or_else(|_| std::fs::remove_dir(&at));
    if resolved.is_dir() {
        std::fs::create_dir(&at).unwrap()
    } else {
        std::fs::write(&at, "").unwrap()
    }
    let (from, go) = std::io::pipe().unwrap();
    let mut child = bundle.runtime(&["run", "box"]).stdin(from).spawn();
    let mut said = String::new();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = lines.inspect(|line| said += &format!("{line}\n"));
    let ready = lines.any(|line| line == "ready");
    let program = ready.then(|| identity(format!("/proc/{}/exe", child.id())));
    drop(go);
    let out = finish_child(child);
    program.map(|program| (said, program)).ok_or_else(|| out.stderr())
}

#[test]
fn class01_a_bind_never_brings_the_program() {
    let before = std::fs::read(paths::dhow()).unwrap();
    let disk = identity(paths::dhow());
    let bundle = Bundle::new();
    let at = |name: &str| bundle.dir().join(name);
    for (name, target) in [("exe", "/proc/self/exe"), ("link", "exe"), ("self", "/proc/self"), ("all", "/proc"), ("plain", "/etc")] {
        symlink(target, at(name)).unwrap();
    }
    let procfs = Procfs::mount(at("procfs"));
    let of_procfs = ["self", "all", "procfs", "/proc/self", "/proc"];
    let of_program = ["exe", "link", "rootfs/../exe", "self/exe", "procfs/self/exe", "/proc/self/exe"];
    for mapped in [false, true] {
        for source in of_procfs.into_iter().chain(of_program) {
            let script = "for file in /x /x/exe /x/self/exe; do stat -L -c %d:%i $file; echo >>$file; done 2>/dev/null";
            match with_a_bind(&bundle, mapped, Path::new(source), script) {
                Ok((seen, program)) => {
                    assert!(!seen.lines().any(|file| file == disk), "{source}, {mapped}: {seen}");
                    assert_ne!(program, disk, "{source}, {mapped}");
                }
                // A sealed program is on no mount that could be cloned.
                Err(words) => assert!(of_program.contains(&source) && words.contains("invalid argument"), "{source}, {mapped}: {words}"),
            }
        }
        // What is harmless needs no copy. This is how the test would see that one is missing.
        for source in [at("plain"), at("rootfs/../rootfs"), "rootfs".into()] {
            assert_eq!(with_a_bind(&bundle, mapped, &source, "true").unwrap().1, disk, "{source:?}, {mapped}");
        }
        // And what is not there is told as ever.
        symlink("nothing", at("dangling")).unwrap();
        for source in [at("nothing"), at("dangling")] {
            let words = with_a_bind(&bundle, mapped, &source, "true").unwrap_err();
            assert!(words.contains(source.to_str().unwrap()) && words.contains("no such file or directory"), "{words}");
        }
        std::fs::remove_file(at("dangling")).unwrap();
    }
    drop(procfs);
    assert_eq!(bundle.left(), [""; 0]);
    assert!(std::fs::read(paths::dhow()).unwrap() == before);
}
