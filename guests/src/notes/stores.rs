//! What the stores hold, and how the simpler ones are written.

use super::outbox;
use super::{Options, StoreKind};
use crate::document::{self, save_atomically};
use crate::frame::{Store, failure};
use rusqlite::Connection;
use std::io;
use std::path::Path;

/// The key under which a check lists the operations of the outbox.
pub const OUTBOX: &str = "outbox";
const DATABASE: &str = "notes.db";

/// All notes. A store that was never made is empty.
pub fn read(options: &Options) -> io::Result<Store> {
    match options.store {
        StoreKind::InPlace | StoreKind::Atomic => document::check(&options.state),
        StoreKind::Sqlite => Database::read(&options.state),
        StoreKind::Queue => outbox::read(&options.state),
    }
}

/// Replaces the document atomically.
pub fn save_document(directory: &Path, notes: &Store) -> io::Result<()> {
    save_atomically(directory, document::DOCUMENT, &document::to_bytes(notes))
}

/// Notes in SQLite, with a write-ahead log.
pub struct Database(Connection);

impl Database {
    /// Opens it for writing.
    pub fn open(directory: &Path) -> io::Result<Self> {
        Self::connect(directory).map(Database).map_err(io::Error::other)
    }

    fn connect(directory: &Path) -> rusqlite::Result<Connection> {
        let connection = Connection::open(directory.join(DATABASE))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.execute_batch(
            "create table if not exists note(key text primary key, value text) strict;
             create table if not exists revision(
                 number integer primary key, key text not null references note(key)) strict;",
        )?;
        Ok(connection)
    }

    /// Saves a note and that it was changed, in one transaction.
    pub fn save(&mut self, key: &str, text: &str) -> io::Result<()> {
        self.commit(key, text).map_err(io::Error::other)
    }

    fn commit(&mut self, key: &str, text: &str) -> rusqlite::Result<()> {
        let transaction = self.0.transaction()?;
        let set = "insert into note values(?1, ?2) on conflict(key) do update set value = ?2";
        transaction.execute(set, [key, text])?;
        transaction.execute("insert into revision(key) values(?1)", [key])?;
        transaction.commit()
    }

    fn read(directory: &Path) -> io::Result<Store> {
        if !directory.join(DATABASE).exists() {
            return Ok(Store::new());
        }
        Self::rows(directory)
            .map_err(io::Error::other)?
            .ok_or_else(|| failure("integrity_check found damage"))
    }

    /// All rows; none where the file is damaged. A database without its table was just born.
    fn rows(directory: &Path) -> rusqlite::Result<Option<Store>> {
        let connection = Connection::open(directory.join(DATABASE))?;
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
}
