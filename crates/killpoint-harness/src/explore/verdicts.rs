//! The verdicts of a kill at each point: where a state that was whole turns bad, and where it is whole again; and
//! those of the loss of one file alone.

use super::judging::Judged;
use super::plan::Plan;
use crate::diagnose::Around;
use killpoint_engine::states::{StateName, Variant};
use killpoint_model::CrashModel;
use killpoint_model::operation::FileId;
use killpoint_model::report::Look;
use killpoint_model::verdict::{Class, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// A verdict, and the look that it is about.
type Outcome = (Verdict, Look);

/// What a kill at each point leaves, of those that were judged.
pub struct KillVerdicts<'a> {
    points: BTreeMap<u64, Outcome>,
    /// What was said of those points.
    details: BTreeMap<u64, &'a str>,
    stretches: Vec<Stretch>,
}

/// Points one after another that fail, between two that hold.
struct Stretch {
    before: Option<u64>,
    first: u64,
    /// Until this one they fail as the first does.
    alike: u64,
    last: u64,
    after: u64,
}

impl<'a> KillVerdicts<'a> {
    /// Those of a run.
    pub fn of(plan: &Plan, judged: &'a [Judged]) -> Self {
        let (mut points, mut details) = (BTreeMap::new(), BTreeMap::new());
        for (state, one) in plan.states.iter().zip(judged) {
            for name in state.at.iter().filter(|name| name.model == CrashModel::Kill) {
                points.insert(name.point, (one.judgement.verdict.clone(), one.look));
                details.insert(name.point, one.judgement.detail.as_str());
            }
        }
        // The control held, in which all operations are done.
        let stretches = stretches(&points, plan.operations.len() as u64 + 1);
        KillVerdicts { points, details, stretches }
    }

    /// Whether a kill at a point fails in this way.
    pub fn fails(&self, point: u64, class: Class) -> bool {
        self.points.get(&point) == Some(&(Verdict::Violated(class), Look::First))
    }

    /// Whether what is said of a state needs no more than a kill at its point, of which the same is said.
    pub fn explain(&self, name: &StateName, verdict: &Verdict, detail: &str, look: Look) -> bool {
        let Verdict::Violated(class) = *verdict else { return false };
        let alike = self.fails(name.point, class);
        match name.model {
            CrashModel::Kill => false,
            CrashModel::TornWrite => alike,
            // A power cut may show another defect of the same class: what is said of it tells.
            _ => {
                let said = self.details.get(&name.point);
                alike && look == Look::First && said == Some(&detail)
            }
        }
    }

    /// What the verdicts on either side tell of a point where a kill fails.
    pub fn around(&self, point: u64) -> Around {
        let after = self.stretches.partition_point(|stretch| stretch.first <= point);
        let stretch = after.checked_sub(1).and_then(|index| self.stretches.get(index));
        let Some(stretch) = stretch.filter(|stretch| point <= stretch.last) else {
            return Around::default();
        };
        // A failure of another kind has a cause of its own.
        let alike = point <= stretch.alike;
        Around {
            held: stretch.before,
            broke: stretch.before.filter(|_| alike).map(|before| (before, stretch.first)),
            mended: Some((stretch.last, stretch.after)),
            ..Around::default()
        }
    }
}

/// The files whose loss alone breaks a promise at a point, and how.
pub struct LostAlone {
    files: BTreeMap<(u64, Class), BTreeSet<FileId>>,
}

impl LostAlone {
    /// Those of a run.
    pub fn of(plan: &Plan, judged: &[Judged]) -> Self {
        let mut files: BTreeMap<_, BTreeSet<FileId>> = BTreeMap::new();
        for (state, one) in plan.states.iter().zip(judged) {
            let Verdict::Violated(class) = one.judgement.verdict else { continue };
            for name in state.at.iter().filter(|_| one.look == Look::First) {
                if let Variant::File(file) = name.variant {
                    files.entry((name.point, class)).or_default().insert(FileId(file));
                }
            }
        }
        LostAlone { files }
    }

    /// The only file whose loss alone breaks a promise so at a point.
    pub fn only(&self, point: u64, class: Class) -> Option<FileId> {
        let files = self.files.get(&(point, class)).filter(|files| files.len() == 1)?;
        files.first().copied()
    }
}

fn stretches(points: &BTreeMap<u64, Outcome>, end: u64) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut held = None;
    let mut open: Option<(Stretch, &Outcome)> = None;
    for (point, outcome) in points {
        match outcome.0 {
            Verdict::Held => {
                stretches.extend(open.take().map(|(open, _)| Stretch { after: *point, ..open }));
                held = Some(*point);
            }
            Verdict::Unknown(_) => {}
            Verdict::Violated(_) => {
                let (first, alike, last) = (*point, *point, *point);
                let begun = || (Stretch { before: held, first, alike, last, after: end }, outcome);
                let (open, of_first) = open.get_or_insert_with(begun);
                if outcome == *of_first && open.alike == open.last {
                    open.alike = *point;
                }
                open.last = *point;
            }
        }
    }
    stretches.extend(open.map(|(open, _)| open));
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;
    use killpoint_model::Reason;

    #[test]
    fn what_a_kill_shows_alike_needs_no_power_cut() {
        let lost = Verdict::Violated(Class::Lost);
        let kills = KillVerdicts {
            points: BTreeMap::from([(1, (Verdict::Held, Look::First)), (2, (lost, Look::First))]),
            details: BTreeMap::from([(1, ""), (2, "key a is gone")]),
            stretches: Vec::new(),
        };
        let explained = |point, model, class, detail| {
            let name = StateName { point, model, variant: Variant::Only };
            kills.explain(&name, &Verdict::Violated(class), detail, Look::First)
        };
        let alike = "key a is gone";
        assert!(explained(2, CrashModel::Data, Class::Lost, alike));
        assert!(explained(2, CrashModel::TornWrite, Class::Lost, "key b is gone"));
        // Another key, another kind of failure, and a point at which a kill does no harm.
        assert!(!explained(2, CrashModel::Data, Class::Lost, "key b is gone"));
        assert!(!explained(2, CrashModel::Data, Class::Torn, alike));
        assert!(!explained(1, CrashModel::Data, Class::Lost, alike));
    }

    #[test]
    fn a_stretch_of_failures_lies_between_the_points_that_hold() {
        let lost = Verdict::Violated(Class::Lost);
        let torn = Verdict::Violated(Class::Torn);
        let unknown = Verdict::Unknown(Reason::JudgeFailed);
        let held = Verdict::Held;
        let verdicts = [&held, &unknown, &lost, &lost, &torn, &lost, &held, &torn];
        let points = (1..).zip(verdicts.map(|verdict| (verdict.clone(), Look::First))).collect();
        let stretches = stretches(&points, 9);
        let kills = KillVerdicts { points, details: BTreeMap::new(), stretches };
        let told = |point| {
            let around = kills.around(point);
            (around.held, around.broke, around.mended)
        };
        for (point, expected) in [
            (1, (None, None, None)),
            (3, (Some(1), Some((1, 3)), Some((6, 7)))),
            (4, (Some(1), Some((1, 3)), Some((6, 7)))),
            (5, (Some(1), None, Some((6, 7)))),
            (6, (Some(1), None, Some((6, 7)))),
            (8, (Some(7), Some((7, 8)), Some((8, 9)))),
        ] {
            assert_eq!(told(point), expected, "{point}");
        }
    }
}
