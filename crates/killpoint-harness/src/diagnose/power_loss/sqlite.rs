//! SQLite, whose journal must be on disk before the database is.

use crate::diagnose::history::History;
use crate::diagnose::scene::Scene;
use crate::diagnose::stores::Store;
use crate::diagnose::{Cause, Diagnosis, advice};
use killpoint_engine::states::Variant;
use killpoint_model::Class;
use killpoint_model::operation::FileId;

/// A database was changed after its journal, and neither is ever synced again: `synchronous=OFF`.
pub(super) fn nothing_synced(scene: &Scene<'_>) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let lost = match scene.failure.variant {
        Variant::Write(position)
        | Variant::WriteBytes(position, _)
        | Variant::From(position)
        | Variant::Without(position) => Some(history.entry(*position)?.file?),
        Variant::File(file) => Some(FileId(*file)),
        Variant::Only | Variant::Bytes(_) => None,
    };
    let files = || scene.files().filter(|file| lost.is_none_or(|lost| lost == *file)).chain(lost);
    let database = files().find_map(|file| database_of(history, history.path_at(file, point)?))?;
    let changed = history.last_change_under(&database, point)?;
    let journals = ["-journal", "-wal"].map(|end| format!("{database}{end}"));
    let written = journals
        .iter()
        .filter_map(|journal| Some((history.last_change_under(journal, changed)?, journal)));
    let (written, journal) = written.max()?;
    let synced = |path: &String| history.is_synced_under(path, written);
    if journals.iter().chain([&database]).any(synced) {
        return None;
    }
    let sentence = format!(
        "{} and {} change {journal} and {database}, and in the rest of the run no fsync of either \
         follows.",
        history.text(written),
        history.text(changed)
    );
    let lost = matches!(scene.failure.class, Class::Lost | Class::AckedNotDurable);
    let (cause, fix) = match lost {
        true => (Cause::AcknowledgedBeforeFsync, advice::synchronous_for_promises(&database)),
        false => (Cause::WrittenWithoutFsync, advice::synchronous_for_order(&database)),
    };
    Some(scene.diagnosis(cause, Some(database), sentence, fix))
}

/// The database that a file is, or that it is the journal of.
fn database_of(history: &History, path: &str) -> Option<String> {
    Store::of(history, path).database(path)
}

/// The SQLite journal that a file is, or has beside it.
pub(super) fn journal_of(scene: &Scene<'_>, file: FileId) -> Option<FileId> {
    let path = scene.path(file)?;
    match Store::of(scene.history, path) {
        Store::SqliteJournal(_) | Store::SqliteWal(_) => Some(file),
        Store::SqliteDatabase { journal: true } => ["-journal", "-wal"]
            .iter()
            .find_map(|end| scene.history.file_under(&format!("{path}{end}"), scene.failure.point)),
        _ => None,
    }
}

pub(super) fn data_before_journal(scene: &Scene<'_>, journal: FileId) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let written = history.file(journal)?.last_unsynced(point)?.at;
    if history.last_sync(journal, point).is_some_and(|synced| synced > written) {
        return None;
    }
    let journal_path = history.path_at(journal, point)?;
    let (Store::SqliteJournal(database) | Store::SqliteWal(database)) =
        Store::of(history, journal_path)
    else {
        return None;
    };
    let file = history.file_under(&database, point)?;
    let changed = history.file(file)?.next_change(written).filter(|change| change.at < point)?.at;
    let sentence = format!(
        "{} changes {database} before {journal_path} is synced: {} is followed by no fsync of it \
         until {}.",
        history.text(changed),
        history.text(written),
        history.text(point)
    );
    let fix = advice::sync_first(history, &[journal_path], changed, &database);
    Some(scene.diagnosis(Cause::DataBeforeJournal, Some(database), sentence, fix))
}
