//! Failures have names, kinds and the words that people know, and leave nothing.

use crate::support::{Place, host_mounts, pipes};
use dhow_runtime::{Kind, Step};
use serde_json::json;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("failures::programs", programs),
    ("failures::each_names_its_step_and_object", each_names_its_step_and_object),
    ("failures::a_limit_that_leaves_no_room", a_limit_that_leaves_no_room),
    ("failures::dropped_before_the_start", dropped_before_the_start),
];

fn programs() {
    let mut place = Place::new();
    std::fs::write(place.lower().join("script"), "#!/no/interpreter\n").unwrap();
    std::fs::write(place.lower().join("text"), "words").unwrap();
    for name in ["script", "text"] {
        let path = place.lower().join(name);
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    for (arg, kind, message) in [
        ("nope", Kind::NotFound, "executable file not found in $PATH"),
        ("", Kind::NotFound, "executable file not found in $PATH"),
        ("/nope", Kind::NotFound, "stat /nope: no such file or directory"),
        ("/etc/passwd/x", Kind::NotFound, "stat /etc/passwd/x: not a directory"),
        ("/etc", Kind::IsDirectory, "is a directory"),
        ("/etc/passwd", Kind::NotExecutable, "permission denied"),
        ("/script", Kind::NotFound, "no such file or directory"),
        ("/text", Kind::NotExecutable, "exec format error"),
    ] {
        let failure = place.fails(&[arg]);
        assert_eq!((failure.step, failure.kind, failure.message.as_str(), failure.object.as_str()), (Step::Exec, kind, message, arg));
    }
}

fn each_names_its_step_and_object() {
    let before = host_mounts();
    let cases = [
        ("/mounts/0/options", json!(["no-such-option"]), Step::Mount, "/proc"),
        ("/mounts/1/type", json!("no-such-type"), Step::Mount, "/dev"),
        ("/linux/sysctl", json!({"net.no_such": "1"}), Step::Sysctl, "sys/net/no_such"),
        ("/process/cwd", json!("/etc/passwd"), Step::Cwd, "/etc/passwd"),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_NOFILE", "soft": 4_000_000_000_u64, "hard": 4_000_000_000_u64}]),
            Step::Rlimit,
            "RLIMIT_NOFILE",
        ),
        ("/process/terminal", json!(true), Step::Spec, "process.terminal"),
        ("/process/apparmorProfile", json!("no-such"), Step::User, "1/attr/apparmor/exec"),
    ];
    for (pointer, value, step, object) in cases {
        let mut place = Place::new();
        place.set(pointer, value);
        let failure = place.fails(&["true"]);
        assert_eq!((failure.step, failure.object.as_str()), (step, object), "{failure}");
    }
    let mut place = Place::new();
    place.push("/mounts", json!({"destination": "/x", "type": "bind", "source": "/no/such/source", "options": ["bind"]}));
    let failure = place.fails(&["true"]);
    assert_eq!((failure.step, failure.object.as_str(), failure.errno), (Step::Mount, "/no/such/source", libc::ENOENT));
    place.assert_same_mounts(&before);
}

fn a_limit_that_leaves_no_room() {
    let mut place = Place::limited(&json!({"memory": {"limit": 65536}}));
    let failure = place.fails(&["true"]);
    assert!(failure.message.contains("killed"), "{failure}");
}

fn dropped_before_the_start() {
    let place = Place::new();
    let (stdio, _output) = pipes();
    let created = place.create(stdio).unwrap();
    let pidfd = created.pidfd.try_clone().unwrap();
    drop(created);
    assert_eq!(dhow_sys::process::wait(&pidfd).unwrap().code(), 1);
}
