//! The rows: images, the blobs they need, their names.

use crate::error::Result;
use dhow_db::Durability;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::BTreeMap;

/// Schema steps, applied in order.
pub(crate) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE image (
        id TEXT PRIMARY KEY,
        chain TEXT,
        parent TEXT,
        last_tagged INTEGER
    ) STRICT;
    CREATE TABLE blob (
        image TEXT NOT NULL REFERENCES image(id) ON DELETE CASCADE,
        digest TEXT NOT NULL,
        -- The diff id of what these bytes hold, for a layer: what a push or save needs to find them.
        diff TEXT,
        PRIMARY KEY (image, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX blob_digest ON blob(digest);
    CREATE TABLE name (
        name TEXT PRIMARY KEY,
        image TEXT NOT NULL REFERENCES image(id) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
",
    "
    -- The document that the name stands for where it came from: the manifest or the index of a pull, the index of an archive.
    ALTER TABLE name ADD COLUMN top TEXT;
",
    "
    -- The run of the kernel, and a number, in which the image got content that may not be on the disk yet.
    ALTER TABLE image ADD COLUMN unsynced TEXT;
",
];

/// One image's row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) chain: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) last_tagged: Option<i64>,
    /// See [`Mark`].
    pub(crate) unsynced: Option<Mark>,
}

/// Says of an image that a power cut may have taken some of its content, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The run of the kernel.
    pub(crate) run: String,
    /// Larger for what came later.
    pub(crate) number: u64,
}

impl Mark {
    fn parse(text: &str) -> Self {
        let (run, number) = text.split_once(' ').unwrap_or((text, ""));
        Self { run: run.to_owned(), number: number.parse().unwrap_or(0) }
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.run, self.number)
    }
}

