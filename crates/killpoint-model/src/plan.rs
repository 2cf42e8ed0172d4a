//! Plans: every trial of a scenario with its numbers drawn. A pure function of the scenario, the seed
//! and the addresses of a recording; nothing is drawn after it.

mod attached;
mod points;
mod start_limits;

pub use attached::{AttachedPlan, StableIdentity};
pub use points::{CrashPoints, POINTS_PER_RULE_MAX};

use crate::address::Address;
use crate::fault::Fault;
use crate::nonsense::Nonsense;
use crate::phase::Phase;
use crate::scenario::{FaultRule, Scenario};
use crate::seed::{Generator, Seed};
use crate::selector::Who;
use crate::span::Span;
use crate::trigger::{Points, Range, Trigger};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of the format.
pub const PLAN_VERSION: u32 = 2;
/// Most trials of a plan.
pub const TRIALS_MAX: usize = 1_000_000;
/// Most strikes of one trial.
pub const STRIKES_PER_TRIAL_MAX: usize = 100_000;

/// What a run will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of the format.
    pub version: u32,
    /// BLAKE3 of everything else in it, hexadecimal: see [`Plan::computed_digest`].
    pub digest: String,
    /// The seed, with its generator's name.
    pub seed: String,
    /// The scenario with its variables filled in.
    pub scenario: Scenario,
    /// What was recorded, where the plan needed it.
    #[serde(default, skip_serializing_if = "CrashPoints::is_empty")]
    pub points: CrashPoints,
    /// The trials but the control.
    pub trials: Vec<PlannedTrial>,
}

/// One trial: the target is started anew, and struck.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedTrial {
    /// Which, from 1; the control is 0.
    pub ordinal: u64,
    /// The rule that it is made from.
    pub rule: String,
    /// The strikes, in order.
    pub strikes: Vec<PlannedStrike>,
}

/// One strike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedStrike {
    /// When.
    pub when: Moment,
    /// What.
    pub fault: Fault,
    /// Whom.
    pub who: Who,
    /// From which the pick among the selected processes is drawn.
    pub pick: Seed,
}

/// When a strike is carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// So long after the workload started, or after the target came back from the strike before.
    After(Span),
    /// So long after the workload started.
    At(Span),
    /// When something happens.
    When(Trigger),
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::After(span) => write!(f, "after {span}"),
            Moment::At(span) => write!(f, "at {span}"),
            Moment::When(trigger) => trigger.fmt(f),
        }
    }
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The scenario makes no sense.
    #[error(transparent)]
    Scenario(#[from] Nonsense),
    /// More than can be carried out.
    #[error("rule {rule}: {what}; make its duration or its trials smaller")]
    TooMuch {
        /// The rule.
        rule: String,
        /// Of what.
        what: String,
    },
    /// A plan that was changed after it was made.
    #[error("the plan was changed: its digest is {computed}, and it says {written}")]
    Changed {
        /// As it is.
        computed: String,
        /// As it says.
        written: String,
    },
    /// A plan of another version.
    #[error("version {0} of a plan; this killpoint reads {PLAN_VERSION}")]
    Version(u32),
}

impl Plan {
    /// Plans a scenario. `points` are those of a recording; a rule that needs them and gets
    /// none has no trials.
    ///
    /// # Errors
    /// If the scenario makes no sense, or asks for more than the bounds allow.
    pub fn make(scenario: Scenario, points: CrashPoints) -> Result<Plan, PlanError> {
        scenario.validate()?;
        let seed = scenario.seed;
        let mut trials = Vec::new();
        for (index, rule) in scenario.faults.iter().enumerate() {
            let name = scenario.rule_name(index);
            let too_much = |what: String| PlanError::TooMuch { rule: name.clone(), what };
            let (points, _) = points::points_of(&scenario, index, &points);
            let count = match rule.when {
                Trigger::Points(Points::All) => points.len().saturating_mul(rule.trials as usize),
                _ => rule.trials as usize,
            };
            for number in 0..count {
                if trials.len() >= TRIALS_MAX {
                    return Err(too_much(format!("more than {TRIALS_MAX} trials")));
                }
                // Each trial has a stream of its own, so that a rule that is added or made longer
                // changes nothing in the others.
                let mut generator = Generator::named(seed, &format!("{name}/{}", number + 1));
                let strikes = strikes(rule, &points, number, &mut generator).ok_or_else(|| {
                    too_much(format!("more than {STRIKES_PER_TRIAL_MAX} strikes"))
                })?;
                if !strikes.is_empty() {
                    let ordinal = trials.len() as u64 + 1;
                    trials.push(PlannedTrial { ordinal, rule: name.clone(), strikes });
                }
            }
        }
        let mut plan = Plan {
            version: PLAN_VERSION,
            digest: String::new(),
            seed: seed.to_string(),
            scenario,
            points,
            trials,
        };
        plan.digest = plan.computed_digest();
        Ok(plan)
    }

