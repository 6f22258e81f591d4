//! Every test, with what they need: binaries, images, and the list of what was skipped and why.

use crate::build::build;
use crate::paths::{Scratch, root};
use crate::shell::{command, find, output, run as execute};
use crate::{images, setup, tools, vm};
use anyhow::{Context, Result};

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
    tests.env("DHOW_BIN", &dhow).env("DHOW_IMAGES", &images).env("DHOW_SKIPPED", &skipped).envs(tools::run());
    let passed = execute(&mut tests).context("some tests failed");
    report(&std::fs::read_to_string(&skipped).unwrap_or_default());
    passed?;
    if filters.is_empty() { vm::run_all(&dhow, &images) } else { Ok(()) }
}

/// The tests that hold the house in order: the allowed edges between crates, and tidiness.
pub(crate) fn tidy() -> Result<()> {
    execute(command("cargo", &["test", "--quiet", "-p", "dhow-tests", "--test", "tidy", "--test", "edges"]).current_dir(root()))
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
