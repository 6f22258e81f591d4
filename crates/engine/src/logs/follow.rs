//! Following a log: woken by the file system, or every now and then where it does not wake; the end comes with the container's.

use super::files::{self, LogFile};
use super::line::Lines;
use super::{Channel, blocking, drain, open};
use crate::container::machine::is_active;
use crate::error::{Error, Result};
use crate::logs::model::LogRequest;
use crate::model::Container;
use rustix::fs::inotify;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::sync::watch;

/// How often a log is looked at where nothing wakes us.
const POLL: Duration = Duration::from_millis(50);
/// How often it is looked at all the same.
const SLOW_POLL: Duration = Duration::from_secs(2);

/// News of the container.
pub(super) type Watch = watch::Receiver<Arc<Container>>;

/// Wakes when something happens in a log's directory. The number of these is limited per user, so there may be none.
#[derive(Debug)]
pub(super) struct Notifier(Option<pipe::Receiver>);

impl Notifier {
    pub(super) fn new(path: &Path) -> Self {
        let make = || -> std::io::Result<pipe::Receiver> {
            let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
            let dir = path.parent().unwrap_or(Path::new("/"));
            let wanted = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
            inotify::add_watch(&fd, dir, wanted | inotify::WatchFlags::ONLYDIR)?;
            // To the event loop it is something to read from, like a pipe.
            pipe::Receiver::from_owned_fd_unchecked(fd)
        };
        Self(make().inspect_err(|e| tracing::debug!(error = %e, "a log is followed by looking at it")).ok())
    }

    async fn wait(&self) {
        let Some(fd) = &self.0 else { return tokio::time::sleep(POLL).await };
        if !matches!(tokio::time::timeout(SLOW_POLL, fd.readable()).await, Ok(Ok(()))) {
            return;
        }
        // What happened is of no interest, only that something did.
        let mut buffer = [0; 4096];
        while fd.try_read(&mut buffer).is_ok_and(|n| n > 0) {}
    }
}

/// Goes on until the container stops or nobody listens.
pub(super) async fn follow(
    path: PathBuf,
    newest: Option<Lines>,
    notifier: Notifier,
    request: &LogRequest,
    mut watch: Watch,
    sender: &Channel,
) -> Result<()> {
    let mut lines = newest.unwrap_or_default();
    loop {
        // Looked at before the reading: what was written before the end is then read in any case.
        let running = is_active(watch.borrow_and_update().state.status) && watch.has_changed().is_ok();
        if !drain(&mut lines, request, sender).await? {
            return Ok(());
        }
        for file in newer(&path, &lines).await? {
            // The rest of the old file was read after it was moved away: nobody writes to it any more.
            if !drain(&mut lines, request, sender).await? {
                return Ok(());
            }
            lines = open(file, 0).await?;
            if !drain(&mut lines, request, sender).await? {
                return Ok(());
            }
        }
        if !running || request.until.is_some_and(|until| crate::clock::now() > until) {
            return Ok(());
        }
        tokio::select! {
            () = notifier.wait() => {}
            _ = watch.changed() => {}
            () = at(request.until) => {}
            () = sender.closed() => return Ok(()),
        }
    }
}

/// Waits until just after a wall-clock time.
async fn at(until: Option<i64>) {
    match until {
        Some(until) => {
            let left = u64::try_from(until.saturating_sub(crate::clock::now())).unwrap_or(0);
            tokio::time::sleep(Duration::from_nanos(left) + Duration::from_millis(1)).await;
        }
        None => std::future::pending().await,
    }
}

/// The files that came after the one being read, oldest first.
async fn newer(path: &Path, lines: &Lines) -> Result<Vec<LogFile>> {
    let failed = |e| Error::internal("look at", path.display(), e);
    // Most often nothing came.
    if path.metadata().map_or(Ok(true), |found| lines.reads(&found)).map_err(failed)? {
        return Ok(Vec::new());
    }
    let current = lines.file().map_err(failed)?;
    let path = path.to_owned();
    blocking(move || files::newer(&path, current.as_ref()).map_err(|e| Error::internal("look at", path.display(), e))).await
}
