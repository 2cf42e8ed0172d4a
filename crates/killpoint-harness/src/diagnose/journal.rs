//! Logs that are replayed or rolled back on opening, and ended before what they protect is written.

use super::history::History;
use super::paths::Role;
use super::scene::Scene;
use super::{Cause, Diagnosis, advice};
use killpoint_model::operation::OperationKind;

/// Most operations looked at in one direction.
const LOOKED_AT_MAX: u64 = 64;

/// Whether an operation removes or cuts a file that is replayed on opening.
pub(super) fn ends_journal(history: &History, position: u64) -> bool {
    let Some(entry) = history.entry(position) else { return false };
    let ends = matches!(
        entry.kind,
        Some(OperationKind::Unlink | OperationKind::Truncate | OperationKind::OpenTruncate)
    );
    ends && entry.file.is_some_and(|file| history.is_journal(file, position))
}

/// What was promised is neither in the log any more, which was ended before a point, nor yet in the data
/// that takes it over: `is_missing` says of an end and of such a change whether the state has only the
/// first.
pub(super) fn ended_before_written(
    scene: &Scene<'_>,
    point: u64,
    is_missing: impl Fn(u64, u64) -> bool,
) -> Option<Diagnosis> {
    let history = scene.history;
    if !scene.is_loss() {
        return None;
    }
    let earliest = point.saturating_sub(LOOKED_AT_MAX).max(1);
    let end = (earliest..point).rev().find(|position| ends_journal(history, *position))?;
    if scene.broke().is_some_and(|broke| broke != end) {
        return None;
    }
    let journal = history.path_at(history.entry(end)?.file?, end)?;
    let (change, path) = taken_over(scene, end).find(|(change, _)| is_missing(end, *change))?;
    let sentence = format!(
        "{} ends {journal} before {} changes {path}.",
        history.text(end),
        history.text(change)
    );
    let fix = advice::write_first(history, path, end, journal);
    Some(scene.diagnosis(Cause::JournalEndedEarly, Some(journal.to_owned()), sentence, fix))
}

/// The changes of data that follow the end of a log in the same save, before the log is written again.
fn taken_over<'a>(scene: &Scene<'a>, end: u64) -> impl Iterator<Item = (u64, &'a str)> {
    let history = scene.history;
    let round = history.entry(end).map(|entry| entry.round);
    let path_of =
        |position: u64, when: u64| history.path_id_at(history.entry(position)?.file?, when);
    let journal = path_of(end, end);
    (end.saturating_add(1)..=end.saturating_add(LOOKED_AT_MAX))
        .take_while(move |position| {
            let entry = history.entry(*position);
            let is_journal = || path_of(*position, position.saturating_add(1)) == journal;
            entry.is_some_and(|e| Some(e.round) == round && !(e.changes && is_journal()))
        })
        .filter_map(move |position| Some((position, history.lasting_change(position)?)))
        .filter(|(_, path)| Role::of(path) == Role::Data)
}
