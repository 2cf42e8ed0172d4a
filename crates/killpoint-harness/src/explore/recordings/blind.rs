//! What a checker does not see, where nothing was acknowledged and only its readings before and after the
//! undisturbed command are held against each other.

use super::store_of;
use crate::asserter::history::Store;
use crate::environment::local::TrialResult;

/// What is not judged where nothing was acknowledged.
pub(super) enum NotJudged {
    /// Of what the command does; a note says so.
    Something(&'static str),
    /// Whatever could be lost.
    All(&'static str),
}

/// What a checker does not see, where only its own readings at both ends are held against each other.
pub(super) fn what_is_not_judged(kept: Option<&Store>, control: &TrialResult) -> Option<NotJudged> {
    use NotJudged::{All, Something};
    let is_same = store_of(control.before.as_ref()) == store_of(control.after.as_ref());
    let is_empty = store_of(control.after.as_ref()).is_some_and(|after| after.is_empty());
    match kept {
        _ if control.operations == 0 => None,
        None => Some(Something(
            "the checker printed no store, one JSON object with plain values on one line, in the \
             control: only its exit status is judged",
        )),
        Some(_) if is_same && is_empty => Some(All(
            "the checker shows an empty store both before and after the command, and nothing was \
             acknowledged: it sees nothing that could be lost. Have it print what the store holds, or \
             nothing at all if only its exit status is to be judged",
        )),
        Some(_) if is_same => Some(Something(
            "the checker reads the same before and after the command: what the command changed it \
             does not see, so that only what was there before is judged",
        )),
        Some(kept) if kept.is_empty() => Some(Something(
            "nothing was acknowledged, and nothing that the checker shows was there both before and \
             after the command: only its exit status is judged. Say what must not be lost with \
             --intent, or in the journal KILLPOINT_JOURNAL",
        )),
        Some(_) => None,
    }
}
