//! Manifests and indexes of registries, and the choice of a platform. The first byte chooses the type that the document comes as.

#![no_main]

use dhow_registry::protocol::{Document, Platform, media, select};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    let kinds: Vec<&str> = media::ACCEPTED.iter().copied().chain(["", "application/json", "text/html"]).collect();
    let kind = kinds[usize::from(*kind) % kinds.len()];
    let digest = |text: &str| {
        let hex = text.strip_prefix("sha256:").expect("sha256");
        assert!(hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    };
    match Document::parse(bytes, kind) {
        Ok(Document::Manifest(manifest)) => {
            digest(&manifest.config.digest);
            manifest.layers.iter().for_each(|layer| digest(&layer.digest));
        }
        Ok(Document::Index { manifests, .. }) => {
            manifests.iter().for_each(|entry| digest(&entry.digest));
            for entry in &manifests {
                let Some(platform) = &entry.platform else { continue };
                let text = platform.clone().normal().to_string();
                // Whatever is there can be asked for, and what is chosen is no attestation.
                if let Some(chosen) = select(&manifests, &Platform::parse(&text, &Platform::host())) {
                    assert!(!chosen.is_attestation());
                }
            }
        }
        Ok(Document::Schema1) | Err(_) => {}
    }
});
