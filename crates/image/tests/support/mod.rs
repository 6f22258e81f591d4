//! A store of its own for each test, and archives to put into it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use dhow_image::{Images, LoadStep, Loaded};
use dhow_reference::Reference;
use dhow_storage::{Choice, LayerStore, Limits, Store};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) images: Images,
    pub(crate) layers: Arc<dyn LayerStore>,
}

pub(crate) fn open(root: &Path) -> (Images, Arc<dyn LayerStore>) {
    open_in("one", root)
}

/// In a run of the kernel.
pub(crate) fn open_in(run: &str, root: &Path) -> (Images, Arc<dyn LayerStore>) {
    let layers: Arc<dyn LayerStore> = Arc::new(Store::open_in(run, &root.join("storage"), Choice::Probe, Limits::default()).unwrap());
    layers.sweep(&|_| false).unwrap();
    (Images::open(&root.join("image"), layers.clone()).unwrap(), layers)
}

pub(crate) fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let (images, layers) = open(dir.path());
    Place { dir, images, layers }
}

impl Place {
    /// Nothing but empty directories and the database.
    pub(crate) fn assert_empty(&self) {
        assert!(self.images.list().is_empty());
        assert!(self.layers.layers().unwrap().is_empty());
        for sub in ["image/blobs/sha256", "image/tmp"] {
            let left: Vec<_> = std::fs::read_dir(self.dir.path().join(sub)).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert!(left.is_empty(), "{sub}: {left:?}");
        }
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub(crate) fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diffs: Vec<String> = layers.iter().map(|l| format!("sha256:{}", sha256(l))).collect();
    serde_json::to_vec(&serde_json::json!({
        "architecture": host(), "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": diffs}
    }))
    .unwrap()
}

pub(crate) fn host() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

pub(crate) fn docker_archive(tag: &str, config: &[u8], layers: &[&[u8]]) -> Vec<u8> {
    let names: Vec<String> = (0..layers.len()).map(|n| format!("{n}/layer.tar")).collect();
    let manifest = serde_json::to_vec(&serde_json::json!([{"Config": "config.json", "RepoTags": [tag], "Layers": names}])).unwrap();
    // The manifest comes last, as in archives written while streaming.
    let mut members: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(layers.iter().copied()).collect();
    members.push(("config.json", config));
    members.push(("manifest.json", &manifest));
    tar(&members)
}

pub(crate) fn named(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

pub(crate) fn load(place: &Place, archive: &[u8]) -> dhow_image::Result<Vec<Loaded>> {
    let mut lines = Vec::new();
    let mut tell = |step| {
        if let LoadStep::Line(line) = step {
            lines.push(line);
        }
    };
    place.images.load(&mut &archive[..], None, &mut tell)?;
    Ok(lines)
}

pub(crate) fn layout(index: &serde_json::Value, blobs: &[&[u8]]) -> Vec<u8> {
    let index = serde_json::to_vec(index).unwrap();
    let names: Vec<String> = blobs.iter().map(|b| format!("blobs/sha256/{}", sha256(b))).collect();
    let mut members: Vec<(&str, &[u8])> = vec![("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#), ("index.json", &index)];
    members.extend(names.iter().map(String::as_str).zip(blobs.iter().copied()));
    tar(&members)
}

pub(crate) fn descriptor(media_type: &str, blob: &[u8]) -> serde_json::Value {
    serde_json::json!({"mediaType": media_type, "digest": format!("sha256:{}", sha256(blob)), "size": blob.len()})
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
