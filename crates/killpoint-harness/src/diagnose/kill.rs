//! Causes of what a mere kill leaves: the calls before the point are done, the others are not.

use super::apart::{databases_apart, files_apart};
use super::history::{Absence, Departure, PlacedEmpty, Stay};
use super::journal::ended_before_written;
use super::paths::{PathId, Role};
use super::scene::Scene;
use super::span::{Span, Way};
use super::stores::Store;
use super::turn::{not_rolled_back, removed_too_early};
use super::{Cause, Diagnosis, advice};
use killpoint_engine::states::Variant;
use killpoint_model::operation::{FileId, OperationKind};
use killpoint_model::{Class, CrashModel};

/// Most operations looked at in one direction.
const LOOKED_AT_MAX: usize = 64;

/// The first rule that the log bears out.
pub(super) fn diagnose(scene: &Scene<'_>) -> Option<Diagnosis> {
    let class = scene.failure.class;
    if class == Class::Duplicated {
        return replayed(scene);
    }
    if class == Class::Hung
        && let Some(found) = lock_left(scene)
    {
        return Some(found);
    }
    if class == Class::Extra
        && let Some(found) = temporary_left(scene, scene.failure.point, true)
    {
        return Some(found);
    }
    let point = scene.failure.point;
    let ended = ended_before_written(scene, point, |_, change| change >= point);
    if let Some(found) = ended.or_else(|| halfway(scene, point)) {
        return Some(found);
    }
    if scene.failure.model == CrashModel::TornWrite {
        return torn_temporary(scene).or_else(|| torn_record(scene));
    }
    let never_opens = matches!(class, Class::Unopenable | Class::Bricked);
    if never_opens && let Some(found) = lock_left(scene) {
        return Some(found);
    }
    let misled = never_opens || matches!(class, Class::Hung | Class::Wrong | Class::Torn);
    if misled && let Some(found) = temporary_left(scene, scene.failure.point, false) {
        return Some(found);
    }
    let turned = databases_apart(scene, point)
        .filter(|_| !scene.is_loss())
        .or_else(|| not_rolled_back(scene))
        .or_else(|| removed_too_early(scene));
    turned
        .or_else(|| overwritten(scene, point))
        .or_else(|| acknowledged_early(scene, point))
        .or_else(|| files_apart(scene, point))
        .or_else(|| overwritten_in_steps(scene, point))
}

/// A file that is neither old nor new, or a name that stands for nothing, at a point.
pub(super) fn halfway(scene: &Scene<'_>, point: u64) -> Option<Diagnosis> {
    let ranked = scene.files().flat_map(|file| {
        let unlikelier = !scene.differs(file);
        ranked(scene, file, point)
            .map(move |(rank, start, found)| ((unlikelier, rank, start), found))
    });
    ranked.min_by_key(|(order, _)| *order).map(|(_, found)| found)
}

/// The same for one file.
pub(super) fn file_halfway(scene: &Scene<'_>, file: FileId, point: u64) -> Option<Diagnosis> {
    let ranked = ranked(scene, file, point);
    ranked.min_by_key(|(rank, start, _)| (*rank, *start)).map(|(.., found)| found)
}

fn ranked(scene: &Scene<'_>, file: FileId, point: u64) -> impl Iterator<Item = Ranked> {
    // What only serves the rest is seldom what is missed.
    let penalty = if scene.role(file) == Role::Data { 0 } else { 10 };
    let found =
        [absent(scene, file, point), in_span(scene, file, point), unfinished(scene, file, point)];
    found.into_iter().flatten().map(move |(rank, start, found)| (rank + penalty, start, found))
}

/// The likeliest first, then the earliest.
type Ranked = (u8, u64, Diagnosis);

fn absent(scene: &Scene<'_>, file: FileId, point: u64) -> Option<Ranked> {
    let history = scene.history;
    // Of the path that the file has, is about to get, or has just been moved away from.
    let around = [point, point.saturating_add(1), u64::MAX];
    let (id, absence) = match scene.is_missed(file) {
        // What is missed is missed under its name, whatever that tells.
        true => {
            let id = history.path_id_at(file, point)?;
            (id, history.any_absence(id, point)?)
        }
        false => around
            .into_iter()
            .filter_map(|when| history.path_id_at(file, when))
            .chain(history.file(file)?.paths.first().map(|(_, id)| *id))
            .find_map(|id| Some((id, history.absence(id, point)?)))?,
    };
    Some((0, absence.removed, old_removed(scene, id, absence, point)))
}

