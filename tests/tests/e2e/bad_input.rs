//! Bad input: Docker's message, Docker's exit code, and nothing left behind.

use dhow_tests::archive::{Tar, docker_archive, rootfs};
use dhow_tests::{Engine, Options, http, leaks};

/// Command line, exit code, what it says. The same table holds for our own command line and for the docker client.
const TABLE: &[(&str, i32, &[&str])] = &[
    ("run --rm nosuch:image true", 125, &["nosuch:image"]),
    ("run --rm busybox nosuch", 127, &["exec: \"nosuch\": executable file not found in $PATH"]),
    ("run --rm busybox /nosuch", 127, &["/nosuch", "no such file or directory"]),
    ("run --rm busybox /etc/passwd", 126, &["exec: \"/etc/passwd\": permission denied"]),
    ("run --rm busybox /etc", 126, &["/etc", "is a directory"]),
    ("run --rm -u nosuch busybox true", 125, &["unable to find user nosuch: no matching entries in passwd file"]),
    ("run --rm -w relative busybox true", 125, &["the working directory 'relative' is invalid, it needs to be an absolute path"]),
    ("run --rm --cap-add FOO busybox true", 125, &["unknown capability", "FOO"]),
    ("run --rm -e =x busybox true", 125, &["invalid environment variable: =x"]),
    ("run --rm --bogus busybox true", 125, &["unknown flag: --bogus"]),
    ("run --rm --security-opt foo busybox true", 125, &["nvalid --security-opt: \"foo\""]),
    ("run --rm UPPER true", 125, &["must be lowercase"]),
    ("run --rm --name z busybox true", 125, &["Invalid container name (z), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"]),
    ("run --rm --network nosuch busybox true", 125, &["nosuch"]),
    ("run --rm --detach-keys k-k -it busybox true", 1, &[]),
    ("run", 1, &["requires at least 1 argument"]),
    ("bogus", 1, &["bogus"]),
    ("start nosuch", 1, &["No such container: nosuch"]),
    ("inspect nosuch", 1, &["No such object: nosuch"]),
    ("rm nosuch", 1, &["No such container: nosuch"]),
    ("rm -f nosuch", 0, &["No such container: nosuch"]),
    ("rmi nosuch", 1, &["No such image: nosuch:latest"]),
    ("tag nosuch a:b", 1, &["No such image: nosuch:latest"]),
    ("tag busybox a:b:c", 1, &["invalid reference format"]),
    ("logs nosuch", 1, &["No such container: nosuch"]),
    ("exec nosuch true", 1, &["No such container: nosuch"]),
    ("load -i /nosuch", 1, &["no such file or directory"]),
    ("ps --filter bogus=1", 1, &["invalid filter 'bogus'"]),
];

#[test]
fn dhow_says_what_docker_says() {
    let engine = Engine::new();
    for (words, code, texts) in TABLE {
        check(words, engine.run(words), *code, texts);
    }
    assert_eq!(engine.ok("ps -aq"), "");
    engine.finish();
}

#[test]
fn docker_client_is_told_the_same() {
    let engine = Engine::new();
    for (words, code, texts) in TABLE {
        let Some(command) = engine.docker(words.split(' ')) else { break };
        check(words, command.run(), *code, texts);
    }
    assert_eq!(engine.ok("ps -aq"), "");
    engine.finish();
}

fn check(words: &str, out: dhow_tests::Output, code: i32, texts: &[&str]) {
    assert_eq!(out.code, code, "{words}: {out}");
    for text in texts {
        assert!(out.stderr().contains(text), "{words}: no {text:?} in {out}");
    }
}

#[test]
fn a_failed_start_stays_created_and_tells_why() {
    let engine = Engine::new();
    for (command, code) in [("nosuch", 127), ("/etc/passwd", 126)] {
        assert_eq!(engine.run(&format!("run --name box busybox {command}")).code, code);
        let state = &engine.inspect("box")["State"];
        assert_eq!((state["Status"].as_str(), state["ExitCode"].as_i64()), (Some("created"), Some(code.into())), "{state}");
        assert!(state["Error"].as_str().expect("an error").contains(command), "{state}");
        engine.ok("rm box");
    }
    // A tear-down that follows a failed start leaves no cgroup either.
    for dir in leaks::cgroups(engine.cgroup()) {
        let below: Vec<_> =
            leaks::tree(&dir).into_iter().filter(|path| *path != dir && path.file_name().is_some_and(|name| name.len() == 64)).collect();
        assert!(below.is_empty(), "{below:?}");
    }
    engine.finish();
}

