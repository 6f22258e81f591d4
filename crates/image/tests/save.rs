//! Archives out, and in again: nothing is lost, nothing differs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use dhow_image::{Images, Loaded, Platform};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use support::{MANIFEST, Place, config, descriptor, docker_archive, gzip, host, layout, load, named, place, sha256, tar};

fn save(images: &Images, names: &[&str]) -> Result<Vec<u8>, String> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut out = Vec::new();
    let archive = images.save(&names, None).map_err(|e| e.to_string())?;
    archive.write(&mut out).map_err(|e| e.to_string())?;
    Ok(out)
}

/// Members in their order, by name.
fn members(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_string_lossy().into_owned(), bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

fn document(archive: &[u8], name: &str) -> Value {
    let found: BTreeMap<String, Vec<u8>> = members(archive).into_iter().collect();
    serde_json::from_slice(&found[name]).unwrap()
}

/// Two images with a layer in common, one of the layers compressed.
fn two() -> (Place, Vec<u8>, Vec<u8>, Vec<u8>) {
    let (lower, upper) = (tar(&[("a", b"one")]), gzip(&tar(&[("b", b"two")])));
    let plain = tar(&[("b", b"two")]);
    let place = place();
    load(&place, &docker_archive("x:1", &config(&[&lower]), &[&lower])).unwrap();
    load(&place, &docker_archive("y:1", &config(&[&lower, &plain]), &[&lower, &upper])).unwrap();
    place.images.tag("y:1", &named("localhost:5000/z:2")).unwrap();
    (place, lower, upper, plain)
}

#[test]
fn the_form_that_docker_25_writes() {
    let (place, lower, upper, plain) = two();
    let archive = save(&place.images, &["x:1", "y:1", "localhost:5000/z"]).unwrap();
    let names: Vec<String> = members(&archive).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[..2], ["blobs/", "blobs/sha256/"]);
    assert_eq!(names[names.len() - 4..], ["index.json", "manifest.json", "oci-layout", "repositories"]);
    // Two configurations, two manifests, two layers, each once and under its digest.
    assert_eq!(names.len(), 2 + 6 + 4);
    for (name, bytes) in members(&archive) {
        if let Some(hex) = name.strip_prefix("blobs/sha256/").filter(|hex| !hex.is_empty()) {
            assert_eq!(sha256(&bytes), hex);
        }
    }
    let path = |bytes: &[u8]| format!("blobs/sha256/{}", sha256(bytes));
    let manifest = document(&archive, "manifest.json");
    assert_eq!(manifest[0]["RepoTags"], json!(["x:1"]));
    assert_eq!(manifest[1]["RepoTags"], json!(["y:1", "localhost:5000/z:2"]));
    assert_eq!(manifest[1]["Layers"], json!([path(&lower), path(&upper)]));
    let source = &manifest[1]["LayerSources"][format!("sha256:{}", sha256(&plain))];
    assert_eq!(source["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    assert_eq!(source["size"], upper.len());
    assert_eq!(
        document(&archive, "repositories"),
        json!({"x": {"1": sha256(&lower)}, "y": {"1": sha256(&upper)}, "localhost:5000/z": {"2": sha256(&upper)}})
    );
    let index = document(&archive, "index.json");
    assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "docker.io/library/x:1");
    assert_eq!(index["manifests"][2]["annotations"]["org.opencontainers.image.ref.name"], "2");
    assert_eq!(index["manifests"][2]["platform"], json!({"architecture": host(), "os": "linux"}));
}

#[test]
fn saved_and_loaded_it_is_the_same_to_the_byte() {
    let (first, ..) = two();
    let archive = save(&first.images, &["x:1", "y", "localhost:5000/z"]).unwrap();
    assert_eq!(save(&first.images, &["x:1", "y", "localhost:5000/z"]).unwrap(), archive);
    let second = place();
    let loaded = load(&second, &archive).unwrap();
    assert_eq!(loaded, ["x:1", "y:1", "localhost:5000/z:2"].map(|name| Loaded::Tagged(named(name))));
    for name in ["x:1", "y:1"] {
        assert_eq!(second.images.resolve(name).unwrap().id, first.images.resolve(name).unwrap().id);
    }
    assert_eq!(save(&second.images, &["x:1", "y", "localhost:5000/z"]).unwrap(), archive);
    // An OCI reader finds the same images without Docker's own documents.
    let mut oci = tar::Builder::new(Vec::new());
    for (name, bytes) in members(&archive).iter().filter(|(name, _)| !name.ends_with('/') && !name.starts_with("manifest")) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        oci.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    let third = place();
    load(&third, &oci.into_inner().unwrap()).unwrap();
    assert_eq!(save(&third.images, &["x:1", "y", "localhost:5000/z"]).unwrap(), archive);
}

#[test]
fn a_manifest_is_kept_as_it_came() {
    let layer = tar(&[("a", b"one")]);
    let packed = zstd::encode_all(&layer[..], 1).unwrap();
    let config = config(&[&layer]);
    // Of another type and with blanks that nobody would make again.
    let text = serde_json::to_string_pretty(&json!({
        "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": descriptor("application/vnd.docker.container.image.v1+json", &config),
        "layers": [descriptor("application/vnd.docker.image.rootfs.diff.tar.zstd", &packed)],
    }))
    .unwrap();
    let mut own = descriptor("application/vnd.docker.distribution.manifest.v2+json", text.as_bytes());
    own["annotations"] = json!({"org.opencontainers.image.ref.name": "x:1"});
    let index = json!({"schemaVersion": 2, "manifests": [own.clone()]});
    let first = place();
    load(&first, &layout(&index, &[&packed, &config, text.as_bytes()])).unwrap();
    let archive = save(&first.images, &["x:1"]).unwrap();
    let saved = document(&archive, "index.json");
    assert_eq!(saved["manifests"][0]["digest"], own["digest"]);
    assert_eq!(saved["manifests"][0]["mediaType"], own["mediaType"]);
    let second = place();
    load(&second, &archive).unwrap();
    assert_eq!(save(&second.images, &["x:1"]).unwrap(), archive);
}

#[test]
fn class15_a_manifest_that_says_something_else_is_not_kept() {
    let layer = tar(&[("a", b"one")]);
    let other = tar(&[("a", b"two")]);
    let good = config(&[&layer]);
    let lying = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &good),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &other)],
    }))
    .unwrap();
    let index = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [descriptor(MANIFEST, &lying)]})).unwrap();
    let manifest = serde_json::to_vec(&json!([{"Config": "c", "RepoTags": ["x:1"], "Layers": ["l"]}])).unwrap();
    let (lying_name, other_name) = (format!("blobs/sha256/{}", sha256(&lying)), format!("blobs/sha256/{}", sha256(&other)));
    let archive = tar(&[
        ("manifest.json", &manifest),
        ("index.json", &index),
        ("c", &good),
        ("l", &layer),
        (&lying_name, &lying),
        (&other_name, &other),
    ]);
    let place = place();
    load(&place, &archive).unwrap();
    let saved = document(&save(&place.images, &["x:1"]).unwrap(), "manifest.json");
    assert_eq!(saved[0]["Layers"], json!([format!("blobs/sha256/{}", sha256(&layer))]));
    place.images.remove("x:1", false, true, &[]).unwrap();
    place.assert_empty();
}

