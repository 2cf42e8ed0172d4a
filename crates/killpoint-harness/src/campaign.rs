//! The run of a scenario: the control, then each trial of the plan.
//!
//! The rooms: `prepare` (what can be carried out here, the run's folder), `world` (one trial's copies,
//! supervisor and workload), `supervisor` (the process that keeps the target up), `trial` (one trial
//! from start to verdict), `state` (what is known of the target), `waiting` (for moments and triggers),
//! `strike` (one fault on the processes that it is meant for), `judging` (invariants), `objectives`.
//!
//! The target runs below a supervisor of its own process, so that either may be killed: the end of the
//! supervisor's standard input stops everything, and a watchdog lifts what lasts.

mod ends;
mod judging;
mod objectives;
mod prepare;
mod state;
mod strike;
mod supervisor;
mod trial;
mod waiting;
mod world;

pub use prepare::{CampaignError, Options};

use crate::explore::{Journalist, Progress, Watch};
use crate::injector::Injector;
use crate::store::RunFolder;
use killpoint_model::event::Event;
use killpoint_model::objective::Measurement;
use killpoint_model::plan::{Plan, PlannedTrial};
use killpoint_model::report::Report;
use killpoint_model::trial::TrialEvent;
use killpoint_model::{Outcome, Verdict};
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
    prepare::check(plan, options)?;
    let folder = prepare::make_folder(plan, options)?;
    // Before there are threads: the watchdog is forked.
    let mut injector = Injector::start(folder.path())?;
    let mut journalist = prepare::begin(plan, options, &folder)?;
    let begun = Instant::now();
    let result = carry_out(plan, options, &folder, &mut journalist, &mut injector, watch);
    let _ = injector.rollback();
    let (outcome, explanation) = match result {
        Ok(ended) => ended,
        Err(error) => {
            journalist.sync()?;
            return Err(error);
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    journalist.tell(Event::Stage { name: "trials".to_owned(), seconds })?;
    journalist.tell(Event::RunEnded { result: outcome, explanation })?;
    let report = journalist.report().clone();
    crate::report::write_all(&folder, &report)?;
    Ok(Campaign { folder, report })
}

/// The trials, and what follows from them.
fn carry_out(
    plan: &Plan,
    options: &Options,
    folder: &RunFolder,
    journalist: &mut Journalist,
    injector: &mut Injector,
    watch: Watch<'_>,
) -> Result<(Outcome, String), CampaignError> {
    let begun = Instant::now();
    let planned: Vec<&PlannedTrial> = plan
        .trials
        .iter()
        .filter(|trial| options.only.is_none_or(|only| trial.ordinal == only))
        .collect();
    let total = planned.len() as u64 * u64::from(options.repeat);
    let mut tell = |done: u64| {
        let elapsed = begun.elapsed();
        watch(&Progress { stage: "trials", done, total, elapsed });
    };
    tell(0);
    let control = judging::Readings::new();
    let mut stage = trial::Stage { plan, options, folder, journalist, injector, control };
    let control = stage.run(None, 1)?;
    if control.judgement.verdict != Verdict::Held {
        let why = format!("the control did not hold: {}", control.judgement.detail);
        return Ok((Outcome::BaselineFailed, why));
    }
    let (mut done, mut fired, mut worst) = (0, 0, Verdict::Held);
    for planned in planned {
        for attempt in 1..=options.repeat {
            let ended = stage.run(Some(planned), attempt)?;
            fired += ended.fired;
            worst = worst.max(ended.judgement.verdict);
            done += 1;
            tell(done);
            if options.interrupt.is_requested() {
                return Ok((Outcome::Interrupted, String::new()));
            }
        }
    }
    let measured = objectives::judge(plan, stage.journalist)?;
    Ok(conclude(fired, &worst, &measured))
}

fn conclude(fired: u64, worst: &Verdict, measured: &[Measurement]) -> (Outcome, String) {
    let named = |is_meant: fn(&Measurement) -> bool| {
        let names = measured.iter().filter(|it| is_meant(it)).map(|it| it.objective.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let (missed, open) = (named(Measurement::is_missed), named(Measurement::is_open));
    match worst {
        Verdict::Violated(_) => (Outcome::Violated, String::new()),
        _ if fired == 0 => (Outcome::Vacuous, "no strike of the plan did anything".to_owned()),
        _ if !missed.is_empty() => (Outcome::Violated, format!("objectives missed: {missed}")),
        Verdict::Unknown(_) => (Outcome::Unknown, String::new()),
        _ if !open.is_empty() => {
            (Outcome::Unknown, format!("objectives that nothing was measured for: {open}"))
        }
        Verdict::Held => (Outcome::Pass, String::new()),
    }
}

/// Writes down what a trial did.
fn tell(journalist: &mut Journalist, event: TrialEvent) -> Result<(), CampaignError> {
    Ok(journalist.tell(Event::Trial(Box::new(event)))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use killpoint_model::{Class, Reason};

    #[test]
    fn the_result_is_the_worst_and_vacuous_where_nothing_fired() {
        let unknown = Verdict::Unknown(Reason::NotFired);
        let result = |fired, worst: &Verdict, measured| conclude(fired, worst, measured).0;
        let measured = || Measurement::of("restarts", "3");
        let (met, missed) = ([measured().against("4", true)], [measured().against("2", false)]);
        let open = [measured().not_measured("2")];
        assert_eq!(result(3, &Verdict::Held, &met), Outcome::Pass);
        assert_eq!(result(3, &Verdict::Held, &missed), Outcome::Violated);
        assert_eq!(result(3, &Verdict::Held, &open), Outcome::Unknown);
        assert_eq!(result(1, &unknown, &met), Outcome::Unknown);
        assert_eq!(result(0, &unknown, &met), Outcome::Vacuous);
        assert_eq!(result(0, &Verdict::Held, &met), Outcome::Vacuous);
        assert_eq!(result(1, &Verdict::Violated(Class::Lost), &met), Outcome::Violated);
    }
}
