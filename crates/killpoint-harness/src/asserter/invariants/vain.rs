//! Whether there was anything that an invariant could miss: what holds with nothing there shows nothing.

use super::counts;
use super::{Evidence, Reading};
use crate::asserter::checker::Expectation;
use killpoint_model::invariant::Invariant;

/// Why an invariant that holds at the end of the control holds vainly; none where it does not.
pub fn why_vain(invariant: &Invariant, evidence: &Evidence<'_>) -> Option<&'static str> {
    match (invariant, evidence.reading) {
        (Invariant::AckedIsDurable(_), Reading::Store { upto: Some(upto), .. }) => {
            let (Expectation::Journal(history), promise) = evidence.promised? else { return None };
            history.promises_nothing(*upto, promise).then_some(
                "nothing was acknowledged, and the store held nothing before: nothing can be lost. \
                 The target or the workload writes the journal in KILLPOINT_JOURNAL",
            )
        }
        (Invariant::Sqlite(asked), Reading::Database(database)) => {
            let is_nothing = database.is_empty && asked.query.is_none();
            is_nothing.then_some("the database is empty: nothing in it can be lost")
        }
        (Invariant::MonotonicCheckpoints(_), Reading::Checkpoints(sequences)) => sequences
            .values()
            .all(|it| it.len() < 2)
            .then_some("no process told more than one checkpoint"),
        (Invariant::ExactlyOnce(_), Reading::Lists { listed, .. }) => {
            counts::lists_nothing(listed).then_some("`list` printed nothing")
        }
        _ => None,
    }
}
