//! Schema versions: `user_version` counts the migrations that were applied.

use crate::{Durability, Error, set_durability};
use rusqlite::Connection;
use std::path::Path;

/// Applies what is missing. Each step is one transaction that survives a power cut, so a kill in the middle leaves an older, whole schema.
pub(crate) fn migrate(connection: &Connection, path: &Path, migrations: &[&str]) -> Result<(), Error> {
    let open_error = |source| Error::Open { path: path.display().to_string(), source };
    let known = migrations.len() as i64;
    let found = version(connection).map_err(open_error)?;
    if found > known || found < 0 {
        return Err(Error::TooNew { path: path.display().to_string(), found, known });
    }
    if found == known {
        return Ok(());
    }
    // Rebuilding a table drops the old one, which would cascade into its children if keys were enforced meanwhile.
    connection.pragma_update(None, "foreign_keys", false).map_err(open_error)?;
    set_durability(connection, Durability::Power).map_err(open_error)?;
    for (index, sql) in migrations.iter().enumerate() {
        step(connection, path, index as i64, sql)?;
    }
    connection.pragma_update(None, "foreign_keys", true).map_err(open_error)
}

fn step(connection: &Connection, path: &Path, from: i64, sql: &str) -> Result<(), Error> {
    let failed = |source| Error::Migrate { path: path.display().to_string(), to: from + 1, source };
    connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let result = apply(connection, path, from, sql);
    let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.execute_batch(end).map_err(failed);
    result.and(ended)
}

fn apply(connection: &Connection, path: &Path, from: i64, sql: &str) -> Result<(), Error> {
    let failed = |source| Error::Migrate { path: path.display().to_string(), to: from + 1, source };
    // Another process may have been here while this one waited for the lock.
    if version(connection).map_err(failed)? > from {
        return Ok(());
    }
    connection.execute_batch(sql).map_err(failed)?;
    if let Some(table) = dangling(connection).map_err(failed)? {
        return Err(Error::Dangling { path: path.display().to_string(), to: from + 1, table });
    }
    connection.pragma_update(None, "user_version", from + 1).map_err(failed)
}

fn dangling(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    rows.next()?.map(|row| row.get(0)).transpose()
}

pub(crate) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}
