//! `cp`: files into and out of containers, running and at rest, by our own command line and by the docker client.

use base64::Engine as _;
use dhow_tests::engine::kill;
use dhow_tests::fuse::Hung;
use dhow_tests::{Cmd, Engine, finish_child, http, until};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Both clients that are here.
fn clients(engine: &Engine) -> Vec<(&'static str, Box<dyn Fn(&[&str]) -> Cmd + '_>)> {
    let mut all: Vec<(&'static str, Box<dyn Fn(&[&str]) -> Cmd + '_>)> = vec![("dhow", Box::new(|words| engine.dhow(words)))];
    if engine.docker(["version"]).is_some() {
        all.push(("docker", Box::new(|words| engine.docker(words).expect("it is here"))));
    }
    all
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_string_lossy().into_owned()
}

fn members(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().expect("an archive");
    entries.map(|entry| String::from_utf8_lossy(&entry.expect("a member").path_bytes()).into_owned()).collect()
}

#[test]
fn both_ways_running_and_at_rest() {
    let engine = Engine::new();
    let here = engine.scratch("here");
    std::fs::create_dir_all(here.join("tree/sub")).expect("mkdir");
    std::fs::write(here.join("tree/file"), "from here\n").expect("write");
    std::fs::hard_link(here.join("tree/file"), here.join("tree/sub/again")).expect("link");
    std::os::unix::fs::symlink("file", here.join("tree/link")).expect("symlink");
    for (client, run) in clients(&engine) {
        for running in [true, false] {
            let name = format!("{client}-{running}");
            engine.dhow(["create", "--name", &name, "busybox", "sh", "-c", "echo made > /made; sleep 1000"]).ok();
            if running {
                engine.ok(&format!("start {name}"));
                until("it has written", || engine.ok(&format!("diff {name}")).contains("/made"));
            }
            let there = |at: &str| format!("{name}:{at}");
            run(&["cp", &path(&here, "tree"), &there("/srv")]).ok();
            let back = format!("{name}-back");
            run(&["cp", &there("/srv"), &path(&here, &back)]).ok();
            let back = here.join(back);
            assert_eq!(std::fs::read_to_string(back.join("sub/again")).expect("read"), "from here\n", "{name}");
            assert_eq!(std::fs::metadata(back.join("file")).expect("stat").nlink(), 2, "{name}: hard links stay");
            assert_eq!(std::fs::read_link(back.join("link")).expect("readlink"), Path::new("file"), "{name}");
            assert!(engine.ok(&format!("diff {name}")).contains("A /srv/sub/again"), "{name}");
            if !running {
                engine.ok(&format!("start {name}"));
            }
            assert_eq!(engine.ok(&format!("exec {name} cat /srv/link")), "from here", "{name}");
            engine.ok(&format!("kill {name}"));
        }
    }
    let events = engine.events();
    assert!(events.contains(&"archive-path".to_owned()) && events.contains(&"extract-to-dir".to_owned()), "{events:?}");
    engine.finish();
}

#[test]
fn mounts_are_part_of_what_is_copied() {
    let engine = Engine::new();
    let data = engine.scratch("data");
    std::fs::write(data.join("host"), "of the host").expect("write");
    let bind = format!("{}:/deep/data", data.display());
    let fixed = format!("{}:/deep/fixed/file:ro", data.join("host").display());
    // Never started: the places of the mounts are not there yet, and a copy does not make them.
    engine.dhow(["create", "--name", "box1", "-v", &bind, "-v", &fixed, "busybox", "sleep", "1000"]).ok();
    for state in ["created", "running", "exited"] {
        let out = engine.dhow(["cp", "box1:/deep", "-"]).run();
        assert_eq!((out.code, out.stderr().as_str()), (0, ""), "{state}");
        let mut found = members(out.bytes());
        found.sort();
        let expect: &[&str] = &["deep/", "deep/data/", "deep/data/host", "deep/fixed/", "deep/fixed/file"];
        assert_eq!(found.iter().filter(|name| !name.contains("new")).collect::<Vec<_>>(), expect, "{state}");
        let new = format!("new-{state}");
        std::fs::write(engine.scratch("up").join(&new), state).expect("write");
        engine.dhow(["cp", &path(&engine.scratch("up"), &new), "box1:/deep/data"]).ok();
        assert_eq!(std::fs::read_to_string(data.join(&new)).expect("it is on the host"), state);
        let busy = engine.dhow(["cp", &path(&data, "host"), "box1:/deep/fixed/file"]).run().fails(1);
        assert!(busy.contains("unlinkat /deep/fixed/file: device or resource busy"), "{state}: {busy}");
        let changed = engine.ok("diff box1");
        assert!(state != "created" || !changed.contains("deep"), "{changed}");
        match state {
            "created" => drop(engine.ok("start box1")),
            "running" => drop(engine.ok("stop -t 0 box1")),
            _ => {}
        }
    }
    engine.finish();
}

