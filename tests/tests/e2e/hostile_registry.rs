//! Registries that lie, break off and never end, and layers that are bombs: an error that says what, in bounded time and memory, and nothing
//! of it left.

use dhow_tests::archive::{Tar, rootfs};
use dhow_tests::fake::{Fake, Say};
use dhow_tests::registry::{digest, layer, media};
use dhow_tests::{Engine, Options};
use serde_json::{Value, json};

/// What the daemon may have held at any time, in KiB.
const MEMORY: u64 = 60 * 1024;

fn bare() -> Engine {
    Engine::with(Options { empty: true, ..Options::default() })
}

/// Most memory that the daemon has held since it started, in KiB.
fn peak(engine: &Engine) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", engine.pid())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[track_caller]
fn nothing_left(engine: &Engine, what: &str) {
    assert_eq!(engine.ok("images -q -a"), "", "{what}");
    for place in ["images/blobs/sha256", "images/tmp", "layers/layers", "layers/tmp"] {
        let left: Vec<_> = std::fs::read_dir(engine.data_root().join(place)).expect("a directory").collect();
        assert!(left.is_empty(), "{what}: {place}: {left:?}");
    }
}

/// An image that the fake registry has under `x:1`, whole and true.
struct Offer {
    fake: Fake,
    layers: Vec<(String, Vec<u8>, String)>,
    config: Value,
}

impl Offer {
    fn new(layers: Vec<(String, Vec<u8>, String)>) -> Self {
        let diffs: Vec<&String> = layers.iter().map(|(_, _, diff)| diff).collect();
        let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diffs } });
        Self { fake: Fake::start(), layers, config }
    }

    fn manifest(&self) -> Value {
        let config = self.config.to_string();
        let entry = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() });
        let layers: Vec<Value> = self.layers.iter().map(|(kind, bytes, _)| entry(kind, bytes)).collect();
        json!({ "schemaVersion": 2, "mediaType": media::MANIFEST, "config": entry(media::CONFIG, config.as_bytes()), "layers": layers })
    }

    /// Offers it all; the manifest as it is given.
    fn put(&self, manifest: &Value) {
        self.fake.say("/v2/x/manifests/1", Say::Plain(200, media::MANIFEST, manifest.to_string().into_bytes()));
        self.blob(self.config.to_string().as_bytes());
        self.layers.iter().for_each(|(_, bytes, _)| self.blob(bytes));
    }

    fn blob(&self, bytes: &[u8]) {
        self.fake.say(&Self::path(bytes), Say::Plain(200, "application/octet-stream", bytes.to_vec()));
    }

    fn path(bytes: &[u8]) -> String {
        format!("/v2/x/blobs/{}", digest(bytes))
    }

    fn name(&self) -> String {
        format!("{}/x:1", self.fake.address)
    }
}

