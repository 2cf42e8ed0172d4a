//! Files of one save that change one after another.

use super::paths::Role;
use super::scene::Scene;
use super::stores::Store;
use super::{Cause, Diagnosis, advice};
use killpoint_model::operation::FileId;

/// Most operations looked at in one direction.
const LOOKED_AT_MAX: usize = 64;

/// One file of a save is new, another still old.
pub(super) fn files_apart(scene: &Scene<'_>, point: u64) -> Option<Diagnosis> {
    let history = scene.history;
    let known = known_pair(scene);
    let ((done, first), (open, second)) = known.or_else(|| pair_in_round(scene, point))?;
    // What is missed is one of the two.
    let missed = || [done, open].iter().any(|position| scene.is_about_missed(*position));
    if !scene.missed().is_empty() && !missed() {
        return None;
    }
    let sentence = format!(
        "{} changes {first} before {} changes {second}, and no single step makes both valid.",
        history.text(done),
        history.text(open)
    );
    let fix = advice::together(history, first, second);
    Some(scene.diagnosis(Cause::FilesChangeApart, Some(first.to_owned()), sentence, fix))
}

/// A change, and the path under which it is read.
type Changed<'a> = (u64, &'a str);

/// The operation that made a whole state bad, and the one that made it whole again.
fn known_pair<'a>(scene: &Scene<'a>) -> Option<(Changed<'a>, Changed<'a>)> {
    let (broke, mended) = (scene.broke()?, scene.mended()?);
    let first = scene.history.lasting_change(broke)?;
    let second = scene.history.lasting_change(mended)?;
    (first != second).then_some(((broke, first), (mended, second)))
}

/// The first file that a save changes, and the first that it has yet to change.
fn pair_in_round<'a>(scene: &Scene<'a>, point: u64) -> Option<(Changed<'a>, Changed<'a>)> {
    let history = scene.history;
    let start = history.round_start(point)?;
    let path = |position: u64, file: FileId| history.path_at(file, position.saturating_add(1));
    let (done, first) = changed_in_round(scene, point, start..point).next()?;
    let first_path = path(done, first)?;
    let nearest = point.saturating_sub(LOOKED_AT_MAX as u64).max(start);
    let changed: Vec<FileId> =
        changed_in_round(scene, point, nearest..point).map(|(_, file)| file).collect();
    let is_other = |(position, file): &(u64, FileId)| {
        *file != first && path(*position, *file) != Some(first_path)
    };
    let after = || changed_in_round(scene, point, point..u64::MAX).filter(is_other);
    let still_old = |(_, file): &(u64, FileId)| !changed.contains(file);
    let (open, second) = after().find(still_old).or_else(|| after().next())?;
    Some(((done, first_path), (open, path(open, second)?)))
}

/// A transaction is in one database of SQLite and not yet in another.
pub(super) fn databases_apart(scene: &Scene<'_>, point: u64) -> Option<Diagnosis> {
    let history = scene.history;
    let database = |position: u64| {
        let file = history.change(position)?.file?;
        let path = history.path_at(file, position).or_else(|| scene.path(file))?;
        Store::of(history, path).database(path)
    };
    let from = match (scene.broke(), scene.failure.around.held) {
        (Some(broke), _) => broke,
        (None, Some(held)) => held,
        (None, None) => return None,
    };
    let point = point.min(history.operations() + 1);
    let near = point.saturating_add(LOOKED_AT_MAX as u64);
    let from = from.max(point.saturating_sub(LOOKED_AT_MAX as u64));
    let (done, first) = (from..point).find_map(|done| Some((done, database(done)?)))?;
    let next = |other: u64| database(other).filter(|other| *other != first);
    let round = |position: u64| history.entry(position).map(|entry| entry.round);
    let (open, second) = (point..near)
        .take_while(|open| round(*open) == round(done))
        .find_map(|open| Some((open, next(open)?)))?;
    let sentence = format!(
        "{} changes {first} before {} changes {second}: SQLite commits to two databases in one step only if \
         they are attached to each other and both keep a rollback journal, not in WAL mode.",
        history.text(done),
        history.text(open)
    );
    let fix = advice::one_database(&first, &second);
    Some(scene.diagnosis(Cause::FilesChangeApart, Some(first), sentence, fix))
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
