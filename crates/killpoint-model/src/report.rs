//! What a run has to say: the finding, and the report that every output format is drawn from.
//!
//! A report is a pure fold over the events of a run ([`Report::from_events`]), so the live outputs
//! and the ones regenerated from the event log have the same bytes.

mod campaign;

pub use campaign::{
    BrokenInvariant, CampaignReport, CrashCount, DraftsSeen, Mark, MarkKind, StrikeChange, Tally,
    Timeline, TrialReport, ended, key as trial_key,
};

use crate::address::Address;
use crate::crash_model::CrashModel;
use crate::event::{Event, TimelineRow};
pub use crate::finding::{
    Confirmation, Drafts, FileChange, Finding, Look, NotCovered, Setting, Shrunk,
};
use crate::verdict::{Outcome, Reason, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Version of `report.json` and of the finding file.
pub const REPORT_VERSION: u32 = 5;

/// Counts of one crash model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCount {
    /// Crash points at which the model has at least one state.
    pub points: u64,
    /// Crash states that the model allows at those points, before equal ones are merged.
    pub states: u64,
    /// Points with a violated state.
    pub violated: u64,
    /// Points without a violated and with an unknown state.
    pub unknown: u64,
}

/// A reason for which something could not be judged, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownCount {
    /// The reason.
    pub reason: Reason,
    /// The first explanation.
    pub detail: String,
    /// How many states or strikes it concerns.
    pub count: u64,
}

/// Everything that a run has to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this format.
    pub version: u32,
    /// Version of killpoint.
    pub killpoint: String,
    /// Id of the run.
    pub run: String,
    /// When it started, RFC 3339.
    pub started: String,
    /// The commit that was tested, where a repository or CI says so.
    pub commit: Option<String>,
    /// The CI job.
    pub job_url: Option<String>,
    /// The result of the run; `interrupted` if its log has no end.
    pub result: Outcome,
    /// The process that still works on the run, where one does: it is not interrupted, but not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub going_on_in: Option<i32>,
    /// Why the result is what it is, in a sentence, where it is not plain.
    pub explanation: String,
    /// How the run was set up.
    pub setting: Option<Setting>,
    /// Operations recorded.
    pub operations: u64,
    /// How many recordings were made.
    pub recordings: u32,
    /// Operations acknowledged in the first recording.
    pub acknowledged: u64,
    /// Drafts in the first recording, and how often they came back after crashes.
    #[serde(default, skip_serializing_if = "Drafts::is_none")]
    pub drafts: Drafts,
    /// Addresses that not every recording had: never promised.
    pub unstable: u64,
    /// Whether the order of the addresses varied between recordings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub order_varies: bool,
    /// Crash points: entries of in-state calls.
    pub points: u64,
    /// Distinct crash states judged.
    pub states: u64,
    /// Live kills carried out, and how many agreed with the rebuilt states.
    pub live: Confirmation,
    /// Recovered stores that were checked a second time, and how many still held.
    pub second_checks: Confirmation,
    /// Counts by model.
    pub models: BTreeMap<CrashModel, ModelCount>,
    /// The defects.
    pub findings: Vec<Finding>,
    /// Findings that stand in the baseline file and do not fail the run.
    pub known: Vec<Finding>,
    /// What could not be judged.
    pub unknown: Vec<UnknownCount>,
    /// What was not covered.
    pub not_covered: Vec<NotCovered>,
    /// What was enumerated and what was left out.
    pub bounds: Vec<String>,
    /// Remarks that change no verdict.
    pub notes: Vec<String>,
    /// Seconds spent, by stage, in order.
    pub seconds: Vec<(String, f64)>,
    /// The operations, bounded, with the worst verdict at each point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelinePoint>,
    /// Operations that the timeline leaves out.
    pub timeline_omitted: u64,
    /// The worst verdict of the states after the last operation, under each model that has one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub end: BTreeMap<CrashModel, Verdict>,
    /// The trials, where a scenario was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<CampaignReport>,
}

/// An operation with the worst verdict of the crash states at its entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelinePoint {
    /// The operation.
    #[serde(flatten)]
    pub row: TimelineRow,
    /// The worst verdict under each model.
    pub verdicts: BTreeMap<CrashModel, Verdict>,
}

impl Report {
    /// The report of a run that has no events yet.
    pub fn empty() -> Self {
        Report {
            version: REPORT_VERSION,
            killpoint: String::new(),
            run: String::new(),
            started: String::new(),
            commit: None,
            job_url: None,
            result: Outcome::Interrupted,
            going_on_in: None,
            explanation: "the event log of this run has no end".to_owned(),
            setting: None,
            operations: 0,
            recordings: 0,
            acknowledged: 0,
            drafts: Drafts::default(),
            unstable: 0,
            order_varies: false,
            points: 0,
            states: 0,
            live: Confirmation::default(),
            second_checks: Confirmation::default(),
            models: BTreeMap::new(),
            findings: Vec::new(),
            known: Vec::new(),
            unknown: Vec::new(),
            not_covered: Vec::new(),
            bounds: Vec::new(),
            notes: Vec::new(),
            seconds: Vec::new(),
            timeline: Vec::new(),
            timeline_omitted: 0,
            end: BTreeMap::new(),
            campaign: None,
        }
    }

