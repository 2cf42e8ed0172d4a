//! The run of a scenario: the control, then each trial of the plan.
//!
//! The rooms: `options`, `problem` (why a plan could not be carried out), `prepare` (what can be carried out
//! here, the run's folder), `course` (which trial when and how often), `again` (replay and resume) with
//! `log` (what was done already), `world` (one trial's copies, supervisor and workload), `supervisor` (the
//! process that keeps the target up), `trial` (one trial from start to verdict), `position` (where a strike
//! stands, and getting there again), `state` (what is known of the target), `waiting` (for moments and
//! triggers), `strike` (one fault on the processes that it is meant for), `judging` (invariants), `activities` (what a
//! scenario does by itself), `continuous` (what is asked meanwhile), `points` (strikes that come by
//! themselves) with `interception` (the interceptor's other end) and `probing`, `recording` (what crash
//! points there are), `objectives`.
//!
//! The target runs below a supervisor of its own process, so that either may be killed: the end of the
//! supervisor's standard input stops everything, and a watchdog lifts what lasts.

mod activities;
mod again;
mod asking;
mod at_rest;
#[cfg(feature = "dumps")]
mod below;
mod blow;
mod collecting;
mod confidence;
mod continuous;
mod course;
mod crashes;
mod ends;
mod growth;
mod interception;
mod judgements;
mod judging;
mod log;
mod meanwhile;
mod objectives;
mod options;
mod pictures;
mod points;
mod position;
mod prepare;
mod probing;
mod problem;
mod recording;
mod recovery;
mod release;
mod snapshots;
mod stage;
mod state;
mod steady;
mod strangers;
mod strike;
mod striking;
mod supervisor;
mod telling;
mod trial;
mod waiting;
mod workload;
mod world;

pub use again::{Again, replay, resume};
pub use options::{Course, Options, ROUNDS_MAX, Replayed};
pub use prepare::is_campaign;
pub use problem::CampaignError;
pub use recording::{clear_recordings, record};

use crate::baseline::{self, BaselineError};
use crate::injector::Injector;
use crate::journalist::{Journalist, Watch};
use crate::recover::clear_up;
use crate::store::RunFolder;
use course::Rounds;
use killpoint_model::Outcome;
use killpoint_model::event::Event;
use killpoint_model::invariant::Invariant;
use killpoint_model::objective::Measurement;
use killpoint_model::plan::Plan;
use killpoint_model::report::{CampaignReport, NotCovered, Report, Tally, TrialReport};
use killpoint_model::trial::TrialEvent;
use log::Earlier;
use stage::Stage;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// A finished run.
#[derive(Debug)]
pub struct Campaign {
    /// Its folder.
    pub folder: RunFolder,
    /// Its report.
    pub report: Report,
}

/// Carries out a plan.
///
/// # Errors
/// If it cannot be carried out here, or the run's folder cannot be written. What is found is no error.
pub fn run(plan: &Plan, options: &Options, watch: Watch<'_>) -> Result<Campaign, CampaignError> {
    // Before the target runs to be recorded.
    check_baselines(options)?;
    if plan.awaits_recording() {
        return begin(&record(plan, options)?, options, None, watch);
    }
    begin(plan, options, None, watch)
}

/// Carries out a plan from the state as it is now, or as an earlier run found it.
fn begin(
    plan: &Plan,
    options: &Options,
    earlier: Option<&RunFolder>,
    watch: Watch<'_>,
) -> Result<Campaign, CampaignError> {
    prepare::check(plan, options)?;
    check_baselines(options)?;
    let folder = prepare::make_folder(plan, options, earlier)?;
    // Before there are threads: the watchdog is forked.
    let injector = Injector::start(folder.path())?;
    let mounts = prepare::can_mount(plan, options, &folder);
    let journalist = prepare::begin(plan, options, &folder, &mounts)?;
    let (mounts, earlier) = (mounts.is_ok(), Earlier::default());
    go_on(plan, options, Begun { folder, mounts, injector, journalist, earlier }, watch)
}

/// A run that has its folder.
struct Begun {
    folder: RunFolder,
    /// Whether copies of the state are mounted over its own paths.
    mounts: bool,
    injector: Injector,
    journalist: Journalist,
    /// What was done before it was interrupted.
    earlier: Earlier,
}

