//! What can be asked of a container's actor.

use crate::client::{Client, Head};
use crate::error::Result;
use crate::model::network::{Membership, Network};
use crate::model::{Container, Resources};
use crate::spec::user::Resolved;
use dhow_shim::config::AttachConfig;
use dhow_shim::handle::Shim;
use std::sync::Arc;
use tokio::sync::{OwnedMutexGuard, oneshot};

/// Where the answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

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

/// A client to be attached.
#[derive(Debug)]
pub(crate) struct Attach {
    pub(crate) config: AttachConfig,
    pub(crate) client: Client,
    /// The client's head, where it is not to be written before the container starts.
    pub(crate) head: Option<Arc<Head>>,
}

/// What an exec needs of its container.
#[derive(Debug)]
pub(crate) struct ExecBase {
    pub(crate) shim: Shim,
    pub(crate) container: Arc<Container>,
    /// Whom the container's own process runs as, where that is known.
    pub(crate) user: Option<Resolved>,
}

/// The way to a container's files.
#[derive(Debug)]
pub(crate) enum Access {
    /// It runs: its shim has the root.
    Running(Shim),
    /// It rests. Whoever writes holds the guard until the layers are no longer mounted.
    Resting(Option<OwnedMutexGuard<()>>),
    /// It rests, and somebody else writes: wait for the turn and ask again.
    Busy,
}

/// One command.
#[derive(Debug)]
pub(crate) enum Command {
    Start(Reply<()>),
    /// As [`Command::Start`], at the engine's own start: a container that does anything but rest is left as it is.
    StartAtOpen(Reply<()>),
    /// As a stop, for the engine's own end.
    ShutDown(Reply<()>),
    /// `keep`: it is not removed at this end, because it is to be started again.
    Stop {
        signal: Option<i32>,
        timeout: Option<i64>,
        keep: bool,
        reply: Reply<()>,
    },
    /// `name`: as it was asked for, for the answer.
    Kill {
        name: String,
        signal: i32,
        reply: Reply<()>,
    },
    Remove {
        name: String,
        force: bool,
        /// With those of its volumes that nobody named.
        volumes: bool,
        reply: Reply<()>,
    },
    Rename {
        to: String,
        reply: Reply<()>,
    },
    Pause(Reply<()>),
    Unpause(Reply<()>),
    Update {
        resources: Box<Resources>,
        /// A new restart policy.
        restart: Option<(String, i64)>,
        reply: Reply<Vec<String>>,
    },
    /// A place in a network.
    Connect {
        network: Arc<Network>,
        asked: Box<Membership>,
        reply: Reply<()>,
    },
    /// No place in a network any more. `name`: as it was asked for, where there is no such network.
    Disconnect {
        network: Option<Arc<Network>>,
        name: String,
        reply: Reply<()>,
    },
    /// What one of its links leads to has come, gone, or has another name.
    LinksMoved,
    /// A link is taken away.
    Unlink {
        alias: String,
        reply: Reply<()>,
    },
    Wait {
        until: WaitFor,
        waiter: oneshot::Sender<(i64, Option<String>)>,
        reply: Reply<()>,
    },
    Attach {
        attach: Attach,
        reply: Reply<()>,
    },
    /// The shim of a running container.
    Shim(Reply<Shim>),
    /// The way to its files.
    Files {
        /// They are to be written to.
        write: bool,
        reply: Reply<Access>,
    },
    /// What an exec needs.
    ExecBase(Reply<ExecBase>),
    /// Whom the container's own process runs as, found out by an exec.
    KnownUser(Resolved),
    /// An exec was made.
    ExecMade {
        id: String,
        reply: Reply<()>,
    },
    /// Its questions for names are answered from now on.
    ServeNames,
    /// An exec did not run.
    ExecEnded(String),
    /// Answers once everything that the shim told before is dealt with.
    Settle(Reply<()>),
    /// Ends the actor; the container goes on.
    Quit(Reply<()>),
}

/// Who starts a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Somebody who asked for it.
    Hand,
    /// Its restart policy, after a back-off.
    Policy,
    /// The engine, at its own start.
    Engine,
}
