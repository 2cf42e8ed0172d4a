//! What the names of files tell of whose they are.

use super::history::History;
use super::paths::{file_name, join, parent};

/// A program whose files are known by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Store {
    /// A SQLite database, and whether a `-journal` or `-wal` beside it was seen.
    SqliteDatabase { journal: bool },
    /// A rollback journal of the database with this path.
    SqliteJournal(String),
    /// A write-ahead log of the database with this path.
    SqliteWal(String),
    /// Python's dbm.dumb.
    DumbDbm,
    /// LevelDB, or one of its descendants.
    LevelDb,
    /// A git repository.
    Git,
    /// Anything else.
    Plain,
}

impl Store {
    /// Whether it is a database of SQLite with its journal, or the journal.
    pub(super) fn is_sqlite(&self) -> bool {
        matches!(
            self,
            Store::SqliteDatabase { journal: true } | Store::SqliteJournal(_) | Store::SqliteWal(_)
        )
    }

    /// The database of SQLite that a file is, or is the journal of.
    pub(super) fn database(&self, path: &str) -> Option<String> {
        match self {
            Store::SqliteJournal(database) | Store::SqliteWal(database) => Some(database.clone()),
            Store::SqliteDatabase { journal: true } => Some(path.to_owned()),
            _ => None,
        }
    }

    /// Recognises a file by its name and by the names beside it; a database by what it holds, where that is
    /// known.
    pub(super) fn of(history: &History, path: &str) -> Store {
        if let Some(database) = path.strip_suffix("-journal") {
            return Store::SqliteJournal(database.to_owned());
        }
        if let Some(database) = path.strip_suffix("-wal") {
            return Store::SqliteWal(database.to_owned());
        }
        let journal = ["-journal", "-wal"].iter().any(|end| history.knows(&format!("{path}{end}")));
        let extension = file_name(path).rsplit_once('.').map_or("", |(_, extension)| extension);
        let is_called_so = matches!(extension, "sqlite" | "sqlite3" | "db3" | "db");
        if journal || history.is_database(path).unwrap_or(is_called_so) {
            return Store::SqliteDatabase { journal };
        }
        if is_dumb_dbm(history, path) {
            return Store::DumbDbm;
        }
        if is_leveldb(history, path) {
            return Store::LevelDb;
        }
        let directories = parent(path);
        let in_git = path.contains(".git/") || file_name(parent(directories)) == "objects";
        if in_git { Store::Git } else { Store::Plain }
    }
}

fn is_dumb_dbm(history: &History, path: &str) -> bool {
    let Some((stem, extension)) = path.rsplit_once('.') else { return false };
    let beside = |other: &str| history.knows(&format!("{stem}.{other}"));
    match extension {
        "dir" => beside("bak") || beside("dat"),
        "dat" | "bak" => beside("dir"),
        _ => false,
    }
}

fn is_leveldb(history: &History, path: &str) -> bool {
    let name = file_name(path);
    let beside = |other: &str| history.knows(&join(parent(path), other));
    let number = name.strip_suffix(".log").or_else(|| name.strip_suffix(".ldb"));
    let numbered = number.is_some_and(|n| n.len() == 6 && n.bytes().all(|b| b.is_ascii_digit()));
    numbered || (name.starts_with("MANIFEST-") && beside("CURRENT"))
}
