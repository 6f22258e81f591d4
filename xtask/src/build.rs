//! Builds of ours, and where cargo puts them.

use crate::paths::root;
use crate::shell::command;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Builds with the given selection and tells where the executable of that name is.
pub(crate) fn build(selection: &[&str], name: &str) -> Result<PathBuf> {
    let mut build = command("cargo", &["build", "--quiet", "--message-format=json-render-diagnostics"]);
    executable(as_by_hand(&mut build).args(selection), name)
}

/// Without what `cargo run` tells this program of its own package: a build script looks at such variables, and half of the program would be
/// built again each time after a `cargo build` by hand.
fn as_by_hand(cargo: &mut Command) -> &mut Command {
    let own = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(own)) {
        cargo.env_remove(name);
    }
    cargo
}

/// Runs a cargo command that prints JSON messages and picks the executable of a target.
pub(crate) fn executable(cargo: &mut Command, name: &str) -> Result<PathBuf> {
    // Messages for programs on standard output, messages for people on standard error.
    let built = cargo.current_dir(root()).stderr(Stdio::inherit()).output().with_context(|| format!("build {name}"))?;
    if !built.status.success() {
        bail!("{name} cannot be built");
    }
    String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .with_context(|| format!("cargo built no executable named {name}"))
}
