//! Crash points of a recording, and which of them a rule strikes at.

use crate::address::Address;
use crate::scenario::{FaultRule, Scenario};
use crate::seed::Generator;
use crate::trigger::{Points, Trigger};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most crash points at which one rule strikes; of more, that many are drawn.
pub const POINTS_PER_RULE_MAX: usize = 500;

/// What was recorded of an undisturbed target: the calls on its state, in the order in which they were
/// made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrashPoints {
    /// The calls.
    pub addresses: Vec<Address>,
    /// The names that its calls gave: any other is written by its birth, as `<new1>`.
    pub names: BTreeSet<String>,
    /// What is to be said of the recording, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

impl CrashPoints {
    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.names.is_empty()
    }
}

/// The crash points at which a rule strikes, and how many there would be without a bound.
pub(super) fn points_of(
    scenario: &Scenario,
    index: usize,
    points: &CrashPoints,
) -> (Vec<Address>, usize) {
    let rule = &scenario.faults[index];
    let Trigger::Points(which) = rule.when else { return (Vec::new(), 0) };
    let eligible: Vec<&Address> =
        points.addresses.iter().filter(|address| is_eligible(scenario, rule, address)).collect();
    let purpose = format!("{}/points", scenario.rule_name(index));
    // One that is drawn in each trial may be any of them.
    let count = if which == Points::All { POINTS_PER_RULE_MAX } else { usize::MAX };
    let mut generator = Generator::named(scenario.seed, &purpose);
    let chosen = match eligible.len() > count {
        true => generator.sample(eligible.len(), count),
        false => (0..eligible.len()).collect(),
    };
    let all = eligible.len();
    (chosen.into_iter().map(|chosen| eligible[chosen].clone()).collect(), all)
}

/// Whether a rule may strike at a call: it is made by a process of the role that it names, and of a
/// kind to which its fault can be done.
fn is_eligible(scenario: &Scenario, rule: &FaultRule, address: &Address) -> bool {
    let Address::Call { kind, role, .. } = address else { return false };
    let wanted = rule.who.role.as_ref().filter(|name| scenario.target.roles.named(name).is_some());
    wanted.is_none_or(|wanted| role.as_ref() == Some(wanted)) && rule.r#do.can_be_done_to(*kind)
}
