//! Each test has a directory and a database of its own.

use super::*;
use std::os::unix::fs::MetadataExt;

const V1: &str = "CREATE TABLE box (id INTEGER PRIMARY KEY, name TEXT NOT NULL);";
const V2: &str = "ALTER TABLE box ADD COLUMN size INTEGER NOT NULL DEFAULT 7;
    CREATE TABLE lid (box INTEGER NOT NULL REFERENCES box(id));";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn path(&self) -> PathBuf {
        self.0.path().join("state.db")
    }
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> T {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn a_fresh_database_is_private_and_configured() {
    let place = Place::new();
    let db = open(&place.path(), &[V1, V2]).unwrap();
    db.execute("INSERT INTO box (name) VALUES ('a')", []).unwrap();
    for name in ["state.db", "state.db-wal"] {
        assert_eq!(fs::metadata(place.0.path().join(name)).unwrap().mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(pragma::<String>(&db, "journal_mode"), "wal");
    assert_eq!(pragma::<i64>(&db, "user_version"), 2);
    assert_eq!(pragma::<i64>(&db, "foreign_keys"), 1);
    assert_eq!(pragma::<i64>(&db, "synchronous"), 1);
    assert_eq!(pragma::<i64>(&db, "wal_autocheckpoint"), 0);
    assert_eq!(pragma::<i64>(&db, "cache_size"), -512);
    set_durability(&db, Durability::Power).unwrap();
    assert_eq!(pragma::<i64>(&db, "synchronous"), 2);
    set_durability(&db, Durability::Process).unwrap();
    assert_eq!(pragma::<i64>(&db, "synchronous"), 1);
    assert!(db.execute("INSERT INTO lid VALUES (99)", []).is_err(), "foreign keys are enforced");
}

#[test]
fn a_loose_mode_is_tightened() {
    let place = Place::new();
    drop(open(&place.path(), &[V1]).unwrap());
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(&place.path(), &[V1]).unwrap());
    assert_eq!(fs::metadata(place.path()).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn rows_survive_reopening_and_migration() {
    let place = Place::new();
    let db = open(&place.path(), &[V1]).unwrap();
    db.execute("INSERT INTO box (name) VALUES ('a')", []).unwrap();
    drop(db);
    let db = open(&place.path(), &[V1, V2]).unwrap();
    let row: (String, i64) = db.query_row("SELECT name, size FROM box", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    assert_eq!(row, ("a".into(), 7));
}

#[test]
fn a_failing_migration_changes_nothing() {
    let place = Place::new();
    let bad = "CREATE TABLE half (x); CREATE TABLE box (x);";
    let error = open(&place.path(), &[V1, bad]).unwrap_err();
    assert!(matches!(error, Error::Migrate { to: 2, .. }), "{error}");
    let db = open(&place.path(), &[V1]).unwrap();
    let halves: i64 = db.query_row("SELECT count(*) FROM sqlite_schema WHERE name='half'", [], |r| r.get(0)).unwrap();
    assert_eq!(halves, 0);
}

#[test]
fn a_migration_that_leaves_dangling_rows_is_refused() {
    let place = Place::new();
    let error = open(&place.path(), &[V1, V2, "INSERT INTO lid VALUES (5)"]).unwrap_err();
    assert!(matches!(&error, Error::Dangling { to: 3, table, .. } if table == "lid"), "{error}");
}

#[test]
fn a_newer_schema_is_refused_and_kept() {
    let place = Place::new();
    drop(open(&place.path(), &[V1, V2]).unwrap());
    let error = open(&place.path(), &[V1]).unwrap_err();
    assert!(matches!(error, Error::TooNew { found: 2, known: 1, .. }), "{error}");
    drop(open(&place.path(), &[V1, V2]).unwrap());
    assert_eq!(place.names(), ["state.db"]);
}

#[test]
fn junk_is_moved_aside() {
    let place = Place::new();
    fs::write(place.path(), "this was never a database, but it is longer than a header of one hundred bytes ".repeat(90)).unwrap();
    fs::write(with_suffix(&place.path(), "-wal"), "an old log").unwrap();
    let db = open(&place.path(), &[V1]).unwrap();
    db.execute("INSERT INTO box (name) VALUES ('a')", []).unwrap();
    let damaged: Vec<_> = place.names().into_iter().filter(|name| name.starts_with("state.db.damaged-")).collect();
    assert!((1..=2).contains(&damaged.len()), "{damaged:?}");
}

#[test]
fn a_damaged_table_is_moved_aside() {
    let place = Place::new();
    let db = open(&place.path(), &[V1]).unwrap();
    for n in 0..2000 {
        db.execute("INSERT INTO box (name) VALUES (?)", [format!("name {n}").repeat(5)]).unwrap();
    }
    drop(db);
    let mut bytes = fs::read(place.path()).unwrap();
    let page = 4096;
    assert!(bytes.len() > 8 * page);
    bytes[page..4 * page].fill(0xa5);
    fs::write(place.path(), bytes).unwrap();
    let db = open(&place.path(), &[V1]).unwrap();
    let rows: i64 = db.query_row("SELECT count(*) FROM box", [], |r| r.get(0)).unwrap();
    assert_eq!(rows, 0);
    assert_eq!(place.names().iter().filter(|name| name.contains("damaged")).count(), 1, "{:?}", place.names());
}

#[test]
fn an_unreadable_place_is_an_error_that_names_it() {
    let error = open(Path::new("/nonexistent/state.db"), &[]).unwrap_err();
    assert!(error.to_string().starts_with("open database /nonexistent/state.db: "), "{error}");
}

#[test]
fn a_committed_row_is_seen_by_another_connection() {
    let place = Place::new();
    let one = open(&place.path(), &[V1]).unwrap();
    let two = open(&place.path(), &[V1]).unwrap();
    one.execute("INSERT INTO box (name) VALUES ('a')", []).unwrap();
    let rows: i64 = two.query_row("SELECT count(*) FROM box", [], |r| r.get(0)).unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn a_checkpoint_moves_the_log_and_starts_it_anew() {
    let place = Place::new();
    let db = open(&place.path(), &[V1]).unwrap();
    assert_eq!(checkpoint(&db).unwrap(), Checkpoint::Short);
    for n in 0..600 {
        db.execute("INSERT INTO box (name) VALUES (?)", [n.to_string()]).unwrap();
    }
    let log = with_suffix(&place.path(), "-wal");
    let before = fs::metadata(&log).unwrap().len();
    let reader = open(&place.path(), &[V1]).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM box;").unwrap();
    db.execute("INSERT INTO box (name) VALUES ('late')", []).unwrap();
    assert_eq!(checkpoint(&db).unwrap(), Checkpoint::Partial);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(checkpoint(&db).unwrap(), Checkpoint::Whole);
    assert_eq!(checkpoint(&db).unwrap(), Checkpoint::Short, "the log was started anew");
    assert!(fs::metadata(&log).unwrap().len() < before / 10, "nothing of it is kept, which would have to be read to be written over");
    assert_eq!(pragma::<i64>(&db, "user_version"), 1);
}

#[test]
fn an_unfinished_transaction_is_gone_after_a_kill() {
    let place = Place::new();
    let db = open(&place.path(), &[V1]).unwrap();
    db.execute("INSERT INTO box (name) VALUES ('kept')", []).unwrap();
    db.execute_batch("BEGIN; INSERT INTO box (name) VALUES ('lost');").unwrap();
    // What a kill leaves: the files as they are, without the connection's clean end.
    let copy = Place::new();
    for name in ["state.db", "state.db-wal"] {
        fs::copy(place.0.path().join(name), copy.0.path().join(name)).unwrap();
    }
    let db = open(&copy.path(), &[V1]).unwrap();
    let names: Vec<String> = db.prepare("SELECT name FROM box").unwrap().query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(names, ["kept"]);
}
