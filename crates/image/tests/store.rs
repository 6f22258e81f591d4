//! The image store on a real layer store: archives in every form, honest and lying, and what stays after each.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use dhow_image::{ImportConfig, Loaded, Removed};
use support::{INDEX, MANIFEST, config, descriptor, docker_archive, gzip, host, layout, load, named, open, place, sha256, tar};

#[test]
fn a_docker_archive_in_every_compression() {
    let lower = tar(&[("a", b"one"), ("b", b"two")]);
    let upper = tar(&[("a", b"three")]);
    let config = config(&[&lower, &upper]);
    let upper_gz = gzip(&upper);
    let archive = docker_archive("x:1", &config, &[&lower, &upper_gz]);
    for bytes in [archive.clone(), gzip(&archive), zstd::encode_all(&archive[..], 1).unwrap()] {
        let place = place();
        assert_eq!(load(&place, &bytes).unwrap(), [Loaded::Tagged(named("x:1"))]);
        let image = place.images.resolve("x:1").unwrap();
        assert_eq!(image.id, format!("sha256:{}", sha256(&config)));
        assert_eq!(image.size, 3 + 3 + 5);
        assert_eq!(place.layers.layers().unwrap().len(), 2);
    }
}

#[test]
fn an_image_survives_a_reopened_store_and_goes_without_a_trace() {
    let layer = tar(&[("a", b"one")]);
    let config = config(&[&layer]);
    let mut place = place();
    load(&place, &docker_archive("x:1", &config, &[&layer])).unwrap();
    drop(place.images);
    drop(place.layers);
    (place.images, place.layers) = open(place.dir.path());
    let image = place.images.resolve("x:1").unwrap();
    assert_eq!(image.tags, [named("x:1")]);
    let removed = place.images.remove("x:1", false, true, &[]).unwrap();
    let chain = image.chain.as_ref().unwrap().to_string();
    assert_eq!(removed, [Removed::Untagged("x:1".into()), Removed::Deleted(image.id.clone()), Removed::Layer(chain)]);
    place.assert_empty();
}

#[test]
fn a_tag_that_moves_says_so() {
    let (one, two) = (tar(&[("a", b"one")]), tar(&[("a", b"two")]));
    let place = place();
    load(&place, &docker_archive("x:1", &config(&[&one]), &[&one])).unwrap();
    let old = place.images.resolve("x:1").unwrap().id.clone();
    let loaded = load(&place, &docker_archive("x:1", &config(&[&two]), &[&two])).unwrap();
    assert_eq!(loaded, [Loaded::Renamed { name: named("x:1"), old: old.clone() }, Loaded::Tagged(named("x:1"))]);
    assert!(place.images.resolve(&old).unwrap().tags.is_empty());
}

#[test]
fn an_oci_layout_with_a_nested_index() {
    let layer = tar(&[("a", b"one")]);
    let packed = zstd::encode_all(&layer[..], 1).unwrap();
    let config = config(&[&layer]);
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+zstd", &packed)]
    }))
    .unwrap();
    let mut foreign = descriptor(MANIFEST, b"not here");
    foreign["platform"] = serde_json::json!({"architecture": "s390x", "os": "linux"});
    let mut own = descriptor(MANIFEST, &manifest);
    own["platform"] = serde_json::json!({"architecture": host(), "os": "linux"});
    let nested = serde_json::to_vec(&serde_json::json!({"schemaVersion": 2, "manifests": [foreign, own]})).unwrap();
    let mut top = descriptor(INDEX, &nested);
    top["annotations"] = serde_json::json!({"io.containerd.image.name": "docker.io/library/x:1"});
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [top]});
    let place = place();
    let loaded = load(&place, &layout(&index, &[&layer, &packed, &config, &manifest, &nested])).unwrap();
    assert_eq!(loaded, [Loaded::Tagged(named("x:1"))]);
    assert_eq!(place.images.resolve("x:1").unwrap().size, 3);
}

