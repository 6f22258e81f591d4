//! Logs: rotated, compressed, with what options add, and hostile ones.

use dhow_tests::{Engine, http, until};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn log_path(engine: &Engine, name: &str) -> PathBuf {
    engine.ok(&format!("inspect -f {{{{.LogPath}}}} {name}")).into()
}

/// The names of a log's files without what they share.
fn files(log: &Path) -> Vec<String> {
    let own = log.file_name().expect("a name").to_str().expect("text");
    let names = std::fs::read_dir(log.parent().expect("a directory")).expect("the container's directory");
    let mut found: Vec<String> =
        names.flatten().filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix(own)?.to_owned())).collect();
    found.sort_unstable();
    found
}

#[test]
fn rotated_files_are_compressed_and_read() {
    let engine = Engine::new();
    let options = ["--log-opt", "max-size=20k", "--log-opt", "max-file=4", "--log-opt", "compress=true"];
    let script = "for i in $(seq 2000); do echo a line with number $i; done; sleep 1000";
    engine.dhow(["run", "-d", "--name", "web"]).args(options).args(["busybox", "sh", "-c", script]).ok();
    let path = log_path(&engine, "web");
    until("all is written", || engine.ok("logs --tail 1 web") == "a line with number 2000");
    until("all but the newest are compressed", || files(&path) == ["", ".1.gz", ".2.gz", ".3.gz"]);
    let all = engine.ok("logs web");
    let numbers: Vec<u32> = all.lines().map(|line| line.rsplit(' ').next().expect("a number").parse().expect("a number")).collect();
    assert!(numbers.len() > 500 && numbers.len() < 2000, "{}", numbers.len());
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]) && numbers.last() == Some(&2000));
    // A tail that begins in a compressed file.
    assert_eq!(engine.ok("logs --tail 600 web"), all.lines().skip(numbers.len() - 600).collect::<Vec<_>>().join("\n"));
    assert_eq!(engine.ok("logs --since 1h web"), all);
    assert_eq!(engine.ok("logs --since 2099-01-01 web"), "");
    assert_eq!(engine.ok("logs --until 2001-01-01 web"), "");
    // The shim reads them too, for a client that attaches with the log.
    let attached = http::request(&engine.socket(), "POST", "/containers/web/attach?logs=1&stdout=1", "").expect("an answer");
    let text = attached.text();
    assert!(text.contains(&format!("number {}\n", numbers[0])) && text.contains("number 2000\n"), "{} bytes", text.len());
    engine.ok("rm -f web");
    engine.finish();
}

#[test]
fn what_options_add_to_lines() {
    let engine = Engine::new();
    let words = [
        "run",
        "--name",
        "web",
        "--label",
        "abc=1",
        "--label",
        "b=x y",
        "--env",
        "XA=5",
        "--env",
        "YB=6",
        "--log-opt",
        "labels-regex=^a",
        "--log-opt",
        "labels=b",
        "--log-opt",
        "env-regex=^X",
        "--log-opt",
        "tag={{.Name}}/{{.ImageName}}",
        "busybox",
        "echo",
        "hi",
    ];
    engine.dhow(words).ok();
    assert_eq!(engine.ok("logs web"), "hi");
    assert_eq!(engine.ok("logs --details web"), "XA=5,abc=1,b=x+y,tag=web%2Fbusybox hi");
    let with_time = engine.ok("logs --details -t web");
    assert!(with_time.ends_with("Z XA=5,abc=1,b=x+y,tag=web%2Fbusybox hi"), "{with_time}");
    let entry: Value = serde_json::from_slice(&std::fs::read(log_path(&engine, "web")).expect("the log")).expect("an entry");
    assert_eq!((entry["attrs"]["abc"].as_str(), entry["attrs"]["XA"].as_str()), (Some("1"), Some("5")));
    let refused = |option: &str, expect: &str| {
        let output = engine.dhow(["create", "--log-opt", "max-file=1", "--log-opt", option, "busybox", "true"]).run();
        assert_eq!(output.fails(1), format!("Error response from daemon: {expect}\n"));
    };
    refused(
        "tag={{.Nosuch}}",
        "failed to initialize logging driver: template: log-tag:1:2: executing \"log-tag\" at <.Nosuch>: can't evaluate field Nosuch in type *logger.Info",
    );
    refused("max-size=0", "failed to initialize logging driver: max-size must be a positive number");
    refused(
        "compress=true",
        "failed to initialize logging driver: compress cannot be true when max-file is less than 2 or max-size is not set",
    );
    refused("mode=x", "logger: logging mode not supported: x");
    engine.finish();
}

/// What the daemon has in memory, in KiB.
fn memory(engine: &Engine) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", engine.pid())).expect("the daemon's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.split_whitespace().next().expect("a number").parse().expect("a number")
}