/// The old file goes before the new one comes.
pub(super) fn old_removed(
    scene: &Scene<'_>,
    id: PathId,
    absence: Absence,
    point: u64,
) -> Diagnosis {
    let history = scene.history;
    let path = history.path_text(id);
    let (removed, placed) = (history.text(absence.removed), history.text(absence.placed));
    let mut sentence =
        format!("{removed} takes {path} away before {placed} puts the new one in its place");
    match history.file(absence.successor).and_then(|track| track.span_at(point)) {
        Some(Span { way: Way::Created, start, end, .. }) if *start == absence.placed => {
            sentence.push_str(&format!(", which is complete only after {}", history.text(*end)));
        }
        _ => {}
    }
    let fix = match Store::of(history, path) {
        Store::DumbDbm => advice::one_step(history, path),
        _ => format!(
            "rename the new file over {path} without removing the old one first: {}",
            advice::atomic_replacement(history, path)
        ),
    };
    scene.diagnosis(Cause::OldRemovedFirst, Some(path.to_owned()), sentence + ".", fix)
}

/// A name of which the file was removed, for its successor to come later: at a point, nothing is there.
pub(super) fn removed(scene: &Scene<'_>, point: u64) -> Option<Diagnosis> {
    let unlinked = |position: u64| {
        let kind = scene.history.entry(position).and_then(|entry| entry.kind);
        kind == Some(OperationKind::Unlink)
    };
    let in_question = |file: &FileId| scene.missed().is_empty() || scene.is_missed(*file);
    let files = scene.files().filter(in_question);
    let absent = files.filter_map(|file| absent(scene, file, point));
    let removed = absent.filter(|(_, removed, _)| unlinked(*removed));
    removed.min_by_key(|(_, removed, _)| *removed).map(|(.., found)| found)
}

fn unfinished(scene: &Scene<'_>, file: FileId, point: u64) -> Option<Ranked> {
    let early = scene.history.placed_empty(file, point).filter(|early| point <= early.end)?;
    Some((3, early.placed, renamed_empty(scene, file, early)?))
}

/// A file gets its final name before its contents.
pub(super) fn renamed_empty(
    scene: &Scene<'_>,
    file: FileId,
    early: PlacedEmpty,
) -> Option<Diagnosis> {
    let history = scene.history;
    let PlacedEmpty { placed, filled, end } = early;
    let from = history.path_at(file, placed)?;
    let path = history.path_at(file, placed.saturating_add(1))?;
    if !matches!(Role::of(path), Role::Data | Role::Journal) {
        return None;
    }
    let mut sentence = format!(
        "{} puts the file under the name {path} before {} writes its contents",
        history.text(placed),
        history.text(filled)
    );
    if let Some(synced) = history.next_sync(file, end) {
        sentence.push_str(&format!(" and {} syncs them", history.text(synced)));
    }
    let fix = advice::rename_last(history, from, path);
    let path = Some(path.to_owned());
    Some(scene.diagnosis(Cause::RenamedBeforeWritten, path, sentence + ".", fix))
}

fn in_span(scene: &Scene<'_>, file: FileId, point: u64) -> Option<Ranked> {
    let history = scene.history;
    let span = history.file(file)?.span_at(point)?;
    let path = history.path_at(file, span.start.saturating_add(1))?;
    let (start, end) = (history.text(span.start), history.text(span.end));
    let (rank, cause, sentence) = match span.way {
        Way::Emptied => {
            let refilled = history.text(span.refilled?);
            let mut sentence = format!("{start} empties {path} before {refilled} fills it again");
            if refilled != end {
                sentence.push_str(&format!("; it is complete only after {end}"));
            }
            (1, Cause::TruncatedInPlace, sentence)
        }
        Way::Shrunk => {
            let sentence = format!(
                "{start} writes the new contents over {path} before {end} cuts off the rest of \
                 the old ones, so that they stand behind the new ones in between"
            );
            (2, Cause::ShrunkAfterWrite, sentence)
        }
        // Bad before it was made, the state is bad for something else.
        Way::Created if scene.broke().is_some_and(|broke| broke < span.start) => return None,
        Way::Created if is_to_be_whole(scene, file, path) => {
            let sentence = format!(
                "{start} makes {path} under its final name, empty; its contents are complete only \
                 after {end}"
            );
            (3, Cause::CreatedInPlace, sentence)
        }
        Way::Created | Way::Overwritten => return None,
    };
    let fix = advice::one_step(history, path);
    let found = scene.diagnosis(cause, Some(path.to_owned()), sentence + ".", fix);
    Some((rank, span.start, found))
}

