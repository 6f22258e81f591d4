//! Moving the log into the database, away from anybody's commit.

use rusqlite::Connection;

/// A log shorter than this is left alone: reading through it costs nothing, syncing does.
const LOG_PAGES: i64 = 512;

/// What a log file may keep on disk after it was restarted: nothing. Frames are not as long as blocks, so to write over old ones is to read them
/// first, from the disk where the page cache has let go of them. What is appended is never read.
pub(crate) const LOG_KEPT_BYTES: i64 = 0;

/// What [`checkpoint`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    /// The log is short, nothing was done.
    Short,
    /// A reader still needs part of the log; the next call goes on.
    Partial,
    /// All of it is in the database and the log starts anew.
    Whole,
}

/// Moves the log into the database if it has grown. For a background thread, on a connection that is not within a transaction:
/// it waits for the disk, writers and readers do not wait for it.
///
/// The first commit after a whole checkpoint starts the log anew and syncs its header, whatever the durability; on a busy disk that takes
/// a tenth of a second. So this function makes that commit itself (it writes the schema version that is there already).
pub fn checkpoint(connection: &Connection) -> rusqlite::Result<Checkpoint> {
    let (logged, _) = run(connection, "NOOP")?;
    if logged < LOG_PAGES {
        return Ok(Checkpoint::Short);
    }
    let (logged, moved) = run(connection, "PASSIVE")?;
    if moved < logged {
        return Ok(Checkpoint::Partial);
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let version = crate::migrate::version(connection);
    let written = version.and_then(|version| connection.pragma_update(None, "user_version", version));
    let ended = connection.execute_batch(if written.is_ok() { "COMMIT" } else { "ROLLBACK" });
    written.and(ended)?;
    Ok(Checkpoint::Whole)
}

/// Pages in the log, and how many of them are in the database already.
fn run(connection: &Connection, mode: &str) -> rusqlite::Result<(i64, i64)> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| Ok((row.get(1)?, row.get(2)?)))
}