/// CVE class 24: what a container writes, and who reads it slowly, costs the engine nothing.
#[test]
fn class24_logs_and_their_readers_are_bounded() {
    let engine = Engine::new();
    // One line without an end, and one read of nothing but ends.
    let script = "head -c 3000000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero | tr '\\0' '\\n'; echo end; sleep 1000";
    engine.dhow(["run", "-d", "--name", "web", "busybox", "sh", "-c", script]).ok();
    until("all is written", || engine.ok("logs --tail 1 web") == "end");
    let log = engine.ok("logs web");
    assert_eq!(log.len(), 3_000_000 + 300_000 + 3, "a line as long as a container likes is read in pieces");
    // Entries that nobody wrote: a reader passes over them.
    let mut file = std::fs::OpenOptions::new().append(true).open(log_path(&engine, "web")).expect("the log");
    let junk = format!("{{\"log\":\"{}\"\n{}\nnot json\n", "x".repeat(2 << 20), "[".repeat(100_000));
    std::io::Write::write_all(&mut file, junk.as_bytes()).expect("write");
    assert_eq!(engine.ok("logs --tail 4 web"), "end");
    // Readers that ask and do not read: each is held back, none is kept in memory.
    let before = memory(&engine);
    let idle: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = std::os::unix::net::UnixStream::connect(engine.socket()).expect("connect");
            let request = "GET /containers/web/logs?stdout=1&stderr=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n";
            std::io::Write::write_all(&mut stream, request.as_bytes()).expect("ask");
            stream
        })
        .collect();
    let stats: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = std::os::unix::net::UnixStream::connect(engine.socket()).expect("connect");
            std::io::Write::write_all(&mut stream, b"GET /containers/web/stats HTTP/1.1\r\nHost: x\r\n\r\n").expect("ask");
            stream
        })
        .collect();
    // The engine answers all the while.
    assert_eq!(engine.ok("logs --tail 4 web"), "end");
    let grown = memory(&engine).saturating_sub(before);
    assert!(grown < 150 << 10, "100 slow readers cost {grown} KiB");
    drop((idle, stats));
    engine.ok("rm -f web");
    engine.finish();
}

#[test]
fn a_local_log_is_bounded_and_compressed() {
    let engine = Engine::new();
    let options = ["--log-driver", "local", "--log-opt", "max-size=20k", "--log-opt", "max-file=3"];
    let script = "for i in $(seq 2000); do echo a line with number $i; done; sleep 1000";
    engine.dhow(["run", "-d", "--name", "web"]).args(options).args(["busybox", "sh", "-c", script]).ok();
    let path = log_path(&engine, "web");
    until("all is written", || engine.ok("logs --tail 1 web") == "a line with number 2000");
    until("all but the newest are compressed", || files(&path) == ["", ".1.gz", ".2.gz"]);
    assert_eq!(engine.ok("inspect -f {{.HostConfig.LogConfig.Type}} web"), "local");
    let refused = engine.run("run --rm --log-driver local --log-opt labels=a busybox true");
    assert!(refused.code == 125 && refused.stderr().contains("unknown log opt 'labels' for log driver local"), "{refused}");
    engine.finish();
}

/// Somebody else rotates: by moving the file away and SIGHUP, or by a copy that is followed by a truncation.
#[test]
fn others_may_rotate() {
    let engine = Engine::new();
    engine.ok("run -d --name web busybox sleep 1000");
    let say = |word: &str| engine.dhow(["exec", "web", "sh", "-c", &format!("echo {word} > /proc/1/fd/1")]).ok();
    let path = log_path(&engine, "web");
    say("one");
    until("it is written", || engine.ok("logs web") == "one");
    let moved = path.with_extension("moved");
    std::fs::rename(&path, &moved).expect("move the log away");
    say("two");
    let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    until("it goes where the file is", || text(&moved).contains("two"));
    dhow_tests::engine::kill(engine.pid(), 1);
    until("the log is opened anew", || path.exists());
    say("three");
    until("it is in the new file", || engine.ok("logs web") == "three");
    assert!(text(&moved).lines().count() == 2 && text(&path).lines().count() == 1);
    // Nothing to do: what is in the file stays where it is, and another line comes behind it.
    dhow_tests::engine::kill(engine.pid(), 1);
    until("it is read again", || engine.log().matches("configuration read again").count() == 2);
    say("four");
    until("both are there", || engine.ok("logs web") == "three\nfour");
    std::fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(0)).expect("truncate the log");
    say("five");
    until("only what came later is there", || engine.ok("logs web") == "five");
    assert!(text(&path).starts_with("{\"log\":\"five\\n\""), "no hole is left");
    engine.ok("rm -f web");
    engine.finish();
}
