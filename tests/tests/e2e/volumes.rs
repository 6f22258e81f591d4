//! Volumes: data that outlives containers, engines and their deaths.

use dhow_tests::Engine;
use dhow_tests::engine::Options;

#[test]
fn data_outlives_the_container_and_the_engine() {
    let engine = Engine::new();
    engine.run("volume create --label kind=data kept").ok();
    engine.shell("-v kept:/data", "echo one > /data/f").ok();
    engine.kill_daemon();
    engine.start_daemon();
    assert_eq!(engine.shell("-v kept:/data", "cat /data/f").ok(), "one");
    let shown = &engine.inspect("kept")["Labels"];
    assert_eq!(shown["kind"], "data");
    // Only what is whole is a volume: what a crash left half-made or half-removed goes at the next opening.
    let dir = engine.dir().join("d/volumes");
    std::fs::create_dir_all(dir.join(".half/_data")).expect("half a volume");
    engine.kill_daemon();
    engine.start_daemon();
    assert_eq!(engine.run("volume ls -q").ok(), "kept");
    assert!(!dir.join(".half").exists());
    engine.run("volume rm kept").ok();
    assert_eq!(std::fs::read_dir(&dir).expect("the volumes").count(), 0);
    engine.finish();
}

#[test]
fn a_new_volume_has_what_the_image_has_there() {
    let engine = Engine::new();
    let script =
        "mkdir -p /srv/sub && echo text > /srv/sub/f && chown -R 7:8 /srv && chmod 2750 /srv && ln -s sub/f /srv/l && mkfifo /srv/p";
    engine.dhow(["run", "--name", "made", "busybox", "sh", "-c", script]).ok();
    engine.run("commit made filled").ok();
    let look = "stat -c '%a %u:%g' /v/srv /v 2>/dev/null; cd /v; find . | sort | xargs stat -c '%n %F %a %u'";
    let named = engine.dhow(["run", "--rm", "-v", "one:/srv", "filled", "true"]);
    named.ok();
    let shown = engine.dhow(["run", "--rm", "-v", "one:/v", "busybox", "sh", "-c", look]).ok();
    let expect = ". directory 2750 7\n./l symbolic link 777 0\n./p fifo 644 0\n./sub directory 755 7\n./sub/f regular file 644 7";
    assert!(shown.ends_with(expect), "{shown}");
    // What is in it stays; an image's own declared volumes are filled too, and go with `--rm`.
    engine.shell("-v one:/v", "rm /v/l; echo new > /v/sub/f").ok();
    assert_eq!(engine.dhow(["run", "--rm", "-v", "one:/srv", "filled", "cat", "/srv/sub/f"]).ok(), "new");
    engine.dhow(["commit", "-c", "VOLUME /srv", "made", "declared"]).ok();
    assert_eq!(engine.dhow(["run", "--rm", "declared", "cat", "/srv/sub/f"]).ok(), "text");
    assert_eq!(engine.run("volume ls -q").ok(), "one");
    engine.finish();
}

#[test]
fn what_is_used_is_not_removed() {
    let engine = Engine::new();
    engine.run("create --name user -v used:/u busybox true").ok();
    let id = engine.run("inspect -f {{.Id}} user").ok();
    let said = engine.run("volume rm used").fails(1);
    assert_eq!(said, format!("Error response from daemon: remove used: volume is in use - [{id}]\n"));
    assert_eq!(engine.run("volume prune -a -f").ok(), "Total reclaimed space: 0B");
    engine.run("rm user").ok();
    assert_eq!(engine.run("volume prune -f").ok(), "Total reclaimed space: 0B", "a named one stays without -a");
    assert_eq!(engine.run("volume prune -a -f").ok(), "Deleted Volumes:\nused\n\nTotal reclaimed space: 0B");
    engine.finish();
}

#[test]
fn nothing_stays_of_a_container_that_does_not_come_about() {
    let engine = Engine::new();
    for (flags, words) in [
        ("-v made:/x -v x2:/x", "Duplicate mount point: /x"),
        ("-v made:/x --volume-driver nosuch", "error looking up volume plugin nosuch"),
        ("-v made:/x --mount type=volume,src=made2,dst=/y,volume-opt=bogus=1", "create made2: invalid option: \"bogus\""),
        ("-v ../x:/x", "includes invalid characters for a local volume name"),
        ("-v /anonymous -v made:/x -v /bin/sh", "cannot mount volume over existing file, file exists /bin/sh"),
    ] {
        let mut command = vec!["create"];
        command.extend(flags.split(' '));
        command.extend(["busybox", "true"]);
        // The last is one that the client takes as a path of its own directory.
        let said = if flags.contains("..") {
            dhow_tests::http::request(
                &engine.socket(),
                "POST",
                "/containers/create",
                r#"{"Image":"busybox","HostConfig":{"Binds":["../x:/x"]}}"#,
            )
            .expect("an answer")
            .text()
        } else {
            engine.dhow(command).run().stderr()
        };
        assert!(said.contains(words), "{flags}: {said}");
    }
    assert_eq!(engine.run("volume ls -q").ok(), "");
    assert_eq!(std::fs::read_dir(engine.dir().join("d/volumes")).expect("the volumes").count(), 0);
    engine.finish();
}

