//! Making a container: everything is validated, then the pieces are made in order; a failure takes the made ones away again.

pub(crate) mod limits;
pub(crate) mod log;
mod log_attrs;
mod log_error;
mod log_sink;
mod merge;
pub(crate) mod validate;

use crate::burials::PATIENCE;
use crate::container::{self, Recording};
use crate::error::{Error, Kind, Result};
use crate::model::{Container, MountKind, Request, Sandbox, State};
use crate::parts::Parts;
use crate::{apart, clock, failure, ids, links, names, userns, volumes};
use dhow_db::Durability;
use dhow_storage::SnapshotKey;
use std::sync::Arc;

/// Makes one, of the image with this id where the name in the request means several; answers its id and warnings. `runs`: it is started at
/// once, by the caller.
pub(crate) async fn create(parts: &Arc<Parts>, mut request: Request, image: Option<String>, runs: bool) -> Result<(String, Vec<String>)> {
    if parts.is_closing() {
        return Err(Error::new(Kind::Unavailable, "the engine is closing"));
    }
    if let Some(name) = request.name.as_deref().filter(|n| !n.is_empty()) {
        names::check(name)?;
    }
    parts.burials.lull.ask();
    let image = crate::images::resolve(parts, image.as_deref().unwrap_or(&request.image))?;
    take_over(parts, &mut request)?;
    volumes::resolve_images(parts, &mut request)?;
    let mut warnings = validate::request(&mut request, &parts.host, &parts.options.log)?;
    validate::references(&request, &parts.registry)?;
    links::resolve(&parts.registry, &mut request)?;
    userns::check(&request.host, parts.options.userns.is_some())?;
    sources(&request).await?;
    let id = ids::fresh()?;
    let command = merge::image(&mut request, &image.config, &id)?;
    warnings.extend(validate::merged(&request)?);

    let memberships = parts.networks.resolve(std::mem::take(&mut request.network.memberships))?;
    let name = reserve(parts, request.name.as_deref(), &id)?;
    let mut held = match volumes::hold(parts, &mut request).await {
        Ok(held) => held,
        Err(error) => {
            parts.registry.release(&name, &id);
            return Err(error);
        }
    };
    let container = Container {
        id: id.clone(),
        name: name.clone(),
        created: clock::now(),
        image_id: image.id.clone(),
        path: command.0,
        args: command.1,
        state: State::default(),
        execs: Vec::new(),
        sandbox: Sandbox { id: ids::fresh()?, ..Sandbox::default() },
        networks: memberships,
        published: Vec::new(),
        log_path: String::new(),
        graph: std::collections::BTreeMap::new(),
        request,
    };
    let made = match held.fill(parts, image.chain.as_ref()).await {
        Ok(()) => make_patiently(parts, container, image.chain.as_ref(), runs).await,
        Err(error) => Err(error),
    };
    let (container, recording) = match made {
        Ok(made) => made,
        Err(error) => {
            parts.registry.release(&name, &id);
            held.undo(parts).await;
            return Err(error);
        }
    };
    let slot = container::spawn_new(parts, container, recording);
    parts.registry.insert(slot.clone());
    // From now on the container itself says what it uses.
    drop(held);
    crate::container::tell::tell(parts, &slot.get(), "create", &[]);
    Ok((id, warnings))
}

/// What it takes over from other containers, and volumes for the paths that want one.
fn take_over(parts: &Parts, request: &mut Request) -> Result<()> {
    let from = std::mem::take(&mut request.volumes_from);
    let others = from.iter().map(|from| Ok((from, parts.slot(&from.container)?.get()))).collect::<Result<Vec<_>>>()?;
    volumes::plan(request, others.iter().map(|(from, other)| (*from, &**other)))
}

/// The sources of `--mount` must be there; those of `-v` are made at the start.
async fn sources(request: &Request) -> Result<()> {
    let wanted = request.host.mounts.iter().filter(|mount| mount.kind == MountKind::Bind && !mount.create_source);
    match apart::missing(wanted.map(|mount| mount.source.clone()).collect()).await? {
        Some(path) => Err(Error::new(Kind::Invalid, failure::missing_source(&path))),
        None => Ok(()),
    }
}

