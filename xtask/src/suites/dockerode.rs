//! dockerode's own tests, for Node.

use super::compare::Ends;
use super::stage::{Stage, checkout};
use crate::paths::cached;
use crate::shell::{command, find, output, quiet};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

const SOURCE: &str = "https://github.com/apocas/dockerode";

/// What is not counted.
pub(crate) fn apart(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let is = |word: &str| lower.contains(word);
    is("build").then_some("builds come later").or_else(|| is("plugin").then_some("plugins come later"))
}

/// A copy of the checkout with what it needs from npm, kept in the cache.
pub(crate) fn prepare(given: Option<PathBuf>) -> Result<Option<PathBuf>> {
    let (Some(npm), Some(_)) = (find("npm"), find("node")) else {
        println!("SKIPPED: dockerode: node and npm are not installed");
        return Ok(None);
    };
    let Some(suite) = checkout("dockerode", given, SOURCE)? else { return Ok(None) };
    let copy = cached("suites")?.join("dockerode-made");
    if !copy.join("node_modules/mocha").is_dir() {
        quiet(command("cp", &["-r"]).arg(&suite).arg(&copy))?;
        let mut install = command(&npm.to_string_lossy(), &["install", "--no-audit", "--no-fund", "--silent"]);
        if let Err(error) = output(install.current_dir(&copy)) {
            println!("SKIPPED: dockerode: {error:#}");
            return Ok(None);
        }
    }
    Ok(Some(copy))
}

/// Runs them.
pub(crate) fn run(stage: &Stage, suite: &Path, filter: Option<&str>) -> Result<Ends> {
    let home = stage.directory("dockerode")?;
    let report = home.join("report.json");
    let node = find("node").context("node is not installed")?;
    let (mut mocha, said) = stage.program(&node, &home)?;
    mocha.arg(suite.join("node_modules/mocha/bin/mocha.js")).args(["--exit", "-R", "json", "--reporter-option"]);
    mocha.arg(format!("output={}", report.display()));
    if let Some(filter) = filter {
        mocha.args(["-g", filter]);
    }
    // With this set, by the way the suite reads it, DOCKER_HOST counts.
    mocha.current_dir(suite).env("DOCKER_SOCKET", "none");
    mocha.status().context("run mocha")?;
    let text = std::fs::read_to_string(&report).with_context(|| format!("mocha's report; see {}", said.display()))?;
    Ok(ends(&serde_json::from_str(&text).context("mocha's report is JSON")?))
}

fn ends(report: &Value) -> Ends {
    let list = |key: &str| report[key].as_array().cloned().unwrap_or_default();
    let name = |test: &Value| test["fullTitle"].as_str().unwrap_or_default().to_owned();
    let mut ends: Ends = list("passes").iter().map(|test| (name(test), ("PASSED".to_owned(), String::new()))).collect();
    let said = |test: &Value| test["err"]["message"].as_str().unwrap_or_default().replace('\n', " ").chars().take(300).collect();
    ends.extend(list("failures").iter().map(|test| (name(test), ("FAILED".to_owned(), said(test)))));
    ends
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_report_is_read() {
        let report = serde_json::json!({
            "passes": [{ "fullTitle": "#a should b" }],
            "failures": [{ "fullTitle": "#a should c", "err": { "message": "no\nway" } }],
        });
        let ends = super::ends(&report);
        assert_eq!(ends["#a should b"].0, "PASSED");
        assert_eq!(ends["#a should c"], ("FAILED".to_owned(), "no way".to_owned()));
        assert_eq!(super::apart("#docker #buildImage should build"), Some("builds come later"));
    }
}
