//! What was on disk too early: before that which it relies on.

use super::{LOOKED_AT_MAX, promised_since, serves_only};
use crate::diagnose::paths::Role;
use crate::diagnose::scene::Scene;
use crate::diagnose::stores::Store;
use crate::diagnose::{Cause, Diagnosis, advice, kill};
use killpoint_engine::states::Variant;
use killpoint_model::CrashModel;
use killpoint_model::operation::FileId;

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
    let fix = advice::journal_first(history, journal_path, &database);
    Some(scene.diagnosis(Cause::DataBeforeJournal, Some(database), sentence, fix))
}

/// The same for a file with no defect of its own.
pub(super) fn only_relied_on_early(scene: &Scene<'_>, file: FileId) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let written = history.file(file)?.last_unsynced(point)?.at;
    let misplaced = history.placed_between(file, written, point).is_some()
        || history.placed_empty(file, point).is_some_and(|early| written <= early.end);
    let sound = !misplaced && kill::file_halfway(scene, file, point).is_none();
    if sound { relied_on_early(scene, file, point) } else { None }
}

/// A file lost what was written to it, and another one kept what was written to it later: what the
/// first was written for, such as a journal that protects the other one, needs it on disk first.
pub(super) fn relied_on_early(scene: &Scene<'_>, file: FileId, point: u64) -> Option<Diagnosis> {
    let history = scene.history;
    let journal = scene.role(file) == Role::Journal;
    // Whether all other files keep what is not synced, too.
    let kept = match (scene.failure.model, scene.failure.variant) {
        (_, Variant::File(_)) | (CrashModel::OneLost, Variant::Write(_)) => true,
        (_, Variant::WriteBytes(..)) if journal => true,
        (CrashModel::Data | CrashModel::Size, _) => false,
        _ => return None,
    };
    if serves_only(scene, file) {
        return None;
    }
    let written = match scene.failure.variant {
        Variant::Write(position) | Variant::WriteBytes(position, _) => *position,
        _ => history.file(file)?.first_unsynced(history.last_sync(file, point), point)?,
    };
    if !promised_since(history, written, point).is_empty() {
        return None;
    }
    let until = point.min(written.saturating_add(LOOKED_AT_MAX));
    let (changed, other) = (written.saturating_add(1)..until).find_map(|position| {
        let entry = history.entry(position).filter(|entry| entry.changes)?;
        let other = entry.file.filter(|other| *other != file && !serves_only(scene, *other))?;
        let synced = || history.last_sync(other, point).is_some_and(|synced| synced > position);
        (kept || synced()).then_some((position, other))
    })?;
    let path = history.path_at(file, point)?;
    let other = history.path_at(other, changed.saturating_add(1))?;
    let sentence = format!(
        "{} changes {other} before {path} is synced: {} is followed by no fsync of it until {}.",
        history.text(changed),
        history.text(written),
        history.text(point)
    );
    let fix = advice::journal_first(history, path, other);
    Some(scene.diagnosis(Cause::DataBeforeJournal, Some(other.to_owned()), sentence, fix))
}
