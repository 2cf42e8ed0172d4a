//! Strikes: what a fault, carried out once on one process, is proved to have done.

use crate::lifecycle::Exit;
use serde::{Deserialize, Serialize};

/// A fault that was carried out once on one process, with the proof of its effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strike {
    /// The process's number.
    pub pid: i32,
    /// When it began, in clock ticks after the machine was started.
    pub start: u64,
    /// What was done, one entry for each rung of a ladder that was stepped on.
    pub steps: Vec<Step>,
}

/// One thing that was done to the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What: `SIGTERM`, `command`, `http`, `suspend`, `resume`, `keep-down`.
    pub what: String,
    /// From the decision to the moment at which it had been handed to the kernel, microseconds.
    pub done_after_us: u64,
    /// From the decision to the moment at which its effect was seen, microseconds.
    pub seen_after_us: u64,
    /// What it did.
    pub effect: Effect,
}

/// What is proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "effect")]
pub enum Effect {
    /// The process ended, seen through its pidfd.
    Ended {
        /// How; none where only its parent was told.
        death: Option<Exit>,
    },
    /// The process took the signal and lives on.
    Delivered,
    /// The process ignores that signal: the kernel threw it away.
    Ignored,
    /// The process blocks that signal, or does not get to run: it waits.
    Pending,
    /// The way of the application's own was taken, and the process lives on.
    LivesOn,
    /// The way of the application's own could not be taken.
    Failed {
        /// Why.
        why: String,
    },
    /// All threads stand still.
    Suspended {
        /// How.
        by: SuspendedBy,
        /// How many threads.
        threads: u32,
    },
    /// They go on.
    Resumed,
    /// Its restart is inhibited, or no longer.
    Noted,
    /// The call gave back this: a number of bytes, or a negative error number.
    Returned {
        /// What.
        result: i64,
    },
    /// It had ended before anything could be done.
    Gone,
}

/// How a process was suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuspendedBy {
    /// The freezer of control groups: neither the process nor its parent is told.
    Freezer,
    /// SIGSTOP: its parent is told.
    Signal,
}

impl Strike {
    /// Whether something happened to the process; a strike that did nothing is `not-fired`.
    pub fn fired(&self) -> bool {
        self.steps.iter().any(|step| match step.effect {
            Effect::Ended { .. }
            | Effect::Delivered
            | Effect::LivesOn
            | Effect::Suspended { .. }
            | Effect::Resumed
            | Effect::Returned { .. }
            | Effect::Noted => true,
            Effect::Ignored | Effect::Pending | Effect::Failed { .. } | Effect::Gone => false,
        })
    }

    /// Whether it brought the process down. Between two rungs of a ladder that is an end, too.
    pub fn came_down(&self) -> bool {
        self.steps.iter().enumerate().any(|(rung, step)| match step.effect {
            Effect::Ended { .. } => true,
            Effect::Gone => rung > 0,
            _ => false,
        })
    }

    /// How the process ended by it, if it did.
    pub fn death(&self) -> Option<Exit> {
        self.steps.iter().find_map(|step| match step.effect {
            Effect::Ended { death } => death,
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_nothing_has_not_fired() {
        let strike = |effect| Strike {
            pid: 1,
            start: 1,
            steps: vec![Step {
                what: "SIGTERM".to_owned(),
                done_after_us: 1,
                seen_after_us: 2,
                effect,
            }],
        };
        assert!(!strike(Effect::Ignored).fired() && !strike(Effect::Gone).fired());
        assert!(strike(Effect::Ended { death: None }).fired());
        let json = serde_json::to_string(&strike(Effect::Delivered)).expect("plain data");
        let again: Strike = serde_json::from_str(&json).expect("the same");
        assert_eq!(again, strike(Effect::Delivered));
    }
}