/// Whether a file that was made under this path has to be whole: it is data, and not only for the time being.
fn is_to_be_whole(scene: &Scene<'_>, file: FileId, path: &str) -> bool {
    let (history, point) = (scene.history, scene.failure.point);
    let outlasts = || history.stay_under(path, point).is_some_and(|stay| scene.is_harmless(stay));
    let lasts = || !history.is_passing(file, point) || outlasts();
    scene.is_missed(file) || (Role::of(path) == Role::Data && lasts())
}

/// Old bytes overwritten by some of several writes.
pub(super) fn overwritten(scene: &Scene<'_>, point: u64) -> Option<Diagnosis> {
    let history = scene.history;
    let spans = scene.files().filter_map(|file| {
        let span = history.file(file)?.span_at(point)?;
        let data = !matches!(scene.role(file), Role::Journal | Role::Rebuilt);
        (span.way == Way::Overwritten && data).then_some((!scene.differs(file), span.start, file))
    });
    let (.., file) = spans.min()?;
    file_overwritten(scene, file, point)
}

/// The same for one file.
pub(super) fn file_overwritten(scene: &Scene<'_>, file: FileId, point: u64) -> Option<Diagnosis> {
    let history = scene.history;
    let span = history.file(file)?.span_at(point).filter(|span| span.way == Way::Overwritten)?;
    overwritten_from(scene, file, span.start, span.end)
}

/// Old bytes overwritten, with more changes of the same file to come in the same save.
pub(super) fn overwritten_in_steps(scene: &Scene<'_>, point: u64) -> Option<Diagnosis> {
    let history = scene.history;
    let round = |position: u64| history.entry(position).map(|entry| entry.round);
    scene.files().filter(|file| scene.role(*file) == Role::Data).find_map(|file| {
        let track = history.file(file)?;
        let span = track.span_before(point).filter(|span| span.way == Way::Overwritten)?;
        let next = track.next_change(point)?.at;
        let in_one_save = round(span.start) == round(next);
        in_one_save.then(|| overwritten_from(scene, file, span.start, next))?
    })
}

fn overwritten_from(scene: &Scene<'_>, file: FileId, start: u64, end: u64) -> Option<Diagnosis> {
    let history = scene.history;
    let path = history.path_at(file, start)?;
    let (first, last) = (history.text(start), history.text(end));
    let sentence = match Store::of(history, path) {
        Store::SqliteDatabase { journal: false } => format!(
            "{first} to {last} overwrite {path} in place, and the log shows no journal of it on \
             disk."
        ),
        _ => format!("{first} to {last} overwrite {path} in place, in more than one write."),
    };
    let fix = advice::overwrite(history, path);
    Some(scene.diagnosis(Cause::OverwrittenInPlace, Some(path.to_owned()), sentence, fix))
}

/// A torn write to a file that only passes through: the file should have been passed over.
fn torn_temporary(scene: &Scene<'_>) -> Option<Diagnosis> {
    let point = scene.failure.point;
    let file = scene.history.entry(point)?.file?;
    scene.history.is_passing(file, point).then(|| temporary_left(scene, point, false))?
}

fn torn_record(scene: &Scene<'_>) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let Variant::Bytes(bytes) = scene.failure.variant else { return None };
    let entry = history.entry(point)?;
    let path = history.path_at(entry.file?, point)?;
    let sentence = format!(
        "{} crosses a multiple of 4,096 of the file's offset; only its first {bytes} bytes are in \
         {path}.",
        history.text(point)
    );
    let over_old_bytes = history
        .file(entry.file?)
        .and_then(|track| track.span_before(point.saturating_add(1)))
        .is_some_and(|span| {
            matches!(span.way, Way::Overwritten | Way::Shrunk) && span.end >= point
        });
    let fix = match over_old_bytes {
        true => advice::overwrite(history, path),
        false => advice::record_of(scene.history, path),
    };
    Some(scene.diagnosis(Cause::TornRecord, Some(path.to_owned()), sentence, fix))
}