#[test]
fn what_is_removed_meanwhile_is_written_whole_and_then_goes() {
    let (place, ..) = two();
    let whole = save(&place.images, &["y:1"]).unwrap();
    let archive = place.images.save(&["y:1".to_owned()], None).unwrap();
    for name in ["y:1", "localhost:5000/z:2", "x:1"] {
        place.images.remove(name, false, true, &[]).unwrap();
    }
    let mut out = Vec::new();
    archive.write(&mut out).unwrap();
    assert_eq!(out, whole);
    drop(archive);
    place.assert_empty();
}

#[test]
fn a_platform_is_a_condition() {
    let (place, ..) = two();
    let platform = |architecture: &str| Platform { os: "linux".into(), architecture: architecture.into(), variant: String::new() };
    assert!(place.images.save(&["x:1".to_owned()], Some(&platform(host()))).is_ok());
    let error = place.images.save(&["x:1".to_owned()], Some(&platform("s390x"))).unwrap_err().to_string();
    assert!(error.starts_with("image with reference x:1 was found but its platform"), "{error}");
    // A load passes over what is for others.
    let archive = save(&place.images, &["x:1"]).unwrap();
    let empty = support::place();
    empty.images.load(&mut &archive[..], Some(&platform("s390x")), &mut |_| {}).unwrap();
    empty.assert_empty();
}

