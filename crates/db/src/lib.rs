//! How a SQLite database of ours is opened: write-ahead log, pragmas, migrations by `user_version`, what happens on damage.
//!
//! On disk, for a database `state.db`:
//!
//! ```text
//! state.db                   pages that a checkpoint has moved here
//! state.db-wal               the log: every commit since
//! state.db-shm               index of the log, rebuilt when missing
//! state.db.damaged-TIME      a damaged database, put aside (with its -wal, so that it can be examined)
//! ```

mod checkpoint;
mod migrate;

pub use checkpoint::{Checkpoint, checkpoint};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a statement waits for another connection's write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a database does not open.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("open database {path}: {source}")]
    Open { path: String, source: rusqlite::Error },
    #[error("open database {path}: {source}")]
    File { path: String, source: io::Error },
    #[error("database {path} is of a newer release (schema {found}, known {known})")]
    TooNew { path: String, found: i64, known: i64 },
    #[error("migrate database {path} to schema {to}: {source}")]
    Migrate { path: String, to: i64, source: rusqlite::Error },
    #[error("migrate database {path} to schema {to}: a row of {table} refers to a missing one")]
    Dangling { path: String, to: i64, table: String },
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
///
/// The connection that comes back has [`Durability::Process`], waits up to 5 s for a lock, enforces foreign keys, keeps at most 512 KiB of
/// pages in memory, and never moves the log into the database by itself: somebody calls [`checkpoint`] from time to time.
pub fn open(path: &Path, migrations: &[&str]) -> Result<Connection, Error> {
    match try_open(path, migrations) {
        Err(error) if is_damage(&error) => {
            let aside = move_aside(path).map_err(|source| file_error(path, source))?;
            tracing::warn!(database = %path.display(), moved_to = %aside.display(), %error, "database is damaged; starting with a fresh one");
            try_open(path, migrations)
        }
        other => other,
    }
}

/// Sets the durability of the commits that follow on this connection. Not within a transaction: SQLite would ignore it there.
pub fn set_durability(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    connection.pragma_update(
        None,
        "synchronous",
        match durability {
            Durability::Process => "NORMAL",
            Durability::Power => "FULL",
        },
    )
}

fn try_open(path: &Path, migrations: &[&str]) -> Result<Connection, Error> {
    create_file(path).map_err(|source| file_error(path, source))?;
    let open_error = |source| Error::Open { path: path.display().to_string(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(open_error)?;
    configure(&connection).map_err(open_error)?;
    verify(&connection).map_err(open_error)?;
    migrate::migrate(&connection, path, migrations)?;
    set_durability(&connection, Durability::Process).map_err(open_error)?;
    Ok(connection)
}

/// SQLite would make the file with the umask's mode; and a database that was loosened meanwhile is tightened.
fn create_file(path: &Path) -> io::Result<()> {
    let made = fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(file) => {
            file.sync_all()?;
            sync_parent(path)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = fs::metadata(path)?.permissions().mode();
            if mode & 0o077 != 0 {
                fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Small, because several of these live in a daemon that is to stay at 10 MB.
    connection.pragma_update(None, "cache_size", -512)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
    // A checkpoint within somebody's commit would make that somebody wait for the disk.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", checkpoint::LOG_KEPT_BYTES)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Reads every page once. Our databases are a few hundred kilobytes; damage found now is better than damage found by a user.
fn verify(connection: &Connection) -> rusqlite::Result<()> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(code, Some(verdict)))
}

fn is_damage(error: &Error) -> bool {
    let (Error::Open { source, .. } | Error::Migrate { source, .. }) = error else {
        return false;
    };
    matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Renames the database and its log together, so that the pair still opens elsewhere. The index of the log is only a cache.
fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut aside = with_suffix(path, &format!(".damaged-{}", time.as_secs()));
    let mut attempt = 1;
    while aside.exists() {
        attempt += 1;
        aside = with_suffix(path, &format!(".damaged-{}-{attempt}", time.as_secs()));
    }
    // The log first: a log without its database is ignored by SQLite, but a fresh database beside an old log is not.
    for (from, to) in [(with_suffix(path, "-wal"), with_suffix(&aside, "-wal")), (path.to_owned(), aside.clone())] {
        ignore_missing(fs::rename(from, to))?;
    }
    ignore_missing(fs::remove_file(with_suffix(path, "-shm")))?;
    sync_parent(path)?;
    Ok(aside)
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::File::open(parent)?.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn file_error(path: &Path, source: io::Error) -> Error {
    Error::File { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests;
