//! The engine: what a front end calls. Cheap to clone. No call waits for an operation on another object.

use crate::container::{Command, Slot, is_active, not_running};
use crate::error::{Error, Kind, Result};
use crate::events::{Event, Hub};
use crate::host::Host;
use crate::model::{Container, ExecRequest, ExecState, Request, Resources};
use crate::registry::Registry;
use crate::spec::seccomp::Filters;
use crate::store::Store;
use crate::tasks::Tasks;
use crate::{accounts, adopt, attach, commit, create, exec, export, ids, images, init, logs, roots, signal, stats, top};
use dhow_image::{Image, Images, Loaded, Removed};
use dhow_reference::Reference;
use dhow_runtime::cgroup::Cgroup;
use dhow_shim::config::Foreign;
use dhow_shim::handle::Spawner;
use dhow_storage::{LayerStore, SnapshotKey};
use std::collections::HashSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, oneshot};

/// Where the engine lives. All names on the host derive from these, so that any number of engines run side by side.
#[derive(Debug, Clone)]
pub struct Options {
    /// `/var/lib/dhow`.
    pub data_root: PathBuf,
    /// `/run/dhow`.
    pub exec_root: PathBuf,
    /// Parent cgroup of containers (`/dhow`, or `/dhow-HASH` where the roots are not the default).
    pub cgroup_parent: String,
    /// Directories of CDI files, later ones win; none turns CDI off.
    pub cdi_dirs: Vec<PathBuf>,
    /// Options of json-file logs where the container sets none.
    pub log_options: std::collections::BTreeMap<String, String>,
    /// OCI runtimes that containers may ask for instead of our own, by name.
    pub runtimes: std::collections::BTreeMap<String, Foreign>,
}

/// When [`Engine::wait`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// At once when it does not run.
    NotRunning,
    /// At its next end.
    NextExit,
    /// When it is removed.
    Removed,
}

/// A client's stream, taken over from the front end. The shim serves it; the front end must not touch it any more.
#[derive(Debug)]
pub struct Client {
    /// The socket.
    pub socket: OwnedFd,
    /// Input that was read with the request.
    pub early: Vec<u8>,
    /// What it is to read before anything else (HTTP's answer). The engine writes it when the client has its place, or when it has none: who
    /// has read it may start the container, and that start must not come before the client.
    pub head: Vec<u8>,
}

impl Client {
    /// Writes the head, once. Its socket is fresh: one that does not take these few bytes at once has not read its answers before.
    pub(crate) fn greet(&mut self) -> std::io::Result<()> {
        let head = std::mem::take(&mut self.head);
        attach::write_now(&self.socket, &head)
    }
}

/// How a client attaches.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "Docker's query parameters by their names")]
pub struct AttachRequest {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub logs: bool,
    pub stream: bool,
    pub detach_keys: Option<String>,
    /// Without frames, whatever the container has.
    pub raw: bool,
}

/// How an exec is started.
#[derive(Debug, Default)]
pub struct ExecStart {
    /// Who sees its output; `None` when it is detached.
    pub client: Option<Client>,
    /// Height and width of its terminal.
    pub console_size: Option<(u16, u16)>,
    /// The client wants bytes as they come, not in frames. It is the start that says so, whether the exec has a terminal or not.
    pub raw: bool,
}

/// Which log lines.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "Docker's query parameters by their names")]
pub struct LogRequest {
    pub stdout: bool,
    pub stderr: bool,
    pub follow: bool,
    /// Nanoseconds since 1970.
    pub since: Option<i64>,
    /// Nanoseconds since 1970.
    pub until: Option<i64>,
    /// `None`: all.
    pub tail: Option<u64>,
}

/// One line of a log (or part of a long one), as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// 1 or 2.
    pub stream: u8,
    /// Nanoseconds since 1970.
    pub at: i64,
    /// With its newline, if it had one.
    pub text: Vec<u8>,
    /// Attributes for `details`.
    pub attrs: std::collections::BTreeMap<String, String>,
}

/// Longest wait for clean-up in the background when the engine closes; the next one finishes the rest.
const CLOSE_WAIT: Duration = Duration::from_secs(15);

