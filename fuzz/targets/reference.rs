//! Names of images. What was understood means the same when it is written out and read again.

#![no_main]

use dhow_reference::Reference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(name) = Reference::parse(text) else { return };
    for shown in [name.to_string(), name.familiar()] {
        assert_eq!(Reference::parse(&shown).as_ref(), Ok(&name), "{text:?} shown as {shown:?}");
    }
    let path = format!("/v2/{}/manifests/{}", name.path(), name.digest().or(name.tag()).unwrap_or_default());
    assert!(!path.contains("..") || !path.split('/').any(|part| part == ".."), "{path}");
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
    let latest = name.clone().or_latest();
    assert!(latest.tag().is_some() || latest.digest().is_some());
});
