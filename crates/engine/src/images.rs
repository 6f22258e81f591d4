//! Images, by their store: its calls block, so they run on blocking threads.

use crate::container::machine::is_active;
use crate::error::{Error, Kind, Result};
use crate::parts::Parts;
use dhow_image::{DiskUsage, Held, Image, ImportConfig, LoadStep, Platform, Removed, User};
use dhow_reference::Reference;
use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};
use std::sync::Arc;

/// Space of images on disk. Waits for nobody.
pub(crate) fn usage(parts: &Parts) -> DiskUsage {
    parts.images.disk_usage()
}

/// Bytes of content in each of an image's layers, from the bottom.
pub(crate) fn layer_sizes(parts: &Parts, image: &Image) -> Result<Vec<u64>> {
    let mut sizes = Vec::new();
    let mut next = image.chain.clone();
    while let Some(chain) = next {
        let info = parts.layers.layer(&chain)?;
        sizes.push(info.size);
        next = info.parent;
    }
    sizes.reverse();
    Ok(sizes)
}

/// Writes an archive of what the names mean.
pub(crate) async fn save(parts: &Arc<Parts>, names: Vec<String>, platform: Option<Platform>, mut out: Box<dyn Write + Send>) -> Result<()> {
    let told = parts.clone();
    blocking(parts, move |images| {
        let archive = images.save(&names, platform.as_ref())?;
        for id in archive.ids() {
            tell(&told, "save", id, id);
        }
        archive.write(&mut out)
    })
    .await
}

/// Runs a call of the store on a blocking thread.
async fn blocking<T: Send + 'static>(
    parts: &Arc<Parts>,
    work: impl FnOnce(&dhow_image::Images) -> dhow_image::Result<T> + Send + 'static,
) -> Result<T> {
    let images = parts.images.clone();
    match tokio::task::spawn_blocking(move || work(&images)).await {
        Ok(done) => done.map_err(Error::from),
        Err(e) => Err(Error::internal("use", "the image store", e)),
    }
}

/// As people name it in "No such image": with `latest` where there is no tag.
fn full_name(name: &str) -> String {
    Reference::parse(name).map_or_else(|_| name.to_owned(), |r| r.or_latest().familiar())
}

/// One image by any of its names. Waits for nobody.
pub(crate) fn resolve(parts: &Parts, name: &str) -> Result<Arc<Image>> {
    parts.images.resolve(name).map_err(|e| named(e.into(), name))
}

/// The image of this name for a platform. Waits for nobody.
pub(crate) fn resolve_for(parts: &Parts, name: &str, platform: Option<&Platform>) -> Result<Arc<Image>> {
    match platform {
        None => resolve(parts, name),
        Some(wanted) => {
            resolve(parts, name)?;
            Ok(parts.images.resolve_for(name, wanted)?)
        }
    }
}

/// What is here of the document that an image's name stands for.
pub(crate) async fn held(parts: &Arc<Parts>, image: Arc<Image>) -> Result<Option<Held>> {
    blocking(parts, move |images| images.held(&image)).await
}

/// The same error with the name as people give it.
fn named(error: Error, name: &str) -> Error {
    match error.kind {
        Kind::NotFound => Error { message: format!("No such image: {}", full_name(name)), ..error },
        _ => error,
    }
}

/// An event of an image: its labels while it is there, and the name that is meant.
fn tell(parts: &Parts, action: &str, actor: &str, name: &str) {
    let mut attributes = BTreeMap::new();
    if let Ok(image) = parts.images.resolve(actor) {
        attributes = labels(&image);
    }
    attributes.insert("name".to_owned(), name.to_owned());
    parts.events.tell("image", action, actor, attributes);
}

/// What an image is labelled with.
fn labels(image: &Image) -> BTreeMap<String, String> {
    image.config.config().as_ref().and_then(|config| config.labels().clone()).unwrap_or_default().into_iter().collect()
}

/// A name that can be given, with its tag.
pub(crate) fn target(target: Reference) -> Result<Reference> {
    if target.digest().is_some() {
        return Err(Error::new(Kind::Invalid, "refusing to create a tag with a digest reference"));
    }
    if target.domain() == "docker.io" && target.familiar_name() == "sha256" {
        return Err(Error::new(Kind::Invalid, "refusing to create an ambiguous tag using digest algorithm as name"));
    }
    Ok(target.or_latest())
}