#[test]
fn the_header_says_what_is_there() {
    let engine = Engine::new();
    let script = "echo hello > /file; chmod 4750 /file; touch -d @86400 /file; ln -s usr/../file /link; sleep 1000";
    engine.dhow(["run", "-d", "--name", "box1", "busybox", "sh", "-c", script]).ok();
    until("it has written", || engine.ok("diff box1").contains("/link"));
    let stat = |at: &str| {
        let answer = http::request(&engine.socket(), "HEAD", &format!("/containers/box1/archive?path={at}"), "").expect("an answer");
        let header = answer.header("x-docker-container-path-stat").map(str::to_owned);
        let decoded = header.map(|text| base64::engine::general_purpose::STANDARD.decode(text).expect("base64"));
        (answer.status, decoded.map(|json| String::from_utf8(json).expect("text")).unwrap_or_default())
    };
    let file = r#"{"name":"file","size":6,"mode":8389096,"mtime":"1970-01-02T00:00:00Z","linkTarget":""}"#;
    assert_eq!(stat("/file"), (200, file.to_owned()));
    let (status, link) = stat("link");
    assert!(status == 200 && link.contains(r#""mode":134218239"#) && link.ends_with(r#""linkTarget":"/file"}"#), "{link}");
    assert!(stat("/etc/").1.starts_with(r#"{"name":"etc","#));
    assert!(stat("/etc/.").1.starts_with(r#"{"name":".","#));
    assert!(stat("/").1.starts_with(r#"{"name":"/","#));
    assert_eq!(stat("/nosuch"), (404, String::new()));
    assert_eq!(stat(""), (400, String::new()));
    engine.finish();
}

#[test]
fn a_start_waits_for_a_copy_at_rest_and_others_do_not() {
    let engine = Engine::new();
    engine.ok("create --name box1 busybox cat /in/f");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let copy = engine.dhow(["cp", "-", "box1:/"]).stdin(reader).spawn();
    let mut archive = tar::Builder::new(writer);
    let mut add = |name: &str| {
        let mut header = tar::Header::new_ustar();
        header.set_size(3);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, &b"hi\n"[..]).expect("a member");
    };
    add("in/begun");
    until("the copy has begun", || engine.ok("diff box1").contains("/in/begun"));
    // The rest of the archive does not come yet.
    let start = engine.dhow(["start", "-a", "box1"]).spawn();
    assert_eq!(engine.ok("inspect -f {{.State.Status}} box1"), "created");
    assert!(engine.ok("ps -a").contains("box1"));
    assert!(members(engine.dhow(["cp", "box1:/in", "-"]).run().bytes()).contains(&"in/begun".to_owned()));
    add("in/f");
    drop(archive.into_inner().expect("its end"));
    finish_child(copy).exits(0);
    let started = finish_child(start);
    assert_eq!((started.code, started.stdout().as_str()), (0, "hi\n"), "{}", started.stderr());
    engine.finish();
}

#[test]
fn class09_a_hung_filesystem_holds_up_only_its_copy() {
    let engine = Engine::new();
    let target = engine.scratch("hung");
    let Some(hung) = Hung::mount(&target) else { return engine.finish() };
    let bind = format!("{}:/hung", target.parent().expect("a parent").display());
    engine.dhow(["run", "-d", "--name", "box1", "-v", &bind, "busybox", "sleep", "1000"]).ok();
    let asked = hung.asked();
    let copy = engine.dhow(["cp", "box1:/hung/hung/file", "-"]).spawn();
    until("it waits", || hung.asked() > asked);
    // Everything else of this very container goes on.
    assert_eq!(engine.dhow(["cp", "box1:/etc/hostname", "-"]).deadline(Duration::from_secs(10)).run().code, 0);
    assert_eq!(engine.dhow(["exec", "box1", "true"]).deadline(Duration::from_secs(10)).run().code, 0);
    assert_eq!(engine.ok("inspect -f {{.State.Running}} box1"), "true");
    let failed = finish_child(copy).fails(1);
    assert!(failed.contains("did not answer"), "{failed}");
    drop(hung);
    engine.finish();
}

#[test]
fn class09_cve_2018_15664_a_directory_is_swapped_for_a_link_to_the_root() {
    let engine = Engine::new();
    let here = engine.scratch("here");
    std::fs::write(here.join("planted"), "x").expect("write");
    let shared = engine.scratch("shared");
    std::fs::create_dir(shared.join("target")).expect("mkdir");
    std::os::unix::fs::symlink("/", shared.join("link")).expect("symlink");
    let attacker = format!("{}:/attacker:ro", dhow_tests::paths::attacker().display());
    let bind = format!("{}:/shared", shared.display());
    engine
        .dhow(["run", "-d", "--name", "box1", "-v", &attacker, "-v", &bind, "busybox", "/attacker", "swap"])
        .args(["/shared/target", "/shared/link", "/shared/stop"])
        .ok();
    until("the swapper runs", || engine.ok("logs box1").contains("ready"));
    for _ in 0..25 {
        // Refused, or done inside: the host's own file of that name is never seen, its root never written.
        let out = engine.dhow(["cp", "box1:/shared/target/etc/debian_version", "-"]).run();
        assert!(out.code != 0 && out.bytes().is_empty(), "{out}");
        let _raced = engine.dhow(["cp", &path(&here, "planted"), "box1:/shared/target/"]).run();
        assert!(!Path::new("/planted").exists(), "the host's root was written");
    }
    std::fs::write(shared.join("stop"), "").expect("write");
    assert_eq!(engine.ok("wait box1"), "0");
    engine.finish();
}

#[test]
fn class09_pipes_and_devices_of_a_container_are_not_opened() {
    let engine = Engine::new();
    let script = "mkdir /odd; mkfifo /odd/pipe; mknod /odd/dog c 10 130; mknod /odd/disk b 8 0; ln -s /odd/pipe /odd/link; sleep 1000";
    engine.dhow(["run", "-d", "--name", "box1", "busybox", "sh", "-c", script]).ok();
    until("it has made them", || engine.ok("diff box1").contains("/odd/link"));
    for state in ["running", "exited"] {
        for at in ["pipe", "dog", "disk", "link"] {
            let out = engine.dhow(["cp", &format!("box1:/odd/{at}"), "-"]).deadline(Duration::from_secs(20)).run();
            assert_eq!((out.code, members(out.bytes())), (0, vec![at.to_owned()]), "{state} {at}");
        }
        assert_eq!(members(engine.dhow(["cp", "box1:/odd", "-"]).run().bytes()).len(), 5, "{state}");
        if state == "running" {
            engine.ok("kill box1");
            engine.ok("wait box1");
        }
    }
    engine.finish();
}

#[test]
fn who_asks_for_it_gets_it_compressed() {
    let engine = Engine::new();
    engine.ok("create --name box1 busybox");
    let get = |accept: &str| {
        let lines = format!("GET /containers/box1/archive?path=/bin/busybox HTTP/1.1\r\nHost: dhow\r\nConnection: close\r\n{accept}\r\n");
        http::raw(&engine.socket(), lines.as_bytes()).expect("an answer")
    };
    let plain = get("");
    assert_eq!((plain.status, plain.header("content-encoding"), members(&plain.body)), (200, None, vec!["busybox".to_owned()]));
    let packed = get("Accept-Encoding: gzip, deflate\r\n");
    assert_eq!((packed.status, packed.header("content-encoding")), (200, Some("gzip")));
    assert!(packed.body.len() < plain.body.len());
    let unpacked = Cmd::new("gzip").args(["-dc"]).input(packed.body).run();
    assert!(unpacked.code == 0 && unpacked.bytes() == plain.body, "{}", unpacked.stderr());
    assert_eq!(get("Accept-Encoding: deflate\r\n").header("content-encoding"), Some("deflate"));
    assert_eq!(get("Accept-Encoding: identity\r\n").body, plain.body);
    engine.finish();
}

#[test]
fn what_is_mounted_is_written_to_also_while_the_container_ends() {
    let engine = Engine::new();
    let here = engine.scratch("here");
    std::fs::write(here.join("file"), "text").expect("write");
    let shared = engine.scratch("shared");
    let bind = format!("{}:/shared", shared.display());
    engine.dhow(["create", "--name", "box1", "-v", &bind, "busybox", "sleep", "1000"]).ok();
    for round in 0..8 {
        engine.ok("start box1");
        let (pid, shim) = (engine.container_pid("box1"), engine.shim_pid("box1"));
        // The container has ended, and only the kernel knows.
        kill(shim, 19);
        kill(pid, 9);
        until("it has ended", || std::fs::read_link(format!("/proc/{pid}/ns/mnt")).is_err());
        let copy = engine.dhow(["cp", &path(&here, "file"), &format!("box1:/shared/{round}")]).spawn();
        kill(shim, 18);
        finish_child(copy).exits(0);
        assert_eq!(std::fs::read_to_string(shared.join(round.to_string())).expect("it is in the mount"), "text");
        assert_eq!(engine.ok("wait box1"), "137");
    }
    assert!(!engine.ok("diff box1").contains("/shared/"), "nothing is below the mount");
    engine.finish();
}
