//! Copies into and out of a container's filesystem: where its files are just now, and a helper that works there.

use crate::container::command::{Access, Command};
use crate::container::slot::{Slot, not_running};
use crate::container::start::allow_again;
use crate::container::tell::tell;
use crate::error::{Error, Kind, Result};
use crate::model::Container;
use crate::parts::Parts;
use crate::spec::{mounts, user};
use crate::volumes::{self, Mounted, Ready};
use dhow_archive::{PathStat, path};
use dhow_files::handle::{self, DEADLINE, Running};
use dhow_files::held::{self, Held};
use dhow_files::job::{Cause, Job, Owner, Place, Task};
use dhow_storage::SnapshotKey;
use dhow_sys::overlay::{Lower, Overlay};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, mpsc};

/// Pieces of an archive that wait for a slow reader.
const PIECES: usize = 4;

/// How an archive is unpacked into a container.
#[derive(Debug, Clone, Copy, Default)]
pub struct ArchiveWrite {
    /// A directory never replaces something else, nor the other way round.
    pub keep_kinds: bool,
    /// The container's user owns the files, where it has one.
    pub to_user: bool,
}

/// The files as they can be reached now, and what is held meanwhile.
struct Reached {
    place: Place,
    running: Option<Running>,
    keep: Keep,
}

/// What is held until the helper has ended.
struct Keep {
    _permit: OwnedSemaphorePermit,
    /// Whoever writes to a container at rest: nobody else does, and nobody starts it.
    _turn: Option<OwnedMutexGuard<()>>,
    /// The mount namespace of a running container: what is mounted there stays when its processes end.
    _mounts: Option<OwnedFd>,
    /// Filesystems of volumes of a container at rest.
    _volumes: Vec<Arc<Mounted>>,
}

pub(crate) async fn stat(parts: &Arc<Parts>, slot: &Slot, name: &str, at: &str) -> Result<PathStat> {
    let Reached { place, running, keep } = reach(parts, slot, false).await?;
    handle::stat(job(place, at, Task::Stat), running, keep).await.map_err(|e| failed(e, name, at))
}

pub(crate) async fn read(parts: &Arc<Parts>, slot: &Slot, name: &str, at: &str) -> Result<(PathStat, mpsc::Receiver<Result<Vec<u8>>>)> {
    let Reached { place, running, keep } = reach(parts, slot, false).await?;
    let (stat, mut reader) = handle::read(job(place, at, Task::Read), running, keep).await.map_err(|e| failed(e, name, at))?;
    let (sender, pieces) = mpsc::channel(PIECES);
    let id = slot.id.clone();
    tokio::spawn(async move {
        loop {
            let piece = tokio::select! {
                piece = reader.piece() => piece,
                () = sender.closed() => return,
            };
            let (piece, last) = match piece {
                Ok(Some(piece)) => (Ok(piece), false),
                Ok(None) => return,
                Err(error) => (Err(Error::internal("copy files of container", &id, error)), true),
            };
            if sender.send(piece).await.is_err() || last {
                return;
            }
        }
    });
    tell(parts, &slot.get(), "archive-path", &[]);
    Ok((stat, pieces))
}

pub(crate) async fn write(
    parts: &Arc<Parts>,
    slot: &Slot,
    name: &str,
    at: &str,
    how: ArchiveWrite,
    mut tar: mpsc::Receiver<io::Result<Vec<u8>>>,
) -> Result<()> {
    let Reached { place, running, keep } = reach(parts, slot, true).await?;
    let container = slot.get();
    let owner = if how.to_user { user(parts, &container, &place, running.as_ref().map(|running| &running.root)).await? } else { None };
    let task = Task::Write { owner, keep_kinds: how.keep_kinds, read_only: container.request.host.read_only };
    let mut writer = handle::write(job(place, at, task), running, keep).await.map_err(|e| failed(e, name, at))?;
    while let Some(piece) = tar.recv().await {
        let piece = piece.map_err(|e| Error::new(Kind::Invalid, format!("reading the archive: {e}")))?;
        if !writer.piece(&piece).await.map_err(|e| failed(e, name, at))? {
            break;
        }
    }
    let done = writer.finish().await.map_err(|error| match error {
        // What is missing now is not the path that was asked for.
        handle::Error::Failed { cause: Cause::Missing, message } => Error::new(Kind::Internal, message),
        error => failed(error, name, at),
    });
    if done.is_ok() {
        tell(parts, &slot.get(), "extract-to-dir", &[]);
    }
    done
}

