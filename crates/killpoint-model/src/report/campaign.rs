//! The part of a report that the trials of a scenario fill.

mod timeline;

pub use timeline::{Mark, MarkKind, Timeline, ended};

use crate::objective::Measurement;
use crate::trial::TrialEvent;
use crate::verdict::{Judgement, Verdict};
use serde::{Deserialize, Serialize};

/// Recoveries whose times are kept; the rest is counted by their trials.
const RECOVERIES_KEPT_MAX: usize = 100_000;
/// Timelines that are kept of trials that held.
const TIMELINES_OF_HELD_MAX: usize = 20;
/// Timelines that are kept of other trials.
const TIMELINES_OF_OTHERS_MAX: usize = 200;

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
    /// What was measured for each objective.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objectives: Vec<Measurement>,
    /// Trials whose timeline is not kept.
    #[serde(default)]
    pub timelines_omitted: u64,
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
    /// Strikes after which a promise was found broken, one where only the end shows it.
    #[serde(default)]
    pub broken: u64,
    /// Acknowledgements in its journal.
    pub acknowledged: u64,
    /// The worst of its verdicts.
    pub judgement: Judgement,
    /// The line that carries it out again.
    pub replay: String,
    /// How long it took.
    pub seconds: f64,
    /// What was judged and did not hold, bounded: the invariant, after which strike, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken_invariants: Vec<BrokenInvariant>,
    /// What happened, in order.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub timeline: Timeline,
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenInvariant {
    /// Its kind.
    pub invariant: String,
    /// After which strike; none at the end.
    pub strike: Option<u64>,
    /// The verdict.
    pub judgement: Judgement,
}

impl CampaignReport {
    /// Adds one event.
    pub fn apply(&mut self, event: &TrialEvent) {
        if let Some(trial) = self.trials.last_mut() {
            trial.timeline.apply(event);
        }
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
                broken: 0,
                acknowledged: 0,
                // Until it ends it says nothing.
                judgement: Judgement::unknown(
                    crate::verdict::Reason::Interrupted,
                    "the trial did not end",
                ),
                replay: String::new(),
                seconds: 0.0,
                broken_invariants: Vec::new(),
                timeline: Timeline::default(),
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
                    let is_violated = matches!(judgement.verdict, Verdict::Violated(_));
                    trial.broken = trial.broken.max(u64::from(is_violated));
                }
                self.thin_timelines();
            }
            TrialEvent::Measured(measurement) => self.objectives.push(measurement.clone()),
            TrialEvent::Judged { invariant, strike, judgement, .. } => {
                if let Some(trial) = self.trials.last_mut() {
                    trial.judged(invariant, *strike, judgement);
                }
            }
            TrialEvent::Struck { .. }
            | TrialEvent::Heartbeats { .. }
            | TrialEvent::WorkloadStarted { .. } => {}
        }
    }

    /// Drops the timeline of the trial that ended where enough of its kind are kept.
    fn thin_timelines(&mut self) {
        let Some((last, earlier)) = self.trials.split_last_mut() else { return };
        let held = |trial: &TrialReport| trial.judgement.verdict == Verdict::Held;
        let most = if held(last) { TIMELINES_OF_HELD_MAX } else { TIMELINES_OF_OTHERS_MAX };
        let is_alike = |it: &&TrialReport| held(it) == held(last) && !it.timeline.is_empty();
        if earlier.iter().filter(is_alike).count() >= most {
            last.timeline = Timeline::default();
            self.timelines_omitted += 1;
        }
    }

    /// Strikes that did something, but for the control's.
    pub fn fired(&self) -> u64 {
        self.trials.iter().filter(|trial| trial.trial > 0).map(|trial| trial.fired).sum()
    }

    /// Strikes after which a promise was found broken.
    pub fn broken(&self) -> u64 {
        self.trials.iter().filter(|trial| trial.trial > 0).map(|trial| trial.broken).sum()
    }

    /// How many trials but the control got a verdict that a test accepts.
    pub fn count(&self, is_meant: impl Fn(&Verdict) -> bool) -> usize {
        let trials = self.trials.iter().filter(|trial| trial.trial > 0);
        trials.filter(|trial| is_meant(&trial.judgement.verdict)).count()
    }
}

impl TrialReport {
    fn judged(&mut self, invariant: &str, strike: Option<u64>, judgement: &Judgement) {
        const BROKEN_KEPT_MAX: usize = 20;
        if judgement.verdict == Verdict::Held {
            return;
        }
        let is_violated = matches!(judgement.verdict, Verdict::Violated(_));
        let counted = self
            .broken_invariants
            .iter()
            .any(|it| it.strike == strike && matches!(it.judgement.verdict, Verdict::Violated(_)));
        // What a strike broke may still be broken at the end, which is no strike of its own.
        if is_violated && strike.is_some() && !counted {
            self.broken += 1;
        }
        if self.broken_invariants.len() < BROKEN_KEPT_MAX {
            let (invariant, judgement) = (invariant.to_owned(), judgement.clone());
            self.broken_invariants.push(BrokenInvariant { invariant, strike, judgement });
        }
    }
}
