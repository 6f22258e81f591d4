//! save, history, removal, prunes and disk use of images.

use dhow_tests::{Engine, Options, http, skip};

fn bare() -> Engine {
    Engine::with(Options { empty: true, ..Options::default() })
}

#[test]
fn saved_and_loaded_keeps_ids_and_digests() {
    let engine = Engine::new();
    engine.ok("tag busybox other:1");
    let file = engine.scratch("save").join("two.tar");
    engine.dhow(["save", "-o"]).args([&file]).args(["busybox", "other:1"]).ok();
    let piped = engine.dhow(["save", "busybox", "other:1"]).run();
    assert_eq!(piped.bytes(), std::fs::read(&file).expect("read"), "the same images give the same bytes");
    let id = engine.ok("images -q --no-trunc busybox");
    engine.ok("rmi busybox other:1");
    assert_eq!(engine.ok("images -q"), "");
    assert_eq!(engine.dhow(["load", "-i"]).args([&file]).ok(), "Loaded image: busybox:latest\nLoaded image: other:1");
    assert_eq!(engine.ok("images -q --no-trunc busybox"), id);
    assert_eq!(engine.dhow(["save", "busybox", "other:1"]).run().bytes(), std::fs::read(&file).expect("read"));
    assert_eq!(engine.ok("run --rm other:1 echo fine"), "fine");
    if let Some(docker) = engine.docker(["save", "busybox", "other:1"]) {
        assert_eq!(docker.run().bytes(), std::fs::read(&file).expect("read"));
    }
    engine.finish();
}

#[test]
fn a_committed_image_is_saved_though_no_tar_of_it_was_kept() {
    let engine = Engine::new();
    engine.ok("run --name box busybox touch /made");
    engine.ok("commit box made:1");
    engine.ok("rm box");
    let archive = engine.dhow(["save", "made:1"]).run();
    let id = engine.ok("images -q --no-trunc made");
    engine.ok("rmi made:1");
    assert_eq!(engine.dhow(["load"]).input(archive.bytes()).ok(), "Loaded image: made:1");
    assert_eq!(engine.ok("images -q --no-trunc made"), id);
    assert_eq!(engine.ok("run --rm made:1 ls /made"), "/made");
    engine.finish();
}

#[test]
fn what_cannot_be_saved_is_told_before_the_first_byte() {
    let engine = bare();
    for (words, text) in [
        ("save nosuch", "Error response from daemon: No such image: nosuch"),
        ("save nosuch:1", "Error response from daemon: reference does not exist"),
        ("save -o /nosuch/x nosuch", "failed to save image: invalid output path: stat /nosuch: no such file or directory"),
        ("save -o /dev/null nosuch", "failed to save image: cannot write to a character device file"),
    ] {
        let out = engine.run(words);
        assert_eq!((out.stdout().as_str(), out.fails(1).trim_end()), ("", text), "{words}");
    }
    engine.finish();
}

#[test]
fn progress_is_told_to_who_wants_it() {
    let engine = bare();
    let archive = std::fs::read(dhow_tests::paths::image("busybox")).expect("the archive");
    let head = |quiet: u8| {
        format!(
            "POST /v1.51/images/load?quiet={quiet} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            archive.len()
        )
    };
    for quiet in [0, 1] {
        let request = [head(quiet).as_bytes(), &archive].concat();
        let answer = http::raw(&engine.socket(), &request).expect("an answer");
        let text = answer.text();
        assert!(text.ends_with("{\"stream\":\"Loaded image: busybox:latest\\n\"}\r\n"), "{text}");
        assert_eq!(text.contains("{\"status\":\"Loading layer\",\"progressDetail\":{\"current\":"), quiet == 0, "{text}");
        engine.ok("rmi busybox");
    }
    engine.finish();
}

#[test]
fn a_terminal_is_shown_how_far_it_is() {
    let engine = bare();
    let archive = dhow_tests::paths::image("busybox").to_string_lossy().into_owned();
    let Some(terminal) = dhow_tests::tmux::Terminal::open(&engine, &engine.dhow(["load", "-i", &archive])) else { return };
    terminal.until_shown("Loaded image: busybox:latest");
    assert_eq!(terminal.ended(), 0);
    let screen = terminal.screen();
    // One line for the layer, written over until it is whole.
    assert_eq!(screen.matches("Loading layer").count(), 1, "{screen}");
    let layer = screen.lines().find(|line| line.contains("Loading layer")).expect("found above");
    let (done, all) = layer.rsplit_once(' ').and_then(|(_, sizes)| sizes.split_once('/')).unwrap_or_else(|| panic!("no sizes in {layer}"));
    assert_eq!(done, all, "{layer}");
    drop(terminal);
    engine.finish();
}

