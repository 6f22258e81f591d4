//! Daemons, spawners and shims that are killed.

use crate::Test;
use crate::fixture::*;
use dhow_shim::config::AttachConfig;
use dhow_shim::handle::{Error, Event, Shim, clean_up, recorded_exit};
use dhow_shim::protocol::State;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = &[
    ("survival::daemon_killed_writer_loses_no_line", daemon_killed_writer_loses_no_line),
    ("survival::exit_while_nobody_is_there", exit_while_nobody_is_there),
    ("survival::newest_daemon_gets_the_news", newest_daemon_gets_the_news),
    ("survival::spawner_killed", spawner_killed),
    ("survival::shim_killed", shim_killed),
    ("survival::nobody_there", nobody_there),
    ("survival::shim_that_nobody_can_find_ends", shim_that_nobody_can_find_ends),
    ("survival::hostile_peers", hostile_peers),
];

/// First argument of the process that plays a daemon.
pub(crate) const DAEMON: &str = "play-daemon";

/// A daemon in a process of its own: starts the container whose configuration is in `dir`, says so, and waits to be killed.
pub(crate) fn daemon(dir: &Path) {
    block_on(async {
        let config = serde_json::from_slice(&std::fs::read(dir.join("config.json")).unwrap()).unwrap();
        let (_spawner, _running) = run(config).await;
        std::fs::write(dir.join("started"), "").unwrap();
        std::future::pending::<()>().await;
    });
}