/// Every image.
pub(crate) fn images(c: &Connection) -> Result<Vec<Row>> {
    let mut statement = c.prepare("SELECT id, chain, parent, last_tagged, unsynced FROM image")?;
    let rows = statement.query_map([], |r| {
        let unsynced = r.get::<_, Option<String>>(4)?.map(|text| Mark::parse(&text));
        Ok(Row { id: r.get(0)?, chain: r.get(1)?, parent: r.get(2)?, last_tagged: r.get(3)?, unsynced })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A name's row: the image, and the document that the name stands for.
#[derive(Debug, Clone)]
pub(crate) struct NameRow {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) top: Option<String>,
}

/// Every name with its image.
pub(crate) fn names(c: &Connection) -> Result<Vec<NameRow>> {
    let mut statement = c.prepare("SELECT name, image, top FROM name")?;
    let rows = statement.query_map([], |r| Ok(NameRow { name: r.get(0)?, image: r.get(1)?, top: r.get(2)? }))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Every image with what of its content is no layer, sorted: its configuration and the documents that it came with.
pub(crate) fn documents(c: &Connection) -> Result<BTreeMap<String, Vec<String>>> {
    let mut statement = c.prepare("SELECT image, digest FROM blob WHERE diff IS NULL ORDER BY image, digest")?;
    let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        let (image, digest): (String, String) = row?;
        found.entry(image).or_default().push(digest);
    }
    Ok(found)
}

/// The blobs of one image.
pub(crate) fn blobs_of(c: &Connection, image: &str) -> Result<Vec<String>> {
    let mut statement = c.prepare_cached("SELECT digest FROM blob WHERE image = ?1")?;
    let rows = statement.query_map([image], |r| r.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The blobs of one image that hold layers, with the diff ids of those.
pub(crate) fn layer_blobs(c: &Connection, image: &str) -> Result<BTreeMap<String, Option<String>>> {
    let mut statement = c.prepare("SELECT digest, diff FROM blob WHERE image = ?1 AND diff IS NOT NULL")?;
    let rows = statement.query_map([image], |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The blobs of one image with the diff ids of those that are layers, sorted.
pub(crate) fn content_of(c: &Connection, image: &str) -> Result<Vec<(String, Option<String>)>> {
    let mut statement = c.prepare_cached("SELECT digest, diff FROM blob WHERE image = ?1 ORDER BY digest")?;
    let rows = statement.query_map([image], |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Some image needs this blob.
pub(crate) fn blob_in_use(c: &Connection, digest: &str) -> Result<bool> {
    let mut statement = c.prepare_cached("SELECT 1 FROM blob WHERE digest = ?1 LIMIT 1")?;
    Ok(statement.query_row([digest], |_| Ok(())).optional()?.is_some())
}

/// The images that need this blob.
pub(crate) fn owners(c: &Connection, digest: &str) -> Result<Vec<String>> {
    let mut statement = c.prepare_cached("SELECT image FROM blob WHERE digest = ?1 ORDER BY image")?;
    let rows = statement.query_map([digest], |r| r.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Gives an image one more blob.
pub(crate) fn add_content(c: &mut Connection, image: &str, digest: &str, diff: Option<&str>, mark: &Mark) -> Result<()> {
    lightly(c, |c| {
        let tx = c.transaction()?;
        tx.execute("INSERT OR IGNORE INTO blob (image, digest, diff) VALUES (?1, ?2, ?3)", params![image, digest, diff])?;
        tx.execute("UPDATE image SET unsynced = ?2 WHERE id = ?1", params![image, mark.to_string()])?;
        Ok(tx.commit()?)
    })
}

/// Forgets content that is not here any more, whoever had it.
pub(crate) fn drop_content(c: &Connection, digest: &str) -> Result<()> {
    c.execute("DELETE FROM blob WHERE digest = ?1", [digest])?;
    Ok(())
}

/// Takes content from one image.
pub(crate) fn take_content(c: &Connection, image: &str, digest: &str) -> Result<()> {
    c.execute("DELETE FROM blob WHERE image = ?1 AND digest = ?2", [image, digest])?;
    Ok(())
}

/// Images with content of this run of the kernel that may not be on the disk.
pub(crate) fn marked(c: &Connection, run: &str) -> Result<Vec<(String, Mark)>> {
    let found = images(c)?.into_iter().filter_map(|row| Some((row.id, row.unsynced?)));
    Ok(found.filter(|(_, mark)| mark.run == run).collect())
}

/// Whether an image has content that may not be on the disk, of whichever run.
pub(crate) fn is_marked(c: &Connection, image: &str) -> Result<bool> {
    let mut statement = c.prepare_cached("SELECT 1 FROM image WHERE id = ?1 AND unsynced IS NOT NULL")?;
    Ok(statement.exists([image])?)
}

/// Gives an image a mark in place of the one that it has.
pub(crate) fn set_mark(c: &Connection, image: &str, mark: &Mark) -> Result<()> {
    c.execute("UPDATE image SET unsynced = ?2 WHERE id = ?1", params![image, mark.to_string()])?;
    Ok(())
}

/// Takes marks away, but from images that have another one by now. What was committed before is on the disk then, too.
pub(crate) fn unmark(c: &mut Connection, marked: &[(String, Mark)]) -> Result<()> {
    let tx = c.transaction()?;
    for (image, mark) in marked {
        tx.execute("UPDATE image SET unsynced = NULL WHERE id = ?1 AND unsynced = ?2", params![image, mark.to_string()])?;
    }
    Ok(tx.commit()?)
}

/// Does what nobody waits for the disk for: a power cut may take the commit back, whole, as it may take the content that it is about.
fn lightly(c: &mut Connection, work: impl FnOnce(&mut Connection) -> Result<()>) -> Result<()> {
    dhow_db::set_durability(c, Durability::Process)?;
    let done = work(c);
    dhow_db::set_durability(c, Durability::Power)?;
    done
}

/// These bytes are known to hold this layer.
pub(crate) fn blob_is_layer(c: &Connection, digest: &str, diff: &str) -> Result<bool> {
    let mut statement = c.prepare_cached("SELECT 1 FROM blob WHERE digest = ?1 AND diff = ?2 LIMIT 1")?;
    Ok(statement.query_row([digest, diff], |_| Ok(())).optional()?.is_some())
}

/// Records an image with its blobs (and the diff ids of those that are layers), and points names to it, in one commit. One that is there
/// stays, with the blobs added; both have the row's mark from then on. `at` is told where a person tags.
pub(crate) fn insert(
    c: &mut Connection,
    row: &Row,
    blobs: &BTreeMap<String, Option<String>>,
    names: &[NameRow],
    at: Option<i64>,
) -> Result<()> {
    lightly(c, |c| {
        let tx = c.transaction()?;
        insert_in(&tx, row, blobs, names, at)?;
        Ok(tx.commit()?)
    })
}

fn insert_in(tx: &Transaction<'_>, row: &Row, blobs: &BTreeMap<String, Option<String>>, names: &[NameRow], at: Option<i64>) -> Result<()> {
    tx.execute(
        "INSERT INTO image (id, chain, parent, last_tagged, unsynced) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT(id) DO UPDATE SET unsynced = excluded.unsynced",
        params![row.id, row.chain, row.parent, row.last_tagged, row.unsynced.as_ref().map(ToString::to_string)],
    )?;
    for (digest, diff) in blobs {
        tx.execute("INSERT OR IGNORE INTO blob (image, digest, diff) VALUES (?1, ?2, ?3)", params![row.id, digest, diff])?;
    }
    for name in names {
        point(tx, name)?;
    }
    if let Some(at) = at {
        tx.execute("UPDATE image SET last_tagged = ?2 WHERE id = ?1", params![row.id, at])?;
    }
    Ok(())
}

fn point(c: &Connection, name: &NameRow) -> Result<()> {
    c.execute(
        "INSERT INTO name (name, image, top) VALUES (?1, ?2, ?3) ON CONFLICT(name) DO UPDATE SET image = excluded.image, top = excluded.top",
        params![name.name, name.image, name.top],
    )?;
    Ok(())
}

/// Points a name to an image; `at` is told where a person does so.
pub(crate) fn set_name(c: &mut Connection, name: &NameRow, at: Option<i64>) -> Result<()> {
    let tx = c.transaction()?;
    point(&tx, name)?;
    if let Some(at) = at {
        tx.execute("UPDATE image SET last_tagged = ?2 WHERE id = ?1", params![name.image, at])?;
    }
    tx.commit()?;
    Ok(())
}

/// Takes names and images away, in one commit.
pub(crate) fn delete(c: &mut Connection, names: &[String], images: &[String]) -> Result<()> {
    let tx = c.transaction()?;
    for name in names {
        tx.execute("DELETE FROM name WHERE name = ?1", [name])?;
    }
    for id in images {
        tx.execute("DELETE FROM image WHERE id = ?1", [id])?;
    }
    tx.commit()?;
    Ok(())
}