/// What an engine is made of. Each part guards itself; nothing here is held across an await.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) options: Options,
    pub(crate) host: Host,
    pub(crate) layers: Arc<dyn LayerStore>,
    pub(crate) images: Arc<Images>,
    pub(crate) spawner: Spawner,
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) events: Hub,
    pub(crate) execs: exec::Execs,
    pub(crate) accounts: accounts::Cache,
    pub(crate) filters: Filters,
    pub(crate) stats: stats::Board,
    /// One for each container.
    pub(crate) actors: Tasks,
    /// Clean-up that nobody waits for.
    pub(crate) background: Tasks,
    closing: AtomicBool,
    init: Mutex<Option<PathBuf>>,
    lock: File,
}

impl Parts {
    /// Directory of a container: its log and the files of its sandbox.
    pub(crate) fn container_dir(&self, id: &str) -> PathBuf {
        self.options.data_root.join("containers").join(id)
    }

    /// Its json-file log.
    pub(crate) fn log_file(&self, id: &str) -> PathBuf {
        self.container_dir(id).join(format!("{id}-json.log"))
    }

    /// Directory of a container's shim. Short: a socket's path has at most 108 bytes.
    pub(crate) fn shim_dir(&self, id: &str) -> PathBuf {
        self.options.exec_root.join("c").join(ids::short(id))
    }

    /// Nothing new is begun.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// The program behind `--init`.
    pub(crate) fn init_program(&self) -> Result<PathBuf> {
        let mut known = self.init.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &*known {
            return Ok(path.clone());
        }
        let path = init::program(&self.options.data_root.join("init"))?;
        *known = Some(path.clone());
        Ok(path)
    }

    fn slot(&self, name: &str) -> Result<Arc<Slot>> {
        self.registry.get(name)
    }
}

/// The engine.
#[derive(Debug, Clone)]
pub struct Engine {
    parts: Arc<Parts>,
}

/// What is opened from disk before anything runs.
struct Stores {
    store: Store,
    containers: Vec<Container>,
    layers: Arc<dyn LayerStore>,
    images: Images,
    lock: File,
}

fn open_stores(options: &Options) -> Result<Stores> {
    let lock = roots::open(options)?;
    let (store, containers) = Store::open(&options.data_root.join("state.db"))?;
    let layers = dhow_storage::dir::DirStore::open(&options.data_root.join("layers"))?;
    let known: HashSet<&str> = containers.iter().map(|c| c.id.as_str()).collect();
    layers.sweep(&|key: &SnapshotKey| known.contains(key.0.as_str()))?;
    let layers: Arc<dyn LayerStore> = Arc::new(layers);
    let images = Images::open(&options.data_root.join("images"), layers.clone())?;
    Ok(Stores { store, containers, layers, images, lock })
}

impl Engine {
    /// Opens the roots (0710/0711, checked), the stores and the spawner; adopts running containers; finishes or removes what a crash left.
    /// Fails if another engine holds the roots (a lock on the data root).
    pub async fn open(options: Options) -> Result<Self> {
        let stores = {
            let options = options.clone();
            tokio::task::spawn_blocking(move || open_stores(&options))
        };
        // Side by side: the spawner copies the program into memory meanwhile.
        let (stores, spawner) = tokio::join!(stores, Spawner::start());
        let Stores { store, containers, layers, images, lock } =
            stores.map_err(|e| Error::internal("open", options.data_root.display(), e))??;
        let spawner = spawner.map_err(|e| Error::internal("start", "the spawner", e))?;
        let parts = Arc::new(Parts {
            options,
            host: Host::read(),
            layers,
            images: Arc::new(images),
            spawner,
            store,
            registry: Registry::default(),
            events: Hub::new(),
            execs: exec::Execs::default(),
            accounts: accounts::Cache::default(),
            filters: Filters::default(),
            stats: stats::Board::default(),
            actors: Tasks::default(),
            background: Tasks::default(),
            closing: AtomicBool::new(false),
            init: Mutex::default(),
            lock,
        });
        adopt::adopt(&parts, containers).await?;
        adopt::start_again(&parts);
        Ok(Self { parts })
    }

    /// Ends the spawner's connection and stops taking commands. Containers go on.
    pub async fn close(&self) {
        let parts = &self.parts;
        if parts.closing.swap(true, Ordering::AcqRel) {
            return;
        }
        // Operations first, while there are actors to do them; then what the actors left behind.
        self.wait_for_background().await;
        let mut running = false;
        for slot in parts.registry.all() {
            running |= is_active(slot.get().state.status);
            // One that is gone already has nothing left to say.
            let _ = slot.ask(Command::Quit).await;
        }
        parts.actors.idle().await;
        self.wait_for_background().await;
        parts.store.close().await;
        if !running {
            self.leave_no_trace();
        }
        if let Err(error) = rustix::fs::flock(&parts.lock, rustix::fs::FlockOperation::Unlock) {
            tracing::warn!(%error, "the lock on the data root was not given back");
        }
    }

