//! The part of a report that the trials of a scenario fill.

use crate::trial::TrialEvent;
use crate::verdict::{Judgement, Verdict};
use serde::{Deserialize, Serialize};

/// Recoveries whose times are kept; the rest is counted by their trials.
const RECOVERIES_KEPT_MAX: usize = 100_000;

/// What the trials of a scenario run have to say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CampaignReport {
    /// The scenario's title.
    pub title: String,
    /// The plan's digest.
    pub digest: String,
    /// Trials planned, but the control.
    pub planned_trials: u64,
    /// Strikes planned.
    pub planned_strikes: u64,
    /// Limits and rules that could not be planned, in words.
    pub remarks: Vec<String>,
    /// The trials that ended, in order; the control first.
    pub trials: Vec<TrialReport>,
    /// From a strike to readiness, microseconds: the last bad and the first good moment.
    pub recoveries_us: Vec<(u64, u64)>,
    /// Restarts of supervised processes.
    pub restarts: u64,
    /// Objectives that were missed, in words.
    pub missed: Vec<String>,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialReport {
    /// Which; 0 is the control.
    pub trial: u64,
    /// Which try of it.
    pub attempt: u32,
    /// Its rule.
    pub rule: String,
    /// What was done, in words.
    pub strikes: Vec<String>,
    /// Strikes that did something.
    pub fired: u64,
    /// Acknowledgements in its journal.
    pub acknowledged: u64,
    /// The worst of its verdicts.
    pub judgement: Judgement,
    /// The line that carries it out again.
    pub replay: String,
    /// How long it took.
    pub seconds: f64,
}

impl CampaignReport {
    /// Adds one event.
    pub fn apply(&mut self, event: &TrialEvent) {
        match event {
            TrialEvent::Planned { title, digest, trials, strikes, remarks } => {
                self.title.clone_from(title);
                self.digest.clone_from(digest);
                (self.planned_trials, self.planned_strikes) = (*trials, *strikes);
                self.remarks.clone_from(remarks);
            }
            TrialEvent::Started { trial, attempt, rule } => self.trials.push(TrialReport {
                trial: *trial,
                attempt: *attempt,
                rule: rule.clone(),
                strikes: Vec::new(),
                fired: 0,
                acknowledged: 0,
                // Until it ends it says nothing.
                judgement: Judgement::unknown(
                    crate::verdict::Reason::Interrupted,
                    "the trial did not end",
                ),
                replay: String::new(),
                seconds: 0.0,
            }),
            TrialEvent::Told { record, .. } => {
                use crate::lifecycle::Lifecycle;
                let is_restart = matches!(record.event, Lifecycle::Started { .. })
                    && record.life.is_some_and(|life| life > 1);
                self.restarts += u64::from(is_restart);
            }
            TrialEvent::StrikePlanned { fault, position, .. } => {
                if let Some(trial) = self.trials.last_mut() {
                    let whom = position.role.as_deref().unwrap_or("every process");
                    trial.strikes.push(format!(
                        "{fault}: {whom}, {} ms after the workload's start, {} acknowledged",
                        position.after_ms, position.acknowledged
                    ));
                }
            }
            TrialEvent::Recovered { last_bad_us, first_good_us, .. } => {
                if self.recoveries_us.len() < RECOVERIES_KEPT_MAX {
                    self.recoveries_us.push((*last_bad_us, *first_good_us));
                }
            }
            TrialEvent::WorkloadEnded { acknowledged, .. } => {
                if let Some(trial) = self.trials.last_mut() {
                    trial.acknowledged = *acknowledged;
                }
            }
            TrialEvent::Ended { fired, judgement, replay, seconds, .. } => {
                if let Some(trial) = self.trials.last_mut() {
                    trial.fired = *fired;
                    trial.judgement = judgement.clone();
                    trial.replay.clone_from(replay);
                    trial.seconds = *seconds;
                }
            }
            TrialEvent::ObjectiveMissed { detail } => self.missed.push(detail.clone()),
            TrialEvent::Struck { .. } | TrialEvent::Judged { .. } => {}
        }
    }

    /// How many trials but the control got a verdict that a test accepts.
    pub fn count(&self, is_meant: impl Fn(&Verdict) -> bool) -> usize {
        let trials = self.trials.iter().filter(|trial| trial.trial > 0);
        trials.filter(|trial| is_meant(&trial.judgement.verdict)).count()
    }
}
