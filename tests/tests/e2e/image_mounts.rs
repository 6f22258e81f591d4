//! Images that are mounted into containers: `--mount type=image`.

use dhow_tests::archive::rootfs;
use dhow_tests::{Engine, http};

/// An engine with an image `tools` that has two directories.
fn with_tools() -> Engine {
    let engine = Engine::new();
    let layer = rootfs().dir("tools").file("tools/one", 0o644, b"first").dir("tools/sub").file("tools/sub/two", 0o644, b"second");
    engine.dhow(["import", "-", "tools"]).input(layer.finish()).ok();
    engine
}

#[test]
fn an_image_is_there_read_only_and_whole_or_in_part() {
    let engine = with_tools();
    let run = |mount: &str, script: &str| engine.dhow(["run", "--rm", "--mount", mount, "busybox", "sh", "-c", script]).run();
    assert_eq!(
        run("type=image,src=tools,dst=/t", "cat /t/tools/one /t/tools/sub/two; test -e /t/.dockerenv || echo alone").ok(),
        "firstsecondalone"
    );
    assert_eq!(run("type=image,src=tools,dst=/t,image-subpath=tools/sub", "ls /t; cat /t/two").ok(), "two\nsecond");
    let said = run("type=image,src=tools,dst=/t", "touch /t/x");
    assert!(said.code == 1 && said.stderr().contains("Read-only file system"), "{said}");
    // Two at once, and one beside a volume.
    let words = ["run", "--rm", "--mount", "type=image,src=tools,dst=/a", "--mount", "type=image,src=busybox,dst=/b", "-v", "data:/c"];
    assert_eq!(
        engine.dhow(words).args(["busybox", "sh", "-c", "cat /a/tools/one; ls /b/bin/busybox; ls -A /c"]).ok(),
        "first/b/bin/busybox"
    );

    for (mount, words) in [
        ("type=image,src=nosuch,dst=/t", "No such image: nosuch:latest"),
        ("type=image,dst=/t", "invalid mount config for type \"image\": field Source must not be empty"),
        ("type=image,src=tools,dst=/t,image-subpath=../x", "subpath must be a relative path within the volume"),
        ("type=image,src=tools,dst=/t,image-subpath=none/x", "cannot access path"),
        ("type=image,src=tools,dst=/t,volume-nocopy", "cannot mix 'volume-*' options with mount type 'image'"),
    ] {
        let said = run(mount, "true");
        // What is missing at the start has the code of a program that is missing.
        let code = if mount.contains("none/x") { 127 } else { 125 };
        assert!(said.code == code && said.stderr().contains(words), "{mount}: {said}");
    }
    let body = r#"{"Image":"busybox","HostConfig":{"Mounts":[{"Type":"image","Source":"tools","Target":"/t"}]}}"#;
    let answer = http::request(&engine.socket(), "POST", "/v1.47/containers/create", body).expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (400, "{\"message\":\"Mount type \\\"Image\\\" needs API v1.48 or newer\"}\n"));
    engine.run("volume rm data").ok();
    engine.finish();
}

#[test]
fn it_is_held_by_who_uses_it_whatever_becomes_of_the_engine() {
    let engine = with_tools();
    engine.dhow(["run", "-d", "--name", "user", "--mount", "type=image,src=tools,dst=/t", "busybox", "sleep", "1000"]).ok();
    let shown = engine.ok("inspect user --format {{range.Mounts}}{{.Type}}:{{.Name}}:{{.Destination}}:{{.RW}}:{{.Mode}}{{end}}");
    assert_eq!(shown, "image:tools:/t:false:");
    let said = engine.run("rmi tools").fails(1);
    assert!(said.contains("conflict: unable to"), "{said}");
    engine.kill_daemon();
    engine.start_daemon();
    assert_eq!(engine.ok("exec user cat /t/tools/one"), "first");
    // Another one has the same filesystem, also from a container that is at rest.
    engine.dhow(["create", "--name", "heir", "--volumes-from", "user", "busybox", "cat", "/t/tools/one"]).ok();
    let said = engine.dhow(["cp", "heir:/t/tools/one", "-"]).run();
    assert!(said.stdout().contains("first"), "{said}");
    assert_eq!(engine.ok("start -a heir"), "first");
    engine.run("restart -t 0 user").ok();
    assert_eq!(engine.ok("exec user cat /t/tools/one"), "first");
    engine.run("rm -f user heir").ok();
    engine.run("rmi tools").ok();
    engine.finish();
}