#[test]
fn parents_that_are_in_the_archive_are_linked() {
    let layer = tar(&[("a", b"one")]);
    let step = |n: usize| json!({"created": format!("2024-01-0{n}T00:00:00Z"), "created_by": format!("step {n}"), "empty_layer": n > 1});
    let with_history = |n: usize| {
        let mut value: Value = serde_json::from_slice(&config(&[&layer])).unwrap();
        value["history"] = Value::Array((1..=n).map(step).collect());
        serde_json::to_vec(&value).unwrap()
    };
    let (parent, child) = (with_history(1), with_history(2));
    let id = |config: &[u8]| format!("sha256:{}", sha256(config));
    let archive = |claimed: &str| {
        let manifest = json!([
            {"Config": "child", "RepoTags": ["x:1"], "Layers": ["l"], "Parent": claimed},
            {"Config": "parent", "RepoTags": null, "Layers": ["l"]},
        ]);
        tar(&[("manifest.json", manifest.to_string().as_bytes()), ("l", &layer), ("child", &child), ("parent", &parent)])
    };
    let first = place();
    load(&first, &archive(&id(&parent))).unwrap();
    assert_eq!(first.images.resolve("x:1").unwrap().parent, Some(id(&parent)));
    let saved = save(&first.images, &["x:1", &id(&parent)]).unwrap();
    assert_eq!(document(&saved, "manifest.json")[0]["Parent"], id(&parent));
    // One that is not there, and itself.
    for claimed in [id(b"other"), id(&child)] {
        let place = place();
        load(&place, &archive(&claimed)).unwrap();
        assert_eq!(place.images.resolve("x:1").unwrap().parent, None);
    }
}

/// As Docker wrote it before 1.10: two layers, the upper one named.
fn v1(tag: &str) -> Vec<u8> {
    let (lower, upper) = (tar(&[("a", b"one")]), tar(&[("b", b"two")]));
    let (low, top) = ("1".repeat(64), "2".repeat(64));
    let json = |id: &str, parent: Option<&str>, command: &str| {
        let mut value = json!({
            "id": id, "created": "2015-01-01T00:00:00Z", "container_config": {"Cmd": ["/bin/sh", "-c", command]},
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}, "author": "A <a@b>",
        });
        if let Some(parent) = parent {
            value["parent"] = json!(parent);
        }
        value.to_string().into_bytes()
    };
    let repositories = json!({"old": {tag: top}}).to_string();
    let (low_json, top_json) = (json(&low, None, "base"), json(&top, Some(&low), "run"));
    tar(&[
        (&format!("{top}/VERSION"), b"1.0"),
        (&format!("{top}/json"), &top_json),
        (&format!("{top}/layer.tar"), &upper),
        (&format!("{low}/VERSION"), b"1.0"),
        (&format!("{low}/json"), &low_json),
        (&format!("{low}/layer.tar"), &lower),
        ("repositories", repositories.as_bytes()),
    ])
}

#[test]
fn archives_from_before_docker_1_10() {
    let place = place();
    assert_eq!(load(&place, &v1("1")).unwrap(), [Loaded::Tagged(named("old:1"))]);
    let image = place.images.resolve("old:1").unwrap();
    assert_eq!(image.config.rootfs().diff_ids().len(), 2);
    assert_eq!(image.size, 6);
    let raw = String::from_utf8_lossy(&image.raw).into_owned();
    assert!(raw.starts_with(r#"{"architecture":"amd64","author":"A \u003ca@b\u003e","config":"#), "{raw}");
    assert!(
        raw.contains(r#""history":[{"created":"2015-01-01T00:00:00Z","author":"A \u003ca@b\u003e","created_by":"/bin/sh -c base"}"#),
        "{raw}"
    );
    assert!(!raw.contains("\"id\""), "{raw}");
    // Saved, it is of today's form.
    assert_eq!(document(&save(&place.images, &["old"]).unwrap(), "manifest.json")[0]["RepoTags"], json!(["old:1"]));
}

#[test]
fn old_archives_that_lie_leave_nothing() {
    let id = "1".repeat(64);
    let own = |parent: &str| json!({"id": id, "parent": parent, "os": "linux", "architecture": "amd64"}).to_string();
    let repositories = |name: &str, id: &str| json!({name: {"1": id}}).to_string();
    let layer = tar(&[("a", b"one")]);
    let (json_name, layer_name) = (format!("{id}/json"), format!("{id}/layer.tar"));
    let cases = [
        (own(&id), repositories("x", &id), "layers without end"),
        (own(&"2".repeat(64)), repositories("x", &id), "is missing"),
        (own(""), repositories("x", &"2".repeat(64)), "is missing"),
        (own(""), repositories("x", "../../etc"), "invalid target ID"),
        (own(""), repositories("../x", &id), "invalid tag"),
        (json!({"id": "2".repeat(64)}).to_string(), repositories("x", &id), "is of"),
        ("[]".into(), repositories("x", &id), "json: "),
        (own(""), "[]".into(), "repositories: "),
    ];
    for (json, repositories, message) in cases {
        let place = place();
        let archive = tar(&[(&json_name, json.as_bytes()), (&layer_name, &layer), ("repositories", repositories.as_bytes())]);
        let error = load(&place, &archive).unwrap_err().to_string();
        assert!(error.contains(message), "{message}: {error}");
        place.assert_empty();
    }
}
