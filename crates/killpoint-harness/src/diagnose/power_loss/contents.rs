//! Contents of files that were not on disk yet.

use super::order::{relied_on_early, taken_over_late};
use super::sqlite::{data_before_journal, journal_of};
use super::{LOOKED_AT_MAX, promised_since, serves_only};
use crate::diagnose::history::History;
use crate::diagnose::paths::Role;
use crate::diagnose::scene::Scene;
use crate::diagnose::span::Way;
use crate::diagnose::{Cause, Diagnosis, advice, kill};
use killpoint_engine::states::Variant;
use killpoint_model::operation::{FileId, OperationKind};
use killpoint_model::{Class, CrashModel};

/// The last change of a file before a position that is not on disk at the point.
pub(super) fn last_not_on_disk(scene: &Scene<'_>, file: FileId, before: u64) -> Option<u64> {
    let history = scene.history;
    let written = history.file(file)?.last_unsynced(before)?.at;
    let synced = history.last_sync(file, scene.failure.point);
    synced.is_none_or(|synced| synced < written).then_some(written)
}

/// Whether a change that is not on disk at the point was promised before the point.
pub(super) fn was_promised(scene: &Scene<'_>, file: FileId) -> bool {
    let until = scene.promised_until();
    until < scene.failure.point && last_not_on_disk(scene, file, until).is_some()
}

/// Why the contents of a file were not on disk at a point; none if they were.
pub(super) fn unsynced(scene: &Scene<'_>, file: FileId, point: u64) -> Option<Diagnosis> {
    // What came after the last promise is not missed by it.
    if scene.role(file) == Role::Rebuilt {
        return None;
    }
    let promised = was_promised(scene, file);
    let before = if promised { scene.promised_until() } else { point };
    let written = last_not_on_disk(scene, file, before)?;
    // Under `prefix` the state is not that of the point.
    let in_place = scene.failure.model != CrashModel::Prefix && !promised;
    let halfway = || in_place.then(|| kill::file_halfway(scene, file, point)).flatten();
    let early = || relied_on_early(scene, file, written);
    // What a journal protects may be halfway.
    let of_journal = || {
        let is_journal = scene.history.is_journal(file, point);
        early().filter(|found| is_journal || found.cause == Cause::JournalEndedEarly)
    };
    let late = || if promised { None } else { taken_over_late(scene) };
    let under_its_name = || {
        let is_log = scene.history.is_log_of_save(file, point);
        is_log.then(|| renamed_early(scene, file, written, point))?
    };
    under_its_name()
        .or_else(of_journal)
        .or_else(late)
        .or_else(halfway)
        .or_else(|| journal_of(scene, file).and_then(|journal| data_before_journal(scene, journal)))
        .or_else(|| renamed_empty(scene, file, written, point))
        .or_else(|| renamed_early(scene, file, written, point))
        .or_else(early)
        .or_else(|| only_promised(scene, file, point))
        .or_else(|| sync_comes_later(scene, file, written, point))
        .or_else(|| other_file_synced(scene, file, written, point))
        .or_else(|| never_synced(scene, file, written, point))
}

/// A promise is not lost with a file that only passes through, but for want of what it was made for.
fn only_promised(scene: &Scene<'_>, file: FileId, point: u64) -> Option<Diagnosis> {
    serves_only(scene, file).then(|| kill::acknowledged_early(scene, point))?
}

/// A file that had its final name before it was written, let alone synced.
fn renamed_empty(scene: &Scene<'_>, file: FileId, written: u64, point: u64) -> Option<Diagnosis> {
    let early = scene.history.placed_empty(file, point).filter(|early| written <= early.end)?;
    kill::renamed_empty(scene, file, early)
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

/// A sync follows before anything is promised, so the sync is not what is missing: the way of writing is.
fn sync_comes_later(
    scene: &Scene<'_>,
    file: FileId,
    written: u64,
    point: u64,
) -> Option<Diagnosis> {
    let history = scene.history;
    if !is_synced_in_time(history, file, written, point) {
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

/// Whether a change is synced after the point, before anything is promised since.
pub(super) fn is_synced_in_time(history: &History, file: FileId, written: u64, point: u64) -> bool {
    let synced = history.next_sync(file, point);
    synced.is_some_and(|synced| promised_since(history, written, synced).is_empty())
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
        advice::sync_before_promise(history, written, path)
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
    // Nobody reads it before it has its name, and until then its sync is in time.
    if history.is_renamed_later(file, point) && is_synced_in_time(history, file, written, point) {
        return None;
    }
    let until = history.text(point);
    let lost = matches!(scene.failure.class, Class::Lost | Class::AckedNotDurable);
    let grew = history.file(file)?.last_unsynced(written.saturating_add(1))?.grew;
    let (cause, result) = match scene.failure.model {
        _ if !is_synced_in_time(history, file, written, point) => {
            let cause = match lost {
                true => Cause::AcknowledgedBeforeFsync,
                false => Cause::WrittenWithoutFsync,
            };
            (cause, promised_since(history, written, point))
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
    let sync = if history.is_mapped(written) { "msync" } else { "fsync" };
    let sentence = format!("{write} is followed by no {sync} of {path} until {until}{result}.");
    let fix = match cause {
        Cause::AcknowledgedBeforeFsync | Cause::WrittenWithoutFsync => {
            advice::sync_before_promise(history, written, path)
        }
        // The sync is there; what counts is what the disk has until then.
        _ => advice::until_synced(history, path),
    };
    Some(scene.diagnosis(cause, Some(path.to_owned()), sentence, fix))
}

/// The write that the state lacks, unless an earlier one was promised.
fn lost_write(scene: &Scene<'_>, written: u64) -> u64 {
    match scene.failure.variant {
        Variant::Write(position) | Variant::WriteBytes(position, _) => written.min(*position),
        _ => written,
    }
}
