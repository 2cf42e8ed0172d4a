//! Experiments of the Chaos Toolkit whose providers are `process` or `http`, as scenarios. The file is
//! read strictly; what has no meaning here is refused by its name, and where it stands.
//!
//! The rooms: `form` (the file), `values` (configuration and secrets), `provider` (commands and
//! requests), `tolerance`.

mod form;
mod provider;
mod tolerance;
mod values;

use super::{FileError, Given, NODES_MAX, place, show};
use form::{ActivityForm, Experiment};
use killpoint_model::Nonsense;
use killpoint_model::activity::{Activities, Activity, ActivityKind};
use killpoint_model::fault::Fault;
use killpoint_model::invariant::{CommandEnds, Invariant, JudgeAt, RequestAnswered};
use killpoint_model::objective::Objectives;
use killpoint_model::scenario::{Collect, FaultRule, SCENARIO_VERSION, Scenario, Target, Timeouts};
use killpoint_model::selector::Who;
use killpoint_model::span::Span;
use killpoint_model::trigger::{Times, Trigger};
use provider::Done;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::Path;
use values::Values;

/// What a trial may take beyond its activities and its probes.
const TRIAL_SLACK: Span = Span::from_secs(60);
/// How long the end of the method is looked at before the trial ends: no longer than nothing.
const TRIGGER: Span = Span::from_ms(1);

/// A part of an experiment that cannot be a part of a scenario.
#[derive(Debug)]
struct Refused {
    /// Where, as `method[0].provider`.
    at: String,
    problem: String,
}

fn refused(at: impl Into<String>, problem: impl Into<String>) -> Refused {
    Refused { at: at.into(), problem: problem.into() }
}

/// An experiment as a scenario.
#[derive(Debug)]
pub struct Imported {
    /// The scenario.
    pub scenario: Scenario,
    /// What of the experiment says nothing to us, in words.
    pub notes: Vec<String>,
}

/// What tells an experiment from a scenario; everything else is passed over.
#[derive(Deserialize)]
struct Look {
    method: Option<IgnoredAny>,
    #[serde(rename = "steady-state-hypothesis")]
    hypothesis: Option<IgnoredAny>,
    rollbacks: Option<IgnoredAny>,
    target: Option<IgnoredAny>,
    faults: Option<IgnoredAny>,
}

/// Whether a text is meant as an experiment.
pub(super) fn is_experiment(text: &str) -> bool {
    let look: Result<Look, _> = serde_saphyr::from_str_with_options(text, options());
    look.is_ok_and(|look| {
        let has_ours = look.target.is_some() || look.faults.is_some();
        !has_ours
            && (look.method.is_some() || look.hypothesis.is_some() || look.rollbacks.is_some())
    })
}

fn options() -> serde_saphyr::Options {
    let mut options = super::options();
    if let Some(budget) = &mut options.budget {
        budget.max_nodes = NODES_MAX;
    }
    options
}

/// Reads an experiment.
pub(super) fn parse(text: &str, path: &Path, given: &Given) -> Result<Imported, FileError> {
    let name = path.display().to_string();
    let experiment: Experiment = serde_saphyr::from_str_with_options(text, options())
        .map_err(|error| FileError::Shown(show::parse_error(&error, text, &name)))?;
    let imported = import(&experiment, given).map_err(|refused| {
        let message = format!("{}: {}", refused.at, refused.problem);
        FileError::Shown(show::at(&message, place::find(text, &refused.at), text, &name))
    })?;
    imported.scenario.validate().map_err(|error| {
        let error = Nonsense { at: in_experiment(&error.at), ..error };
        FileError::Shown(show::nonsense(&error, text, &name))
    })?;
    Ok(imported)
}

/// Where an experiment says what a part of its scenario says.
fn in_experiment(at: &str) -> String {
    if let Some(activity) = at.strip_prefix("faults[0].do.activities.") {
        return activity.to_owned();
    }
    match at.strip_prefix("invariants").and_then(|rest| rest.split_once(']')) {
        Some((index, _)) => format!("steady-state-hypothesis.probes{index}]"),
        None => at.to_owned(),
    }
}

