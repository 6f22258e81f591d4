//! A container's root filesystem as an archive.

use crate::container::slot::Slot;
use crate::container::tell::tell;
use crate::error::{Error, Result};
use crate::parts::Parts;
use dhow_storage::SnapshotKey;
use dhow_sys::overlay::{Lower, Overlay};
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes of one piece, and pieces that wait for a slow reader.
const PIECE: usize = 128 * 1024;
const PIECES: usize = 4;
/// The walk recurses and keeps some state for each level.
const STACK: usize = 2 << 20;

/// Begins the archive: without what is mounted in the container, and without a lock on it. The channel closes at the end; an end without the
/// archive's own end means that it failed, and an error says so before.
pub(crate) async fn export(parts: &Arc<Parts>, slot: &Slot) -> Result<mpsc::Receiver<Result<Vec<u8>>>> {
    let overlay = parts.layers.mount(&SnapshotKey(slot.id.clone()))?;
    // Its own layer becomes the topmost of a read-only view: nothing to sync afterwards, and whatever runs there is not disturbed.
    let lower = overlay.upper.into_iter().map(Lower::Dir).chain(overlay.lower).collect();
    let view = Overlay { lower, upper: None, work: None, volatile: false };
    let mounted = tokio::task::spawn_blocking(move || view.mount_detached()).await;
    let fail = |e: io::Error| Error::internal("mount", format!("the layers of container {}", slot.id), e);
    let root = mounted.map_err(io::Error::other).and_then(|root| root).map_err(fail)?;
    let (sender, pieces) = mpsc::channel(PIECES);
    let id = slot.id.clone();
    // A thread of its own: it waits for a client, who may be slow, and others need the runtime's.
    let thread = std::thread::Builder::new().name("export".into()).stack_size(STACK).spawn(move || write(&id, &root, &sender));
    thread.map_err(|e| Error::internal("export", &slot.id, e))?;
    tell(parts, &slot.get(), "export", &[]);
    Ok(pieces)
}

fn write(id: &str, root: &OwnedFd, sender: &mpsc::Sender<Result<Vec<u8>>>) {
    let mut out = BufWriter::with_capacity(PIECE, Pieces(sender));
    let done = dhow_storage::export(root, &mut out).map_err(|e| e.to_string());
    let done = done.and_then(|()| out.flush().map_err(|e| e.to_string()));
    // Nothing of a failed archive is added when the buffer goes.
    let (_, _rest) = out.into_parts();
    match done {
        Err(_) if sender.is_closed() => tracing::debug!(container = id, "the reader of an export is gone"),
        Err(error) => {
            // Nobody may read any more.
            let _ = sender.blocking_send(Err(Error::internal("export container", id, error)));
        }
        Ok(()) => {}
    }
}

/// A writer into the channel.
struct Pieces<'a>(&'a mpsc::Sender<Result<Vec<u8>>>);

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(Ok(bytes.to_vec())).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
