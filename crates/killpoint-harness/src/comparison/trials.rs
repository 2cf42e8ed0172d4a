//! Two runs of a scenario: verdicts by rule, times to recover, objectives.

use super::{Change, Direction, direction};
use killpoint_model::objective::{Distribution, Measurement, NOT_READ_BACK};
use killpoint_model::report::{CampaignReport, TrialReport};
use killpoint_model::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};

/// Times that differ by less than this share are the same.
const TIME_SHARE_MIN: f64 = 0.2;
/// Times that differ by less than this are the same, too, microseconds.
const TIME_DIFFERENCE_US_MIN: u64 = 5_000;
/// With fewer recoveries on either side times are shown, and not judged.
const RECOVERIES_MIN: u64 = 5;

pub(super) fn compare(before: &CampaignReport, after: &CampaignReport, changes: &mut Vec<Change>) {
    if before.digest != after.digest {
        let detail = "the plans differ (another seed, tier or version of the scenario): trials are \
                      compared by their rules";
        changes.push(Change::of(Direction::Different, "plan", detail));
    }
    verdicts(before, after, changes);
    lost(before, after, changes);
    recoveries(before, after, changes);
    objectives(before, after, changes);
    let detail = match before.restarts == after.restarts {
        true => format!("{} restarts", after.restarts),
        false => format!("{} restarts, now {}", before.restarts, after.restarts),
    };
    let is_same = before.restarts == after.restarts;
    let direction = if is_same { Direction::Same } else { Direction::Different };
    changes.push(Change::of(direction, "restarts", detail));
}

fn objectives(before: &CampaignReport, after: &CampaignReport, changes: &mut Vec<Change>) {
    for now in after.objectives.iter().filter(|it| it.wanted.is_some()) {
        let was = before.objectives.iter().find(|it| it.objective == now.objective);
        let Measurement { objective, measured, .. } = now;
        let (was_missed, is_missed) = (was.is_some_and(Measurement::is_missed), now.is_missed());
        let was_shown = was.map_or("not there", |was| was.measured.as_str());
        let wanted = now.wanted.as_deref().unwrap_or_default();
        let (direction, detail) = match (was_missed, is_missed) {
            (false, true) => (Direction::Worse, format!("{objective} is missed now: ")),
            (true, false) => (Direction::Better, format!("{objective} is not missed any more: ")),
            (true, true) => (Direction::Same, format!("{objective} is missed still: ")),
            (false, false) => (Direction::Same, format!("{objective}: ")),
        };
        let detail = format!("{detail}{was_shown}, now {measured}; {wanted} is wanted");
        changes.push(Change::of(direction, "objective", detail));
    }
}

/// The trials without what was done again because of their verdicts: that would count a failure as often
/// as it was looked at.
fn first_tries(report: &CampaignReport) -> impl Iterator<Item = &TrialReport> {
    report.trials.iter().filter(|trial| trial.rerun_of.is_none())
}

/// How many of how many trials of a rule had each verdict.
fn by_rule(report: &CampaignReport) -> BTreeMap<&str, (u64, BTreeMap<String, u64>)> {
    let mut rules: BTreeMap<&str, (u64, BTreeMap<String, u64>)> = BTreeMap::new();
    for TrialReport { trial, rule, judgement, .. } in first_tries(report) {
        let rule = if *trial == 0 { "the control" } else { rule.as_str() };
        let (count, verdicts) = rules.entry(rule).or_default();
        *count += 1;
        if judgement.verdict != Verdict::Held {
            *verdicts.entry(judgement.verdict.to_string()).or_default() += 1;
        }
    }
    rules
}

fn verdicts(before: &CampaignReport, after: &CampaignReport, changes: &mut Vec<Change>) {
    let (one, other) = (by_rule(before), by_rule(after));
    for (rule, (count, verdicts)) in &other {
        let Some((count_before, verdicts_before)) = one.get(rule) else {
            let detail = format!("{rule}: new, {}", shown(verdicts, *count));
            changes.push(Change::of(of_new(verdicts), "verdicts", detail));
            continue;
        };
        let names: BTreeSet<&String> = verdicts.keys().chain(verdicts_before.keys()).collect();
        if names.is_empty() {
            let detail = format!("{rule}: held {count} of {count}");
            changes.push(Change::of(Direction::Same, "verdicts", detail));
        }
        for name in names {
            let here = |map: &BTreeMap<String, u64>| map.get(name).copied().unwrap_or(0);
            let (was, is) = (here(verdicts_before), here(verdicts));
            // Shares, by multiplication: the runs need not have the same number of trials.
            let direction = direction(was * count, is * count_before);
            let detail = format!("{rule}: {name} {was} of {count_before}, now {is} of {count}");
            changes.push(Change::of(direction, "verdicts", detail));
        }
    }
    for rule in one.keys().filter(|rule| !other.contains_key(*rule)) {
        let detail = format!("{rule}: has no trials any more");
        changes.push(Change::of(Direction::Worse, "coverage", detail));
    }
}

fn of_new(verdicts: &BTreeMap<String, u64>) -> Direction {
    if verdicts.is_empty() { Direction::Different } else { Direction::Worse }
}

fn shown(verdicts: &BTreeMap<String, u64>, count: u64) -> String {
    let parts = verdicts.iter().map(|(name, number)| format!("{name} {number} of {count}"));
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { format!("held {count} of {count}") } else { parts.join(", ") }
}

fn lost(before: &CampaignReport, after: &CampaignReport, changes: &mut Vec<Change>) {
    let is_unread =
        |report: &CampaignReport| report.objectives.iter().any(|it| it.measured == NOT_READ_BACK);
    if is_unread(before) || is_unread(after) {
        return;
    }
    let sum = |report: &CampaignReport| -> u64 {
        first_tries(report).map(|trial| trial.judgement.keys_lost).sum()
    };
    let (one, other) = (sum(before), sum(after));
    let detail = match one == other {
        true => format!("{other} acknowledged values lost"),
        false => format!("{one} acknowledged values lost, now {other}"),
    };
    changes.push(Change::of(direction(one, other), "data-loss", detail));
}

fn recoveries(before: &CampaignReport, after: &CampaignReport, changes: &mut Vec<Change>) {
    let times = |report: &CampaignReport| {
        Distribution::of(report.recoveries_us.iter().map(|(_, good)| *good)).unwrap_or_default()
    };
    let (one, other) = (times(before), times(after));
    if one.count == 0 && other.count == 0 {
        return;
    }
    let are_few = one.count < RECOVERIES_MIN || other.count < RECOVERIES_MIN;
    let rows =
        [("p50", one.p50, other.p50), ("p95", one.p95, other.p95), ("max", one.max, other.max)];
    for (name, was, is) in rows {
        let difference = was.abs_diff(is);
        let is_small = difference < TIME_DIFFERENCE_US_MIN
            || (difference as f64) < was as f64 * TIME_SHARE_MIN;
        let direction = match (are_few, is_small) {
            (_, true) => Direction::Same,
            (true, false) => Direction::Different,
            // The greatest of several is a matter of luck, and not judged.
            (false, false) if name == "max" => Direction::Different,
            (false, false) => direction(was, is),
        };
        let ms = |us: u64| us.div_ceil(1_000);
        let detail =
            format!("{name} {} ms of {}, now {} ms of {}", ms(was), one.count, ms(is), other.count);
        changes.push(Change::of(direction, "recovery-time", detail));
    }
}
