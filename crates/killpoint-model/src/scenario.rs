//! A scenario: a target and how it is supervised, what drives it, what is done to it, and what must
//! be true of it all the same.
//!
//! The nouns of the file. How the file is read, with its variables and included files, is no
//! business of theirs.

mod collect;
mod target;
mod validate;

pub use collect::{Collect, Dump, Dumps, Screen, Screenshots};
pub use target::{ONLY_PROCESS, Supervisor, Target};

use crate::fault::Fault;
use crate::invariant::Invariant;
use crate::objective::Objectives;
use crate::seed::Seed;
use crate::selector::Who;
use crate::span::Span;
use crate::supervision::{Command, Probe};
use crate::trigger::Trigger;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Version of the format.
pub const SCENARIO_VERSION: u32 = 1;
/// Most rules of a scenario.
pub const FAULT_RULES_MAX: usize = 1_000;
/// Most trials of one rule.
pub const TRIALS_PER_RULE_MAX: u32 = 100_000;

/// A scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// Version of the format: 1.
    pub version: u32,
    /// What is tried, in a sentence.
    #[serde(default)]
    pub title: String,
    /// Names that `${NAME}` in a value stands for. They are filled in when the file is read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, Variable>,
    /// Where everything random comes from.
    #[serde(default = "Scenario::usual_seed")]
    pub seed: Seed,
    /// The program under test. None where the faults are activities, which do what they do to something
    /// that was started by somebody else.
    #[serde(default)]
    pub target: Target,
    /// What drives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// What is done to it.
    #[serde(default)]
    pub faults: Vec<FaultRule>,
    /// What must be true of it.
    #[serde(default)]
    pub invariants: Vec<Invariant>,
    /// How good it has to be, in numbers.
    #[serde(default)]
    pub objectives: Objectives,
    /// What is kept of the target.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub collect: Collect,
    /// The limits of a trial.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// What is different at `--tier`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tiers: BTreeMap<Tier, TierChange>,
}

/// Where the value of a variable comes from: `--set`, else the environment, else the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Variable {
    /// The value where nothing else gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The variable of the environment that gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// What drives the target and writes the ack journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Workload {
    /// The program and its arguments. KILLPOINT_JOURNAL and KILLPOINT_STATE are set.
    pub command: Command,
    /// A workload that goes on for longer is stopped, and the trial goes on without it.
    #[serde(default = "Workload::usual_timeout")]
    pub timeout: Span,
}

impl Workload {
    fn usual_timeout() -> Span {
        Span::from_secs(60)
    }
}

/// When, what, whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FaultRule {
    /// What it is called in reports and tiers; by its place, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When.
    pub when: Trigger,
    /// What.
    pub r#do: Fault,
    /// Whom.
    #[serde(default)]
    pub who: Who,
    /// In how many trials; each starts the target anew.
    #[serde(default = "FaultRule::usual_trials")]
    pub trials: u32,
    /// With an interval: strike again and again for so long in each trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
}

impl FaultRule {
    fn usual_trials() -> u32 {
        1
    }
}

/// The limits of a trial. They are said in the plan, whether a file gives them or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Timeouts {
    /// Until the target is ready at first.
    pub start: Span,
    /// From a strike, or from the end of a suspension or of `keep-down`, until the target is ready again. One
    /// that takes longer is `hung`, one that is given up is `bricked`.
    pub recovery: Span,
    /// How long a trigger is waited for after the workload has ended.
    pub trigger: Span,
    /// Until the target is down at the end of a trial, every rung of its stop included.
    pub stop: Span,
    /// A whole trial.
    pub trial: Span,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            start: Span::from_secs(30),
            recovery: Span::from_secs(30),
            trigger: Span::from_secs(2),
            stop: Span::from_secs(30),
            trial: Span::from_secs(300),
        }
    }
}

/// How thorough a run is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// While somebody waits for it.
    Local,
    /// Every night.
    Nightly,
    /// Before a release.
    PreRelease,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Why a text is no tier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no tier: write local, nightly or pre-release")]
pub struct TierError(String);

impl FromStr for Tier {
    type Err = TierError;

    fn from_str(text: &str) -> Result<Self, TierError> {
        let tiers = [Tier::Local, Tier::Nightly, Tier::PreRelease];
        let tier = tiers.into_iter().find(|tier| tier.to_string() == text);
        tier.ok_or_else(|| TierError(text.to_owned()))
    }
}

/// What a tier changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TierChange {
    /// Only the rules of these names; all, if none is given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// The trials of each rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trials: Option<u32>,
    /// The duration of each rule that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
}

fn is_usual(collect: &Collect) -> bool {
    *collect == Collect::default()
}

impl Scenario {
    /// The seed where none is given.
    pub fn usual_seed() -> Seed {
        Seed(42)
    }