/// Stays of files that only pass through and are there at the point, the likeliest first.
fn passing(
    scene: &Scene<'_>,
    point: u64,
    wanted: impl Fn(Role, &Stay) -> bool,
) -> Option<(PathId, Stay)> {
    let history = scene.history;
    let role = |id: PathId| Role::of(history.path_text(id));
    let mut stays: Vec<(PathId, Stay)> =
        history.passing(point).filter(|(id, stay)| wanted(role(*id), stay)).collect();
    stays.sort_by_key(|(_, stay)| !scene.differs(stay.file));
    stays.first().copied()
}

fn lock_left(scene: &Scene<'_>) -> Option<Diagnosis> {
    let (id, stay) = passing(scene, scene.failure.point, |role, _| role == Role::Lock)?;
    if !broke_by(scene, stay.file) {
        return None;
    }
    let history = scene.history;
    let path = history.path_text(id);
    let sentence = format!(
        "{} makes {path}, which {} would have removed; the crash leaves it behind.",
        history.text(stay.arrival.0),
        history.text(stay.departure?.0)
    );
    let fix = format!(
        "lock {path} with flock or fcntl, which end with the process, instead of by its existence; \
         or check on starting that the process named in it still runs"
    );
    Some(scene.diagnosis(Cause::LockFileLeft, Some(path.to_owned()), sentence, fix))
}

/// Whether a file may be what made a whole state bad, as far as that is known: it or another that only
/// passes through was changed then.
fn broke_by(scene: &Scene<'_>, file: FileId) -> bool {
    let history = scene.history;
    let changed = |broke: u64| Some((broke, history.entry(broke)?.file?));
    scene.broke().and_then(changed).is_none_or(|(broke, changed)| {
        changed == file || history.is_passing(changed, broke.saturating_add(1))
    })
}

/// A file that only passes through and is there at the point.
pub(super) fn temporary_left(
    scene: &Scene<'_>,
    point: u64,
    shown_as_data: bool,
) -> Option<Diagnosis> {
    let (id, stay) = passing(scene, point, |role, stay| {
        let at_fault = !shown_as_data || !scene.is_harmless(stay);
        matches!(role, Role::Temporary | Role::Data) && at_fault
    })?;
    // It was there, too, when all was well.
    let at_fault = shown_as_data || (scene.differs(stay.file) && broke_by(scene, stay.file));
    if !at_fault {
        return None;
    }
    let history = scene.history;
    let path = history.path_text(id);
    let (gone, how) = stay.departure?;
    let verb = if how == Departure::Renamed { "moves" } else { "removes" };
    let taken = if shown_as_data { ", where it is taken for data" } else { "" };
    let sentence = format!(
        "{} makes {path}, which {} {verb} only later; the crash leaves it behind{taken}.",
        history.text(stay.arrival.0),
        history.text(gone)
    );
    let becomes = history
        .path_at(stay.file, gone.saturating_add(1))
        .filter(|becomes| how == Departure::Renamed && *becomes != path);
    let fix = advice::passing(path, becomes);
    Some(scene.diagnosis(Cause::TemporaryFileLeft, Some(path.to_owned()), sentence, fix))
}

fn replayed(scene: &Scene<'_>) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let done = last_change_before(scene, point)?;
    let mark = marks_done(scene, point)?;
    let file = history.entry(mark)?.file?;
    let path = history.path_at(file, mark)?;
    let sentence = format!(
        "{} had been carried out; {}, which comes after it, had not: what starts again finds \
         {path} as it was before and carries the operation out once more.",
        history.text(done),
        history.text(mark)
    );
    let fix = format!(
        "record that the operation is done in the same step that does it (one transaction, or one \
         rename), or give it a number and skip it where that number is already stored; {path} can \
         then go at any time"
    );
    Some(scene.diagnosis(Cause::ReplayedTwice, Some(path.to_owned()), sentence, fix))
}

/// The command was run again on a state that was well in itself.
pub(super) fn run_again(scene: &Scene<'_>) -> Diagnosis {
    let (history, point) = (scene.history, scene.failure.point);
    let left = match scene.failure.class {
        Class::Bricked | Class::Hung => {
            lock_left(scene).or_else(|| temporary_left(scene, point, false))
        }
        Class::Extra => temporary_left(scene, point, true),
        _ => None,
    };
    if let Some(found) = left {
        return found;
    }
    let sentence = match last_change_before(scene, point) {
        Some(done) if history.entry(point).is_some() => format!(
            "{} had been carried out and {} had not: run again from there, the command does not \
             come to the end that it comes to undisturbed.",
            history.text(done),
            history.text(point)
        ),
        Some(done) => format!(
            "{} had been carried out: run again after that, the command does not come to the end \
             that it comes to undisturbed.",
            history.text(done)
        ),
        None => format!(
            "The crash comes before {}, the first change: run again, the command does not come to \
             the same end even from where it began.",
            history.text(point)
        ),
    };
    scene.diagnosis(Cause::NotRepeatable, None, sentence, advice::RUN_AGAIN.to_owned())
}

