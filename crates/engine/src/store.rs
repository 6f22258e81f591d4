//! The engine's memory on disk: `state.db`, one row for each container, behind a thread of its own with a queue.
//!
//! Requests are done in the order in which they were given, so a caller need not wait for one before it sends the next about the same
//! object. What survives what is said with each request; the write-ahead log is folded back by a second connection while nothing else
//! happens, so that no request waits for the disk because of it.

mod networks;

pub(crate) use networks::Change as NetworkChange;

use crate::error::{Error, Result};
use crate::model::network::Network;
use crate::model::{Container, State};
use dhow_db::Durability;
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use tokio::sync::oneshot;

const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE containers (
        id      TEXT PRIMARY KEY NOT NULL,
        name    TEXT NOT NULL UNIQUE,
        created INTEGER NOT NULL,
        record  TEXT NOT NULL,
        state   TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    networks::MIGRATION,
];

/// Requests after which it is folded back all the same.
const BUSY: usize = 2000;
/// How long what may be written a little later is put off: longer than a program takes that does next to nothing.
const SOON: Duration = Duration::from_millis(5);
/// The same of a container's first record, which is put off when its start begins.
const SOON_MADE: Duration = Duration::from_millis(20);
/// Quiet time after which the log is folded back.
const IDLE: Duration = Duration::from_secs(3);

enum Request {
    Insert {
        container: Box<Container>,
        durability: Durability,
        reply: Reply,
    },
    Update {
        container: Box<Container>,
        reply: Option<Reply>,
    },
    State {
        id: String,
        state: Box<State>,
        reply: Option<Reply>,
    },
    Rename {
        id: String,
        name: String,
        reply: Reply,
    },
    Delete {
        id: String,
        reply: Reply,
    },
    Network {
        change: NetworkChange,
        durability: Durability,
        reply: Option<Reply>,
    },
    /// An [`Request::Insert`], [`Request::Update`] or [`Request::State`] that may be written a little later.
    Soon(Box<Request>),
    Stop {
        reply: oneshot::Sender<()>,
    },
}

impl Request {
    /// What is to be written in the end.
    fn inner(&self) -> &Self {
        match self {
            Self::Soon(request) => request,
            request => request,
        }
    }

    /// Whether `other`, which came before and was put off, need not be written any more.
    fn supersedes(&self, other: &Self) -> bool {
        let of = match other {
            Self::Update { container, .. } => (&container.id, false),
            Self::State { id, .. } => (id, true),
            _ => return false,
        };
        match self {
            Self::Delete { id, .. } => id == of.0,
            Self::Update { container, .. } => container.id == *of.0,
            Self::State { id, .. } => (id, true) == of,
            _ => false,
        }
    }
}

/// Takes what comes of a new container into its record, which was put off. Gives back what is to be done all the same.
fn absorb(soon: &mut Option<Request>, next: Request) -> Option<Request> {
    let Some(Request::Insert { container, .. }) = soon else { return Some(next) };
    let (next, put_off) = match next {
        Request::Soon(next) => (*next, true),
        next => (next, false),
    };
    match next {
        Request::Update { container: newer, reply: None } if newer.id == container.id => *container = newer,
        Request::State { id, state, reply: None } if id == container.id => container.state = *state,
        Request::Delete { id, reply } if id == container.id => {
            if let Some(Request::Insert { reply, .. }) = soon.take() {
                // The container has ended; nobody asks for its record any more.
                let _ = reply.send(Ok(()));
            }
            let _ = reply.send(Ok(()));
        }
        next => return Some(if put_off { Request::Soon(Box::new(next)) } else { next }),
    }
    None
}

type Reply = oneshot::Sender<Result<()>>;

/// The handle. Its thread ends when the last one is dropped, after what was asked for is done.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    queue: Sender<Request>,
}