    /// Whether nothing is started: the target, whatever it is, was started by somebody else, and the
    /// faults are activities alone.
    pub fn is_of_anothers_target(&self) -> bool {
        self.target == Target::default()
            && !self.faults.is_empty()
            && self.faults.iter().all(|rule| matches!(rule.r#do, Fault::Activities(_)))
    }

    /// Whether a trigger or an invariant looks for lines that the target prints.
    pub fn reads_lines(&self) -> bool {
        let in_triggers = self.faults.iter().any(|rule| matches!(rule.when, Trigger::LogLine(_)));
        let by = |invariant: &Invariant| match invariant {
            Invariant::ProbeAnswers(it) => matches!(it.by, Probe::LogLine(_)),
            Invariant::RecoveryShown(it) => matches!(it.by, Probe::LogLine(_)),
            _ => false,
        };
        in_triggers || self.invariants.iter().any(by)
    }

    /// The name of a rule, by its index.
    pub fn rule_name(&self, index: usize) -> String {
        let named = self.faults.get(index).and_then(|rule| rule.name.clone());
        named.unwrap_or_else(|| format!("fault-{}", index + 1))
    }

    /// Whether some rule strikes at a call, so that the target has to be recorded first.
    pub fn strikes_at_calls(&self) -> bool {
        self.faults.iter().any(|rule| rule.when.is_at_a_call())
    }

    /// The scenario as a tier changes it. The others are gone then: they are about rules that may be gone.
    pub fn at_tier(mut self, tier: Tier) -> Self {
        let Some(change) = self.tiers.remove(&tier) else { return self };
        self.tiers.clear();
        let names: Vec<String> =
            (0..self.faults.len()).map(|index| self.rule_name(index)).collect();
        let mut named: Vec<(String, FaultRule)> =
            names.into_iter().zip(std::mem::take(&mut self.faults)).collect();
        if !change.faults.is_empty() {
            named.retain(|(name, _)| change.faults.contains(name));
        }
        for (name, mut rule) in named {
            rule.trials = change.trials.unwrap_or(rule.trials);
            rule.duration = rule.duration.and(change.duration).or(rule.duration);
            // A rule that is left out must not give its neighbour another name.
            rule.name = Some(name);
            self.faults.push(rule);
        }
        self
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn read(text: &str) -> Scenario {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    pub(crate) const NOTES: &str = r#"{"version": 1, "title": "Saving survives", "seed": 7,
        "target": {"command": ["guest-notes", "{state}"], "state": ["./data"],
                   "supervisor": {"restart": "always", "backoff": "50ms"},
                   "ready": {"by": "notify", "timeout": "5s"},
                   "roles": {"worker": {"cmdline": "--type=worker"}}},
        "workload": {"command": ["./drive.sh"]},
        "faults": [{"name": "worker", "when": {"interval": "100ms..900ms"}, "do": "kill",
                    "who": {"role": "worker", "pick": "one"}, "trials": 3},
                   {"when": {"interval": "1s..2s"}, "do": {"suspend": "1s"}, "duration": "10s"},
                   {"when": {"at": ["1s", "2s"]}, "do": "terminate"}],
        "invariants": [{"acked-is-durable": {"check": "./check"}}],
        "objectives": {"data-loss": 0},
        "tiers": {"local": {"faults": ["worker"], "trials": 1}, "nightly": {"duration": "1h"}}}"#;

    #[test]
    fn a_scenario_survives_being_written_and_read() {
        let scenario = read(NOTES);
        let text = serde_json::to_string(&scenario).expect("plain data");
        assert_eq!(read(&text), scenario);
        assert_eq!(scenario.timeouts, Timeouts::default());
    }

    #[test]
    fn lines_are_read_where_a_trigger_or_an_invariant_needs_them() {
        assert!(!read(NOTES).reads_lines());
        let line = r#"{"log-line": {"pattern": "^saved"}}"#;
        assert!(read(&NOTES.replace(r#"{"at": ["1s", "2s"]}"#, line)).reads_lines());
        let shown = r#"{"recovery-shown": {"by": {"log-line": "recovered"}}}"#;
        assert!(
            read(&NOTES.replace(r#"{"acked-is-durable": {"check": "./check"}}"#, shown))
                .reads_lines()
        );
    }

    #[test]
    fn a_tier_chooses_rules_and_changes_their_numbers() {
        let local = read(NOTES).at_tier(Tier::Local);
        assert_eq!((local.faults.len(), local.faults[0].trials), (1, 1));
        assert_eq!(local.validate(), Ok(()), "no tier is left that wants what is gone");
        let nightly = read(NOTES).at_tier(Tier::Nightly);
        assert_eq!(nightly.faults[1].duration, Some(Span::from_secs(3_600)));
        assert_eq!(nightly.faults[0].duration, None, "it strikes once");
        assert_eq!(nightly.rule_name(1), "fault-2");
        assert_eq!(read(NOTES).at_tier(Tier::PreRelease), read(NOTES));
        assert!("weekly".parse::<Tier>().is_err());
    }
}