    /// The digest that the plan must have: of its canonical JSON without the digest. Numbers of
    /// processes and times of day are not in a plan, so they change nothing.
    pub fn computed_digest(&self) -> String {
        let bare = Plan { digest: String::new(), ..self.clone() };
        let text = serde_json::to_vec(&bare).expect("a plan is plain data with text keys");
        blake3::hash(&text).to_hex().to_string()
    }

    /// Whether the plan is as it was made.
    ///
    /// # Errors
    /// If it is of another version, was changed, or its scenario makes no sense.
    pub fn verify(&self) -> Result<(), PlanError> {
        if self.version != PLAN_VERSION {
            return Err(PlanError::Version(self.version));
        }
        let computed = self.computed_digest();
        if computed != self.digest {
            return Err(PlanError::Changed { computed, written: self.digest.clone() });
        }
        Ok(self.scenario.validate()?)
    }

    /// How many strikes there are in all.
    pub fn strikes(&self) -> usize {
        self.trials.iter().map(|trial| trial.strikes.len()).sum()
    }

    /// Whether the target has to be recorded before it can be struck.
    pub fn awaits_recording(&self) -> bool {
        self.points.is_empty() && self.scenario.strikes_at_calls()
    }

    /// What is to be said of it, in words: of the recording, of crash points that a bound leaves out, and
    /// of start limits that the strikes alone can use up.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = self.points.remarks.clone();
        remarks.extend(self.left_out());
        remarks.extend(self.used_up());
        remarks
    }

    /// Crash points that a bound leaves out, one text for each rule.
    fn left_out(&self) -> Vec<String> {
        let rules = 0..self.scenario.faults.len();
        rules
            .filter_map(|index| {
                let (points, all) = points::points_of(&self.scenario, index, &self.points);
                let name = self.scenario.rule_name(index);
                (points.len() < all)
                    .then(|| format!("{name}: {} of {all} crash points, drawn", points.len()))
            })
            .collect()
    }

    /// Rules that need a recording and have no trials without one.
    pub fn unplanned(&self) -> Vec<String> {
        let rules = self.scenario.faults.iter().enumerate();
        rules
            .map(|(index, _)| self.scenario.rule_name(index))
            .filter(|name| self.trials.iter().all(|trial| trial.rule != *name))
            .collect()
    }
}