fn import(experiment: &Experiment, given: &Given) -> Result<Imported, Refused> {
    if experiment.title.trim().is_empty() {
        return Err(refused("title", "an experiment has a title"));
    }
    if !experiment.controls.is_empty() {
        return Err(refused("controls", "controls are Python, and not carried out: take them out"));
    }
    if experiment.dry.is_some() {
        return Err(refused("dry", "nothing is carried out dry: use `killpoint plan`"));
    }
    let values = Values::of(experiment, given)?;
    let named = by_name(experiment);
    let list = |activities: &[ActivityForm], at: &str| -> Result<Vec<Activity>, Refused> {
        let numbered = activities.iter().enumerate();
        numbered
            .map(|(index, form)| activity(form, &format!("{at}[{index}]"), &values, &named))
            .collect()
    };
    let method = list(&experiment.method, "method")?;
    let rollbacks = list(&experiment.rollbacks, "rollbacks")?;
    if method.is_empty() {
        return Err(refused("method", "it is empty: nothing would be done, and nothing shown"));
    }
    let invariants = hypothesis(experiment, &values)?;
    let rule = FaultRule {
        name: Some("method".to_owned()),
        when: Trigger::At(Times::One(Span::default())),
        r#do: Fault::Activities(Box::new(Activities { method, rollbacks })),
        who: Who::default(),
        trials: 1,
        duration: None,
    };
    let trial = trial_limit(&rule, &invariants);
    let scenario = Scenario {
        version: SCENARIO_VERSION,
        title: experiment.title.clone(),
        variables: BTreeMap::new(),
        seed: Scenario::usual_seed(),
        target: Target::default(),
        workload: None,
        faults: vec![rule],
        invariants,
        objectives: Objectives::default(),
        collect: Collect::default(),
        timeouts: Timeouts { trigger: TRIGGER, trial, ..Timeouts::default() },
        tiers: BTreeMap::new(),
    };
    Ok(Imported { scenario, notes: notes(experiment) })
}

/// The activities that a `ref` may mean.
fn by_name(experiment: &Experiment) -> BTreeMap<&str, &ActivityForm> {
    let hypothesis = experiment.hypothesis.iter().flat_map(|hypothesis| &hypothesis.probes);
    let all = hypothesis.chain(&experiment.method).chain(&experiment.rollbacks);
    all.filter_map(|form| Some((form.name.as_deref()?, form))).collect()
}

fn activity(
    form: &ActivityForm,
    at: &str,
    values: &Values,
    named: &BTreeMap<&str, &ActivityForm>,
) -> Result<Activity, Refused> {
    if let Some(name) = &form.reference {
        let meant = named
            .get(name.as_str())
            .filter(|meant| meant.reference.is_none())
            .ok_or_else(|| refused(format!("{at}.ref"), format!("nothing is called `{name}`")))?;
        return activity(meant, at, values, named);
    }
    let kind = match form.kind.as_deref() {
        Some("action") => ActivityKind::Action,
        Some("probe") => ActivityKind::Probe,
        _ => return Err(refused(format!("{at}.type"), "write `action` or `probe`")),
    };
    let Done { run, request, timeout, is_http } = provider::read(form, at, values)?;
    let tolerance = form.tolerance.as_ref();
    let tolerance = tolerance
        .map(|it| tolerance::read(it, &format!("{at}.tolerance"), values, is_http))
        .transpose()?;
    let pauses = form.pauses.as_ref();
    let pause = |side: Option<&serde_json::Value>, which: &str| match side {
        Some(value) => values.seconds(value, &format!("{at}.pauses.{which}")),
        None => Ok(Span::default()),
    };
    Ok(Activity {
        name: form.name.clone().ok_or_else(|| refused(at, "an activity has a name"))?,
        kind,
        run,
        request,
        timeout,
        pause_before: pause(pauses.and_then(|it| it.before.as_ref()), "before")?,
        pause_after: pause(pauses.and_then(|it| it.after.as_ref()), "after")?,
        background: form.background,
        tolerance,
    })
}

