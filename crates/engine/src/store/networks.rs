//! The rows of networks in `state.db`.

use crate::error::{Error, Result};
use crate::model::network::Network;
use rusqlite::{Connection, params};

/// A change to the rows.
#[derive(Debug)]
pub(crate) enum Change {
    /// A new one, or one that changed.
    Put(Box<Network>),
    /// One that is gone, by its id.
    Delete(String),
}

/// The table.
pub(crate) const MIGRATION: &str = "
    CREATE TABLE networks (
        id     TEXT PRIMARY KEY NOT NULL,
        record TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
";

fn database(operation: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |e| Error::internal(operation, "state.db", e)
}

/// Reads them all.
pub(crate) fn load(connection: &Connection) -> Result<Vec<Network>> {
    let mut query = connection.prepare("SELECT id, record FROM networks").map_err(database("read"))?;
    let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).map_err(database("read"))?;
    let mut networks = Vec::new();
    for row in rows {
        let (id, record) = row.map_err(database("read"))?;
        match serde_json::from_str(&record) {
            Ok(network) => networks.push(network),
            Err(error) => tracing::error!(network = id, %error, "a record of state.db cannot be read; the network is left out"),
        }
    }
    Ok(networks)
}

/// Does a change.
pub(crate) fn change(connection: &Connection, change: &Change) -> Result<()> {
    let done = match change {
        Change::Put(network) => {
            let record = serde_json::to_string(network).map_err(|e| Error::internal("write", "a record", e))?;
            let sql = "INSERT INTO networks (id, record) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET record = ?2";
            connection.prepare_cached(sql).and_then(|mut s| s.execute(params![network.id, record]))
        }
        Change::Delete(id) => connection.prepare_cached("DELETE FROM networks WHERE id = ?1").and_then(|mut s| s.execute(params![id])),
    };
    done.map(|_| ()).map_err(database("write"))
}