/// The strikes of one trial of a rule; none if they are too many.
fn strikes(
    rule: &FaultRule,
    points: &[Address],
    number: usize,
    generator: &mut Generator,
) -> Option<Vec<PlannedStrike>> {
    let moments = match (&rule.when, rule.duration) {
        (Trigger::Interval(range), None) => vec![Moment::After(draw(*range, generator))],
        (Trigger::Interval(range), Some(duration)) => repeated(*range, duration, generator)?,
        (Trigger::At(times), _) => times.all().iter().map(|time| Moment::At(*time)).collect(),
        (Trigger::Points(Points::All), _) => {
            let point = points.get(number % points.len().max(1));
            point.map(|point| Moment::When(Trigger::Point(point.clone()))).into_iter().collect()
        }
        (Trigger::Points(Points::Any), _) if points.is_empty() => Vec::new(),
        (Trigger::Points(Points::Any), _) => {
            let drawn = &points[generator.below(points.len() as u64) as usize];
            vec![Moment::When(Trigger::Point(drawn.clone()))]
        }
        (trigger, _) => vec![Moment::When(trigger.clone())],
    };
    let mut strikes = crash_before(rule);
    for when in moments {
        let (fault, who) = (rule.r#do.clone(), rule.who.clone());
        strikes.push(PlannedStrike { when, fault, who, pick: Seed(generator.draw()) });
    }
    Some(strikes)
}

/// A recovery needs a crash to recover from: a kill of every process, as soon as the workload is at
/// work.
fn crash_before(rule: &FaultRule) -> Vec<PlannedStrike> {
    if rule.when != Trigger::Phase(Phase::Recovery) {
        return Vec::new();
    }
    vec![PlannedStrike {
        when: Moment::When(Trigger::Phase(Phase::Work)),
        fault: Fault::Kill,
        who: Who::default(),
        // It picks all of them.
        pick: Seed(0),
    }]
}

fn draw(range: Range, generator: &mut Generator) -> Span {
    let (shortest, longest) = (range.shortest.as_ms(), range.longest.as_ms());
    Span::from_ms(shortest + generator.below((longest - shortest).saturating_add(1)))
}

/// Waits until their sum exceeds the duration.
fn repeated(range: Range, duration: Span, generator: &mut Generator) -> Option<Vec<Moment>> {
    let mut moments = Vec::new();
    let mut sum = 0_u64;
    loop {
        let wait = draw(range, generator);
        sum = sum.saturating_add(wait.as_ms());
        if sum > duration.as_ms() {
            return Some(moments);
        }
        if moments.len() >= STRIKES_PER_TRIAL_MAX {
            return None;
        }
        moments.push(Moment::After(wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::tests::{NOTES, read};

    fn plan(text: &str, points: &[&str]) -> Plan {
        let addresses = points.iter().map(|point| point.parse().expect("an address")).collect();
        let points = CrashPoints { addresses, ..CrashPoints::default() };
        Plan::make(read(text), points).expect("a plan")
    }

    fn times(plan: &Plan, rule: &str) -> Vec<Vec<u64>> {
        let of_rule = plan.trials.iter().filter(|trial| trial.rule == rule);
        let times = of_rule.map(|trial| {
            let ms = trial.strikes.iter().map(|strike| match &strike.when {
                Moment::After(span) | Moment::At(span) => span.as_ms(),
                Moment::When(_) => 0,
            });
            ms.collect()
        });
        times.collect()
    }

    #[test]
    fn the_plan_of_a_seed_is_the_golden_one() {
        let plan = plan(NOTES, &[]);
        assert_eq!(plan.seed, "cc8-v1:7");
        assert_eq!(times(&plan, "worker"), GOLDEN_WORKER);
        assert_eq!(times(&plan, "fault-2"), [GOLDEN_REPEATED]);
        assert_eq!(times(&plan, "fault-3"), [[1_000, 2_000]]);
        assert_eq!(plan.trials[0].strikes[0].pick, Seed(GOLDEN_PICK));
        assert_eq!(plan.digest, GOLDEN_DIGEST);
    }

    #[test]
    fn another_rule_or_a_longer_one_changes_nothing_in_the_others() {
        let one = plan(NOTES, &[]);
        let more = plan(&NOTES.replace("\"trials\": 3", "\"trials\": 5"), &[]);
        assert_eq!(times(&more, "worker")[..3], times(&one, "worker"));
        assert_eq!(times(&more, "fault-2"), times(&one, "fault-2"));
        assert_ne!(more.digest, one.digest);
    }

    #[test]
    fn another_seed_is_another_plan_and_the_same_seed_the_same() {
        let other = plan(&NOTES.replace("\"seed\": 7", "\"seed\": 8"), &[]);
        assert_ne!(times(&other, "worker"), times(&plan(NOTES, &[]), "worker"));
        assert_eq!(plan(NOTES, &[]), plan(NOTES, &[]));
    }

    #[test]
    fn every_time_lies_in_its_range_and_no_sum_exceeds_the_duration() {
        for seed in 0..200 {
            let plan = plan(&NOTES.replace("\"seed\": 7", &format!("\"seed\": {seed}")), &[]);
            for waits in times(&plan, "worker") {
                assert!(waits.iter().all(|ms| (100..=900).contains(ms)), "{waits:?}");
            }
            let waits = &times(&plan, "fault-2")[0];
            assert!(waits.iter().all(|ms| (1_000..=2_000).contains(ms)), "{waits:?}");
            assert!(waits.iter().sum::<u64>() <= 10_000 && waits.len() >= 5, "{waits:?}");
        }
    }

    #[test]
    fn every_point_is_a_trial_and_without_a_recording_there_are_none() {
        let text = NOTES.replace(r#"{"at": ["1s", "2s"]}"#, r#"{"points": "all"}"#);
        let with = plan(&text, &["write(a)#1", "fsync(a)#1"]);
        let at: Vec<String> = with
            .trials
            .iter()
            .filter(|trial| trial.rule == "fault-3")
            .map(|trial| trial.strikes[0].when.to_string())
            .collect();
        assert_eq!(at, ["at write(a)#1", "at fsync(a)#1"]);
        assert_eq!(plan(&text, &[]).unplanned(), ["fault-3"]);
    }

    fn planned(text: &str, points: &[&str]) -> Vec<String> {
        let plan = plan(text, points);
        let trials = plan.trials.iter().filter(|trial| trial.rule == "fault-3");
        trials.map(|trial| trial.strikes[0].when.to_string()).collect()
    }

    #[test]
    fn only_calls_of_the_named_role_and_of_a_kind_that_fits_are_struck() {
        let points = ["write(a)#1", "write(a)#1@worker", "unlink(a)#1@worker", "fsync(a)#1"];
        let text = NOTES.replace(r#"{"at": ["1s", "2s"]}"#, r#"{"points": "all"}"#);
        assert_eq!(planned(&text, &points).len(), 4);
        let short = text.replace(r#""do": "terminate""#, r#""do": {"short-write": 7}"#);
        assert_eq!(planned(&short, &points), ["at write(a)#1", "at write(a)#1@worker"]);
        let full = text.replace(
            r#""do": "terminate""#,
            r#""do": {"fail": "ENOSPC"}, "who": {"role": "worker"}"#,
        );
        assert_eq!(planned(&full, &points), ["at write(a)#1@worker"]);
        let slow = text.replace(r#""do": "terminate""#, r#""do": {"fail": "EIO"}"#);
        assert_eq!(planned(&slow, &points).len(), 4);
    }

    #[test]
    fn a_strike_in_the_recovery_comes_after_a_crash() {
        let text = NOTES.replace(r#"{"at": ["1s", "2s"]}"#, r#"{"phase": "recovery"}"#);
        let plan = plan(&text, &[]);
        let trial = plan.trials.iter().find(|trial| trial.rule == "fault-3").expect("planned");
        let shown: Vec<String> =
            trial.strikes.iter().map(|it| format!("{} {}", it.when, it.fault)).collect();
        assert_eq!(shown, ["in phase work kill", "in phase recovery terminate"]);
    }

    #[test]
    fn more_points_than_the_bound_are_drawn_and_said() {
        let points: Vec<String> = (1..=2_000).map(|it| format!("write(a)#{it}")).collect();
        let points: Vec<&str> = points.iter().map(String::as_str).collect();
        let text = NOTES.replace(r#"{"at": ["1s", "2s"]}"#, r#"{"points": "all"}"#);
        assert_eq!(planned(&text, &points).len(), POINTS_PER_RULE_MAX);
        assert_eq!(planned(&text, &points), planned(&text, &points));
        let left_out = plan(&text, &points).left_out();
        assert_eq!(left_out, ["fault-3: 500 of 2000 crash points, drawn"]);
        assert!(plan(&text, &points[..500]).left_out().is_empty());
    }

    #[test]
    fn a_changed_plan_is_refused() {
        let whole = plan(NOTES, &[]);
        let text = serde_json::to_string(&whole).expect("plain data");
        let read: Plan = serde_json::from_str(&text).expect("our own format");
        assert_eq!(read.verify(), Ok(()));
        let changed = Plan { trials: Vec::new(), ..read };
        assert!(matches!(changed.verify(), Err(PlanError::Changed { .. })));
    }

    #[test]
    fn what_exceeds_a_bound_is_refused() {
        let text = NOTES
            .replace(r#""interval": "1s..2s""#, r#""interval": "1ms..1ms""#)
            .replace(r#""duration": "10s""#, r#""duration": "1h""#);
        let error = Plan::make(read(&text), CrashPoints::default()).expect_err("too many strikes");
        assert!(error.to_string().starts_with("rule fault-2: more than 100000 strikes"), "{error}");
    }

    // Computed by another program from the raw stream of ChaCha8.
    const GOLDEN_WORKER: [[u64; 1]; 3] = [[851], [700], [592]];
    const GOLDEN_REPEATED: [u64; 7] = [1_085, 1_681, 1_125, 1_765, 1_350, 1_131, 1_244];
    const GOLDEN_PICK: u64 = 0x728a_33ae_0814_8027;
    const GOLDEN_DIGEST: &str = "dec7632a9c5e69d862040aaaf1c7f944aa174fc474e076b1c44b02fdc2fdbf40";
}
