//! Log drivers that are no files: the journal and syslog daemons, ones of the test's own, quick, slow and gone.

use dhow_tests::engine::Options;
use dhow_tests::{Engine, until};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// An engine that sees a directory of the test as `/run/systemd/journal`, and nothing else of the host's `/run`.
fn with_journal(dir: &Path, flags: &[&str]) -> Engine {
    let script = "mount -t tmpfs none /run; mkdir -p /run/systemd/journal; mount --bind \"$0\" /run/systemd/journal; exec \"$@\"";
    let wrapper = ["unshare", "-m", "sh", "-c", script, &dir.to_string_lossy()].map(str::to_owned).to_vec();
    Engine::with(Options { wrapper, flags: flags.iter().map(|flag| (*flag).to_owned()).collect(), ..Options::default() })
}

/// A fake journal in a directory.
fn journal(dir: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(dir.join("socket")).expect("the journal's socket");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    socket
}

fn receive(socket: &UnixDatagram) -> String {
    let mut buffer = vec![0; 200_000];
    let read = socket.recv(&mut buffer).expect("an entry");
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

fn field<'a>(entry: &'a str, name: &str) -> Option<&'a str> {
    entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn entries_reach_the_journal_and_are_read_from_the_cache() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = journal(dir.path());
    let engine = with_journal(dir.path(), &["--log-driver", "journald", "--log-opt", "tag={{.Name}}/x"]);
    assert_eq!(engine.ok("info --format {{.LoggingDriver}}"), "journald");
    let words = ["run", "--name", "web", "--label", "com.example/role=front", "--env", "MODE=fast"];
    let options = ["--log-opt", "labels=com.example/role", "--log-opt", "env=MODE"];
    engine.dhow(words).args(options).args(["busybox", "sh", "-c", "echo out; echo bad >&2"]).ok();
    let (mut out, mut bad) = (receive(&socket), receive(&socket));
    if field(&out, "MESSAGE") == Some("bad") {
        std::mem::swap(&mut out, &mut bad);
    }
    let id = engine.ok("inspect -f {{.Id}} web");
    let expect = [
        ("MESSAGE", "out"),
        ("PRIORITY", "6"),
        ("CONTAINER_ID", &id[..12]),
        ("CONTAINER_ID_FULL", &id),
        ("CONTAINER_NAME", "web"),
        ("CONTAINER_TAG", "web/x"),
        ("SYSLOG_IDENTIFIER", "web/x"),
        ("IMAGE_NAME", "busybox"),
        ("COM_EXAMPLE_ROLE", "front"),
        ("MODE", "fast"),
    ];
    for (name, value) in expect {
        assert_eq!(field(&out, name), Some(value), "{name}\n{out}");
    }
    assert_eq!((field(&bad, "MESSAGE"), field(&bad, "PRIORITY")), (Some("bad"), Some("3")));
    assert_eq!(engine.run("logs web").stdout(), "out\n");
    assert_eq!(engine.run("logs web").stderr(), "bad\n");
    assert_eq!(engine.ok("inspect -f {{.HostConfig.LogConfig.Type}}{{.LogPath}} web"), "journald");

    // A long line comes in pieces that say so.
    engine.dhow(["run", "--name", "long", "busybox", "sh", "-c", "head -c 20000 /dev/zero | tr '\\0' x; echo"]).ok();
    let (first, last) = (receive(&socket), receive(&socket));
    assert_eq!(field(&first, "CONTAINER_PARTIAL_MESSAGE"), Some("true"));
    assert_eq!((field(&last, "CONTAINER_PARTIAL_LAST"), field(&last, "CONTAINER_PARTIAL_MESSAGE")), (Some("true"), None));
    assert_eq!(field(&first, "CONTAINER_PARTIAL_ID"), field(&last, "CONTAINER_PARTIAL_ID"));
    assert_eq!(field(&first, "MESSAGE").map(str::len).zip(field(&last, "MESSAGE").map(str::len)), Some((16_384, 3616)));
    assert_eq!(engine.ok("logs long").len(), 20_000);

    engine.ok("run --name blind --log-opt cache-disabled=true busybox echo seen");
    assert_eq!(field(&receive(&socket), "MESSAGE"), Some("seen"));
    let refused = engine.run("logs blind");
    assert!(refused.code == 1 && refused.stderr().contains("configured logging driver does not support reading"), "{refused}");

    drop(socket);
    std::fs::remove_file(dir.path().join("socket")).expect("remove the journal's socket");
    let refused = engine.run("run --name none busybox true");
    let words = "failed to create task for container: failed to initialize logging driver: journald is not enabled on this host";
    assert!(refused.code == 125 && refused.stderr().contains(words), "{refused}");
    engine.finish();
}

