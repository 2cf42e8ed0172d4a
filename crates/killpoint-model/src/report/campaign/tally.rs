//! Tries of trials, counted: how often each was carried out, and what came of it.

use super::{CampaignReport, TrialReport};
use crate::finding::Confirmation;
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};

/// Tries that are kept whole; the rest is counted.
const TRIALS_KEPT_MAX: usize = 10_000;

/// The tries of one trial, repetitions of failed ones apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Which; 0 is the control.
    pub trial: u64,
    /// Its rule.
    pub rule: String,
    /// Tries that ended.
    pub tries: u64,
    /// Tries whose verdict is violated and not in the baseline.
    pub violated: u64,
    /// Tries whose verdict is violated and stands in the baseline.
    pub known: u64,
    /// Tries whose verdict is unknown.
    pub unknown: u64,
    /// Strikes that did something.
    pub fired: u64,
    /// Strikes after which a promise was found broken.
    pub broken: u64,
    /// Acknowledged values that were gone, without those of violations that stand in the baseline.
    #[serde(default)]
    pub keys_lost: u64,
    /// Those of violations that stand in the baseline.
    #[serde(default)]
    pub keys_known: u64,
    /// Tries whose target never came back from a strike, but for those whose violations stand in the baseline.
    #[serde(default)]
    pub unrecovered: u64,
    /// Tries that acknowledged something and left a store that does not open, so that none of it can be
    /// read back.
    #[serde(default)]
    pub unreadable: u64,
}

impl Tally {
    /// Counts a try that ended.
    fn count(&mut self, verdict: &Verdict, known: bool) {
        self.tries += 1;
        match verdict {
            Verdict::Held => {}
            Verdict::Unknown(_) => self.unknown += 1,
            Verdict::Violated(_) if known => self.known += 1,
            Verdict::Violated(_) => self.violated += 1,
        }
    }
}

impl CampaignReport {
    /// A trial that was interrupted and is begun again by a resumed run counts once.
    pub(super) fn forget_interrupted(&mut self) {
        let Some(trial) = self.trials.pop_if(|trial| !trial.ended) else { return };
        let recoveries = usize::try_from(trial.recoveries).unwrap_or(usize::MAX);
        self.recoveries_us.truncate(self.recoveries_us.len().saturating_sub(recoveries));
        self.restarts = self.restarts.saturating_sub(trial.restarts);
        self.forget_collected(&trial);
    }

    /// Counts the try that has just ended.
    pub(super) fn count_last(&mut self) {
        let Some(last) = self.trials.last() else { return };
        let (trial, verdict) = (last.trial, last.judgement.verdict.clone());
        if let (Some(of), Some(expected)) = (last.rerun_of, last.expected.clone()) {
            let mut failed = self.trials.iter_mut();
            let is_it =
                |it: &&mut TrialReport| (it.trial, it.attempt, it.rerun_of) == (trial, of, None);
            if let Some(failed) = failed.find(is_it) {
                let reproduced = failed.reproduced.get_or_insert_default();
                confirm(reproduced, &expected, &verdict);
                // What is violated again has failed again, whatever it looks like.
                let is_violated = |it: &Verdict| matches!(it, Verdict::Violated(_));
                if expected != verdict && is_violated(&expected) && is_violated(&verdict) {
                    reproduced.hits += 1;
                    failed.reproduced_otherwise += 1;
                }
            }
        } else {
            if let (Some(expected), true) = (&last.expected, trial > 0) {
                confirm(self.replayed.get_or_insert_default(), expected, &verdict);
            }
            let place = self.tallies.iter().position(|tally| tally.trial == trial);
            let place = place.unwrap_or_else(|| {
                self.tallies.push(Tally { trial, rule: last.rule.clone(), ..Tally::default() });
                self.tallies.len() - 1
            });
            let tally = &mut self.tallies[place];
            tally.count(&verdict, last.known);
            tally.fired += last.fired;
            tally.broken += last.broken;
            let lost = last.judgement.keys_lost;
            *(if last.known { &mut tally.keys_known } else { &mut tally.keys_lost }) += lost;
            tally.unrecovered += u64::from(!last.known && last.unrecovered);
            tally.unreadable += u64::from(!last.known && last.is_unreadable());
        }
        if self.trials.len() > TRIALS_KEPT_MAX {
            self.trials.pop();
            self.trials_omitted += 1;
        }
    }

