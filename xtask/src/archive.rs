//! Docker archives (`docker load`) written byte for byte the same from the same content.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::path::Path;

/// All times in the archives: 2024-01-01, in seconds since 1970.
pub(crate) const EPOCH: u64 = 1_704_067_200;

/// A layer under construction.
pub(crate) struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// A directory owned by root.
    pub(crate) fn dir(&mut self, path: &str, mode: u32) -> Result<()> {
        self.entry(tar::EntryType::Directory, &format!("{path}/"), mode, None, &[])
    }

    /// A file owned by root.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.entry(tar::EntryType::Regular, path, mode, None, content)
    }

    /// A further name of a file written before.
    pub(crate) fn hard_link(&mut self, path: &str, target: &str) -> Result<()> {
        self.entry(tar::EntryType::Link, path, 0o755, Some(target), &[])
    }

    /// A symbolic link.
    pub(crate) fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.entry(tar::EntryType::Symlink, path, 0o777, Some(target), &[])
    }

    fn entry(&mut self, kind: tar::EntryType, path: &str, mode: u32, link: Option<&str>, content: &[u8]) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(EPOCH);
        header.set_size(content.len() as u64);
        if let Some(target) = link {
            header.set_link_name(target).with_context(|| format!("link {path} to {target}"))?;
        }
        self.0.append_data(&mut header, path, content).with_context(|| format!("add {path} to the layer"))
    }

    /// The finished tar.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        self.0.into_inner().context("finish the layer")
    }
}

/// Writes an image of one layer as a docker archive; appears under its name only when whole.
pub(crate) fn write(target: &Path, tag: &str, layer: &[u8], cmd: &[&str]) -> Result<()> {
    write_all(target, tag, &[layer.to_vec()], cmd)
}

/// Writes an image of several layers, the lowest first, as a docker archive; appears under its name only when whole.
pub(crate) fn write_all(target: &Path, tag: &str, layers: &[Vec<u8>], cmd: &[&str]) -> Result<()> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", hex::encode(Sha256::digest(layer)))).collect();
    let history: Vec<Value> =
        layers.iter().map(|_| json!({ "created": "2024-01-01T00:00:00Z", "created_by": "cargo xtask images" })).collect();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": { "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": cmd },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": history,
    });
    let config = serde_json::to_vec(&config)?;
    let config_name = format!("{}.json", hex::encode(Sha256::digest(&config)));
    let name = |index: usize| if layers.len() == 1 { "layer.tar".to_owned() } else { format!("{index}/layer.tar") };
    let names: Vec<String> = (0..layers.len()).map(name).collect();
    let manifest: Value = json!([{ "Config": config_name, "RepoTags": [tag], "Layers": names }]);

    let mut archive = Layer::new();
    for (name, layer) in names.iter().zip(layers) {
        archive.file(name, 0o644, layer)?;
    }
    archive.file(&config_name, 0o644, &config)?;
    archive.file("manifest.json", 0o644, &serde_json::to_vec(&manifest)?)?;
    let bytes = archive.finish()?;

    let partial = target.with_extension(format!("partial-{}", std::process::id()));
    let mut file = std::fs::File::create(&partial).with_context(|| format!("make {}", partial.display()))?;
    file.write_all(&bytes).with_context(|| format!("write {}", partial.display()))?;
    std::fs::rename(&partial, target).with_context(|| format!("name {}", target.display()))
}

/// The layers of a docker archive, the lowest first, as the manifest names them.
pub(crate) fn layers(archive: &Path) -> Result<Vec<Vec<u8>>> {
    let mut files = std::collections::BTreeMap::new();
    let mut outer = tar::Archive::new(std::fs::File::open(archive).with_context(|| format!("open {}", archive.display()))?);
    for entry in outer.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).with_context(|| format!("read {name}"))?;
        files.insert(name, bytes);
    }
    let manifest: Value = serde_json::from_slice(files.get("manifest.json").context("no manifest.json")?)?;
    let names = manifest[0]["Layers"].as_array().context("no layers")?.iter().filter_map(Value::as_str).map(str::to_owned);
    names.collect::<Vec<_>>().into_iter().map(|name| files.remove(&name).with_context(|| format!("no {name}"))).collect()
}
