//! Phases: the parts of a target's life. Each crash point lies in one.

use crate::crash_model::UnknownName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A part of a target's life, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It starts, and there was no state before.
    FirstStart,
    /// It starts.
    Start,
    /// Its workload is at work.
    Work,
    /// Its workload has ended, and it still changes its state.
    Idle,
    /// It was asked to end.
    Shutdown,
    /// It recovers from a crash.
    Recovery,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Phase; 6] = [
        Phase::FirstStart,
        Phase::Start,
        Phase::Work,
        Phase::Idle,
        Phase::Shutdown,
        Phase::Recovery,
    ];

    /// The name used on the command line, in reports and in files.
    pub fn name(self) -> &'static str {
        match self {
            Phase::FirstStart => "first-start",
            Phase::Start => "start",
            Phase::Work => "work",
            Phase::Idle => "idle",
            Phase::Shutdown => "shutdown",
            Phase::Recovery => "recovery",
        }
    }

    /// Reads a comma-separated list; `start` stands for the first start, too.
    ///
    /// # Errors
    /// The first name that is not a phase.
    pub fn parse_list(text: &str) -> Result<Vec<Phase>, UnknownName> {
        let mut phases = Vec::new();
        for name in text.split(',').map(str::trim) {
            let phase = name.parse()?;
            if phase == Phase::Start {
                phases.push(Phase::FirstStart);
            }
            phases.push(phase);
        }
        phases.sort();
        phases.dedup();
        Ok(phases)
    }
}

impl FromStr for Phase {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Phase::ALL.into_iter().find(|phase| phase.name() == name).ok_or_else(|| UnknownName {
            what: "phase",
            name: name.to_owned(),
            choices: Phase::ALL.map(Phase::name).join(", "),
        })
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_phases_is_in_their_order_and_a_start_may_be_the_first() {
        let list = Phase::parse_list("shutdown, work").expect("known names");
        assert_eq!(list, [Phase::Work, Phase::Shutdown]);
        assert_eq!(Phase::parse_list("start").expect("known"), [Phase::FirstStart, Phase::Start]);
        assert_eq!(Phase::parse_list("first-start").expect("known"), [Phase::FirstStart]);
        assert!(Phase::parse_list("work,end").expect_err("none").to_string().contains("`end`"));
    }

    #[test]
    fn names_are_the_same_on_screen_and_in_files() {
        for phase in Phase::ALL {
            let text = serde_json::to_string(&phase).expect("plain data");
            assert_eq!(text, format!("\"{phase}\""));
        }
    }
}