fn reserve(parts: &Parts, name: Option<&str>, id: &str) -> Result<String> {
    match name.filter(|n| !n.is_empty()) {
        Some(name) => {
            let name = names::check(name)?;
            parts.registry.reserve(name, id)?;
            Ok(name.to_owned())
        }
        None => parts.registry.reserve_random(id),
    }
}

/// On a full disk once more, when what was removed last is off it.
async fn make_patiently(parts: &Parts, container: Container, chain: Option<&dhow_storage::ChainId>, runs: bool) -> Result<Made> {
    match make(parts, container.clone(), chain, runs).await {
        Err(error) if error.is_disk_full() => {
            parts.burials.settled(PATIENCE).await;
            make(parts, container, chain, runs).await
        }
        made => made,
    }
}

/// A container, and its record where that is still being written.
type Made = (Container, Option<Recording>);

/// Snapshot, directory, record: in this order, so that a crash leaves nothing that a record promises and is not there. The record of one that
/// removes itself is waited for when it starts: after a crash it would only be taken for one to remove. Where it runs at once, and nobody is
/// told so before it has ended, the record is even put off: of most programs that are run like this nothing is written.
async fn make(parts: &Parts, mut container: Container, chain: Option<&dhow_storage::ChainId>, runs: bool) -> Result<Made> {
    let key = SnapshotKey(container.id.clone());
    prepare(parts, &key, chain).await?;
    let made = async {
        let overlay = parts.layers.mount(&key)?;
        container.graph = graph(&overlay);
        let dir = parts.container_dir(&container.id);
        parts.spares.take(&dir)?;
        if container.request.auto_remove {
            let done = parts.store.insert_to(&container, Durability::Process, runs);
            return Ok(Some(Recording { done: Box::pin(done), late: runs }));
        }
        lasting(parts, &container, key.clone()).await?;
        parts.store.insert(&container, Durability::Power).await.map(|()| None)
    }
    .await;
    made.map(|recording| (container.clone(), recording)).inspect_err(|_| {
        if let Err(e) = std::fs::remove_dir_all(parts.container_dir(&container.id))
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(container = container.id, error = %e, "a directory was left behind");
        }
        if let Err(e) = parts.layers.remove(&key) {
            tracing::warn!(container = container.id, error = %e, "a snapshot was left behind");
        }
    })
}

/// Makes directories, which is done at once, or a copy of all that the image has, which takes a while.
async fn prepare(parts: &Parts, key: &SnapshotKey, chain: Option<&dhow_storage::ChainId>) -> Result<()> {
    if !parts.layers.copies() {
        return Ok(parts.layers.prepare(key, chain)?);
    }
    let (layers, key, chain) = (parts.layers.clone(), key.clone(), chain.cloned());
    let copied = tokio::task::spawn_blocking(move || layers.prepare(&key, chain.as_ref()));
    Ok(copied.await.map_err(|e| Error::internal("copy", "the layers of an image", e))??)
}

/// What the record is about to promise: the image, where its own sync is still under way, and the snapshot.
async fn lasting(parts: &Parts, container: &Container, key: SnapshotKey) -> Result<()> {
    let (images, layers, image) = (parts.images.clone(), parts.layers.clone(), container.image_id.clone());
    let synced = tokio::task::spawn_blocking(move || {
        images.persist_image(&image)?;
        Ok::<_, Error>(layers.persist_snapshot(&key)?)
    });
    synced.await.map_err(|e| Error::internal("sync the snapshot of", &container.id, e))?
}

/// The overlay's directories under the names that Docker's `GraphDriver.Data` gives them. Of a plain directory it shows none.
fn graph(overlay: &dhow_sys::overlay::Overlay) -> std::collections::BTreeMap<String, String> {
    if overlay.as_plain().is_some() {
        return std::collections::BTreeMap::new();
    }
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let lower: Vec<String> = overlay.lower.iter().map(|layer| text(layer.place())).collect();
    let mut graph = std::collections::BTreeMap::from([("LowerDir".to_owned(), lower.join(":"))]);
    if let Some(upper) = &overlay.upper {
        graph.insert("UpperDir".into(), text(upper));
        if let Some(parent) = upper.parent() {
            graph.insert("MergedDir".into(), text(&parent.join("merged")));
        }
    }
    if let Some(work) = &overlay.work {
        graph.insert("WorkDir".into(), text(work));
    }
    graph
}
