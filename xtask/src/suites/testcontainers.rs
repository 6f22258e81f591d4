//! The first steps with testcontainers, in Python and in Node.

use super::compare::Ends;
use super::stage::Stage;
use crate::paths::cached;
use crate::shell::{command, find, output};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

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
        let said = match (name, &tools.python, &tools.node) {
            ("python", Some(python), _) => start(stage, python, &own, "first.py", PYTHON, &own)?,
            ("node", _, Some(dir)) => start(stage, &find("node").context("node is not installed")?, &own, "first.mjs", NODE, dir)?,
            _ => continue,
        };
        let passed: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("PASSED ")).collect();
        ends.extend(passed.iter().map(|step| ((*step).to_owned(), ("PASSED".to_owned(), String::new()))));
        if passed.len() < steps {
            let why = said.lines().rev().find(|line| line.contains("Error")).unwrap_or_default();
            ends.insert(format!("{name}: step {}", passed.len() + 1), ("FAILED".to_owned(), why.to_owned()));
        }
    }
    Ok(ends)
}

fn start(stage: &Stage, program: &Path, home: &Path, file: &str, text: &str, dir: &Path) -> Result<String> {
    // Modules are looked for beside the script.
    let script = dir.join(file);
    std::fs::write(&script, text).context("write a script")?;
    let (mut run, said) = stage.program(program, home)?;
    run.arg(script).env("TESTCONTAINERS_RYUK_DISABLED", "true").env("PYTHONDONTWRITEBYTECODE", "1").env_remove("PYTHONPATH");
    run.status().context("run a script")?;
    std::fs::read_to_string(&said).with_context(|| format!("read {}", said.display()))
}