#[test]
fn volumes_of_others_and_directories_of_the_host() {
    let engine = Engine::new();
    let host = engine.dir().join("h/shared");
    std::fs::create_dir(&host).expect("a directory of the host");
    let device = format!("device={}", host.display());
    engine.dhow(["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, "onhost"]).ok();
    engine.shell("-v onhost:/m", "echo here > /m/f").ok();
    assert_eq!(std::fs::read_to_string(host.join("f")).expect("the file").trim(), "here");
    engine.run("create --name holder -v onhost:/a -v /anon busybox true").ok();
    assert_eq!(
        engine.shell("--volumes-from holder:ro", "cat /a/f; ls -d /anon; touch /a/g 2>/dev/null || echo read-only").ok(),
        "here\n/anon\nread-only"
    );
    // A volume's files outlive its name where they are the host's.
    engine.run("rm -v holder").ok();
    assert_eq!(engine.run("volume ls -q").ok(), "onhost");
    assert!(engine.run("volume prune -a -f").ok().contains("0B") && engine.run("volume ls -q").ok() == "onhost");
    engine.run("volume rm onhost").ok();
    assert!(host.join("f").exists());
    engine.finish();
}

#[test]
fn many_at_once_of_one_name() {
    let engine = Engine::new();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let engine = &engine;
            scope.spawn(move || {
                for _ in 0..5 {
                    let said = engine.dhow(["run", "--rm", "-v", "common:/c", "busybox", "sh", "-c", &format!("echo {n} >> /c/f")]).run();
                    assert_eq!(said.code, 0, "{said}");
                    // It may be in use: then it stays.
                    let removed = engine.run("volume rm common");
                    let gone = removed.stderr().contains("no such volume");
                    assert!(removed.code == 0 || gone || removed.stderr().contains("volume is in use"), "{removed}");
                }
            });
        }
    });
    engine.run("volume rm -f common").ok();
    assert_eq!(engine.run("volume ls -q").ok(), "");
    engine.finish();
}

#[test]
fn of_many_containers_at_once_one_fills_it() {
    const IMAGE: &str = "debian:bookworm-slim";
    let engine = Engine::new();
    engine.load("debian");
    for round in 0..3 {
        let bind = format!("tools{round}:/usr/bin");
        std::thread::scope(|scope| {
            for _ in 0..5 {
                let (engine, bind) = (&engine, &bind);
                scope.spawn(move || engine.dhow(["create", "--pull", "never", "-v", bind, IMAGE, "true"]).ok());
            }
        });
        let count = |flags: &[&str], dir: &str| engine.dhow(["run", "--rm"]).args(flags).args([IMAGE, "ls", dir]).ok().lines().count();
        assert_eq!(count(&["-v", &format!("tools{round}:/v")], "/v"), count(&[], "/usr/bin"));
    }
    engine.finish();
}

#[test]
fn events_of_a_volume() {
    let engine = Engine::with(Options::default());
    engine.run("run --rm --name one -v seen:/s -v /anon busybox true").ok();
    engine.run("volume rm seen").ok();
    let format = "{{.Type}} {{.Action}} {{len .Actor.ID}} {{.Actor.Attributes.driver}}{{.Actor.Attributes.destination}}";
    let end = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() + 1;
    let shown = engine.dhow(["events", "--since", "1", "--until", &end.to_string(), "--filter", "type=volume", "--format", format]).ok();
    let expect = "volume create 4 local\nvolume create 64 local\nvolume mount 4 local/s\nvolume mount 64 local/anon\nvolume unmount 4 local\n\
        volume unmount 64 local\nvolume destroy 64 local\nvolume destroy 4 local";
    assert_eq!(shown.replace("<no value>", ""), expect);
    engine.finish();
}

/// What a volume's own options forbid is no wish of the container's: inspect shows the wish, the kernel the rest.
#[test]
fn a_volume_that_is_read_only_by_itself() {
    let engine = Engine::new();
    let host = engine.dir().join("h/kept");
    std::fs::create_dir(&host).expect("a directory of the host");
    let device = format!("device={}", host.display());
    engine.dhow(["volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", &device, "still"]).ok();
    engine.run("create --name user -v still:/s busybox touch /s/x").ok();
    assert_eq!(engine.ok("inspect user --format {{range.Mounts}}{{.RW}}{{end}}"), "true");
    assert!(engine.run("start -a user").stderr().contains("Read-only file system"));
    let tar = dhow_tests::archive::Tar::new().file("y", 0o644, b"y").finish();
    assert!(engine.dhow(["cp", "-", "user:/s"]).input(tar).run().code != 0);
    assert_eq!(std::fs::read_dir(&host).expect("the directory").count(), 0);
    engine.run("rm user").ok();
    engine.run("volume rm still").ok();
    engine.finish();
}
