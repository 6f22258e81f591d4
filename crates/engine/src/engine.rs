//! The engine: what a front end calls. Cheap to clone. No call waits for an operation on another object.

use crate::ahead::{self, Ahead};
use crate::client::{AttachRequest, Client, ExecStart, Head};
use crate::container::command::{Command, WaitFor};
use crate::container::machine::is_active;
use crate::container::slot::not_running;
use crate::error::{Error, Kind, Result};
use crate::events::{Event, Hub, Past, Range};
use crate::execs::Execs;
use crate::host::Host;
use crate::logs::model::{LogLine, LogRequest};
use crate::model::volume::{self, Volume};
use crate::model::{Container, ExecRequest, ExecState, Request, Resources};
use crate::network::Networks;
use crate::options::Options;
use crate::parts::Parts;
use crate::registry::Registry;
use crate::spare::Spares;
use crate::spec::seccomp::Filters;
use crate::store::Store;
use crate::tasks::Tasks;
use crate::volumes::{self, Volumes};
use crate::{
    accounts, adopt, attach, commit, create, exec, export, files, images, links, login, logs, networks, prune, pull, push, remote, roots,
    signal, stats, top,
};
use dhow_image::{DiskUsage, Image, Images, Platform, Removed};
use dhow_reference::Reference;
use dhow_runtime::cgroup::Cgroup;
use dhow_shim::handle::{self, Spare, Spawner};
use dhow_storage::{LayerStore, SnapshotKey};
use dhow_sys::process::pidfd_open;
use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{broadcast, oneshot};

/// Longest wait for clean-up in the background when the engine closes; the next one finishes the rest.
const CLOSE_WAIT: Duration = Duration::from_secs(15);

/// The engine.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) parts: Arc<Parts>,
}

/// What is opened from disk before anything runs.
struct Stores {
    volumes: Volumes,
    store: Store,
    containers: Vec<Container>,
    networks: Vec<crate::network::Network>,
    layers: Arc<dyn LayerStore>,
    images: Images,
    events: Hub,
    lock: File,
}

