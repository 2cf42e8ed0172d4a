//! The course of a run: which trial is carried out when and how often, which failures are run again, and
//! what an interrupted run has already done.

use super::log::Earlier;
use super::problem::CampaignError;
use super::stage::{Ended, Stage};
use super::trial;
use crate::journalist::{Progress, Watch};
use killpoint_model::Verdict;
use killpoint_model::plan::PlannedTrial;
use killpoint_model::report::trial_key;
use killpoint_model::trial::Position;
use std::time::Instant;

/// One try of a trial.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try<'a> {
    /// None is the control.
    pub(super) planned: Option<&'a PlannedTrial>,
    /// Which, from 1.
    pub(super) attempt: u32,
    /// The try that failed and is run again.
    pub(super) rerun_of: Option<u32>,
    /// What it is to show again.
    pub(super) expected: Option<&'a Verdict>,
    /// Where its strikes stood when that was shown.
    pub(super) positions: &'a [Position],
}

impl<'a> Try<'a> {
    pub(super) fn of(planned: Option<&'a PlannedTrial>, attempt: u32) -> Self {
        Try { planned, attempt, rerun_of: None, expected: None, positions: &[] }
    }

    /// The trial's number; the control is 0.
    pub(super) fn number(&self) -> u64 {
        self.planned.map_or(0, |planned| planned.ordinal)
    }

    /// Its folder, below that of the run.
    pub(super) fn folder(&self) -> String {
        let number = self.number();
        match (self.attempt, self.rerun_of) {
            (1, None) => format!("trials/{number}"),
            (attempt, None) => format!("trials/{number}.{attempt}"),
            (again, Some(attempt)) => format!("trials/{number}.{attempt}.again-{again}"),
        }
    }
}

/// The rounds of a run at work.
pub(super) struct Rounds<'s, 'a, 'w> {
    pub(super) stage: &'s mut Stage<'a>,
    pub(super) planned: Vec<&'a PlannedTrial>,
    /// What the log of an interrupted run holds already.
    pub(super) earlier: Earlier,
    pub(super) watch: Watch<'w>,
    pub(super) begun: Instant,
}

impl Rounds<'_, '_, '_> {
    /// The control; its detail if it did not hold.
    pub(super) fn control(&mut self) -> Result<Option<String>, CampaignError> {
        let ended = match self.earlier.control(self.stage.folder)? {
            Some((ended, control)) => {
                (self.stage.control, self.stage.answering) = (control.readings, control.answering);
                ended
            }
            None => trial::carry_out(self.stage, &Try::of(None, 1))?,
        };
        Ok((ended.judgement.verdict != Verdict::Held).then_some(ended.judgement.detail))
    }

    /// All trials, as often as they are to be.
    pub(super) fn carry_out(&mut self) -> Result<(), CampaignError> {
        let course = self.stage.options.course;
        let spent = self.earlier.spent();
        let total = self.planned.len() as u64 * u64::from(course.known_rounds().unwrap_or(0));
        let mut done = 0;
        for round in 1..=course.rounds {
            for planned in self.planned.clone() {
                let elapsed = self.begun.elapsed();
                (self.watch)(&Progress { stage: "trials", done, total, elapsed });
                if course.duration.is_some_and(|most| spent + elapsed >= most.duration()) {
                    return Ok(());
                }
                let failed = self.once(planned, round)?;
                done += 1;
                if failed && course.until_failure {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// A trial, and its repetitions if it failed. Whether it did.
    fn once(&mut self, planned: &PlannedTrial, attempt: u32) -> Result<bool, CampaignError> {
        let replayed = self.stage.options.replayed.clone();
        let expected = replayed.as_ref().map(|it| &it.verdict);
        let positions = replayed.as_ref().map_or(&[][..], |it| &it.positions);
        let once = Try { expected, positions, ..Try::of(Some(planned), attempt) };
        let Ended { judgement, positions, .. } = self.run_unless_done(&once)?;
        let Verdict::Violated(class) = judgement.verdict else { return Ok(false) };
        if self.stage.known.contains(&trial_key(&planned.rule, class)) {
            return Ok(false);
        }
        for again in 1..=self.stage.options.course.reruns {
            let rerun = Try {
                planned: Some(planned),
                attempt: again,
                rerun_of: Some(attempt),
                expected: Some(&judgement.verdict),
                positions: &positions,
            };
            self.run_unless_done(&rerun)?;
        }
        Ok(true)
    }

    fn run_unless_done(&mut self, once: &Try<'_>) -> Result<Ended, CampaignError> {
        match self.earlier.take(once.number(), once.attempt, once.rerun_of) {
            Some(ended) => Ok(ended),
            None => trial::carry_out(self.stage, once),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_try_has_a_folder_of_its_own() {
        let once = Try::of(None, 1);
        assert_eq!(once.folder(), "trials/0");
        assert_eq!(Try { attempt: 3, ..once }.folder(), "trials/0.3");
        assert_eq!(Try { rerun_of: Some(3), ..once }.folder(), "trials/0.3.again-1");
    }
}
