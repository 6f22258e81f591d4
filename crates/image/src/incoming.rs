//! What makes an image, before the store has it: checks and documents, pure.

use crate::blobs::Spooled;
use crate::error::{Error, Result};
use crate::model;
use dhow_storage::{ChainId, DiffId};
use oci_spec::image::ImageConfiguration;
use std::sync::Arc;

/// Largest configuration that is read.
pub(crate) const CONFIG_MAX: u64 = 8 * 1024 * 1024;
/// Most layers of one image: what a chain of overlay directories can hold.
pub(crate) const LAYERS_MAX: usize = 500;

/// An image's content, received and hashed, its layers in order from the bottom.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// The configuration's bytes.
    pub(crate) config: Vec<u8>,
    /// The layers, in whatever form they came.
    pub(crate) layers: Vec<Arc<Spooled>>,
    /// The documents that it comes with: its manifest, the index, attestations and what they name.
    pub(crate) documents: Vec<Arc<Spooled>>,
    /// Image that it was made from here.
    pub(crate) parent: Option<String>,
}

/// The configuration, checked as far as this crate relies on it.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) config: ImageConfiguration,
    pub(crate) diffs: Vec<DiffId>,
}

/// Parses a configuration and its diff ids. Pure.
pub(crate) fn check(raw: &[u8], layers: Option<usize>) -> Result<Checked> {
    let config: ImageConfiguration = serde_json::from_slice(raw).map_err(|e| Error::Archive(format!("image configuration: {e}")))?;
    if config.os().to_string() != "linux" {
        return Err(Error::Archive(format!("cannot load {} image on linux", config.os())));
    }
    let diffs = config.rootfs().diff_ids().iter().map(|d| DiffId::parse(d)).collect::<std::result::Result<Vec<_>, _>>()?;
    if let Some(found) = layers
        && found != diffs.len()
    {
        return Err(Error::Archive(format!("invalid manifest, layers length mismatch: expected {}, got {found}", diffs.len())));
    }
    if diffs.len() > LAYERS_MAX {
        return Err(Error::Archive(format!("{} layers, more than {LAYERS_MAX}", diffs.len())));
    }
    Ok(Checked { config, diffs })
}

/// The chain ids of a stack, from the bottom.
pub(crate) fn chains(diffs: &[DiffId]) -> Vec<ChainId> {
    let mut all: Vec<ChainId> = Vec::with_capacity(diffs.len());
    for diff in diffs {
        all.push(ChainId::of(all.last(), diff));
    }
    all
}

/// The bytes of a configuration made here.
pub(crate) fn made(config: &serde_json::Value) -> Result<Vec<u8>> {
    serde_json::to_vec(config).map_err(|e| Error::Invalid(e.to_string()))
}

/// RFC 3339 with nanoseconds, as Docker writes `created`.
pub(crate) fn created_now() -> String {
    jiff::Timestamp::from_nanosecond(i128::from(model::now())).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_checked() {
        let diff = format!("sha256:{}", "1".repeat(64));
        let config =
            |os: &str, diffs: &str| format!(r#"{{"architecture":"amd64","os":"{os}","rootfs":{{"type":"layers","diff_ids":[{diffs}]}}}}"#);
        let good = config("linux", &format!("{diff:?}"));
        assert_eq!(check(good.as_bytes(), Some(1)).unwrap().diffs.len(), 1);
        for (raw, layers, message) in [
            (good.as_str(), 2, "invalid archive: invalid manifest, layers length mismatch: expected 1, got 2"),
            (&config("windows", ""), 0, "invalid archive: cannot load windows image on linux"),
            (&config("linux", "\"sha256:../../etc\""), 1, "invalid archive: invalid diff id: \"sha256:../../etc\""),
            ("[]", 0, "invalid archive: image configuration: "),
        ] {
            let error = check(raw.as_bytes(), Some(layers)).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
