//! Class 10: a volume's first use and what is read out of it (CVE-2020-1726, CVE-2023-0778). Copies go into empty volumes only and by no
//! link; a part of a volume is in that volume, whoever swaps its directories meanwhile.

use dhow_tests::archive::{Tar, rootfs};
use dhow_tests::{Engine, paths, until};
use std::path::Path;

/// A directory of the host with a secret.
fn outside(engine: &Engine) -> String {
    let dir = engine.scratch("outside");
    std::fs::write(dir.join("secret"), "of the host").expect("a file of the host");
    dir.display().to_string()
}

fn untouched(dir: &str) {
    let names: Vec<_> = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names, ["secret"]);
    assert_eq!(std::fs::read_to_string(Path::new(dir).join("secret")).expect("the secret"), "of the host");
}

#[test]
fn class10_cve_2020_1726_the_first_use_copies_into_empty_volumes_and_by_no_link() {
    let engine = Engine::new();
    let host = outside(&engine);
    // The image's place is a link out, and what lies there has links and names that lead out, too.
    let layer = rootfs()
        .symlink("out", &host)
        .dir("data")
        .symlink("data/secret", &format!("{host}/secret"))
        .symlink("data/dir", &host)
        .file("data/file", 0o644, b"of the image");
    engine.dhow(["import", "-", "links"]).input(layer.finish()).ok();
    let run = |flags: &[&str], script: &str| engine.dhow(["run", "--rm"]).args(flags).args(["links", "sh", "-c", script]).run();
    // Where the container has its own idea of where the link leads: nothing of the host is copied, or shown.
    let said = run(&["-v", "first:/out"], "ls /out/ 2>&1; cat /out/secret 2>&1");
    assert!(!said.stdout().contains("of the host"), "{said}");
    // Links are copied as links.
    let said = run(
        &["-v", "second:/data"],
        "readlink /data/secret; readlink /data/dir; cat /data/file; cat /data/secret 2>/dev/null; ls /data/dir/ 2>/dev/null; true",
    );
    assert_eq!(said.ok(), format!("{host}/secret\n{host}\nof the image"));
    // What is in a volume stays, were it a link that the copy would have to follow.
    for (name, script) in [
        ("third", format!("rm -rf /v/*; ln -s {host} /v/dir")),
        ("fourth", format!("rm -rf /v/*; ln -s {host}/secret /v/file")),
        ("fifth", "rm -rf /v/*; echo mine > /v/file".to_owned()),
    ] {
        engine.shell(&format!("-v {name}:/v"), &script).ok();
        let before = engine.shell(&format!("-v {name}:/v"), "ls -l /v; cat /v/file 2>/dev/null; true").ok();
        run(&["-v", &format!("{name}:/data")], "true").ok();
        assert_eq!(engine.shell(&format!("-v {name}:/v"), "ls -l /v; cat /v/file 2>/dev/null; true").ok(), before);
        untouched(&host);
    }
    // A copy that is told not to happen does not, and one into a part of a volume goes into that part.
    assert_eq!(run(&["-v", "sixth:/data:nocopy"], "ls -A /data").ok(), "");
    engine.shell("-v sixth:/v", &format!("mkdir /v/part; ln -s {host} /v/leads-out")).ok();
    run(&["--mount", "src=sixth,dst=/data,volume-subpath=part"], "true").ok();
    assert_eq!(engine.shell("-v sixth:/v", "ls /v; ls /v/part").ok(), "leads-out\npart\ndir\nfile\nsecret");
    let said = run(&["--mount", "src=sixth,dst=/data,volume-subpath=leads-out"], "true");
    let expect = format!(
        "failed to populate volume: path concatenation escapes the base directory, base: {}, subpath: leads-out",
        engine.data_root().join("volumes/sixth/_data").display()
    );
    assert!(said.stderr().contains(&expect), "{said}");
    untouched(&host);
    engine.finish();
}

#[test]
fn class10_what_is_read_out_of_a_volume_is_in_it() {
    let engine = Engine::new();
    let host = outside(&engine);
    engine.shell("-v data:/v", &format!("ln -s {host} /v/dir; ln -s {host}/secret /v/file; ln -s ../../../../../.. /v/up")).ok();
    engine.run("create --name rests -v data:/v busybox true").ok();
    engine.run("run -d --name runs -v data:/v busybox sleep 1000").ok();
    for name in ["rests", "runs"] {
        for path in ["/v/dir/secret", "/v/file", &format!("/v/up{host}/secret")] {
            let said = engine.dhow(["cp", "-L", &format!("{name}:{path}"), "-"]).run();
            assert!(!said.stdout().contains("of the host"), "{name}:{path}: {said}");
            // Nor is anything written there.
            let tar = Tar::new().file("secret", 0o644, b"overwritten").finish();
            let said = engine.dhow(["cp", "-", &format!("{name}:/v/dir")]).input(tar).run();
            assert!(said.code != 0, "{name}: {said}");
            untouched(&host);
        }
    }
    engine.run("rm -f rests runs").ok();
    engine.finish();
}

#[test]
fn class10_cve_2023_0778_a_part_is_swapped_during_a_start() {
    let engine = Engine::new();
    let host = outside(&engine);
    engine.shell("-v data:/shared", &format!("mkdir /shared/target; echo mine > /shared/target/secret; ln -s {host} /shared/link")).ok();
    let attacker = format!("{}:/attacker:ro", paths::attacker().display());
    engine
        .dhow(["run", "-d", "--name", "swapper", "-v", &attacker, "-v", "data:/shared", "busybox", "/attacker", "swap"])
        .args(["/shared/target", "/shared/link", "/shared/stop"])
        .ok();
    until("the swapper runs", || engine.ok("logs swapper").contains("ready"));
    for part in ["target", "target/secret", "link"].iter().cycle().take(60) {
        let mount = format!("src=data,dst=/part,volume-subpath={part}");
        let said = engine.dhow(["run", "--rm", "--mount", &mount, "busybox", "sh", "-c", "cat /part/secret /part 2>/dev/null; true"]).run();
        assert!(matches!(said.stdout().as_str(), "" | "mine\n"), "{part}: {said}");
        let refused = said.stderr().contains("escapes the base directory") || said.stderr().contains("cannot access path");
        assert!(said.code == 0 || refused, "{part}: {said}");
        let copied = engine.dhow(["create", "--mount", &mount, "busybox", "true"]).run();
        if copied.code == 0 {
            let id = copied.stdout();
            let said = engine.dhow(["cp", "-L", &format!("{}:/part/secret", id.trim()), "-"]).run();
            assert!(!said.stdout().contains("of the host"), "{part}: {said}");
            engine.run(&format!("rm {}", id.trim())).ok();
        }
    }
    engine.shell("-v data:/shared", "touch /shared/stop").ok();
    assert_eq!(engine.ok("wait swapper"), "0");
    untouched(&host);
    engine.finish();
}
