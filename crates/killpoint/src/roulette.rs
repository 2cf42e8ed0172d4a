//! `killpoint roulette`: a scenario of one rule, or strikes on processes that are running already.

use crate::arguments::Roulette;
use crate::failure::Failure;
use crate::{attach, campaign};
use anyhow::anyhow;
use killpoint_model::invariant::{AckedIsDurable, Invariant, Semantics, USUAL_TIMEOUT};
use killpoint_model::objective::Objectives;
use killpoint_model::plan::{CrashPoints, Plan};
use killpoint_model::scenario::{
    Collect, FaultRule, SCENARIO_VERSION, Scenario, Supervisor, Target, Timeouts, Workload,
};
use killpoint_model::selector::{Pick, Roles, Who};
use killpoint_model::span::Span;
use killpoint_model::supervision::{Ready, StartLimit};
use killpoint_model::trigger::Trigger;
use killpoint_model::{Outcome, seed::Seed};
use std::collections::BTreeMap;
use std::path::Path;

/// How long a trial of roulette may take beyond its duration.
const SLACK: Span = Span::from_secs(300);

/// `killpoint roulette`.
///
/// # Errors
/// If the flags do not go together, or it cannot be carried out here.
pub fn run(flags: &Roulette) -> Result<Outcome, Failure> {
    if let Some(named) = attach::named(flags)? {
        return attach::roulette(flags, named);
    }
    for (is_given, flag) in [
        (flags.unleash, "--unleash"),
        (flags.allowlist.is_some(), "--allowlist"),
        (flags.environment_file.is_some(), "--environment-file"),
    ] {
        if is_given {
            let why =
                "is about processes that are running already: name them with --pid or --cgroup";
            return Err(anyhow!("{flag} {why}").into());
        }
    }
    let roles = Roles::parse(&flags.role).map_err(|error| anyhow!("--role: {error}"))?;
    let only = roles.iter().next().map(|(name, _)| name.to_owned());
    if roles.iter().count() > 1 {
        return Err(
            anyhow!("--role: roulette kills the processes of one role; write a scenario").into()
        );
    }
    let scenario = scenario_of(flags, roles, only);
    let plan = Plan::make(scenario, CrashPoints::default())?;
    campaign::carry_out(
        &plan,
        &campaign::options(Path::new(""), &flags.out, flags.keep)?,
        flags.format,
    )
}

fn scenario_of(flags: &Roulette, roles: Roles, role: Option<String>) -> Scenario {
    let shell = |line: &String| ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
    let trial = Span::from_ms(flags.duration.as_ms() * 10 + SLACK.as_ms());
    // A kill is drawn more often than a start limit that is meant for crashes allows.
    let start_limit = StartLimit { count: 0, ..StartLimit::default() };
    let rule = FaultRule {
        name: Some("roulette".to_owned()),
        when: Trigger::Interval(flags.every),
        r#do: flags.fault.clone(),
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
        collect: Collect::default(),
        timeouts: Timeouts { trial, ..Timeouts::default() },
        tiers: BTreeMap::new(),
    }
}
