//! A throwaway engine: own roots, socket and cgroup parent in a short directory of its own.

use crate::command::{Cmd, Output};
use crate::wait::{until, within};
use crate::{leaks, paths};
use serde_json::Value;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// How an engine is started.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// Further flags of the daemon.
    pub flags: Vec<String>,
    /// Words before the daemon's own (`sh -c ... --`), to give it an odd inheritance.
    pub wrapper: Vec<String>,
    /// Mount a tmpfs of this size (mount(8) syntax) at the data root.
    pub small_disk: Option<String>,
    /// Mount an overlayfs at the data root, as it is within a container.
    pub overlaid: bool,
    /// Load no image.
    pub empty: bool,
    /// Make `dhow runtime` known under this name, as a foreign runtime.
    pub runtime: Option<String>,
    /// Give it a bridge network, in a network namespace of its own that stands for the host. Without, `--bridge none` keeps it away from
    /// the machine's links.
    pub network: bool,
    /// The same, in a namespace where another engine is already.
    pub beside: Option<crate::netns::Netns>,
}

thread_local! {
    static BY_RUNTIME: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs a test whose engine makes its containers by `dhow runtime`, called as any other runtime would be.
pub fn by_the_runtime(test: impl FnOnce()) {
    BY_RUNTIME.set(true);
    test();
}

/// The name by which our binary is that runtime.
pub const RUNTIME: &str = "dhow-runtime";

/// A running daemon and its client's settings. Dropping it checks that nothing is left behind.
#[derive(Debug)]
pub struct Engine {
    dir: PathBuf,
    options: Options,
    cgroup: String,
    daemon: Mutex<Option<Child>>,
    links: std::collections::BTreeSet<String>,
    tables: std::collections::BTreeSet<String>,
    /// The namespace that stands for the host.
    host: Option<crate::netns::Netns>,
    /// What is of another engine there.
    others: std::collections::BTreeSet<String>,
    finished: bool,
}

impl Engine {
    /// An engine with the busybox image.
    #[track_caller]
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    /// An engine started in a particular way.
    #[track_caller]
    pub fn with(mut options: Options) -> Self {
        let dir = tempfile::Builder::new().prefix("dt").rand_bytes(6).tempdir_in("/tmp").expect("a directory under /tmp").keep();
        for sub in ["d", "x", "h"] {
            std::fs::create_dir(dir.join(sub)).expect("a root of the engine");
        }
        let name = dir.file_name().expect("a name").to_string_lossy().into_owned();
        if BY_RUNTIME.get() {
            options.flags.push(format!("--default-runtime={RUNTIME}"));
            options.runtime = Some(RUNTIME.to_owned());
        }
        if let Some(name) = &options.runtime {
            let link = dir.join(RUNTIME);
            std::os::unix::fs::symlink(paths::dhow(), &link).expect("a link");
            options.flags.push(format!("--add-runtime={name}={}", link.display()));
        }
        if let Some(size) = &options.small_disk {
            Cmd::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "dhow-test"]).args([dir.join("d")]).ok();
        }
        if options.overlaid {
            let place = |name: &str| dir.join("o").join(name).display().to_string();
            for name in ["lower", "upper", "work"] {
                std::fs::create_dir_all(place(name)).expect("a directory of the overlay");
            }
            let how = format!("index=off,lowerdir={},upperdir={},workdir={}", place("lower"), place("upper"), place("work"));
            Cmd::new("mount").args(["-t", "overlay", "-o", &how, "dhow-test"]).args([dir.join("d")]).ok();
        }
        let others = options.beside.as_ref().map(|host| host.run(|| leaks::links().into_iter().chain(leaks::tables()).collect()));
        let engine = Self {
            others: others.unwrap_or_default(),
            cgroup: format!("/dhow-{name}"),
            dir,
            daemon: Mutex::new(None),
            links: leaks::links(),
            tables: leaks::tables(),
            host: options.beside.clone().or_else(|| options.network.then(crate::netns::Netns::new)),
            finished: false,
            options,
        };
        engine.start_daemon();
        if !engine.options.empty {
            engine.load("busybox");
        }
        engine
    }

    /// Starts the daemon (again) and waits until it answers.
    #[track_caller]
    pub fn start_daemon(&self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.join("daemon.log")).expect("the daemon's log");
        let mut words = self.options.wrapper.clone();
        words.push(paths::dhow().to_string_lossy().into_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("daemon");
        command.arg("--data-root").arg(self.data_root()).arg("--exec-root").arg(self.exec_root());
        command.arg("-H").arg(format!("unix://{}", self.socket().display()));
        command.arg("--pidfile").arg(self.dir.join("p"));
        command.args(["--cgroup-parent", &self.cgroup, "--log-level", "debug"]).args(&self.options.flags);
        command.env_clear().env("PATH", crate::command::PATH).env("HOME", self.dir.join("h")).env("DHOW_TEST", &self.dir);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a copy")).stderr(log);
        // A group of its own: what is typed at the terminal of the test run is not for it.
        command.process_group(0);
        if self.host.is_none() {
            command.args(["--bridge", "none"]);
        }
        let mut spawn = || command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let mut child = match &self.host {
            Some(host) => host.run(&mut spawn),
            None => spawn(),
        };
        let answered = within(crate::wait::patience(), &mut || {
            if let Some(status) = child.try_wait().expect("wait for the daemon") {
                return Some(Err(status));
            }
            crate::http::get(&self.socket(), "/_ping").is_ok_and(|answer| answer.status == 200).then_some(Ok(()))
        });
        match answered {
            Some(Ok(())) => *self.daemon.lock().expect("no panic holds it") = Some(child),
            other => {
                let _killed = child.kill();
                let _status = child.wait();
                panic!("the daemon does not answer: {other:?}\n{}", self.log());
            }
        }
    }

    /// The daemon's process id.
    pub fn pid(&self) -> i32 {
        self.daemon.lock().expect("no panic holds it").as_ref().map(|child| child.id() as i32).expect("the daemon runs")
    }

    /// Ends the daemon as a machine does: SIGTERM, then its exit code.
    #[track_caller]
    pub fn stop_daemon(&self) -> i32 {
        let mut child = self.daemon.lock().expect("no panic holds it").take().expect("the daemon runs");
        kill(child.id() as i32, 15);
        let status = within(crate::wait::patience(), &mut || child.try_wait().expect("wait for the daemon"));
        match status {
            Some(status) => status.code().unwrap_or(-1),
            None => {
                let _killed = child.kill();
                let _status = child.wait();
                panic!("the daemon did not end on SIGTERM\n{}", self.log());
            }
        }
    }

    /// Waits for the end of a daemon that somebody else has stopped: its exit code.
    #[track_caller]
    pub fn reap_daemon(&self) -> i32 {
        let mut child = self.daemon.lock().expect("no panic holds it").take().expect("the daemon runs");
        let status = within(crate::wait::patience(), &mut || child.try_wait().expect("wait for the daemon"));
        status.and_then(|status| status.code()).unwrap_or(-1)
    }

    /// Kills the daemon without a word.
    pub fn kill_daemon(&self) {
        let mut child = self.daemon.lock().expect("no panic holds it").take().expect("the daemon runs");
        child.kill().expect("kill the daemon");
        let _status = child.wait().expect("wait for the daemon");
    }

    /// The engine's directory, below which everything of it lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until what images are made of has come to the disk, which happens some moments after they are there.
    pub fn settled(&self) {
        let layers = self.data_root().join("layers");
        let lasting = |record: std::path::PathBuf| std::fs::read_to_string(record).is_ok_and(|text| !text.contains("unsynced"));
        crate::wait::until("all layers are synced", || {
            let mut all = std::fs::read_dir(layers.join("layers")).expect("layers").flatten();
            all.all(|layer| lasting(layer.path().join("layer.json")))
                && std::fs::read_dir(layers.join("tmp")).expect("a directory").next().is_none()
        });
    }

    /// `--data-root`.
    pub fn data_root(&self) -> PathBuf {
        self.dir.join("d")
    }

    /// `--exec-root`.
    pub fn exec_root(&self) -> PathBuf {
        self.dir.join("x")
    }

    /// The API's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("s")
    }

    /// Parent of the containers' cgroups.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// What the daemon has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("daemon.log")).unwrap_or_default()
    }

    /// The end of the daemon's log, for messages.
    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// A directory for files of the test.
    #[track_caller]
    pub fn scratch(&self, name: &str) -> PathBuf {
        let dir = self.dir.join("h").join(name);
        std::fs::create_dir_all(&dir).expect("a directory for the test");
        dir
    }

    /// A client's command against this engine.
    pub fn client(&self, program: impl AsRef<OsStr>) -> Cmd {
        let home = self.dir.join("h");
        Cmd::new(program)
            .env("HOME", &home)
            .env("DOCKER_CONFIG", home.join(".docker"))
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()))
            .env("DHOW_TEST", &self.dir)
            .dir(&home)
    }

    /// `dhow WORDS`.
    pub fn dhow<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Cmd {
        self.client(paths::dhow()).args(words)
    }

    /// `docker WORDS`, where the docker client is installed; otherwise it is counted as skipped.
    pub fn docker<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Option<Cmd> {
        let Some(docker) = paths::program("docker") else {
            crate::skip("the docker client is not installed");
            return None;
        };
        Some(self.client(docker).args(words))
    }

    /// `dhow` with words divided by blanks, run to its end.
    #[track_caller]
    pub fn run(&self, words: &str) -> Output {
        self.dhow(words.split_whitespace()).run()
    }

    /// The same, expected to succeed: its standard output.
    #[track_caller]
    pub fn ok(&self, words: &str) -> String {
        self.run(words).ok()
    }

    /// Runs a shell script in a fresh busybox container with further flags; gives the output.
    #[track_caller]
    pub fn shell(&self, flags: &str, script: &str) -> Output {
        self.dhow(["run", "--rm"]).args(flags.split_whitespace()).args(["busybox", "sh", "-c", script]).run()
    }

    /// Loads a test image from the cache.
    #[track_caller]
    pub fn load(&self, name: &str) {
        let archive = paths::image(name);
        self.dhow(["load", "-q", "-i"]).args([archive]).ok();
    }

    /// `inspect` of an object as JSON.
    #[track_caller]
    pub fn inspect(&self, name: &str) -> Value {
        let text = self.dhow(["inspect", name]).ok();
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("inspect {name} is no JSON: {error}\n{text}"));
        value[0].clone()
    }

    /// Waits until the container is in that state.
    #[track_caller]
    pub fn until_state(&self, name: &str, state: &str) {
        until(&format!("{name} is {state}"), || self.inspect(name)["State"]["Status"] == state);
    }

    /// The actions of all events so far, oldest first.
    #[track_caller]
    pub fn events(&self) -> Vec<String> {
        // Durations are cut to whole seconds, so the end lies in the second that comes.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
        let text = self.dhow(["events", "--since", "1", "--until", &(now + 1).to_string(), "--format", "{{.Action}}"]).ok();
        text.lines().map(str::to_string).collect()
    }

    /// The namespace that stands for the host, of an engine with a network.
    #[track_caller]
    pub fn host(&self) -> &crate::netns::Netns {
        self.host.as_ref().expect("an engine with a network")
    }

    /// The container's first process, as the host counts.
    #[track_caller]
    pub fn container_pid(&self, name: &str) -> i32 {
        let pid = self.inspect(name)["State"]["Pid"].as_i64().expect("a pid") as i32;
        assert!(pid > 0, "{name} does not run");
        pid
    }

    /// The shim of a running container: the parent of its first process.
    #[track_caller]
    pub fn shim_pid(&self, name: &str) -> i32 {
        leaks::parent(self.container_pid(name)).expect("the shim")
    }

    /// The spawner: the daemon's child of that name.
    #[track_caller]
    pub fn spawner_pid(&self) -> i32 {
        let daemon = self.pid();
        crate::wait::until_some("the daemon has a spawner", || {
            leaks::pids().into_iter().find(|pid| leaks::parent(*pid) == Some(daemon) && leaks::command_line(*pid).contains("spawner"))
        })
    }

    /// Removes all containers, stops the daemon, and asserts that nothing is left. Dropping does the same.
    #[track_caller]
    pub fn finish(mut self) {
        self.tear_down();
    }

    #[track_caller]
    fn tear_down(&mut self) {
        if self.finished {
            return;
        }
        if self.daemon.lock().expect("no panic holds it").is_none() {
            self.start_daemon();
        }
        let ids = self.dhow(["ps", "-aq"]).ok();
        if !ids.is_empty() {
            self.dhow(["rm", "-f"]).args(ids.split_whitespace()).ok();
        }
        let family = leaks::family(self.pid());
        let code = self.stop_daemon();
        self.finished = true;
        let mut left = self.leftovers(&family);
        if !left.is_empty() {
            // Tear-down may take a moment after the answer.
            within(Duration::from_secs(5), &mut || {
                left = self.leftovers(&family);
                left.is_empty().then_some(())
            });
        }
        let (log, end) = (self.log(), self.log_end());
        self.sweep();
        if original() {
            return;
        }
        assert!(left.is_empty(), "left behind:\n{}\n-- daemon's log\n{end}", left.join("\n"));
        assert!(code == 0, "the daemon ended with {code}\n{end}");
        assert!(!log.contains("panicked at"), "the daemon panicked\n{end}");
    }

    /// What a stopped engine without containers has left on the host.
    fn leftovers(&self, family: &[leaks::Process]) -> Vec<String> {
        let mut left = Vec::new();
        left.extend(leaks::mounts(&self.dir).into_iter().filter(|line| !line.contains(" dhow-test ")).map(|line| format!("mount: {line}")));
        let processes =
            family.iter().copied().filter(|process| leaks::alive(process.0) == Some(*process)).chain(leaks::processes(&self.dir));
        left.extend(processes.map(|(pid, _)| format!("process {pid}: {}", leaks::command_line(pid))));
        left.extend(leaks::cgroups(&self.cgroup).into_iter().map(|dir| format!("cgroup: {}", dir.display())));
        left.extend(leaks::files(&self.exec_root()).into_iter().map(|file| format!("file: {}", file.display())));
        left.extend(leaks::files(&self.data_root().join("containers")).into_iter().map(|file| format!("file: {}", file.display())));
        left.extend(
            [self.socket(), self.dir.join("p")].into_iter().filter(|path| path.exists()).map(|path| format!("file: {}", path.display())),
        );
        if let Some(host) = &self.host {
            let links = host.run(leaks::links).into_iter().filter(|name| name != "lo" && name != "outside");
            let new = |name: &String| !self.others.contains(name);
            left.extend(links.filter(new).map(|name| format!("link: {name}")));
            left.extend(host.run(leaks::tables).into_iter().filter(new).map(|name| format!("nft: {name}")));
        }
        // Other tests run beside this one, so only names that an engine of ours would give count.
        let ours = |name: &&String| name.contains("dhow");
        left.extend(leaks::links().difference(&self.links).filter(ours).map(|name| format!("link: {name}")));
        left.extend(leaks::tables().difference(&self.tables).filter(ours).map(|name| format!("nft: {name}")));
        left
    }

    /// Removes whatever is there, by force; says nothing.
    fn sweep(&self) {
        if let Ok(mut daemon) = self.daemon.lock()
            && let Some(mut child) = daemon.take()
        {
            let _killed = child.kill();
            let _status = child.wait();
        }
        let in_cgroups = || -> Vec<i32> {
            let dirs = leaks::cgroups(&self.cgroup).into_iter().flat_map(|dir| leaks::tree(&dir));
            let text: String = dirs.filter_map(|dir| std::fs::read_to_string(dir.join("cgroup.procs")).ok()).collect();
            text.lines().filter_map(|line| line.parse().ok()).collect()
        };
        let _empty = within(Duration::from_secs(5), &mut || {
            let pids: Vec<i32> = in_cgroups().into_iter().chain(leaks::processes(&self.dir).into_iter().map(|(pid, _)| pid)).collect();
            pids.iter().for_each(|pid| kill(*pid, 9));
            pids.is_empty().then_some(())
        });
        for line in leaks::mounts(&self.dir).iter().rev() {
            if let Some(target) = line.split(' ').nth(4) {
                let _output = Cmd::new("umount").args(["-l", target]).run();
            }
        }
        for dir in leaks::cgroups(&self.cgroup).into_iter().flat_map(|dir| leaks::tree(&dir)) {
            let _removed = std::fs::remove_dir(dir);
        }
        if std::env::var_os("DHOW_KEEP").is_none() {
            let _removed = std::fs::remove_dir_all(&self.dir);
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            crate::complain(&format!("-- daemon's log ({})\n{}", self.dir.display(), self.log_end()));
            self.sweep();
        } else {
            self.tear_down();
        }
    }
}

/// Whether `DHOW_BIN` is the original in disguise (CONTRIBUTING.md): the tests are proven on it, what it leaves behind is its own affair.
pub fn original() -> bool {
    std::env::var_os("DHOW_ORIGINAL").is_some()
}

/// Sends a signal to a process that the test knows.
pub fn kill(pid: i32, signal: i32) {
    if let (Some(pid), Some(signal)) = (rustix::process::Pid::from_raw(pid), rustix::process::Signal::from_named_raw(signal)) {
        // It may have ended already, which is what the caller wants anyway.
        let _sent = rustix::process::kill_process(pid, signal);
    }
}