impl Store {
    /// Opens the database and reads every container and network.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Container>, Vec<Network>)> {
        let connection = dhow_db::open(path, MIGRATIONS).map_err(|e| Error::internal("open", path.display(), e))?;
        let containers = load(&connection)?;
        let networks = networks::load(&connection)?;
        let (queue, requests) = channel();
        let path = path.to_owned();
        std::thread::Builder::new()
            .name("state".into())
            .stack_size(512 * 1024)
            .spawn(move || serve(&connection, &path, &requests))
            .map_err(|e| Error::internal("start the thread of", "state.db", e))?;
        Ok((Self { queue }, containers, networks))
    }

    /// A new container. With [`Durability::Power`] it survives a power cut. That is asked for at once, and waited for with what comes back.
    pub(crate) fn insert(&self, container: &Container, durability: Durability) -> impl Future<Output = Result<()>> + Send + Sync + use<> {
        self.insert_to(container, durability, false)
    }

    /// The same, at once or put `off`: of a container that is deleted before anything is written nothing is.
    pub(crate) fn insert_to(
        &self,
        container: &Container,
        durability: Durability,
        off: bool,
    ) -> impl Future<Output = Result<()>> + Send + Sync + use<> {
        let (reply, answer) = oneshot::channel();
        let insert = Request::Insert { container: Box::new(container.clone()), durability, reply };
        self.give(if off { Request::Soon(Box::new(insert)) } else { insert });
        answered(answer)
    }

    /// All of a container that is there.
    pub(crate) async fn update(&self, container: &Container) -> Result<()> {
        let container = Box::new(container.clone());
        self.ask(|reply| Request::Update { container, reply: Some(reply) }).await
    }

    /// Only its state. Survives the death of the engine.
    pub(crate) async fn state(&self, id: &str, state: &State) -> Result<()> {
        let (id, state) = (id.to_owned(), Box::new(state.clone()));
        self.ask(|reply| Request::State { id, state, reply: Some(reply) }).await
    }

    /// All of it, without waiting for it to be written.
    pub(crate) fn update_later(&self, container: &Container) {
        self.later(&container.id, Request::Update { container: Box::new(container.clone()), reply: None });
    }

    /// What its start has changed, all of it or its state, without waiting for it to be written. That is put off for a moment: when the program has
    /// ended by then, it need not be. An engine that dies meanwhile learns it from the shim.
    pub(crate) fn started(&self, container: &Container, all: bool) {
        let request = match all {
            true => Request::Update { container: Box::new(container.clone()), reply: None },
            false => Request::State { id: container.id.clone(), state: Box::new(container.state.clone()), reply: None },
        };
        self.later(&container.id, Request::Soon(Box::new(request)));
    }

    /// Its state, without waiting for it to be written.
    pub(crate) fn state_later(&self, id: &str, state: &State) {
        self.later(id, Request::State { id: id.to_owned(), state: Box::new(state.clone()), reply: None });
    }

    fn later(&self, id: &str, request: Request) {
        if self.queue.send(request).is_err() {
            tracing::error!(container = id, "state.db is closed");
        }
    }

    /// A new name.
    pub(crate) async fn rename(&self, id: &str, name: &str) -> Result<()> {
        let (id, name) = (id.to_owned(), name.to_owned());
        self.ask(|reply| Request::Rename { id, name, reply }).await
    }

    /// Forgets it. That is asked for at once, and waited for with what comes back.
    pub(crate) fn delete(&self, id: &str) -> impl Future<Output = Result<()>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.give(Request::Delete { id: id.to_owned(), reply });
        answered(answer)
    }

    /// A network of the engine's own, without waiting for it to be written.
    pub(crate) fn network_later(&self, network: &Network) {
        let change = NetworkChange::Put(Box::new(network.clone()));
        self.later(&network.id, Request::Network { change, durability: Durability::Process, reply: None });
    }

    /// A network that was made, or is gone. Survives a power cut.
    pub(crate) async fn network(&self, change: NetworkChange) -> Result<()> {
        self.ask(|reply| Request::Network { change, durability: Durability::Power, reply: Some(reply) }).await
    }

    /// Writes what was asked for, folds the log back and ends the thread.
    pub(crate) async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.queue.send(Request::Stop { reply }).is_ok() {
            let _ = done.await;
        }
    }

    async fn ask(&self, request: impl FnOnce(Reply) -> Request) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.give(request(reply));
        answered(answer).await
    }

    /// Where nobody takes it any more, the other end of its reply is dropped with it.
    fn give(&self, request: Request) {
        let _sent = self.queue.send(request);
    }
}

