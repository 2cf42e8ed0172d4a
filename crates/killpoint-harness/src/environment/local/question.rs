//! What a judge is asked, and what it answers.

use super::Local;
use crate::asserter::checker::Reading;
use killpoint_engine::states::{Models, StateName};
use killpoint_model::Verdict;
use killpoint_model::report::Look;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The recording whose states are judged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subject {
    /// Its name in the folder of the run.
    pub recording: String,
    /// The models and the profile.
    pub models: Models,
    /// How long a state may take.
    pub timeout: Duration,
    /// The last process id that it has used.
    pub last_process_id: u32,
}

/// A state to be judged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Question {
    /// Which; none before a recording is named: the state before the workload.
    pub state: Option<StateName>,
    /// Length of the journal at the crash.
    pub journal_length: u64,
    /// Whether to read the recovered store a second time.
    pub again: bool,
    /// Whether to run the target again on the state, and read it then.
    pub rerun: bool,
    /// A live kill at the state: what that has left is read in place of the state.
    pub left_by: Option<LeftBy>,
}

/// A live kill that has left something to read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeftBy {
    /// The name of its recording.
    pub recording: String,
    /// Whether its operations came in another order than those of the recording that judges.
    pub other_order: bool,
    /// Whether its recording does not say what it left, which is a snapshot of that name instead.
    pub unseen: bool,
}

/// What reading a state gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The reading.
    pub reading: Reading,
    /// The reading of the recovered store.
    pub again: Option<Reading>,
    /// The reading after the target was run again.
    pub rerun: Option<Reading>,
    /// Files that the built-in oracle takes for left over, some of them.
    pub litter: Vec<String>,
    /// Whether an equal image reads alike, whatever the journal says: the checker did not look at it.
    pub is_of_image: bool,
    /// How long the worker took.
    pub elapsed: Duration,
}

impl Subject {
    /// A recording of this environment.
    pub fn of(recording: &str, models: Models, local: &Local) -> Self {
        Subject {
            recording: recording.to_owned(),
            models,
            timeout: local.checker_timeout,
            last_process_id: local.last_process_id,
        }
    }
}

impl Question {
    /// The state before the workload, with the journal that was there.
    pub fn initial() -> Self {
        let (state, left_by) = (None, None);
        Question { state, journal_length: u64::MAX, again: false, rerun: false, left_by }
    }

    /// The same, looked at as far as one more look goes.
    #[must_use]
    pub fn looked_at(self, look: Look) -> Self {
        Question { again: look == Look::Second, rerun: look == Look::RunAgain, ..self }
    }

    /// A state of the recording, read once.
    pub fn once(state: &StateName, journal_length: u64) -> Self {
        Question { state: Some(state.clone()), journal_length, ..Question::initial() }
    }

    /// What a run of the target has left; `state` is the one that it should be.
    pub fn left_by(left_by: LeftBy, state: Option<&StateName>) -> Self {
        Question { state: state.cloned(), left_by: Some(left_by), ..Question::initial() }
    }
}

impl Answer {
    /// Whether the built-in oracle says that the state holds.
    pub(super) fn holds(&self) -> bool {
        matches!(&self.reading, Reading::Judged(judgement) if judgement.verdict == Verdict::Held)
    }

    /// A reading that is worth what it says for this state alone.
    pub(super) fn of(reading: Reading) -> Self {
        Answer {
            reading,
            again: None,
            rerun: None,
            litter: Vec::new(),
            is_of_image: false,
            elapsed: Duration::ZERO,
        }
    }
}
