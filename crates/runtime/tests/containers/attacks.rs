//! What hostile images and specifications have tried on other engines.

use crate::support::{Place, exists, finish, pipes};
use serde_json::json;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("attacks::class_1_the_waiting_process_cannot_be_read", class_1_the_waiting_process_cannot_be_read),
    ("attacks::class_1_a_bind_changes_after_it_was_looked_at", class_1_a_bind_changes_after_it_was_looked_at),
    ("attacks::class_2_working_directory_in_a_descriptor", class_2_working_directory_in_a_descriptor),
    ("attacks::class_3_destinations_through_links", class_3_destinations_through_links),
    ("attacks::class_3_proc_and_sys_as_links", class_3_proc_and_sys_as_links),
    ("attacks::class_3_mounts_below_proc", class_3_mounts_below_proc),
    ("attacks::class_4_dev_and_null_replaced", class_4_dev_and_null_replaced),
    ("attacks::class_4_console_replaced", class_4_console_replaced),
];

/// CVE-2019-5736, CVE-2016-9962: between its creation and its exec the process shows nothing to others without privilege.
fn class_1_the_waiting_process_cannot_be_read() {
    let place = Place::new();
    let (stdio, _output) = pipes();
    let created = place.create(stdio).unwrap();
    let owner = |name: &str| std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(format!("/proc/{}/{name}", created.pid)).unwrap());
    assert_eq!(owner("fd"), 0);
    // A process with the container's own capabilities, but not ours, may not follow the links.
    let denied = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                dhow_sys::caps::set(crate::support::DEFAULT_CAPS, crate::support::DEFAULT_CAPS, 0).unwrap();
                let hidden = |name: &str| std::fs::read_link(format!("/proc/{}/{name}", created.pid)).is_err();
                ["exe", "root", "cwd", "fd/0"].into_iter().all(hidden)
            })
            .join()
            .unwrap()
    });
    assert!(denied);
}

/// A caller that is not sealed has seen to it that no bind brings its program along; then somebody changes a link.
fn class_1_a_bind_changes_after_it_was_looked_at() {
    for mapped in [false, true] {
        let mut place = Place::new();
        if mapped {
            place.map();
        }
        let link = place.dir.path().join("link");
        place.push("/mounts", json!({"destination": "/x", "type": "bind", "source": link, "options": ["rbind"]}));
        place.set("/process/args", json!(["true"]));
        place.stub = true;
        let program = std::env::current_exe().unwrap();
        let leading = ["/proc/self/exe", program.to_str().unwrap(), "/proc/self", "/proc"].map(|target| (target, false));
        for (target, fine) in leading.into_iter().chain([("/etc", true)]) {
            let _ = std::fs::remove_file(&link);
            symlink(target, &link).unwrap();
            let (stdio, output) = pipes();
            match place.create_and_start(stdio) {
                Ok(created) => assert!(fine && finish(&created.pidfd, output).1 == 0, "{target}"),
                Err(failure) => {
                    assert!(!fine, "{target}: {failure}");
                    assert_eq!((failure.step, failure.object.as_str()), (dhow_runtime::Step::Mount, link.to_str().unwrap()));
                    // In another mount namespace than the program's own, the kernel itself does not clone from that.
                    let kernel = target == "/proc/self/exe" && failure.errno == libc::EINVAL;
                    assert!(kernel || failure.message.contains("the source of /x has changed"), "{target}: {failure}");
                }
            }
        }
    }
}

/// CVE-2024-21626.
fn class_2_working_directory_in_a_descriptor() {
    let mut place = Place::new();
    let leaked = std::fs::File::open("/").unwrap();
    let leaked = rustix::io::dup(&leaked).unwrap();
    for cwd in [
        format!("/proc/self/fd/{}", leaked.as_raw_fd()),
        format!("/proc/self/fd/{}/../..", leaked.as_raw_fd()),
        "/proc/self/cwd".into(),
        "/proc/1/root".into(),
    ] {
        place.set("/process/cwd", json!(cwd));
        let failure = place.fails(&["sh", "-c", "ls"]);
        assert_eq!(failure.step, dhow_runtime::Step::Cwd, "{failure}");
    }
    symlink(format!("/proc/self/fd/{}", leaked.as_raw_fd()), place.lower().join("link")).unwrap();
    place.set("/process/cwd", json!("/link"));
    place.fails(&["true"]);
}

