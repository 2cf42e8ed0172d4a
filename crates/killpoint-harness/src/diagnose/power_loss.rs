//! Causes of what a power cut leaves: only what was synced is certain.

use super::history::History;
use super::paths::{self, Role};
use super::scene::Scene;
use super::span::Way;
use super::stores::Store;
use super::{Cause, Diagnosis, advice, kill};
use killpoint_engine::states::Variant;
use killpoint_model::operation::{FileId, OperationKind};
use killpoint_model::{Class, CrashModel};

/// Most operations looked at for one failure.
const LOOKED_AT_MAX: u64 = 64;

/// The first rule that the log bears out.
pub(super) fn diagnose(scene: &Scene<'_>) -> Option<Diagnosis> {
    let point = scene.failure.point;
    if scene.failure.class == Class::Extra
        && let Some(found) = temporary_left(scene)
    {
        return Some(found);
    }
    match (scene.failure.model, scene.failure.variant) {
        (CrashModel::Prefix, _) => prefix(scene),
        (_, Variant::Write(position) | Variant::WriteBytes(position, _)) => {
            let file = scene.history.entry(*position)?.file?;
            unsynced(scene, file, point)
        }
        (_, Variant::File(file)) => unsynced(scene, FileId(*file), point),
        (_, Variant::From(position)) => undone_from(scene, *position),
        (_, Variant::Without(position)) => name_lost(scene, *position),
        _ => contents_lost(scene),
    }
}

/// A file for the time being that is there in the state.
fn temporary_left(scene: &Scene<'_>) -> Option<Diagnosis> {
    let point = scene.failure.point;
    match scene.failure.model {
        CrashModel::Prefix => {
            kill::temporary_left(scene, scene.history.last_barrier(point) + 1, true)
        }
        CrashModel::DirLost => None,
        _ => kill::temporary_left(scene, point, true),
    }
}

/// All after the last barrier is lost: as after a kill there, or for want of a further barrier.
fn prefix(scene: &Scene<'_>) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let barrier = history.last_barrier(point);
    let lost = || lost_between(scene, barrier + 1, point);
    // What is left is what a kill after the barrier leaves, so a store that is not whole was not
    // whole there. A loss may have come later.
    let as_killed = || {
        kill::halfway(scene, barrier + 1)
            .filter(|found| found.file.as_deref().is_some_and(is_data))
            .or_else(|| kill::overwritten(scene, barrier + 1))
    };
    let lost_promise = matches!(scene.failure.class, Class::Lost | Class::AckedNotDurable);
    if !lost_promise && let Some(found) = as_killed() {
        return Some(found);
    }
    // A rollback journal that is still there decides what the rest is worth.
    if let Some(position) = lost().find(|position| ends_journal(history, *position, is_rollback)) {
        return name_lost(scene, position);
    }
    lost()
        .find_map(|position| contents_of_change_lost(scene, position))
        .or_else(|| lost().find_map(|position| name_of_change_lost(scene, position)))
        .or_else(as_killed)
        .or_else(|| lost().find_map(|position| name_lost(scene, position)))
}

fn is_data(path: &str) -> bool {
    Role::of(path) == Role::Data
}

fn is_journal(path: &str) -> bool {
    Role::of(path) == Role::Journal
}

fn is_rollback(path: &str) -> bool {
    path.ends_with("-journal")
}

/// Positions of changes in a range, those of files that differ first; bounded.
fn lost_between<'s>(scene: &'s Scene<'_>, from: u64, to: u64) -> impl Iterator<Item = u64> + 's {
    let history = scene.history;
    let to = to.min(history.operations() + 1);
    let positions = move || {
        let early = from..to.min(from.saturating_add(LOOKED_AT_MAX));
        let late = to.saturating_sub(LOOKED_AT_MAX).max(early.end)..to;
        early.chain(late)
    };
    let changed = move |differs: bool| {
        positions().filter(move |position| {
            let entry = history.entry(*position).filter(|entry| entry.changes);
            entry.and_then(|entry| entry.file).is_some_and(|file| scene.differs(file) == differs)
        })
    };
    changed(true).chain(changed(false))
}

