//! Logins at Debian's registry on loopback, by the docker client on dockerd, by it on us, and by our own client.

use dhow_tests::archive::rootfs;
use dhow_tests::peer::Dockerd;
use dhow_tests::registry::{Registry, layer};
use dhow_tests::tmux::Terminal;
use dhow_tests::{Cmd, Engine, Options};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn bare() -> Engine {
    Engine::with(Options { empty: true, ..Options::default() })
}

/// What each of several lines says, and the configuration after it.
fn session(registry: &Registry, config: &Path, command: &dyn Fn(&[&str]) -> Cmd) -> Vec<String> {
    let at = registry.address.as_str();
    let mut heard = Vec::new();
    let mut say = |words: &[&str], input: &str| {
        let out = command(words).env("DOCKER_CONFIG", config).input(input).run();
        let kept = std::fs::read_to_string(config.join("config.json")).unwrap_or_default();
        let text = format!("{words:?}\n{:?}\n{}--\n{}--\n{kept}", out.code, out.stdout(), out.stderr());
        heard.push(text.replace(&config.display().to_string(), "CONFIG"));
    };
    say(&["login", "-u", "user", "-p", "wrong", at], "");
    say(&["login", "-u", "user", "-p", "secret", at], "");
    say(&["login", at], "");
    say(&["logout", at], "");
    say(&["logout", at], "");
    say(&["login", "-u", "user", "--password-stdin", &format!("http://{at}/v2/")], "secret\n");
    say(&["logout", at], "");
    say(&["login", at], "");
    say(&["login", "--password-stdin", at], "secret");
    say(&["login", "-u", "user", "-p", "x", "--password-stdin", at], "secret");
    say(&["login", "-u", "user", at], "");
    say(&["logout"], "");
    heard
}

#[test]
fn the_same_words_as_docker() {
    let Some(registry) = Registry::locked() else { return };
    let engine = bare();
    let ours = session(&registry, &engine.scratch("ours"), &|words| engine.dhow(words));
    if engine.docker(["version"]).is_none() {
        return;
    }
    let theirs = session(&registry, &engine.scratch("theirs"), &|words| engine.docker(words).expect("looked for before"));
    assert_eq!(ours, theirs);
    let Some(peer) = Dockerd::start() else { return };
    let original = session(&registry, &engine.scratch("original"), &|words| peer.docker(words));
    assert_eq!(theirs, original);
    engine.finish();
}

#[test]
fn what_is_kept_opens_the_registry() {
    let Some(registry) = Registry::locked() else { return };
    let engine = bare();
    let config = engine.scratch("config");
    let run = |words: &str| engine.dhow(words.split(' ')).env("DOCKER_CONFIG", &config).run();
    registry.image("box", Some("1"), "amd64", &[layer(&rootfs().finish(), Some("gzip"))]);
    let name = registry.name("box:1");
    let refused = run(&format!("pull {name}")).fails(1);
    let address = &registry.address;
    assert_eq!(refused, format!("Error response from daemon: Head \"http://{address}/v2/box/manifests/1\": no basic auth credentials\n"));
    run(&format!("login -u user -p secret {address}")).ok();
    let mode = std::fs::metadata(config.join("config.json")).expect("a configuration").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(run(&format!("pull -q {name}")).ok(), name);
    run(&format!("rmi {name}")).ok();
    assert_eq!(run(&format!("run --rm -q {name} echo in")).ok(), "in");
    // Nothing of it is in the daemon's log.
    assert!(!engine.log().contains("secret") && !engine.log().contains("dXNlcjpzZWNyZXQ="), "{}", engine.log());
    engine.finish();
}

/// A helper that keeps one secret in a file beside it.
const HELPER: &str = r#"#!/bin/sh
at=$(dirname "$0")/kept
case $1 in
store) cat > "$at" ;;
get) cat > "$at.asked"; if [ -e "$at" ]; then cat "$at"; else echo "credentials not found in native keychain"; exit 1; fi ;;
erase) rm -f "$at" ;;
esac
"#;

#[test]
fn helpers_keep_what_they_are_named_for() {
    let Some(registry) = Registry::locked() else { return };
    let engine = bare();
    let (config, bin) = (engine.scratch("config"), engine.scratch("bin"));
    std::fs::write(bin.join("docker-credential-test"), HELPER).expect("a helper");
    std::fs::set_permissions(bin.join("docker-credential-test"), PermissionsExt::from_mode(0o755)).expect("its mode");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let run = |words: &str| engine.dhow(words.split(' ')).env("DOCKER_CONFIG", &config).env("PATH", &path).run();
    let address = &registry.address;
    let file = config.join("config.json");
    for text in [r#"{"credsStore":"test"}"#.to_owned(), format!(r#"{{"credsStore":"none","credHelpers":{{"{address}":"test"}}}}"#)] {
        std::fs::write(&file, text).expect("a configuration");
        let out = run(&format!("login -u user -p secret {address}"));
        assert!(!out.stderr().contains("unencrypted"), "{}", out.stderr());
        assert_eq!(out.ok(), "Login Succeeded");
        let kept = std::fs::read_to_string(&file).expect("a configuration");
        assert!(kept.contains(address.as_str()) && !kept.contains("dXNlcjpzZWNyZXQ="), "{kept}");
        let secret: serde_json::Value = serde_json::from_slice(&std::fs::read(bin.join("kept")).expect("kept")).expect("JSON");
        assert_eq!(secret, serde_json::json!({"ServerURL": address, "Username": "user", "Secret": "secret"}));
        assert_eq!(run(&format!("login {address}")).ok(), "Login Succeeded");
        run(&format!("logout {address}")).ok();
        assert!(!bin.join("kept").exists());
        assert!(!std::fs::read_to_string(&file).expect("a configuration").contains(&format!("\"{address}\": {{}}")));
    }
    std::fs::write(&file, r#"{"credsStore":"missing"}"#).expect("a configuration");
    let error = run(&format!("login -u user -p secret {address}")).fails(1);
    assert!(error.contains("docker-credential-missing\": executable file not found in $PATH"), "{error}");
    engine.finish();
}

#[test]
fn a_person_is_asked_and_the_password_is_not_shown() {
    let Some(registry) = Registry::locked() else { return };
    let engine = bare();
    let Some(terminal) = Terminal::open(&engine, &engine.dhow(["login", &registry.address])) else { return };
    terminal.until_shown("Username: ");
    terminal.line("user");
    terminal.until_shown("Password: ");
    terminal.line("secret");
    terminal.until_line("Login Succeeded");
    assert_eq!(terminal.ended(), 0);
    let screen = terminal.screen();
    assert!(screen.contains("Username: user") && !screen.contains("secret"), "{screen}");
    drop(terminal);
    let kept = std::fs::read_to_string(engine.dir().join("h/.docker/config.json")).expect("a configuration");
    assert!(kept.contains("dXNlcjpzZWNyZXQ="), "{kept}");
    engine.finish();
}
