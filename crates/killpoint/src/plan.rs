//! `killpoint plan`: what a scenario would do, without carrying it out.

use crate::arguments::{Format, Plan as PlanFlags};
use crate::failure::Failure;
use crate::{campaign, output, scenario};
use killpoint_model::fault::Fault;
use killpoint_model::plan::{CrashPoints, Plan, PlannedStrike};
use killpoint_model::{Outcome, Scenario};
use std::path::Path;

/// Trials that a plan shows to a person; the rest is counted.
const TRIALS_SHOWN_MAX: usize = 20;
/// Strikes of a trial that a plan shows to a person; the rest is counted.
const STRIKES_SHOWN_MAX: usize = 6;

/// `killpoint plan`.
///
/// # Errors
/// If the file is no scenario, or cannot be planned.
pub fn run(flags: &PlanFlags) -> Result<Outcome, Failure> {
    let mut plan = Plan::make(scenario::load(&flags.scenario)?, CrashPoints::default())?;
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
