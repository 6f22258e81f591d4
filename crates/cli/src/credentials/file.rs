//! The part of `config.json` that holds credentials, changed without touching what else is in the file.

use std::fs::{DirBuilder, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};

use crate::error::Error;

/// Enters a registry.
pub(super) fn put(path: &Path, key: &str, auth: &str, token: &str) -> Result<(), Error> {
    change(path, |auths| {
        let mut entry = Map::new();
        for (name, text) in [("auth", auth), ("identitytoken", token)] {
            if !text.is_empty() {
                entry.insert(name.to_owned(), json!(text));
            }
        }
        auths.insert(key.to_owned(), Value::Object(entry));
    })
}

/// Takes registries out.
pub(super) fn remove(path: &Path, keys: &[&String]) -> Result<(), Error> {
    change(path, |auths| {
        for key in keys {
            auths.remove(key.as_str());
        }
    })
}

fn change(path: &Path, edit: impl FnOnce(&mut Map<String, Value>)) -> Result<(), Error> {
    let failed = |error: &dyn std::fmt::Display| Error::new(format!("error saving credentials: {}: {error}", path.display()));
    let text = match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => text,
        Ok(_) => "{}".to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "{}".to_owned(),
        Err(error) => return Err(failed(&error)),
    };
    // What cannot be read is not overwritten.
    let mut all: Map<String, Value> = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    let auths = all.entry("auths").or_insert_with(|| json!({}));
    if !auths.is_object() {
        *auths = json!({});
    }
    if let Some(auths) = auths.as_object_mut() {
        edit(auths);
    }
    let mut bytes = Vec::new();
    all.serialize(&mut Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"\t"))).map_err(|error| failed(&error))?;
    write(path, &bytes).map_err(|error| failed(&error))
}

/// Beside the file and then in its place: whoever reads it finds the old one or the new one. A link stays one.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    let beside = directory.join(format!(".config.json.{}", std::process::id()));
    let written = fill(&beside, &path, bytes).and_then(|()| std::fs::rename(&beside, &path));
    if written.is_err() {
        // The first error counts.
        let _left = std::fs::remove_file(&beside);
    }
    written
}

fn fill(beside: &Path, old: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(beside)?;
    if let Ok(meta) = old.metadata() {
        file.set_permissions(Permissions::from_mode(meta.permissions().mode() & 0o777))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/config.json");
        put(&path, "r.example", "dTpw", "").unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\n\t\"auths\": {\n\t\t\"r.example\": {\n\t\t\t\"auth\": \"dTpw\"\n\t\t}\n\t}\n}"
        );
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

        std::fs::write(&path, r#"{"psFormat":"x","auths":{"a":{"auth":"1"}},"other":[1]}"#).unwrap();
        put(&path, "b", "", "t").unwrap();
        remove(&path, &[&"a".to_owned()]).unwrap();
        let found: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(found, json!({"psFormat": "x", "auths": {"b": {"identitytoken": "t"}}, "other": [1]}));
    }

    #[test]
    fn what_cannot_be_read_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        std::fs::write(&path, "{ half").unwrap();
        assert!(put(&path, "r", "", "").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{ half");
    }
}