    /// Folds the events of a run, in order, into its report.
    pub fn from_events<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut report = Report::empty();
        for event in events {
            report.apply(event);
        }
        report
    }

    /// The report of a run's log, whole or cut off. In one without an end, the trials that were
    /// planned and have no outcome are unknown: they were interrupted.
    pub fn of_log(events: &[Event]) -> Self {
        let mut report = Report::from_events(events);
        if !events.iter().any(|event| matches!(event, Event::RunEnded { .. })) {
            report.count_interrupted(events);
        }
        report
    }

    /// The report of the log of a run on which a process still works. What is planned and has no
    /// outcome is not interrupted: it is yet to come.
    pub fn of_growing_log(events: &[Event], process: i32) -> Self {
        let mut report = Report::of_log(events);
        if !events.iter().any(|event| matches!(event, Event::RunEnded { .. })) {
            report.going_on_in = Some(process);
            report.explanation = format!(
                "the run still goes on, in process {process}: this is what it has found until now"
            );
            for unknown in &mut report.unknown {
                if unknown.reason == Reason::Interrupted {
                    unknown.detail = "planned, and without an outcome until now".to_owned();
                }
            }
        }
        report
    }

    fn count_interrupted(&mut self, events: &[Event]) {
        let mut open: Vec<(&Address, u32)> = Vec::new();
        let mut planned: BTreeMap<CrashModel, u64> = BTreeMap::new();
        let mut judged: BTreeMap<CrashModel, BTreeSet<u64>> = BTreeMap::new();
        for event in events {
            match event {
                Event::Planned { models, .. } => {
                    planned.extend(models.iter().map(|(model, count)| (*model, count.points)));
                }
                Event::Judged { at, .. } => {
                    for (model, points) in at {
                        judged.entry(*model).or_default().extend(points);
                    }
                }
                Event::StrikePlanned { address, attempt } => open.push((address, *attempt)),
                Event::Struck { address, attempt, .. } => {
                    open.retain(|planned| *planned != (address, *attempt));
                }
                _ => {}
            }
        }
        let not_judged = planned.iter().map(|(model, points)| {
            points.saturating_sub(judged.get(model).map_or(0, |done| done.len() as u64))
        });
        let count = not_judged.sum::<u64>() + open.len() as u64;
        if count > 0 {
            self.unknown.push(UnknownCount {
                reason: Reason::Interrupted,
                detail: "planned, and without an outcome when the run was interrupted: \
                         `killpoint resume` goes on with it"
                    .to_owned(),
                count,
            });
        }
    }

    /// Adds one event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::RunStarted { run, killpoint, started, commit, job_url, setting } => {
                self.run.clone_from(run);
                self.killpoint.clone_from(killpoint);
                self.started.clone_from(started);
                self.commit.clone_from(commit);
                self.job_url.clone_from(job_url);
                self.setting = Some((**setting).clone());
            }
            Event::Recorded { operations, acknowledged, drafts, .. } => {
                self.recordings += 1;
                if self.recordings == 1 {
                    self.operations = *operations;
                    self.acknowledged = *acknowledged;
                    self.drafts.seen = *drafts;
                }
            }
            Event::Timeline { rows, omitted } => {
                self.timeline_omitted = *omitted;
                self.timeline.extend(
                    rows.iter()
                        .map(|row| TimelinePoint { row: row.clone(), verdicts: BTreeMap::new() }),
                );
            }
            Event::Planned { points, unstable, order_varies, models, bounds } => {
                self.points = *points;
                self.order_varies = *order_varies;
                self.unstable = *unstable;
                for (model, count) in models {
                    self.models.insert(
                        *model,
                        ModelCount {
                            points: count.points,
                            states: count.states,
                            ..ModelCount::default()
                        },
                    );
                }
                self.bounds.extend(bounds.iter().cloned());
            }
            Event::Judged { at, judgement, .. } => {
                self.states += 1;
                self.drafts.open += judgement.drafts_open;
                self.drafts.restored += judgement.drafts_restored;
                if let Verdict::Unknown(reason) = &judgement.verdict {
                    self.count_unknown(*reason, &judgement.detail);
                }
                for (model, ordinals) in at {
                    for ordinal in ordinals {
                        self.mark(*model, *ordinal, &judgement.verdict);
                    }
                }
            }
            Event::PointVerdicts { model, violated, unknown } => {
                let count = self.models.entry(*model).or_default();
                count.violated = *violated;
                count.unknown = *unknown;
            }
            Event::SecondCheck { held } => {
                self.second_checks.tries += 1;
                self.second_checks.hits += u32::from(*held);
            }
            Event::StrikePlanned { .. } | Event::Resumed { .. } | Event::SetAside { .. } => {}
            Event::Trial(event) => self.campaign.get_or_insert_default().apply(event),
            Event::Struck { agreed, reason, detail, .. } => {
                self.live.tries += 1;
                self.live.hits += u32::from(*agreed);
                if let Some(reason) = reason {
                    self.count_unknown(*reason, detail);
                }
            }
            Event::Found { finding, known } => {
                let list = if *known { &mut self.known } else { &mut self.findings };
                list.push((**finding).clone());
            }
            Event::NotCovered(gap) => {
                if !self.not_covered.contains(gap) {
                    self.not_covered.push(gap.clone());
                }
            }
            Event::Unknown { reason, detail } => self.count_unknown(*reason, detail),
            Event::Note { text } => {
                if !self.notes.contains(text) {
                    self.notes.push(text.clone());
                }
            }
            Event::Stage { name, seconds } => self.seconds.push((name.clone(), *seconds)),
            Event::RunEnded { result, explanation } => {
                self.result = *result;
                self.explanation.clone_from(explanation);
            }
        }
    }

    fn mark(&mut self, model: CrashModel, ordinal: u64, verdict: &Verdict) {
        // Timeline rows are the first operations in order, so the position is the ordinal.
        let Some(index) = ordinal.checked_sub(1).and_then(|index| usize::try_from(index).ok())
        else {
            return;
        };
        let verdicts = match self.timeline.get_mut(index) {
            Some(point) => Some(&mut point.verdicts),
            None if ordinal == self.operations + 1 => Some(&mut self.end),
            None => None,
        };
        if let Some(verdicts) = verdicts {
            let entry = verdicts.entry(model).or_insert(Verdict::Held);
            if *verdict > *entry {
                entry.clone_from(verdict);
            }
        }
    }

    fn count_unknown(&mut self, reason: Reason, detail: &str) {
        match self.unknown.iter_mut().find(|count| count.reason == reason) {
            Some(count) => count.count += 1,
            None => self.unknown.push(UnknownCount { reason, detail: detail.to_owned(), count: 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PlannedCount;
    use crate::verdict::Judgement;

    fn log() -> Vec<Event> {
        let counts = PlannedCount { points: 5, states: 5 };
        let address: Address = "write(a)#1".parse().expect("an address");
        vec![
            Event::Planned {
                points: 5,
                unstable: 0,
                order_varies: false,
                models: vec![(CrashModel::Kill, counts)],
                bounds: Vec::new(),
            },
            Event::Judged {
                trial: 1,
                state: String::new(),
                at: vec![(CrashModel::Kill, vec![1, 2, 4])],
                judgement: Judgement::held(),
                output: String::new(),
                litter: Default::default(),
                unjudged: Default::default(),
                look: Look::First,
            },
            Event::StrikePlanned { address: address.clone(), attempt: 1 },
            Event::Struck {
                address: address.clone(),
                attempt: 1,
                agreed: true,
                reason: None,
                detail: String::new(),
            },
            Event::StrikePlanned { address, attempt: 2 },
        ]
    }

    #[test]
    fn trials_without_an_outcome_are_unknown_in_a_log_that_has_no_end() {
        let report = Report::of_log(&log());
        let [unknown] = report.unknown.as_slice() else { panic!("{:?}", report.unknown) };
        // Two points were not judged, and one strike met its end with the run.
        assert_eq!((unknown.reason, unknown.count), (Reason::Interrupted, 3));
        assert_eq!(report.result, Outcome::Interrupted);
    }

    #[test]
    fn a_run_that_goes_on_was_not_interrupted() {
        let mut events = log();
        let report = Report::of_growing_log(&events, 7);
        assert_eq!(report.going_on_in, Some(7));
        assert!(report.explanation.contains("still goes on, in process 7"), "{report:?}");
        let [unknown] = report.unknown.as_slice() else { panic!("{:?}", report.unknown) };
        assert_eq!((unknown.detail.contains("until now"), unknown.count), (true, 3));
        events.push(Event::RunEnded { result: Outcome::Pass, explanation: String::new() });
        assert_eq!(Report::of_growing_log(&events, 7), Report::from_events(&events));
    }

    #[test]
    fn a_log_that_has_an_end_was_not_interrupted() {
        let mut events = log();
        events.push(Event::RunEnded { result: Outcome::Pass, explanation: String::new() });
        assert!(Report::of_log(&events).unknown.is_empty());
        assert_eq!(Report::of_log(&events), Report::from_events(&events));
    }
}
