//! bollard's own tests, for Rust.

use super::compare::Ends;
use super::stage::{REGISTRY, Stage, checkout};
use crate::paths::cached;
use crate::shell::command;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const SOURCE: &str = "https://github.com/fussybeaver/bollard";

/// What is not counted.
pub(crate) fn apart(name: &str) -> Option<&'static str> {
    name.contains("build").then_some("builds come later")
}

/// The test programs: built once, kept in the cache.
pub(crate) fn prepare(given: Option<PathBuf>) -> Result<Option<Vec<PathBuf>>> {
    let Some(suite) = checkout("bollard", given, SOURCE)? else { return Ok(None) };
    let mut build = command("cargo", &["test", "--no-run", "--tests", "--message-format=json", "--quiet"]);
    build.current_dir(&suite).env("CARGO_TARGET_DIR", target()?).env_remove("CARGO_BUILD_TARGET").stderr(Stdio::null());
    let built = build.output().context("build bollard's tests")?;
    if !built.status.success() {
        println!("SKIPPED: bollard: its tests cannot be built ({})", built.status);
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&built.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let tests = messages.filter(|message| message["target"]["kind"][0] == "test");
    let mut programs: Vec<PathBuf> = tests.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).collect();
    programs.sort();
    Ok(Some(programs))
}

fn target() -> Result<PathBuf> {
    match std::env::var_os("DHOW_BOLLARD_TARGET") {
        Some(dir) => Ok(dir.into()),
        None => Ok(cached("suites")?.join("bollard-target")),
    }
}

/// Runs them, one test at a time.
pub(crate) fn run(stage: &Stage, programs: &[PathBuf], filter: Option<&str>) -> Result<Ends> {
    let home = stage.directory("bollard")?;
    let mut all = Ends::new();
    for program in programs {
        let group = group(program);
        let own = home.join(&group);
        std::fs::create_dir(&own).context("a directory for the run")?;
        let (mut run, said) = stage.program(program, &own)?;
        run.args(["--test-threads=1"]).args(filter).env("REGISTRY_HTTP_ADDR", REGISTRY).env("REGISTRY_PASSWORD", "secret");
        run.current_dir(&own).status().context("run bollard's tests")?;
        let text = std::fs::read_to_string(&said).with_context(|| format!("read {}", said.display()))?;
        all.extend(parse(&group, &text));
    }
    Ok(all)
}

/// `container_test` of `container_test-0123456789abcdef`.
fn group(program: &Path) -> String {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    name.rsplit_once('-').map_or(&*name, |(name, _)| name).to_owned()
}

/// `test NAME ... ok`; what a test prints may stand between.
fn parse(group: &str, text: &str) -> Ends {
    let mut ends = Ends::new();
    let mut open = None;
    for line in text.lines() {
        if let Some((name, rest)) = line.strip_prefix("test ").and_then(|line| line.split_once(" ... ")) {
            open = Some(name.trim_end_matches(" - should panic").to_owned());
            if let Some(word) = word(rest) {
                ends.extend(open.take().map(|name| (format!("{group}::{name}"), (word.to_owned(), String::new()))));
            }
        } else if let Some(word) = word(line) {
            ends.extend(open.take().map(|name| (format!("{group}::{name}"), (word.to_owned(), String::new()))));
        } else if let Some(name) = line.strip_prefix("thread '").and_then(|rest| rest.split('\'').next()) {
            // The place of a panic; the line behind it says more.
            let said = text.split_once(line).and_then(|(_, rest)| rest.lines().nth(1)).unwrap_or_default();
            if let Some(end) = ends.get_mut(&format!("{group}::{name}")) {
                end.1 = said.chars().take(300).collect();
            }
        }
    }
    // One that was cut off.
    ends.extend(open.map(|name| (format!("{group}::{name}"), ("FAILED".to_owned(), "it did not end".to_owned()))));
    ends
}

fn word(text: &str) -> Option<&'static str> {
    match text.trim_end().rsplit(' ').next()? {
        "ok" => Some("PASSED"),
        "FAILED" => Some("FAILED"),
        "ignored" => Some("IGNORED"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{group, parse};

    #[test]
    fn output_is_read() {
        let text = "running 4 tests\ntest a ... ok\ntest b ... something said\nFAILED\ntest c ... ignored\n\nfailures:\n\n---- b stdout ----\n\n\
                    thread 'b' (7) panicked at x.rs:1:2:\nwent wrong\ntest d ... ";
        let ends = parse("g", text);
        assert_eq!(ends["g::a"].0, "PASSED");
        assert_eq!(ends["g::b"], ("FAILED".to_owned(), "went wrong".to_owned()));
        assert_eq!(ends["g::c"].0, "IGNORED");
        assert_eq!(ends["g::d"].1, "it did not end");
        assert_eq!(group("/x/container_test-01ab".as_ref()), "container_test");
    }
}
