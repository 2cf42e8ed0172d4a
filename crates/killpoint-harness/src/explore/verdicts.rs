//! The verdicts of a kill at each point: where a state that was whole turns bad, and where it is whole again.

use super::judging::Judged;
use super::plan::Plan;
use crate::diagnose::Around;
use killpoint_model::CrashModel;
use killpoint_model::report::Look;
use killpoint_model::verdict::{Class, Verdict};
use std::collections::BTreeMap;

/// A verdict, and the look that it is about.
type Outcome = (Verdict, Look);

/// What a kill at each point leaves, of those that were judged.
pub struct KillVerdicts {
    points: BTreeMap<u64, Outcome>,
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

impl KillVerdicts {
    /// Those of a run.
    pub fn of(plan: &Plan, judged: &[Judged]) -> Self {
        let mut points = BTreeMap::new();
        for (state, one) in plan.states.iter().zip(judged) {
            let killed = state.at.iter().filter(|name| name.model == CrashModel::Kill);
            points
                .extend(killed.map(|name| (name.point, (one.judgement.verdict.clone(), one.look))));
        }
        // The control held, in which all operations are done.
        let stretches = stretches(&points, plan.operations.len() as u64 + 1);
        KillVerdicts { points, stretches }
    }

    /// Whether a kill at a point fails in this way.
    pub fn fails(&self, point: u64, class: Class) -> bool {
        self.points.get(&point) == Some(&(Verdict::Violated(class), Look::First))
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
        }
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
    fn a_stretch_of_failures_lies_between_the_points_that_hold() {
        let lost = Verdict::Violated(Class::Lost);
        let torn = Verdict::Violated(Class::Torn);
        let unknown = Verdict::Unknown(Reason::JudgeFailed);
        let held = Verdict::Held;
        let verdicts = [&held, &unknown, &lost, &lost, &torn, &lost, &held, &torn];
        let points = (1..).zip(verdicts.map(|verdict| (verdict.clone(), Look::First))).collect();
        let stretches = stretches(&points, 9);
        let kills = KillVerdicts { points, stretches };
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