/// A change after the last barrier whose file should have been synced.
fn contents_of_change_lost(scene: &Scene<'_>, position: u64) -> Option<Diagnosis> {
    let file = scene.history.entry(position)?.file.filter(|file| !serves_only(scene, *file))?;
    unsynced(scene, file, scene.failure.point)
}

/// A change of names after the last barrier that should have been followed by one.
fn name_of_change_lost(scene: &Scene<'_>, position: u64) -> Option<Diagnosis> {
    let file = scene.history.entry(position)?.file?;
    let counts = is_name_change(scene.history, position) && !serves_only(scene, file);
    if counts { name_lost(scene, position) } else { None }
}

/// Whether a file is of no worth by itself: a lock, or one that only passes through.
fn serves_only(scene: &Scene<'_>, file: FileId) -> bool {
    match scene.role(file) {
        Role::Lock | Role::Temporary => true,
        Role::Journal => false,
        Role::Data | Role::Backup => scene.history.is_passing(file, scene.failure.point),
    }
}

fn is_name_change(history: &History, position: u64) -> bool {
    use OperationKind::{Link, Mkdir, OpenCreate, Rename, Rmdir, Symlink, Unlink};
    let kind = history.entry(position).and_then(|entry| entry.kind);
    matches!(kind, Some(Link | Mkdir | OpenCreate | Rename | Rmdir | Symlink | Unlink))
}

/// Whether an operation removes or cuts a file that is replayed on opening.
fn ends_journal(history: &History, position: u64, journal: fn(&str) -> bool) -> bool {
    let Some(entry) = history.entry(position) else { return false };
    let ends = matches!(
        entry.kind,
        Some(OperationKind::Unlink | OperationKind::Truncate | OperationKind::OpenTruncate)
    );
    let path = entry.file.and_then(|file| history.path_at(file, position));
    ends && path.is_some_and(journal)
}

