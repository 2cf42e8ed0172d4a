//! `killpoint plan` and `killpoint schema`: scenarios without carrying them out.

use crate::arguments::{Format, Import, Plan as PlanFlags, ScenarioFlags};
use crate::commands::Failure;
use crate::{campaign, output};
use killpoint_harness::scenario::{FileError, Given, import, read, schema};
use killpoint_model::fault::Fault;
use killpoint_model::plan::{CrashPoints, Plan, PlanError, PlannedStrike};
use killpoint_model::{Outcome, Scenario};
use std::io::{Write, stdout};
use std::path::Path;

/// Trials that a plan shows to a person; the rest is counted.
const TRIALS_SHOWN_MAX: usize = 20;
/// Strikes of a trial that a plan shows to a person; the rest is counted.
const STRIKES_SHOWN_MAX: usize = 6;

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Failure { error: error.into(), outcome: Outcome::Usage }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Failure { error: error.into(), outcome: Outcome::Usage }
    }
}

/// What is given for variables.
fn given(set: &[String]) -> Result<Given, Failure> {
    let mut given = Given::parse(set)?;
    given.environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    Ok(given)
}

/// Reads the scenario that flags name, as they change it.
///
/// # Errors
/// If it is none.
pub fn load(flags: &ScenarioFlags) -> Result<Scenario, Failure> {
    let mut scenario = read(&flags.scenario, &given(&flags.set)?)?;
    if let Some(seed) = flags.seed {
        scenario.seed = seed;
    }
    Ok(match flags.tier {
        Some(tier) => scenario.at_tier(tier),
        None => scenario,
    })
}

/// `killpoint plan`.
///
/// # Errors
/// If the file is no scenario, or cannot be planned.
pub fn plan(flags: &PlanFlags) -> Result<Outcome, Failure> {
    let mut plan = Plan::make(load(&flags.scenario)?, CrashPoints::default())?;
    if plan.awaits_recording() && !flags.check {
        output::say("the target runs twice on copies, undisturbed, to record its crash points");
        let directory = flags.scenario.scenario.parent().unwrap_or(Path::new(""));
        plan = campaign::record(&plan, directory)?;
    }
    let text = match (flags.check, flags.format) {
        (true, _) => {
            format!("{}: a scenario, {}\n", flags.scenario.scenario.display(), plan.digest)
        }
        (false, Format::Json) => {
            serde_json::to_string_pretty(&plan).expect("a plan is plain data") + "\n"
        }
        (false, Format::Human) => shown(&plan),
    };
    output::result(&text)?;
    Ok(Outcome::Pass)
}

/// `killpoint import`.
///
/// # Errors
/// If the file is no experiment, or holds what cannot be carried out.
pub fn print_import(flags: &Import) -> Result<Outcome, Failure> {
    let imported = import(&flags.experiment, &given(&flags.set)?)?;
    for note in &imported.notes {
        output::say(&format!("killpoint: note: {note}"));
    }
    let text = serde_json::to_string_pretty(&imported.scenario).expect("plain data") + "\n";
    output::result(&text)?;
    Ok(Outcome::Pass)
}

/// `killpoint schema`.
///
/// # Errors
/// If nobody takes the text.
pub fn print_schema() -> Result<Outcome, Failure> {
    stdout().write_all(schema().as_bytes())?;
    Ok(Outcome::Pass)
}

/// A plan for a person.
fn shown(plan: &Plan) -> String {
    let Scenario { title, target, timeouts, invariants, .. } = &plan.scenario;
    let mut lines = Vec::new();
    if !title.is_empty() {
        lines.push(title.clone());
    }
    let supervision = target.supervision(plan.scenario.seed);
    for (name, process) in &supervision.processes {
        lines.push(format!("  process    {name}: {}", process.command.join(" ")));
    }
    lines.push(format!("  state      {}", or_none(&target.state)));
    let kinds: Vec<String> = invariants.iter().map(|it| it.kind().to_owned()).collect();
    lines.push(format!("  judged by  {}", or_none(&kinds)));
    lines.push(format!(
        "  time-outs  start {}, recovery {}, trigger {}, stop {}, trial {}",
        timeouts.start, timeouts.recovery, timeouts.trigger, timeouts.stop, timeouts.trial
    ));
    lines.push(format!(
        "  trials     {} and the control, {} strikes",
        plan.trials.len(),
        plan.strikes()
    ));
    for trial in plan.trials.iter().take(TRIALS_SHOWN_MAX) {
        let shown = trial.strikes.iter().take(STRIKES_SHOWN_MAX);
        let strikes: Vec<String> = shown
            .map(|strike| format!("{} {}: {}", strike.when, strike.fault, whom(strike)))
            .collect();
        let more = trial.strikes.len().saturating_sub(STRIKES_SHOWN_MAX);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        lines.push(format!(
            "  {:>6}     {}  {}{more}",
            trial.ordinal,
            trial.rule,
            strikes.join("; ")
        ));
    }
    if plan.trials.len() > TRIALS_SHOWN_MAX {
        lines.push(format!("             and {} more", plan.trials.len() - TRIALS_SHOWN_MAX));
    }
    for rule in plan.unplanned() {
        lines.push(format!("  no trial   {rule}: no call was recorded that it could strike at"));
    }
    for remark in plan.remarks() {
        lines.push(format!("  note       {remark}"));
    }
    lines.push(format!("  seed       {}", plan.seed));
    lines.push(format!("  digest     {}", plan.digest));
    lines.join("\n") + "\n"
}

/// Whom a strike means, in words.
fn whom(strike: &PlannedStrike) -> &str {
    let is_done_to_the_call = matches!(strike.fault, Fault::Fail(_) | Fault::ShortWrite(_));
    match &strike.who.role {
        Some(role) => role,
        None if strike.who.caller || is_done_to_the_call => "the process that makes it",
        None => "every process",
    }
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