/// The operation from the point on that most likely marks something as done: the removal or
/// truncation of a file, else the next change.
fn marks_done(scene: &Scene<'_>, point: u64) -> Option<u64> {
    let history = scene.history;
    let near = || {
        (point..point.saturating_add(LOOKED_AT_MAX as u64))
            .take_while(|position| history.entry(*position).is_some())
            .filter_map(|position| Some((position, history.change(position)?)))
            .filter(|(_, entry)| entry.file.is_some())
    };
    let removal = near().find(|(_, entry)| {
        use OperationKind::{OpenTruncate, Rename, Truncate, Unlink};
        matches!(entry.kind, Some(Unlink | Truncate | OpenTruncate | Rename))
    });
    removal.or_else(|| near().next()).map(|(position, _)| position)
}

fn last_change_before(scene: &Scene<'_>, point: u64) -> Option<u64> {
    let from = point.saturating_sub(LOOKED_AT_MAX as u64).max(1);
    (from..point).rev().find(|position| scene.history.change(*position).is_some())
}

/// The journal had grown before the change was made under a lasting name.
pub(super) fn acknowledged_early(scene: &Scene<'_>, point: u64) -> Option<Diagnosis> {
    let history = scene.history;
    if !scene.is_loss() || scene.was_whole() {
        return None;
    }
    let now = history.journal(point);
    let latest = point.saturating_add(LOOKED_AT_MAX as u64);
    let changes = || (point..latest).filter_map(|next| Some((next, history.lasting_change(next)?)));
    // What was changed before has taken something; what is yet to be is where it is missing.
    let untouched = changes().find(|(_, path)| history.last_change_under(path, point).is_none());
    let mending = || {
        let mended = scene.mended().filter(|mended| {
            history.acknowledged_between(now, history.journal(*mended)) == Some(0)
        })?;
        let file = history.entry(mended)?.file?;
        let path = history.path_at(file, mended.saturating_add(1))?;
        Some((mended, path))
    };
    let (next, path) = mending().or(untouched).or_else(|| changes().next())?;
    // What the journal held when something lasting was last changed was promised then.
    let from = point.saturating_sub(LOOKED_AT_MAX as u64).max(1);
    let last = (from..point).rev().find(|last| history.lasting_change(*last).is_some());
    let before = match last {
        Some(last) => history.journal(last),
        None if from > 1 => history.journal(from),
        None => 0,
    };
    let promised = history.acknowledged_between(before, now);
    if now <= before || promised == Some(0) {
        return None;
    }
    let held = match promised {
        Some(1) => "1 further acknowledgement stood in the ack journal".to_owned(),
        Some(count) => format!("{count} further acknowledgements stood in the ack journal"),
        None => format!("the ack journal had grown from {before} to {now} bytes"),
    };
    let since = match last {
        Some(last) => format!(" since {}", history.text(last)),
        None => String::new(),
    };
    let sentence = format!("{held}{since}, and {} had not happened yet.", history.text(next));
    let sentence = capitalised(&sentence);
    let fix = advice::acknowledge_after(history, next, path);
    Some(scene.diagnosis(Cause::AcknowledgedBeforeWritten, Some(path.to_owned()), sentence, fix))
}

/// One process was killed, and what it had not done was acknowledged by those that went on.
pub(super) fn acknowledged_by_others(scene: &Scene<'_>) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    // What was promised before may be gone for what the killed process left halfway.
    let promised = history.acknowledged_between(0, history.journal(point)) != Some(0);
    if !scene.is_loss() || (promised && halfway(scene, point).is_some()) {
        return None;
    }
    let sentence = format!(
        "The process that was about to carry out {} was killed while others went on, and what it had not \
         done was acknowledged all the same.",
        history.text(point)
    );
    let fix = advice::ACKNOWLEDGE_WHAT_IS_DONE.to_owned();
    Some(scene.diagnosis(Cause::AcknowledgedByOthers, None, sentence, fix))
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().to_string())
        + characters.as_str()
}
