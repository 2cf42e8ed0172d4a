//! The part of a report that the trials of a scenario fill.

mod collected;
mod tally;
mod timeline;

pub use collected::{CrashCount, DraftsSeen, StrikeChange};
pub use tally::Tally;
pub use timeline::{Mark, MarkKind, Timeline, ended};

use crate::crash::Crash;
use crate::finding::Confirmation;
use crate::objective::Measurement;
use crate::resources::ResourceSeries;
use crate::screenshot::Screenshot;
use crate::trial::{ACTIVITIES, Release, TrialEvent};
use crate::verdict::{Class, Judgement, Verdict};
use serde::{Deserialize, Serialize};

/// The kind of the invariant that holds a store against the ack journal.
const ACKED_IS_DURABLE: &str = "acked-is-durable";
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
    /// How often each trial is carried out; none where that is not known before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
    /// Limits and rules that could not be planned, in words.
    pub remarks: Vec<String>,
    /// The tries of trials, in order; the control first. Bounded: see `tallies` and `trials_omitted`.
    pub trials: Vec<TrialReport>,
    /// Tries that are counted only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub trials_omitted: u64,
    /// Every try that ended, counted by trial.
    #[serde(default)]
    pub tallies: Vec<Tally>,
    /// How often the recorded verdict showed again, where this run replays a trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<Confirmation>,
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
    /// The crashes, bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crashes: Vec<Crash>,
    /// How many there were.
    #[serde(default)]
    pub crash_count: CrashCount,
    /// What became of unsaved work, bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drafts: Vec<DraftsSeen>,
    /// How long all trials took together, in milliseconds.
    #[serde(default)]
    pub trials_ms: u64,
    /// All runs of the same version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialReport {
    /// Which; 0 is the control.
    pub trial: u64,
    /// Which try of it.
    pub attempt: u32,
    /// The try that failed and was repeated by this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<u32>,
    /// The verdict that it was to show again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Verdict>,
    /// How often the failure showed again when it was run again with the same plan and snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproduced: Option<Confirmation>,
    /// How many of these violated with another class.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reproduced_otherwise: u64,
    /// Whether all of its violations stand in the baseline.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub known: bool,
    /// Whether the target never came back from its last strike.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unrecovered: bool,
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
    /// Acknowledgements there were at the last of its strikes.
    #[serde(default)]
    pub at_risk: u64,
    /// How the workload ended, in words, unless it ended with success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_failure: Option<String>,
    /// The worst of its verdicts; where some stand in the baseline, the worst of the others.
    pub judgement: Judgement,
    /// How it broke promises otherwise, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Class>,
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
    /// Crashes that it added.
    #[serde(default)]
    pub crash_count: CrashCount,
    /// What the target used; kept where the timeline is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceSeries>,
    /// How the state changed at strikes, where a promise was broken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<StrikeChange>,
    /// What the screen showed, where it did not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub screenshots: Vec<Screenshot>,
    /// Times of recovery that it added.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recoveries: u64,
    /// Restarts that it added.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u64,
    /// Whether it has ended.
    #[serde(default)]
    pub ended: bool,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl TrialReport {
    /// Whether it acknowledged something, and left a store of which nothing can be read.
    fn is_unreadable(&self) -> bool {
        let is_shut = |it: &BrokenInvariant| {
            let class = &it.judgement.verdict;
            let is_shut = matches!(class, Verdict::Violated(Class::Unopenable | Class::Hung));
            it.invariant == ACKED_IS_DURABLE && is_shut
        };
        self.acknowledged > 0 && self.broken_invariants.iter().any(is_shut)
    }

    /// What is the same in every run that shows its violations: stands in baselines.
    pub fn keys(&self) -> impl Iterator<Item = String> {
        let worst = match self.judgement.verdict {
            Verdict::Violated(class) => Some(class),
            _ => None,
        };
        worst.into_iter().chain(self.also.iter().copied()).map(|class| key(&self.rule, class))
    }
}

/// How a violation of a rule's trial stands in a baseline. Which of the rule's trials it was depends on
/// the seed, so that is no part of it.
pub fn key(rule: &str, class: Class) -> String {
    format!("trial of rule {rule}: {class}")
}

impl CampaignReport {
    /// Whether what happens now is part of what is measured: a failed trial that is run again is counted by
    /// itself.
    pub(super) fn counts_now(&self) -> bool {
        self.trials.last().is_none_or(|trial| trial.rerun_of.is_none())
    }