    async fn wait_for_background(&self) {
        if tokio::time::timeout(CLOSE_WAIT, self.parts.background.idle()).await.is_err() {
            tracing::warn!("some clean-up is left to the next start");
        }
    }

    /// Takes away what containers of this engine had in common, where nothing is in it.
    fn leave_no_trace(&self) {
        let options = &self.parts.options;
        if let Err(error) = Cgroup::remove_parent_if_empty(&options.cgroup_parent) {
            tracing::warn!(cgroup = options.cgroup_parent, %error, "the parent cgroup was not removed");
        }
        for name in ["c", "netns"] {
            let dir = options.exec_root.join(name);
            if let Err(error) = std::fs::remove_dir(&dir) {
                tracing::debug!(directory = %dir.display(), %error, "not removed");
            }
        }
    }

    /// Stops every container by its stop signal and time-out, as dockerd does at its end.
    pub async fn stop_all(&self) {
        let stops = self.parts.registry.all().into_iter().filter(|slot| is_active(slot.get().state.status)).map(|slot| async move {
            match slot.ask(Command::ShutDown).await {
                Err(e) if e.kind != Kind::NotModified && e.kind != Kind::NotFound => {
                    tracing::warn!(container = slot.id, error = %e, "it was not stopped");
                }
                _ => {}
            }
        });
        futures_util::future::join_all(stops).await;
    }

    /// Names of the devices that containers may ask for, read anew.
    pub fn devices(&self) -> Vec<String> {
        crate::devices::names(&self.parts.options.cdi_dirs)
    }

    /// As given.
    pub fn options(&self) -> &Options {
        &self.parts.options
    }

    /// Validates and makes. Answers the id and warnings.
    pub async fn create(&self, request: Request) -> Result<(String, Vec<String>)> {
        let parts = self.parts.clone();
        // On a task of its own: a client that goes away leaves nothing half-made.
        whole(self.parts.background.spawn(async move { create::create(&parts, request).await })).await
    }

    /// By id, name, or unique id prefix, in Docker's order.
    pub fn container(&self, name: &str) -> Result<Arc<Container>> {
        Ok(self.parts.slot(name)?.get())
    }

