//! Attached clients, terminals, input, logs.

use crate::Test;
use crate::fixture::*;
use dhow_shim::config::AttachConfig;
use dhow_shim::handle::{Error, Event};
use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    ("streams::two_clients", two_clients),
    ("streams::terminal", terminal),
    ("streams::terminal_detach_and_attach_again", terminal_detach_and_attach_again),
    ("streams::stdin_once", stdin_once),
    ("streams::stdin_stays_open", stdin_stays_open),
    ("streams::without_stdin", without_stdin),
    ("streams::broken_pipe_in_the_container", broken_pipe_in_the_container),
    ("streams::rotation", rotation),
    ("streams::much_output_to_a_slow_client", much_output_to_a_slow_client),
    ("streams::replay_while_it_writes", replay_while_it_writes),
    ("streams::stdout_belongs_to_the_user", stdout_belongs_to_the_user),
    ("streams::full_disk_is_no_end", full_disk_is_no_end),
];

fn two_clients() {
    block_on(async {
        let place = Place::new();
        let mut config = place.script("read go; echo out; echo err >&2; read end; exit 0");
        config.open_stdin = true;
        config.attach = vec![everything(), AttachConfig { stdin: false, framed: true, stderr: false, ..everything() }];
        let (mut one, ours1) = client();
        let (mut two, ours2) = client();
        let (_spawner, mut running) = run_with(config, vec![ours1, ours2]).await;
        let (mut three, ours3) = client();
        running.shim.attach(AttachConfig { stdout: false, ..everything() }, ours3).await.unwrap();
        one.write_all(b"go\n").unwrap();
        expect(&mut one, "err");
        three.write_all(b"end\n").unwrap();
        rest(&mut one);
        assert_eq!(rest(&mut two), "\x01\0\0\0\0\0\0\x04out\n");
        assert_eq!(rest(&mut three), "err\n");
        assert_eq!(exit(&mut running).await, 0);
        let (_, ours) = client();
        assert!(matches!(running.shim.attach(everything(), ours).await, Err(Error::Refused(_))));
        let (mut late, ours) = client();
        running.shim.attach(AttachConfig { replay: true, ..everything() }, ours).await.unwrap();
        let text = rest(&mut late);
        assert!(text.contains("out\n") && text.contains("err\n"));
        running.shim.release().await.unwrap();
    });
}

fn terminal() {
    block_on(async {
        let place = Place::new();
        let mut config =
            place.tty_script("tty; stty size; trap 'stty size' WINCH; echo ready; until read x; do :; done; echo \"<$x>\"; exit 6");
        config.open_stdin = true;
        config.console_size = Some((24, 80));
        config.attach = vec![everything()];
        let (mut theirs, ours) = client();
        let (_spawner, mut running) = run_with(config, vec![ours]).await;
        let text = expect(&mut theirs, "ready");
        assert!(text.contains("/dev/pts/0\r\n24 80\r\n") || text.contains("/dev/console\r\n24 80\r\n"), "{text:?}");
        running.shim.resize(None, 50, 132).await.unwrap();
        expect(&mut theirs, "50 132");
        theirs.write_all(b"typed\n").unwrap();
        assert!(rest(&mut theirs).contains("<typed>\r\n"));
        assert_eq!(exit_and_release(&place, &mut running).await, 6);
        assert!(place.entries().iter().all(|(stream, _)| stream == "stdout"));
        assert!(place.logged().contains("ready\r\n"));
    });
}

fn terminal_detach_and_attach_again() {
    block_on(async {
        let place = Place::new();
        let mut config = place.tty_script("stty -echo; echo ready; while read x; do echo \"<$x>\"; test $x = bye && exit 0; done");
        config.open_stdin = true;
        config.stdin_once = true;
        config.attach = vec![AttachConfig { detach_keys: vec![16, 17], ..everything() }];
        let (mut theirs, ours) = client();
        let (_spawner, mut running) = run_with(config, vec![ours]).await;
        expect(&mut theirs, "ready");
        theirs.write_all(b"a\n\x10").unwrap();
        expect(&mut theirs, "<a>");
        theirs.write_all(b"\x11").unwrap();
        rest(&mut theirs);
        assert!(matches!(next(&mut running).await, Event::Detached { exec: None }));
        let (mut theirs, ours) = client();
        running.shim.attach(everything(), ours).await.unwrap();
        theirs.write_all(b"bye\n").unwrap();
        expect(&mut theirs, "<bye>");
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
    });
}