    /// How many tries of trials but the control, repetitions of failed ones apart, got a verdict that a
    /// test accepts, of those that are kept.
    pub fn count(&self, is_meant: impl Fn(&Verdict) -> bool) -> usize {
        let trials = self.trials.iter().filter(|it| it.trial > 0 && it.rerun_of.is_none());
        trials.filter(|trial| is_meant(&trial.judgement.verdict)).count()
    }

    /// The tries of all trials but the control, counted together.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        for tally in self.tallies.iter().filter(|tally| tally.trial > 0) {
            total.tries += tally.tries;
            total.violated += tally.violated;
            total.known += tally.known;
            total.unknown += tally.unknown;
            total.fired += tally.fired;
            total.broken += tally.broken;
            total.keys_lost += tally.keys_lost;
            total.keys_known += tally.keys_known;
            total.unreadable += tally.unreadable;
            total.unrecovered += tally.unrecovered;
        }
        total
    }

    /// Strikes that did something, but for the control's and those of failures that were run again.
    pub fn fired(&self) -> u64 {
        self.total().fired
    }

    /// Strikes of these after which a promise was found broken.
    pub fn broken(&self) -> u64 {
        self.total().broken
    }
}

/// Counts a try that was to show a verdict again.
fn confirm(confirmation: &mut Confirmation, expected: &Verdict, shown: &Verdict) {
    confirmation.tries += 1;
    confirmation.hits += u32::from(expected == shown);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::TrialEvent;
    use crate::verdict::{Class, Judgement, Reason};

    fn started(trial: u64, attempt: u32, again: Option<(u32, Verdict)>) -> TrialEvent {
        let (rerun_of, expected) = again.unzip();
        TrialEvent::Started { trial, attempt, rule: "editor".to_owned(), rerun_of, expected }
    }

    fn ended(trial: u64, judgement: Judgement) -> TrialEvent {
        TrialEvent::Ended {
            trial,
            attempt: 1,
            fired: 1,
            judgement,
            also: Vec::new(),
            known: false,
            unrecovered: false,
            replay: String::new(),
            seconds: 1.0,
        }
    }

    fn report(events: &[TrialEvent]) -> CampaignReport {
        let mut report = CampaignReport::default();
        events.iter().for_each(|event| report.apply(event));
        report
    }

    #[test]
    fn a_failure_that_is_run_again_is_told_with_its_rate_and_counts_once() {
        let lost = Judgement::violated(Class::Lost, "gone");
        let again = || Some((1, lost.verdict.clone()));
        let unopenable = Judgement::violated(Class::Unopenable, "damaged");
        let report = report(&[
            started(1, 1, None),
            ended(1, lost.clone()),
            started(1, 1, again()),
            ended(1, Judgement::held()),
            started(1, 2, again()),
            ended(1, lost.clone()),
            started(1, 3, again()),
            ended(1, unopenable),
        ]);
        assert_eq!(report.trials[0].reproduced, Some(Confirmation { hits: 2, tries: 3 }));
        assert_eq!(report.trials[0].reproduced_otherwise, 1);
        let total = report.total();
        assert_eq!((total.tries, total.violated, total.fired), (1, 1, 1));
        assert_eq!(report.count(|_| true), 1);
    }

    #[test]
    fn a_trial_that_was_interrupted_and_begun_again_counts_once() {
        let recovered =
            TrialEvent::Recovered { trial: 1, strike: 1, last_bad_us: 1, first_good_us: 2 };
        let report = report(&[
            started(1, 1, None),
            recovered.clone(),
            started(1, 1, None),
            recovered,
            ended(1, Judgement::unknown(Reason::NotFired, "nobody")),
        ]);
        assert_eq!((report.trials.len(), report.recoveries_us.len()), (1, 1));
        assert_eq!((report.total().tries, report.total().unknown), (1, 1));
    }

    #[test]
    fn what_exceeds_the_bound_is_counted() {
        let mut report = CampaignReport::default();
        for attempt in 1..=u32::try_from(TRIALS_KEPT_MAX).expect("small") + 5 {
            report.apply(&started(1, attempt, None));
            report.apply(&ended(1, Judgement::held()));
        }
        assert_eq!((report.trials.len(), report.trials_omitted), (TRIALS_KEPT_MAX, 5));
        assert_eq!(report.total().tries, TRIALS_KEPT_MAX as u64 + 5);
    }
}
