//! Images, by their store: its calls block, so they run on blocking threads.

use crate::container::machine::is_active;
use crate::error::{Error, Kind, Result};
use crate::parts::Parts;
use dhow_image::{Image, ImportConfig, Loaded, Removed, User};
use dhow_reference::Reference;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

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

/// One image by any of its names.
pub(crate) async fn resolve(parts: &Arc<Parts>, name: &str) -> Result<Arc<Image>> {
    let wanted = name.to_owned();
    blocking(parts, move |images| images.resolve(&wanted)).await.map_err(|e| match e.kind {
        Kind::NotFound => Error { message: format!("No such image: {}", full_name(name)), ..e },
        _ => e,
    })
}

pub(crate) async fn list(parts: &Arc<Parts>) -> Result<Vec<Arc<Image>>> {
    blocking(parts, dhow_image::Images::list).await
}

fn tell(parts: &Parts, action: &str, actor: &str, name: Option<String>) {
    let attributes = name.map(|n| BTreeMap::from([("name".to_owned(), n)])).unwrap_or_default();
    parts.events.tell("image", action, actor, attributes);
}

pub(crate) async fn tag(parts: &Arc<Parts>, source: &str, target: Reference) -> Result<()> {
    if target.digest().is_some() {
        return Err(Error::new(Kind::Invalid, "refusing to create a tag with a digest reference"));
    }
    if target.domain() == "docker.io" && target.familiar_name() == "sha256" {
        return Err(Error::new(Kind::Invalid, "refusing to create an ambiguous tag using digest algorithm as name"));
    }
    let target = target.or_latest();
    let (wanted, name) = (source.to_owned(), target.clone());
    let image = blocking(parts, move |images| images.tag(&wanted, &name)).await.map_err(|e| match e.kind {
        Kind::NotFound => Error { message: format!("No such image: {}", full_name(source)), ..e },
        _ => e,
    })?;
    tell(parts, "tag", &image.id, Some(target.familiar()));
    Ok(())
}

/// Which containers use which image.
fn users(parts: &Parts) -> Vec<User> {
    let user = |c: Arc<crate::model::Container>| User {
        container: c.id.clone(),
        running: is_active(c.state.status),
        image: c.image_id.clone(),
        reference: Some(c.request.image.clone()),
    };
    parts.registry.all().iter().map(|slot| user(slot.get())).collect()
}

pub(crate) async fn remove(parts: &Arc<Parts>, name: &str, force: bool, prune: bool) -> Result<Vec<Removed>> {
    let users = users(parts);
    let id = resolve(parts, name).await?.id.clone();
    let wanted = name.to_owned();
    let removed = blocking(parts, move |images| images.remove(&wanted, force, prune, &users)).await?;
    for line in &removed {
        match line {
            Removed::Untagged(name) => tell(parts, "untag", &id, Some(name.clone())),
            Removed::Deleted(gone) if *gone == id => tell(parts, "delete", gone, Some(gone.clone())),
            Removed::Deleted(_) => {}
        }
    }
    Ok(removed)
}

pub(crate) async fn load(parts: &Arc<Parts>, mut archive: Box<dyn Read + Send>) -> Result<Vec<Loaded>> {
    let loaded = blocking(parts, move |images| images.load(&mut archive)).await?;
    for line in &loaded {
        match line {
            Loaded::Tagged(name) => {
                let name = name.familiar();
                let id = resolve(parts, &name).await.map_or_else(|_| name.clone(), |i| i.id.clone());
                tell(parts, "load", &id, Some(name));
            }
            Loaded::Untagged(id) => tell(parts, "load", id, Some(id.clone())),
            Loaded::Renamed { .. } => {}
        }
    }
    Ok(loaded)
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
    tell(parts, "import", &image.id, Some(name.unwrap_or_else(|| image.id.clone())));
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
    let image = blocking(parts, move |images| images.commit(&base, &snapshot, &config)).await.map_err(|e| match e.kind {
        Kind::NotFound => Error { message: format!("No such image: {parent}"), ..e },
        _ => e,
    })?;
    Ok(image.id.clone())
}

/// Until registries arrive there is one image to be had: the one in the program.
pub(crate) async fn pull(parts: &Arc<Parts>, name: &Reference) -> Result<Arc<Image>> {
    let wanted = name.clone().or_latest();
    let asked = wanted.clone();
    match blocking(parts, move |images| images.embedded(&asked)).await? {
        Some(image) => {
            tell(parts, "pull", &wanted.familiar(), Some(wanted.familiar_name()));
            Ok(image)
        }
        None => Err(Error::new(
            Kind::NotFound,
            format!("pull access denied for {}, repository does not exist or may require 'docker login'", wanted.familiar_name()),
        )),
    }
}