/// CVE-2021-30465 and its kin.
fn class_3_destinations_through_links() {
    let mut place = Place::new();
    let outside = place.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    symlink("../../../../../../../../../../", place.lower().join("up")).unwrap();
    symlink(&outside, place.lower().join("abs")).unwrap();
    std::fs::create_dir_all(place.lower().join("deep")).unwrap();
    symlink("/etc", place.lower().join("deep/etc")).unwrap();
    let tmpfs = |at: &str| json!({"destination": at, "type": "tmpfs", "source": "t", "options": ["size=4k"]});
    place.push("/mounts", tmpfs("/up/made")).push("/mounts", tmpfs("/deep/etc/made"));
    let text = place.ok("grep ' t ' /proc/self/mountinfo || cat /proc/self/mountinfo; ls -d /made /etc/made");
    assert!(text.contains("/made\n") && text.contains("/etc/made\n"), "{text}");
    assert!(!exists(Path::new("/made")) && !exists(Path::new("/etc/made")));
    // A link to a place that only the host has leads to that name within the root.
    place.push("/mounts", tmpfs("/abs/made"));
    place.ok(&format!("ls -d {}/made", outside.display()));
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642.
fn class_3_proc_and_sys_as_links() {
    for name in ["proc", "sys"] {
        let mut place = Place::new();
        std::fs::remove_dir(place.lower().join(name)).unwrap();
        symlink("tmp", place.lower().join(name)).unwrap();
        let failure = place.fails(&["true"]);
        assert_eq!((failure.object, failure.errno), (format!("/{name}"), libc::ELOOP));
    }
}

fn class_3_mounts_below_proc() {
    for at in ["/proc/sys", "/proc/self/attr", "/proc"] {
        let mut place = Place::new();
        place.push("/mounts", json!({"destination": at, "type": "tmpfs", "source": "t"}));
        place.fails(&["true"]);
    }
    let mut place = Place::new();
    symlink("/proc/sys/kernel", place.lower().join("innocent")).unwrap();
    place.push("/mounts", json!({"destination": "/innocent", "type": "bind", "source": "/tmp", "options": ["bind"]}));
    let failure = place.fails(&["true"]);
    assert!(failure.message.contains("inside /proc"), "{failure}");
    let mut place = Place::new();
    place.push("/mounts", json!({"destination": "/proc/cpuinfo", "type": "bind", "source": "/dev/null", "options": ["bind"]}));
    assert_eq!(place.ok("cat /proc/cpuinfo"), "");
}

/// CVE-2025-31133, CVE-2026-47766.
fn class_4_dev_and_null_replaced() {
    // The image's own /dev is used here, with something else as its null device: the node is not taken for one.
    let mut place = Place::new();
    std::fs::write(place.lower().join("dev/null"), "fake").unwrap();
    place.set("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}]));
    let failure = place.fails(&["true"]);
    assert_eq!((failure.step, failure.object.as_str()), (dhow_runtime::Step::Device, "/dev/null"), "{failure}");
    let mut place = Place::new();
    symlink("/etc/passwd", place.lower().join("dev/null")).unwrap();
    place.set("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}]));
    place.fails(&["true"]);
    // /dev as a link, with and without a mount on it.
    for mounts in [None, Some(json!([]))] {
        let mut place = Place::new();
        std::fs::remove_dir(place.lower().join("dev")).unwrap();
        symlink("/proc/sys", place.lower().join("dev")).unwrap();
        if let Some(mounts) = mounts {
            place.set("/mounts", mounts);
        }
        let failure = place.fails(&["true"]);
        assert_eq!((failure.object.as_str(), failure.errno), ("/dev", libc::ELOOP));
    }
    // A bound /dev whose null device is none: files are masked with the host's.
    let mut place = Place::new();
    let fake = place.dir.path().join("fakedev");
    std::fs::create_dir(&fake).unwrap();
    symlink("/etc/passwd", fake.join("null")).unwrap();
    place.set("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/dev", "type": "bind", "source": fake, "options": ["bind"]}]));
    assert_eq!(place.ok("stat -c '%F %t:%T' /proc/keys"), "character special file 1:3\n");
}

/// CVE-2025-52565.
fn class_4_console_replaced() {
    let mut place = Place::new();
    place.set("/process/terminal", json!(true)).set("/process/args", json!(["true"]));
    symlink("/etc/passwd", place.lower().join("dev/console")).unwrap();
    let mounts = json!([{"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]}]);
    place.set("/mounts", mounts);
    let failure = place.create(dhow_runtime::Stdio::Terminal { size: None }).unwrap_err();
    assert_eq!((failure.object.as_str(), failure.errno), ("/dev/console", libc::ELOOP), "{failure}");
}
