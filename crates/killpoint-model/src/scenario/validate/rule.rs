//! What makes no sense in a rule: when, what, whom, how often.

use super::super::{FaultRule, Scenario, TRIALS_PER_RULE_MAX};
use super::list;
use crate::address::Address;
use crate::fault::Fault;
use crate::nonsense::{Nonsense, refuse};
use crate::phase::Phase;
use crate::selector::Who;
use crate::span::Span;
use crate::supervision::RestartPolicy;
use crate::trigger::Trigger;
use std::path::Path;

/// Whether a rule of a scenario can be carried out.
pub(super) fn validate(scenario: &Scenario, rule: &FaultRule) -> Result<(), Nonsense> {
    let number = format!("write 1 to {TRIALS_PER_RULE_MAX}");
    let is_count = (1..=TRIALS_PER_RULE_MAX).contains(&rule.trials);
    refuse(&[(!is_count, "trials", &number)])?;
    rule.r#do.check().map_err(|it| it.within("do"))?;
    rule.when.check().map_err(|it| it.within("when"))?;
    rule.who.check().map_err(|it| it.within("who"))?;
    validate_duration(rule)?;
    validate_times(scenario, rule)?;
    validate_names(scenario, rule)?;
    validate_file(scenario, rule)?;
    let is_activities = matches!(rule.r#do, Fault::Activities(_));
    refuse(&[(
        is_activities && rule.who != Who::default(),
        "who",
        "activities strike no process of ours: leave `who` out",
    )])?;
    validate_call(rule)?;
    validate_recovery(scenario, rule)
}

/// Whether a rule can strike again and again, where it is to.
pub(super) fn validate_duration(rule: &FaultRule) -> Result<(), Nonsense> {
    match (rule.duration, &rule.when) {
        (None, _) => Ok(()),
        (Some(duration), Trigger::Interval(range)) => {
            let is_never = range.longest == Span::default() || duration < range.shortest;
            refuse(&[(is_never, "duration", "no time of the interval lies within it")])
        }
        (Some(_), _) => Err(Nonsense::new("duration", "only an interval strikes again and again")),
    }
}

/// Whether the times of a rule lie within a trial.
fn validate_times(scenario: &Scenario, rule: &FaultRule) -> Result<(), Nonsense> {
    let trial = scenario.timeouts.trial;
    let why =
        format!("a trial is over by then (`timeouts.trial` is {trial}): write a shorter time");
    let (at, first) = match &rule.when {
        Trigger::Interval(range) => ("when.interval", range.shortest),
        Trigger::At(times) => ("when.at", times.all().iter().max().copied().unwrap_or_default()),
        _ => ("when", Span::default()),
    };
    let (does, lasts) = match &rule.r#do {
        Fault::Suspend(span) => ("do.suspend", *span),
        Fault::KeepDown(span) => ("do.keep-down", *span),
        _ => ("do", Span::default()),
    };
    refuse(&[(first >= trial, at, &why), (lasts >= trial, does, &why)])
}

/// Whether everybody is there whom a rule names.
fn validate_names(scenario: &Scenario, rule: &FaultRule) -> Result<(), Nonsense> {
    let target = &scenario.target;
    let nobody = |name: &str| format!("there is no role or process `{name}`: add it to `roles`");
    let unknown = |name: &&String| !target.knows(name);
    if let Some(name) = rule.who.role.iter().find(unknown) {
        return Err(Nonsense::new("who.role", nobody(name)));
    }
    if let Some(name) = rule.who.sparing.iter().find(unknown) {
        return Err(Nonsense::new("who.sparing", nobody(name)));
    }
    if let Some((name, at)) = rule.when.process() {
        let names: Vec<String> = target.supervision(scenario.seed).processes.into_keys().collect();
        let why = format!("there is no process `{name}`: there is {}", list(&names));
        let is_unknown = !names.iter().any(|it| it == name);
        refuse(&[(is_unknown, at, &why)]).map_err(|it| it.within("when"))?;
    }
    if let Trigger::Point(address) = &rule.when
        && let Some(role) = address.role()
    {
        let names: Vec<String> = target.roles.iter().map(|(name, _)| name.to_owned()).collect();
        let why = format!("there is no role `{role}`: there is {}", list(&names));
        refuse(&[(target.roles.named(role).is_none(), "when.point", &why)])?;
    }
    match unrecordable(scenario, rule) {
        Some((role, at)) => {
            let why = format!(
                "the role {role} asks what is not seen at a call: take cmdline, executable or comm"
            );
            Err(Nonsense::new(at, why))
        }
        None => Ok(()),
    }
}

/// Whether a file that a rule waits for is one of the state.
fn validate_file(scenario: &Scenario, rule: &FaultRule) -> Result<(), Nonsense> {
    let Trigger::File(path) = &rule.when else { return Ok(()) };
    let path = Path::new(path);
    let is_in_state = scenario.target.state.iter().any(|state| path.starts_with(state));
    refuse(&[(
        path.is_absolute() && !is_in_state,
        "when.file",
        "it lies outside of the state, where the target's files are: write its path from the state on",
    )])
}

/// The role of a rule at crash points, if calls cannot be told apart by it, and where it is named.
fn unrecordable<'a>(
    scenario: &'a Scenario,
    rule: &'a FaultRule,
) -> Option<(&'a str, &'static str)> {
    let (role, at) = match &rule.when {
        Trigger::Points(_) => (rule.who.role.as_deref()?, "who"),
        Trigger::Point(address) => (address.role()?, "when.point"),
        _ => return None,
    };
    let selector = scenario.target.roles.named(role)?;
    (!selector.is_recordable()).then_some((role, at))
}

/// What a rule says of calls.
fn validate_call(rule: &FaultRule) -> Result<(), Nonsense> {
    let is_at_a_point = rule.when.is_at_a_call();
    let only_role = Who { role: rule.who.role.clone(), ..Who::default() };
    let only_caller = Who { caller: true, ..only_role.clone() };
    let is_done_to_the_call = matches!(rule.r#do, Fault::Fail(_) | Fault::ShortWrite(_));
    refuse(&[
        (
            rule.who.caller && !is_at_a_point,
            "who.caller",
            "only `points` and a `point` have a caller",
        ),
        (
            is_done_to_the_call && rule.who != only_role && rule.who != only_caller,
            "who",
            "this is done to the call alone: only a `role` can be named",
        ),
        (
            rule.r#do.is_at_a_call() && !is_at_a_point,
            "do",
            "this is done to a call: it needs `points` or a `point` as its trigger",
        ),
    ])?;
    match &rule.when {
        Trigger::Point(Address::Call { kind, .. }) if !rule.r#do.can_be_done_to(*kind) => {
            let why = format!("{} is never what becomes of a call of {}", rule.r#do, kind.name());
            Err(Nonsense::new("do", why))
        }
        _ => Ok(()),
    }
}

/// A recovery is that of a process which is started again.
fn validate_recovery(scenario: &Scenario, rule: &FaultRule) -> Result<(), Nonsense> {
    let processes = scenario.target.supervision(scenario.seed).processes;
    let is_final = processes.values().all(|it| it.restart == RestartPolicy::Never);
    refuse(&[(
        is_final && rule.when == Trigger::Phase(Phase::Recovery),
        "when.phase",
        "no process is started again (`restart: never`), so that none recovers",
    )])
}
