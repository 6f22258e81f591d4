//! Profiles of seccomp that hand calls to somebody else.

use dhow_tests::{Cmd, Engine};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

/// What is told of one process, and the listener's descriptor.
fn hear(agent: &UnixListener) -> (Value, OwnedFd) {
    let (mut stream, _) = agent.accept().unwrap();
    let mut space = [MaybeUninit::uninit(); 64];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut first = [0; 4096];
    let message = recvmsg(&stream, &mut [IoSliceMut::new(&mut first)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut fds = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = part {
            fds.extend(more);
        }
    }
    let mut text = first[..message.bytes].to_vec();
    stream.read_to_end(&mut text).unwrap();
    (serde_json::from_slice(&text).unwrap(), fds.remove(0))
}

/// Lets the next call of the next process fail with `ENOTEMPTY`, a word that the kernel has not for it.
fn refuse_next(agent: &UnixListener) -> JoinHandle<Value> {
    let agent = agent.try_clone().unwrap();
    std::thread::spawn(move || {
        let (told, fd) = hear(&agent);
        dhow_sys::seccomp::refuse_next(&fd, nix::errno::Errno::ENOTEMPTY as i32).unwrap();
        told
    })
}

fn refused(agent: &UnixListener, command: Cmd) -> Value {
    let told = refuse_next(agent);
    let out = command.run();
    assert!(out.code != 0 && out.stderr().contains("not empty"), "{out}");
    told.join().unwrap()
}

#[test]
fn calls_of_containers_and_execs_are_somebody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent");
    let agent = UnixListener::bind(&socket).unwrap();
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket, "listenerMetadata": "words",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]});
    let file = dir.path().join("profile.json");
    std::fs::write(&file, profile.to_string()).unwrap();
    let option = format!("seccomp={}", file.display());
    let engine = Engine::new();
    let run = engine.dhow(["run", "--rm", "--security-opt", &option, "busybox", "mkdir", "/made"]);
    let told = refused(&agent, run);
    assert_eq!((&told["metadata"], &told["fds"], &told["state"]["status"]), (&json!("words"), &json!(["seccompFd"]), &json!("creating")));

    let begun = engine.dhow(["run", "-d", "--name", "box", "--security-opt", &option, "busybox", "sleep", "1000"]);
    let told = std::thread::spawn({
        let agent = agent.try_clone().unwrap();
        move || hear(&agent)
    });
    let id = begun.ok();
    let (told, _fd) = told.join().unwrap();
    assert_eq!((told["state"]["id"].as_str(), told["pid"].as_i64()), (Some(id.trim()), Some(i64::from(engine.container_pid("box")))));
    let told = refused(&agent, engine.dhow(["exec", "box", "mkdir", "/made"]));
    assert_eq!(
        (&told["state"]["status"], told["state"]["pid"].as_i64()),
        (&json!("running"), Some(i64::from(engine.container_pid("box"))))
    );

    // Without somebody who listens there is no container.
    drop(agent);
    let out = engine.dhow(["run", "--rm", "--security-opt", &option, "busybox", "true"]).run();
    assert!(out.code == 125 && out.stderr().contains("agent"), "{out}");
    engine.ok("rm -f box");
    engine.finish();
}
