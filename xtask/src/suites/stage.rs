//! Where the tests of a client run: an engine on a host of its own, with a registry beside it that stands for Docker's, and the images that
//! suites ask for by name.

use crate::bench::candidates::{Candidate, Dhow, Docker};
use crate::bench::netns::Netns;
use crate::bench::registry::Registry;
use crate::paths::{Scratch, cache};
use crate::shell::{command, find, quiet};
use anyhow::{Context, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The registry's address, in a network of the engine's own.
pub(crate) const REGISTRY: &str = "127.0.0.1:5000";
/// It is asked for what would come from Docker's own.
const MIRROR: [&str; 2] = ["--registry-mirror", "http://127.0.0.1:5000"];
/// Longest run of one program of a suite, in seconds.
const LIMIT: &str = "900";

/// Images made of busybox's: name, and what is changed.
const MADE: &[(&str, &[&str])] = &[
    ("hello-world:latest", &["CMD [\"/hello\"]"]),
    ("hello-world:linux", &["CMD [\"/hello\"]"]),
    ("alpine:latest", &["CMD [\"sh\"]"]),
    ("alpine:3.10", &["CMD [\"sh\"]"]),
    ("fussybeaver/uhttpd:latest", &["CMD [\"sh\"]", "EXPOSE 80"]),
];
/// What they have beside busybox.
const CONTENT: &str = "mkdir -p /www /usr/sbin; echo page > /www/index.html; \
    printf '#!/bin/sh\\necho Hello from Docker!\\n' > /hello; \
    printf '#!/bin/sh\\nexec httpd \"$@\"\\n' > /usr/sbin/run_uhttpd; chmod 755 /hello /usr/sbin/run_uhttpd";
/// Of these the registry has copies: under the names that it is asked for by Docker's mirror protocol, and under their own.
const STORED: &[&str] = &["hello-world:latest", "hello-world:linux", "alpine:latest", "alpine:3.10", "busybox:latest", "ubuntu:latest"];

/// An engine, its host and its registry.
pub(crate) struct Stage {
    engine: Box<dyn Candidate>,
    host: Netns,
    _registry: Registry,
    dir: PathBuf,
}

impl Stage {
    /// The original.
    pub(crate) fn docker(scratch: &Scratch, suite: &str, images: &Path) -> Result<Self> {
        Self::new(&format!("o-{suite}"), scratch, images, |dir, archive, host| Ok(Box::new(Docker::start_on(dir, archive, host, &MIRROR)?)))
    }

    /// Ours.
    pub(crate) fn dhow(scratch: &Scratch, suite: &str, images: &Path, program: &Path) -> Result<Self> {
        Self::new(&format!("d-{suite}"), scratch, images, |dir, archive, host| {
            Ok(Box::new(Dhow::start_on(dir, program, archive, host, &MIRROR)?))
        })
    }

    fn new(
        name: &str,
        scratch: &Scratch,
        images: &Path,
        start: impl FnOnce(&Path, &Path, &Netns) -> Result<Box<dyn Candidate>>,
    ) -> Result<Self> {
        let dir = scratch.path().join(name);
        std::fs::create_dir(&dir).context("a directory for an engine")?;
        let host = Netns::new()?;
        let registry = Registry::start_on(&dir.join("registry"), &host, REGISTRY)?;
        let engine = start(&dir, &images.join("busybox.tar"), &host)?;
        let stage = Self { engine, host, _registry: registry, dir };
        stage.fill(images)?;
        Ok(stage)
    }

    /// Makes the images, and puts them into the registry.
    fn fill(&self, images: &Path) -> Result<()> {
        for archive in ["debian.tar", "services.tar"] {
            self.ask(&["load", "-q", "-i", &images.join(archive).to_string_lossy()])?;
        }
        self.ask(&["tag", "debian:bookworm-slim", "ubuntu:latest"])?;
        self.ask(&["run", "--network", "none", "--name", "maker", "busybox", "sh", "-c", CONTENT])?;
        for (name, changes) in MADE {
            let mut words = vec!["commit"];
            words.extend(changes.iter().flat_map(|change| ["-c", change]));
            words.extend(["maker", name]);
            self.ask(&words)?;
        }
        self.ask(&["create", "--name", "redis", "services", "true"])?;
        let redis = "CMD [\"redis-server\", \"--protected-mode\", \"no\", \"--bind\", \"0.0.0.0\"]";
        self.ask(&["commit", "-c", redis, "-c", "EXPOSE 6379", "redis", "redis:latest"])?;
        self.ask(&["rm", "maker", "redis"])?;
        for name in STORED.iter().copied().chain(["fussybeaver/uhttpd:latest"]) {
            for prefix in ["", "library/"] {
                let copy = format!("{REGISTRY}/{prefix}{name}");
                self.ask(&["tag", name, &copy])?;
                self.ask(&["push", &copy])?;
                self.ask(&["rmi", &copy])?;
            }
        }
        Ok(())
    }

    /// `docker` or `dhow`.
    pub(crate) fn name(&self) -> &str {
        self.engine.name()
    }

    /// A directory for one suite's run.
    pub(crate) fn directory(&self, suite: &str) -> Result<PathBuf> {
        let dir = self.dir.join(suite);
        std::fs::create_dir(&dir).with_context(|| format!("make {}", dir.display()))?;
        Ok(dir)
    }

    /// The engine's own command line, in the engine's network.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<()> {
        let plain = self.engine.command(words).context("an engine has commands")?;
        let mut inside = self.host.command(Path::new(plain.get_program()));
        inside.args(plain.get_args()).envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        quiet(inside.stdin(Stdio::null()))
    }

    /// A program of a suite, in the engine's network, ended when it takes too long. What it prints goes to a file that is given back.
    pub(crate) fn program(&self, program: &Path, home: &Path) -> Result<(Command, PathBuf)> {
        let timeout = find("timeout").context("timeout is not installed")?;
        let mut run = self.host.command(&timeout);
        run.args(["-k", "5", LIMIT]).arg(program);
        let socket = self.engine.socket().context("an engine has a socket")?;
        run.env("HOME", home).env("DOCKER_HOST", format!("unix://{}", socket.display())).stdin(Stdio::null());
        let said = home.join("said");
        let file = File::options().create(true).append(true).open(&said).context("a file for what a suite says")?;
        run.stdout(file.try_clone().context("a copy")?).stderr(file);
        Ok((run, said))
    }
}

/// A checkout: the directory that was named, or one that git fetches into the cache. `None` (said aloud) where it cannot be had.
pub(crate) fn checkout(name: &str, given: Option<PathBuf>, source: &str) -> Result<Option<PathBuf>> {
    if let Some(dir) = given {
        return dir.canonicalize().map(Some).with_context(|| format!("find the suite {}", dir.display()));
    }
    let dir = cache()?.join("suites").join(name);
    if !dir.is_dir()
        && let Err(error) = quiet(command("git", &["clone", "--quiet", "--depth", "1", source]).arg(&dir))
    {
        println!("SKIPPED: {name}: name a checkout by {name}=DIR; {error:#}");
        return Ok(None);
    }
    Ok(Some(dir))
}
