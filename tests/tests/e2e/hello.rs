//! The README's first command.

use dhow_tests::{Cmd, Engine, Options, leaks, paths, skip};

#[test]
fn prints_its_greeting_without_a_network() {
    let engine = Engine::with(Options { empty: true, ..Options::default() });
    let first = engine.ok("run --rm hello");
    assert!(first.to_lowercase().contains("hello"), "{first}");
    assert_eq!(engine.ok("run --rm hello"), first);
    assert_eq!(engine.ok("ps -aq"), "");
    engine.finish();
}

#[test]
fn starts_the_engine_by_itself() {
    if paths::program("unshare").is_none() {
        return skip("unshare is not installed");
    }
    // The default places, seen by nobody else: mounts of our own on them, no network, and a pid namespace that takes the engine along at its end.
    let script = "mount -t tmpfs t /run && mount -t tmpfs t /var/lib || exit 90
        mkdir -p /run/home; cd /run/home
        \"$DHOW\" run --rm hello >first 2>said || { cat said; exit 91; }
        test -S /run/dhow/dhow.sock || exit 92
        \"$DHOW\" run --rm hello >second 2>quiet || { cat quiet; exit 93; }
        cmp -s first second || exit 94
        test -s said || exit 95
        test ! -s quiet || { cat quiet; exit 96; }
        cat first";
    let existed = leaks::cgroups("/dhow");
    let out = Cmd::new("unshare")
        .args(["-m", "-n", "-p", "-f", "--mount-proc", "sh", "-c", script])
        .env("DHOW", paths::dhow())
        .env("HOME", "/run/home")
        .run();
    // Killed with its namespace, the engine could not remove the parent of its cgroups.
    for dir in leaks::cgroups("/dhow").into_iter().filter(|dir| !existed.contains(dir)) {
        leaks::tree(&dir)
            .into_iter()
            .for_each(|dir| std::fs::remove_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())));
    }
    assert!(out.ok().to_lowercase().contains("hello"));
}
