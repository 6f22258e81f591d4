//! `diff` and `commit`: what a container changed, and images made of it.

use dhow_tests::engine::kill;
use dhow_tests::{Engine, finish_child, http, until};
use serde_json::Value;

const CHANGES: &str = "touch /new; mkdir -p /d/e; echo x > /d/e/f; rm /bin/ls; echo y >> /etc/passwd; chmod 700 /var; rm -rf /var/spool; \
    ln /new /new2; ln -s a /lnk; mkfifo /ff; echo z >> /etc/hosts; touch /etc/mtab";

#[test]
fn changes_are_told_as_docker_tells_them() {
    let engine = Engine::new();
    let source = engine.scratch("source");
    let bind = format!("{}:/data", source.display());
    engine.dhow(["run", "--name", "cc", "-v", &bind, "busybox", "sh", "-c", CHANGES]).ok();
    let expect =
        "C /bin\nD /bin/ls\nA /d\nA /d/e\nA /d/e/f\nA /data\nC /etc\nC /etc/passwd\nA /ff\nA /lnk\nA /new\nA /new2\nC /var\nD /var/spool";
    assert_eq!(engine.ok("diff cc"), expect);
    assert_eq!(engine.ok("container diff cc"), expect);
    let answer = http::get(&engine.socket(), "/v1.24/containers/cc/changes").expect("an answer");
    assert!(answer.text().starts_with(r#"[{"Kind":0,"Path":"/bin"},{"Kind":2,"Path":"/bin/ls"}"#), "{}", answer.text());
    engine.ok("create --name empty busybox");
    assert_eq!(http::get(&engine.socket(), "/containers/empty/changes").expect("an answer").text(), "null\n");
    assert_eq!(engine.ok("diff empty"), "");
    // While it runs as well.
    engine.dhow(["run", "-d", "--name", "live", "busybox", "sh", "-c", "echo > /now; sleep 1000"]).ok();
    until("the change shows", || engine.ok("diff live") == "A /now");
    assert_eq!(engine.run("diff nosuch").fails(1), "Error response from daemon: No such container: nosuch\n");
    assert_eq!(engine.dhow(["diff", " "]).run().fails(1), "invalid container name or ID: value is empty\n");
    engine.finish();
}

#[test]
fn a_tutorial_s_commit() {
    let engine = Engine::new();
    engine.dhow(["run", "--name", "cc", "busybox", "sh", "-c", CHANGES]).ok();
    let id = engine.dhow(["commit", "-m", "added things", "-a", "Ada <ada@example.com>", "cc", "mine:1"]).ok();
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    let script = "cat /d/e/f; ls /bin/ls /var/spool 2>&1; tail -n1 /etc/passwd; readlink /lnk; stat -c '%F %h' /ff /new; stat -c %a /var";
    let look = |image: &str| engine.dhow(["run", "--rm", image, "busybox", "sh", "-c", &format!("alias ls='busybox ls'; {script}")]).run();
    let out = look("mine:1");
    assert_eq!(
        out.stdout(),
        "x\nls: /bin/ls: No such file or directory\nls: /var/spool: No such file or directory\ny\na\nfifo 1\nregular empty file 2\n700\n",
        "{out}"
    );
    // What the engine itself puts into a container is no part of the image.
    assert_eq!(engine.dhow(["run", "--rm", "mine:1", "grep", "-c", "^z", "/etc/hosts"]).run().stdout(), "0\n");

    let image = &engine.inspect("mine:1");
    assert_eq!((image["Author"].as_str(), image["Comment"].as_str()), (Some("Ada <ada@example.com>"), Some("added things")));
    assert_eq!(image["Parent"], engine.inspect("busybox")["Id"]);
    assert_eq!(image["RootFS"]["Layers"].as_array().map(Vec::len), Some(2));
    // It lives on without its parent's name, and the parent's layer lives with it.
    engine.ok("rm cc");
    engine.ok("rmi -f busybox");
    assert_eq!(look("mine:1").code, 0);
    // The layer survives a restart of the engine, and so does the image.
    assert_eq!(engine.stop_daemon(), 0);
    engine.start_daemon();
    assert_eq!(engine.inspect("mine:1")["Id"], id.as_str());
    assert_eq!(look("mine:1").code, 0);
    engine.finish();
}

#[test]
fn what_a_commit_says_of_the_image() {
    let engine = Engine::new();
    engine.dhow(["create", "--name", "cc", "-e", "A=1", "-l", "one=1", "--hostname", "h", "busybox", "sh", "-c", "true"]).ok();
    let config = |words: &[&str]| -> Value {
        let id = engine.dhow(["commit"]).args(words).args(["cc"]).ok();
        engine.inspect(&id)["Config"].clone()
    };
    let plain = config(&[]);
    assert_eq!(plain["Cmd"].to_string(), r#"["sh","-c","true"]"#);
    assert!(plain["Env"].to_string().contains("\"A=1\""), "{plain}");
    assert_eq!(plain["Labels"]["one"], "1");
    let changed = config(&[
        "-c",
        "ENV A=2 B=$A",
        "-c",
        "LABEL two=\"2 3\"",
        "-c",
        "EXPOSE 80 53/udp",
        "-c",
        "WORKDIR /w",
        "-c",
        "USER 33",
        "-c",
        "VOLUME /v",
        "-c",
        "STOPSIGNAL SIGINT",
        "-c",
        "ONBUILD RUN x",
        "-c",
        "HEALTHCHECK --retries=2 CMD true",
        "-c",
        "ENTRYPOINT [\"/bin/echo\"]",
    ]);
    assert!(changed["Cmd"].is_null(), "{changed}");
    assert_eq!(changed["Entrypoint"].to_string(), r#"["/bin/echo"]"#);
    assert!(changed["Env"].to_string().contains("\"A=2\"") && changed["Env"].to_string().contains("\"B=1\""), "{changed}");
    assert_eq!((changed["Labels"]["one"].as_str(), changed["Labels"]["two"].as_str()), (Some("1"), Some("2 3")));
    assert_eq!(changed["ExposedPorts"].to_string(), r#"{"53/udp":{},"80/tcp":{}}"#);
    assert_eq!((changed["WorkingDir"].as_str(), changed["User"].as_str()), (Some("/w"), Some("33")));
    assert_eq!(changed["Healthcheck"]["Retries"], 2);
    assert_eq!(
        engine.dhow(["commit", "-c", "RUN x", "cc"]).run().fails(1),
        "Error response from daemon: run is not a valid change command\n"
    );
    assert_eq!(engine.run("commit nosuch").fails(1), "Error response from daemon: No such container: nosuch\n");
    let text = engine.run("commit cc BAD!").fails(1);
    assert_eq!(text, "invalid reference format: repository name (library/BAD!) must be lowercase\n");
    // A body stands in the place of the container's configuration, which fills it up.
    let path = "/commit?container=cc&repo=body&tag=1&changes=ENV%20C=3";
    let answer = http::request(&engine.socket(), "POST", path, r#"{"Env":["B=2"],"User":"5"}"#).expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let config = engine.inspect("body:1")["Config"].clone();
    assert_eq!(config["User"], "5");
    assert!(config["Env"].to_string().starts_with(r#"["B=2","C=3","A=1""#), "{config}");
    engine.finish();
}

#[test]
fn a_running_container_is_frozen_meanwhile_and_goes_on() {
    let engine = Engine::new();
    engine.dhow(["run", "-d", "--name", "cc", "busybox", "sh", "-c", "echo x > /x; sleep 1000"]).ok();
    until("it has written", || engine.ok("diff cc") == "A /x");
    engine.ok("commit cc one");
    assert_eq!(engine.inspect("cc")["State"]["Status"], "running");
    engine.ok("commit --pause=false cc two");
    let events = engine.events();
    let count = |action: &str| events.iter().filter(|event| *event == action).count();
    assert_eq!((count("pause"), count("unpause"), count("commit")), (1, 1, 2), "{events:?}");
    // One that is frozen already stays so.
    engine.ok("pause cc");
    engine.ok("commit cc three");
    assert_eq!(engine.inspect("cc")["State"]["Status"], "paused");
    assert_eq!(engine.ok("run --rm three cat /x"), "x");
    engine.ok("unpause cc");
    engine.finish();
}

#[test]
fn the_same_changes_make_the_same_layer_and_none_make_no_layer() {
    let engine = Engine::new();
    for name in ["aa", "bb"] {
        let script = "mkdir -p /d; echo x > /d/f; ln /d/f /d/g; touch -d @1 /d/f /d";
        engine.dhow(["run", "--name", name, "busybox", "sh", "-c", script]).ok();
        engine.dhow(["commit", name, &format!("of-{name}")]).ok();
    }
    let layers = |image: &str| engine.inspect(image)["RootFS"]["Layers"].clone();
    assert_eq!(layers("of-aa"), layers("of-bb"));
    engine.ok("create --name ee busybox");
    engine.ok("commit ee of-ee");
    assert_eq!(layers("of-ee"), layers("busybox"));
    assert_eq!(engine.ok("run --rm of-ee echo works"), "works");
    engine.finish();
}

#[test]
fn a_container_that_ends_just_then_is_committed_too() {
    let engine = Engine::new();
    engine.ok("create --name cc busybox sleep 1000");
    for _ in 0..4 {
        engine.ok("start cc");
        let (pid, shim) = (engine.container_pid("cc"), engine.shim_pid("cc"));
        // It has ended, and only the kernel knows.
        kill(shim, 19);
        kill(pid, 9);
        until("it has ended", || std::fs::read_link(format!("/proc/{pid}/ns/mnt")).is_err());
        let commit = engine.dhow(["commit", "cc"]).spawn();
        kill(shim, 18);
        finish_child(commit).exits(0);
        engine.until_state("cc", "exited");
    }
    engine.finish();
}