    /// All of them, newest first.
    pub fn containers(&self) -> Vec<Arc<Container>> {
        let mut all: Vec<_> = self.parts.registry.all().iter().map(|slot| slot.get()).collect();
        all.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// Starts. `Kind::NotModified` when it runs already.
    pub async fn start(&self, name: &str) -> Result<()> {
        self.parts.slot(name)?.ask(Command::Start).await
    }

    /// Stops: signal, wait, kill. `Kind::NotModified` when it does not run. Seconds; `None`: the container's own; negative: for ever.
    pub async fn stop(&self, name: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        let slot = self.parts.slot(name)?;
        let signal = parse_signal(signal)?;
        slot.ask(|reply| Command::Stop { signal, timeout, keep: false, reply }).await
    }

    /// Stops and starts.
    pub async fn restart(&self, name: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        let slot = self.parts.slot(name)?;
        let prefix = format!("Cannot restart container {name}: ");
        let signal = parse_signal(signal)?;
        // Begun, it is finished, whether the client stays or not.
        let work = self.parts.background.spawn(async move {
            let stopped = slot.ask(|reply| Command::Stop { signal, timeout, keep: true, reply }).await;
            match stopped {
                Err(e) if e.kind != Kind::NotModified => Err(e),
                _ => match slot.ask(Command::Start).await {
                    Err(e) if e.kind == Kind::NotModified => Ok(()),
                    done => done,
                },
            }?;
            Ok(slot)
        });
        let slot = whole(work).await.map_err(|e| e.prefixed(&prefix))?;
        crate::container::tell(&self.parts, &slot.get(), "restart", &[]);
        Ok(())
    }

    /// Sends a signal (name or number, with or without SIG); KILL where `None`.
    pub async fn kill(&self, name: &str, signal: Option<&str>) -> Result<()> {
        let signal = parse_signal(signal)?.unwrap_or(signal::KILL);
        let slot = self.parts.slot(name).map_err(|error| error.prefixed(&format!("cannot kill container: {name}: ")))?;
        slot.ask(|reply| Command::Kill { name: name.to_owned(), signal, reply }).await
    }

    /// Removes.
    pub async fn remove(&self, name: &str, force: bool, _volumes: bool) -> Result<()> {
        let slot = self.parts.slot(name)?;
        slot.ask(|reply| Command::Remove { name: name.to_owned(), force, reply }).await
    }

    /// Renames.
    pub async fn rename(&self, name: &str, to: &str) -> Result<()> {
        if name.is_empty() || to.is_empty() {
            return Err(Error::new(Kind::Invalid, "Neither old nor new names may be empty"));
        }
        let slot = self.parts.slot(name)?;
        let to = to.to_owned();
        slot.ask(|reply| Command::Rename { to, reply }).await
    }

    /// Freezes.
    pub async fn pause(&self, name: &str) -> Result<()> {
        self.parts.slot(name)?.ask(Command::Pause).await
    }

    /// Thaws.
    pub async fn unpause(&self, name: &str) -> Result<()> {
        self.parts.slot(name)?.ask(Command::Unpause).await
    }

    /// Changes limits and, where one is given, the restart policy.
    pub async fn update(&self, name: &str, resources: Resources, restart: Option<(String, i64)>) -> Result<Vec<String>> {
        if let Some(policy) = &restart {
            create::check_policy(policy, false)?;
        }
        let slot = self.parts.slot(name)?;
        let resources = Box::new(resources);
        slot.ask(|reply| Command::Update { resources, restart, reply }).await
    }

    /// Registers the wait before it returns (so that a caller may start the container next) and gives a future with exit code and error text.
    pub async fn wait(&self, name: &str, until: WaitFor) -> Result<oneshot::Receiver<(i64, Option<String>)>> {
        let slot = self.parts.slot(name)?;
        let (waiter, end) = oneshot::channel();
        slot.ask(|reply| Command::Wait { until, waiter, reply }).await?;
        Ok(end)
    }

    /// Checks that an attach is possible, before the front end answers 101: parses detach keys, looks the container up.
    pub fn check_attach(&self, name: &str, request: &AttachRequest) -> Result<Arc<Container>> {
        attach::check(&self.parts, name, request)
    }

    /// Gives a client to the container: at once when it runs, at its start otherwise. Where no live stream is wanted, the client gets the logs
    /// and is closed.
    pub async fn attach(&self, name: &str, request: AttachRequest, client: Client) -> Result<()> {
        attach::attach(&self.parts, name, request, client).await
    }

    /// Resizes the terminal.
    pub async fn resize(&self, name: &str, height: u16, width: u16) -> Result<()> {
        let slot = self.parts.slot(name)?;
        let shim = slot.ask(Command::Shim).await.map_err(|_| not_running(&slot.id))?;
        shim.resize(None, height, width).await.map_err(|e| Error::internal("resize container", &slot.id, e))?;
        let size = [("height", height.to_string()), ("width", width.to_string())];
        crate::container::tell(&self.parts, &slot.get(), "resize", &size);
        Ok(())
    }

    /// Lines of the log on a bounded channel; it closes at the end (with `follow`: when the container stops). The reader reads files from disk.
    pub async fn logs(&self, name: &str, request: LogRequest) -> Result<tokio::sync::mpsc::Receiver<Result<Vec<LogLine>>>> {
        logs::read(&self.parts.slot(name)?, request)
    }

    /// Phases of the last start in microseconds (`dhow debug timings`).
    pub fn timings(&self, name: &str) -> Result<Vec<(String, u64)>> {
        Ok(self.parts.slot(name)?.timings())
    }

    /// Bytes of the container's own content, and of its whole root filesystem.
    pub async fn sizes(&self, name: &str) -> Result<(u64, u64)> {
        let container = self.container(name)?;
        let image = images::resolve(&self.parts, &container.image_id).await.map_or(0, |image| image.size);
        let layers = self.parts.layers.clone();
        let work = tokio::task::spawn_blocking(move || layers.usage(&SnapshotKey(container.id.clone())));
        let own = work.await.map_err(|e| Error::internal("measure", name, e))??.bytes;
        Ok((own, own + image))
    }

    /// What the container changed over its image, sorted by path.
    pub async fn changes(&self, name: &str) -> Result<Vec<dhow_storage::Change>> {
        let id = self.parts.slot(name)?.id.clone();
        let layers = self.parts.layers.clone();
        let work = tokio::task::spawn_blocking(move || layers.diff(&SnapshotKey(id)));
        Ok(work.await.map_err(|e| Error::internal("compare", name, e))??)
    }

    /// The container's files as a tar, in pieces, without what is mounted there. Who stops reading ends it.
    pub async fn export(&self, name: &str) -> Result<tokio::sync::mpsc::Receiver<std::io::Result<Vec<u8>>>> {
        export::export(&self.parts, &*self.parts.slot(name)?).await
    }

    /// Makes an image of the container's files as they are now. Answers its id.
    pub async fn commit(&self, name: &str, request: commit::CommitRequest) -> Result<String> {
        let slot = self.parts.slot(name)?;
        let parts = self.parts.clone();
        // Begun, it is finished: nothing stays frozen when the client goes away.
        whole(self.parts.background.spawn(async move { commit::commit(&parts, &slot, request).await })).await
    }

    /// Makes an exec.
    pub async fn exec_create(&self, container: &str, request: ExecRequest) -> Result<String> {
        exec::create(&self.parts, container, request).await
    }

    /// One exec, as last published. Who has just seen its output end asks [`Engine::exec_inspect`].
    pub fn exec(&self, id: &str) -> Result<Arc<ExecState>> {
        self.parts.execs.get(id)
    }

    /// One exec, in step with its shim: after the end of its output its exit code is there.
    pub async fn exec_inspect(&self, id: &str) -> Result<Arc<ExecState>> {
        exec::inspect(&self.parts, id).await
    }

    /// Checks that the exec may start, before the front end answers 101, and marks it started (a second start is a conflict).
    pub async fn exec_claim(&self, id: &str) -> Result<Arc<ExecState>> {
        exec::claim(&self.parts, id).await
    }

    /// Starts a claimed exec, with its client unless detached. A program that cannot be run writes Docker's text to the client, sets the exit
    /// code (126, 127) and is no error here; without a client it is.
    pub async fn exec_start(&self, id: &str, start: ExecStart) -> Result<()> {
        let work = exec::start(self.parts.clone(), id.to_owned(), start);
        whole(self.parts.background.spawn(work)).await
    }

    /// Resizes an exec's terminal.
    pub async fn exec_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        exec::resize(&self.parts, id, height, width).await
    }

