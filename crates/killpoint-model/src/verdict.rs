//! Verdicts, classes, reasons, and the exit codes that follow from them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a trial shows. A run takes the worst: held, then unknown, then violated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "as")]
pub enum Verdict {
    /// Every promise was kept.
    Held,
    /// It cannot be said, and why.
    Unknown(Reason),
    /// A promise was broken, and how.
    Violated(Class),
}

/// How a promise was broken, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The data is there, but only another replica has it.
    RecoverableByPeer,
    /// The data is there, but only a person finds it (a backup file).
    RecoverableByHand,
    /// An objective was missed.
    SloMissed,
    /// The program came back but did not show its recovery.
    RecoveryNotShown,
    /// Something is shown as data that was never stored.
    Extra,
    /// An operation was applied more than once.
    Duplicated,
    /// A value is there that was never intended.
    Wrong,
    /// A value is there in part.
    Torn,
    /// Opening it does not end in time, twice.
    Hung,
    /// The program never starts again.
    Bricked,
    /// The store does not open.
    Unopenable,
    /// Acknowledged as surviving a power cut, and gone after one.
    AckedNotDurable,
    /// An acknowledged value, or an older one that had to stay, is gone.
    Lost,
}

/// Why it cannot be said whether a promise was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The live kill met no such call.
    NotFired,
    /// The addresses before the strike were not those of the recording.
    Diverged,
    /// The target died by a signal that we did not send.
    ForeignDeath,
    /// The checker could not be run or understood.
    JudgeFailed,
    /// Nothing here can say what the file should hold.
    NoOracle,
    /// The harness does not see how this file is changed.
    NotCovered,
    /// The target never became steady.
    NeverSteady,
    /// The history has too many undecided operations to search.
    TooConcurrent,
    /// The run was stopped.
    Interrupted,
}

macro_rules! kebab_display {
    ($($kind:ty),*) => {$(
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&kebab(&format!("{self:?}")))
            }
        }
    )*};
}
kebab_display!(Class, Reason, Outcome);

/// `AckedNotDurable` to `acked-not-durable`, as serde writes it.
fn kebab(camel: &str) -> String {
    let mut text = String::new();
    for (index, character) in camel.chars().enumerate() {
        if character.is_ascii_uppercase() && index > 0 {
            text.push('-');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Held => f.pad("held"),
            Verdict::Unknown(reason) => write!(f, "unknown ({reason})"),
            Verdict::Violated(class) => write!(f, "violated ({class})"),
        }
    }
}

/// A verdict and what a person should know about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// In plain words and numbers, one sentence or two; empty when it held.
    pub detail: String,
    /// How many acknowledged or older keys are gone or changed.
    #[serde(default)]
    pub keys_lost: u64,
    /// How many bytes of acknowledged values are gone.
    #[serde(default)]
    pub bytes_lost: u64,
    /// How many keys had a draft, unsaved work.
    #[serde(default)]
    pub drafts_open: u64,
    /// How many of them show it again.
    #[serde(default)]
    pub drafts_restored: u64,
}

impl Judgement {
    /// Every promise was kept.
    pub fn held() -> Self {
        Judgement {
            verdict: Verdict::Held,
            detail: String::new(),
            keys_lost: 0,
            bytes_lost: 0,
            drafts_open: 0,
            drafts_restored: 0,
        }
    }

    /// It cannot be said.
    pub fn unknown(reason: Reason, detail: impl Into<String>) -> Self {
        Judgement { verdict: Verdict::Unknown(reason), detail: detail.into(), ..Judgement::held() }
    }

    /// A promise was broken.
    pub fn violated(class: Class, detail: impl Into<String>) -> Self {
        Judgement { verdict: Verdict::Violated(class), detail: detail.into(), ..Judgement::held() }
    }
}

/// The result of a run, and the exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every trial held.
    Pass,
    /// A promise was broken.
    Violated,
    /// Bad usage or bad input; nothing was touched.
    Usage,
    /// Something could not be judged.
    Unknown,
    /// No trial but the control could strike or judge anything.
    Vacuous,
    /// A halt condition ended the run.
    Aborted,
    /// The control did not hold.
    BaselineFailed,
    /// A defect of Killpoint itself.
    InternalError,
    /// Stopped from outside.
    Interrupted,
}

impl Outcome {
    /// Every outcome with its exit code and meaning: the one table.
    pub const TABLE: [(Outcome, u8, &'static str); 9] = [
        (Outcome::Pass, 0, "every trial held"),
        (Outcome::Violated, 1, "a promise was broken"),
        (Outcome::Usage, 2, "bad usage or bad input; nothing was touched"),
        (Outcome::Unknown, 3, "something could not be judged"),
        (Outcome::Vacuous, 4, "no trial but the control could strike or judge anything"),
        (Outcome::Aborted, 5, "a halt condition ended the run"),
        (Outcome::BaselineFailed, 6, "the control, with no fault injected, did not hold"),
        (Outcome::InternalError, 70, "a defect of killpoint itself"),
        (Outcome::Interrupted, 130, "stopped from outside"),
    ];

    /// The process exit code.
    pub fn exit_code(self) -> u8 {
        Self::TABLE.iter().find(|row| row.0 == self).expect("every outcome stands in the table").1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_verdict_is_the_greatest() {
        let held = Verdict::Held;
        let unknown = Verdict::Unknown(Reason::NoOracle);
        let violated = Verdict::Violated(Class::Lost);
        assert!(held < unknown && unknown < violated);
    }

    #[test]
    fn names_are_the_same_on_screen_and_in_files() {
        let json = serde_json::to_string(&Class::AckedNotDurable).expect("plain data");
        assert_eq!(json, format!("\"{}\"", Class::AckedNotDurable));
        assert_eq!(Outcome::BaselineFailed.to_string(), "baseline-failed");
    }

    #[test]
    fn exit_codes_are_the_documented_ones_and_differ() {
        let codes: Vec<u8> = Outcome::TABLE.iter().map(|row| row.0.exit_code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 70, 130]);
    }
}
