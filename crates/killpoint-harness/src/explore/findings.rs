//! Findings: violated states that show one defect are one finding.

use super::judging::Judged;
use super::options::Options;
use super::plan::{Plan, State};
use super::problem::ExploreError;
use super::recordings::Recorded;
use super::sight::Sight;
use super::verdicts::{KillVerdicts, LostAlone};
use crate::asserter::checker::Expectation;
use crate::baseline::{self, BaselineError};
use crate::diagnose::{
    Around, Cause, Diagnosis, Failure, History, diagnose, diagnose_rerun, diagnose_second,
};
use crate::environment::local::Local;
use killpoint_engine::states::StateName;
use killpoint_model::address::{role_suffix, shape};
use killpoint_model::operation::FileId;
use killpoint_model::report::{Finding, Look, Report};
use killpoint_model::verdict::{Class, Judgement, Verdict};
use killpoint_model::{Address, CrashModel};
use std::collections::{BTreeMap, BTreeSet};

/// Violated states that show one defect.
#[derive(Clone, Debug)]
pub struct Defect {
    /// Why and how to mend it.
    pub diagnosis: Diagnosis,
    /// How the promise is broken.
    pub class: Class,
    /// At which look it shows.
    pub look: Look,
    /// The mildest model that shows it.
    pub model: CrashModel,
    /// Every model that shows it.
    pub models: BTreeSet<CrashModel>,
    /// The points that show it under [`Defect::model`].
    pub points: BTreeSet<u64>,
    /// Index in the plan of the state that is shown and confirmed, and its name there.
    pub example: (usize, StateName),
}

/// Gathers the violated states of a run into defects, in order of model and point.
pub fn group(sight: Sight<'_>, judged: &[Judged]) -> Result<Vec<Defect>, ExploreError> {
    let Sight { local, recorded, plan, .. } = sight;
    let causes = Causes {
        sight,
        history: history(local, recorded, plan)?,
        kills: KillVerdicts::of(plan, judged),
        lost_alone: LostAlone::of(plan, judged),
    };
    let mut defects: BTreeMap<(Look, Class, Cause, String), Defect> = BTreeMap::new();
    for (index, (state, one)) in plan.states.iter().zip(judged).enumerate() {
        let Verdict::Violated(class) = one.judgement.verdict else { continue };
        let mut after_power_loss = BTreeMap::new();
        for name in &state.at {
            let diagnosis = match causes.needs_power_loss(name, one) {
                true => {
                    let once = || causes.of_power_loss(state, name.model, class, one);
                    after_power_loss.entry(name.model).or_insert_with(once).clone()
                }
                false => causes.of_kill(name, class, one),
            };
            let key = (one.look, class, diagnosis.cause, diagnosis.group.clone());
            let defect = defects.entry(key).or_insert_with(|| Defect {
                diagnosis: diagnosis.clone(),
                class,
                look: one.look,
                model: name.model,
                models: BTreeSet::new(),
                points: BTreeSet::new(),
                example: (index, name.clone()),
            });
            defect.add(index, name, diagnosis, sight, judged);
        }
    }
    let mut defects: Vec<Defect> = defects.into_values().collect();
    defects.sort_by_key(|defect| (defect.model, defect.example.1.point));
    Ok(defects)
}

/// What the causes of violated states are read off.
struct Causes<'a> {
    sight: Sight<'a>,
    history: History,
    kills: KillVerdicts<'a>,
    lost_alone: LostAlone,
}

