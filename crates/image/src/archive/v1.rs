//! Archives from before Docker 1.10: a directory for each layer (`json`, `VERSION`, `layer.tar`), and `repositories`, which names the
//! topmost ones. Their images had no configuration of their own: it is made here as Docker made it, so the id is the same.

use super::Group;
use super::spool::Members;
use crate::blobs::{Spooled, unreadable};
use crate::document::{DOCUMENT_MAX, parse as document};
use crate::error::{Error, Result, io};
use crate::incoming::{self, CONFIG_MAX, Incoming, LAYERS_MAX};
use dhow_archive::compress;
use dhow_archive::tarball::Digested;
use dhow_reference::Reference;
use dhow_storage::DiffId;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What of a layer's `json` is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Layer {
    id: String,
    parent: String,
    created: Option<String>,
    author: String,
    comment: String,
    container_config: Option<Command>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Command {
    #[serde(rename = "Cmd")]
    cmd: Option<Vec<String>>,
}

/// Keys of a layer's `json` that its image's configuration does not have.
const DROPPED: [&str; 6] = ["id", "parent", "Size", "parent_id", "layer_id", "throwaway"];

/// The archive is of this age.
pub(super) fn is_one(members: &Members) -> bool {
    members.has("repositories") || members.names().any(|name| top_of(name).is_some())
}

/// The id in `ID/json`.
fn top_of(name: &str) -> Option<&str> {
    name.strip_suffix("/json").filter(|id| is_id(id))
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Every image that has a name, and every layer that nothing stands on.
pub(super) fn images(members: &Members) -> Result<Vec<Group>> {
    let mut names = tagged(members)?;
    let mut parents = BTreeSet::new();
    let ids: Vec<String> = members.names().filter_map(top_of).map(str::to_owned).collect();
    for id in &ids {
        parents.insert(layer(members, id)?.1.parent);
    }
    for id in ids {
        if !parents.contains(&id) {
            names.entry(id).or_default();
        }
    }
    names.into_iter().map(|(id, names)| image(members, &id, names)).collect()
}

/// Names by the layer that they name.
fn tagged(members: &Members) -> Result<BTreeMap<String, Vec<Reference>>> {
    let mut names: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    if !members.has("repositories") {
        return Ok(names);
    }
    let bytes = members.get("repositories")?.read("repositories", DOCUMENT_MAX)?;
    let repositories: BTreeMap<String, BTreeMap<String, String>> = document("repositories", &bytes)?;
    for (repository, tags) in repositories {
        for (tag, id) in tags {
            let text = format!("{repository}:{tag}");
            let name = Reference::parse(&text).ok().filter(|name| name.tag() == Some(&tag) && name.digest().is_none());
            names.entry(id).or_default().push(name.ok_or_else(|| Error::Archive(format!("invalid tag {text:?}")))?);
        }
    }
    Ok(names)
}

/// A layer's `json`, whole and as far as it is looked at.
fn layer(members: &Members, id: &str) -> Result<(Map<String, Value>, Layer)> {
    if !is_id(id) {
        return Err(Error::Archive(format!("invalid target ID: {id:?}")));
    }
    let what = format!("{id}/json");
    let bytes = members.get(&what)?.read(&what, CONFIG_MAX)?;
    let whole = document(&what, &bytes)?;
    let layer: Layer = document(&what, &bytes)?;
    if !layer.id.is_empty() && layer.id != id {
        return Err(Error::Archive(format!("{what} is of {:?}", layer.id)));
    }
    Ok((whole, layer))
}

fn image(members: &Members, id: &str, names: Vec<Reference>) -> Result<Group> {
    let (top, first) = layer(members, id)?;
    let mut stack = vec![(id.to_owned(), first)];
    while let Some(parent) = stack.last().map(|(_, layer)| layer.parent.clone()).filter(|parent| !parent.is_empty()) {
        if stack.len() >= LAYERS_MAX || stack.iter().any(|(id, _)| *id == parent) {
            return Err(Error::Archive(format!("{id} has layers without end")));
        }
        let next = layer(members, &parent)?.1;
        stack.push((parent, next));
    }
    stack.reverse();
    let (mut layers, mut diffs, mut history) = (Vec::new(), Vec::new(), Vec::new());
    for (id, layer) in &stack {
        let content = members.get(&format!("{id}/layer.tar"))?;
        diffs.push(diff(&content)?);
        layers.push(content);
        history.push(step(layer));
    }
    let config = configuration(top, &diffs, history)?;
    incoming::check(&config, Some(layers.len()))?;
    Ok(Group { names, top: None, images: vec![Incoming { config, layers, ..Incoming::default() }] })
}

fn diff(layer: &Arc<Spooled>) -> Result<String> {
    if let Some(diff) = layer.diff() {
        return Ok(diff.to_string());
    }
    let mut plain = compress::reader(layer.open()?).map_err(io("read", layer.digest()))?;
    let mut whole = Digested::new(&mut plain);
    loop {
        let count = whole.peek().map_err(|e| unreadable(&e))?.len();
        if count == 0 {
            return Ok(DiffId::from_bytes(&whole.finish().1).to_string());
        }
        whole.consume(count);
    }
}

/// A layer's entry of the history.
fn step(layer: &Layer) -> Value {
    let mut step = Map::new();
    step.insert("created".into(), json!(layer.created.as_deref().unwrap_or("0001-01-01T00:00:00Z")));
    let command = layer.container_config.as_ref().and_then(|config| config.cmd.as_ref()).map(|words| words.join(" "));
    for (key, value) in [("author", &layer.author), ("created_by", &command.unwrap_or_default()), ("comment", &layer.comment)] {
        if !value.is_empty() {
            step.insert(key.into(), json!(value));
        }
    }
    Value::Object(step)
}

/// The topmost layer's `json` with layers and history, as Go writes a map: keys sorted, `<`, `>` and `&` escaped.
fn configuration(mut top: Map<String, Value>, diffs: &[String], history: Vec<Value>) -> Result<Vec<u8>> {
    top.retain(|key, _| !DROPPED.contains(&key.as_str()));
    top.insert("rootfs".into(), json!({"type": "layers", "diff_ids": diffs}));
    top.insert("history".into(), Value::Array(history));
    let sorted: BTreeMap<String, Value> = top.into_iter().collect();
    let text = serde_json::to_string(&sorted).map_err(|error| Error::Invalid(error.to_string()))?;
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    Ok(escaped.into_bytes())
}
