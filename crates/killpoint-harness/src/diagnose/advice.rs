//! What to do about a defect: one line that names the files.

use super::history::History;
use super::paths::{self, Role};
use super::stores::Store;
use killpoint_model::operation::OperationKind;

/// Where not even a file is known.
pub(super) const ANY_ORDER: &str = "order the operations so that the state is whole after each of \
                                    them, with one rename or one transaction as the commit";

/// For a command that is not safe to run again.
pub(super) const RUN_AGAIN: &str = "make the command safe to run again: store its result and the \
                                    mark that it is stored in one step (one rename, one \
                                    transaction), so that a second run finds all of it or nothing";

/// For a process that acknowledges what another one does.
pub(super) const ACKNOWLEDGE_WHAT_IS_DONE: &str = "acknowledge only what the process that does it has reported as done: wait for its end or its \
     answer, and do not acknowledge if it was killed or failed";

/// SQLite, where a database was overwritten and no journal was seen on disk.
const SQLITE_NO_JOURNAL: &str = "if this is a SQLite database, set PRAGMA journal_mode=WAL (or \
                                 DELETE): journal_mode=MEMORY and OFF keep no rollback journal on \
                                 disk";

/// For acknowledged transactions of a SQLite database that syncs nothing.
pub(super) fn synchronous_for_promises(database: &str) -> String {
    format!(
        "set PRAGMA synchronous=FULL for {database}, or EXTRA where it keeps a rollback journal, of \
         which the removal must be durable, too: with OFF SQLite syncs nothing"
    )
}

/// For a SQLite database that a power cut leaves broken, because it syncs nothing.
pub(super) fn synchronous_for_order(database: &str) -> String {
    format!(
        "set PRAGMA synchronous=FULL for {database}, or NORMAL with journal_mode=WAL: with OFF \
         SQLite syncs nothing"
    )
}

const DUMB_DBM: &str = "dbm.dumb cannot change its files in one step: use sqlite3, or dbm.sqlite3 \
                        from Python 3.13 on";

const SQLITE_COMMIT: &str = "let one transaction hold what belongs together, and acknowledge it only \
                             after COMMIT has returned";

const GIT: &str = "set core.fsync=all with core.fsyncMethod=fsync, so that git syncs its objects \
                   before it puts them under their names";

/// A new copy beside the old file, put in its place by a rename.
pub(super) fn atomic_replacement(history: &History, path: &str) -> String {
    let directory = history.directory_name(path);
    format!("write {path}.tmp, fsync it, rename it over {path}, fsync {directory}")
}

/// The same where a program is known that must be set up instead of rewritten.
pub(super) fn one_step(history: &History, path: &str) -> String {
    match Store::of(history, path) {
        Store::SqliteDatabase { journal: false } => {
            format!("{SQLITE_NO_JOURNAL}; otherwise {}", atomic_replacement(history, path))
        }
        store if store.is_sqlite() => SQLITE_COMMIT.to_owned(),
        Store::DumbDbm => DUMB_DBM.to_owned(),
        _ => atomic_replacement(history, path),
    }
}

/// For bytes overwritten in place.
pub(super) fn overwrite(history: &History, path: &str) -> String {
    match Store::of(history, path) {
        Store::Plain if Role::of(path) == Role::Journal => record(path),
        Store::SqliteDatabase { journal: false } => SQLITE_NO_JOURNAL.to_owned(),
        store if store.is_sqlite() => SQLITE_COMMIT.to_owned(),
        Store::DumbDbm => DUMB_DBM.to_owned(),
        _ => format!(
            "{}; or write the change to a journal and fsync that before {path} is overwritten",
            atomic_replacement(history, path)
        ),
    }
}

/// For a record of which only a part is there.
pub(super) fn record_of(history: &History, path: &str) -> String {
    match Store::of(history, path) {
        store if store.is_sqlite() => SQLITE_COMMIT.to_owned(),
        _ => record(path),
    }
}

/// For a record that is written by several calls.
pub(super) fn whole_record(history: &History, path: &str) -> String {
    match Store::of(history, path) {
        Store::Plain => {
            format!("write each record in {path} with one write call; or {}", record(path))
        }
        _ => record_of(history, path),
    }
}

fn record(path: &str) -> String {
    format!(
        "give each record in {path} its length and a checksum, and drop an incomplete last one \
         when opening"
    )
}

