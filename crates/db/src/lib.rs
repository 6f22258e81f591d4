//! How a SQLite database of ours is opened: write-ahead log, pragmas, migrations by `user_version`, what happens on damage.

use rusqlite::Connection;
use std::path::Path;

/// Why a database does not open.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("open database {path}: {source}")]
    Open { path: String, source: rusqlite::Error },
    #[error("database {path} is of a newer release (schema {found}, known {known})")]
    TooNew { path: String, found: i64, known: i64 },
    #[error("migrate database {path} to schema {to}: {source}")]
    Migrate { path: String, to: i64, source: rusqlite::Error },
}

/// How sure a commit is when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Survives kill -9 of the process, not a power cut.
    Process,
    /// Survives a power cut.
    Power,
}

/// Opens (mode 0600) and migrates. `migrations[n]` takes schema n to n+1. A file that is not a database, or is damaged beyond use, is moved
/// aside to `NAME.damaged-TIME` with a warning in the log, and a fresh one is made: the engine starts.
pub fn open(_path: &Path, _migrations: &[&str]) -> Result<Connection, Error> {
    todo!()
}

/// Sets the durability of the commits that follow on this connection.
pub fn set_durability(_connection: &Connection, _durability: Durability) -> rusqlite::Result<()> {
    todo!()
}
