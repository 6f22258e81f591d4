//! docker-py's own integration tests on the original and on us: what passes there must pass here.
//!
//! The suite stays where it is: a checkout named by `--suite` or `DHOW_DOCKER_PY`, or one that git fetches into the cache.

use crate::bench::candidates::{Candidate, Dhow, Docker, Unmount};
use crate::paths::{Scratch, cache, cached};
use crate::shell::{command, output, quiet};
use crate::{build, images, setup};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const SOURCE: &str = "https://github.com/docker/docker-py";

/// What the suite imports beside Python itself.
const PACKAGES: &[&str] = &["docker", "pytest", "pytest-timeout", "paramiko", "websocket-client"];

/// The files about containers, execs, images, networks and events; builds, volumes, plugins and swarm come later.
const FILES: &[&str] = &[
    "api_client_test.py",
    "api_container_test.py",
    "api_exec_test.py",
    "api_healthcheck_test.py",
    "api_image_test.py",
    "api_network_test.py",
    "client_test.py",
    "errors_test.py",
    "models_containers_test.py",
    "models_images_test.py",
    "models_networks_test.py",
    "models_resources_test.py",
    "regression_test.py",
];

/// Names under which the suite expects its image.
const TAGS: &[&str] = &["alpine:3.10", "alpine:latest"];

/// `cargo xtask docker-py [--suite DIR] [--only dhow] [FILTER]`.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let (mut suite, mut alone, mut filter) = (std::env::var_os("DHOW_DOCKER_PY").map(PathBuf::from), false, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--suite" => suite = Some(words.next().context("--suite needs a directory")?.into()),
            "--only" => match words.next().map(String::as_str) {
                Some("dhow") => alone = true,
                other => bail!("--only {}: see `cargo xtask`", other.unwrap_or_default()),
            },
            _ => filter = Some(word.as_str()),
        }
    }
    setup::run(!alone)?;
    let Some((python, suite)) = prepare(suite)? else { return Ok(()) };
    let archive = images::run()?.join("busybox.tar");
    let scratch = Scratch::new("py")?;
    let _unmount = Unmount(scratch.path().to_path_buf());
    let run = |candidate: &dyn Candidate| results(candidate, &python, &suite, &scratch, filter);
    let theirs = match (alone, Docker::start(scratch.path(), &archive)) {
        (true, _) => BTreeMap::new(),
        (false, Ok(docker)) => run(&docker)?,
        (false, Err(error)) => {
            println!("SKIPPED: docker-py's tests: docker: {error:#}");
            return Ok(());
        }
    };
    let dhow = Dhow::start(scratch.path(), &build::build(&["-p", "dhow"], "dhow")?, &archive).context("start dhow")?;
    let ours = run(&dhow)?;
    let (text, worse) = compare(&theirs, &ours);
    println!("{text}");
    if worse > 0 {
        bail!("{worse} of docker-py's tests pass on docker and not on dhow");
    }
    Ok(())
}

/// A Python with the packages, and the tests; `None` (said aloud) where they cannot be had.
fn prepare(suite: Option<PathBuf>) -> Result<Option<(PathBuf, PathBuf)>> {
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
    let suite = match suite {
        Some(dir) => dir,
        None => {
            let dir = cached("docker-py")?;
            let checkout = dir.join("checkout");
            if !checkout.is_dir()
                && let Err(error) = quiet(command("git", &["clone", "--quiet", "--depth", "1", SOURCE]).arg(&checkout))
            {
                println!("SKIPPED: docker-py's tests: name a checkout by DHOW_DOCKER_PY; {error:#}");
                return Ok(None);
            }
            checkout
        }
    };
    Ok(Some((python, suite.canonicalize().with_context(|| format!("find the suite {}", suite.display()))?)))
}

/// How one test ended: the word, and for a failure what it said.
type Ends = BTreeMap<String, (String, String)>;

/// Runs the suite against one engine.
fn results(candidate: &dyn Candidate, python: &Path, suite: &Path, scratch: &Scratch, filter: Option<&str>) -> Result<Ends> {
    println!("running docker-py's tests on {}", candidate.name());
    for tag in TAGS {
        quiet(&mut candidate.command(&["tag", "busybox:latest", tag]).context("an engine has commands")?)?;
    }
    let socket = candidate.socket().context("an engine has a socket")?;
    // Only the tests are taken from the checkout: its package has no version until it is built.
    let tests = scratch.path().join(format!("suite-{}", candidate.name()));
    std::fs::create_dir(&tests).context("a directory for the run")?;
    std::os::unix::fs::symlink(suite.join("tests"), tests.join("tests")).context("link the tests")?;
    let home = tests.join("home");
    std::fs::create_dir(&home).context("a home for the run")?;
    let mut pytest =
        command(&python.to_string_lossy(), &["-m", "pytest", "-q", "-rA", "--tb=line", "--timeout=60", "-p", "no:cacheprovider"]);
    pytest.args(FILES.iter().map(|file| format!("tests/integration/{file}")));
    if let Some(filter) = filter {
        pytest.args(["-k", filter]);
    }
    pytest.current_dir(&tests).env("HOME", &home).env("DOCKER_HOST", format!("unix://{}", socket.display()));
    pytest.env("COLUMNS", "4000").env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    let output = pytest.output().context("run pytest")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let ends = parse(&text);
    if ends.is_empty() {
        bail!("pytest ran no tests: {}\n{text}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
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

/// The differences as text, and how many tests pass on the original only.
fn compare(theirs: &Ends, ours: &Ends) -> (String, usize) {
    let (mut lines, mut worse) = (Vec::new(), 0);
    let passed = |ends: &Ends| ends.values().filter(|(word, _)| word == "PASSED").count();
    for (name, (word, said)) in ours {
        let before = theirs.get(name).map(|(word, _)| word.as_str());
        match (before, word.as_str()) {
            (Some("PASSED"), "PASSED") | (Some("FAILED" | "ERROR"), "FAILED" | "ERROR") => {}
            (Some("PASSED"), _) => {
                worse += 1;
                lines.push(format!("WORSE  {name}: {said}"));
            }
            (Some(_), "PASSED") => lines.push(format!("better {name}")),
            (None, "FAILED" | "ERROR") => lines.push(format!("fails  {name}: {said}")),
            _ => {}
        }
    }
    for name in theirs.iter().filter(|(name, (word, _))| word == "PASSED" && !ours.contains_key(*name)).map(|(name, _)| name) {
        worse += 1;
        lines.push(format!("WORSE  {name}: was not run"));
    }
    if !theirs.is_empty() {
        lines.push(format!("docker passes {} of {}", passed(theirs), theirs.len()));
    }
    lines.push(format!("dhow passes {} of {}", passed(ours), ours.len()));
    (lines.join("\n"), worse)
}

#[cfg(test)]
mod tests {
    use super::{compare, parse};

    #[test]
    fn a_summary_is_read_and_compared() {
        let theirs = parse(
            "PASSED tests/integration/a.py::A::one\nPASSED tests/integration/a.py::A::two\nFAILED tests/integration/a.py::A::pull - no network\n1 passed",
        );
        let ours = parse(
            "PASSED tests/integration/a.py::A::one\nERROR tests/integration/a.py::A::one - tear-down\nPASSED tests/integration/a.py::A::pull",
        );
        let (text, worse) = compare(&theirs, &ours);
        assert_eq!(worse, 2, "{text}");
        assert_eq!(
            text,
            "WORSE  a.py::A::one: tear-down\nbetter a.py::A::pull\nWORSE  a.py::A::two: was not run\ndocker passes 2 of 3\ndhow passes 1 of 2"
        );
    }
}