    /// Adds one event.
    pub fn apply(&mut self, event: &TrialEvent) {
        if let Some(trial) = self.trials.last_mut() {
            trial.timeline.apply(event);
        }
        match event {
            TrialEvent::Planned { title, digest, trials, strikes, rounds, remarks } => {
                self.title.clone_from(title);
                self.digest.clone_from(digest);
                (self.planned_trials, self.planned_strikes) = (*trials, *strikes);
                self.rounds = *rounds;
                self.remarks.clone_from(remarks);
            }
            TrialEvent::Started { trial, attempt, rule, rerun_of, expected } => {
                self.forget_interrupted();
                self.trials.push(TrialReport {
                    trial: *trial,
                    attempt: *attempt,
                    rerun_of: *rerun_of,
                    expected: expected.clone(),
                    reproduced: None,
                    reproduced_otherwise: 0,
                    known: false,
                    unrecovered: false,
                    rule: rule.clone(),
                    strikes: Vec::new(),
                    fired: 0,
                    broken: 0,
                    acknowledged: 0,
                    at_risk: 0,
                    workload_failure: None,
                    // Until it ends it says nothing.
                    judgement: Judgement::unknown(
                        crate::verdict::Reason::Interrupted,
                        "the trial did not end",
                    ),
                    also: Vec::new(),
                    replay: String::new(),
                    seconds: 0.0,
                    broken_invariants: Vec::new(),
                    timeline: Timeline::default(),
                    resources: Vec::new(),
                    changes: Vec::new(),
                    screenshots: Vec::new(),
                    crash_count: CrashCount::default(),
                    recoveries: 0,
                    restarts: 0,
                    ended: false,
                });
            }
            TrialEvent::Told { record, .. } => {
                use crate::lifecycle::Lifecycle;
                let is_restart = matches!(record.event, Lifecycle::Started { .. })
                    && record.life.is_some_and(|life| life > 1);
                if is_restart && self.counts_now() {
                    self.restarts += 1;
                    if let Some(trial) = self.trials.last_mut() {
                        trial.restarts += 1;
                    }
                }
            }
            TrialEvent::StrikePlanned { fault, position, pids, processes, .. } => {
                if let Some(trial) = self.trials.last_mut() {
                    trial.at_risk = trial.at_risk.max(position.acknowledged);
                    let whom = match &position.role {
                        Some(role) => role.clone(),
                        None if fault == ACTIVITIES => "nobody is struck".to_owned(),
                        None if pids.len() == processes.len() => processes.join(", "),
                        None if pids.len() == 1 => "1 process".to_owned(),
                        None => format!("{} processes", pids.len()),
                    };
                    let at = position.address.as_ref().map(|address| format!(" at {address}"));
                    let at = at.unwrap_or_default();
                    trial.strikes.push(format!(
                        "{fault}{at}: {whom}, {} ms after the workload's start, {} acknowledged",
                        position.after_ms, position.acknowledged
                    ));
                }
            }
            TrialEvent::ActivityEnded { name, how, .. } => {
                if let Some(trial) = self.trials.last_mut() {
                    trial.strikes.push(format!("{name}: {how}"));
                }
            }
            TrialEvent::Recovered { last_bad_us, first_good_us, .. } => {
                if self.recoveries_us.len() < RECOVERIES_KEPT_MAX && self.counts_now() {
                    self.recoveries_us.push((*last_bad_us, *first_good_us));
                    if let Some(trial) = self.trials.last_mut() {
                        trial.recoveries += 1;
                    }
                }
            }
            TrialEvent::WorkloadEnded { at_us, status, timed_out, acknowledged, .. } => {
                if let Some(trial) = self.trials.last_mut() {
                    trial.acknowledged = *acknowledged;
                    trial.workload_failure = match status {
                        _ if at_us.is_none() => None, // there was none
                        _ if *timed_out => Some("did not end in time".to_owned()),
                        Some(0) => None,
                        Some(status) => Some(format!("ended with exit status {status}")),
                        None => Some("was ended by a signal".to_owned()),
                    };
                }
            }
            TrialEvent::Ended {
                fired,
                judgement,
                also,
                known,
                unrecovered,
                replay,
                seconds,
                ..
            } => {
                if let Some(trial) = self.trials.last_mut() {
                    trial.fired = *fired;
                    trial.judgement = judgement.clone();
                    trial.also.clone_from(also);
                    trial.known = *known;
                    trial.unrecovered = *unrecovered;
                    trial.replay.clone_from(replay);
                    trial.seconds = *seconds;
                    let is_violated = matches!(judgement.verdict, Verdict::Violated(_));
                    trial.broken = trial.broken.max(u64::from(is_violated));
                    trial.ended = true;
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a trial lasts some seconds"
                )]
                let ms = (seconds * 1e3).round() as u64;
                if self.counts_now() {
                    self.trials_ms += ms;
                }
                self.thin_timelines();
                self.count_last();
            }
            TrialEvent::Measured(measurement) => self.objectives.push(measurement.clone()),
            TrialEvent::Judged { invariant, strike, judgement, .. } => {
                if let Some(trial) = self.trials.last_mut() {
                    trial.judged(invariant, *strike, judgement);
                }
            }
            TrialEvent::Crashed(_)
            | TrialEvent::CrashesOmitted { .. }
            | TrialEvent::Resources { .. }
            | TrialEvent::Drafts { .. }
            | TrialEvent::Changed { .. }
            | TrialEvent::Pictured { .. }
            | TrialEvent::Release(_) => self.collected(event),
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
            last.resources = Vec::new();
            self.timelines_omitted += 1;
        }
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
