//! The first steps with testcontainers, in Python and in Node.

use super::compare::Ends;
use super::stage::Stage;
use crate::paths::cached;
use crate::shell::{command, find, output};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

const PYTHON: &str = include_str!("first.py");
const NODE: &str = include_str!("first.mjs");
/// Of each how many lines it says when all goes well.
const STEPS: [(&str, usize); 2] = [("python", 3), ("node", 4)];

/// The interpreters with the packages, as far as they can be had.
pub(crate) struct Tools {
    python: Option<PathBuf>,
    node: Option<PathBuf>,
}

/// Gets the packages into the cache.
pub(crate) fn prepare() -> Result<Option<Tools>> {
    let tools = Tools { python: skipped(python()), node: skipped(node()) };
    Ok(Some(tools).filter(|tools| tools.python.is_some() || tools.node.is_some()))
}

fn skipped(found: Result<PathBuf>) -> Option<PathBuf> {
    found.map_err(|error| println!("SKIPPED: testcontainers: {error:#}")).ok()
}

fn python() -> Result<PathBuf> {
    let venv = cached("suites")?.join("testcontainers-venv");
    let python = venv.join("bin/python");
    let imports = || output(command(&python.to_string_lossy(), &["-c", "import testcontainers.core.container"]).env_remove("PYTHONPATH"));
    if !python.is_file() || imports().is_err() {
        output(command("python3", &["-m", "venv"]).arg(&venv))?;
        output(&mut command(&python.to_string_lossy(), &["-m", "pip", "install", "-q", "testcontainers"]))?;
    }
    Ok(python)
}

/// The directory with its `node_modules`.
fn node() -> Result<PathBuf> {
    let npm = find("npm").context("npm is not installed")?;
    let dir = cached("suites/testcontainers-node")?;
    if !dir.join("node_modules/testcontainers").is_dir() {
        // The last release for the Node of today's distributions.
        output(
            command(&npm.to_string_lossy(), &["install", "--no-audit", "--no-fund", "--silent", "testcontainers@10"]).current_dir(&dir),
        )?;
    }
    Ok(dir)
}

/// Runs them.
pub(crate) fn run(stage: &Stage, tools: &Tools) -> Result<Ends> {
    let home = stage.directory("testcontainers")?;
    let mut ends = Ends::new();
    for (name, steps) in STEPS {
        let own = home.join(name);
        std::fs::create_dir(&own).context("a directory for the run")?;
        let (ended, said) = match (name, &tools.python, &tools.node) {
            ("python", Some(python), _) => start(stage, python, &own, "first.py", PYTHON, &own)?,
            ("node", _, Some(dir)) => start(stage, &find("node").context("node is not installed")?, &own, "first.mjs", NODE, dir)?,
            _ => continue,
        };
        let passed: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("PASSED ")).collect();
        ends.extend(passed.iter().map(|step| ((*step).to_owned(), ("PASSED".to_owned(), String::new()))));
        if passed.len() < steps {
            ends.insert(format!("{name}: step {}", passed.len() + 1), ("FAILED".to_owned(), why(ended, &said)));
        }
    }
    Ok(ends)
}

/// The last error that it told of, or how it ended and its last line.
fn why(ended: ExitStatus, said: &str) -> String {
    let error = said.lines().rev().find(|line| line.contains("Error"));
    error.map_or_else(|| format!("{ended}; last it said {:?}", said.lines().next_back().unwrap_or_default()), str::to_owned)
}

fn start(stage: &Stage, program: &Path, home: &Path, file: &str, text: &str, dir: &Path) -> Result<(ExitStatus, String)> {
    // Modules are looked for beside the script.
    let script = dir.join(file);
    std::fs::write(&script, text).context("write a script")?;
    let (mut run, said) = stage.program(program, home)?;
    run.arg(script).env("TESTCONTAINERS_RYUK_DISABLED", "true").env("PYTHONDONTWRITEBYTECODE", "1").env_remove("PYTHONPATH");
    let ended = run.status().context("run a script")?;
    Ok((ended, std::fs::read_to_string(&said).with_context(|| format!("read {}", said.display()))?))
}

#[cfg(test)]
mod tests {
    use super::why;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    #[test]
    fn a_failure_says_something() {
        let quiet = ExitStatus::from_raw(0);
        assert_eq!(why(quiet, "PASSED a\nTypeError: b\n  at c\n"), "TypeError: b");
        assert_eq!(why(quiet, "PASSED a\n"), "exit status: 0; last it said \"PASSED a\"");
    }
}
