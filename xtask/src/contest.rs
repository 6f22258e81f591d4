//! youki's contest suite on runc and on `dhow runtime`: what passes there must pass here.
//!
//! The suite stays where it is: a checkout named by `--suite` or `DHOW_CONTEST`, or one that git fetches into the cache. Each of its groups is
//! run by itself, since one that panics takes the others along.

use crate::findings::{Findings, Found, compare_by_name};
use crate::groups::Groups;
use crate::paths::{Scratch, cached};
use crate::shell::{command, find, output, quiet};
use crate::{build, setup, vm};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;

const SOURCE: &str = "https://github.com/youki-dev/youki";
/// The state that was compared last.
const COMMIT: &str = "bc78720681ad34be682fe1a6daa61cb3bf47762d";
/// Seconds that a group may take.
pub(crate) const LIMIT: &str = "100";
/// The suite leaves some of its tests out on runtimes that it knows. This one it does not know.
pub(crate) const KIND: (&str, &str) = ("RUNTIME_KIND", "other");

/// The suite, built.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) program: PathBuf,
    /// What runs in the containers.
    pub(crate) inside: PathBuf,
    /// A bundle to begin with, looked for in the working directory.
    pub(crate) bundle: PathBuf,
    pub(crate) groups: Vec<String>,
}

/// `cargo xtask contest [--suite DIR] [--vm] [GROUP...]`.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let (mut source, mut in_vm, mut only) = (std::env::var_os("DHOW_CONTEST").map(PathBuf::from), false, Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--suite" => source = Some(words.next().context("--suite needs a directory")?.into()),
            "--vm" => in_vm = true,
            group => only.push(group.to_owned()),
        }
    }
    setup::run(true)?;
    let Some(runc) = find("runc") else {
        println!("SKIPPED: contest: runc is not installed");
        return Ok(());
    };
    let Some(suite) = prepare(source, &only)? else { return Ok(()) };
    let dhow = build::build(&["-p", "dhow"], "dhow")?;
    let (theirs, ours) = if in_vm { vm::contest(&suite, &runc, &dhow)? } else { here(&suite, &runc, &dhow)? };
    let (text, worse) = compare_by_name(&theirs, &ours);
    println!("{text}");
    if worse > 0 {
        bail!("{worse} tests pass on runc and not on dhow");
    }
    Ok(())
}

fn here(suite: &Suite, runc: &Path, dhow: &Path) -> Result<(Findings, Findings)> {
    let scratch = Scratch::new("ct")?;
    let own = scratch.path().join("dhow-runtime");
    // No link: the suite looks for the program behind it, whose name says what it is.
    std::fs::copy(dhow, &own).context("copy the runtime")?;
    let groups = Groups::now()?;
    let found = all(suite, runc).and_then(|theirs| Ok((theirs, all(suite, &own)?)));
    groups.clear()?;
    found
}

/// The checkout, built; `None` (said aloud) where it cannot be had.
fn prepare(source: Option<PathBuf>, only: &[String]) -> Result<Option<Suite>> {
    let cache = cached("contest")?;
    let checkout = match source {
        Some(dir) => dir.canonicalize().context("find the suite")?,
        None => {
            let checkout = cache.join("checkout");
            let fetched = || {
                quiet(command("git", &["clone", "--quiet", SOURCE]).arg(&checkout))?;
                quiet(command("git", &["checkout", "--quiet", COMMIT]).current_dir(&checkout))
            };
            if !checkout.is_dir()
                && let Err(error) = fetched()
            {
                println!("SKIPPED: contest: name a checkout by DHOW_CONTEST; {error:#}");
                return Ok(None);
            }
            checkout
        }
    };
    // It links the library.
    setup::packages(&["libseccomp-dev"])?;
    let triple = output(&mut command("rustc", &["--print", "host-tuple"]))?.trim().to_owned();
    let build = |target: &str, words: &[&str]| {
        let mut cargo = command("cargo", &["build", "--quiet"]);
        cargo.args(words).current_dir(&checkout).env("CARGO_TARGET_DIR", cache.join(target));
        cargo
    };
    println!("building contest");
    quiet(&mut build("target", &["-p", "contest"]))?;
    // Features are those of all its packages together; the root filesystem has no libraries.
    let mut inside = build("target-static", &["--bin", "runtimetest", "--target", &triple]);
    quiet(inside.env("RUSTFLAGS", "-Ctarget-feature=+crt-static"))?;
    let (program, inside) = (cache.join("target/debug/contest"), cache.join("target-static").join(&triple).join("debug/runtimetest"));
    let bundle = checkout.join("tests/contest/contest/bundle.tar.gz");
    // It unpacks the bundle for whatever it does.
    let mut list = command(&program.to_string_lossy(), &["list"]);
    let listed = output(list.current_dir(bundle.parent().context("the bundle has a directory")?))?;
    let groups = listed.lines().filter(|group| only.is_empty() || only.iter().any(|wanted| wanted == group)).map(str::to_owned).collect();
    Ok(Some(Suite { program, inside, bundle, groups }))
}

fn all(suite: &Suite, runtime: &Path) -> Result<Findings> {
    println!("running {} groups on {}", suite.groups.len(), runtime.display());
    let mut findings = Findings::new();
    for group in &suite.groups {
        let mut call = command("timeout", &[LIMIT]);
        call.arg(&suite.program).args(["run", "--runtime"]).arg(runtime).arg("--runtimetest").arg(&suite.inside).args(["-t", group]);
        call.env(KIND.0, KIND.1).current_dir(suite.bundle.parent().context("the bundle has a directory")?).stdin(Stdio::null());
        let output = call.output().with_context(|| format!("run the group {group}"))?;
        findings.insert(group.clone(), parse(String::from_utf8_lossy(&output.stdout).lines()));
    }
    Ok(findings)
}

/// Reads `3 / 7 : name : ok`; what was skipped is left out. A group of which nothing was said is silent.
pub(crate) fn parse<'l>(lines: impl Iterator<Item = &'l str>) -> Found {
    let (mut found, mut said) = (Found::default(), false);
    for line in lines {
        let Some((name, result)) = line.split_once(" / ").and_then(|(_, rest)| rest.split_once(" : ")?.1.rsplit_once(" : ")) else {
            continue;
        };
        match result.trim() {
            "ok" => found.holds.push(name.to_owned()),
            "not ok" => found.fails.push(name.to_owned()),
            "skipped" => {}
            _ => continue,
        }
        said = true;
    }
    found.silent = !said;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read() {
        let text =
            "# Start group a\n1 / 3 : one : ok\n2 / 3 : two : two : not ok\n\twhy : ok\n3 / 3 : three : skipped\n\tno\n# End group a\n";
        let found = parse(text.lines());
        assert_eq!((found.holds.as_slice(), found.fails.as_slice()), (["one".to_owned()].as_slice(), ["two : two".to_owned()].as_slice()));
        assert!(!found.silent && parse("# Start group a".lines()).silent);
        let skipped = parse("1 / 1 : one : skipped".lines());
        assert!(!skipped.silent && skipped.holds.is_empty());
    }
}
