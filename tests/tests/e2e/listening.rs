//! Where the daemon listens beside its own socket: the network with TLS, and what a service manager hands over.

use dhow_tests::command::Cmd;
use dhow_tests::engine::Options;
use dhow_tests::{Engine, paths};
use rustix::io::{FdFlags, fcntl_setfd};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::time::Duration;

const CONFIG: &str = "[req]\ndistinguished_name=name\n[name]\n[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n\
                      [server]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n[client]\nextendedKeyUsage=clientAuth\n";

/// An authority, `ca.pem`, and a directory with a certificate of its own for each of `names`.
pub(super) fn certificates(dir: &Path, names: &[&str]) {
    std::fs::write(dir.join("config"), CONFIG).expect("a configuration");
    let run = |words: &str| Cmd::new("openssl").args(words.split(' ')).dir(dir).ok();
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config config";
    run(&format!("req -x509 {new} -extensions ca -days 2 -subj /CN=ca -keyout ca.key -out ca.pem"));
    for name in names {
        std::fs::create_dir(dir.join(name)).expect("a directory");
        std::fs::copy(dir.join("ca.pem"), dir.join(name).join("ca.pem")).expect("a copy");
        run(&format!("req {new} -subj /CN={name} -keyout {name}/key.pem -out {name}/csr"));
        run(&format!(
            "x509 -req -in {name}/csr -CA ca.pem -CAkey ca.key -set_serial 7 -days 2 -extfile config -extensions {name} -out {name}/cert.pem"
        ));
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// A client that is told nothing but where the engine is and where the certificates are.
fn remote(engine: &Engine, program: &Path, certificates: &Path, flags: &str, command: &[&str]) -> Cmd {
    let cmd = Cmd::new(program).env("HOME", engine.scratch("remote")).env("DOCKER_CERT_PATH", certificates).env("DHOW_TEST", engine.dir());
    cmd.args(flags.split(' ')).args(command)
}

#[test]
fn tls_with_clients_that_are_looked_at() {
    let dir = tempfile::tempdir().expect("a directory");
    let (own, foreign) = (dir.path().join("own"), dir.path().join("foreign"));
    for dir in [&own, &foreign] {
        std::fs::create_dir(dir).expect("a directory");
        certificates(dir, &["server", "client"]);
    }
    let at = |name: &str| own.join("server").join(name).display().to_string();
    let flags =
        format!("-H tcp://127.0.0.1 --tlsverify --tlscacert {} --tlscert {} --tlskey {}", at("ca.pem"), at("cert.pem"), at("key.pem"));
    let engine = Engine::with(Options { flags: words(&flags), network: true, ..Options::default() });
    let clients: Vec<_> = [Some(paths::dhow()), paths::program("docker")].into_iter().flatten().collect();
    let known = own.join("client");
    engine.host().run(|| {
        for client in &clients {
            let ask = |flags: &str, words: &[&str]| remote(&engine, client, &known, flags, words);
            let verified = "--tlsverify -H tcp://127.0.0.1:2376";
            assert_eq!(ask(verified, &["run", "--rm", "busybox", "echo", "hello"]).ok(), "hello");
            // A stream in both directions, with an end.
            let large = vec![b'x'; 3 << 20];
            let back = ask(verified, &["run", "--rm", "-i", "busybox", "cat"]).input(large.clone()).run();
            assert!(back.bytes() == large, "{} bytes came back", back.bytes().len());
            let counted = ask(verified, &["run", "--rm", "-i", "busybox", "sh", "-c", "wc -c; exit 3"]).input(large).run();
            assert_eq!(counted.exits(3).trim(), "3145728");
            // The authority may be left unlooked at; a name that the certificate does not have may not.
            ask("--tls -H tcp://127.0.0.1:2376", &["ps"]).ok();

            // Another's certificates: on either side.
            let stranger = remote(&engine, client, &foreign.join("client"), verified, &["ps"]).run();
            assert!(stranger.fails(1).contains("tls: "), "an engine that nobody vouches for");
            let refused =
                ask(&format!("{verified} --tlscert {0}/cert.pem --tlskey {0}/key.pem", foreign.join("client").display()), &["ps"]);
            assert!(!refused.run().fails(1).is_empty(), "a client that nobody vouches for");
            let nobody = remote(&engine, client, &engine.scratch("nothing"), "--tls -H tcp://127.0.0.1:2376", &["ps"]).run();
            assert!(!nobody.fails(1).is_empty(), "a client without a certificate");
            let plain = remote(&engine, client, &known, "-H tcp://127.0.0.1:2376", &["ps"]).run().fails(1);
            assert!(plain.contains("Client sent an HTTP request to an HTTPS server."), "{plain}");
        }
        // By a context, whose files lie with it.
        let home = engine.scratch("remote").join(".docker/contexts");
        let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest("far"));
        let (meta, tls) = (home.join("meta").join(&digest), home.join("tls").join(&digest).join("docker"));
        std::fs::create_dir_all(&meta).and_then(|()| std::fs::create_dir_all(&tls)).expect("a context");
        let endpoint = r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://localhost:2376","SkipTLSVerify":false}}}"#;
        std::fs::write(meta.join("meta.json"), endpoint).expect("a context");
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            std::fs::copy(known.join(file), tls.join(file)).expect("a certificate");
        }
        for client in &clients {
            remote(&engine, client, &engine.scratch("nothing"), "--context far", &["version"]).ok();
        }
        // Somebody who says nothing holds nobody up.
        let silent = TcpStream::connect("127.0.0.1:2376").expect("a connection");
        remote(&engine, &clients[0], &known, "--tlsverify -H tcp://localhost:2376", &["ps"]).ok();
        drop(silent);
    });
    assert!(!engine.ok("info").contains("accessible"), "clients are looked at");
    engine.finish();
}

