//! SQLite databases: integrity, and a logical dump of what they hold, by the library itself.
//!
//! A database is its file with `-wal` and `-journal`; `-shm` is rebuilt by whoever opens it.
//! Opening recovers it, as the program's next start would. Two databases are equal when their
//! schemas, their rows in order, and two header fields are; free pages, salts and counters do not
//! count.

use super::spelling::Spelling;
use super::state::{CrashState, Digest};
use killpoint_engine::regular_file;
use killpoint_model::Class;
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The first bytes of every database file that is not empty.
pub const MAGIC: &[u8] = b"SQLite format 3\0";

/// Larger databases are not opened.
pub const DATABASE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The last bytes of a rollback journal that names a super-journal.
const SUPER_JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
const SUPER_JOURNAL_TRAILER_BYTES: u64 = 16;
const PATH_BYTES_MAX: u64 = 4096;

/// What opening a database showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It opens and is intact.
    Whole(Dump),
    /// It does not open, or is not intact.
    Broken(Class, String),
    /// This library cannot say: a missing extension or collation, a device that failed.
    NotUnderstood(String),
}

/// What a database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dump {
    /// Digest of schema, rows, `user_version` and `application_id`.
    pub digest: Digest,
    /// How many rows its tables have.
    pub rows: u64,
}

/// The contents on which a reading depends: of the database, its `-wal` and its `-journal`.
pub(super) type Family = [Option<Digest>; 3];

/// The path of a file that belongs to the database at `path`.
pub(super) fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The database to which a file of this name would belong, if it is a companion.
pub(super) fn owner(path: &Path) -> Option<PathBuf> {
    let name = path.to_str()?;
    let plain = ["-wal", "-shm", "-journal"].iter().find_map(|suffix| name.strip_suffix(suffix));
    let owner = plain.or_else(|| {
        let (owner, rest) = name.rsplit_once("-mj")?;
        rest.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(owner)
    });
    owner.map(PathBuf::from)
}

/// The family of the database at `path` in `state`.
pub(super) fn family(path: &Path, state: &dyn CrashState) -> Family {
    let digest = |path: &Path| state.files().get(path).map(|present| present.digest);
    [digest(path), digest(&companion(path, "-wal")), digest(&companion(path, "-journal"))]
}

/// Opens the database at `path` of `state`, which recovers it, and reads all of it.
///
/// # Errors
/// When the state's directory or the journal cannot be read.
pub(super) fn read(path: &Path, state: &dyn CrashState) -> io::Result<Reading> {
    let length = state.files().get(path).map_or(0, |present| present.length);
    if length > DATABASE_BYTES_MAX {
        let why = format!("it is larger than {DATABASE_BYTES_MAX} bytes");
        return Ok(Reading::NotUnderstood(why));
    }
    let root = state.directory()?;
    if let Some(super_journal) = super_journal(&root.join(companion(path, "-journal")))? {
        // Recovery looks for this path, outside of the throw-away directory, and may remove it.
        if !fs::canonicalize(&root).is_ok_and(|root| super_journal.starts_with(root)) {
            let name = super_journal.display();
            return Ok(Reading::NotUnderstood(format!(
                "its transaction spans several databases, by {name}, and the state is not at the \
                 path that the program saw"
            )));
        }
    }
    Ok(open(&root.join(path)).and_then(|connection| read_open(&connection)).unwrap_or_else(failed))
}

fn failed(error: rusqlite::Error) -> Reading {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            Reading::Broken(Class::Unopenable, error.to_string())
        }
        _ => Reading::NotUnderstood(error.to_string()),
    }
}

fn open(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Exclusive: the index of the write-ahead log is kept in memory and no -shm is needed. No
    // synchronisation: the directory is thrown away.
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF")?;
    Ok(connection)
}

