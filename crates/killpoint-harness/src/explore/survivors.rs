//! Points of which no state can be rebuilt, each judged by a live kill: with the scopes `process` and
//! `tree` others go on writing after the kill; and where something changed the state that is not in
//! the recording, only the real state shows it.

use super::finding_file::{FindingFile, RunFile};
use super::findings::{self, address_at, held_neighbours, shown_at};
use super::live::{RETRIES_MAX, Strike, expected, strike};
use super::problem::ExploreError;
use super::recordings::is_call;
use super::sight::Sight;
use crate::diagnose::{Around, Cause, Failure, diagnose, diagnose_survivors};
use crate::environment::local::Judges;
use crate::journalist::{Journalist, Progress, Watch};
use killpoint_engine::record::StrikeAt;
use killpoint_engine::states::{StateName, Variant};
use killpoint_model::CrashModel;
use killpoint_model::event::Event;
use killpoint_model::report::{Confirmation, Drafts, Finding, Look};
use killpoint_model::seed::Generator;
use killpoint_model::verdict::{Class, Judgement, Reason, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Most live kills of a run; points beyond are sampled, and the report says so.
pub const STRIKES_MAX: usize = 500;

/// Why states cannot be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Others go on after the kill.
    Survivors,
    /// The end that the recording says is not the real one.
    UnseenChanges,
}

/// Strikes every point of the recording live and judges what is then there.
///
/// # Errors
/// If a worker fails or the log cannot be written.
pub fn explore(
    sight: Sight<'_>,
    judges: &mut Judges,
    why: Why,
    journalist: &mut Journalist,
    watch: Watch<'_>,
) -> Result<(), ExploreError> {
    let Sight { options, local, recorded, .. } = sight;
    RunFile::of(options, local, recorded).write(&local.folder)?;
    let points = points(sight, journalist)?;
    let since = Instant::now();
    let total = points.len() as u64;
    let mut judged: BTreeMap<u64, Judgement> = BTreeMap::new();
    for (done, point) in points.into_iter().enumerate() {
        let judgement = judge_point(sight, judges, point, journalist)?;
        journalist.tell(Event::Judged {
            trial: done as u64 + 1,
            state: format!("live-{point}"),
            at: vec![(CrashModel::Kill, vec![point])],
            judgement: judgement.clone(),
            output: String::new(),
            look: Look::First,
            litter: Vec::new(),
            unjudged: Vec::new(),
        })?;
        judged.insert(point, judgement);
        let done = done as u64 + 1;
        watch(&Progress { stage: "judging", done, total, elapsed: since.elapsed() });
    }
    let count = |wanted: fn(&Verdict) -> bool| {
        judged.values().filter(|judgement| wanted(&judgement.verdict)).count() as u64
    };
    journalist.tell(Event::PointVerdicts {
        model: CrashModel::Kill,
        violated: count(|verdict| matches!(verdict, Verdict::Violated(_))),
        unknown: count(|verdict| matches!(verdict, Verdict::Unknown(_))),
    })?;
    tell_findings(sight, &judged, why, journalist)
}

fn points(sight: Sight<'_>, journalist: &mut Journalist) -> Result<Vec<u64>, ExploreError> {
    let Sight { options, recorded, plan, .. } = sight;
    let all: Vec<u64> = recorded
        .addresses
        .iter()
        .zip(1..)
        .filter(|(address, _)| is_call(address) && !recorded.unstable.contains(*address))
        .map(|(_, point)| point)
        .filter(|point| options.phases.contains(&plan.phase_at(*point)))
        .collect();
    if all.len() > STRIKES_MAX {
        let text = format!(
            "{STRIKES_MAX} of {} points were struck, chosen by the seed: judged live, each costs a run",
            all.len()
        );
        journalist.tell(Event::Note { text })?;
    }
    let mut generator = Generator::new(options.seed);
    let chosen = generator.sample(all.len(), STRIKES_MAX);
    Ok(chosen.into_iter().map(|index| all[index]).collect())
}

