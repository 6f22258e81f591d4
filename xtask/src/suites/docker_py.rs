//! docker-py's own integration tests, for Python.

use super::compare::Ends;
use super::stage::{Stage, checkout};
use crate::paths::cache;
use crate::shell::{command, output, quiet};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

const SOURCE: &str = "https://github.com/docker/docker-py";

/// What the suite imports beside Python itself.
const PACKAGES: &[&str] = &["docker", "pytest", "pytest-timeout", "paramiko", "websocket-client"];

/// All but builds, plugins and swarm, which come later.
const FILES: &[&str] = &[
    "api_client_test.py",
    "api_container_test.py",
    "api_exec_test.py",
    "api_healthcheck_test.py",
    "api_image_test.py",
    "api_network_test.py",
    "api_volume_test.py",
    "client_test.py",
    "errors_test.py",
    "models_containers_test.py",
    "models_images_test.py",
    "models_networks_test.py",
    "models_resources_test.py",
    "models_volumes_test.py",
    "regression_test.py",
];

/// What is not counted.
pub(crate) fn apart(name: &str) -> Option<&'static str> {
    let of_swarm = ["test_create_inspect_network_with_scope", "test_create_network_attachable", "test_create_network_ingress"];
    let swarm = of_swarm.iter().any(|test| name.ends_with(test)).then_some("networks of a swarm");
    swarm.or_else(|| name.contains("test_build").then_some("builds come later"))
}

/// A Python with the packages, and the tests; `None` (said aloud) where they cannot be had.
pub(crate) fn prepare(suite: Option<PathBuf>) -> Result<Option<(PathBuf, PathBuf)>> {
    let venv = cache()?.join("docker-py-venv");
    let python = venv.join("bin/python");
    let imports = || {
        output(
            command(&python.to_string_lossy(), &["-c", "import docker, pytest, pytest_timeout, paramiko, websocket"])
                .env_remove("PYTHONPATH"),
        )
    };
    if !python.is_file() || imports().is_err() {
        let made = quiet(command("python3", &["-m", "venv"]).arg(&venv))
            .and_then(|()| quiet(command(&python.to_string_lossy(), &["-m", "pip", "install", "-q"]).args(PACKAGES)));
        if let Err(error) = made {
            println!("SKIPPED: docker-py's tests: {error:#}");
            return Ok(None);
        }
    }
    Ok(checkout("docker-py", suite, SOURCE)?.map(|suite| (python, suite)))
}

/// Runs them.
pub(crate) fn run(stage: &Stage, python: &Path, suite: &Path, filter: Option<&str>) -> Result<Ends> {
    // Only the tests are taken from the checkout: its package has no version until it is built.
    let tests = stage.directory("docker-py")?;
    std::os::unix::fs::symlink(suite.join("tests"), tests.join("tests")).context("link the tests")?;
    let home = tests.join("home");
    std::fs::create_dir(&home).context("a home for the run")?;
    let (mut pytest, said) = stage.program(python, &home)?;
    pytest.args(["-m", "pytest", "-q", "-rA", "--tb=line", "--timeout=60", "-p", "no:cacheprovider"]);
    pytest.args(FILES.iter().map(|file| format!("tests/integration/{file}")));
    if let Some(filter) = filter {
        pytest.args(["-k", filter]);
    }
    pytest.current_dir(&tests).env("COLUMNS", "4000").env("PYTHONDONTWRITEBYTECODE", "1");
    let status = pytest.status().context("run pytest")?;
    let text = std::fs::read_to_string(&said).with_context(|| format!("read {}", said.display()))?;
    let ends = parse(&text);
    if ends.is_empty() {
        bail!("pytest ran no tests: {status}\n{text}");
    }
    Ok(ends)
}

/// Reads the summary: `PASSED file::Class::test`, `FAILED file::Class::test - what it said`.
fn parse(text: &str) -> Ends {
    let ended = |line: &str| {
        let (word, rest) = line.split_once(' ')?;
        if !matches!(word, "PASSED" | "FAILED" | "ERROR" | "XFAIL" | "XPASS") {
            return None;
        }
        let (name, said) = rest.split_once(" - ").unwrap_or((rest, ""));
        let name = name.strip_prefix("tests/integration/")?.to_string();
        Some((name, (word.to_string(), said.to_string())))
    };
    let mut ends = Ends::new();
    for (name, end) in text.lines().filter_map(ended) {
        // A test may pass and its tear-down still fail; that counts.
        if end.0 != "PASSED" || !ends.contains_key(&name) {
            ends.insert(name, end);
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_summary_is_read() {
        let ends = parse(
            "PASSED tests/integration/a.py::A::one\nFAILED tests/integration/a.py::A::pull - no network\nERROR tests/integration/a.py::A::one - \
             tear-down\n1 passed",
        );
        assert_eq!(ends["a.py::A::one"], ("ERROR".to_owned(), "tear-down".to_owned()));
        assert_eq!(ends["a.py::A::pull"], ("FAILED".to_owned(), "no network".to_owned()));
    }
}
