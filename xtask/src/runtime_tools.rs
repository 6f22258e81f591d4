//! The validation programs of opencontainers' runtime-tools on runc and on `dhow runtime`: what passes there must pass here.
//!
//! The suite stays where it is: a checkout named by `--suite` or `DHOW_RUNTIME_TOOLS`, or one that git fetches into the cache.

use crate::findings::{Findings, Found, compare};
use crate::groups::Groups;
use crate::paths::{Scratch, cached};
use crate::shell::{command, find, quiet};
use crate::{build, setup};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

const SOURCE: &str = "https://github.com/opencontainers/runtime-tools";
/// The last state that Debian's Go can build.
const COMMIT: &str = "260e151b8552afa2678ef6d41820ea0f31cd8be1";
/// Longest that one program may take: some wait for what never comes.
const LIMIT: Duration = Duration::from_secs(60);

/// `cargo xtask runtime-tools [--suite DIR] [FILTER]`.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let (mut suite, mut filter) = (std::env::var_os("DHOW_RUNTIME_TOOLS").map(PathBuf::from), None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--suite" => suite = Some(words.next().context("--suite needs a directory")?.into()),
            _ => filter = Some(word.as_str()),
        }
    }
    setup::run(true)?;
    let Some(runc) = find("runc") else {
        println!("SKIPPED: runtime-tools: runc is not installed");
        return Ok(());
    };
    let Some(suite) = prepare(suite)? else { return Ok(()) };
    let scratch = Scratch::new("rt")?;
    let own = scratch.path().join("dhow-runtime");
    std::os::unix::fs::symlink(build::build(&["-p", "dhow"], "dhow")?, &own).context("link the runtime")?;
    let programs = programs(&suite, filter)?;
    let groups = Groups::now()?;
    let found = all(&suite, &programs, &runc).and_then(|theirs| Ok((theirs, all(&suite, &programs, &own)?)));
    groups.clear()?;
    let (theirs, ours) = found?;
    let (text, worse) = compare(&theirs, &ours);
    println!("{text}");
    if worse > 0 {
        bail!("{worse} checks pass on runc and not on dhow");
    }
    Ok(())
}

/// The checkout, built; `None` (said aloud) where it cannot be had.
fn prepare(suite: Option<PathBuf>) -> Result<Option<PathBuf>> {
    let suite = match suite {
        Some(dir) => dir.canonicalize().context("find the suite")?,
        None => {
            let checkout = cached("runtime-tools")?.join("checkout");
            let fetched = || {
                quiet(command("git", &["clone", "--quiet", SOURCE]).arg(&checkout))?;
                quiet(command("git", &["checkout", "--quiet", COMMIT]).current_dir(&checkout))
            };
            if !checkout.is_dir()
                && let Err(error) = fetched()
            {
                println!("SKIPPED: runtime-tools: name a checkout by DHOW_RUNTIME_TOOLS; {error:#}");
                return Ok(None);
            }
            checkout
        }
    };
    if find("go").is_none() {
        println!("SKIPPED: runtime-tools: go is not installed");
        return Ok(None);
    }
    let go = |words: &[&str]| quiet(command("go", words).current_dir(&suite).env("GOFLAGS", "-mod=vendor"));
    if !suite.join("runtimetest").is_file() {
        println!("building runtime-tools");
        go(&["build", "-tags", "netgo osusergo", "-ldflags", "-extldflags -static", "-o", "runtimetest", "./cmd/runtimetest"])?;
    }
    for source in sources(&suite)? {
        let program = source.with_extension("t");
        if !program.is_file() {
            go(&["build", "-o", &program.to_string_lossy(), &source.to_string_lossy()])?;
        }
    }
    Ok(Some(suite))
}

/// One Go file for each program.
fn sources(suite: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for dir in std::fs::read_dir(suite.join("validation")).context("read the suite")? {
        let dir = dir?.path();
        if !dir.is_dir() || dir.ends_with("util") {
            continue;
        }
        let files = std::fs::read_dir(&dir)?.collect::<std::io::Result<Vec<_>>>()?;
        all.extend(files.into_iter().map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "go")));
    }
    all.sort();
    Ok(all)
}

fn programs(suite: &Path, filter: Option<&str>) -> Result<Vec<PathBuf>> {
    let all = sources(suite)?.into_iter().map(|source| source.with_extension("t"));
    Ok(all.filter(|program| filter.is_none_or(|filter| program.to_string_lossy().contains(filter))).collect())
}

fn all(suite: &Path, programs: &[PathBuf], runtime: &Path) -> Result<Findings> {
    println!("running {} programs on {}", programs.len(), runtime.display());
    let mut findings = Findings::new();
    for program in programs {
        let name = program.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let mut call = command("timeout", &[&LIMIT.as_secs().to_string()]);
        call.arg(program).current_dir(suite).env("RUNTIME", runtime).stdin(Stdio::null());
        let output = call.output().with_context(|| format!("run {}", program.display()))?;
        findings.insert(name, parse(&String::from_utf8_lossy(&output.stdout)));
    }
    Ok(findings)
}

/// Reads the Test Anything Protocol: `ok 1 - words`, `not ok 2 - words`.
fn parse(text: &str) -> Found {
    let mut found = Found::default();
    for line in text.lines() {
        let (list, rest) = match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
            (Some(rest), _) => (&mut found.holds, rest),
            (_, Some(rest)) => (&mut found.fails, rest),
            _ => continue,
        };
        let words = rest.split_once(' ').map_or("", |(_, words)| words.trim_start_matches("- "));
        list.push(words.to_owned());
    }
    found.silent = found.holds.is_empty() && found.fails.is_empty();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read() {
        let theirs = parse("TAP version 13\nok 1 - one\nnot ok 2 - two\n  ---\nok 3\n1..3\n");
        assert_eq!(
            (theirs.holds.as_slice(), theirs.fails.as_slice()),
            (["one".to_owned(), String::new()].as_slice(), ["two".to_owned()].as_slice())
        );
        assert!(!theirs.silent && parse("").silent);
    }
}
