//! Two runs of `explore`: findings, what could not be judged, what was covered.

use super::{Change, Direction, direction};
use killpoint_model::CrashModel;
use killpoint_model::report::{Finding, Report};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn compare(before: &Report, after: &Report, changes: &mut Vec<Change>) {
    findings(before, after, changes);
    unknown(before, after, changes);
    let gaps = |report: &Report| -> BTreeSet<String> {
        let needed = report.not_covered.iter().filter(|gap| gap.needed);
        needed.map(|gap| format!("{}: {}", gap.file, gap.reason)).collect()
    };
    let (one, other) = (gaps(before), gaps(after));
    for gap in other.difference(&one) {
        changes.push(Change::of(Direction::Worse, "not-covered", format!("new: {gap}")));
    }
    for gap in one.difference(&other) {
        changes.push(Change::of(Direction::Better, "not-covered", format!("gone: {gap}")));
    }
    coverage(before, after, changes);
}

/// By what a baseline knows them by: class, model and shape of the address.
fn by_key(report: &Report) -> BTreeMap<String, &Finding> {
    report.findings.iter().chain(&report.known).map(|it| (it.key(), it)).collect()
}

fn findings(before: &Report, after: &Report, changes: &mut Vec<Change>) {
    let (one, other) = (by_key(before), by_key(after));
    for (key, finding) in &other {
        let change = match one.get(key) {
            None => Change::of(
                Direction::Worse,
                "finding",
                format!(
                    "new: {} {} under {}: {}",
                    finding.class, finding.shown, finding.model, finding.detail
                ),
            ),
            Some(known) if known.points != finding.points => Change::of(
                Direction::Different,
                "finding",
                format!(
                    "{} {} under {}: at {} of {} points, now at {} of {}",
                    finding.class,
                    finding.shown,
                    finding.model,
                    known.points,
                    known.points_of,
                    finding.points,
                    finding.points_of
                ),
            ),
            Some(_) => Change::of(
                Direction::Same,
                "finding",
                format!("{} {} under {}", finding.class, finding.shown, finding.model),
            ),
        };
        changes.push(change);
    }
    let asked: BTreeSet<CrashModel> = after.models.keys().copied().collect();
    for (key, finding) in &one {
        if other.contains_key(key) {
            continue;
        }
        let what = format!("{} {} under {}", finding.class, finding.shown, finding.model);
        // What is no longer asked for is not mended.
        changes.push(match asked.contains(&finding.model) {
            true => Change::of(Direction::Better, "finding", format!("gone: {what}")),
            false => {
                let detail = format!("not looked for any more: {what}");
                Change::of(Direction::Different, "finding", detail)
            }
        });
    }
}

fn unknown(before: &Report, after: &Report, changes: &mut Vec<Change>) {
    let counts = |report: &Report| -> BTreeMap<String, u64> {
        report.unknown.iter().map(|it| (it.reason.to_string(), it.count)).collect()
    };
    let (one, other) = (counts(before), counts(after));
    let reasons: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    for reason in reasons {
        let (one, other) = (one.get(reason).unwrap_or(&0), other.get(reason).unwrap_or(&0));
        let detail = match one == other {
            true => format!("{reason}: {other}"),
            false => format!("{reason}: {one}, now {other}"),
        };
        changes.push(Change::of(direction(one, other), "unknown", detail));
    }
}

/// More or fewer points are another program or another question, and neither better nor worse. A model
/// that is not asked for any more makes the run say less.
fn coverage(before: &Report, after: &Report, changes: &mut Vec<Change>) {
    let mut number = |what: &str, one: u64, other: u64| {
        let (direction, detail) = match one == other {
            true => (Direction::Same, format!("{other} {what}")),
            false => (Direction::Different, format!("{one} {what}, now {other}")),
        };
        changes.push(Change::of(direction, "coverage", detail));
    };
    number("operations", before.operations, after.operations);
    number("crash points", before.points, after.points);
    number("distinct states", before.states, after.states);
    let models =
        |report: &Report| -> BTreeSet<CrashModel> { report.models.keys().copied().collect() };
    let (one, other) = (models(before), models(after));
    for model in one.difference(&other) {
        let detail = format!("{model} is not asked for any more");
        changes.push(Change::of(Direction::Worse, "coverage", detail));
    }
    for model in other.difference(&one) {
        changes.push(Change::of(
            Direction::Different,
            "coverage",
            format!("{model} is asked for, too"),
        ));
    }
}