#[test]
fn lying_and_broken_archives_are_refused_and_leave_nothing() {
    let layer = tar(&[("a", b"one")]);
    let good = config(&[&layer]);
    let other = tar(&[("a", b"two")]);
    let archive = docker_archive("x:1", &good, &[&layer]);
    let manifest_with = |extra: serde_json::Value| {
        let mut m = serde_json::json!({"schemaVersion": 2, "config": descriptor("c", &good), "layers": [descriptor("l", &layer)]});
        m.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::to_vec(&m).unwrap()
    };
    let confused = manifest_with(serde_json::json!({"manifests": []}));
    let short = manifest_with(serde_json::json!({"layers": [{"digest": format!("sha256:{}", sha256(&layer)), "size": 1}]}));
    let mut lying = tar(&[(
        "manifest.json",
        br#"[{"Config":"blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000","Layers":[]}]"#,
    )]);
    lying.truncate(lying.len() - 1024);
    lying.extend(tar(&[("blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000", &good)]));
    let index = |m: &[u8]| serde_json::json!({"schemaVersion": 2, "manifests": [descriptor(MANIFEST, m)]});
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "does not contain a manifest.json"),
        ("not a tar", vec![7; 4096], ""),
        ("cut in a member", archive[..archive.len() / 2].to_vec(), ""),
        ("cut in the compression", gzip(&archive)[..200].to_vec(), "unexpected EOF"),
        ("layer of another image", docker_archive("x:1", &good, &[&other]), "invalid diffID for layer 0: expected \"sha256:"),
        ("a layer too many", docker_archive("x:1", &good, &[&layer, &other]), "layers length mismatch: expected 1, got 2"),
        ("bad tag", docker_archive("X:::1", &good, &[&layer]), "invalid tag"),
        ("tag that is a path", docker_archive("../x:1", &good, &[&layer]), "invalid tag"),
        ("bad configuration", docker_archive("x:1", b"{", &[&layer]), "image configuration"),
        ("content under a wrong digest", lying, "has the content of"),
        ("index and manifest", layout(&index(&confused), &[&confused, &good, &layer]), "both an index and a manifest"),
        ("wrong size", layout(&index(&short), &[&short, &good, &layer]), "bytes, not 1"),
        ("missing blob", layout(&index(b"nothing"), &[]), "is missing"),
        ("climbing name", layer_named_dotdot(), "invalid name"),
        ("unknown compression", b"BZh91AY&SY".repeat(100), "bzip2 compression is not supported"),
    ];
    for (name, bytes, message) in cases {
        let place = place();
        let error = load(&place, &bytes).unwrap_err().to_string();
        assert!(error.contains(message), "{name}: {error}");
        place.assert_empty();
    }
}

/// The tar crate refuses to write such a name, so it is patched in.
fn layer_named_dotdot() -> Vec<u8> {
    let mut bytes = tar(&[("xx/manifest.json", b"[]")]);
    bytes[..2].copy_from_slice(b"..");
    let sum: u32 = bytes[..148].iter().chain(&bytes[156..512]).map(|b| u32::from(*b)).sum::<u32>() + 8 * 32;
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

#[test]
fn bytes_that_claim_to_be_a_known_layer_are_checked() {
    let layer = tar(&[("a", b"one")]);
    let place = place();
    let honest = config(&[&layer]);
    load(&place, &docker_archive("x:1", &honest, &[&layer])).unwrap();
    let mut other: serde_json::Value = serde_json::from_slice(&honest).unwrap();
    other["config"]["Cmd"] = serde_json::json!(["other"]);
    let other = serde_json::to_vec(&other).unwrap();
    let junk = gzip(b"something else");
    let error = load(&place, &docker_archive("y:1", &other, &[&junk])).unwrap_err().to_string();
    assert!(error.contains("invalid diffID for layer 0"), "{error}");
    assert_eq!(place.images.list().len(), 1);
    // The layer of the honest image is still there.
    assert_eq!(place.layers.layers().unwrap().len(), 1);
    // The same content in another compression is fine.
    load(&place, &docker_archive("y:1", &other, &[&gzip(&layer)])).unwrap();
}

#[test]
fn an_attestation_beside_an_image_is_passed_over() {
    let layer = tar(&[("a", b"one")]);
    let config = config(&[&layer]);
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)]
    }))
    .unwrap();
    let mut own = descriptor(MANIFEST, &manifest);
    own["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": "x:1"});
    let mut attestation = descriptor(MANIFEST, b"not read");
    attestation["platform"] = serde_json::json!({"architecture": "unknown", "os": "unknown"});
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [own, attestation]});
    let place = place();
    assert_eq!(load(&place, &layout(&index, &[&layer, &config, &manifest])).unwrap(), [Loaded::Tagged(named("x:1"))]);
}