/// The probes of the steady state, asked before the method and after it.
fn hypothesis(experiment: &Experiment, values: &Values) -> Result<Vec<Invariant>, Refused> {
    let Some(hypothesis) = &experiment.hypothesis else { return Ok(Vec::new()) };
    if !hypothesis.controls.is_empty() {
        let at = "steady-state-hypothesis.controls";
        return Err(refused(at, "controls are Python, and not carried out: take them out"));
    }
    let judge = moments(experiment)?;
    let mut invariants = Vec::new();
    for (index, form) in hypothesis.probes.iter().enumerate() {
        let at = format!("steady-state-hypothesis.probes[{index}]");
        if form.tolerance.is_none() {
            return Err(refused(at, "a probe of the steady state has a tolerance"));
        }
        if form.background || form.pauses.is_some() {
            return Err(refused(
                at,
                "a probe of the steady state is neither paused nor put behind",
            ));
        }
        let asked = activity(form, &at, values, &BTreeMap::new())?;
        if asked.kind != ActivityKind::Probe {
            return Err(refused(format!("{at}.type"), "the steady state is shown by probes"));
        }
        let (judge, timeout) = (judge.clone(), asked.timeout);
        let (name, tolerance) = (Some(asked.name), asked.tolerance.unwrap_or_default());
        invariants.push(match asked.request {
            Some(ask) => {
                let asked = RequestAnswered { judge, name, ask, timeout, tolerance };
                Invariant::RequestAnswered(asked)
            }
            None => {
                let asked = CommandEnds { judge, name, run: asked.run, timeout, tolerance };
                Invariant::CommandEnds(asked)
            }
        });
    }
    Ok(invariants)
}

fn moments(experiment: &Experiment) -> Result<Vec<JudgeAt>, Refused> {
    let runtime = experiment.runtime.as_ref();
    let strategy =
        runtime.and_then(|it| it.hypothesis.as_ref()).and_then(|it| it.strategy.as_ref());
    Ok(match strategy.map(String::as_str) {
        None | Some("default") => vec![JudgeAt::Before, JudgeAt::AfterStrike],
        Some("before-method-only") => vec![JudgeAt::Before],
        Some("after-method-only") => vec![JudgeAt::AfterStrike],
        Some("continuously") => {
            vec![JudgeAt::Before, JudgeAt::Continuously, JudgeAt::AfterStrike]
        }
        Some(other) => {
            let problem = format!("the strategy `{other}` is not known here");
            return Err(refused("runtime.hypothesis.strategy", problem));
        }
    })
}

fn trial_limit(rule: &FaultRule, invariants: &[Invariant]) -> Span {
    let mut ms = TRIAL_SLACK.as_ms();
    if let Fault::Activities(activities) = &rule.r#do {
        for it in activities.method.iter().chain(&activities.rollbacks) {
            let spans = [it.timeout, it.pause_before, it.pause_after];
            ms = spans.iter().fold(ms, |sum, span| sum.saturating_add(span.as_ms()));
        }
    }
    for invariant in invariants {
        let timeout = match invariant {
            Invariant::CommandEnds(it) => it.timeout,
            Invariant::RequestAnswered(it) => it.timeout,
            _ => Span::default(),
        };
        ms = ms.saturating_add(timeout.as_ms().saturating_mul(2));
    }
    Span::from_ms(ms)
}

fn notes(experiment: &Experiment) -> Vec<String> {
    let passed_over = [
        ("extensions", experiment.extensions.is_some()),
        ("contributions", experiment.contributions.is_some()),
        ("tags", experiment.tags.is_some()),
    ];
    let said = passed_over.iter().filter(|(_, is_there)| *is_there);
    let mut notes: Vec<String> =
        said.map(|(name, _)| format!("`{name}` says nothing to killpoint")).collect();
    let runtime = experiment.runtime.as_ref();
    if let Some(strategy) = runtime.and_then(|it| it.rollbacks.as_ref()?.strategy.as_ref())
        && strategy != "always"
    {
        notes.push(format!("rollbacks are always carried out, and not `{strategy}`"));
    }
    notes
}

#[cfg(test)]
mod tests;