#[test]
fn history_and_removal_in_dockers_words() {
    let engine = Engine::new();
    let id = engine.ok("images -q --no-trunc");
    let short = &id[7..19];
    assert_eq!(engine.ok("history -q --no-trunc busybox"), id);
    assert!(engine.ok("history busybox").starts_with("IMAGE          CREATED"));
    engine.ok("tag busybox other:1");
    let holder = engine.ok("create --name box busybox true")[..12].to_string();
    let refused =
        |words: &str, text: &str| assert_eq!(engine.run(words).fails(1).trim_end(), format!("Error response from daemon: {text}"));
    assert_eq!(engine.ok("rmi busybox"), "Untagged: busybox:latest");
    refused(
        &format!("rmi {short}"),
        &format!("conflict: unable to delete {short} (must be forced) - image is being used by stopped container {holder}"),
    );
    refused(
        "rmi other:1",
        &format!(
            "conflict: unable to remove repository reference \"other:1\" (must force) - container {holder} is using its referenced image {short}"
        ),
    );
    engine.ok("rm box");
    let chain = engine.ok("rmi other:1");
    let lines: Vec<&str> = chain.lines().collect();
    assert_eq!(lines[..2], ["Untagged: other:1".to_string(), format!("Deleted: {id}")]);
    assert!(lines.len() == 3 && lines[2].starts_with("Deleted: sha256:"), "{chain}");
    refused("rmi nosuch", "No such image: nosuch:latest");
    engine.finish();
}

#[test]
fn prunes_take_what_nobody_uses() {
    let engine = Engine::new();
    engine.ok("run --name old --label keep=no busybox sh -c 'echo'");
    engine.ok("run -d --name runs busybox sleep 1000");
    engine.ok("create --name kept --label keep=yes busybox true");
    let old = engine.ok("ps -aq --no-trunc --filter name=old");
    assert_eq!(
        engine.ok("container prune -f --filter label!=keep=yes"),
        format!("Deleted Containers:\n{old}\n\nTotal reclaimed space: 0B")
    );
    assert_eq!(
        engine.ok("container prune"),
        "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] "
    );
    assert_eq!(engine.ok("image prune -af"), "Total reclaimed space: 0B");
    engine.ok("rm -f runs kept");
    let text = engine.ok("system prune -af");
    assert!(text.starts_with("Deleted Images:\nuntagged: busybox:latest\ndeleted: sha256:"), "{text}");
    assert!(text.ends_with("Total reclaimed space: 1.983MB"), "{text}");
    let actions = engine.events();
    for action in ["untag", "delete", "prune"] {
        assert!(actions.iter().any(|a| a == action), "{action}: {actions:?}");
    }
    engine.finish();
}

#[test]
fn disk_use_counts_shared_layers_once() {
    let engine = Engine::new();
    engine.ok("run --name box busybox touch /made");
    engine.ok("commit box made:1");
    let size: i64 = engine.ok("image inspect -f {{.Size}} busybox").parse().expect("a number");
    let answer = http::get(&engine.socket(), "/v1.51/system/df").expect("an answer");
    let usage: serde_json::Value = serde_json::from_str(&answer.text()).expect("JSON");
    assert_eq!(usage["LayersSize"], size);
    for image in usage["Images"].as_array().expect("images") {
        assert_eq!(image["SharedSize"], size, "{image}");
    }
    let only = http::get(&engine.socket(), "/v1.51/system/df?type=container").expect("an answer");
    assert!(only.text().contains("\"Images\":null"), "{}", only.text());
    assert_eq!(http::get(&engine.socket(), "/v1.51/system/df?type=x").expect("an answer").status, 400);
    engine.finish();
}

#[test]
fn import_from_a_url() {
    use std::io::{Read, Write};
    let engine = bare();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let tar = dhow_tests::archive::rootfs().finish();
    let server = std::thread::spawn(move || {
        // A redirect, the archive, and a refusal.
        for turn in 0..3 {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).expect("a request");
            let head = match turn {
                0 => "HTTP/1.1 302 Found\r\nLocation: /tree.tar\r\nContent-Length: 0\r\n\r\n".to_string(),
                1 => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", tar.len()),
                _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone".to_string(),
            };
            stream.write_all(head.as_bytes()).expect("write");
            if turn == 1 {
                stream.write_all(&tar).expect("write");
            }
        }
    });
    let url = format!("http://{address}/x");
    let text = engine.dhow(["import", "-c", "CMD [\"echo\", \"imported\"]", &url, "tree:1"]).ok();
    assert!(text.starts_with(&format!("Downloading from {url}\n")) && text.contains("\nsha256:"), "{text}");
    assert_eq!(engine.ok("run --rm tree:1"), "imported");
    assert_eq!(engine.ok("history --format {{.Comment}} tree:1"), format!("Imported from {url}"));
    let refused = engine.dhow(["import", &url]).run().fails(1);
    assert!(refused.contains(&format!("failed to GET {url} with status 404 Not Found: gone")), "{refused}");
    server.join().expect("the server");
    engine.finish();
}

