//! Attached clients and logs.

use crate::Test;
use crate::fixture::{client, eventually, read_all, request, run, streams, unframe, with_engine};
use dhow_engine::client::AttachRequest;
use dhow_engine::container::WaitFor;
use dhow_engine::logs::model::LogRequest;
use dhow_engine::model::{Log, Request};
use std::io::Write;
use std::net::Shutdown;

pub(crate) const TESTS: &[Test] = &[
    ("streams::input_reaches_the_program_and_its_end_too", input_reaches_the_program),
    ("streams::a_start_may_follow_the_head_of_an_attach", a_start_may_follow_the_head),
    ("streams::a_terminal", a_terminal),
    ("streams::logs_tail_follow_and_filters", logs_tail_follow_and_filters),
    ("streams::logs_of_an_ended_container_to_a_client", logs_to_a_client),
];

/// The head of an attach says that the client has its place: it may start the container on another connection as soon as it has read it.
fn a_start_may_follow_the_head() {
    with_engine(|f| async move {
        for turn in 0..20 {
            let name = format!("c{turn}");
            let r = Request { name: Some(name.clone()), ..request(&["echo", "all of it"]) };
            f.engine.create(r).await.unwrap();
            let (mut client, mut stream) = client();
            client.head = b"HEAD".to_vec();
            let attached = tokio::spawn({
                let (engine, name) = (f.engine.clone(), name.clone());
                async move { engine.attach(&name, streams(), client).await }
            });
            let stream = tokio::task::spawn_blocking(move || {
                let mut head = [0; 4];
                std::io::Read::read_exact(&mut stream, &mut head).unwrap();
                assert_eq!(&head, b"HEAD");
                stream
            });
            let stream = stream.await.unwrap();
            f.engine.start(&name).await.unwrap();
            assert_eq!(unframe(&read_all(stream).await).0, "all of it\n");
            attached.await.unwrap().unwrap();
        }
        let (mut client, stream) = client();
        client.head = b"HEAD".to_vec();
        f.engine.attach("nobody", streams(), client).await.unwrap_err();
        assert_eq!(read_all(stream).await, b"HEAD");
    });
}

fn input_reaches_the_program() {
    with_engine(|f| async move {
        let engine = &f.engine;
        let r = Request { open_stdin: true, stdin_once: true, auto_remove: true, ..request(&["cat"]) };
        let (id, _) = engine.create(r).await.unwrap();
        let (mut client, stream) = client();
        client.early = b"early ".to_vec();
        engine.attach(&id, streams(), client).await.unwrap();
        let end = engine.wait(&id, WaitFor::Removed).await.unwrap();
        engine.start(&id).await.unwrap();
        (&stream).write_all(b"late\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(unframe(&read_all(stream).await).0, "early late\n");
        assert_eq!(end.await.unwrap().0, 0);
    });
}

fn a_terminal() {
    with_engine(|f| async move {
        let r = Request { tty: true, open_stdin: true, auto_remove: true, console_size: Some((33, 99)), ..request(&["stty", "size"]) };
        let outcome = run(&f.engine, r).await.unwrap();
        assert_eq!((outcome.code, outcome.out.as_str()), (0, "33 99\r\n"));
    });
}

fn logs_tail_follow_and_filters() {
    with_engine(|f| async move {
        let engine = &f.engine;
        let (id, _) = engine.create(request(&["sh", "-c", "seq 1 3; echo e >&2; sleep 1; echo last"])).await.unwrap();
        let all = LogRequest { stdout: true, stderr: true, ..LogRequest::default() };
        assert!(engine.logs(&id, all.clone()).await.unwrap().recv().await.is_none());
        engine.start(&id).await.unwrap();
        let mut followed = engine.logs(&id, LogRequest { follow: true, ..all.clone() }).await.unwrap();
        let mut text = String::new();
        while let Some(batch) = followed.recv().await {
            batch.unwrap().iter().for_each(|line| text.push_str(std::str::from_utf8(&line.text).unwrap()));
        }
        let mut sorted: Vec<&str> = text.lines().collect();
        sorted.sort_unstable();
        assert_eq!(sorted, ["1", "2", "3", "e", "last"]);
        let mut only = engine.logs(&id, LogRequest { stdout: true, tail: Some(1), ..LogRequest::default() }).await.unwrap();
        assert_eq!(only.recv().await.unwrap().unwrap()[0].text, b"last\n");
        assert!(only.recv().await.is_none());
        let mut errors = engine.logs(&id, LogRequest { stderr: true, ..LogRequest::default() }).await.unwrap();
        assert_eq!(errors.recv().await.unwrap().unwrap()[0].text, b"e\n");
        let mut silent = request(&["true"]);
        silent.host.log = Log { driver: "none".into(), ..Log::default() };
        let (id, _) = engine.create(silent).await.unwrap();
        let error = engine.logs(&id, all).await.unwrap_err();
        assert_eq!(error.message, "configured logging driver does not support reading");
    });
}

fn logs_to_a_client() {
    with_engine(|f| async move {
        let engine = &f.engine;
        let r = Request { name: Some("said".into()), ..request(&["sh", "-c", "echo o; echo e >&2"]) };
        run(engine, r).await.unwrap();
        eventually("it has ended", || engine.container("said").unwrap().state.finished_at.is_some()).await;
        let (client, stream) = client();
        let wanted = AttachRequest { logs: true, stdout: true, stderr: true, ..AttachRequest::default() };
        engine.attach("said", wanted, client).await.unwrap();
        assert_eq!(unframe(&read_all(stream).await), ("o\n".into(), "e\n".into()));
        let keys = AttachRequest { detach_keys: Some("ctrl-1".into()), ..streams() };
        assert_eq!(engine.check_attach("said", &keys).unwrap_err().message, "Invalid detach keys (ctrl-1) provided");
    });
}
