//! Arrows between the crates point down, and only where they were agreed on. ARCHITECTURE.md tells why.

use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};

/// For each crate, the crates of ours that it may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("dhow-reference", &[]),
    ("dhow-db", &[]),
    ("dhow-tls", &[]),
    // Its tests mount what it writes; it is pure itself.
    ("dhow-erofs", &["dhow-sys"]),
    ("dhow-sys", &[]),
    ("dhow-runtime", &["dhow-sys"]),
    ("dhow-ps", &[]),
    ("dhow-oci", &["dhow-ps", "dhow-runtime", "dhow-sys"]),
    // The shim makes the links of its container true, by a plan that the engine computed.
    ("dhow-network", &["dhow-sys"]),
    ("dhow-shim", &["dhow-network", "dhow-runtime", "dhow-sys", "dhow-tls"]),
    ("dhow-archive", &["dhow-sys"]),
    ("dhow-storage", &["dhow-archive", "dhow-erofs", "dhow-sys"]),
    ("dhow-image", &["dhow-archive", "dhow-db", "dhow-reference", "dhow-storage", "dhow-sys"]),
    ("dhow-registry", &["dhow-reference", "dhow-tls"]),
    ("dhow-files", &["dhow-archive", "dhow-sys"]),
    (
        "dhow-engine",
        &[
            "dhow-archive",
            "dhow-db",
            "dhow-files",
            "dhow-image",
            "dhow-network",
            "dhow-ps",
            "dhow-reference",
            "dhow-registry",
            "dhow-runtime",
            "dhow-shim",
            "dhow-storage",
            "dhow-sys",
        ],
    ),
    ("dhow-api", &["dhow-reference"]),
    ("dhow-daemon", &["dhow-api", "dhow-engine", "dhow-reference", "dhow-sys", "dhow-tls"]),
    // Names of images are read by both ends: `reference` is the pure leaf that the API's parsers rest on.
    ("dhow-cli", &["dhow-api", "dhow-archive", "dhow-reference", "dhow-sys", "dhow-tls"]),
    ("dhow", &["dhow-cli", "dhow-daemon", "dhow-files", "dhow-oci", "dhow-runtime", "dhow-shim", "dhow-sys"]),
    ("dhow-bench-floor", &["dhow-sys", "dhow-network"]),
    ("dhow-tests", &["dhow-sys"]),
    ("xtask", &[]),
];

#[test]
fn crates_use_only_what_they_may() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let ours: BTreeSet<String> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let name = package.name.to_string();
        let Some(may) = allowed.get(name.as_str()) else {
            wrong.push(format!("{name} is not in the table of tests/tests/edges.rs"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Build) {
            let uses = dependency.name.as_str();
            if ours.contains(uses) && !may.contains(&uses) {
                wrong.push(format!("{name} must not use {uses}"));
            }
        }
    }
    for name in allowed.keys().filter(|name| !ours.contains(**name)) {
        wrong.push(format!("{name} is in the table but not in the workspace"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_async_crates_have_a_runtime() {
    // The shim, the spawner and what runs in a container's namespaces stay single-threaded: no async runtime down there.
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    for name in [
        "dhow-sys",
        "dhow-network",
        "dhow-ps",
        "dhow-runtime",
        "dhow-oci",
        "dhow-archive",
        "dhow-storage",
        "dhow-image",
        "dhow-db",
        "dhow-reference",
    ] {
        let package = metadata.packages.iter().find(|package| package.name.as_str() == name).expect(name);
        let async_runtime =
            package.dependencies.iter().find(|dependency| dependency.name == "tokio" && dependency.kind == DependencyKind::Normal);
        assert!(async_runtime.is_none(), "{name} uses tokio");
    }
}