/// For bytes of which the disk may have any part until they are synced.
pub(super) fn until_synced(history: &History, path: &str) -> String {
    match Store::of(history, path) {
        Store::SqliteDatabase { journal: false } => SQLITE_NO_JOURNAL.to_owned(),
        Store::DumbDbm => DUMB_DBM.to_owned(),
        Store::Plain if Role::of(path) == Role::Data => {
            format!("{}; or {}", atomic_replacement(history, path), record(path))
        }
        _ => record(path),
    }
}

/// For a file that has to be synced before its contents are promised.
pub(super) fn sync_before_promise(history: &History, written: u64, path: &str) -> String {
    match Store::of(history, path) {
        Store::SqliteWal(database) => format!(
            "set PRAGMA synchronous=FULL for {database}: with NORMAL the write-ahead log is \
             synced at checkpoints only, and with OFF never"
        ),
        Store::SqliteDatabase { .. } | Store::SqliteJournal(_) => format!(
            "if this is SQLite, set PRAGMA synchronous=FULL; otherwise fsync {path} {}",
            before_promise(history)
        ),
        Store::LevelDb => format!(
            "write with WriteOptions.sync=true, which fsyncs {path} before the write returns"
        ),
        Store::Git => GIT.to_owned(),
        Store::DumbDbm | Store::Plain if history.is_mapped(written) => format!(
            "msync {path} with MS_SYNC after the last change in its mapping and {}",
            before_promise(history)
        ),
        Store::DumbDbm | Store::Plain => {
            format!("fsync {path} after its last write and {}", before_promise(history))
        }
    }
}

/// What a sync must come before. Where nothing is ever acknowledged, that is no acknowledgement.
fn before_promise(history: &History) -> &'static str {
    match history.acknowledges() {
        true => "before acknowledging",
        false => "before the next step that relies on it",
    }
}

/// For a file that is put under its name too early.
pub(super) fn sync_before_rename(history: &History, written: &str, path: &str) -> String {
    match Store::of(history, path) {
        Store::Git => GIT.to_owned(),
        _ => format!(
            "fsync {written} before it becomes {path}, then fsync {}",
            history.directory_name(path)
        ),
    }
}

/// For a file that is put under its name before it has its contents.
pub(super) fn rename_last(history: &History, from: &str, path: &str) -> String {
    let directory = history.directory_name(path);
    format!("write and fsync {from} first, then rename it over {path}, then fsync {directory}")
}

/// For what is acknowledged before an operation makes it real.
pub(super) fn acknowledge_after(history: &History, position: u64, path: &str) -> String {
    let kind = history.entry(position).and_then(|entry| entry.kind);
    match kind {
        _ if Store::of(history, path).is_sqlite() => SQLITE_COMMIT.to_owned(),
        Some(OperationKind::Rename | OperationKind::Link | OperationKind::Unlink) => format!(
            "acknowledge only after {} has returned; to survive a power cut, fsync {} before \
             acknowledging as well",
            history.text(position),
            history.directory_name(path)
        ),
        _ => format!("acknowledge only after the write to {path} has returned: flush before that"),
    }
}

/// For a name that is not durable.
pub(super) fn sync_directory(history: &History, path: &str) -> String {
    match Store::of(history, path) {
        Store::Git => GIT.to_owned(),
        _ => format!(
            "fsync {} after this and {}",
            history.directory_name(path),
            before_promise(history)
        ),
    }
}

/// For a name that is durable before anything is promised, and after what relies on it.
pub(super) fn sync_directory_at_once(history: &History, path: &str) -> String {
    match Store::of(history, path) {
        Store::Git => GIT.to_owned(),
        _ => format!(
            "fsync {} right after this, before the next change that relies on it",
            history.directory_name(path)
        ),
    }
}

/// For a journal that comes back.
pub(super) fn end_of_journal(history: &History, position: u64, path: &str) -> String {
    let removed =
        history.entry(position).and_then(|entry| entry.kind) == Some(OperationKind::Unlink);
    let end = match removed {
        true => format!("fsync {} after its removal", history.directory_name(path)),
        false => format!("fsync {path} after its truncation"),
    };
    match Store::of(history, path) {
        Store::SqliteJournal(database) => format!(
            "set PRAGMA synchronous=EXTRA for {database}, which syncs the directory after the \
             journal is removed; or PRAGMA journal_mode=WAL"
        ),
        _ => format!("make the end of {path} durable {}: {end}", before_promise(history)),
    }
}