fn read_open(connection: &Connection) -> rusqlite::Result<Reading> {
    let integrity: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if integrity != "ok" {
        let why = integrity.lines().next_back().unwrap_or_default();
        return Ok(Reading::Broken(Class::Torn, format!("integrity_check says: {why}")));
    }
    dump(connection).map(Reading::Whole)
}

fn dump(connection: &Connection) -> rusqlite::Result<Dump> {
    let mut spelling = Spelling::default();
    for field in ["user_version", "application_id"] {
        let value: i64 = connection.query_row(&format!("PRAGMA {field}"), [], |row| row.get(0))?;
        spelling.part(b'h', &value.to_le_bytes());
    }
    let mut tables = Vec::new();
    let mut statement = connection.prepare(
        "SELECT type, name, tbl_name, sql, rootpage FROM sqlite_schema ORDER BY type, name",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        (0..4).try_for_each(|column| spell(row.get_ref(column)?, &mut spelling))?;
        let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
        // A virtual table has no root page; what it keeps stands in tables of its own.
        if kind == "table" && row.get::<_, Option<i64>>(4)?.unwrap_or(0) > 0 {
            tables.push(name);
        }
    }
    let mut count = 0;
    for name in tables {
        spelling.part(b'T', name.as_bytes());
        count += dump_table(connection, &name, &mut spelling)?;
    }
    Ok(Dump { digest: spelling.digest(), rows: count })
}

/// Spells the rows in the order of the rowid, or of the primary key where there is none.
fn dump_table(
    connection: &Connection,
    name: &str,
    spelling: &mut Spelling,
) -> rusqlite::Result<u64> {
    // Without NOT INDEXED the planner may walk a covering index, in another order.
    let query = format!("SELECT * FROM \"{}\" NOT INDEXED", name.replace('"', "\"\""));
    let mut statement = connection.prepare(&query)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        spelling.mark(b'R', columns);
        (0..columns).try_for_each(|column| spell(row.get_ref(column)?, spelling))?;
        count += 1;
    }
    Ok(count)
}

fn spell(value: ValueRef<'_>, spelling: &mut Spelling) -> rusqlite::Result<()> {
    match value {
        ValueRef::Null => spelling.mark(b'n', 0),
        ValueRef::Integer(value) => spelling.part(b'i', &value.to_le_bytes()),
        ValueRef::Real(value) => spelling.part(b'r', &value.to_bits().to_le_bytes()),
        ValueRef::Text(value) => spelling.part(b't', value),
        ValueRef::Blob(value) => spelling.part(b'b', value),
    }
    Ok(())
}

/// What a database holds in which nothing was ever made; an empty file is one, too.
pub(super) fn empty_dump() -> Dump {
    let mut spelling = Spelling::default();
    spelling.part(b'h', &0_i64.to_le_bytes());
    spelling.part(b'h', &0_i64.to_le_bytes());
    Dump { digest: spelling.digest(), rows: 0 }
}

/// The super-journal that a rollback journal names at its end.
fn super_journal(journal: &Path) -> io::Result<Option<PathBuf>> {
    let mut file = match regular_file::open(journal) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    if length < SUPER_JOURNAL_TRAILER_BYTES {
        return Ok(None);
    }
    let trailer_offset = length - SUPER_JOURNAL_TRAILER_BYTES;
    let mut trailer = [0; SUPER_JOURNAL_TRAILER_BYTES as usize];
    file.seek(SeekFrom::Start(trailer_offset))?;
    file.read_exact(&mut trailer)?;
    let [a, b, c, d, ..] = trailer;
    let name_bytes = u64::from(u32::from_be_bytes([a, b, c, d]));
    if !trailer.ends_with(&SUPER_JOURNAL_MAGIC)
        || name_bytes == 0
        || name_bytes > PATH_BYTES_MAX.min(trailer_offset)
    {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(trailer_offset - name_bytes))?;
    let mut name = vec![0; name_bytes as usize];
    file.read_exact(&mut name)?;
    Ok(Some(PathBuf::from(OsString::from_vec(name))))
}
