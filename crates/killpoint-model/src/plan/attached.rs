//! The plan for processes that somebody else started: who they are whatever their numbers, and when they are
//! struck.

use super::{PLAN_VERSION, PlanError, PlannedStrike, STRIKES_PER_TRIAL_MAX, strikes};
use crate::scenario::FaultRule;
use crate::seed::{Generator, Seed};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who is attached to, by what stays the same when it is started again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StableIdentity {
    /// Whoever is in this control group or below it.
    Cgroup(String),
    /// A process that executes this file.
    Executable {
        /// Its path.
        path: String,
        /// BLAKE3 of its contents, hexadecimal.
        digest: String,
    },
}

impl fmt::Display for StableIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StableIdentity::Cgroup(path) => write!(f, "whoever is in the control group {path}"),
            StableIdentity::Executable { path, digest } => {
                write!(f, "{path} (blake3 {})", digest.get(..12).unwrap_or(digest))
            }
        }
    }
}

/// What is done to processes that somebody else started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachedPlan {
    /// Version of the format.
    pub version: u32,
    /// BLAKE3 of everything else in it, hexadecimal.
    pub digest: String,
    /// The seed, with its generator's name.
    pub seed: String,
    /// Who they are. Numbers of processes are no part of a plan.
    pub targets: Vec<StableIdentity>,
    /// When, what, whom.
    pub rule: FaultRule,
    /// The strikes, in order.
    pub strikes: Vec<PlannedStrike>,
}

impl AttachedPlan {
    /// Draws the strikes of a rule.
    ///
    /// # Errors
    /// If they are too many, or what is done makes no sense.
    pub fn make(
        targets: Vec<StableIdentity>,
        rule: FaultRule,
        seed: Seed,
    ) -> Result<Self, PlanError> {
        rule.r#do.check()?;
        let name = rule.name.clone().unwrap_or_else(|| "fault-1".to_owned());
        let mut generator = Generator::named(seed, &format!("{name}/1"));
        let strikes = strikes(&rule, &[], 0, &mut generator).ok_or_else(|| PlanError::TooMuch {
            rule: name,
            what: format!("more than {STRIKES_PER_TRIAL_MAX} strikes"),
        })?;
        let seed = seed.to_string();
        let version = PLAN_VERSION;
        let mut plan =
            AttachedPlan { version, digest: String::new(), seed, targets, rule, strikes };
        let text = serde_json::to_vec(&plan).expect("a plan is plain data with text keys");
        plan.digest = blake3::hash(&text).to_hex().to_string();
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_targets_give_the_same_plan_and_others_another() {
        let rule: FaultRule = serde_json::from_str(
            r#"{"name":"roulette","when":{"interval":"1s..2s"},"do":"kill","duration":"10s"}"#,
        )
        .expect("a rule");
        let make = |group: &str, seed| {
            let targets = vec![StableIdentity::Cgroup(group.to_owned())];
            AttachedPlan::make(targets, rule.clone(), Seed(seed)).expect("a plan")
        };
        assert_eq!(make("/a", 1), make("/a", 1));
        assert_eq!(make("/a", 1).strikes, make("/b", 1).strikes);
        assert_ne!(make("/a", 1).digest, make("/b", 1).digest);
        assert_ne!(make("/a", 1).strikes, make("/a", 2).strikes);
        assert!(make("/a", 1).strikes.len() >= 5);
    }
}
