//! What a checker does not see, where nothing was acknowledged and only its readings before and after the
//! undisturbed command are held against each other.

use crate::asserter::history::Store;
use crate::environment::local::TrialResult;

/// What is not judged, where something is not.
pub(super) fn what_is_not_judged(
    ends: Option<&(Store, Store)>,
    control: &TrialResult,
) -> Option<&'static str> {
    match ends {
        _ if control.operations == 0 => None,
        None => Some(
            "the checker printed no store, one JSON object with plain values on one line, in the \
             control: only its exit status is judged",
        ),
        Some((before, after)) if before.keys().all(|key| !after.contains_key(key)) => Some(
            "nothing was acknowledged, and nothing that the checker shows was there both before and \
             after the command: only its exit status is judged. Say what must not be lost with \
             --intent, or in the journal KILLPOINT_JOURNAL",
        ),
        Some((before, after)) if before == after => Some(
            "the checker reads the same before and after the command: what the command changed it \
             does not see, so that only what was there before is judged",
        ),
        Some(_) => None,
    }
}