impl Causes<'_> {
    /// Whether a state is bad for a loss of power: what a kill at the same point breaks as well, no torn write and
    /// no power cut is needed for.
    fn needs_power_loss(&self, name: &StateName, one: &Judged) -> bool {
        let Judgement { verdict, detail, .. } = &one.judgement;
        name.model.is_power_loss() && !self.kills.explain(name, verdict, detail, one.look)
    }

    /// The cause of what a kill leaves at a point.
    fn of_kill(&self, name: &StateName, class: Class, one: &Judged) -> Diagnosis {
        let Judgement { verdict, detail, .. } = &one.judgement;
        let model = match self.kills.explain(name, verdict, detail, one.look) {
            true => CrashModel::Kill,
            false => name.model,
        };
        let around = match model {
            CrashModel::Kill => self.kills.around(name.point),
            _ => Around { lost_alone: self.lost_alone_at(name.point, class), ..Around::default() },
        };
        self.explain(&StateName { model, ..name.clone() }, class, around, one)
    }

    /// The cause of what a model of a power cut leaves, where it first does so and no kill does, at an address that every
    /// recording has if there is one: what it leaves again later, with nothing more promised, is the same loss.
    fn of_power_loss(
        &self,
        state: &State,
        model: CrashModel,
        class: Class,
        one: &Judged,
    ) -> Diagnosis {
        let Sight { recorded, plan, .. } = self.sight;
        let is_one = |name: &&StateName| name.model == model && self.needs_power_loss(name, one);
        let names = || state.at.iter().filter(is_one);
        let is_stable =
            |name: &&StateName| !recorded.unstable.contains(&address_at(plan, name.point));
        let name = names().find(is_stable).or_else(|| names().next()).unwrap_or(&state.name);
        let lost_alone = names().find_map(|name| self.lost_alone_at(name.point, class));
        self.explain(name, class, Around { lost_alone, ..Around::default() }, one)
    }

    /// The only file whose loss alone breaks the promise. Where a kill fails so, it is not what breaks it.
    fn lost_alone_at(&self, point: u64, class: Class) -> Option<FileId> {
        self.lost_alone.only(point, class).filter(|_| !self.kills.fails(point, class))
    }

    fn explain(&self, name: &StateName, class: Class, around: Around, one: &Judged) -> Diagnosis {
        let StateName { point, model, ref variant } = *name;
        let said = match self.sight.recorded.expectation {
            Expectation::BuiltIn => one.judgement.detail.as_str(),
            _ => "",
        };
        let failure = Failure { point, model, variant, class, around, said };
        match one.look {
            Look::First => diagnose(&self.history, &failure),
            Look::Second => diagnose_second(&self.history, &failure),
            Look::RunAgain => diagnose_rerun(&self.history, &failure),
        }
    }
}

/// The operations as whoever explains needs them.
///
/// # Errors
/// If the initial state cannot be read.
pub fn history(local: &Local, recorded: &Recorded, plan: &Plan) -> Result<History, ExploreError> {
    let mut history = History::default()
        .with_initial(&super::plan::initial_image(local)?)
        .with_databases(plan.databases.clone())
        .with_acknowledgements(recorded.journal.acknowledgement_ends());
    if let [root] = local.roots.as_slice() {
        let name = root.path.file_name().unwrap_or_default().to_string_lossy();
        history = history.with_directory(&name);
    }
    plan.operations.iter().for_each(|operation| history.push(operation));
    Ok(history)
}

impl Defect {
    /// How the state that is shown is rebuilt: as the first of all that are equal, which is the one that was
    /// judged. A live kill strikes at the example itself.
    pub fn rebuilt<'a>(&self, plan: &'a Plan) -> &'a StateName {
        &plan.states[self.example.0].name
    }

    fn add(
        &mut self,
        index: usize,
        name: &StateName,
        diagnosis: Diagnosis,
        sight: Sight<'_>,
        judged: &[Judged],
    ) {
        self.models.insert(name.model);
        if name.model < self.model {
            self.model = name.model;
            self.points.clear();
            self.example = (index, name.clone());
            self.diagnosis = diagnosis;
        } else if name.model == self.model && self.is_better(index, name, sight, judged) {
            self.example = (index, name.clone());
            self.diagnosis = diagnosis;
        }
        if name.model == self.model {
            self.points.insert(name.point);
        }
    }

    /// Whether another state shows the defect better: at an address that every recording has, and
    /// where the most is lost.
    fn is_better(
        &self,
        index: usize,
        name: &StateName,
        sight: Sight<'_>,
        judged: &[Judged],
    ) -> bool {
        let Sight { recorded, plan, .. } = sight;
        let rank = |index: usize, point: u64| {
            let judgement = &judged[index].judgement;
            let stable = !recorded.unstable.contains(&address_at(plan, point));
            (stable, judgement.keys_lost, judgement.bytes_lost)
        };
        rank(index, name.point) > rank(self.example.0, self.example.1.point)
    }
}

