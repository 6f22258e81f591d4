//! Every test, with what they need: binaries, images, and the list of what was skipped and why.

use crate::paths::{Scratch, root};
use crate::shell::{command, find, output, run as execute};
use crate::{images, setup, vm};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Setup, images, all tests, then the selection in virtual machines. With filters only the tests that match, on this machine.
pub(crate) fn run(filters: &[String]) -> Result<()> {
    setup::run(false)?;
    let images = images::run()?;
    let dhow = build(&["-p", "dhow"], "dhow")?;
    let scratch = Scratch::new("dhow-xtask")?;
    let skipped = scratch.path().join("skipped");

    let mut tests = if has_nextest() {
        command("cargo", &["nextest", "run", "--workspace", "--no-fail-fast"])
    } else {
        command("cargo", &["test", "--workspace", "--no-fail-fast"])
    };
    tests.args(filters).current_dir(root());
    tests.env("DHOW_BIN", &dhow).env("DHOW_IMAGES", &images).env("DHOW_SKIPPED", &skipped);
    let passed = execute(&mut tests).context("some tests failed");
    report(&std::fs::read_to_string(&skipped).unwrap_or_default());
    passed?;
    if filters.is_empty() { vm::run_all(&dhow, &images) } else { Ok(()) }
}

/// The tests that hold the house in order: the allowed edges between crates, and tidiness.
pub(crate) fn tidy() -> Result<()> {
    execute(command("cargo", &["test", "--quiet", "-p", "dhow-tests", "--test", "tidy", "--test", "edges"]).current_dir(root()))
}

/// Builds with the given selection and tells where the executable of that name is.
pub(crate) fn build(selection: &[&str], name: &str) -> Result<PathBuf> {
    let mut build = command("cargo", &["build", "--quiet", "--message-format=json-render-diagnostics"]);
    executable(build.args(selection), name)
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

fn has_nextest() -> bool {
    find("cargo-nextest").is_some() || output(&mut command("cargo", &["nextest", "--version"])).is_ok()
}

/// A test that lacks something says so in a file; here the file is shown, so that nothing passes silently.
fn report(skipped: &str) {
    let mut lines: Vec<&str> = skipped.lines().collect();
    lines.sort_unstable();
    for line in &lines {
        println!("SKIPPED: {line}");
    }
    println!("{} tests skipped something the machine lacks", lines.len());
}
