//! A container's files made an image.

use crate::container::command::Command;
use crate::container::machine::is_active;
use crate::container::slot::Slot;
use crate::container::tell::tell;
use crate::error::{Error, Kind, Result};
use crate::images;
use crate::model::Status;
use crate::parts::Parts;
use dhow_image::CommitConfig;
use dhow_reference::Reference;
use dhow_storage::SnapshotKey;
use serde_json::Value;
use std::sync::Arc;

/// What a commit is asked for.
#[derive(Debug, Clone, Default)]
pub struct CommitRequest {
    /// Who made it.
    pub author: String,
    /// For the image's history.
    pub comment: String,
    /// For the image's history: the container's command.
    pub created_by: String,
    /// Freeze a running container meanwhile.
    pub pause: bool,
    /// The image's `config` object, in the front end's spelling.
    pub config: Value,
    /// The container's own configuration, in the front end's spelling.
    pub container_config: Value,
    /// What makes the image.
    pub version: String,
    /// A name for it.
    pub target: Option<Reference>,
}

/// Freezes where that is asked for, makes the image, names it, thaws.
pub(crate) async fn commit(parts: &Arc<Parts>, slot: &Arc<Slot>, request: CommitRequest) -> Result<String> {
    let container = slot.get();
    let why_not = match container.state.status {
        Status::Dead => Some("which is Dead"),
        Status::Removing => Some("which is being removed"),
        _ => None,
    };
    if let Some(why) = why_not {
        return Err(Error::new(Kind::Conflict, format!("You cannot commit container {} {why}", slot.id)));
    }
    let name = request.target.map(images::target).transpose()?;
    let paused = request.pause && is_active(container.state.status) && freeze(slot).await?;
    let config = CommitConfig {
        author: request.author,
        comment: request.comment.clone(),
        created_by: request.created_by,
        container: slot.id.clone(),
        config: request.config,
        container_config: request.container_config,
        version: request.version,
        name,
    };
    let done = make(parts, slot, &container.image_id, config, request.comment).await;
    if paused {
        thaw(slot).await;
    }
    done
}

async fn make(parts: &Arc<Parts>, slot: &Slot, parent: &str, config: CommitConfig, comment: String) -> Result<String> {
    let name = config.name.as_ref().map(Reference::familiar).unwrap_or_default();
    let id = images::commit(parts, parent, SnapshotKey(slot.id.clone()), config).await?;
    tell(parts, &slot.get(), "commit", &[("comment", comment), ("imageID", id.clone()), ("imageRef", name)]);
    Ok(id)
}

/// Tells whether it was us who froze it: somebody may have done so before, or it has just ended.
async fn freeze(slot: &Slot) -> Result<bool> {
    match slot.ask(Command::Pause).await {
        Ok(()) => Ok(true),
        Err(e) if e.kind == Kind::Conflict => Ok(false),
        Err(e) => Err(e),
    }
}

async fn thaw(slot: &Slot) {
    match slot.ask(Command::Unpause).await {
        Ok(()) => {}
        // Somebody else was quicker, or it was killed meanwhile.
        Err(error) if slot.get().state.status != Status::Paused => tracing::debug!(container = slot.id, %error, "thawed already"),
        Err(error) => tracing::error!(container = slot.id, %error, "a container stays paused after its commit"),
    }
}