fn judge_point(
    sight: Sight<'_>,
    judges: &mut Judges,
    point: u64,
    journalist: &mut Journalist,
) -> Result<Judgement, ExploreError> {
    let Sight { options, local, recorded, plan } = sight;
    let address = address_at(plan, point);
    let state = StateName { point, model: CrashModel::Kill, variant: Variant::Only };
    let mut last = (Reason::NotFired, String::new());
    for attempt in 1..=RETRIES_MAX {
        journalist.tell(Event::StrikePlanned { address: address.clone(), attempt })?;
        journalist.sync()?;
        let at = StrikeAt { address: address.clone(), after_bytes: None, scope: options.scope };
        let Strike { exact, judgement } =
            strike(local, judges, "survivors", at, &state, &expected(recorded, point))?;
        let (agreed, reason, detail) = match &exact {
            Ok(()) => (true, None, String::new()),
            Err((reason, detail)) => (false, Some(*reason), detail.clone()),
        };
        journalist.tell(Event::Struck {
            address: address.clone(),
            attempt,
            agreed,
            reason: None,
            detail: detail.clone(),
        })?;
        match exact {
            Ok(()) => return Ok(judgement),
            Err(_) => last = (reason.unwrap_or(Reason::NotFired), detail),
        }
    }
    Ok(Judgement::unknown(last.0, last.1))
}

fn tell_findings(
    sight: Sight<'_>,
    judged: &BTreeMap<u64, Judgement>,
    why: Why,
    journalist: &mut Journalist,
) -> Result<(), ExploreError> {
    let Sight { options, local, recorded, plan } = sight;
    let known = findings::known(options)?;
    let history = findings::history(local, recorded, plan)?;
    let left = match why {
        Why::Survivors => format!("scope {}: the others went on", options.scope.name()),
        Why::UnseenChanges => "as a live kill left it".to_owned(),
    };
    let mut groups: BTreeMap<(Class, Cause, String), BTreeSet<u64>> = BTreeMap::new();
    let explain = |point: u64, class: Class| {
        let (model, variant) = (CrashModel::Kill, &Variant::Only);
        let around = Around::default();
        let failure = Failure { point, model, variant, class, around, said: "" };
        match why {
            Why::Survivors => diagnose_survivors(&history, &failure),
            Why::UnseenChanges => diagnose(&history, &failure),
        }
    };
    for (point, judgement) in judged {
        if let Verdict::Violated(class) = judgement.verdict {
            let diagnosis = explain(*point, class);
            let key = (class, diagnosis.cause, diagnosis.group);
            groups.entry(key).or_default().insert(*point);
        }
    }
    for (number, ((class, ..), points)) in (1..).zip(groups) {
        let point = *points.first().expect("a group has a point");
        let diagnosis = explain(point, class);
        let holds = |other: u64| judged.get(&other).is_some_and(|j| j.verdict == Verdict::Held);
        let (holds_before, holds_after) = held_neighbours(plan, point, judged.keys(), holds);
        let finding = Finding {
            number,
            address: address_at(plan, point),
            ordinal: point,
            shown: shown_at(plan, point),
            model: CrashModel::Kill,
            models: vec![CrashModel::Kill],
            class,
            judged: class,
            points: points.len() as u64,
            points_of: judged.len() as u64,
            phases: plan.phases_of(&points),
            detail: judged[&point].detail.clone(),
            variant: left.clone(),
            confirmed: Confirmation { hits: 1, tries: 1 },
            confirmed_live: true,
            cause: diagnosis.sentence,
            fix: diagnosis.fix,
            holds_before,
            holds_after,
            drafts: Drafts::at_crash(&judged[&point]),
            shrunk: None,
            replay: format!("killpoint replay {}/{number}", local.folder.id()),
            output: String::new(),
            files: Vec::new(),
            contradicted: false,
            look: Look::First,
        };
        let state = StateName { point, model: CrashModel::Kill, variant: Variant::Only };
        FindingFile::of_state(&finding, &state, 0, &recorded.addresses).write(&local.folder)?;
        let known = known.contains(&finding.key());
        journalist.tell(Event::Found { finding: Box::new(finding), known })?;
    }
    Ok(())
}