fn job(place: Place, at: &str, task: Task) -> Job {
    Job { place, path: path::absolute(at.as_bytes()), task }
}

/// Finds the files: in the shim's hand while the container runs, else in its layers.
async fn reach(parts: &Arc<Parts>, slot: &Slot, write: bool) -> Result<Reached> {
    let permit = tokio::time::timeout(DEADLINE, slot.helpers.clone().acquire_owned()).await;
    let busy = || Error::new(Kind::Unavailable, format!("too many copies of files of container {} are under way", slot.id));
    let permit = permit.ok().and_then(|permit| permit.ok()).ok_or_else(busy)?;
    let mut news = slot.watch();
    let turn = loop {
        news.mark_unchanged();
        match slot.ask(|reply| Command::Files { write, reply }).await? {
            Access::Running(shim) => {
                let container = slot.get();
                // Held before the root is asked for: what is mounted below the root goes with the last process, the root itself does not.
                if let Some(held) = hold(&container)? {
                    match shim.root().await {
                        Ok(root) => {
                            let place = Place::Running { userns: held.users.is_some() };
                            let running = Some(Running { root, userns: held.users });
                            return Ok(Reached {
                                place,
                                running,
                                keep: Keep { _permit: permit, _turn: None, _mounts: Some(held.mounts), _volumes: Vec::new() },
                            });
                        }
                        Err(error) if hold(&container)?.is_some() => {
                            return Err(Error::internal("reach the root filesystem of container", &slot.id, error));
                        }
                        Err(_) => {}
                    }
                }
                // It has just ended, and soon its actor knows.
                let told = tokio::time::timeout(DEADLINE, news.changed()).await;
                told.ok().and_then(|told| told.ok()).ok_or_else(|| not_running(&slot.id))?;
            }
            Access::Resting(turn) => break turn,
            Access::Busy => slot.turn().await,
        }
    };
    let container = slot.get();
    let mut overlay = parts.layers.mount(&SnapshotKey(slot.id.clone()))?;
    let Ready { sources, mounted, read_only } = volumes::ready(parts, &container).await?;
    let binds = mounts::binds(&container, &sources, &read_only);
    // A plain directory is the only place for what is mounted in it.
    if write || (overlay.as_plain().is_some() && !binds.is_empty()) {
        allow_again(&overlay)?;
    } else {
        // Its own layer becomes the topmost of a read-only view: whoever writes or starts is not disturbed, and nothing is to be synced.
        let lower = overlay.upper.into_iter().map(Lower::Dir).chain(overlay.lower).collect();
        overlay = Overlay { lower, upper: None, work: None, volatile: false };
    }
    let place = Place::Resting { overlay, binds };
    Ok(Reached { place, running: None, keep: Keep { _permit: permit, _turn: turn, _mounts: None, _volumes: mounted } })
}

/// Holds what a running container has mounted; `None` where it has just ended.
fn hold(container: &Container) -> Result<Option<Held>> {
    let state = &container.state;
    held::hold(state.pid, state.pid_start_time).map_err(|e| Error::internal("open the namespaces of container", &container.id, e))
}

/// The container's user, as its own account files have it; none where it has none.
async fn user(parts: &Parts, container: &Container, place: &Place, root: Option<&OwnedFd>) -> Result<Owner> {
    let text = &container.request.user;
    if text.is_empty() {
        return Ok(None);
    }
    let accounts = match (place, root) {
        (Place::Resting { overlay, .. }, _) => parts.accounts.stopped(overlay)?,
        (Place::Running { .. }, Some(root)) => {
            let root = root.try_clone().map_err(|e| Error::internal("reach the root filesystem of container", &container.id, e))?;
            Arc::new(crate::accounts::running(root).await?)
        }
        (Place::Running { .. }, None) => return Ok(None),
    };
    let found = user::resolve(text, &[], &accounts)?;
    Ok(Some((found.uid, found.gid)))
}

/// Docker's words where it has some.
fn failed(error: handle::Error, name: &str, at: &str) -> Error {
    match error {
        handle::Error::Failed { cause: Cause::Missing, .. } => {
            Error::new(Kind::NotFound, format!("Could not find the file {at} in container {name}"))
        }
        handle::Error::Failed { cause: Cause::Invalid, message } => Error::new(Kind::Invalid, message),
        other => Error::new(Kind::Internal, other.to_string()),
    }
}