/// For a file that must be on disk before an operation on another one, such as a journal before what it
/// protects.
pub(super) fn sync_first(history: &History, paths: &[&str], position: u64, other: &str) -> String {
    let verb = doing(history, position);
    let journal = |path: &str| {
        matches!(Store::of(history, path), Store::SqliteJournal(_) | Store::SqliteWal(_))
    };
    let files = listed(paths);
    match paths.iter().chain([&other]).any(|path| journal(path)) {
        true => format!(
            "set PRAGMA synchronous=FULL (not OFF): SQLite then syncs {files} before {verb} {other}"
        ),
        false => format!("fsync {files} before {verb} {other}"),
    }
}

/// `a`, `a and b`, `a, b and c`; of many only the first ones.
fn listed(paths: &[&str]) -> String {
    const NAMED_MAX: usize = 4;
    match paths {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] if paths.len() <= NAMED_MAX => {
            format!("{} and {last}", first.join(", "))
        }
        _ => format!("{} and {} more", paths[..NAMED_MAX].join(", "), paths.len() - NAMED_MAX),
    }
}

/// For a file that must be written before an operation on another one.
pub(super) fn write_first(history: &History, path: &str, position: u64, other: &str) -> String {
    format!("write and fsync {path} before {} {other}", doing(history, position))
}

/// An operation, as what comes before or after something else.
fn doing(history: &History, position: u64) -> &'static str {
    use OperationKind::{OpenTruncate, Rename, Truncate, Unlink};
    match history.entry(position).and_then(|entry| entry.kind) {
        Some(Unlink) => "removing",
        Some(Truncate | OpenTruncate) => "truncating",
        Some(Rename) => "renaming",
        _ => "writing",
    }
}

/// For a file that is removed or cut before what takes its place is there.
pub(super) fn keep_until(history: &History, path: &str, end: u64, until: Option<u64>) -> String {
    let before = doing(history, end);
    match until {
        Some(until) => format!(
            "{} only after {} has returned; to survive a power cut, fsync what takes its place and \
             its directory before {before} {path} as well",
            keeping(history, path, end),
            history.text(until)
        ),
        None => format!(
            "{} only when the next start can do without it: put what takes its place where the next \
             start reads it before {before} {path}",
            keeping(history, path, end)
        ),
    }
}

fn keeping(history: &History, path: &str, end: u64) -> String {
    match history.entry(end).and_then(|entry| entry.kind) {
        Some(OperationKind::Unlink) => format!("remove {path}"),
        _ => format!("truncate {path}"),
    }
}

/// For a rollback journal that what opens its database does not heed.
pub(super) fn leave_journal(database: &str, journal: &str) -> String {
    format!(
        "leave {journal} where it is, beside {database} and under its name: SQLite rolls it back by itself \
         when the database is opened, and only then removes it"
    )
}

/// For SQLite databases that are changed by one transaction.
pub(super) fn one_database(first: &str, second: &str) -> String {
    format!(
        "keep in one database what {first} and {second} hold together; or ATTACH one to the other, let \
         both keep a rollback journal (PRAGMA journal_mode=DELETE), and change both in one transaction"
    )
}

/// For files that belong together.
pub(super) fn together(history: &History, first: &str, second: &str) -> String {
    let stores = (Store::of(history, first), Store::of(history, second));
    match stores {
        (Store::DumbDbm, _) => DUMB_DBM.to_owned(),
        (first, second) if first.is_sqlite() && second.is_sqlite() => SQLITE_COMMIT.to_owned(),
        _ => format!(
            "where {first} refers to {second}, write {second} first; else commit both in one step: keep \
             them in one file or one database transaction, or write new copies of both and switch over \
             with one rename; or write the whole change to a journal first, from which the next start \
             completes it"
        ),
    }
}

/// For a file that only passes through.
pub(super) fn passing(path: &str, becomes: Option<&str>) -> String {
    let name = paths::file_name(path);
    match becomes {
        Some(becomes) => format!(
            "have the program skip or remove files such as {name} when it starts, or write them \
             outside of the directory that it reads before renaming them, here to {becomes}"
        ),
        None => format!("have the program skip or remove files such as {name} when it starts"),
    }
}
