//! Files of one save that change one after another.

use super::paths::Role;
use super::scene::Scene;
use super::{Cause, Diagnosis, advice};
use killpoint_model::operation::FileId;

/// Most operations looked at in one direction.
const LOOKED_AT_MAX: usize = 64;

/// One file of a save is new, another still old.
pub(super) fn files_apart(scene: &Scene<'_>, point: u64) -> Option<Diagnosis> {
    let history = scene.history;
    let start = history.round_start(point)?;
    let (done, first) = changed_in_round(scene, point, start..point).next()?;
    let nearest = point.saturating_sub(LOOKED_AT_MAX as u64).max(start);
    let changed: Vec<FileId> =
        changed_in_round(scene, point, nearest..point).map(|(_, file)| file).collect();
    let still_old = |(_, file): &(u64, FileId)| *file != first && !changed.contains(file);
    let after = || changed_in_round(scene, point, point..u64::MAX);
    let (open, second) =
        after().find(still_old).or_else(|| after().find(|(_, file)| *file != first))?;
    let first_path = history.path_at(first, done.saturating_add(1))?;
    let second_path = history.path_at(second, open.saturating_add(1))?;
    let sentence = format!(
        "{} changes {first_path} before {} changes {second_path}, and no single step makes both \
         valid.",
        history.text(done),
        history.text(open)
    );
    let fix = advice::together(history, first_path, second_path);
    Some(scene.diagnosis(Cause::FilesChangeApart, Some(first_path.to_owned()), sentence, fix))
}

/// Changes of lasting files in the same round as a point, in the order of the positions.
fn changed_in_round(
    scene: &Scene<'_>,
    point: u64,
    positions: impl Iterator<Item = u64>,
) -> impl Iterator<Item = (u64, FileId)> {
    let history = scene.history;
    let round = history.entry(point).map(|entry| entry.round);
    positions
        .take(LOOKED_AT_MAX)
        .map_while(|position| Some((position, history.entry(position)?)))
        .take_while(move |(_, entry)| Some(entry.round) == round)
        .filter(|(_, entry)| entry.changes)
        .filter_map(|(position, entry)| Some((position, entry.file?)))
        .filter(|(position, file)| {
            let path = history.path_at(*file, position.saturating_add(1));
            let lasting = matches!(path.map(Role::of), Some(Role::Data | Role::Journal));
            lasting && !history.is_passing(*file, position.saturating_add(1))
        })
}
