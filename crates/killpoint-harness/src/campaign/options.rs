//! How a plan is carried out.

use crate::interrupt::Interrupt;
use killpoint_model::Verdict;
use killpoint_model::span::Span;
use killpoint_model::trial::Position;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Rounds of `--repeat-until-failure` and `--duration` where no other number is given.
pub const ROUNDS_MAX: u32 = 100_000;

/// How a plan is carried out. Kept in the folder of the run, for `resume` and `replay`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// The directory that paths of the scenario start from.
    #[serde(with = "killpoint_engine::any_path")]
    pub directory: PathBuf,
    /// Where the folder of the run is made.
    #[serde(with = "killpoint_engine::any_path")]
    pub out: PathBuf,
    /// The program whose `supervise` keeps the target up: killpoint itself.
    #[serde(skip)]
    pub supervisor: PathBuf,
    /// Only this trial, besides the control.
    pub only: Option<u64>,
    /// How often each trial is carried out.
    pub course: Course,
    /// A trial of an earlier run that is shown again.
    pub replayed: Option<Replayed>,
    /// Violations that do not fail the run stand in this file.
    pub baseline: Option<PathBuf>,
    /// The violations of the run are written into this file.
    pub write_baseline: Option<PathBuf>,
    /// How many runs are kept.
    pub keep: usize,
    /// A request to stop.
    #[serde(skip)]
    pub interrupt: Interrupt,
}

/// A trial of an earlier run, as it is to be shown again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// The earlier run's id.
    pub run: String,
    /// What the trial showed.
    pub verdict: Verdict,
    /// Where its strikes stood.
    pub positions: Vec<Position>,
}

/// How often the trials of a plan are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// So many rounds, each of them all trials in order.
    pub rounds: u32,
    /// No further trial once one was violated.
    pub until_failure: bool,
    /// No further trial once this is over.
    pub duration: Option<Span>,
    /// A trial that was violated is run again so often.
    pub reruns: u32,
}

impl Default for Course {
    fn default() -> Self {
        Course { rounds: 1, until_failure: false, duration: None, reruns: 0 }
    }
}

impl Course {
    /// How many rounds there will be, if that is known before.
    pub(super) fn known_rounds(&self) -> Option<u32> {
        (!self.until_failure && self.duration.is_none()).then_some(self.rounds)
    }

    /// What it does beyond carrying out each trial once, in words.
    pub(super) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let most = match self.rounds {
            ROUNDS_MAX => format!("at most {ROUNDS_MAX} rounds"),
            rounds => format!("at most {rounds} rounds (--repeat)"),
        };
        if let Some(duration) = self.duration {
            remarks.push(format!("repeated for {duration} (--duration), {most}"));
        }
        if self.until_failure {
            let bound = if self.duration.is_some() { String::new() } else { format!(", {most}") };
            remarks.push(format!("repeated until a trial is violated{bound}"));
        }
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_of_its_own_says_its_bound() {
        let soak = Course { rounds: ROUNDS_MAX, until_failure: true, ..Course::default() };
        assert_eq!(soak.known_rounds(), None);
        assert_eq!(soak.remarks(), ["repeated until a trial is violated, at most 100000 rounds"]);
        let hour = Course { duration: Some(Span::from_secs(3_600)), rounds: 7, ..soak };
        assert_eq!(
            hour.remarks(),
            [
                "repeated for 1h (--duration), at most 7 rounds (--repeat)",
                "repeated until a trial is violated"
            ]
        );
        assert_eq!(Course::default().known_rounds(), Some(1));
        assert!(Course::default().remarks().is_empty());
    }
}
