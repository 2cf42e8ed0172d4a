//! What the verdicts at neighbouring points tell: the operation that made a whole state bad, and the one that
//! made it whole again.

use super::history::{Departure, History};
use super::paths::Role;
use super::scene::Scene;
use super::stores::Store;
use super::{Cause, Diagnosis, advice};
use killpoint_model::operation::OperationKind;

/// A file that the next start still needs is removed or emptied, and only later something takes its place.
pub(super) fn removed_too_early(scene: &Scene<'_>) -> Option<Diagnosis> {
    let history = scene.history;
    let broke = scene.broke()?;
    let path = taken_away(history, broke)?;
    let verb = match history.entry(broke)?.kind {
        Some(OperationKind::Unlink) => "removes",
        _ => "cuts",
    };
    let (removal, until) = (history.text(broke), scene.mended());
    // A log that is ended once more ends another transaction.
    let changed = |until: u64| history.path_at(history.entry(until)?.file?, until);
    if until.and_then(changed) == Some(path) {
        return None;
    }
    let sentence = match until {
        Some(until) => format!(
            "{removal} {verb} {path}, which the next start needs until {} has returned.",
            history.text(until)
        ),
        None => {
            format!("{removal} {verb} {path}: before that the state is whole, and after it not.")
        }
    };
    let fix = advice::keep_until(history, path, broke, until);
    Some(scene.diagnosis(Cause::OldRemovedFirst, Some(path.to_owned()), sentence, fix))
}

/// What an operation removes or cuts, unless that is how a database commits.
fn taken_away(history: &History, position: u64) -> Option<&str> {
    let entry = history.change(position)?;
    let takes = matches!(
        entry.kind?,
        OperationKind::Unlink | OperationKind::Truncate | OperationKind::OpenTruncate
    );
    let path = history.path_at(entry.file.filter(|_| takes)?, position)?;
    let needless = matches!(Role::of(path), Role::Lock | Role::Rebuilt);
    (!needless && !Store::of(history, path).is_sqlite()).then_some(path)
}

/// A database was changed in place while its rollback journal lay beside it, and the state was whole at an
/// earlier point with the same journal: rolled back, the two are the same.
pub(super) fn not_rolled_back(scene: &Scene<'_>) -> Option<Diagnosis> {
    let (history, point) = (scene.history, scene.failure.point);
    let broke = scene.broke()?;
    let database = history.path_at(history.entry(broke)?.file?, broke)?;
    if !matches!(Store::of(history, database), Store::SqliteDatabase { journal: true }) {
        return None;
    }
    let journal = format!("{database}-journal");
    let stay = history.stay_under(&journal, point)?;
    let removed = matches!(stay.departure, Some((_, Departure::Unlinked)));
    let (made, _) = stay.arrival;
    if !removed || made >= broke {
        return None;
    }
    let sentence = format!(
        "{} changes {database} while {journal}, made by {}, lies beside it: rolled back, it would be what \
         it was before, when the state was whole. What opens it does not roll it back.",
        history.text(broke),
        history.text(made)
    );
    let fix = advice::leave_journal(database, &journal);
    Some(scene.diagnosis(Cause::JournalNotApplied, Some(database.to_owned()), sentence, fix))
}

/// Nothing known is seen, but which operation made a whole state bad.
pub(super) fn between(scene: &Scene<'_>) -> Option<Diagnosis> {
    let history = scene.history;
    let broke = scene.broke()?;
    let file = history.entry(broke)?.file?;
    let path = history.path_at(file, broke.saturating_add(1));
    let broken = history.text(broke);
    let sentence = match scene.mended() {
        Some(mended) => format!(
            "The state is whole before {broken}, and again only after {}.",
            history.text(mended)
        ),
        None => format!("The state is whole before {broken}, and no longer after it."),
    };
    let in_place = !history.is_passing(file, broke.saturating_add(1));
    let fix = match path.filter(|_| in_place).map(|path| (path, Role::of(path))) {
        Some((path, Role::Data)) => advice::one_step(history, path),
        Some((path, Role::Journal)) => advice::whole_record(history, path),
        _ => advice::ANY_ORDER.to_owned(),
    };
    Some(scene.diagnosis(Cause::BetweenOperations, path.map(str::to_owned), sentence, fix))
}
