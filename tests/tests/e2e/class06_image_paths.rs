//! Paths that an image names (CVE-2022-23648, CVE-2024-9341, CVE-2025-24965): volumes, the working directory and what its links lead to are
//! looked for inside its root.

use dhow_tests::archive::{Tar, rootfs};
use dhow_tests::registry::digest;
use dhow_tests::{Engine, Options};
use serde_json::{Value, json};

/// An archive of an image that says this of its containers.
fn image(layer: &[u8], config: &Value) -> Vec<u8> {
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": { "type": "layers", "diff_ids": [digest(layer)] },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": ["hostile:1"], "Layers": ["layer.tar"] }]);
    Tar::new()
        .file("config.json", 0o644, config.to_string().as_bytes())
        .file("layer.tar", 0o644, layer)
        .file("manifest.json", 0o644, manifest.to_string().as_bytes())
        .finish()
}

#[test]
fn class06_cve_2022_23648_what_an_image_names_is_inside_it() {
    let engine = Engine::with(Options { empty: true, ..Options::default() });
    let outside = engine.scratch("outside");
    std::fs::write(outside.join("secret"), "of the host").expect("a file of the host");
    let host = outside.to_str().expect("a path");
    let up = "/..".repeat(12);
    let layer = || rootfs().symlink("link", host).symlink("climbs", &format!("..{up}{host}")).finish();
    for (what, config) in [
        ("a volume that climbs", json!({ "Volumes": { format!("{up}{host}"): {} } })),
        ("a volume with a name that climbs", json!({ "Volumes": { format!("x/..{up}{host}"): {} } })),
        ("a volume behind a link", json!({ "Volumes": { "/link": {} } })),
        ("a volume below a link that climbs", json!({ "Volumes": { "/climbs/new": {} } })),
        ("a directory behind a link", json!({ "WorkingDir": "/link/made" })),
        ("a directory that climbs", json!({ "WorkingDir": format!("{up}{host}/made") })),
    ] {
        let mut config = config;
        config["Env"] = json!(["PATH=/bin"]);
        let archive = outside.with_file_name("archive.tar");
        std::fs::write(&archive, image(&layer(), &config)).expect("an archive");
        engine.dhow(["load", "-q", "-i"]).args([&archive]).ok();
        // Refused or confined: either way nothing of the host is read.
        let script = format!("cat {host}/secret /link/secret /climbs/secret 2>/dev/null; echo mine > /link/mine; echo end");
        let ran = engine.dhow(["run", "--rm", "hostile:1", "sh", "-c", &script]).run();
        assert!(!ran.stdout().contains("of the host"), "{what}: {ran}");
        assert!(ran.code != 0 || ran.stdout().ends_with("end\n"), "{what}: {ran}");
        let seen: Vec<_> = std::fs::read_dir(&outside).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(seen, ["secret"], "{what}");
        engine.ok("rmi -f hostile:1");
    }
    engine.finish();
}