#[test]
fn a_slow_journal_holds_a_container_back_unless_it_may_lose() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = journal(dir.path());
    let engine = with_journal(dir.path(), &["--log-driver", "journald"]);
    let output = "i=0; while [ $i -lt 20000 ]; do echo a line with number $i; i=$((i+1)); done; echo done > /done; sleep 1000";
    let is_done = |name: &str| engine.run(&format!("exec {name} cat /done")).code == 0;

    // Nobody takes anything: what may lose goes on, and the cache has it all.
    let lossy = ["run", "-d", "--name", "lossy", "--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=100k"];
    engine.dhow(lossy).args(["busybox", "sh", "-c", output]).ok();
    until("it has written all", || is_done("lossy"));
    until("the cache has all", || engine.ok("logs --tail 1 lossy") == "a line with number 19999");
    assert_eq!(engine.ok("logs lossy").lines().count(), 20_000);
    until("it is told", || engine.log().contains("messages are dropped"));
    // Out of the buffer, which is a small part of all, and in order.
    let mut got: Vec<u32> = Vec::new();
    while got.len() < 100 {
        let entry = receive(&socket);
        got.push(field(&entry, "MESSAGE").and_then(|text| text.rsplit(' ').next()?.parse().ok()).expect("a line with its number"));
    }
    assert!(got[0] == 0 && got.is_sorted() && got[99] < 19_000, "{got:?}");
    engine.ok("rm -f lossy");

    // What may not lose waits, and loses nothing once somebody takes it.
    engine.dhow(["run", "-d", "--name", "patient", "busybox", "sh", "-c", output]).ok();
    until("the receiver's queue is full", || {
        let lines = || engine.ok("logs patient").lines().count();
        let before = lines();
        std::thread::sleep(Duration::from_millis(500));
        before > 0 && lines() == before
    });
    assert!(!is_done("patient") && engine.ok("logs patient").lines().count() < 20_000);
    let mut expected = 0;
    while expected < 20_000 {
        let entry = receive(&socket);
        // What the one before still had to say.
        if field(&entry, "CONTAINER_NAME") == Some("patient") {
            assert_eq!(field(&entry, "MESSAGE"), Some(format!("a line with number {expected}").as_str()));
            expected += 1;
        }
    }
    until("it has written all", || is_done("patient"));
    engine.ok("rm -f patient");
    engine.finish();
}

#[test]
fn messages_reach_syslog_daemons() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::new();
    let run = |name: &str, address: &str, options: &[&str]| {
        let words = ["run", "--name", name, "--log-driver", "syslog", "--log-opt", &format!("syslog-address={address}")];
        engine.dhow(words).args(options).args(["busybox", "sh", "-c", "echo one; echo; echo two"]).run()
    };
    let mut buffer = vec![0; 10_000];
    let mut text = |read: &mut dyn FnMut(&mut [u8]) -> std::io::Result<usize>| {
        let read = read(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    };

    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    udp.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    let address = format!("udp://localhost:{}", udp.local_addr().expect("an address").port());
    run(
        "first",
        &address,
        &["--log-opt", "syslog-format=rfc5424micro", "--log-opt", "tag={{.Name}}", "--log-opt", "syslog-facility=local3"],
    )
    .ok();
    let (one, two) = (text(&mut |b| udp.recv(b)), text(&mut |b| udp.recv(b)));
    assert!(one.starts_with("<158>1 20") && one.contains(" first ") && one.ends_with(" first - one\n"), "{one}");
    assert!(two.starts_with("<158>1 20") && two.ends_with(" first - two\n"), "{two}");
    assert_eq!(engine.run("logs first").stdout(), "one\n\ntwo\n");

    let path = dir.path().join("log");
    let gram = UnixDatagram::bind(&path).expect("a socket");
    gram.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    run("second", &format!("unixgram://{}", path.display()), &[]).ok();
    let (one, id) = (text(&mut |b| gram.recv(b)), engine.ok("inspect -f {{.Id}} second"));
    assert!(one.starts_with("<30>") && one.contains(&format!(" {}[", &id[..12])) && one.ends_with("]: one\n"), "{one}");

    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("tcp://{}", tcp.local_addr().expect("an address"));
    run("third", &address, &["--log-opt", "syslog-format=rfc3164"]).ok();
    let (connection, _) = tcp.accept().expect("a connection");
    let lines: Vec<String> = std::io::BufRead::lines(std::io::BufReader::new(connection)).map(|line| line.expect("a line")).collect();
    assert!(lines.len() == 2 && lines[0].ends_with("]: one") && lines[1].ends_with("]: two"), "{lines:?}");

    drop(tcp);
    let refused = run("fourth", &address, &[]);
    let why = format!("failed to initialize logging driver: dial tcp {}: connect: connection refused", &address[6..]);
    assert!(refused.code == 125 && refused.stderr().contains(&why), "{refused}");
    for (option, why) in [
        ("syslog-format=x", "Invalid syslog format"),
        ("syslog-facility=x", "invalid syslog facility"),
        ("syslog-address=http://x", "unsupported scheme: 'http'"),
        ("syslog-address=unix:///nowhere", "stat /nowhere: no such file or directory"),
        ("max-size=1m", "unknown log opt 'max-size' for syslog log driver"),
    ] {
        let refused = engine.dhow(["create", "--log-driver", "syslog", "--log-opt", option, "busybox"]).run();
        assert!(refused.code == 1 && refused.stderr().contains(why), "{refused}");
    }
    let refused = engine.run("create --log-driver gelf busybox");
    assert!(refused.code == 1 && refused.stderr().contains("the log driver gelf is not supported by this release"), "{refused}");
    assert_eq!(engine.dhow(["info", "--format", "{{json .Plugins.Log}}"]).ok(), r#"["journald","json-file","local","none","syslog"]"#);
    engine.finish();
}

/// openssl's server in place of a syslog daemon; it shows what it is sent.
struct Server {
    child: Child,
    address: String,
    shown: PathBuf,
}

impl Server {
    /// With the certificate `server` of a directory.
    fn new(dir: &Path, name: &str, flags: &[&str]) -> Self {
        let shown = dir.join(name);
        let out = std::fs::File::create(&shown).expect("a file for what it shows");
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0", "-cert", "server/cert.pem", "-key", "server/key.pem"]).args(flags);
        // It ends with its standard input, which is kept open.
        let child = command.current_dir(dir).stdin(Stdio::piped()).stdout(out).stderr(Stdio::null()).spawn().expect("openssl");
        let mut server = Self { child, address: String::new(), shown };
        let port = || server.text().lines().find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned));
        until("it listens", || port().is_some());
        server.address = port().expect("a port").replace("127.0.0.1", "localhost");
        server
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.shown).unwrap_or_default()).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