pub(crate) async fn tag(parts: &Arc<Parts>, source: &str, name: Reference) -> Result<()> {
    let target = target(name)?;
    let (wanted, name) = (source.to_owned(), target.clone());
    let image = blocking(parts, move |images| images.tag(&wanted, &name)).await.map_err(|e| named(e, source))?;
    tell(parts, "tag", &image.id, &target.familiar());
    Ok(())
}

/// Which containers use which image.
fn users(parts: &Parts) -> Vec<User> {
    let user = |c: &crate::model::Container, image: &str, reference: &str| User {
        container: c.id.clone(),
        running: is_active(c.state.status),
        image: image.to_owned(),
        reference: Some(reference.to_owned()),
    };
    let mut all = Vec::new();
    for container in parts.registry.all().iter().map(|slot| slot.get()) {
        all.push(user(&container, &container.image_id, &container.request.image));
        // It may have others mounted.
        let mounted = container.request.host.mounts.iter().filter_map(|mount| mount.image.as_ref());
        all.extend(mounted.map(|image| user(&container, &image.id, &image.reference)));
    }
    all
}

pub(crate) async fn remove(parts: &Arc<Parts>, name: &str, force: bool, prune: bool) -> Result<Vec<Removed>> {
    // A layer that a removed container still holds is not answered as deleted.
    parts.burials.settled(crate::burials::PATIENCE).await;
    let users = users(parts);
    let image = resolve(parts, name)?;
    let wanted = name.to_owned();
    let removed = blocking(parts, move |images| images.remove(&wanted, force, prune, &users)).await?;
    for line in &removed {
        match line {
            Removed::Untagged(_) => {
                let name = ("name".to_owned(), image.id.clone());
                let attributes = labels(&image).into_iter().chain([name]).collect();
                parts.events.tell("image", "untag", &image.id, attributes);
            }
            Removed::Deleted(gone) => tell(parts, "delete", gone, gone),
            Removed::Layer(_) => {}
        }
    }
    Ok(removed)
}

pub(crate) async fn load(
    parts: &Arc<Parts>,
    mut archive: Box<dyn BufRead + Send>,
    platform: Option<Platform>,
    mut report: Box<dyn FnMut(LoadStep) + Send>,
) -> Result<()> {
    let told = parts.clone();
    let mut step = move |step: LoadStep| {
        if let LoadStep::Image(id) = &step {
            tell(&told, "load", id, id);
        }
        report(step);
    };
    blocking(parts, move |images| images.load(&mut archive, platform.as_ref(), &mut step)).await
}

pub(crate) async fn import(
    parts: &Arc<Parts>,
    mut tar: Box<dyn Read + Send>,
    config: ImportConfig,
    target: Option<Reference>,
) -> Result<Arc<Image>> {
    let target = target.map(Reference::or_latest);
    let name = target.as_ref().map(Reference::familiar);
    let image = blocking(parts, move |images| images.import(&mut tar, config, target.as_ref())).await?;
    if let Some(name) = name {
        tell(parts, "tag", &image.id, &name);
    }
    tell(parts, "import", &image.id, &image.id);
    Ok(image)
}

/// Makes an image of a snapshot over `parent`. Answers its id.
pub(crate) async fn commit(
    parts: &Arc<Parts>,
    parent: &str,
    snapshot: dhow_storage::SnapshotKey,
    config: dhow_image::CommitConfig,
) -> Result<String> {
    let base = parent.to_owned();
    let name = config.name.clone();
    let image = blocking(parts, move |images| images.commit(&base, &snapshot, &config)).await.map_err(|e| match e.kind {
        Kind::NotFound => Error { message: format!("No such image: {parent}"), ..e },
        _ => e,
    })?;
    if let Some(name) = name {
        tell(parts, "tag", &image.id, &name.familiar());
    }
    Ok(image.id.clone())
}

/// The image of this name that is embedded in the program, if there is one.
pub(crate) async fn embedded(parts: &Arc<Parts>, name: &Reference) -> Result<Option<Arc<Image>>> {
    let wanted = name.clone();
    blocking(parts, move |images| images.embedded(&wanted)).await
}