#[test]
fn manifests_that_are_none() {
    let engine = bare();
    let offer = Offer::new(vec![layer(&rootfs().finish(), Some("gzip"))]);
    let good = offer.manifest();
    offer.put(&good);
    let json = |status: u16, body: &str| Say::Plain(status, "application/json", body.as_bytes().to_vec());
    let typed = |kind: &'static str, body: &Value| Say::Plain(200, kind, body.to_string().into_bytes());
    let error = |code: &str| format!(r#"{{"errors":[{{"code":"{code}","message":"as it says"}}]}}"#);
    let schema1 = json!({ "schemaVersion": 1, "name": "x", "tag": "1", "fsLayers": [], "history": [], "signatures": [] });
    let mut both = good.clone();
    both["manifests"] = json!([]);
    let mut many = good.clone();
    many["layers"] = json!(vec![good["layers"][0].clone(); 1001]);
    let mut huge = good.clone();
    huge["config"]["size"] = json!(1_u64 << 40);
    let mut odd = good.clone();
    odd["layers"][0]["digest"] = json!("sha256:../../../../etc/passwd");
    let redirect = format!("307 X\r\nlocation: http://{}/v2/x/manifests/1\r\ncontent-length: 0", offer.fake.address);
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for (what, say, expect) in [
        ("401", json(401, &error("UNAUTHORIZED")), "unauthorized: as it says"),
        ("403", json(403, &error("DENIED")), "pull access denied for"),
        ("404", json(404, &error("MANIFEST_UNKNOWN")), "not found: manifest unknown: as it says"),
        ("schema 1", typed("application/vnd.docker.distribution.manifest.v1+prettyjws", &schema1), "schema 1 are not supported"),
        ("schema 1 by another name", typed("application/json", &schema1), "schema 1 are not supported"),
        ("an index and a manifest", typed(media::MANIFEST, &both), "it is both an index and a manifest"),
        ("a manifest called an index", typed(media::INDEX, &good), "mediaType in manifest should be"),
        ("a page", Say::Plain(200, "text/html", b"<html>".to_vec()), "unsupported manifest media type"),
        ("no JSON", Say::Plain(200, media::MANIFEST, b"{".to_vec()), "malformed manifest"),
        ("deep JSON", Say::Plain(200, media::MANIFEST, deep.into_bytes()), "malformed manifest"),
        ("too many layers", typed(media::MANIFEST, &many), "more than 1000 entries"),
        ("a huge configuration", typed(media::MANIFEST, &huge), "more than 8388608"),
        ("a digest that is a path", typed(media::MANIFEST, &odd), "a layer has the invalid digest"),
        ("an endless one", Say::Endless(format!("200 X\r\ncontent-type: {}", media::MANIFEST)), ""),
        ("redirects in a circle", Say::Raw(redirect, Vec::new()), "redirect"),
    ] {
        offer.fake.say("/v2/x/manifests/1", say);
        let said = engine.run(&format!("pull {}", offer.name())).fails(1);
        assert!(said.contains(expect), "{what}: {said}");
        nothing_left(&engine, what);
    }
    // The same registry with the truth.
    offer.put(&good);
    engine.ok(&format!("pull -q {}", offer.name()));
    assert!(peak(&engine) < MEMORY, "{} KiB", peak(&engine));
    engine.finish();
}

#[test]
fn blobs_that_are_others() {
    let engine = bare();
    let offer =
        Offer::new(vec![layer(&rootfs().finish(), Some("gzip")), layer(&Tar::new().file("note", 0o644, b"x").finish(), Some("gzip"))]);
    offer.put(&offer.manifest());
    let (top, config) = (offer.layers[1].1.clone(), offer.config.to_string().into_bytes());
    let binary = |bytes: Vec<u8>| Say::Plain(200, "application/octet-stream", bytes);
    let flipped = |bytes: &[u8]| -> Vec<u8> { bytes.iter().map(|byte| byte ^ 1).collect() };
    let longer = |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().chain(std::iter::repeat_n(0, 4096)).collect() };
    for (what, blob, say) in [
        ("another layer", &top, binary(flipped(&top))),
        ("a longer layer", &top, binary(longer(&top))),
        ("an endless layer", &top, Say::Endless("200 X".into())),
        ("another configuration", &config, binary(flipped(&config))),
        ("a longer configuration", &config, binary(longer(&config))),
        ("no layer", &top, Say::Plain(404, "application/json", br#"{"errors":[{"code":"BLOB_UNKNOWN","message":"no"}]}"#.to_vec())),
        ("a layer that is denied", &top, Say::Plain(403, "application/json", br#"{"errors":[{"code":"DENIED","message":"no"}]}"#.to_vec())),
    ] {
        offer.fake.say(&Offer::path(blob), say);
        let said = engine.run(&format!("pull {}", offer.name())).fails(1);
        assert!(!said.trim().is_empty(), "{what}");
        nothing_left(&engine, what);
        offer.blob(blob);
    }
    engine.ok(&format!("pull -q {}", offer.name()));
    assert!(peak(&engine) < MEMORY, "{} KiB", peak(&engine));
    engine.finish();
}

/// One member's header with any size that eleven digits can say, and its content or not.
fn header(name: &str, size: u64, content: &[u8]) -> Vec<u8> {
    let mut tar = Tar::new().file(name, 0o644, &[]).finish();
    tar.truncate(512);
    tar[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    tar[148..156].copy_from_slice(b"        ");
    let sum: u32 = tar.iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend_from_slice(content);
    tar
}

/// A pax header that says how large the next member is.
fn claims(size: &str) -> Vec<u8> {
    let record = format!(" size={size}\n");
    let length = record.len() + 2;
    let record = format!("{length}{record}");
    assert_eq!(record.len(), length);
    let mut tar = header("PaxHeader", record.len() as u64, record.as_bytes());
    tar[156] = b'x';
    tar[148..156].copy_from_slice(b"        ");
    let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.resize(1024, 0);
    tar.extend(header("large", 0, &[]));
    tar
}

#[test]
fn class08_layers_that_are_bombs() {
    let engine = bare();
    let zeros = vec![0; 8 << 20];
    let fine = Tar::new().dir(&"d/".repeat(49)).finish();
    for (what, tar, expect) in [
        ("a file of a petabyte", claims("1125899906842624"), "more than"),
        ("a file that is cut off", header("short", 1 << 32, &zeros), "unexpected EOF"),
        ("no archive", b"not an archive, but long enough to be taken for one".repeat(100), ""),
        ("a name that leads out", Tar::new().file("../../out", 0o644, b"x").finish(), ""),
        (
            "through a link that leads out",
            Tar::new().symlink("l", "/").file("l/etc/out", 0o644, b"x").hard_link("h", "../../etc/passwd").finish(),
            "",
        ),
    ] {
        let offer = Offer::new(vec![layer(&fine, Some("gzip")), layer(&tar, Some("gzip"))]);
        offer.put(&offer.manifest());
        let said = engine.run(&format!("pull {}", offer.name())).fails(1);
        assert!(said.contains(expect) && said.contains("failed to register layer"), "{what}: {said}");
        nothing_left(&engine, what);
    }
    assert!(!std::path::Path::new("/out").exists() && !std::path::Path::new("/etc/out").exists());
    assert!(peak(&engine) < MEMORY, "{} KiB", peak(&engine));
    engine.finish();
}
