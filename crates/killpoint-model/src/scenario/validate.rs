//! What makes no sense in a scenario, though every part of it is well-formed. What a part can tell of
//! itself stands beside it (`check`); here is what needs the others.

mod places;
mod rule;

use super::{FAULT_RULES_MAX, ONLY_PROCESS, SCENARIO_VERSION, Scenario, TRIALS_PER_RULE_MAX};
use crate::invariant::Invariant;
use crate::nonsense::{Nonsense, refuse, refuse_no_program};
use crate::span::Span;
use crate::supervision::check_variables;
use std::collections::{BTreeMap, BTreeSet};

const NOT_ZERO: &str = "it must be greater than 0";

impl Scenario {
    /// Whether it can be planned.
    ///
    /// # Errors
    /// The first thing that is wrong; its path is one as `faults[0].when`.
    pub fn validate(&self) -> Result<(), Nonsense> {
        if self.version != SCENARIO_VERSION {
            let why = format!(
                "version {} of a scenario is not known: write version {SCENARIO_VERSION}",
                self.version
            );
            return Err(Nonsense::new("version", why));
        }
        self.validate_target()?;
        self.validate_rules()?;
        if let Some(workload) = &self.workload {
            refuse_no_program("workload.command", &workload.command)?;
            let is_zero = workload.timeout == Span::default();
            refuse(&[(is_zero, "workload.timeout", NOT_ZERO)])?;
        }
        self.validate_invariants()?;
        self.collect.check().map_err(|it| it.within("collect"))?;
        self.validate_objectives()?;
        self.validate_timeouts()?;
        self.validate_tiers()?;
        places::validate(self)
    }

    fn validate_target(&self) -> Result<(), Nonsense> {
        let target = &self.target;
        let is_anothers = self.is_of_anothers_target();
        if target.command.is_empty() == target.processes.is_empty() && !is_anothers {
            let why = "a target has either a `command` or `processes`; only a scenario whose faults \
                       are all `activities` needs none";
            return Err(Nonsense::new("target", why));
        }
        if is_anothers {
            return Ok(());
        }
        if target.command.is_empty() {
            let beside = [
                ("supervisor", target.supervisor != Default::default()),
                ("ready", target.ready.is_some()),
                ("watchdog", target.watchdog.is_some()),
                ("stop", target.stop != Default::default()),
            ];
            if let Some((word, _)) = beside.iter().find(|(_, is_said)| *is_said) {
                let why = match *word {
                    "supervisor" => {
                        "it belongs to a `command`: each of the `processes` has its keys (`restart`, \
                         `backoff`, `start-limit`, ...) itself"
                    }
                    _ => "it belongs to a `command`: say it within each of the `processes`",
                };
                return Err(Nonsense::new(format!("target.{word}"), why));
            }
        }
        for (name, selector) in target.roles.iter() {
            selector.check().map_err(|it| it.within(&format!("target.roles.{name}")))?;
        }
        self.validate_places_of_target()?;
        target.supervision(self.seed).check().map_err(|it| self.in_target(it))
    }

    /// Where the target works, with which variables, on what.
    fn validate_places_of_target(&self) -> Result<(), Nonsense> {
        let target = &self.target;
        let is_nameless = target.directory.as_ref().is_some_and(|it| it.trim().is_empty());
        let why = "it is empty: name a directory, or leave it out for that of the scenario";
        refuse(&[(is_nameless, "target.directory", why)])?;
        for (index, state) in target.state.iter().enumerate() {
            let at = format!("target.state[{index}]");
            refuse(&[
                (state.trim().is_empty(), &at, "it is empty: name a directory"),
                (target.state[..index].contains(state), &at, "it is named twice"),
            ])?;
        }
        let own = std::iter::once(("target.environment".to_owned(), &target.environment));
        let of_processes = target.processes.iter();
        let of_processes = of_processes
            .map(|(name, it)| (format!("target.processes.{name}.environment"), &it.environment));
        for (at, variables) in own.chain(of_processes) {
            check_variables(variables)
                .and_then(|()| check_ours(variables))
                .map_err(|it| it.within(&at))?;
        }
        Ok(())
    }

    /// Where the file says what makes no sense to the supervisor: of an only process in the target itself.
    fn in_target(&self, nonsense: Nonsense) -> Nonsense {
        let prefix = format!("processes.{ONLY_PROCESS}.");
        let of_only = nonsense.at.strip_prefix(&prefix).filter(|_| !self.target.command.is_empty());
        let Some(word) = of_only else { return nonsense.within("target") };
        let of_supervisor = ["restart", "backoff", "start-limit", "limits", "checkpoint"];
        let first = word.split('.').next().unwrap_or_default();
        let holder = if of_supervisor.contains(&first) { "target.supervisor" } else { "target" };
        Nonsense { at: word.to_owned(), ..nonsense }.within(holder)
    }

