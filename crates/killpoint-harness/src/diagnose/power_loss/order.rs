//! What was on disk too early: before that which it relies on.

use super::names::{ends_journal, is_name_change};
use super::{LOOKED_AT_MAX, promised_since, serves_only};
use crate::diagnose::scene::Scene;
use crate::diagnose::{Cause, Diagnosis, advice, kill};
use killpoint_engine::states::Variant;
use killpoint_model::CrashModel;
use killpoint_model::operation::FileId;

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
    if !promised_since(history, written, point).is_empty() {
        return None;
    }
    let until = point.min(written.saturating_add(LOOKED_AT_MAX));
    let relying =
        || (written.saturating_add(1)..until).filter(|position| relies(scene, file, *position));
    let end = relying().find(|position| ends_journal(history, *position));
    let changed = end.or_else(|| relying().next())?;
    let path = history.path_at(file, point)?;
    let other = history.path_at(history.entry(changed)?.file?, changed)?;
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
    let fix = advice::sync_first(history, path, changed, other);
    Some(scene.diagnosis(cause, Some(other.to_owned()), sentence, fix))
}

/// Whether an operation after a lost write changes another file and is in the state.
fn relies(scene: &Scene<'_>, lost: FileId, position: u64) -> bool {
    let (history, point) = (scene.history, scene.failure.point);
    let Some(entry) = history.entry(position).filter(|entry| entry.changes) else { return false };
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
