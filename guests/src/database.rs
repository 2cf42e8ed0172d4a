//! A key/value table in SQLite, and the transactions on it.

use crate::frame::{Store, failure};
use crate::journal::{Journal, Promise};
use rusqlite::Connection;
use std::io;
use std::path::Path;

const DATABASE: &str = "notes.db";

/// Four transactions of two or three rows each.
///
/// # Errors
/// What SQLite or the journal give.
pub fn work(state: &Path, journal: &Journal, mode: &str, promise: Promise) -> io::Result<()> {
    let mut connection = open(state, mode).map_err(io::Error::other)?;
    for number in 1..=4 {
        let id = format!("transaction-{number}");
        let rows = [
            ("latest".to_owned(), number.to_string()),
            (format!("note-{number}"), format!("text of note {number} ").repeat(60)),
            ("index".to_owned(), format!("{number} of many ").repeat(200 / number)),
        ];
        for (key, value) in &rows {
            journal.intend_id(&id, key, "=", value)?;
        }
        commit(&mut connection, &rows).map_err(io::Error::other)?;
        journal.acknowledge_id(&id, promise)?;
    }
    connection.close().map_err(|(_, error)| io::Error::other(error))
}

/// All rows, after SQLite's own check of its file.
///
/// # Errors
/// When SQLite cannot open the file or finds it damaged.
pub fn check(state: &Path) -> io::Result<Store> {
    if !state.join(DATABASE).exists() {
        return Ok(Store::new());
    }
    rows(state).map_err(io::Error::other)?.ok_or_else(|| failure("integrity_check found damage"))
}

fn open(state: &Path, mode: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(state.join(DATABASE))?;
    connection.pragma_update(None, "journal_mode", mode)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute("create table if not exists note(key text primary key, value text)", [])?;
    Ok(connection)
}

fn commit(connection: &mut Connection, rows: &[(String, String)]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for (key, value) in rows {
        transaction.execute("insert or replace into note values(?1, ?2)", [key, value])?;
    }
    transaction.commit()
}

/// All rows, or none where the file is damaged. A database without its table was just born.
fn rows(state: &Path) -> rusqlite::Result<Option<Store>> {
    let connection = Connection::open(state.join(DATABASE))?;
    let found: String = connection.query_row("pragma integrity_check", [], |row| row.get(0))?;
    if found != "ok" {
        return Ok(None);
    }
    if !connection.table_exists(None, "note")? {
        return Ok(Some(Store::new()));
    }
    let mut statement = connection.prepare("select key, value from note")?;
    let pairs = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?.into())))?;
    pairs.collect::<rusqlite::Result<Store>>().map(Some)
}
