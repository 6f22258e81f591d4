//! Input, output and errors, through pipes.

use dhow_tests::{Engine, finish_child};
use std::io::Write;
use std::process::Stdio;

#[test]
fn output_and_errors_are_apart() {
    let engine = Engine::new();
    let out = engine.shell("", "echo one; echo two >&2; printf three");
    assert_eq!((out.stdout().as_str(), out.stderr().as_str(), out.code), ("one\nthree", "two\n", 0));
    engine.finish();
}

#[test]
fn input_reaches_the_container() {
    let engine = Engine::new();
    assert_eq!(engine.dhow(["run", "--rm", "-i", "busybox", "cat"]).input("a\nb\n").ok(), "a\nb");
    // Without -i there is no input.
    assert_eq!(engine.dhow(["run", "--rm", "busybox", "cat"]).input("a\n").ok(), "");
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let out = engine.dhow(["run", "--rm", "-i", "busybox", "cat"]).input(bytes.clone()).run();
    assert!(out.bytes() == bytes, "3 MB came back as {} bytes", out.bytes().len());
    engine.finish();
}

#[test]
fn yes_head_ends_as_a_pipe_does() {
    let engine = Engine::new();
    // SIGPIPE must have its default disposition in the container.
    assert_eq!(engine.shell("", "yes | head -1").ok(), "y");
    // And the client's own output may be a closed pipe.
    let mut child = engine.dhow(["run", "--rm", "--name", "yes", "busybox", "yes"]).spawn();
    let mut head = [0_u8; 2];
    std::io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut head).expect("a line");
    assert_eq!(&head, b"y\n");
    drop(child.stdout.take());
    let out = finish_child(child);
    assert_ne!(out.code, 0, "{out}");
    engine.ok("rm -f yes");
    engine.finish();
}

#[test]
fn a_late_line_of_input() {
    let engine = Engine::new();
    let mut child =
        engine.dhow(["run", "--rm", "-i", "busybox", "sh", "-c", "read a; echo got $a; read b; echo and $b"]).stdin(Stdio::piped()).spawn();
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"first\n").expect("write");
    let mut answer = [0_u8; 10];
    std::io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut answer).expect("the first answer");
    assert_eq!(&answer, b"got first\n");
    stdin.write_all(b"second\n").expect("write");
    drop(stdin);
    let out = finish_child(child);
    assert_eq!((out.stdout().as_str(), out.code), ("and second\n", 0));
    engine.finish();
}

#[test]
fn attach_and_its_end() {
    let engine = Engine::new();
    engine.dhow(["run", "-d", "-i", "--name", "box", "busybox", "sh", "-c", "read line; echo heard $line; exit 6"]).ok();
    let mut attached = engine.dhow(["attach", "box"]).stdin(Stdio::piped()).spawn();
    // The input stays open: where the container's is kept for later clients, a client whose input ends hears no more, as in Docker.
    attached.stdin.as_mut().expect("piped").write_all(b"you\n").expect("write");
    let out = finish_child(attached);
    assert_eq!((out.stdout().as_str(), out.code), ("heard you\n", 6), "{out}");
    assert_eq!(engine.ok("logs box"), "heard you");
    engine.finish();
}

#[test]
fn large_output_is_whole_and_the_log_is_bounded() {
    let engine = Engine::new();
    let out = engine
        .dhow(["run", "--name", "box", "--log-opt", "max-size=100k", "--log-opt", "max-file=2", "busybox", "seq", "1", "200000"])
        .run();
    let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert!(out.stdout() == expected, "{} bytes of {}", out.bytes().len(), expected.len());
    let path = engine.inspect("box")["LogPath"].as_str().expect("a path").to_string();
    let size = |path: &str| std::fs::metadata(path).map(|meta| meta.len()).unwrap_or(0);
    assert!(size(&path) <= 110_000 && size(&format!("{path}.1")) <= 110_000, "{} and {}", size(&path), size(&format!("{path}.1")));
    assert_eq!(size(&format!("{path}.2")), 0);
    // What is kept is the end, unbroken.
    let kept = engine.ok("logs box");
    assert!(expected.trim_end().ends_with(&kept) && kept.len() > 10_000, "{} bytes kept", kept.len());
    engine.finish();
}