    /// All images.
    pub async fn images(&self) -> Result<Vec<Arc<Image>>> {
        images::list(&self.parts).await
    }

    /// One image.
    pub async fn image(&self, name: &str) -> Result<Arc<Image>> {
        images::resolve(&self.parts, name).await
    }

    /// Tags.
    pub async fn tag(&self, source: &str, target: Reference) -> Result<()> {
        images::tag(&self.parts, source, target).await
    }

    /// Untags and deletes by Docker's rules.
    pub async fn image_remove(&self, name: &str, force: bool, prune: bool) -> Result<Vec<Removed>> {
        images::remove(&self.parts, name, force, prune).await
    }

    /// Loads an archive from a reader on a blocking thread.
    pub async fn load(&self, archive: Box<dyn std::io::Read + Send>) -> Result<Vec<Loaded>> {
        images::load(&self.parts, archive).await
    }

    /// Imports a root filesystem tar.
    pub async fn import(
        &self,
        tar: Box<dyn std::io::Read + Send>,
        config: dhow_image::ImportConfig,
        target: Option<Reference>,
    ) -> Result<Arc<Image>> {
        images::import(&self.parts, tar, config, target).await
    }

    /// Gets an image that is not here. Until registries arrive, that is the one embedded in the program.
    pub async fn pull(&self, name: &Reference) -> Result<Arc<Image>> {
        images::pull(&self.parts, name).await
    }

    /// Watches what a container uses. The samples come once a second.
    pub fn stats(&self, name: &str) -> Result<(Arc<Container>, stats::Watch)> {
        stats::watch(&self.parts, name)
    }

    /// The processes of a running container, by arguments of `ps`.
    pub async fn top(&self, name: &str, ps: &str) -> Result<top::Table> {
        top::list(&self.parts, name, ps).await
    }

    /// Events from now on, and the kept ones since a time.
    pub fn events(&self, since: Option<i64>) -> (Vec<Event>, broadcast::Receiver<Event>) {
        self.parts.events.listen(since)
    }
}

fn parse_signal(text: Option<&str>) -> Result<Option<i32>> {
    text.filter(|t| !t.is_empty()).map(signal::parse).transpose()
}

/// Waits for a task whose work goes on without us.
async fn whole<T>(task: tokio::task::JoinHandle<Result<T>>) -> Result<T> {
    match task.await {
        Ok(done) => done,
        Err(e) => Err(Error::internal("finish", "the operation", e)),
    }
}