#[test]
fn an_image_whose_configuration_was_changed_on_disk_is_forgotten() {
    let layer = tar(&[("a", b"one")]);
    let config = config(&[&layer]);
    let mut place = place();
    load(&place, &docker_archive("x:1", &config, &[&layer])).unwrap();
    std::fs::write(place.dir.path().join("image/blobs/sha256").join(sha256(&config)), String::from_utf8_lossy(&config).replace("sh", "su"))
        .unwrap();
    drop(place.images);
    drop(place.layers);
    (place.images, place.layers) = open(place.dir.path());
    place.assert_empty();
}

#[test]
fn an_import_is_an_image_of_one_layer() {
    let layer = tar(&[("a", b"one")]);
    for bytes in [layer.clone(), gzip(&layer)] {
        let place = place();
        let config = ImportConfig { comment: "Imported from -".into(), platform: None, config: Some(serde_json::json!({"Cmd": ["sh"]})) };
        let image = place.images.import(&mut &bytes[..], config, Some(&named("x"))).unwrap();
        assert_eq!(image.tags, [named("x:latest")]);
        assert_eq!(image.config.rootfs().diff_ids(), &[format!("sha256:{}", sha256(&layer))]);
        assert_eq!(image.config.config().as_ref().unwrap().cmd().as_deref().unwrap(), ["sh"]);
        place.images.remove("x", false, true, &[]).unwrap();
        place.assert_empty();
    }
}

#[test]
fn a_broken_import_leaves_nothing() {
    let place = place();
    assert!(place.images.import(&mut &[7u8; 2000][..], ImportConfig::default(), None).is_err());
    place.assert_empty();
}

#[test]
fn hello_is_there_without_a_registry() {
    let place = place();
    let image = place.images.embedded(&named("hello")).unwrap().unwrap();
    assert_eq!(image.tags, [named("hello:latest")]);
    assert_eq!(place.images.embedded(&named("hello")).unwrap().unwrap().id, image.id);
    assert!(place.images.embedded(&named("hello:2")).unwrap().is_none());
    assert!(place.images.embedded(&named("other")).unwrap().is_none());
}

#[test]
fn images_that_share_a_layer_share_its_bytes() {
    let layer = tar(&[("a", b"one")]);
    let place = place();
    let plain = config(&[&layer]);
    let mut second: serde_json::Value = serde_json::from_slice(&plain).unwrap();
    second["config"]["Cmd"] = serde_json::json!(["other"]);
    let second = serde_json::to_vec(&second).unwrap();
    load(&place, &docker_archive("x:1", &plain, &[&layer])).unwrap();
    load(&place, &docker_archive("y:1", &second, &[&layer])).unwrap();
    assert_eq!(place.layers.layers().unwrap().len(), 1);
    place.images.remove("x:1", false, true, &[]).unwrap();
    assert_eq!(place.layers.layers().unwrap().len(), 1);
    place.images.remove("y:1", false, true, &[]).unwrap();
    place.assert_empty();
}