fn open_stores(options: &Options) -> Result<Stores> {
    let lock = roots::open(options)?;
    let (store, containers, networks) = Store::open(&options.data_root.join("state.db"))?;
    let layers = dhow_storage::Store::open_rooted(&options.data_root.join("layers"), options.layers.form, options.layers.roots)?;
    let known: HashSet<&str> = containers.iter().map(|c| c.id.as_str()).collect();
    layers.sweep(&|key: &SnapshotKey| known.contains(key.0.as_str()))?;
    let layers: Arc<dyn LayerStore> = Arc::new(layers);
    let volumes = Volumes::open(options.data_root.join("volumes"))?;
    let images = Images::open(&options.data_root.join("images"), layers.clone())?.with_compressed(options.layers.compressed);
    let events = Hub::open(&options.data_root.join("events"))?;
    Ok(Stores { volumes, store, containers, networks, layers, images, events, lock })
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
        let Stores { volumes, store, containers, networks, layers, images, events, lock } =
            stores.map_err(|e| Error::internal("open", options.data_root.display(), e))??;
        let spawner = spawner.map_err(|e| Error::internal("start", "the spawner", e))?;
        let (networks, fresh) = Networks::open(options.network.clone(), options.exec_root.join("forwards"), networks)?;
        fresh.iter().for_each(|network| store.network_later(network));
        let events = Arc::new(events);
        let spares = Spares::open(&options.data_root)?;
        let parts = Arc::new(Parts {
            transfers: pull::transfer::Transfers::new(options.max_downloads),
            live: std::sync::RwLock::new(Arc::new(options.live())),
            uploads: std::sync::RwLock::new(Arc::new(tokio::sync::Semaphore::new(options.max_uploads.max(1)))),
            options,
            host: Host::read(),
            layers,
            images: Arc::new(images),
            spawner,
            ahead: Ahead::default(),
            spares,
            store,
            registry: Registry::default(),
            networks,
            volumes,
            writer: events.spawn_writer().abort_handle(),
            events,
            execs: Execs::default(),
            accounts: accounts::Cache::default(),
            filters: Filters::default(),
            stats: stats::board::Board::default(),
            prunes: crate::turn::Guards::default(),
            burials: crate::burials::Burials::default(),
            actors: Tasks::default(),
            background: Tasks::default(),
            closing: AtomicBool::new(false),
            init: Mutex::default(),
            lock,
        });
        adopt::adopt(&parts, containers).await?;
        adopt::bring_networks_up(&parts).await;
        adopt::guard_networks(&parts);
        adopt::serve_names(&parts).await;
        adopt::start_again(&parts);
        crate::lasting::begin(&parts);
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
        parts.writer.abort();
        parts.events.flush().await;
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
        self.parts.networks.take_down();
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

    /// How new layers of images are kept: `dir` or `tar+erofs`.
    pub fn layer_form(&self) -> &'static str {
        self.parts.layers.form()
    }

    /// The roots of new containers are full copies of their images.
    pub fn copies_roots(&self) -> bool {
        self.parts.layers.copies()
    }

    /// Docker's name for how containers get their roots.
    pub fn storage_driver(&self) -> &'static str {
        if self.copies_roots() { "vfs" } else { "overlay2" }
    }

    /// As given.
    pub fn options(&self) -> &Options {
        &self.parts.options
    }

    /// Validates and makes. Answers the id and warnings.
    pub async fn create(&self, request: Request) -> Result<(String, Vec<String>)> {
        self.create_of(request, None, false).await
    }

    /// As [`Self::create`]. Where the name of its image means several, `image` is the id of the one that is meant. `runs`: the
    /// caller starts it at once, and tells nobody that it runs before it has ended: the record of one that removes itself may come late.
    pub async fn create_of(&self, request: Request, image: Option<String>, runs: bool) -> Result<(String, Vec<String>)> {
        let parts = self.parts.clone();
        // On a task of its own: a client that goes away leaves nothing half-made.
        whole(self.parts.background.spawn(async move { create::create(&parts, request, image, runs).await })).await
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

    /// Says that `client`, a process, will start a container in a moment: what any container needs is made meanwhile, and given up after a
    /// while, or when the client goes.
    pub async fn expect_start(&self, client: i32) {
        let parts = &self.parts;
        if parts.is_closing() || !parts.ahead.has_room() {
            return;
        }
        parts.burials.lull.ask();
        // One that has gone by now wants nothing any more.
        let Ok(client) = pidfd_open(client) else { return };
        let prepared = match parts.ahead.relieve().map(Spare::expect_container) {
            Some(Ok(prepared)) => Ok(prepared),
            // It has gone, for whatever reason.
            Some(Err(_)) | None => parts.spawner.prepare().await,
        };
        ahead::refill(parts);
        match prepared {
            Ok(shim) => {
                let parts = Arc::downgrade(parts);
                let end = tokio::spawn(async move {
                    tokio::time::sleep(ahead::LIFE).await;
                    if let Some(parts) = parts.upgrade() {
                        parts.ahead.drop_late(tokio::task::id());
                    }
                });
                self.parts.ahead.keep(shim, client, end.abort_handle());
            }
            // The start will try, too, and then somebody is told.
            Err(error) => tracing::debug!(%error, "no shim was prepared"),
        }
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
        crate::container::tell::tell(&self.parts, &slot.get(), "restart", &[]);
        Ok(())
    }

    /// Sends a signal (name or number, with or without SIG); KILL where `None`.
    pub async fn kill(&self, name: &str, signal: Option<&str>) -> Result<()> {
        let signal = parse_signal(signal)?.unwrap_or(signal::KILL);
        let slot = self.parts.slot(name).map_err(|error| error.prefixed(&format!("cannot kill container: {name}: ")))?;
        slot.ask(|reply| Command::Kill { name: name.to_owned(), signal, reply }).await
    }

    /// Removes; with `volumes` those of its volumes that nobody named, and that nobody else uses.
    pub async fn remove(&self, name: &str, force: bool, volumes: bool) -> Result<()> {
        let slot = self.parts.slot(name)?;
        slot.ask(|reply| Command::Remove { name: name.to_owned(), force, volumes, reply }).await
    }

    /// Takes a link away, by the name `parent/alias`.
    pub async fn remove_link(&self, name: &str) -> Result<()> {
        crate::container::links::remove(&self.parts, name).await
    }

    /// The names of a container's links with the containers that they lead to, in their order.
    pub fn links(&self, container: &Container) -> Vec<(String, Arc<Container>)> {
        links::targets(&self.parts.registry, container)
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
            create::validate::policy(policy, false)?;
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
        attach::attach(&self.parts, name, request, client, None).await
    }

    /// Gives a client to a container, and starts that. The client's head is written when the program is about to run, or before an error.
    pub async fn attach_and_start(&self, name: &str, request: AttachRequest, mut client: Client) -> Result<()> {
        // Without a descriptor for it the head is written with the attach, as any.
        let head = Head::of(&mut client).ok();
        let done = match attach::attach(&self.parts, name, request, client, head.clone()).await {
            Ok(()) => self.start(name).await,
            failed => failed,
        };
        if let Some(head) = head {
            head.write();
        }
        done
    }

    /// Resizes the terminal.
    pub async fn resize(&self, name: &str, height: u16, width: u16) -> Result<()> {
        let slot = self.parts.slot(name)?;
        let shim = slot.ask(Command::Shim).await.map_err(|_| not_running(&slot.id))?;
        shim.resize(None, height, width).await.map_err(|error| match error {
            handle::Error::Refused(failure) if failure.kind == dhow_runtime::Kind::NotRunning => not_running(&slot.id),
            error => Error::internal("resize container", &slot.id, error),
        })?;
        let size = [("height", height.to_string()), ("width", width.to_string())];
        crate::container::tell::tell(&self.parts, &slot.get(), "resize", &size);
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
        let image = images::resolve(&self.parts, &container.image_id).map_or(0, |image| image.size);
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
    pub async fn export(&self, name: &str) -> Result<tokio::sync::mpsc::Receiver<Result<Vec<u8>>>> {
        export::export(&self.parts, &*self.parts.slot(name)?).await
    }

    /// What lies at a path in the container, for who copies it.
    pub async fn path_stat(&self, name: &str, path: &str) -> Result<dhow_archive::PathStat> {
        files::stat(&self.parts, &*self.parts.slot(name)?, name, path).await
    }

    /// As [`Self::path_stat`], and a tar of it, in pieces; an error ends it early. Who stops reading ends it.
    pub async fn path_read(
        &self,
        name: &str,
        path: &str,
    ) -> Result<(dhow_archive::PathStat, tokio::sync::mpsc::Receiver<Result<Vec<u8>>>)> {
        files::read(&self.parts, &*self.parts.slot(name)?, name, path).await
    }

    /// Unpacks a tar, plain or compressed, into a directory of the container. What was written before an error stays.
    pub async fn path_write(
        &self,
        name: &str,
        path: &str,
        how: files::ArchiveWrite,
        tar: tokio::sync::mpsc::Receiver<std::io::Result<Vec<u8>>>,
    ) -> Result<()> {
        files::write(&self.parts, &*self.parts.slot(name)?, name, path, how, tar).await
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
        Ok(self.parts.images.list())
    }

    /// One image.
    pub async fn image(&self, name: &str) -> Result<Arc<Image>> {
        images::resolve(&self.parts, name)
    }

    /// The image of this name for a platform; without one, what the name means.
    pub async fn image_for(&self, name: &str, platform: Option<&Platform>) -> Result<Arc<Image>> {
        images::resolve_for(&self.parts, name, platform)
    }

    /// Ids of the images that are here only as parts of an index that has a name. Waits for nobody.
    pub fn image_parts(&self) -> HashSet<String> {
        self.parts.images.parts()
    }

    /// What is here of the document that an image's name stands for.
    pub async fn image_held(&self, image: Arc<Image>) -> Result<Option<dhow_image::Held>> {
        images::held(&self.parts, image).await
    }

    /// Tags.
    pub async fn tag(&self, source: &str, target: Reference) -> Result<()> {
        images::tag(&self.parts, source, target).await
    }

    /// Untags and deletes by Docker's rules.
    pub async fn image_remove(&self, name: &str, force: bool, prune: bool) -> Result<Vec<Removed>> {
        images::remove(&self.parts, name, force, prune).await
    }

    /// Space of images on disk. Waits for nobody.
    pub fn image_usage(&self) -> DiskUsage {
        images::usage(&self.parts)
    }

    /// Bytes of content in each of an image's layers, from the bottom.
    pub fn layer_sizes(&self, image: &Image) -> Result<Vec<u64>> {
        images::layer_sizes(&self.parts, image)
    }

    /// Writes an archive of what the names mean. An error before the first byte is one about the names.
    pub async fn save(&self, names: Vec<String>, platform: Option<Platform>, out: Box<dyn Write + Send>) -> Result<()> {
        images::save(&self.parts, names, platform, out).await
    }

    /// Removes the containers that do not run and are wanted. Answers their ids and the bytes of their own content.
    pub async fn prune_containers(&self, wanted: impl Fn(&Container) -> bool) -> Result<(Vec<String>, u64)> {
        prune::containers(&self.parts, wanted).await
    }

    /// Removes the images that no container uses and that are wanted; without `all` only those without a tag. Answers what went and the
    /// bytes of the layers that went.
    pub async fn prune_images(&self, all: bool, wanted: impl Fn(&Image) -> bool) -> Result<(Vec<Removed>, u64)> {
        prune::images(&self.parts, all, wanted).await
    }

    /// A prune of a kind that there is nothing of: `builder`.
    pub fn prune_nothing(&self, kind: &'static str) -> Result<()> {
        prune::nothing(&self.parts, kind)
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Vec<Arc<Volume>> {
        self.parts.volumes.all()
    }

    /// One volume.
    pub fn volume(&self, name: &str) -> Result<Arc<Volume>> {
        self.parts.volumes.get(name)
    }

    /// Makes a volume, or answers the one of that name.
    pub async fn create_volume(&self, wish: volume::Wish) -> Result<Arc<Volume>> {
        let parts = self.parts.clone();
        whole(self.parts.background.spawn(async move { volumes::create(&parts, &wish).await })).await
    }

    /// Removes a volume that no container uses. With `force` one that is not there is no error.
    pub async fn remove_volume(&self, name: &str, force: bool) -> Result<()> {
        let (parts, name) = (self.parts.clone(), name.to_owned());
        whole(self.parts.background.spawn(async move { volumes::remove(&parts, &name, force).await })).await
    }

    /// Removes the volumes that no container uses and that are wanted; without `all` only those that nobody named. Answers names and bytes.
    pub async fn prune_volumes(&self, all: bool, wanted: impl Fn(&Volume) -> bool) -> Result<(Vec<String>, u64)> {
        volumes::prune(&self.parts, all, wanted).await
    }

    /// Every volume with its bytes (`None` where they cannot be counted) and how many containers use it.
    pub async fn volume_usage(&self) -> Vec<(Arc<Volume>, Option<u64>, usize)> {
        volumes::usage(&self.parts).await
    }

    /// Loads an archive from a reader on a blocking thread, with a platform only the images for it. `report` hears of each step.
    pub async fn load(
        &self,
        archive: Box<dyn std::io::BufRead + Send>,
        platform: Option<Platform>,
        report: Box<dyn FnMut(dhow_image::LoadStep) + Send>,
    ) -> Result<()> {
        images::load(&self.parts, archive, platform, report).await
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

    /// Pulls. The first step is told when the registry has answered: an error before it is one about the name. Dropped, it ends.
    pub async fn pull(&self, request: pull::model::PullRequest, tell: &pull::model::Tell) -> Result<()> {
        pull::pull(&self.parts, request, tell).await
    }

    /// Pushes. Dropped, it ends.
    pub async fn push(&self, request: push::model::PushRequest, tell: &push::model::Tell) -> Result<()> {
        push::push(&self.parts, request, tell).await
    }

    /// Looks for images in an index.
    pub async fn search(
        &self,
        search: &dhow_registry::Search,
        credentials: &dhow_registry::Credentials,
    ) -> Result<Vec<dhow_registry::Found>> {
        remote::search(&self.parts, search, credentials).await
    }

    /// What a registry has under a name.
    pub async fn distribution(&self, name: &Reference, credentials: &dhow_registry::Credentials) -> Result<remote::Distribution> {
        remote::distribution(&self.parts, name, credentials).await
    }

    /// Asks a registry whether it takes these credentials. Gives the identity token to keep instead of the password; empty where there is none.
    pub async fn login(&self, server: &str, credentials: &dhow_registry::Credentials) -> Result<String> {
        login::login(&self.parts, server, credentials).await
    }

    /// Watches what a container uses. The samples come once a second.
    pub fn stats(&self, name: &str) -> Result<(Arc<Container>, stats::Watch)> {
        stats::watch(&self.parts, name)
    }

    /// The processes of a running container, by arguments of `ps`.
    pub async fn top(&self, name: &str, ps: &str) -> Result<top::Table> {
        top::list(&self.parts, name, ps).await
    }

    /// All networks, oldest first.
    pub fn networks(&self) -> Vec<Arc<crate::network::Network>> {
        self.parts.networks.all()
    }

    /// One network, by id, name, or unique id prefix.
    pub fn network(&self, name: &str) -> Result<Arc<crate::network::Network>> {
        self.parts.networks.get(name)
    }

    /// Makes a network. Answers its id, and what somebody should know of it.
    pub async fn network_create(&self, request: crate::network::NetworkRequest) -> Result<(String, String)> {
        let parts = self.parts.clone();
        whole(self.parts.background.spawn(async move { networks::create(&parts, request).await })).await
    }

    /// Removes a network that nobody is in.
    pub async fn network_remove(&self, name: &str) -> Result<()> {
        let (parts, name) = (self.parts.clone(), name.to_owned());
        whole(self.parts.background.spawn(async move { networks::remove(&parts, &name).await })).await
    }

    /// Removes the networks that no running container is in and that are wanted. Answers their names.
    pub async fn network_prune(&self, wanted: impl Fn(&crate::network::Network) -> bool) -> Result<Vec<String>> {
        networks::prune(&self.parts, wanted).await
    }

    /// Gives a container a place in a network.
    pub async fn network_connect(&self, network: &str, container: &str, asked: crate::network::Membership) -> Result<()> {
        let network = self.parts.networks.get(network)?;
        let slot = self.parts.registry.get(container)?;
        slot.ask(|reply| Command::Connect { network, asked: Box::new(asked), reply }).await
    }

    /// Takes a container's place in a network away. `force`: in one that is gone, too.
    pub async fn network_disconnect(&self, network: &str, container: &str, force: bool) -> Result<()> {
        let found = match self.parts.networks.get(network) {
            Err(error) if !force => return Err(error),
            found => found.ok(),
        };
        let slot = self.parts.registry.get(container)?;
        slot.ask(|reply| Command::Disconnect { network: found, name: network.to_owned(), reply }).await
    }

    /// What was told in a range of time (nothing where it has neither end), and what will be: no gap between the two, and nothing twice.
    pub fn events(&self, range: Range) -> (Past, broadcast::Receiver<Arc<Event>>) {
        self.parts.events.listen(range)
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
