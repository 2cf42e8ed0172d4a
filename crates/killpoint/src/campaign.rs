//! `killpoint run` and `killpoint roulette`.

use crate::arguments::{Format, Roulette, Run};
use crate::commands::{Failure, Live, print_report};
use crate::{interrupt, scenario, upkeep};
use anyhow::{Context, anyhow};
use killpoint_harness::campaign::{self, CampaignError, Options};
use killpoint_model::fault::Fault;
use killpoint_model::invariant::{AckedIsDurable, Invariant, Semantics, USUAL_TIMEOUT};
use killpoint_model::objective::Objectives;
use killpoint_model::plan::Plan;
use killpoint_model::scenario::{
    FaultRule, SCENARIO_VERSION, Scenario, Supervisor, Target, Timeouts, Workload,
};
use killpoint_model::selector::{Pick, Roles, Who};
use killpoint_model::span::Span;
use killpoint_model::supervision::{Ready, StartLimit};
use killpoint_model::trigger::Trigger;
use killpoint_model::{Outcome, seed::Seed};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// How long a trial of roulette may take beyond its duration.
const SLACK: Span = Span::from_secs(300);

impl From<CampaignError> for Failure {
    fn from(error: CampaignError) -> Self {
        let outcome = error.outcome();
        Failure { error: error.into(), outcome }
    }
}

/// `killpoint run`.
///
/// # Errors
/// If the scenario or plan is none, or cannot be carried out here.
pub fn run(flags: &Run) -> Result<Outcome, Failure> {
    let path = &flags.scenario.scenario;
    let (plan, directory) = match read_plan(path)? {
        Some(plan) => {
            let flags = &flags.scenario;
            if flags.seed.is_some() || flags.tier.is_some() || !flags.set.is_empty() {
                let why =
                    "a plan is carried out as it is: --seed, --tier and --set are for scenarios";
                return Err(anyhow!(why).into());
            }
            (plan, directory_of_plan(path))
        }
        None => {
            let plan = Plan::make(scenario::load(&flags.scenario)?, Vec::new())?;
            (plan, path.parent().map(Path::to_owned).unwrap_or_default())
        }
    };
    carry_out(&plan, &directory, &flags.out, flags.format, (flags.trial, flags.repeat))
}

/// A plan, if the file is one: a scenario has no digest.
fn read_plan(path: &Path) -> Result<Option<Plan>, Failure> {
    if path.extension().is_none_or(|extension| extension != "json") {
        return Ok(None);
    }
    let shown = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let is_plan = serde_json::from_str::<serde_json::Value>(&text)
        .is_ok_and(|value| value.get("digest").is_some());
    if !is_plan {
        return Ok(None);
    }
    let plan: Plan = serde_json::from_str(&text)
        .with_context(|| format!("{shown} is no plan of this killpoint"))?;
    Ok(Some(plan))
}

/// The directory that the paths of a plan start from: where it was made, as the run's folder says.
fn directory_of_plan(path: &Path) -> PathBuf {
    let beside = path.with_file_name("directory");
    match fs::read_to_string(beside) {
        Ok(directory) => PathBuf::from(directory.trim_end()),
        Err(_) => std::env::current_dir().unwrap_or_default(),
    }
}

fn carry_out(
    plan: &Plan,
    directory: &Path,
    out: &Path,
    format: Format,
    (only, repeat): (Option<u64>, u32),
) -> Result<Outcome, Failure> {
    let here = std::env::current_dir()?;
    let options = Options {
        directory: here.join(directory),
        out: here.join(out),
        supervisor: std::env::current_exe()?,
        only,
        repeat,
        interrupt: interrupt::listen()?,
    };
    upkeep::mention_interrupted(&options.out);
    let mut progress = Live::new(format == Format::Human);
    let ended = campaign::run(plan, &options, &mut |step| progress.show(step));
    progress.clear();
    let ended = ended?;
    print_report(&ended.report, &ended.folder, format);
    Ok(ended.report.result)
}

/// `killpoint roulette`: a scenario of one rule.
///
/// # Errors
/// As [`run`].
pub fn roulette(flags: &Roulette) -> Result<Outcome, Failure> {
    let roles = Roles::parse(&flags.role).map_err(|error| anyhow!("--role: {error}"))?;
    let only = roles.iter().next().map(|(name, _)| name.to_owned());
    if roles.iter().count() > 1 {
        return Err(
            anyhow!("--role: roulette kills the processes of one role; write a scenario").into()
        );
    }
    let scenario = scenario_of(flags, roles, only);
    let plan = Plan::make(scenario, Vec::new())?;
    carry_out(&plan, Path::new(""), &flags.out, flags.format, (None, 1))
}

fn scenario_of(flags: &Roulette, roles: Roles, role: Option<String>) -> Scenario {
    let shell = |line: &String| ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
    let trial = Span::from_ms(flags.duration.as_ms() * 10 + SLACK.as_ms());
    // A kill is drawn more often than a start limit that is meant for crashes allows.
    let start_limit = StartLimit { count: 0, ..StartLimit::default() };
    let rule = FaultRule {
        name: Some("roulette".to_owned()),
        when: Trigger::Interval(flags.every),
        r#do: Fault::Kill,
        who: Who { role, pick: Pick::One, ..Who::default() },
        trials: 1,
        duration: Some(flags.duration),
    };
    let durable = |check: &String| {
        let check = Some(check.clone());
        Invariant::AckedIsDurable(AckedIsDurable {
            judge: Vec::new(),
            check,
            timeout: USUAL_TIMEOUT,
            semantics: Semantics::default(),
        })
    };
    Scenario {
        version: SCENARIO_VERSION,
        title: format!("Roulette: {}", flags.command.join(" ")),
        variables: BTreeMap::new(),
        seed: Seed(flags.seed.0),
        target: Target {
            state: flags.state.clone(),
            supervisor: Supervisor { start_limit, ..Supervisor::default() },
            ready: flags.ready.clone().map(|by| Ready { by, timeout: Ready::usual_timeout() }),
            roles,
            ..Target::of(flags.command.clone())
        },
        workload: flags
            .driver
            .as_ref()
            .map(|line| Workload { command: shell(line), timeout: trial }),
        faults: vec![rule],
        invariants: flags.check.iter().map(durable).collect(),
        objectives: Objectives::default(),
        timeouts: Timeouts { trial, ..Timeouts::default() },
        tiers: BTreeMap::new(),
    }
}