fn stdin_once() {
    block_on(async {
        let place = Place::new();
        let mut config = place.script("cat; echo end");
        config.open_stdin = true;
        config.stdin_once = true;
        config.attach = vec![AttachConfig { early: b"early ".to_vec(), ..everything() }];
        let (mut theirs, ours) = client();
        let (_spawner, mut running) = run_with(config, vec![ours]).await;
        theirs.write_all(b"bird\n").unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut theirs), "early bird\nend\n");
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
    });
}

fn stdin_stays_open() {
    block_on(async {
        let place = Place::new();
        let mut config = place.script("read a; read b; echo $a $b");
        config.open_stdin = true;
        config.attach = vec![everything()];
        let (mut theirs, ours) = client();
        let (_spawner, mut running) = run_with(config, vec![ours]).await;
        theirs.write_all(b"one\n").unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        rest(&mut theirs);
        let (mut theirs, ours) = client();
        running.shim.attach(everything(), ours).await.unwrap();
        theirs.write_all(b"two\n").unwrap();
        assert_eq!(rest(&mut theirs), "one two\n");
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
    });
}

fn without_stdin() {
    block_on(async {
        let place = Place::new();
        let (_spawner, mut running) = run(place.script("cat; echo end")).await;
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
        assert_eq!(place.logged(), "end\n");
    });
}

fn broken_pipe_in_the_container() {
    block_on(async {
        let place = Place::new();
        let (_spawner, mut running) = run(place.script("yes | head -n 1; echo end")).await;
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
        assert_eq!(place.logged(), "y\nend\n");
    });
}

fn rotation() {
    block_on(async {
        let place = Place::new();
        let mut config = place.script("seq 1 5000");
        let log = config.log.as_mut().unwrap();
        (log.max_size, log.max_file) = (100_000, 3);
        let (_spawner, mut running) = run(config).await;
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
        let mut lines = Vec::new();
        for name in ["log.2", "log.1", "log"] {
            let path = place.path().join(name);
            assert!(std::fs::metadata(&path).unwrap().len() < 100_200);
            lines.extend(entries(&path).into_iter().map(|(_, text)| text.trim().parse::<u32>().unwrap()));
        }
        assert!(!place.path().join("log.3").exists());
        assert_eq!(lines, (5001 - lines.len() as u32..=5000).collect::<Vec<_>>());
        assert!(lines.len() > 2000);
    });
}

fn much_output_to_a_slow_client() {
    block_on(async {
        let place = Place::new();
        let mut config = place.script("seq 1 300000");
        config.attach = vec![everything()];
        let (mut theirs, ours) = client();
        let (_spawner, mut running) = run_with(config, vec![ours]).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(running.events.try_recv().is_err(), "held back");
        let reader = std::thread::spawn(move || rest(&mut theirs));
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
        let expect: String = (1..=300_000).map(|n| format!("{n}\n")).collect();
        assert!(reader.join().unwrap() == expect);
        assert!(place.logged() == expect);
    });
}

fn replay_while_it_writes() {
    block_on(async {
        let place = Place::new();
        let (_spawner, mut running) = run(place.script("i=0; while test $i -lt 2000; do i=$((i+1)); echo $i; done")).await;
        let (mut theirs, ours) = client();
        tokio::time::sleep(Duration::from_millis(3)).await;
        running.shim.attach(AttachConfig { replay: true, ..everything() }, ours).await.unwrap();
        let reader = std::thread::spawn(move || rest(&mut theirs));
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
        let expect: String = (1..=2000).map(|n| format!("{n}\n")).collect();
        assert_eq!(reader.join().unwrap(), expect);
    });
}

fn stdout_belongs_to_the_user() {
    block_on(async {
        let place = Place::new();
        let mut config = place.script("echo by name > /proc/self/fd/1; id -u");
        let user = serde_json::from_str(r#"{"uid":1234,"gid":1234}"#).unwrap();
        config.spec.process_mut().as_mut().unwrap().set_user(user);
        let (_spawner, mut running) = run(config).await;
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
        assert_eq!(place.logged(), "by name\n1234\n");
    });
}

fn full_disk_is_no_end() {
    block_on(async {
        let place = Place::new();
        let mut config = place.script("echo one; echo two");
        config.log.as_mut().unwrap().path = "/dev/full".into();
        config.attach = vec![AttachConfig { stdin: false, ..everything() }];
        let (mut theirs, ours) = client();
        let (_spawner, mut running) = run_with(config, vec![ours]).await;
        assert_eq!(rest(&mut theirs), "one\ntwo\n");
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
    });
}
