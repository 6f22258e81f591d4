//! `export`: a container's files as an archive, and what hostile files do to it.

use dhow_tests::{Engine, http, until};

fn names(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().expect("an archive");
    entries.map(|entry| String::from_utf8_lossy(&entry.expect("a member").path_bytes()).into_owned()).collect()
}

#[test]
fn export_and_import() {
    let engine = Engine::new();
    let source = engine.scratch("source");
    std::fs::write(source.join("secret"), "x").expect("write");
    let bind = format!("{}:/data", source.display());
    let script = "echo hi > /hello; ln /hello /again; rm /bin/ls; rm -rf /var/spool; sleep 1000";
    engine.dhow(["run", "-d", "--name", "box1", "-v", &bind, "busybox", "sh", "-c", script]).ok();
    until("it has written", || engine.ok("diff box1").contains("D /var/spool"));
    let out = engine.dhow(["export", "box1"]).run();
    assert_eq!((out.code, out.stderr().as_str()), (0, ""));
    let running = out.bytes().to_vec();
    let found = names(&running);
    for there in [".dockerenv", "bin/", "data/", "dev/console", "hello", "proc/", "etc/hosts"] {
        assert!(found.iter().any(|name| name == there), "{there} is missing: {found:?}");
    }
    for absent in ["data/secret", "bin/ls", "var/spool/", "dev/null", "proc/1/", "./"] {
        assert!(!found.iter().any(|name| name == absent), "{absent} is there");
    }
    assert!(engine.events().contains(&"export".to_owned()));
    engine.ok("kill box1");
    engine.ok("wait box1");
    let file = engine.dir().join("h/out.tar");
    std::fs::write(&file, "old").expect("write");
    assert_eq!(engine.dhow(["container", "export", "-o", &file.to_string_lossy(), "box1"]).ok(), "");
    assert_eq!(std::fs::read(&file).expect("read"), running, "the same files give the same archive");
    engine.dhow(["import", "-", "flat:1"]).input(running).ok();
    assert_eq!(engine.ok("run --rm flat:1 cat /hello /again"), "hi\nhi");
    assert_eq!(engine.ok("run --rm flat:1 stat -c %h /hello"), "2");
    engine.finish();
}

#[test]
fn refusals() {
    let engine = Engine::new();
    engine.ok("create --name box1 busybox");
    let check = |words: &str, expect: &str| assert_eq!(engine.run(words).fails(1), format!("{expect}\n"), "{words}");
    check("export nosuch", "Error response from daemon: No such container: nosuch");
    let failed = "failed to export container:";
    check("export -o /nosuch/x box1", &format!("{failed} invalid output path: stat /nosuch: no such file or directory"));
    check("export -o /tmp box1", &format!("{failed} cannot write to a directory"));
    check("export -o /dev/null box1", &format!("{failed} cannot write to a character device file"));
    // A refusal leaves no file.
    let file = engine.dir().join("h/never.tar");
    assert_eq!(engine.dhow(["export", "-o", &file.to_string_lossy(), "nosuch"]).run().code, 1);
    assert!(!file.exists());
    let answer = http::get(&engine.socket(), "/containers/nosuch/export").expect("an answer");
    assert_eq!(answer.status, 404);
    engine.finish();
}

#[test]
fn class09_devices_pipes_and_links_are_only_named() {
    let engine = Engine::new();
    // A watchdog is armed by being opened, a pipe blocks, and links lead to the host.
    let script = "mknod /dog c 10 130; mknod /disk b 8 0; mkfifo /pipe; ln -s /etc/debian_version /out; ln -s ../../../../etc /up; \
        ln -s /proc/1/root /root-link; truncate -s 10485760 /holes";
    engine.dhow(["run", "--name", "box1", "busybox", "sh", "-c", script]).ok();
    engine.ok("diff box1");
    engine.ok("commit box1 committed");
    engine.dhow(["exec", "box1", "true"]).run().fails(1);
    engine.dhow(["start", "box1"]).run().exits(0);
    engine.dhow(["run", "--name", "box2", "committed", "rm", "/holes"]).ok();
    let out = engine.dhow(["export", "box2"]).run();
    assert_eq!(out.code, 0, "{}", out.stderr());
    let mut archive = tar::Archive::new(out.bytes());
    let mut seen = 0;
    for entry in archive.entries().expect("an archive") {
        let entry = entry.expect("a member");
        let kind = entry.header().entry_type();
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        seen += match (String::from_utf8_lossy(&entry.path_bytes()).as_ref(), link.as_deref()) {
            ("dog", None) => u32::from(kind.is_character_special()),
            ("disk", None) => u32::from(kind.is_block_special()),
            ("pipe", None) => u32::from(kind.is_fifo()),
            ("out", Some("/etc/debian_version")) | ("up", Some("../../../../etc")) | ("root-link", Some("/proc/1/root")) => {
                u32::from(kind.is_symlink())
            }
            _ => 0,
        };
    }
    assert_eq!(seen, 6);
    engine.finish();
}

#[test]
fn class11_account_files_that_are_something_else() {
    let engine = Engine::new();
    for (number, make) in ["mkfifo", "ln -s /etc/shadow", "mkdir", "mknod"].iter().enumerate() {
        let name = format!("odd{number}");
        let device = if *make == "mknod" { " c 10 130" } else { "" };
        let script = format!("rm -f /etc/passwd /etc/group; {make} /etc/passwd{device}; sleep 1000");
        engine.dhow(["run", "-d", "--name", &name, "busybox", "sh", "-c", &script]).ok();
        until("it is made", || engine.ok(&format!("diff {name}")).contains("/etc/passwd"));
        // A number needs no file, a name is not found; neither waits.
        assert_eq!(engine.ok(&format!("exec -u 5 {name} grep ^Uid /proc/self/status")), "Uid:\t5\t5\t5\t5", "{make}");
        let out = engine.run(&format!("exec -u nobody {name} id"));
        let text = out.stdout() + &out.stderr();
        assert!(out.code != 0 && text.contains("unable to find user nobody"), "{make}: {text}");
        engine.ok(&format!("kill {name}"));
    }
    // A huge one is refused, not read.
    let script = "truncate -s 1099511627776 /etc/passwd; sleep 1000";
    engine.dhow(["run", "-d", "--name", "huge", "busybox", "sh", "-c", script]).ok();
    until("it is made", || engine.ok("diff huge").contains("/etc/passwd"));
    assert!(engine.run("exec -u nobody huge id").code != 0);
    engine.finish();
}
