//! A container's own layer made an image.

use crate::db;
use crate::error::{Error, Result};
use crate::incoming::{self, CONFIG_MAX};
use crate::index::key;
use crate::model::{self, Image};
use crate::record::Whole;
use crate::store::Images;
use dhow_reference::Reference;
use dhow_storage::{LayerInfo, SnapshotKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Digest of an archive without members: Docker leaves such a layer out.
const EMPTY: &str = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
/// How often a layer may be collected under our hands before it has an owner.
const TRIES: usize = 3;

/// What a committed image says of itself.
#[derive(Debug, Clone, Default)]
pub struct CommitConfig {
    /// Who made it.
    pub author: String,
    /// Of its history entry.
    pub comment: String,
    /// Of its history entry.
    pub created_by: String,
    /// Full id of the container.
    pub container: String,
    /// The `config` object, in Docker's spelling.
    pub config: Value,
    /// The container's own configuration, in Docker's spelling.
    pub container_config: Value,
    /// `docker_version`.
    pub version: String,
    /// A name that it gets with the same stroke.
    pub name: Option<Reference>,
}

impl Images {
    /// Makes an image of `parent` and what a snapshot over it changed. The snapshot stays as it is. No tar of the layer is kept: it is made,
    /// the same each time, when somebody asks for it.
    pub fn commit(&self, parent: &str, snapshot: &SnapshotKey, config: &CommitConfig) -> Result<Arc<Image>> {
        let base = self.resolve(parent)?;
        let below = db::layer_blobs(&self.state().connection, &base.id)?;
        let held = below.keys().cloned().chain(base.chain.iter().map(ToString::to_string));
        let _pins = self.pin(held);
        // It may have been removed before it was held.
        let base = self.resolve(&base.id)?;
        for _ in 0..TRIES {
            let layer = self.layers.commit(snapshot)?;
            let pin = self.pin([layer.chain.to_string()].into_iter());
            // The layer's name is only known once it is made, so somebody may have collected it in between.
            if self.layers.layer(&layer.chain).is_err() {
                continue;
            }
            let outcome = self.record(&base, &layer, config, below);
            drop(pin);
            if outcome.is_err() || layer.diff.as_str() == EMPTY {
                self.collect(Vec::new(), vec![layer.chain]);
            }
            return outcome;
        }
        Err(Error::Conflict(format!("the layer of {} is removed again and again", snapshot.0)))
    }

    fn record(
        &self,
        base: &Image,
        layer: &LayerInfo,
        config: &CommitConfig,
        mut needs: BTreeMap<String, Option<String>>,
    ) -> Result<Arc<Image>> {
        let empty = layer.diff.as_str() == EMPTY;
        let raw = incoming::made(&child(&base.raw, (!empty).then(|| layer.diff.as_str()), config, &incoming::created_now())?)?;
        let checked = incoming::check(&raw, None)?;
        let blob = self.blobs.spool(&mut &raw[..], CONFIG_MAX)?;
        let id = blob.digest().to_owned();
        let _pin = self.pin([id.clone()].into_iter());
        self.blobs.keep(blob)?;
        needs.insert(id.clone(), None);
        let (chain, size) = if empty { (base.chain.clone(), base.size) } else { (Some(layer.chain.clone()), base.size + layer.size) };
        let whole = Whole { id: &id, raw: &raw, checked, chain, size, parent: Some(base.id.clone()), needs };
        let names: Vec<Reference> = config.name.iter().map(key).collect();
        Ok(self.record_image(whole, &names, None, Some(model::now()))?.0)
    }
}

/// The configuration of an image made from another one's by one more layer, or by none. Pure.
fn child(base: &[u8], diff: Option<&str>, config: &CommitConfig, created: &str) -> Result<Value> {
    let base: Value = serde_json::from_slice(base).map_err(|e| Error::Archive(format!("image configuration: {e}")))?;
    let kept = |key: &str| base.get(key).cloned().filter(|value| !value.is_null());
    let mut history = kept("history").and_then(|h| h.as_array().cloned()).unwrap_or_default();
    let mut step = json!({ "created": created });
    for (key, text) in [("author", &config.author), ("created_by", &config.created_by), ("comment", &config.comment)] {
        if !text.is_empty() {
            step[key] = json!(text);
        }
    }
    if diff.is_none() {
        step["empty_layer"] = json!(true);
    }
    history.push(step);
    let mut diffs = base["rootfs"]["diff_ids"].as_array().cloned().unwrap_or_default();
    diffs.extend(diff.map(|diff| json!(diff)));
    let mut value = json!({ "architecture": kept("architecture").unwrap_or_else(|| crate::model::host_architecture().into()) });
    if !config.author.is_empty() {
        value["author"] = json!(config.author);
    }
    value["config"] = config.config.clone();
    value["container"] = json!(config.container);
    value["container_config"] = config.container_config.clone();
    value["created"] = json!(created);
    value["docker_version"] = json!(config.version);
    value["history"] = json!(history);
    value["os"] = kept("os").unwrap_or_else(|| "linux".into());
    value["rootfs"] = json!({ "type": "layers", "diff_ids": diffs });
    for key in ["variant", "os.version", "os.features"] {
        if let Some(kept) = kept(key) {
            value[key] = kept;
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(author: &str) -> CommitConfig {
        CommitConfig {
            author: author.into(),
            comment: "why".into(),
            created_by: "sh -c x".into(),
            container: "c1".into(),
            config: json!({"Cmd": ["sh"]}),
            container_config: json!({"Tty": true}),
            version: "1".into(),
            name: None,
        }
    }

    fn check(base: &str, diff: Option<&str>, author: &str, expect: &str) {
        let value = child(base.as_bytes(), diff, &config(author), "now").unwrap();
        assert_eq!(value.to_string(), expect);
    }

    #[test]
    fn a_layer_is_added() {
        check(
            r#"{"architecture":"arm64","variant":"v8","os":"linux","history":[{"created_by":"a"}],"rootfs":{"type":"layers","diff_ids":["d1"]}}"#,
            Some("d2"),
            "me",
            concat!(
                r#"{"architecture":"arm64","author":"me","config":{"Cmd":["sh"]},"container":"c1","container_config":{"Tty":true},"created":"now","#,
                r#""docker_version":"1","history":[{"created_by":"a"},{"created":"now","author":"me","created_by":"sh -c x","comment":"why"}],"#,
                r#""os":"linux","rootfs":{"type":"layers","diff_ids":["d1","d2"]},"variant":"v8"}"#
            ),
        );
    }

    #[test]
    fn without_a_change_only_the_history_grows() {
        check(
            r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["d1"]}}"#,
            None,
            "",
            concat!(
                r#"{"architecture":"amd64","config":{"Cmd":["sh"]},"container":"c1","container_config":{"Tty":true},"created":"now","#,
                r#""docker_version":"1","history":[{"created":"now","created_by":"sh -c x","comment":"why","empty_layer":true}],"#,
                r#""os":"linux","rootfs":{"type":"layers","diff_ids":["d1"]}}"#
            ),
        );
    }
}
