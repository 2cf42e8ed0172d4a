//! Causes of what a power cut leaves: only what was synced is certain.

mod contents;
mod names;
mod order;
mod sqlite;

use super::apart::files_apart;
use super::history::History;
use super::journal::{ended_before_written, ends_journal};
use super::paths::Role;
use super::scene::Scene;
use super::stores::Store;
use super::{Diagnosis, kill};
use contents::{last_not_on_disk, unsynced, was_promised};
use killpoint_engine::states::Variant;
use killpoint_model::operation::FileId;
use killpoint_model::{Class, CrashModel};
use names::{is_name_change, name_lost, undone_from};
use order::{only_relied_on_early, taken_over_late};

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
    if let Some(found) = sqlite::nothing_synced(scene) {
        return Some(found);
    }
    // All but these two keep the names as they are at the point.
    let keeps_names = !matches!(scene.failure.model, CrashModel::Prefix | CrashModel::DirLost);
    if keeps_names && let Some(found) = kill::removed(scene, point) {
        return Some(found);
    }
    match (scene.failure.model, scene.failure.variant) {
        (CrashModel::Prefix, _) => prefix(scene),
        (_, Variant::Write(position) | Variant::WriteBytes(position, _)) => {
            let file = scene.history.change(*position)?.file?;
            unsynced(scene, file, point).or_else(|| as_killed(scene, file))
        }
        (_, Variant::File(file)) => {
            unsynced(scene, FileId(*file), point).or_else(|| as_killed(scene, FileId(*file)))
        }
        (_, Variant::From(position)) => {
            missed(scene, *position).or_else(|| undone_from(scene, *position))
        }
        (_, Variant::Without(position)) => name_lost(scene, *position),
        _ => contents_lost(scene),
    }
}

/// What is read is what a kill leaves, where only a file was lost that has yet to get its name.
fn as_killed(scene: &Scene<'_>, lost: FileId) -> Option<Diagnosis> {
    serves_only(scene, lost).then(|| kill::diagnose(scene))?
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
    let lost = || lost_between(scene, barrier + 1, scene.promised_until());
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
    if let Some(found) = kill::removed(scene, barrier + 1) {
        return Some(found);
    }
    if let Some(found) = missed(scene, barrier + 1) {
        return Some(found);
    }
    // Where no contents are missing, a journal that is still there decides what they are worth.
    let journal_end = || lost().find(|position| ends_journal(history, *position));
    lost()
        .find_map(|position| contents_of_change_lost(scene, position))
        .or_else(|| name_lost(scene, journal_end()?))
        .or_else(|| lost().find_map(|position| name_of_change_lost(scene, position)))
        .or_else(|| ended_before_written(scene, barrier + 1, |_, change| change > barrier))
        .or_else(as_killed)
        .or_else(|| lost().find_map(|position| name_lost(scene, position)))
        .or_else(|| kill::acknowledged_early(scene, barrier + 1))
        .or_else(|| files_apart(scene, barrier + 1))
        .or_else(|| kill::overwritten_in_steps(scene, barrier + 1))
}

fn is_data(path: &str) -> bool {
    Role::of(path) == Role::Data
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
            let entry = history.change(*position);
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

/// `data` and `size`: unsynced contents are lost, names are kept.
fn contents_lost(scene: &Scene<'_>) -> Option<Diagnosis> {
    let point = scene.failure.point;
    let mut alone = scene.missed().iter().copied().chain(scene.failure.around.lost_alone);
    if let Some(found) = alone.find_map(|file| unsynced(scene, file, point)) {
        return Some(found);
    }
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
    // What a log that may be empty protects is rolled back to what it does not say.
    let log = lasting.iter().find(|file| unsynced_log(scene, **file));
    if let Some(found) = log.and_then(|log| unsynced(scene, *log, point)) {
        return Some(found);
    }
    let promised = lasting.iter().filter(|file| was_promised(scene, **file));
    if let Some(found) = promised
        .map(|file| unsynced(scene, *file, point))
        .chain(lasting.iter().map(|file| only_relied_on_early(scene, *file)))
        .find_map(|found| found)
    {
        return Some(found);
    }
    let files = lasting.into_iter().chain(passing);
    let found = files.into_iter().find_map(|file| unsynced(scene, file, point));
    found
        .or_else(|| taken_over_late(scene))
        .or_else(|| kill::halfway(scene, point))
        .or_else(|| kill::overwritten(scene, point))
        .or_else(|| kill::acknowledged_early(scene, point))
        .or_else(|| files_apart(scene, point))
        .or_else(|| kill::overwritten_in_steps(scene, point))
}

/// Whether a file is the log of the save that is under way, and not on disk. What SQLite does is known.
fn unsynced_log(scene: &Scene<'_>, file: FileId) -> bool {
    let (history, point) = (scene.history, scene.failure.point);
    let known = scene.path(file).is_some_and(|path| Store::of(history, path).is_sqlite());
    !known && history.is_log_of_save(file, point) && last_not_on_disk(scene, file, point).is_some()
}

/// What the judge misses, of which names or contents changed from a position on and were not made durable.
fn missed(scene: &Scene<'_>, from: u64) -> Option<Diagnosis> {
    let changes = || lost_between(scene, from, scene.failure.point);
    let names = || {
        let is_name = |position: &u64| {
            is_name_change(scene.history, *position) && scene.is_about_missed(*position)
        };
        changes().filter(is_name).find_map(|position| name_lost(scene, position))
    };
    let contents = || {
        let file = |position: u64| scene.history.entry(position)?.file;
        let is_changed = |missed: FileId| changes().any(|position| file(position) == Some(missed));
        let mut changed = scene.missed().iter().filter(|missed| is_changed(**missed));
        changed.find_map(|missed| unsynced(scene, *missed, scene.failure.point))
    };
    match scene.failure.model {
        // Contents are kept, but for what a file has grown.
        CrashModel::DirLost => names().or_else(contents),
        _ => contents().or_else(names),
    }
}

/// Whether a file is of no worth by itself: a lock, or one that only passes through.
fn serves_only(scene: &Scene<'_>, file: FileId) -> bool {
    if scene.is_missed(file) {
        return false;
    }
    match scene.role(file) {
        Role::Lock | Role::Temporary | Role::Rebuilt => true,
        Role::Journal => false,
        Role::Data | Role::Backup => {
            let (history, point) = (scene.history, scene.failure.point);
            history.is_passing(file, point) && !history.is_journal(file, point)
        }
    }
}

/// What the journal promised between a write and the point.
fn promised_since(history: &History, written: u64, point: u64) -> String {
    let (before, now) = (history.journal_before(written), history.journal(point));
    let when = match history.is_mapped(written) {
        true => "since the last call before it",
        false => "in between",
    };
    match history.acknowledged_between(before, now) {
        Some(0) => String::new(),
        Some(1) => format!(", and an operation was acknowledged {when}"),
        Some(count) => format!(", and {count} operations were acknowledged {when}"),
        None if now > before => {
            format!(", and the ack journal grew from {before} to {now} bytes {when}")
        }
        None => String::new(),
    }
}