    fn validate_rules(&self) -> Result<(), Nonsense> {
        if self.faults.len() > FAULT_RULES_MAX {
            return Err(Nonsense::new("faults", format!("more than {FAULT_RULES_MAX} rules")));
        }
        let mut names = BTreeSet::new();
        for (index, rule) in self.faults.iter().enumerate() {
            let at = format!("faults[{index}]");
            let name = self.rule_name(index);
            let twice = format!("another rule is called `{name}`: give each a name of its own");
            refuse(&[
                (name.trim().is_empty(), "name", "it is empty: write a name, or leave it out"),
                (!names.insert(name), "name", &twice),
            ])
            .and_then(|()| rule::validate(self, rule))
            .map_err(|it| it.within(&at))?;
        }
        Ok(())
    }

    fn validate_invariants(&self) -> Result<(), Nonsense> {
        let has_state = !self.is_of_anothers_target();
        for (index, invariant) in self.invariants.iter().enumerate() {
            let at = format!("invariants[{index}].{}", invariant.kind());
            invariant.check(has_state).map_err(|it| it.within(&at))?;
            if let Some(same) = self.invariants[..index].iter().position(|it| it == invariant) {
                let why = format!("invariants[{same}] is the same: take one of them out");
                return Err(Nonsense::new(at, why));
            }
        }
        Ok(())
    }

    fn validate_objectives(&self) -> Result<(), Nonsense> {
        let is_store = |it: &Invariant| matches!(it, Invariant::AckedIsDurable(_));
        let objectives = &self.objectives;
        objectives
            .check()
            .and_then(|()| {
                refuse(&[
                    (
                        objectives.data_loss.is_some() && !self.invariants.iter().any(Invariant::reads_back),
                        "data-loss",
                        "no invariant reads back what was acknowledged: add `acked-is-durable`, or to \
                         `exactly-once` what is `expected`",
                    ),
                    (
                        objectives.unsaved_restored.is_some()
                            && !self.invariants.iter().any(is_store),
                        "unsaved-restored",
                        "no invariant reads the store: add `acked-is-durable`",
                    ),
                ])
            })
            .map_err(|it| it.within("objectives"))
    }

    fn validate_timeouts(&self) -> Result<(), Nonsense> {
        let it = &self.timeouts;
        let is_zero = |span: Span| span == Span::default();
        let too_short = format!(
            "a whole trial is over before the target may be ready (`start`, {}): write a longer time",
            it.start
        );
        refuse(&[
            (is_zero(it.start), "timeouts.start", NOT_ZERO),
            (is_zero(it.recovery), "timeouts.recovery", NOT_ZERO),
            (is_zero(it.trigger), "timeouts.trigger", NOT_ZERO),
            (is_zero(it.stop), "timeouts.stop", NOT_ZERO),
            (is_zero(it.trial), "timeouts.trial", NOT_ZERO),
            (it.trial < it.start, "timeouts.trial", &too_short),
        ])
    }

    fn validate_tiers(&self) -> Result<(), Nonsense> {
        let names: Vec<String> = (0..self.faults.len()).map(|it| self.rule_name(it)).collect();
        for (tier, change) in &self.tiers {
            let at = format!("tiers.{tier}");
            if let Some(unknown) = change.faults.iter().find(|name| !names.contains(name)) {
                let why = format!("there is no rule `{unknown}`: there is {}", list(&names));
                return Err(Nonsense::new(format!("{at}.faults"), why));
            }
            let changed = self.clone().at_tier(*tier).faults;
            let has_duration = changed.iter().any(|rule| rule.duration.is_some());
            let number = format!("write 1 to {TRIALS_PER_RULE_MAX}");
            let is_count = change.trials.is_none_or(|it| (1..=TRIALS_PER_RULE_MAX).contains(&it));
            refuse(&[
                (!is_count, "trials", &number),
                (
                    change.duration.is_some() && !has_duration,
                    "duration",
                    "no rule of this tier has a `duration` that it could change",
                ),
            ])
            .and_then(|()| changed.iter().try_for_each(rule::validate_duration))
            .map_err(|it| it.within(&at))?;
        }
        Ok(())
    }
}

/// Whether variables are left to us that we set ourselves.
fn check_ours(variables: &BTreeMap<String, String>) -> Result<(), Nonsense> {
    let ours = ["KILLPOINT_STATE", "KILLPOINT_JOURNAL", "KILLPOINT_RUN"];
    match variables.keys().find(|name| ours.contains(&name.as_str())) {
        Some(name) => Err(Nonsense::new(name, "killpoint sets it in each trial: leave it out")),
        None => Ok(()),
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