#[test]
fn what_is_open_to_everybody_is_said() {
    let engine = Engine::with(Options { flags: words("-H tcp://127.0.0.1:2375"), network: true, empty: true, ..Options::default() });
    let warned = engine.run("info").stderr();
    assert!(warned.contains("WARNING: API is accessible on http://127.0.0.1:2375 without encryption"), "{warned}");
    assert!(engine.log().contains("without encryption"));
    engine.host().run(|| {
        let mut stream = TcpStream::connect("127.0.0.1:2375").expect("a connection");
        stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("OK"), "{answer}");
    });
    engine.finish();
}

/// As systemd does: the socket is there before the daemon and stays after it.
#[test]
fn a_socket_of_the_service_manager() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("api.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    fcntl_setfd(&listener, FdFlags::empty()).expect("a socket for the daemon");
    let take = format!("export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=api; exec 3<&{}; exec \"$0\" \"$@\"", listener.as_raw_fd());
    let wrapper = ["bash", "-c", &take].map(str::to_owned).to_vec();
    let engine = Engine::with(Options { flags: words("-H fd://api"), wrapper, ..Options::default() });
    let ask = |words: &[&str]| engine.dhow(words).env("DOCKER_HOST", format!("unix://{}", path.display()));
    assert_eq!(ask(&["run", "--rm", "busybox", "echo", "hello"]).ok(), "hello");
    assert_eq!(ask(&["run", "--rm", "-i", "busybox", "cat"]).input("through").ok(), "through");
    ask(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    let inherited = ask(&["exec", "box", "sh", "-c", "ls -l /proc/1/fd /proc/self/fd; env"]).ok();
    assert!(!inherited.contains("LISTEN") && !inherited.contains("socket:"), "{inherited}");
    engine.stop_daemon();
    assert!(path.exists(), "the socket is not ours to remove");
    engine.start_daemon();
    assert_eq!(ask(&["ps", "-q", "--no-trunc"]).ok().trim(), engine.inspect("box")["Id"]);
    ask(&["rm", "-f", "box"]).ok();
    engine.finish();

    let alone =
        Cmd::new(paths::dhow()).args(["daemon", "-H", "fd://", "--bridge", "none"]).args(["--data-root"]).args([dir.path().join("d")]);
    let failed = alone.args(["--exec-root"]).args([dir.path().join("x")]).run().fails(1);
    assert!(failed.contains("no sockets found via socket activation"), "{failed}");
}

/// The socket is its group's, and a service manager is told when it is there, when it goes.
#[test]
fn the_sockets_group_and_the_service_managers_word() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    let wrapper = vec!["env".to_owned(), format!("NOTIFY_SOCKET={}", path.display())];
    let engine = Engine::with(Options { flags: words("--group 4321"), wrapper, empty: true, ..Options::default() });
    let meta = std::fs::metadata(engine.socket()).expect("the socket");
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (0, 4321, 0o660));
    let mut buffer = [0; 1000];
    let mut heard = || {
        let read = manager.recv(&mut buffer).expect("a word");
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    };
    assert_eq!(heard(), "READY=1");
    assert_eq!(engine.stop_daemon(), 0);
    assert_eq!(heard(), "STOPPING=1");
    engine.start_daemon();
    engine.finish();
}