#[test]
fn messages_reach_syslog_daemons_by_tls() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    super::listening::certificates(dir, &["server", "client"]);
    let at = |name: &str| dir.join(name).display().to_string();
    let engine = Engine::new();
    let run = |name: &str, address: &str, options: &[(&str, String)], script: &str| {
        let mut command = engine.dhow(["run", "--name", name, "--log-driver", "syslog"]);
        command = command.args(["--log-opt", &format!("syslog-address=tcp+tls://{address}"), "--log-opt", "tag={{.Name}}"]);
        for (key, value) in options {
            command = command.args(["--log-opt", &format!("syslog-{key}={value}")]);
        }
        command.args(["busybox", "sh", "-c", script]).run()
    };
    let authority = ("tls-ca-cert", at("ca.pem"));
    let own = [authority.clone(), ("tls-cert", at("client/cert.pem")), ("tls-key", at("client/key.pem"))];

    let plain = Server::new(dir, "plain", &[]);
    run("first", &plain.address, std::slice::from_ref(&authority), "echo one; echo two >&2").ok();
    until("both are there", || plain.text().contains("]: one\n") && plain.text().contains("]: two\n"));
    assert_eq!(engine.run("logs first").stdout(), "one\n");
    // A client that is looked at, and messages with their length.
    let strict = Server::new(dir, "strict", &["-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem"]);
    let form = ("format", "rfc5424".to_owned());
    run("second", &strict.address, &[&own[..], &[form]].concat(), "echo three").ok();
    until("it is there", || strict.text().contains(" second - three\n"));
    let text = strict.text();
    let line = text.lines().find(|line| line.ends_with(" second - three")).expect("a message");
    let (length, message) = line.split_once(' ').expect("a length");
    assert_eq!(length.parse(), Ok(message.len() + 1), "{line}");
    // Much at once: all of it, in order.
    let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done";
    run("third", &plain.address, std::slice::from_ref(&authority), script).ok();
    until("the last is there", || plain.text().contains("]: line 2999\n"));
    let numbers: Vec<u32> = plain.text().lines().filter_map(|line| line.split("]: line ").nth(1)?.parse().ok()).collect();
    assert!(numbers.len() == 3000 && numbers.is_sorted(), "{} lines", numbers.len());

    let head = "failed to initialize logging driver: ";
    let refused = |name: &str, address: &str, options: &[(&str, String)], words: &str| {
        let said = run(name, address, options, "true");
        // The docker client takes a file that is missing for the program.
        let code = if said.stderr().contains("no such file") { 127 } else { 125 };
        assert!(said.code == code && said.stderr().contains(&format!("{head}{words}")), "{name}: {said}");
    };
    refused("unknown", &plain.address, &[], "tls: failed to verify certificate: x509: certificate signed by unknown authority");
    refused("missing", &plain.address, &[("tls-ca-cert", at("none"))], &format!("could not read CA certificate \"{}\": open ", at("none")));
    let half = [authority.clone(), ("tls-cert", at("none")), ("tls-key", at("client/key.pem"))];
    refused("half", &plain.address, &half, "could not load X509 key pair: open ");
    let skip = [("tls-skip-verify", "false".to_owned())];
    run("skipping", &plain.address, &skip, "echo four").ok();
    until("it is there", || plain.text().contains("]: four\n"));
    let gone = plain.address.clone();
    drop(plain);
    refused("nobody", &gone, &[authority], &format!("dial tcp {gone}: connect: connection refused"));
    for name in ["first", "second", "third", "skipping", "unknown", "missing", "half", "nobody"] {
        engine.run(&format!("rm -f {name}")).ok();
    }
    engine.finish();
}