/// All that comes after the preparations, in a new run and in a resumed one.
fn go_on(
    plan: &Plan,
    options: &Options,
    begun: Begun,
    watch: Watch<'_>,
) -> Result<Campaign, CampaignError> {
    let Begun { folder, mounts, mut injector, mut journalist, earlier } = begun;
    let since = Instant::now();
    let stage = Stage {
        plan,
        options,
        folder: &folder,
        journalist: &mut journalist,
        mounts,
        injector: &mut injector,
        control: judging::Readings::new(),
        answering: BTreeSet::new(),
        recovery_times: BTreeMap::new(),
        known: known(options)?,
        names: None,
        recorded: None,
    };
    let result = carry_out(stage, earlier, watch);
    let _ = injector.rollback();
    let (outcome, explanation) = match result {
        Ok(ended) => ended,
        Err(error) => {
            journalist.sync()?;
            clear_up(&folder);
            return Err(error);
        }
    };
    journalist.stage("trials", since)?;
    journalist.remove_older(&folder, options.keep)?;
    journalist.tell(Event::RunEnded { result: outcome, explanation })?;
    let report = journalist.into_report();
    crate::report::write_all(&folder, &report)?;
    write_baseline(options, &report)?;
    clear_up(&folder);
    Ok(Campaign { folder, report })
}

/// The trials that do not fail the run.
fn known(options: &Options) -> Result<BTreeSet<String>, BaselineError> {
    let path = options.baseline.as_ref().map(|path| options.directory.join(path));
    baseline::read(path.as_deref())
}

/// Checks that the baseline can be read, and that the one that was asked for can be written.
fn check_baselines(options: &Options) -> Result<(), BaselineError> {
    known(options)?;
    match &options.write_baseline {
        Some(path) => baseline::check_place(&options.directory.join(path), &options.out),
        None => Ok(()),
    }
}

/// Writes the trials of a run that did not hold as the baseline that was asked for.
fn write_baseline(options: &Options, report: &Report) -> Result<(), BaselineError> {
    let Some(path) = &options.write_baseline else { return Ok(()) };
    let trials = report.campaign.iter().flat_map(|it| &it.trials);
    baseline::write(&options.directory.join(path), trials.flat_map(TrialReport::keys).collect())
}

/// The trials, and what follows from them.
fn carry_out(
    mut stage: Stage<'_>,
    earlier: Earlier,
    watch: Watch<'_>,
) -> Result<(Outcome, String), CampaignError> {
    let plan = stage.plan;
    let planned = prepare::planned(plan, stage.options);
    let begun = Instant::now();
    let mut rounds = Rounds { stage: &mut stage, planned, earlier, watch, begun };
    if let Some(why) = rounds.control()? {
        return Ok((Outcome::BaselineFailed, format!("the control did not hold: {why}")));
    }
    rounds.carry_out()?;
    let report = stage.journalist.report();
    let mut gaps = nothing_at_risk(plan, report);
    gaps.extend(not_driven(report));
    for gap in gaps {
        stage.journalist.tell(Event::NotCovered(gap))?;
    }
    let measured = objectives::judge(plan, stage.options, stage.folder, stage.journalist)?;
    let unplanned = match stage.options.only {
        Some(_) => Vec::new(),
        None => plan.unplanned(),
    };
    for rule in &unplanned {
        let reason = "no call was recorded that it could strike at: it had no trial".to_owned();
        let gap = NotCovered { file: rule.clone(), reason, needed: false };
        stage.journalist.tell(Event::NotCovered(gap))?;
    }
    let campaign = stage.journalist.report().campaign.as_ref();
    let total = campaign.map(CampaignReport::total).unwrap_or_default();
    Ok(match conclude(&total, &measured) {
        (Outcome::Pass, _) if !unplanned.is_empty() => {
            (Outcome::Unknown, format!("rules that had no trial: {}", unplanned.join(", ")))
        }
        concluded => concluded,
    })
}

