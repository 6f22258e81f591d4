//! The same command lines on three sides: the docker client on the original, the docker client on us, our own command line
//! on us. What they print and how they end must agree, but for the differences in [`known`].
//!
//! The lines are in `scenes/*.txt`. A scene is a paragraph; every line of it runs in a shell in which `docker` is the side's
//! client, in a directory of the side's own, after what stands above it. After a scene all containers are removed. Words in
//! front of a line:
//!
//! - `codes:` the original says it otherwise by nature (sizes, versions): only its exit code counts. Our two sides must agree.
//! - `ours:` the original is too old for it: our two sides must agree.
//! - `docker:` the two daemons behind the docker client must agree; our own command line differs on purpose.

mod filter;
mod known;

use std::path::{Path, PathBuf};

use dhow_tests::netns::Netns;
use dhow_tests::peer::Dockerd;
use dhow_tests::{Cmd, Engine, Options, Output, paths, skip};

/// A test for each file of scenes.
macro_rules! scenes {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            compare(&lines(include_str!(concat!("scenes/", stringify!($name), ".txt"))), false);
        }
    )*};
}

scenes! { session containers listing copying images removing system events usage isolation watching volumes mounts templates }

/// Bridges are made in namespaces that stand for hosts.
#[test]
fn networks() {
    compare(&lines(include_str!("scenes/networks.txt")), true);
}

/// Which sides of a line are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    All,
    Codes,
    Ours,
    Docker,
}

/// One line of a scene.
#[derive(Debug, Clone, Copy)]
struct Line {
    mode: Mode,
    script: &'static str,
    /// The last one of its scene.
    last: bool,
}

fn lines(text: &'static str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for text in text.lines().map(str::trim) {
        if text.is_empty() {
            if let Some(line) = lines.last_mut() {
                line.last = true;
            }
        } else if !text.starts_with('#') {
            let modes = [("codes:", Mode::Codes), ("ours:", Mode::Ours), ("docker:", Mode::Docker)];
            let marked = modes.into_iter().find_map(|(word, mode)| Some((text.strip_prefix(word)?.trim_start(), mode)));
            let (script, mode) = marked.unwrap_or((text, Mode::All));
            lines.push(Line { mode, script, last: false });
        }
    }
    lines
}

/// A client, an engine, and a directory to work in.
struct Side {
    home: PathBuf,
    socket: PathBuf,
}

impl Side {
    fn new(dir: &Path, socket: PathBuf, client: &Path) -> Self {
        let home = dir.join("h");
        std::fs::create_dir_all(home.join("bin")).expect("a directory for the client");
        std::os::unix::fs::symlink(client, home.join("bin/docker")).expect("a link to the client");
        std::fs::create_dir_all(home.join("w")).expect("a directory to work in");
        Self { home, socket }
    }

    fn shell(&self, script: &str) -> Output {
        let path = format!("{}:{}", self.home.join("bin").display(), dhow_tests::command::PATH);
        Cmd::new("/bin/sh")
            .args(["-c", script])
            .env("PATH", path)
            .env("HOME", &self.home)
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            .env("IMAGE", paths::image("busybox"))
            .dir(self.home.join("w"))
            .run()
    }

    /// What every line of a scene shows, ready to compare: the exit code, and both streams.
    fn play(&self, lines: &[Line], skipped: Option<Mode>) -> Vec<Option<Shown>> {
        let mut shown = Vec::new();
        for line in lines {
            shown.push((Some(line.mode) != skipped).then(|| self.show(&self.shell(line.script))));
            if line.last {
                self.shell("docker ps -aq | xargs -r docker rm -f").ok();
            }
        }
        shown
    }

    fn show(&self, output: &Output) -> Shown {
        let places =
            [(self.socket.as_path(), "SOCKET"), (self.home.as_path(), "HOME"), (self.home.parent().expect("below the engine's"), "ENGINE")];
        let text = |text: String| filter::filter(&text, &places);
        Shown { code: output.code, stdout: text(output.stdout()), stderr: text(output.stderr()) }
    }
}

/// What a line showed on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    code: i32,
    stdout: String,
    stderr: String,
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}]\n{}", self.code, self.stdout)?;
        if self.stderr.is_empty() { Ok(()) } else { write!(f, "\n(stderr) {}", self.stderr) }
    }
}

/// The differences of one line.
fn differences(line: Line, original: Option<Shown>, ours: &Shown, own: &Shown) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, a: &Shown, b: &Shown| {
        found.push(format!("== {}\n-- {what}\n{a}\n-- but\n{b}", line.script));
    };
    if let Some(mut theirs) = original.filter(|_| line.mode != Mode::Ours) {
        theirs.stdout = known::translate(line.script, &theirs.stdout);
        theirs.stderr = known::translate(line.script, &theirs.stderr);
        let agree = if line.mode == Mode::Codes { theirs.code == ours.code } else { theirs == *ours };
        if !agree {
            differ("the docker client on dockerd, and on dhow", &theirs, ours);
        }
    }
    if line.mode != Mode::Docker && ours != own {
        differ("on dhow: the docker client, and our own", ours, own);
    }
    found
}

/// Plays `lines` on the three sides at once. `network`: the engines have networks, each in a namespace of its own.
fn compare(lines: &[Line], network: bool) {
    let Some(docker) = paths::program("docker") else { return skip("the docker client is not installed") };
    let host = network.then(Netns::new);
    let Some(original) = host.as_ref().map_or_else(Dockerd::start, |host| host.run(Dockerd::start)) else { return };
    original.docker(&["load", "-q", "-i"]).args([paths::image("busybox")]).ok();
    let engine = || Engine::with(Options { network, ..Options::default() });
    let (behind_docker, behind_us) = (engine(), engine());
    let sides = [
        Side::new(original.dir(), original.socket(), &docker),
        Side::new(behind_docker.dir(), behind_docker.socket(), &docker),
        Side::new(behind_us.dir(), behind_us.socket(), &paths::dhow()),
    ];
    let [theirs, ours, own] = std::thread::scope(|scope| {
        let run = |side: &'static str, at: usize, skipped| {
            let side_of = &sides[at];
            std::thread::Builder::new().name(side.to_owned()).spawn_scoped(scope, move || side_of.play(lines, skipped)).expect("a thread")
        };
        [run("original", 0, Some(Mode::Ours)), run("ours", 1, None), run("own", 2, Some(Mode::Docker))]
            .map(|thread| thread.join().expect("a side that does not panic"))
    });
    behind_docker.finish();
    behind_us.finish();
    let mut found = Vec::new();
    for (((line, theirs), ours), own) in lines.iter().zip(theirs).zip(ours).zip(own) {
        let ours = ours.expect("never skipped");
        let own = own.unwrap_or_else(|| ours.clone());
        found.extend(differences(*line, theirs, &ours, &own));
    }
    assert!(found.is_empty(), "{} differences in {} lines\n{}", found.len(), lines.len(), found.join("\n"));
}
