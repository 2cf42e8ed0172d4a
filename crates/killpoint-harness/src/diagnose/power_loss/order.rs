//! What was on disk too early: before that which it relies on.

use super::names::is_name_change;
use super::{LOOKED_AT_MAX, promised_since, serves_only};
use crate::diagnose::journal::{ended_before_written, ends_journal};
use crate::diagnose::paths::Role;
use crate::diagnose::scene::Scene;
use crate::diagnose::{Cause, Diagnosis, advice, kill};
use killpoint_engine::states::Variant;
use killpoint_model::CrashModel;
use killpoint_model::operation::{FileId, OperationKind};

/// [`relied_on_early`] for a file with no defect of its own.
pub(super) fn only_relied_on_early(scene: &Scene<'_>, file: FileId) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let written = history.file(file)?.last_unsynced(point)?.at;
    let misplaced = history.placed_between(file, written, point).is_some()
        || history.placed_empty(file, point).is_some_and(|early| written <= early.end);
    let sound = !misplaced && kill::file_halfway(scene, file, point).is_none();
    if sound { relied_on_early(scene, file, written) } else { None }
}

/// A file lost what was written to it, last by `written`, and another one kept what was done to it later:
/// what the first was written for, such as a journal that protects the other one, or what the other one
/// protects, needs it on disk first.
pub(super) fn relied_on_early(scene: &Scene<'_>, file: FileId, written: u64) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    if serves_only(scene, file) {
        return None;
    }
    let written = match scene.failure.variant {
        Variant::Write(position) | Variant::WriteBytes(position, _) => written.min(*position),
        _ => {
            let synced = history.last_sync(file, point);
            let promised = history.acknowledged_until(written).map(|until| until - 1);
            history.file(file)?.first_unsynced(synced.max(promised), point)?
        }
    };
    let until = point.min(written.saturating_add(LOOKED_AT_MAX));
    let relying =
        || (written.saturating_add(1)..until).filter(|position| relies(scene, file, *position));
    let unpromised = |until: u64| promised_since(history, written, until).is_empty();
    let end = relying().find(|position| ends_journal(history, *position));
    // What its log keeps safe needs its sync when the log is ended, which may be before the promise.
    let end = end.filter(|end| {
        unpromised(point) || (unpromised(*end) && was_logged(scene, file, *end, written))
    });
    let changed = match end {
        Some(end) => end,
        // What was made since is of no use before something leads to it.
        None if unpromised(point) => {
            let first = relying().next()?;
            let leads =
                (first..until).find(|position| leads_to_it(scene, file, *position, written));
            leads.unwrap_or(first)
        }
        None => return None,
    };
    let path = history.path_at(file, point)?;
    let changed_file = history.entry(changed)?.file?;
    let before = history.path_at(changed_file, changed)?;
    let renames = history.entry(changed)?.kind == Some(OperationKind::Rename);
    let other = match renames {
        true => history.path_at(changed_file, changed.saturating_add(1))?,
        false => before,
    };
    let (cause, verb) = match end {
        Some(_) => (Cause::JournalEndedEarly, "ends"),
        None => (Cause::DataBeforeJournal, "changes"),
    };
    let sentence = format!(
        "{} {verb} {other} before {path} is synced: {} is followed by no fsync of it until {}.",
        history.text(changed),
        history.text(written),
        history.text(point)
    );
    let waiting = match end {
        Some(end) => waiting_for_sync(scene, file, end, written),
        None => vec![path],
    };
    let fix = advice::sync_first(history, &waiting, changed, before);
    Some(scene.diagnosis(cause, Some(other.to_owned()), sentence, fix))
}