#[test]
fn a_name_is_taken_once() {
    let engine = Engine::new();
    let id = engine.ok("create --name box busybox true");
    let said = engine.run("run --name box busybox true").fails(125);
    assert!(said.contains(&format!("Conflict. The container name \"/box\" is already in use by container \"{id}\". You have to remove (or rename) that container to be able to reuse that name.")), "{said}");
    assert_eq!(engine.ok("ps -aq --no-trunc"), id);
    engine.finish();
}

#[test]
fn archives_that_lie() {
    let engine = Engine::new();
    let before = leaks::files(&engine.data_root()).len();
    let layer = rootfs().finish();
    let whole = docker_archive("lie:1", &layer, &format!("sha256:{}", "0".repeat(64)));
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("a layer that is not what the config says", whole.clone()),
        ("cut in the middle of a layer", whole[..whole.len() / 2].to_vec()),
        ("cut in the first header", whole[..300].to_vec()),
        ("nothing", Vec::new()),
        ("noise", (0..10_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
        ("no manifest", Tar::new().file("x", 0o644, b"x").finish()),
        ("a manifest that is no JSON", Tar::new().file("manifest.json", 0o644, b"{{{").finish()),
        (
            "a manifest that names what is missing",
            Tar::new().file("manifest.json", 0o644, br#"[{"Config":"no.json","RepoTags":["a:b"],"Layers":["no.tar"]}]"#).finish(),
        ),
        (
            "a manifest that names what is outside",
            Tar::new()
                .file("manifest.json", 0o644, br#"[{"Config":"../../../../etc/passwd","RepoTags":["a:b"],"Layers":["/etc/passwd"]}]"#)
                .finish(),
        ),
        ("a manifest behind a link", Tar::new().symlink("manifest.json", "/etc/passwd").finish()),
    ];
    for (what, archive) in table {
        let out = engine.dhow(["load"]).input(archive).run();
        assert_eq!(out.code, 1, "{what}: {out}");
        assert!(!out.stderr().is_empty() && !out.stderr().contains("root:x"), "{what}: {out}");
    }
    assert_eq!(engine.ok("images -q").lines().count(), 1);
    assert_eq!(leaks::files(&engine.data_root()).len(), before, "{:?}", leaks::files(&engine.data_root()));
    engine.finish();
}

#[test]
fn members_that_want_out() {
    let engine = Engine::new();
    let outside = engine.scratch("outside");
    let name = outside.display().to_string();
    let table: Vec<(&str, Tar)> = vec![
        ("dots", rootfs().file("../../../../../../../../../../tmp/dhow-escaped", 0o644, b"x")),
        ("absolute", rootfs().file("/tmp/dhow-escaped", 0o644, b"x")),
        ("through a link", rootfs().symlink("out", &name).file("out/escaped", 0o644, b"x")),
        ("through dots in a link", rootfs().symlink("up", "../../../../../../../../tmp").file("up/dhow-escaped", 0o644, b"x")),
        ("a hard link to the host", rootfs().hard_link("stolen", "/etc/shadow").hard_link("stolen2", "../../../../../../etc/shadow")),
    ];
    for (what, tar) in table {
        // Refused or confined, both are fine; out is not.
        let out = engine.dhow(["import", "-", "evil"]).input(tar.finish()).run();
        if out.code == 0 {
            let stolen = engine.dhow(["run", "--rm", "evil", "cat", "/stolen", "/stolen2"]).run();
            assert!(!stolen.stdout().contains("root:"), "{what}: {stolen}");
            engine.ok("rmi evil");
        }
        assert!(!std::path::Path::new("/tmp/dhow-escaped").exists(), "{what}: {out}");
        assert_eq!(leaks::files(&outside), Vec::<std::path::PathBuf>::new(), "{what}");
    }
    engine.finish();
}

#[test]
fn slow_a_full_disk() {
    let engine = Engine::with(Options { small_disk: Some("24m".into()), ..Options::default() });
    let big = rootfs().file("big", 0o644, &vec![7_u8; 30 << 20]).finish();
    let said = engine.dhow(["import", "-", "big"]).input(big).run().fails(1);
    assert!(said.contains("no space left on device") || said.contains("No space left on device"), "{said}");
    assert_eq!(engine.ok("images -q").lines().count(), 1);
    // A container that fills the disk fails alone; the engine goes on and can be cleaned.
    // The next one may come before what it wrote is off the disk.
    for _ in 0..5 {
        let out = engine.shell("", "dd if=/dev/zero of=/fill bs=1M count=40");
        assert!(out.stderr().contains("No space left on device"), "{out}");
        assert_eq!(engine.ok("run --rm busybox echo goes on"), "goes on");
    }
    engine.finish();
}

#[test]
fn requests_that_no_client_sends() {
    let engine = Engine::new();
    let socket = engine.socket();
    let status = |method: &str, path: &str, body: &str| http::request(&socket, method, path, body).expect("an answer").status;
    assert_eq!(status("GET", "/nosuch", ""), 404);
    assert_eq!(status("POST", "/containers/create", "{"), 400);
    assert_eq!(status("POST", "/containers/create", "[]"), 400);
    assert_eq!(status("GET", "/containers/../../etc/passwd/json", ""), 404);
    assert_eq!(status("GET", "/v9.99/_ping", ""), 400);
    assert_eq!(status("GET", "/v1.0/info", ""), 400);
    assert_eq!(status("GET", "/containers/json?filters=%7Bnonsense", ""), 400);
    let huge = status("POST", "/containers/create", &format!("{{\"Image\":\"{}\"}}", "a".repeat(40_000_000)));
    assert!(huge == 400 || huge == 413, "{huge}");
    // Headers without an end, a body longer than its length, garbage: the engine answers or hangs up, and goes on.
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost"[..],
        b"\x16\x03\x01\x02\x00",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ] {
        use std::io::Write;
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).expect("connect");
        let _told = stream.write_all(bytes);
    }
    assert_eq!(status("GET", "/_ping", ""), 200);
    engine.finish();
}

/// What is no JSON, and JSON of the wrong kind: the words are Go's.
#[test]
fn bodies_that_do_not_fit() {
    let engine = Engine::new();
    engine.ok("create --name box busybox true");
    let check = |path: &str, body: &str, status: u16, expect: &str| {
        let answer = dhow_tests::http::request(&engine.socket(), "POST", path, body).expect("an answer");
        assert_eq!((answer.status, answer.text().contains(expect)), (status, true), "{path} {body}: {}", answer.text());
    };
    check(
        "/containers/box/exec",
        r#"{"Cmd":"true"}"#,
        400,
        "cannot unmarshal string into Go struct field ExecOptions.Cmd of type []string",
    );
    check("/containers/box/exec", "null", 400, "No exec command specified");
    check("/containers/create", "null", 400, "config cannot be empty in order to create a container");
    check("/networks/box/connect", "null", 404, "network box not found");
    check("/networks/none/connect", "null", 400, "invalid name or ID supplied");
    check("/networks/create", r#"{"CheckDuplicate":"x"}"#, 400, "Go struct field CreateRequest.CheckDuplicate of type bool");
    check("/networks/create", r#"{"ConfigFrom":5}"#, 400, "Go struct field CreateRequest.ConfigFrom of type network.ConfigReference");
    check("/auth", r#"{"username":5}"#, 400, "cannot unmarshal number into Go struct field AuthConfig.username of type string");
    check("/auth", "[]", 400, "cannot unmarshal array into Go value of type registry.AuthConfig");
    check("/volumes/create", r#"{"Name":"a",}"#, 400, "invalid character '}' looking for beginning of object key string");
    check("/volumes/create", "null", 201, "Mountpoint");
    check("/containers/box/update", "null", 200, "Warnings");
    engine.finish();
}