async fn answered(answer: oneshot::Receiver<Result<()>>) -> Result<()> {
    answer.await.map_err(|_| Error::new(crate::error::Kind::Unavailable, "the engine is closing"))?
}

fn database(operation: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |e| Error::internal(operation, "state.db", e)
}

fn load(connection: &Connection) -> Result<Vec<Container>> {
    let mut query = connection.prepare("SELECT id, name, record, state FROM containers ORDER BY created").map_err(database("read"))?;
    let rows = query
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?)))
        .map_err(database("read"))?;
    let mut containers = Vec::new();
    for row in rows {
        let (id, name, record, state) = row.map_err(database("read"))?;
        match parse(&name, &record, &state) {
            Ok(container) => containers.push(container),
            Err(e) => tracing::error!(container = id, error = %e, "a record of state.db cannot be read; the container is left out"),
        }
    }
    Ok(containers)
}

fn parse(name: &str, record: &str, state: &str) -> serde_json::Result<Container> {
    let mut container: Container = serde_json::from_str(record)?;
    container.name = name.to_owned();
    container.state = serde_json::from_str(state)?;
    Ok(container)
}

fn serve(connection: &Connection, path: &Path, requests: &Receiver<Request>) {
    let (mut written, mut soon) = (0, None);
    loop {
        let next = match (&soon, written) {
            (Some(Request::Insert { .. }), _) => requests.recv_timeout(SOON_MADE),
            (Some(_), _) => requests.recv_timeout(SOON),
            (None, 0) => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            (None, _) => requests.recv_timeout(IDLE),
        };
        let next = match next.map(|next| absorb(&mut soon, next)) {
            Ok(None) => continue,
            Ok(Some(next)) => Ok(next),
            Err(why) => Err(why),
        };
        let fresh = next.as_ref().is_ok_and(|next| soon.as_ref().is_some_and(|soon| next.inner().supersedes(soon)));
        if let Some(request) = soon.take().filter(|_| !fresh) {
            handle(connection, request);
            written += 1;
        } else if matches!(next, Err(RecvTimeoutError::Timeout)) {
            fold_aside(path.to_owned());
            written = 0;
        }
        match next {
            Ok(Request::Soon(request)) => soon = Some(*request),
            Ok(Request::Stop { reply }) => {
                fold(connection);
                let _ = reply.send(());
                return;
            }
            Ok(request) => {
                handle(connection, request);
                written += 1;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return fold(connection),
        }
        if written >= BUSY {
            fold_aside(path.to_owned());
            written = 0;
        }
    }
}

fn handle(connection: &Connection, request: Request) {
    let (result, reply) = match request {
        Request::Insert { container, durability, reply } => (insert(connection, &container, durability), Some(reply)),
        Request::Update { container, reply } => (update(connection, &container), reply),
        Request::State { id, state, reply } => (save_state(connection, &id, &state), reply),
        Request::Rename { id, name, reply } => {
            let done = execute(connection, "UPDATE containers SET name = ?2 WHERE id = ?1", params![id, name]);
            (done, Some(reply))
        }
        Request::Delete { id, reply } => (execute(connection, "DELETE FROM containers WHERE id = ?1", params![id]), Some(reply)),
        Request::Network { change, durability, reply } => (with(connection, durability, || networks::change(connection, &change)), reply),
        Request::Soon(request) => return handle(connection, *request),
        Request::Stop { reply } => {
            let _ = reply.send(());
            return;
        }
    };
    match reply {
        // Who asked may have gone: the request is done all the same.
        Some(reply) => drop(reply.send(result)),
        None => {
            if let Err(error) = result {
                tracing::error!(%error, "a state was not saved");
            }
        }
    }
}

fn execute(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<()> {
    connection.prepare_cached(sql).and_then(|mut s| s.execute(values)).map(|_| ()).map_err(database("write"))
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::internal("write", "a record", e))
}

fn insert(connection: &Connection, container: &Container, durability: Durability) -> Result<()> {
    let values = params![container.id, container.name, container.created, json(container)?, json(&container.state)?];
    let sql = "INSERT INTO containers (id, name, created, record, state) VALUES (?1, ?2, ?3, ?4, ?5)";
    with(connection, durability, || execute(connection, sql, values))
}

/// Does something so that it survives what it must.
fn with(connection: &Connection, durability: Durability, act: impl FnOnce() -> Result<()>) -> Result<()> {
    if durability == Durability::Power {
        dhow_db::set_durability(connection, Durability::Power).map_err(database("set up"))?;
    }
    let done = act();
    if durability == Durability::Power {
        dhow_db::set_durability(connection, Durability::Process).map_err(database("set up"))?;
    }
    done
}

fn update(connection: &Connection, container: &Container) -> Result<()> {
    execute(
        connection,
        "UPDATE containers SET record = ?2, state = ?3 WHERE id = ?1",
        params![container.id, json(container)?, json(&container.state)?],
    )
}

fn save_state(connection: &Connection, id: &str, state: &State) -> Result<()> {
    execute(connection, "UPDATE containers SET state = ?2 WHERE id = ?1", params![id, json(state)?])
}

fn fold(connection: &Connection) {
    if let Err(error) = dhow_db::checkpoint(connection) {
        tracing::debug!(%error, "the log of state.db was not folded back");
    }
}

/// On a thread and a connection of its own: folding syncs, and a busy disk must not hold the queue.
fn fold_aside(path: PathBuf) {
    let work = move || match dhow_db::open(&path, MIGRATIONS) {
        Ok(connection) => fold(&connection),
        Err(error) => tracing::debug!(%error, "state.db could not be opened a second time"),
    };
    if let Err(error) = std::thread::Builder::new().name("state-fold".into()).stack_size(256 * 1024).spawn(work) {
        tracing::debug!(%error, "no thread to fold the log of state.db back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::container;
    use crate::model::Status;

    #[tokio::test]
    async fn what_is_saved_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let (store, found, _) = Store::open(&path).unwrap();
        assert!(found.is_empty());
        let mut one = container(&"1".repeat(64), "one");
        store.insert(&one, Durability::Power).await.unwrap();
        store.insert(&container(&"2".repeat(64), "two"), Durability::Process).await.unwrap();
        assert!(store.insert(&container(&"3".repeat(64), "two"), Durability::Process).await.is_err());
        one.state.status = Status::Exited;
        one.state.exit_code = 3;
        store.state_later(&one.id, &one.state);
        store.rename(&one.id, "uno").await.unwrap();
        store.delete(&"2".repeat(64)).await.unwrap();
        store.close().await;

        let (_store, found, _) = Store::open(&path).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "uno");
        assert_eq!(found[0].state, one.state);
    }

    /// Of a moment's requests only the last word is written.
    #[test]
    fn what_was_put_off_and_need_not_be_written() {
        let (one, other) = ("1".repeat(64), "2".repeat(64));
        let update = |id: &str| Request::Update { container: Box::new(container(id, "one")), reply: None };
        let state = |id: &str| Request::State { id: id.to_owned(), state: Box::default(), reply: None };
        let delete = |id: &str| Request::Delete { id: id.to_owned(), reply: oneshot::channel().0 };
        let rename = |id: &str| Request::Rename { id: id.to_owned(), name: "uno".to_owned(), reply: oneshot::channel().0 };
        for (next, before, expect) in [
            (delete(&one), update(&one), true),
            (delete(&one), state(&one), true),
            (update(&one), update(&one), true),
            (update(&one), state(&one), true),
            (state(&one), state(&one), true),
            (state(&one), update(&one), false),
            (rename(&one), update(&one), false),
            (delete(&other), update(&one), false),
            (delete(&one), rename(&one), false),
        ] {
            assert_eq!(next.supersedes(&before), expect, "{:?} after {:?}", Kind(&next), Kind(&before));
        }
    }

    /// A new container's record that was put off takes up what comes of it, and of one that goes nothing is written.
    #[tokio::test]
    async fn a_new_one_a_little_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let (store, ..) = Store::open(&path).unwrap();
        let read = || Store::open(&path).unwrap().1;
        let (mut one, other) = (container(&"1".repeat(64), "one"), container(&"2".repeat(64), "other"));
        let recorded = store.insert_to(&one, Durability::Process, true);
        assert!(read().is_empty());
        store.delete(&one.id).await.unwrap();
        recorded.await.unwrap();
        assert!(read().is_empty());

        // Nothing follows, and yet it is written.
        store.insert_to(&one, Durability::Process, true).await.unwrap();
        assert_eq!(read().len(), 1);
        store.delete(&one.id).await.unwrap();

        let recorded = store.insert_to(&one, Durability::Process, true);
        one.log_path = "/log".to_owned();
        store.update_later(&one);
        one.state.pid = 7;
        store.state_later(&one.id, &one.state);
        // What is of another one waits for nothing, and puts nothing off for ever.
        store.insert(&other, Durability::Process).await.unwrap();
        recorded.await.unwrap();
        let found = read();
        assert_eq!(found.len(), 2);
        let found = found.iter().find(|found| found.id == one.id).unwrap();
        assert_eq!((found.log_path.as_str(), found.state.pid), ("/log", 7));

        // A name that is taken is said late, too.
        assert!(store.insert_to(&container(&"3".repeat(64), "one"), Durability::Process, true).await.is_err());
        let last = store.insert_to(&container(&"4".repeat(64), "last"), Durability::Process, true);
        store.close().await;
        last.await.unwrap();
        assert_eq!(read().len(), 3);
    }

    struct Kind<'a>(&'a Request);
    impl std::fmt::Debug for Kind<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(match self.0 {
                Request::Update { .. } => "update",
                Request::State { .. } => "state",
                Request::Delete { .. } => "delete",
                _ => "another",
            })
        }
    }

    #[tokio::test]
    async fn a_start_is_written_a_little_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let (store, ..) = Store::open(&path).unwrap();
        let (mut stays, mut ends) = (container(&"1".repeat(64), "stays"), container(&"2".repeat(64), "ends"));
        for container in [&stays, &ends] {
            store.insert(container, Durability::Process).await.unwrap();
        }
        for container in [&mut ends, &mut stays] {
            container.state.status = Status::Running;
            container.log_path = "/log".to_owned();
            store.started(container, true);
        }
        stays.state.pid = 7;
        store.started(&stays, false);
        store.delete(&ends.id).await.unwrap();
        let (_, found, _) = Store::open(&path).unwrap();
        assert_eq!(found.iter().map(|c| (c.name.as_str(), c.log_path.as_str(), c.state.pid)).collect::<Vec<_>>(), [("stays", "/log", 7)]);
        // Nothing follows, and yet it is written.
        stays.state.pid = 8;
        store.started(&stays, false);
        let read = || Store::open(&path).unwrap().1[0].state.pid;
        while read() != 8 {
            tokio::time::sleep(SOON).await;
        }
        store.close().await;
    }
}
