//! Names that were not on disk yet: made, moved or removed.

use super::contents::{is_synced_in_time, last_not_on_disk, unsynced};
use super::order::relied_on_early;
use super::{LOOKED_AT_MAX, lost_between, promised_since, serves_only};
use crate::diagnose::apart::files_apart;
use crate::diagnose::history::History;
use crate::diagnose::journal::ends_journal;
use crate::diagnose::paths;
use crate::diagnose::scene::Scene;
use crate::diagnose::{Cause, Diagnosis, advice, kill};
use killpoint_model::CrashModel;
use killpoint_model::operation::{FileId, OperationKind};

pub(super) fn is_name_change(history: &History, position: u64) -> bool {
    use OperationKind::{Link, Mkdir, OpenCreate, Rename, Rmdir, Symlink, Unlink};
    let kind = history.entry(position).and_then(|entry| entry.kind);
    matches!(kind, Some(Link | Mkdir | OpenCreate | Rename | Rmdir | Symlink | Unlink))
}

/// Directory operations from one on are undone; the one that concerns a differing file counts.
pub(super) fn undone_from(scene: &Scene<'_>, position: u64) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let undone = || lost_between(scene, position, point).filter(|p| is_name_change(history, *p));
    let journal = undone().find(|position| ends_journal(history, *position));
    let lasting = undone().find(|position| {
        let file = history.entry(*position).and_then(|entry| entry.file);
        file.is_some_and(|file| !history.is_passing(file, position.saturating_add(1)))
    });
    // Without its new size a file is what it was before, whatever was written.
    let resized = || {
        let mut files = lost_between(scene, position, point)
            .filter_map(|position| history.change(position)?.file)
            .filter(|file| !serves_only(scene, *file));
        files.find_map(|file| unsynced(scene, file, point))
    };
    match journal.or(lasting) {
        Some(lost) => name_lost(scene, lost),
        None => name_lost(scene, position).or_else(resized),
    }
}

/// A name operation that is not durable, or the end of a journal.
pub(super) fn name_lost(scene: &Scene<'_>, position: u64) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let entry = history.change(position)?;
    let file = entry.file?;
    let removes = matches!(entry.kind, Some(OperationKind::Unlink | OperationKind::Rmdir));
    let when = if removes { position } else { position.saturating_add(1) };
    let path = history.path_at(file, when)?;
    let (operation, until) = (history.text(position), history.text(point));
    if ends_journal(history, position) {
        let sentence = format!(
            "{operation} ends {path}, and nothing makes that durable until {until}: the next start \
             may find it again."
        );
        let fix = advice::end_of_journal(history, position, path);
        let file = Some(path.to_owned());
        return Some(scene.diagnosis(Cause::JournalEndNotDurable, file, sentence, fix));
    }
    if !is_name_change(history, position) {
        return None;
    }
    if let Some(found) = not_the_name(scene, file, position) {
        return Some(found);
    }
    let directory = history.directory_of(path);
    let synced = directory.and_then(|directory| history.last_sync(directory, point));
    // A sync that comes before anything is promised is not missing: it comes after what relies on it.
    let in_time = directory
        .is_some_and(|directory| is_synced_in_time(history, directory, position, point))
        && promised_since(history, position, point).is_empty();
    if in_time && let Some(found) = not_the_sync(scene, position) {
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

/// What is at fault where a name is lost that is synced before anything is promised: the state is that of
/// a kill before the name was changed, if nothing came after it.
fn not_the_sync(scene: &Scene<'_>, position: u64) -> Option<Diagnosis> {
    let until = scene.failure.point.min(position.saturating_add(LOOKED_AT_MAX));
    let mut later = position.saturating_add(1)..until;
    let last = later.all(|later| scene.history.lasting_change(later).is_none());
    let apart = || if last { files_apart(scene, position) } else { None };
    kill::acknowledged_early(scene, position).or_else(apart)
}

/// What is at fault where a name is lost, but not for want of a sync of its directory.
fn not_the_name(scene: &Scene<'_>, file: FileId, position: u64) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    match history.entry(position)?.kind? {
        // The sync of a new file that its contents need makes its name durable, too.
        OperationKind::OpenCreate => {
            let written = last_not_on_disk(scene, file, point);
            written
                .and_then(|written| relied_on_early(scene, file, written))
                .or_else(|| old_removed_first(scene, file, position))
        }
        // The old file is there again, and the new one was promised before it came.
        OperationKind::Unlink => {
            let id = history.path_id_at(file, position)?;
            let absence = history.absence(id, position.saturating_add(1))?;
            let promised = !promised_since(history, position, absence.placed).is_empty();
            let early = || kill::acknowledged_early(scene, absence.placed);
            let removed = || Some(kill::old_removed(scene, id, absence, point));
            if promised { early().or_else(removed) } else { None }
        }
        _ => old_removed_first(scene, file, position),
    }
}

/// The old file was removed for good and what should replace it undone, although the program syncs the
/// directory before it promises anything.
fn old_removed_first(scene: &Scene<'_>, file: FileId, position: u64) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let (id, absence) = history.absence_before(file, position)?;
    let promised = !promised_since(history, position, point).is_empty();
    let kept = matches!(scene.failure.model, CrashModel::DirLost);
    (kept && !promised).then(|| kill::old_removed(scene, id, absence, point))
}
