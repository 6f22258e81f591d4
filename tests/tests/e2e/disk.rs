//! Nobody waits for the disk: what is made is there, and is synced later.

use dhow_tests::{Engine, Options, engine::kill, skip, until};
use std::process::{Child, Stdio};

/// Every way to wait until something is on the disk.
const SYNCS: &str = "fsync,fdatasync,syncfs,sync,sync_file_range,msync";

/// A daemon in which each of these takes longer than anybody's patience, as beside a disk that others keep busy; until it is dropped.
struct Stuck(Child);

impl Stuck {
    fn daemon(engine: &Engine) -> Option<Self> {
        let Some(program) = dhow_tests::paths::program("strace") else {
            skip::skip("strace is not installed");
            return None;
        };
        let pid = engine.pid().to_string();
        let trace = [format!("trace={SYNCS}"), format!("inject={SYNCS}:delay_enter=1000000000")];
        let mut command = std::process::Command::new(program);
        command.args(["-f", "-qq", "-o", "/dev/null", "-p", &pid, "-e", &trace[0], "-e", &trace[1]]);
        let this = Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start strace"));
        until("every thread is traced", || {
            let mut threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
            threads.all(|thread| {
                let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
                !status.contains("TracerPid:\t0\n")
            })
        });
        Some(this)
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        kill(self.0.id() as i32, 9);
        let _status = self.0.wait();
    }
}

/// Others may have written whatever they like: who does not sync cannot wait for it.
#[test]
fn a_commit_waits_for_no_disk() {
    let engine = Engine::new();
    let script = "for i in $(seq 50); do echo $i > /f$i; done; rm -r /home";
    engine.dhow(["run", "--name", "changed", "busybox", "sh", "-c", script]).ok();
    engine.settled();
    let Some(stuck) = Stuck::daemon(&engine) else { return engine.finish() };
    let id = engine.ok("commit changed made:1");
    assert_eq!(engine.inspect("made:1")["Id"], id.as_str());
    // Once more while the first one is being synced, which does not end.
    engine.ok("commit changed made:2");
    drop(stuck);
    engine.settled();
    assert_eq!(engine.ok("run --rm made:2 cat /f1"), "1");
    assert_eq!(engine.dhow(["run", "--rm", "made:1", "sh", "-c", "cat /f50; ls -d /home"]).run().stdout(), "50\n");
    engine.finish();
}

#[test]
fn a_load_waits_for_no_disk() {
    let engine = Engine::with(Options { empty: true, ..Options::default() });
    let archive = dhow_tests::paths::image("busybox");
    let Some(stuck) = Stuck::daemon(&engine) else { return engine.finish() };
    engine.dhow(["load", "-q", "-i"]).args([&archive]).ok();
    assert_eq!(engine.ok("images -q").lines().count(), 1);
    drop(stuck);
    engine.settled();
    assert_eq!(engine.ok("run --rm busybox echo there"), "there");
    engine.finish();
}