/// `data` and `size`: unsynced contents are lost, names are kept.
fn contents_lost(scene: &Scene<'_>) -> Option<Diagnosis> {
    let point = scene.failure.point;
    let near = lost_between(scene, point.saturating_sub(LOOKED_AT_MAX).max(1), point);
    let near = near.filter_map(|position| scene.history.entry(position)?.file);
    let differing = scene.files().filter(|file| scene.differs(*file));
    let mut files: Vec<FileId> = Vec::new();
    for file in differing.chain(near) {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    // What only passes through is missed last.
    let (passing, lasting): (Vec<FileId>, Vec<FileId>) =
        files.into_iter().partition(|file| serves_only(scene, *file));
    if let Some(found) = lasting.iter().find_map(|file| only_relied_on_early(scene, *file)) {
        return Some(found);
    }
    let files = lasting.into_iter().chain(passing);
    let found = files.into_iter().find_map(|file| unsynced(scene, file, point));
    found.or_else(|| kill::halfway(scene, point)).or_else(|| kill::overwritten(scene, point))
}

/// Why the contents of a file were not on disk at a point; none if they were.
fn unsynced(scene: &Scene<'_>, file: FileId, point: u64) -> Option<Diagnosis> {
    let history = scene.history;
    let written = history.file(file)?.last_unsynced(point)?.at;
    if history.last_sync(file, point).is_some_and(|synced| synced > written) {
        return None;
    }
    // Under `prefix` the state is not that of the point.
    let in_place = scene.failure.model != CrashModel::Prefix;
    let halfway = in_place.then(|| kill::file_halfway(scene, file, point)).flatten();
    halfway
        .or_else(|| journal_of(scene, file).and_then(|journal| data_before_journal(scene, journal)))
        .or_else(|| renamed_empty(scene, file, written, point))
        .or_else(|| renamed_early(scene, file, written, point))
        .or_else(|| relied_on_early(scene, file, point))
        .or_else(|| sync_comes_later(scene, file, written, point))
        .or_else(|| other_file_synced(scene, file, written, point))
        .or_else(|| never_synced(scene, file, written, point))
}

/// The SQLite journal that a file is, or has beside it.
fn journal_of(scene: &Scene<'_>, file: FileId) -> Option<FileId> {
    let path = scene.path(file)?;
    match Store::of(scene.history, path) {
        Store::SqliteJournal(_) | Store::SqliteWal(_) => Some(file),
        Store::SqliteDatabase { journal: true } => ["-journal", "-wal"]
            .iter()
            .find_map(|end| scene.history.file_under(&format!("{path}{end}"), scene.failure.point)),
        _ => None,
    }
}

fn data_before_journal(scene: &Scene<'_>, journal: FileId) -> Option<Diagnosis> {
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

/// A file that had its final name before it was written, let alone synced.
fn renamed_empty(scene: &Scene<'_>, file: FileId, written: u64, point: u64) -> Option<Diagnosis> {
    let early = scene.history.placed_empty(file, point).filter(|early| written <= early.end)?;
    kill::renamed_empty(scene, file, early)
}

/// The same for a file with no defect of its own.
fn only_relied_on_early(scene: &Scene<'_>, file: FileId) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let written = history.file(file)?.last_unsynced(point)?.at;
    let misplaced = history.placed_between(file, written, point).is_some()
        || history.placed_empty(file, point).is_some_and(|early| written <= early.end);
    let sound = !misplaced && kill::file_halfway(scene, file, point).is_none();
    if sound { relied_on_early(scene, file, point) } else { None }
}

/// A file lost what was written to it, and another one kept what was written to it later: what the
/// first was written for, such as a journal that protects the other one, needs it on disk first.
fn relied_on_early(scene: &Scene<'_>, file: FileId, point: u64) -> Option<Diagnosis> {
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

fn renamed_early(scene: &Scene<'_>, file: FileId, written: u64, point: u64) -> Option<Diagnosis> {
    let history = scene.history;
    let placed = history.placed_between(file, written, point)?;
    let path = history.path_at(file, placed.saturating_add(1))?;
    if Role::of(path) == Role::Backup {
        return None;
    }
    let before = history.path_at(file, written.saturating_add(1)).unwrap_or(path);
    let sentence = format!(
        "{} puts the file under the name {path} although no fsync of it has followed {}.",
        history.text(placed),
        history.text(written)
    );
    let fix = advice::sync_before_rename(history, before, path);
    Some(scene.diagnosis(Cause::RenamedBeforeFsync, Some(path.to_owned()), sentence, fix))
}

/// A sync follows in the same save, so the sync is not what is missing: the way of writing is.
fn sync_comes_later(
    scene: &Scene<'_>,
    file: FileId,
    written: u64,
    point: u64,
) -> Option<Diagnosis> {
    let history = scene.history;
    if !is_synced_in_round(history, file, written, point) {
        return None;
    }
    let span = history.file(file)?.span_before(point)?;
    if history.last_sync(file, point).is_some_and(|synced| synced > span.end) {
        return None;
    }
    // Asked about its last operation, the span answers as it does under a kill.
    kill::file_halfway(scene, file, span.end)
        .or_else(|| kill::file_overwritten(scene, file, point))
        .or_else(|| kill::file_overwritten(scene, file, span.end))
        .or_else(|| overwritten_at_once(scene, file, span.end))
}

fn is_synced_in_round(history: &History, file: FileId, written: u64, point: u64) -> bool {
    let round = |position| history.entry(position).map(|entry| entry.round);
    history.next_sync(file, point).is_some_and(|synced| round(synced) == round(written))
}

/// Old bytes were overwritten by a single write, which the disk may have in part until its sync.
fn overwritten_at_once(scene: &Scene<'_>, file: FileId, write: u64) -> Option<Diagnosis> {
    let history = scene.history;
    let span = history.file(file)?.span_before(write.saturating_add(1))?;
    if span.way != Way::Overwritten || Role::of(history.path_at(file, write)?) == Role::Journal {
        return None;
    }
    let path = history.path_at(file, write)?;
    let sentence = format!(
        "{} overwrites {path} in place; until {} the disk may have it in part.",
        history.text(write),
        history.text(history.next_sync(file, write)?)
    );
    let fix = advice::overwrite(history, path);
    Some(scene.diagnosis(Cause::OverwrittenInPlace, Some(path.to_owned()), sentence, fix))
}

/// Another regular file was synced after the write, which had nothing to be synced.
fn other_file_synced(
    scene: &Scene<'_>,
    file: FileId,
    written: u64,
    point: u64,
) -> Option<Diagnosis> {
    let history = scene.history;
    let until = point.min(written.saturating_add(LOOKED_AT_MAX));
    let position = (written.saturating_add(1)..until).find(|position| {
        let Some(entry) = history.entry(*position) else { return false };
        let is_sync = matches!(entry.kind, Some(OperationKind::Fsync | OperationKind::Fdatasync));
        let Some(other) = entry.file.filter(|other| is_sync && *other != file) else {
            return false;
        };
        let Some(track) = history.file(other) else { return false };
        // A directory has no changes of contents, and its sync is not a mistake.
        let Some(last) = track.last_change(*position) else { return false };
        history.last_sync(other, *position).is_some_and(|synced| synced > last.at)
    })?;
    let path = history.path_at(file, point)?;
    let other = history.path_at(history.entry(position)?.file?, position)?;
    let sentence = format!(
        "{} syncs {other}, which had no unsynced change; {} is followed by no fsync of {path}.",
        history.text(position),
        history.text(written)
    );
    let fix = format!("fsync {path} instead of {other}: {}", {
        advice::sync_before_promise(history, path)
    });
    Some(scene.diagnosis(Cause::OtherFileSynced, Some(path.to_owned()), sentence, fix))
}

fn never_synced(scene: &Scene<'_>, file: FileId, written: u64, point: u64) -> Option<Diagnosis> {
    let history = scene.history;
    // Moved away as a backup, it is still the file that was written.
    let now = history.path_at(file, point)?;
    let path = match Role::of(now) {
        Role::Backup => history.path_at(file, written.saturating_add(1))?,
        _ => now,
    };
    let write = history.text(lost_write(scene, written));
    let until = history.text(point);
    let lost = matches!(scene.failure.class, Class::Lost | Class::AckedNotDurable);
    let grew = history.file(file)?.last_unsynced(point)?.grew;
    let (cause, result) = match scene.failure.model {
        _ if lost => (Cause::AcknowledgedBeforeFsync, promised_since(history, written, point)),
        _ if !is_synced_in_round(history, file, written, point) => {
            (Cause::WrittenWithoutFsync, promised_since(history, written, point))
        }
        CrashModel::TornBlock => {
            (Cause::UnsyncedWriteTorn, ", so that the disk may have it in part".to_owned())
        }
        CrashModel::Size if grew => {
            let zeros = ", so that zeros may stand where its bytes should be";
            (Cause::ExtendedWithoutSync, zeros.to_owned())
        }
        _ => {
            let apart = ", so that later operations may be on disk without it";
            (Cause::UnsyncedWritesReordered, apart.to_owned())
        }
    };
    let sentence = format!("{write} is followed by no fsync of {path} until {until}{result}.");
    let fix = match cause {
        Cause::UnsyncedWriteTorn => advice::record(path),
        _ => advice::sync_before_promise(history, path),
    };
    Some(scene.diagnosis(cause, Some(path.to_owned()), sentence, fix))
}

/// The write that the state lacks.
fn lost_write(scene: &Scene<'_>, written: u64) -> u64 {
    match scene.failure.variant {
        Variant::Write(position) | Variant::WriteBytes(position, _) => *position,
        _ => written,
    }
}

/// What the journal promised between a write and the point.
fn promised_since(history: &History, written: u64, point: u64) -> String {
    let (before, now) = (history.journal(written), history.journal(point));
    match history.acknowledged_between(before, now) {
        Some(0) => String::new(),
        Some(1) => ", and an operation was acknowledged in between".to_owned(),
        Some(count) => format!(", and {count} operations were acknowledged in between"),
        None if now > before => {
            format!(", and the ack journal grew from {before} to {now} bytes in between")
        }
        None => String::new(),
    }
}

/// Directory operations from one on are undone; the one that concerns a differing file counts.
fn undone_from(scene: &Scene<'_>, position: u64) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let undone = || lost_between(scene, position, point).filter(|p| is_name_change(history, *p));
    let journal = undone().find(|position| ends_journal(history, *position, is_journal));
    let lasting = undone().find(|position| {
        let file = history.entry(*position).and_then(|entry| entry.file);
        file.is_some_and(|file| !history.is_passing(file, position.saturating_add(1)))
    });
    name_lost(scene, journal.or(lasting).unwrap_or(position))
}

/// The old file was removed for good and the rename that should replace it undone, although the program
/// syncs the directory before it promises anything.
fn old_removed_first(scene: &Scene<'_>, file: FileId, position: u64) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let (id, absence) = history.absence_before(file, position)?;
    let promised = !promised_since(history, position, point).is_empty();
    let kept = matches!(scene.failure.model, CrashModel::DirLost);
    (kept && !promised).then(|| kill::old_removed(scene, id, absence, point))
}

/// A name operation that is not durable, or the end of a journal.
fn name_lost(scene: &Scene<'_>, position: u64) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let entry = history.entry(position)?;
    let file = entry.file?;
    let removes = matches!(entry.kind, Some(OperationKind::Unlink | OperationKind::Rmdir));
    let when = if removes { position } else { position.saturating_add(1) };
    let path = history.path_at(file, when)?;
    let (operation, until) = (history.text(position), history.text(point));
    if ends_journal(history, position, is_journal) {
        let sentence = format!(
            "{operation} ends {path}, and nothing makes that durable until {until}: the next start \
             may find it again."
        );
        let fix = advice::end_of_journal(history, path);
        let file = Some(path.to_owned());
        return Some(scene.diagnosis(Cause::JournalEndNotDurable, file, sentence, fix));
    }
    if !is_name_change(history, position) {
        return None;
    }
    if let Some(found) = old_removed_first(scene, file, position) {
        return Some(found);
    }
    let directory = history.directory_of(path);
    let synced = directory.and_then(|directory| history.last_sync(directory, point));
    // A sync that comes before anything is promised is not missing: it comes after what relies on it.
    let in_time = directory
        .is_some_and(|directory| is_synced_in_round(history, directory, position, point))
        && promised_since(history, position, point).is_empty();
    if in_time && let Some(found) = kill::acknowledged_early(scene, position) {
        return Some(found);
    }
    let sentence = match synced.is_some_and(|synced| synced > position) {
        true => format!("{operation} may still be undone by a power cut at {until}."),
        false => {
            let name = match paths::parent(path) {
                "" => "the state directory".to_owned(),
                parent => parent.to_owned(),
            };
            let relied_on = match in_time {
                true => ", so that what was changed after it may be on disk without it",
                false => "",
            };
            format!("{operation} is followed by no fsync of {name} until {until}{relied_on}.")
        }
    };
    let fix = match in_time {
        true => advice::sync_directory_at_once(history, path),
        false => advice::sync_directory(history, path),
    };
    Some(scene.diagnosis(Cause::DirectoryNotSynced, Some(path.to_owned()), sentence, fix))
}