/// Starts `config` from a daemon of its own, then kills that.
pub(crate) fn start_and_kill_daemon(place: &Place, config: &dhow_shim::ShimConfig, wait: Duration) {
    std::fs::write(place.path().join("config.json"), serde_json::to_vec(config).unwrap()).unwrap();
    let mut daemon = Command::new(std::env::current_exe().unwrap()).arg(DAEMON).arg(place.path()).stdout(Stdio::null()).spawn().unwrap();
    while !place.path().join("started").exists() {
        assert!(daemon.try_wait().unwrap().is_none(), "the daemon failed");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(wait);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

fn daemon_killed_writer_loses_no_line() {
    let place = Place::new();
    let config = place.script("i=0; while test $i -lt 100; do i=$((i+1)); echo line $i; usleep 10000; done; exit 11");
    start_and_kill_daemon(&place, &config, Duration::from_millis(150));
    block_on(async {
        let (mut theirs, ours) = client();
        let mut running = Shim::connect(&place.id, &place.dir()).await.unwrap();
        assert!(matches!(running.state, State::Running { .. }), "{:?}", running.state);
        running.shim.attach(AttachConfig { replay: true, ..everything() }, ours).await.unwrap();
        assert_eq!(exit_and_release(&place, &mut running).await, 11);
        let expect: String = (1..=100).map(|n| format!("line {n}\n")).collect();
        assert_eq!(rest(&mut theirs), expect);
        assert_eq!(place.logged(), expect);
    });
}

fn exit_while_nobody_is_there() {
    let place = Place::new();
    start_and_kill_daemon(&place, &place.script("usleep 100000; echo bye; exit 12"), Duration::ZERO);
    let began = Instant::now();
    while recorded_exit(&place.dir()).unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
    block_on(async {
        let mut running = Shim::connect(&place.id, &place.dir()).await.unwrap();
        let State::Exited(exit) = &running.state else { panic!("{:?}", running.state) };
        assert_eq!(exit.code, 12);
        running.shim.release().await.unwrap();
        assert!(matches!(next(&mut running).await, Event::Gone));
        assert!(!place.dir().exists());
        assert_eq!(place.logged(), "bye\n");
    });
}

fn newest_daemon_gets_the_news() {
    block_on(async {
        let place = Place::new();
        let (_spawner, mut first) = run(place.config(&["/bin/sleep", "100"])).await;
        let mut second = Shim::connect(&place.id, &place.dir()).await.unwrap();
        assert_eq!(first.shim.pid(), second.shim.pid());
        first.shim.sync().await.unwrap();
        first.shim.kill(9, false).await.unwrap();
        assert_eq!(exit(&mut second).await, 137);
        first.shim.sync().await.unwrap();
        assert!(first.events.try_recv().is_err());
        second.shim.release().await.unwrap();
        assert!(matches!(next(&mut first).await, Event::Gone));
    });
}

fn spawner_killed() {
    block_on(async {
        let place = Place::new();
        let (spawner, mut running) = run(place.script("read x < /dev/null; sleep 100")).await;
        let old = spawner.pid().unwrap();
        let pidfd = dhow_sys::process::pidfd_open(old).unwrap();
        dhow_sys::process::pidfd_signal(&pidfd, 9).unwrap();
        let other = Place::new();
        // At once: the death may not even be noticed yet.
        let mut next_one = spawner.spawn(other.script("exit 4"), Vec::new()).await.unwrap();
        assert_eq!(exit_and_release(&other, &mut next_one).await, 4);
        assert_ne!(spawner.pid(), Some(old));
        // The old shim lives on, and dies as it should.
        running.shim.kill(9, false).await.unwrap();
        assert_eq!(exit_and_release(&place, &mut running).await, 137);
        // A spawner ends when its daemon does.
        let last = spawner.pid().unwrap();
        drop(spawner);
        let _ = last;
    });
}

fn shim_killed() {
    block_on(async {
        let place = Place::new();
        let pin = place.path().join("netns");
        let mut config = place.config(&["/bin/sleep", "100"]);
        config.pin_netns = Some(pin.clone());
        let (_spawner, mut running) = run(config).await;
        running.shim.sync().await.unwrap();
        let State::Running { pid, .. } = running.state else { panic!() };
        let error = clean_up(&place.dir()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ResourceBusy);
        let shim = dhow_sys::process::pidfd_open(running.shim.pid()).unwrap();
        dhow_sys::process::pidfd_signal(&shim, 9).unwrap();
        assert!(matches!(next(&mut running).await, Event::Gone));
        assert!(matches!(running.shim.usage().await, Err(Error::Gone { .. })));
        assert!(matches!(Shim::connect(&place.id, &place.dir()).await, Err(Error::Gone { .. })));
        assert_eq!(recorded_exit(&place.dir()).unwrap(), None);
        clean_up(&place.dir()).unwrap();
        assert!(!place.dir().exists() && !pin.exists());
        // It is a zombie where nobody above us reaps.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "the container lives: {stat}");
    });
}

fn shim_that_nobody_can_find_ends() {
    let place = Place::new();
    start_and_kill_daemon(&place, &place.script("usleep 200000"), Duration::ZERO);
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(place.dir().join("state.json")).unwrap()).unwrap();
    let shim = dhow_sys::process::pidfd_open(state["shim_pid"].as_i64().unwrap() as i32).unwrap();
    std::fs::remove_dir_all(place.dir()).unwrap();
    let mut fds = [rustix::event::PollFd::new(&shim, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut fds, Some(&limit)).unwrap(), 1, "it still waits");
}

fn nobody_there() {
    block_on(async {
        let place = Place::new();
        assert!(matches!(Shim::connect("x", &place.dir()).await, Err(Error::Gone { .. })));
        let (_spawner, mut running) = run(place.config(&["/bin/sleep", "100"])).await;
        assert!(matches!(Shim::connect("another", &place.dir()).await, Err(Error::Protocol(_))));
        running.shim.kill(9, false).await.unwrap();
        assert_eq!(exit_and_release(&place, &mut running).await, 137);
    });
}

fn hostile_peers() {
    block_on(async {
        let place = Place::new();
        let (_spawner, mut running) = run(place.config(&["/bin/sleep", "100"])).await;
        let connect = || {
            let address = rustix::net::SocketAddrUnix::new(place.dir().join("shim.sock")).unwrap();
            let socket = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::SEQPACKET, None).unwrap();
            rustix::net::connect(&socket, &address).unwrap();
            dhow_sys::fdpass::recv(&socket).unwrap().expect("a greeting");
            socket
        };
        for body in [&b""[..], b"junk", b"[]", b"{}", b"{\"kind\":7}", b"\xff\xfe", b"{\"kind\":\"request\"}"] {
            let socket = connect();
            dhow_sys::fdpass::send(&socket, body, &[]).unwrap();
            assert!(dhow_sys::fdpass::recv(&socket).unwrap().is_none(), "{body:?}");
        }
        let socket = connect();
        let answer = |body: &str| {
            dhow_sys::fdpass::send(&socket, body.as_bytes(), &[]).unwrap();
            String::from_utf8(dhow_sys::fdpass::recv(&socket).unwrap().unwrap().0).unwrap()
        };
        for body in [
            r#"{"kind":"request","seq":1,"op":"fly","to":"the moon"}"#,
            r#"{"kind":"request","seq":2,"op":"kill"}"#,
            r#"{"kind":"request","seq":3,"op":"attach","stdout":true}"#,
            r#"{"kind":"request","seq":4,"op":"exec","id":5}"#,
            r#"{"kind":"request","seq":5,"op":"resize","height":"tall","width":2}"#,
            r#"{"kind":"request","seq":6}"#,
        ] {
            assert!(answer(body).contains("\"outcome\":\"failed\""), "{body}");
        }
        // Without a terminal there is nothing to resize, and nothing wrong with it.
        assert!(answer(r#"{"kind":"request","seq":5,"op":"resize","height":1,"width":2}"#).contains("\"outcome\":\"ok\""));
        // From a newer daemon: skipped, and the rest still works.
        dhow_sys::fdpass::send(&socket, br#"{"kind":"weather","sun":true}"#, &[]).unwrap();
        assert!(answer(r#"{"kind":"request","seq":7,"op":"sync","new":1}"#).contains("\"outcome\":\"ok\""));
        // From an older one: what it does not say has a default.
        assert!(answer(r#"{"kind":"request","seq":8,"op":"kill","signal":0}"#).contains("\"outcome\":\"ok\""));
        drop(socket);
        running.shim.kill(9, false).await.unwrap();
        let mut again = Shim::connect(&place.id, &place.dir()).await.unwrap();
        if !matches!(again.state, State::Exited(_)) {
            exit(&mut again).await;
        }
        again.shim.release().await.unwrap();
        while !matches!(running.events.recv().await, Some(Event::Gone) | None) {}
    });
}
