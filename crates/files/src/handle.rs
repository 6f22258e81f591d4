//! The daemon's side: one helper for each job.

use crate::NAME;
use crate::job::{Answer, Cause, Job};
use dhow_archive::PathStat;
use dhow_sys::{fdpass, process};
use std::any::Any;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::unix::pipe;

/// Longest wait for a helper's first word. What comes later takes as long as the files and the client do.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Bytes of one piece of an archive.
const PIECE: usize = 128 * 1024;

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("start a helper for files: {0}")]
    Start(#[source] io::Error),
    #[error("talk to the helper for files: {0}")]
    Io(#[source] io::Error),
    #[error("the helper for files has ended too early")]
    Gone,
    #[error("the container's filesystem did not answer within {} s", DEADLINE.as_secs())]
    Deadline,
    #[error("{message}")]
    Failed { cause: Cause, message: String },
}

/// Where a running container's files are.
#[derive(Debug)]
pub struct Running {
    /// Its root.
    pub root: OwnedFd,
    /// Its user namespace, where that is not the host's.
    pub userns: Option<OwnedFd>,
}

impl Running {
    fn fds(&self) -> impl Iterator<Item = &OwnedFd> {
        std::iter::once(&self.root).chain(&self.userns)
    }
}

/// A helper at work. It is killed when this goes.
#[derive(Debug)]
struct Helper {
    control: tokio::net::UnixStream,
    _kill: Kill,
}

#[derive(Debug)]
struct Kill(OwnedFd);

impl Drop for Kill {
    fn drop(&mut self) {
        // It has ended by itself where this fails.
        let _ended = process::pidfd_signal(&self.0, KILL);
    }
}

const KILL: i32 = 9;

/// What lies at the job's path. `keep` is held until the helper has ended, however long that takes.
pub async fn stat(job: Job, at: Option<Running>, keep: impl Any + Send) -> Result<PathStat, Error> {
    let helper = Helper::start(job, at, None, keep).await?;
    found(helper.first().await?)
}

/// What lies at the job's path, and an archive of it.
pub async fn read(job: Job, at: Option<Running>, keep: impl Any + Send) -> Result<(PathStat, Reader), Error> {
    let (ours, theirs) = io::pipe().map_err(Error::Start)?;
    let pieces = pipe::Receiver::from_owned_fd(ours.into()).map_err(Error::Start)?;
    let helper = Helper::start(job, at, Some(theirs.into()), keep).await?;
    let stat = found(helper.first().await?)?;
    Ok((stat, Reader { helper, pieces }))
}

/// Begins to write: the directory is there and may be written to.
pub async fn write(job: Job, at: Option<Running>, keep: impl Any + Send) -> Result<Writer, Error> {
    let (theirs, ours) = io::pipe().map_err(Error::Start)?;
    let pieces = pipe::Sender::from_owned_fd(ours.into()).map_err(Error::Start)?;
    let helper = Helper::start(job, at, Some(theirs.into()), keep).await?;
    match helper.first().await? {
        Answer::Ready => Ok(Writer { helper, pieces }),
        other => Err(refused(other)),
    }
}

/// An archive on its way out.
#[derive(Debug)]
pub struct Reader {
    helper: Helper,
    pieces: pipe::Receiver,
}

impl Reader {
    /// The next piece, `None` at the archive's own end.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut piece = Vec::with_capacity(PIECE);
        match self.pieces.read_buf(&mut piece).await.map_err(Error::Io)? {
            0 => match self.helper.answer().await? {
                Answer::Done => Ok(None),
                other => Err(refused(other)),
            },
            _ => Ok(Some(piece)),
        }
    }
}

/// An archive on its way in.
#[derive(Debug)]
pub struct Writer {
    helper: Helper,
    pieces: pipe::Sender,
}

impl Writer {
    /// Hands a piece over; false where no more is wanted, and [`Self::finish`] says why.
    pub async fn piece(&mut self, piece: &[u8]) -> Result<bool, Error> {
        match self.pieces.write_all(piece).await {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(e) => Err(Error::Io(e)),
        }
    }

    /// Ends the archive and waits until all of it is written.
    pub async fn finish(self) -> Result<(), Error> {
        let Self { helper, pieces } = self;
        drop(pieces);
        match helper.answer().await? {
            Answer::Done => Ok(()),
            other => Err(refused(other)),
        }
    }
}

fn found(answer: Answer) -> Result<PathStat, Error> {
    match answer {
        Answer::Found(stat) => Ok(stat),
        other => Err(refused(other)),
    }
}

fn refused(answer: Answer) -> Error {
    match answer {
        Answer::Failed { cause, message } => Error::Failed { cause, message },
        _ => Error::Gone,
    }
}

impl Helper {
    async fn start(job: Job, at: Option<Running>, data: Option<OwnedFd>, keep: impl Any + Send) -> Result<Self, Error> {
        let body = serde_json::to_vec(&job).map_err(|e| Error::Start(e.into()))?;
        let started = tokio::task::spawn_blocking(move || launch(&body, at.as_ref(), data.as_ref())).await;
        let Launched { mut child, control, life } = started.map_err(io::Error::other).and_then(|started| started).map_err(Error::Start)?;
        let kill = Kill(process::pidfd_open(child.id() as i32).map_err(Error::Start)?);
        let mut life = pipe::Receiver::from_owned_fd(life).map_err(Error::Start)?;
        tokio::spawn(async move {
            // It may be held by a filesystem long after it was killed. That costs a process, no thread. Nothing is ever written there: this is
            // its end, whatever is read.
            let _end = life.read_u8().await;
            let reaped = tokio::task::spawn_blocking(move || child.wait()).await;
            if let Err(error) = reaped.map_err(io::Error::other).and_then(|reaped| reaped) {
                tracing::warn!(%error, "a helper for files was not reaped");
            }
            drop(keep);
        });
        let control = UnixStream::from(control);
        control.set_nonblocking(true).map_err(Error::Start)?;
        let control = tokio::net::UnixStream::from_std(control).map_err(Error::Start)?;
        Ok(Self { control, _kill: kill })
    }

    async fn first(&self) -> Result<Answer, Error> {
        tokio::time::timeout(DEADLINE, self.answer()).await.map_err(|_| Error::Deadline)?
    }

    async fn answer(&self) -> Result<Answer, Error> {
        let message = self.control.async_io(Interest::READABLE, || fdpass::recv(&self.control)).await.map_err(Error::Io)?;
        let (body, _) = message.ok_or(Error::Gone)?;
        serde_json::from_slice(&body).map_err(|e| Error::Io(e.into()))
    }
}

/// A helper that has its job.
struct Launched {
    child: Child,
    control: OwnedFd,
    /// Ends when the helper does.
    life: OwnedFd,
}

/// Starts the process and gives it its job. Blocks for a moment.
fn launch(body: &[u8], at: Option<&Running>, data: Option<&OwnedFd>) -> io::Result<Launched> {
    let (control, theirs) = fdpass::pair()?;
    let (life, alive) = io::pipe()?;
    let fds: Vec<BorrowedFd<'_>> = data.into_iter().chain(at.into_iter().flat_map(Running::fds)).map(AsFd::as_fd).collect();
    // It waits in the socket until there is a helper.
    fdpass::send(&control, body, &fds)?;
    let child = Command::new("/proc/self/exe")
        .arg0(NAME)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::from(alive))
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Launched { child, control, life: life.into() })
}
