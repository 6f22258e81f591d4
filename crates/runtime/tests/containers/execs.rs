//! Further processes.

use crate::support::{DEFAULT_CAPS, Place, field, finish, pipes};
use dhow_runtime::Kind;
use serde_json::json;
use std::io::BufRead;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("execs::joins_everything", joins_everything),
    ("execs::its_own_user_and_directory", its_own_user_and_directory),
    ("execs::a_container_that_has_ended", a_container_that_has_ended),
    ("execs::failures", failures),
    ("execs::timings", timings),
];

fn joins_everything() {
    let mut place = Place::new();
    let (created, _output) = place.start("echo $$ > /first; sleep 100");
    let (stdio, output) = pipes();
    let script = "ps; cat /proc/self/status; for n in pid mnt net ipc uts cgroup; do readlink /proc/self/ns/$n; done; cat /proc/self/cgroup; ls /proc/$$/fd; exit 9";
    let started = place.exec(&created, &["sh", "-c", script], stdio).unwrap();
    let (text, code) = finish(&started.pidfd, output);
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("sleep 100"), "{text}");
    for name in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(u64::from_str_radix(field(&text, name), 16).unwrap(), DEFAULT_CAPS, "{name}");
    }
    for kind in ["pid", "mnt", "net", "ipc", "uts", "cgroup"] {
        let link = std::fs::read_link(format!("/proc/{}/ns/{kind}", created.pid)).unwrap();
        assert!(text.contains(link.to_str().unwrap()), "{kind}");
    }
    for line in text.lines().filter(|line| line.contains(":/") && line.split(':').count() == 3) {
        assert!(line.ends_with(":/"), "{line}");
    }
    assert!(text.ends_with("0\n1\n2\n"), "{text}");
}

fn its_own_user_and_directory() {
    let mut place = Place::new();
    let (created, output) = place.start("mkdir -p /work; echo ready; sleep 100");
    std::io::BufReader::new(output).read_line(&mut String::new()).unwrap();
    let mut process = place.spec["process"].clone();
    process["args"] = json!(["sh", "-c", "id -u; pwd; echo $A $HOME"]);
    process["user"] = json!({"uid": 1000, "gid": 1000});
    process["cwd"] = json!("/work");
    process["env"] = json!(["PATH=/bin", "A=b"]);
    let (stdio, output) = pipes();
    let started = place.exec_process(&created, process, stdio).unwrap();
    assert_eq!(finish(&started.pidfd, output), ("1000\n/work\nb /home/u\n".to_owned(), 0));
}

fn a_container_that_has_ended() {
    let mut place = Place::new();
    let (created, output) = place.start("true");
    finish(&created.pidfd, output);
    let (stdio, _output) = pipes();
    assert_eq!(place.exec(&created, &["true"], stdio).unwrap_err().kind, Kind::NotRunning);
}

fn failures() {
    let mut place = Place::new();
    let (created, _output) = place.start("sleep 100");
    for (args, kind, message) in [
        (["nope"], Kind::NotFound, "executable file not found in $PATH"),
        (["/nope"], Kind::NotFound, "stat /nope: no such file or directory"),
        (["/etc"], Kind::IsDirectory, "is a directory"),
        (["/etc/passwd"], Kind::NotExecutable, "permission denied"),
    ] {
        let (stdio, _output) = pipes();
        let failure = place.exec(&created, &args, stdio).unwrap_err();
        assert_eq!((failure.kind, failure.message.as_str(), failure.object.as_str()), (kind, message, args[0]));
    }
    let mut process = place.spec["process"].clone();
    process["cwd"] = json!("/missing");
    let (stdio, _output) = pipes();
    let failure = place.exec_process(&created, process, stdio).unwrap_err();
    assert_eq!((failure.object.as_str(), failure.message.as_str()), ("/missing", "no such file or directory"));
    assert!(!place.upper().join("missing").exists());
    // Only the first process is left.
    assert_eq!(place.cgroup.pids().unwrap().len(), 1, "{:?}", place.cgroup.pids());
}

fn timings() {
    let mut place = Place::new();
    let (created, _output) = place.start("exec sleep 100");
    let count: usize = std::env::var("DHOW_TIMINGS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut all = Vec::new();
    for _ in 0..count {
        if count > 1 {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let (stdio, output) = pipes();
        let begin = std::time::Instant::now();
        let started = place.exec(&created, &["true"], stdio).unwrap();
        all.push(begin.elapsed());
        assert_eq!(finish(&started.pidfd, output).1, 0);
    }
    all.sort();
    println!("exec: fastest {:?} median {:?}", all[0], all[all.len() / 2]);
}