/// The address of a point; `end` after the last operation.
pub fn address_at(plan: &Plan, point: u64) -> Address {
    let index = usize::try_from(point - 1).unwrap_or(usize::MAX);
    plan.operations.get(index).map_or(Address::End, |operation| operation.address.clone())
}

/// The address of a point with the real names of its files.
pub fn shown_at(plan: &Plan, point: u64) -> String {
    let index = usize::try_from(point - 1).unwrap_or(usize::MAX);
    match plan.operations.get(index).map(|operation| (&operation.address, &operation.shown)) {
        Some((Address::Call { kind, ordinal, role, .. }, shown)) => {
            format!("{}#{ordinal}{}", shape(*kind, shown), role_suffix(role.as_deref()))
        }
        _ => "end".to_owned(),
    }
}

/// The nearest points before and after a defect's example at which its model holds.
pub fn neighbours(
    defect: &Defect,
    plan: &Plan,
    judged: &[Judged],
) -> (Option<Address>, Option<Address>) {
    let mut verdicts: BTreeMap<u64, bool> = BTreeMap::new();
    for (state, judged) in plan.states.iter().zip(judged) {
        let held = judged.judgement.verdict == Verdict::Held;
        for name in state.at.iter().filter(|name| name.model == defect.model) {
            *verdicts.entry(name.point).or_insert(true) &= held;
        }
    }
    let point = defect.example.1.point;
    held_neighbours(plan, point, verdicts.keys(), |other| verdicts[&other])
}

/// The nearest of the points before and after one that hold.
pub fn held_neighbours<'a>(
    plan: &Plan,
    point: u64,
    points: impl DoubleEndedIterator<Item = &'a u64> + Clone,
    holds: impl Fn(u64) -> bool,
) -> (Option<Address>, Option<Address>) {
    let before = points.clone().rev().find(|other| **other < point && holds(**other));
    let after = points.clone().find(|other| **other > point && holds(**other));
    let address = |other: &u64| address_at(plan, *other);
    (before.map(address), after.map(address))
}

/// The nearest earlier state that held under the kill model: what the finding is shown against.
pub fn held_before<'a>(plan: &'a Plan, judged: &[Judged], point: u64) -> Option<&'a State> {
    plan.states
        .iter()
        .zip(judged)
        .filter(|(state, judged)| {
            state.name.point < point
                && !state.name.model.is_power_loss()
                && judged.judgement.verdict == Verdict::Held
        })
        .map(|(state, _)| state)
        .next_back()
}

/// The findings that do not fail the run.
///
/// # Errors
/// If the baseline cannot be read or is none.
pub fn known(options: &Options) -> Result<BTreeSet<String>, BaselineError> {
    let path = options.baseline.as_ref().map(|path| options.directory.join(path));
    baseline::read(path.as_deref())
}

/// Checks that the baseline that was asked for can be written.
///
/// # Errors
/// If it cannot.
pub fn check_baseline(options: &Options) -> Result<(), BaselineError> {
    let Some(path) = &options.write_baseline else { return Ok(()) };
    baseline::check_place(&options.directory.join(path), &options.out)
}

/// Writes the findings of a run, new and known, as the baseline that was asked for.
///
/// # Errors
/// If the file cannot be written.
pub fn write_baseline(options: &Options, report: &Report) -> Result<(), BaselineError> {
    let Some(path) = &options.write_baseline else { return Ok(()) };
    let findings = report.findings.iter().chain(&report.known).map(Finding::key).collect();
    baseline::write(&options.directory.join(path), findings)
}