/// Where every strike came before anything was acknowledged, that nothing was lost shows little: in all trials, or in
/// those of some rules.
fn nothing_at_risk(plan: &Plan, report: &Report) -> Vec<NotCovered> {
    let is_asked = |it: &Invariant| matches!(it, Invariant::AckedIsDurable(_));
    let trials: Vec<&TrialReport> = report
        .campaign
        .iter()
        .flat_map(|it| &it.trials)
        .filter(|it| it.trial > 0 && it.fired > 0)
        .collect();
    if trials.is_empty() || !plan.scenario.invariants.iter().any(is_asked) {
        return Vec::new();
    }
    let gap = |file: &str, reason: &str| NotCovered {
        file: file.to_owned(),
        reason: reason.to_owned(),
        needed: false,
    };
    if trials.iter().all(|it| it.acknowledged == 0) {
        let reason = "no trial acknowledged anything: after its strikes acked-is-durable had nothing to lose";
        return vec![gap("*", reason)];
    }
    let rules: BTreeSet<&String> = trials.iter().map(|it| &it.rule).collect();
    let is_vain =
        |rule: &&&String| trials.iter().filter(|it| it.rule == ***rule).all(|it| it.at_risk == 0);
    let reason = "nothing was acknowledged yet at any of its strikes: only what was there before could be lost. Put \
                  data into `target.state`, or strike later";
    rules.iter().filter(is_vain).map(|rule| gap(rule, reason)).collect()
}

/// Where the workload failed after a strike, though it succeeded in the control: many do, and then nobody drives
/// the target that has come back.
fn not_driven(report: &Report) -> Option<NotCovered> {
    let struck = |it: &&TrialReport| it.trial > 0 && it.fired > 0 && !it.unrecovered;
    let trials = report.campaign.iter().flat_map(|it| &it.trials).filter(struck);
    let ends: Vec<Option<&String>> = trials.map(|it| it.workload_failure.as_ref()).collect();
    let failures: Vec<&String> = ends.iter().copied().flatten().collect();
    let how = failures.first()?;
    let or_otherwise =
        if failures.iter().any(|it| it != how) { " or otherwise failed" } else { "" };
    let (failed, all) = (failures.len(), ends.len());
    Some(NotCovered {
        file: "*".to_owned(),
        reason: format!(
            "the workload {how}{or_otherwise} in {failed} of {all} trials that were struck, though it succeeded in \
             the control: what it would have done after that was not driven. Let it try again until the target is back"
        ),
        needed: false,
    })
}

fn conclude(total: &Tally, measured: &[Measurement]) -> (Outcome, String) {
    let named = |is_meant: fn(&Measurement) -> bool| {
        let names = measured.iter().filter(|it| is_meant(it)).map(|it| it.objective.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let (missed, open) = (named(Measurement::is_missed), named(Measurement::is_open));
    match total {
        Tally { violated: 1.., .. } => (Outcome::Violated, String::new()),
        Tally { fired: 0, .. } => {
            (Outcome::Vacuous, "no strike of the plan did anything".to_owned())
        }
        _ if !missed.is_empty() => (Outcome::Violated, format!("objectives missed: {missed}")),
        Tally { unknown: 1.., .. } => (Outcome::Unknown, String::new()),
        _ if !open.is_empty() => {
            (Outcome::Unknown, format!("objectives that nothing was measured for: {open}"))
        }
        _ => (Outcome::Pass, String::new()),
    }
}

/// Writes down what a trial did.
fn tell(journalist: &mut Journalist, event: TrialEvent) -> Result<(), CampaignError> {
    Ok(journalist.tell(Event::Trial(Box::new(event)))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_the_worst_and_vacuous_where_nothing_fired() {
        let result = |fired, unknown, violated, measured: &[Measurement]| {
            conclude(&Tally { fired, unknown, violated, ..Tally::default() }, measured).0
        };
        let measured = || Measurement::of("restarts", "3");
        let (met, missed) = ([measured().against("4", true)], [measured().against("2", false)]);
        let open = [measured().not_measured("2")];
        assert_eq!(result(3, 0, 0, &met), Outcome::Pass);
        assert_eq!(result(3, 0, 0, &missed), Outcome::Violated);
        assert_eq!(result(3, 0, 0, &open), Outcome::Unknown);
        assert_eq!(result(1, 1, 0, &met), Outcome::Unknown);
        assert_eq!(result(0, 1, 0, &met), Outcome::Vacuous);
        assert_eq!(result(0, 0, 0, &met), Outcome::Vacuous);
        assert_eq!(result(1, 0, 1, &met), Outcome::Violated);
        let known = Tally { fired: 1, known: 1, ..Tally::default() };
        assert_eq!(conclude(&known, &met).0, Outcome::Pass, "it stands in the baseline");
    }
}