/// Whether an operation in the state puts another file in its place, or changes one that was there before a
/// write: what was made since that write may be led to by it.
fn leads_to_it(scene: &Scene<'_>, lost: FileId, position: u64, written: u64) -> bool {
    let history = scene.history;
    let Some(other) = history.change(position).and_then(|entry| entry.file) else { return false };
    let names_kept = scene.failure.model != CrashModel::DirLost && other != lost;
    if history.entry(position).and_then(|entry| entry.kind) == Some(OperationKind::Rename) {
        return names_kept && !serves_only(scene, other);
    }
    let born = history.file(other).and_then(|track| track.born);
    born.is_none_or(|born| born < written) && relies(scene, lost, position)
}

/// The paths of this file and of those that are changed with it under the log that an operation ends, and
/// synced no more than it is.
fn waiting_for_sync<'a>(scene: &Scene<'a>, file: FileId, end: u64, written: u64) -> Vec<&'a str> {
    let history = scene.history;
    let log = history.entry(end).and_then(|entry| entry.file);
    let round = |position: u64| history.entry(position).map(|entry| entry.round);
    let mut waiting: Vec<FileId> = Vec::new();
    for position in end.saturating_sub(LOOKED_AT_MAX).max(1)..end {
        let of_save = round(position) == round(written);
        let entry = history.change(position).filter(|_| of_save);
        let Some(other) = entry.and_then(|entry| entry.file) else { continue };
        let is_data = history.path_at(other, end).map(Role::of) == Some(Role::Data);
        let synced = history.last_sync(other, end).is_some_and(|synced| synced > position);
        let logged = Some(other) != log && was_logged(scene, other, end, position);
        let is_there = history.stands_at(other, end);
        if is_data && is_there && logged && !synced && !waiting.contains(&other) {
            waiting.push(other);
        }
    }
    if !waiting.contains(&file) {
        waiting.push(file);
    }
    waiting.iter().filter_map(|file| history.path_at(*file, end)).collect()
}

/// Whether the log that an operation ends was written before a change of a file that is no log itself.
fn was_logged(scene: &Scene<'_>, file: FileId, end: u64, change: u64) -> bool {
    let history = scene.history;
    let log = history.entry(end).and_then(|entry| history.file(entry.file?));
    let logged = log.is_some_and(|log| log.last_change(change).is_some());
    logged && !history.is_journal(file, change)
}

/// A log whose end is in the state, unlike the data that takes it over, which was written only afterwards.
pub(super) fn taken_over_late(scene: &Scene<'_>) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let is_lost = |change: u64, file: FileId| match scene.failure.variant {
        Variant::Write(position) | Variant::WriteBytes(position, _) => change == *position,
        Variant::File(lost) => file == FileId(*lost),
        _ => {
            let durable = history.entry(change).is_some_and(|entry| entry.durable);
            !durable && history.last_sync(file, point).is_none_or(|synced| synced < change)
        }
    };
    ended_before_written(scene, point, |end, change| {
        let file = history.entry(change).and_then(|entry| entry.file);
        file.is_some_and(|file| {
            relies(scene, file, end) && (change >= point || is_lost(change, file))
        })
    })
}

/// Whether an operation after a lost write changes another file and is in the state.
fn relies(scene: &Scene<'_>, lost: FileId, position: u64) -> bool {
    let (history, point) = (scene.history, scene.failure.point);
    let Some(entry) = history.change(position) else { return false };
    let Some(other) = entry.file.filter(|other| *other != lost) else { return false };
    let synced = || history.last_sync(other, point).is_some_and(|synced| synced > position);
    let kept = match (scene.failure.model, scene.failure.variant) {
        (_, Variant::File(_)) | (CrashModel::OneLost, Variant::Write(_)) => true,
        (_, Variant::WriteBytes(..)) => history.is_journal(lost, point),
        // Names are kept, and what was cut off stays cut off.
        (CrashModel::Data | CrashModel::Size, _) => {
            entry.durable || synced() || ends_journal(history, position)
        }
        // Contents are kept.
        (CrashModel::DirLost, _) => !is_name_change(history, position),
        _ => false,
    };
    kept && !serves_only(scene, other)
}