#[test]
fn events_of_images() {
    let engine = bare();
    engine.load("busybox");
    engine.ok("tag busybox other:1");
    let _archive = engine.dhow(["save", "busybox"]).run();
    engine.ok("rmi other:1");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() + 1;
    let format = "{{.Action}} {{.Actor.Attributes.name}}";
    let text = engine.dhow(["events", "--since", "1", "--until", &now.to_string(), "--filter", "type=image", "--format", format]).ok();
    let id = engine.ok("images -q --no-trunc");
    assert_eq!(text, format!("load {id}\ntag other:1\nsave {id}\nuntag {id}"));
    engine.finish();
}

#[test]
fn the_same_archive_on_docker_and_here() {
    if dhow_tests::paths::program("docker").is_none() {
        return skip("the docker client is not installed");
    }
    let engine = Engine::new();
    for format in ["{{.Repository}} {{.UniqueSize}}", "{{json .}}"] {
        let words = ["images", "--format", format];
        assert_eq!(engine.dhow(words).ok(), engine.docker(words).expect("checked").ok());
    }
    for words in [&["history", "busybox"][..], &["system", "df"], &["system", "df", "-v"], &["image", "prune", "-f"]] {
        assert_eq!(engine.dhow(words).ok(), engine.docker(words).expect("checked").ok(), "{words:?}");
    }
    engine.finish();
}

/// What one engine saves the other loads, with the same id, history and content.
#[test]
fn archives_cross_to_docker_and_back() {
    let Some(peer) = dhow_tests::peer::Dockerd::start() else { return };
    if dhow_tests::paths::program("docker").is_none() {
        return skip("the docker client is not installed");
    }
    let engine = Engine::new();
    let scratch = engine.scratch("archives");
    let path = |name: &str| scratch.join(name).to_string_lossy().into_owned();
    let script = "mkdir /d; echo text > /d/f; ln -s f /d/l; rm /bin/vi; chmod 4711 /d/f; chown 7:8 /d";
    let look = [
        "run",
        "--rm",
        "--network",
        "none",
        "made:1",
        "sh",
        "-c",
        "ls -ln /d | grep -v total | sed 's/[A-Z][a-z][a-z] .*:[0-9]*//'; cat /d/l; ls /bin/vi",
    ];
    let facts = "{{.Id}} {{json .RootFS.Layers}} {{json .Config.Env}} {{json .Config.Cmd}} {{.Author}} {{.Comment}}";
    let both = |first: &dyn Fn(&[&str]) -> dhow_tests::Cmd, second: &dyn Fn(&[&str]) -> dhow_tests::Cmd, archive: &str| {
        first(&["run", "--network", "none", "--name", "maker", "busybox", "sh", "-c", script]).ok();
        first(&["commit", "-a", "somebody", "-m", "a note", "-c", "ENV X=y", "-c", "CMD [\"sh\", \"-c\", \"true\"]", "maker", "made:1"])
            .ok();
        first(&["rm", "maker"]).ok();
        first(&["tag", "made:1", "made:2"]).ok();
        first(&["save", "-o", archive, "made:1", "made:2"]).ok();
        let loaded = second(&["load", "-q", "-i", archive]).ok();
        assert_eq!(loaded.lines().collect::<std::collections::BTreeSet<_>>(), ["Loaded image: made:1", "Loaded image: made:2"].into());
        for words in
            [&["inspect", "-f", facts, "made:1"][..], &["history", "--no-trunc", "--format", "{{.CreatedBy}} {{.Comment}}", "made:2"]]
        {
            assert_eq!(first(words).ok(), second(words).ok(), "{words:?}");
        }
        let (here, there) = (first(&look).run(), second(&look).run());
        assert_eq!((here.code, here.stdout()), (there.code, there.stdout()));
        assert!(here.stdout().contains("-rws--x--x    1 0") && here.stdout().ends_with("text\n"), "{here}");
        for client in [first, second] {
            client(&["rmi", "made:1", "made:2"]).ok();
        }
    };
    let here = |words: &[&str]| engine.dhow(words);
    let there = |words: &[&str]| peer.docker(words);
    there(&["load", "-q", "-i", &dhow_tests::paths::image("busybox").to_string_lossy()]).ok();
    both(&here, &there, &path("ours.tar"));
    both(&there, &here, &path("theirs.tar"));
    engine.finish();
}