#[test]
fn a_configuration_is_looked_at_without_a_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("daemon.json");
    let check = |text: &str, flags: &str| {
        std::fs::write(&file, text).expect("a configuration");
        let flags = flags.split(' ').filter(|word| !word.is_empty());
        Cmd::new(paths::dhow()).args(["daemon", "--validate", "--config-file"]).args([&file]).args(flags).run()
    };
    let accepted = |text: &str| {
        let checked = check(text, "");
        assert_eq!((checked.code, checked.stdout().as_str(), checked.stderr().trim()), (0, "", "configuration OK"), "{text}");
    };
    accepted(r#"{"labels":["a=b"],"hosts":["tcp://127.0.0.1:0"]}"#);
    // What Docker knows and has no meaning here; a mark of its editor's; nothing.
    accepted(r#"{"iptables":false,"storage-driver":"overlay2","features":{}}"#);
    ["\u{feff}{}", " ", r#"{"data-root":"","debug":true,"debug":false}"#].into_iter().for_each(accepted);
    let named = format!("unable to configure the daemon with file {}", file.display());
    for (text, flags, expect) in [
        ("{", "", named.as_str()),
        (r#"{"labels":["a"]}"#, "", "bad attribute format: a"),
        (r#"{"labels":"a"}"#, "", "json: cannot unmarshal string into Go struct field Config.labels of type []string"),
        ("[]", "", "json: cannot unmarshal"),
        (r#"{"hosts":["unix:///a"]}"#, "-H unix:///b", "hosts: (from flag: [unix:///b], from file: [unix:///a])"),
        (
            r#"{"debug":true,"mtu":1400,"labels":["a=b"]}"#,
            "-D --mtu 1500 --label c=d",
            "the following directives are specified both as a flag and in the configuration file: debug: (from flag: true, from file: \
             true), labels: (from flag: [c=d], from file: [a=b]), mtu: (from flag: 1500, from file: 1400)",
        ),
        (r#"{"bogus":1,"other":2}"#, "", "the following directives don't match any configuration option: bogus, other"),
        (r#"{"authorization-plugins":["who"]}"#, "", "authorization-plugins: there are no plugins"),
        (r#"{"log-driver":"journald","log-opts":{"max-size":"1m"}}"#, "", "failed to set log opts: unknown log opt 'max-size'"),
        (r#"{"tls":true,"tlscert":"/nonexistent","tlskey":"/nonexistent"}"#, "", "/nonexistent"),
    ] {
        let said = check(text, flags).fails(1);
        assert!(said.contains(expect), "{text}: {said}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 1, "nothing was made");
}
