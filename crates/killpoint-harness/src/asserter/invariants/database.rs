//! SQLite databases: integrity, foreign keys, and what a query gives.

use killpoint_engine::regular_file;
use killpoint_model::invariant::Sqlite;
use killpoint_model::verdict::{Class, Judgement};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for a database that somebody else has locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Most complaints that are kept.
const COMPLAINTS_MAX: usize = 20;

/// How a rollback journal begins that counts.
const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
/// As much of it as is looked at.
const JOURNAL_HEADER: usize = 20;
/// Where it has the number of pages before the transaction.
const PAGES_BEFORE: Range<usize> = 16..20;

/// What a database showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Whether its file is there.
    pub exists: bool,
    /// Whether it has no page, not even an empty table.
    pub is_empty: bool,
    /// Why it does not open, or what is damaged.
    pub damage: Vec<String>,
    /// Rows that refer to rows that are not there.
    pub dangling: Vec<String>,
    /// What the query gave; why it failed.
    pub answer: Option<Result<String, String>>,
}

impl Database {
    /// Whether a page of a database is committed, without opening it: pages beside a rollback journal may be those of
    /// a transaction that is not over, and the journal says how many there were before it.
    pub(super) fn has_committed(path: &Path) -> bool {
        let has_pages = || fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0);
        if !has_pages() {
            return false;
        }
        let mut header = [0; JOURNAL_HEADER];
        let journal = regular_file::open(&with_suffix(path, "-journal"));
        let is_begun = journal.and_then(|mut it| it.read_exact(&mut header)).is_ok();
        match is_begun && header.starts_with(&JOURNAL_MAGIC) {
            true => header[PAGES_BEFORE].iter().any(|byte| *byte != 0),
            // It was committed, or has just been rolled back.
            false => has_pages(),
        }
    }

    /// Reads a database: where it lies if the target runs, else a copy, as opening it recovers it.
    ///
    /// # Errors
    /// If nothing can be said of it, in words.
    pub(super) fn read(path: &Path, asked: &Sqlite, is_live: bool) -> Result<Self, String> {
        let name = &asked.file;
        if !path.exists() {
            return Ok(Database::default());
        }
        let read = |path: &Path, flags: OpenFlags| match Self::read_open(path, flags, asked) {
            Ok(database) => Ok(database),
            Err(error) => match error.sqlite_error_code() {
                Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Ok(Database {
                    exists: true,
                    damage: vec![error.to_string()],
                    ..Database::default()
                }),
                _ => Err(format!("cannot read the database {name}: {error}")),
            },
        };
        let common = OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if is_live {
            return read(path, common | OpenFlags::SQLITE_OPEN_READ_ONLY);
        }
        let fail = |error: io::Error| format!("cannot copy the database {name}: {error}");
        let directory = tempfile::tempdir().map_err(fail)?;
        let copy = directory.path().join("database");
        fs::copy(path, &copy).map_err(fail)?;
        for suffix in ["-wal", "-journal"] {
            match fs::copy(with_suffix(path, suffix), with_suffix(&copy, suffix)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => drop(copied.map_err(fail)?),
            }
        }
        read(&copy, common | OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    fn read_open(path: &Path, flags: OpenFlags, asked: &Sqlite) -> rusqlite::Result<Self> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let mut database = Database { exists: true, ..Database::default() };
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        database.is_empty = pages == 0;
        let mut check = connection.prepare("PRAGMA integrity_check")?;
        let lines = check.query_map([], |row| row.get::<_, String>(0))?.take(COMPLAINTS_MAX);
        database.damage = lines.collect::<rusqlite::Result<_>>()?;
        database.damage.retain(|line| line != "ok");
        if asked.foreign_keys {
            let mut check = connection.prepare("PRAGMA foreign_key_check")?;
            let lines = check.query_map([], |row| {
                let (table, row_id, parent): (String, Option<i64>, String) =
                    (row.get(0)?, row.get(1)?, row.get(2)?);
                let row_id = row_id.map_or_else(|| "a row".to_owned(), |id| format!("row {id}"));
                Ok(format!("{row_id} of {table} refers to {parent}"))
            })?;
            database.dangling = lines.take(COMPLAINTS_MAX).collect::<rusqlite::Result<_>>()?;
        }
        if let Some(query) = &asked.query {
            let answer = connection.query_row(query, [], |row| Ok(text(row.get_ref(0)?)));
            database.answer = Some(answer.map_err(|error| error.to_string()));
        }
        Ok(database)
    }

    /// Whether it is as it has to be; `control` is what it was at the end of the control.
    pub(super) fn judge(&self, asked: &Sqlite, control: Option<&Database>) -> Judgement {
        let name = &asked.file;
        if self.exists && self.is_empty && control.is_some_and(|it| it.exists && !it.is_empty) {
            let detail = format!("The database {name} is empty.");
            return Judgement::violated(Class::Lost, detail);
        }
        if !self.exists {
            let detail = format!("The database {name} is not there.");
            return Judgement::violated(Class::Lost, detail);
        }
        if let Some(first) = self.damage.first() {
            let detail = format!("The database {name} is damaged: {first}{}.", more(&self.damage));
            return Judgement::violated(Class::Unopenable, detail);
        }
        if let Some(first) = self.dangling.first() {
            let rest = more(&self.dangling);
            let detail = format!("In {name} {first}, and there is no such row{rest}.");
            return Judgement::violated(Class::Wrong, detail);
        }
        match (&self.answer, &asked.equals) {
            (Some(Err(problem)), _) => {
                let detail = format!("The query of {name} fails: {problem}.");
                Judgement::violated(Class::Wrong, detail)
            }
            (Some(Ok(answer)), Some(expected)) if answer != expected => {
                let answer = super::command::shown(answer);
                let detail = format!("The query of {name} gives `{answer}`, not `{expected}`.");
                Judgement::violated(Class::Wrong, detail)
            }
            _ => Judgement::held(),
        }
    }
}

fn more(lines: &[String]) -> String {
    match lines.len() {
        0 | 1 => String::new(),
        COMPLAINTS_MAX => " (and many more)".to_owned(),
        count => format!(" (and {} more)", count - 1),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_transaction_that_is_not_over_are_not_committed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let connection = Connection::open(&path).expect("open");
        let fill = "create table if not exists t(x);
            with recursive n(i) as (select 1 union all select i + 1 from n where i < 300)
            insert into t select randomblob(3000) from n;";
        let begin = |mode: &str| {
            let pragmas =
                format!("pragma journal_mode={mode}; pragma cache_size=2; begin immediate; {fill}");
            connection.execute_batch(&pragmas).expect("begun");
            assert!(fs::metadata(&path).expect("there").len() > 0, "pages are written early");
        };
        begin("delete");
        assert!(!Database::has_committed(&path));
        connection.execute_batch("rollback").expect("rolled back");
        assert!(!Database::has_committed(&path));
        begin("persist");
        assert!(!Database::has_committed(&path));
        connection.execute_batch("commit").expect("committed");
        assert!(Database::has_committed(&path));
        begin("persist");
        assert!(Database::has_committed(&path), "what was there before");
    }
}
