//! The invariants of a scenario: a [`Reader`] takes a [`Reading`] of the target for each, and
//! [`judge`] says what it means, without input or output.
//!
//! A database of a target that runs is read where it lies; of one that does not, a copy is opened and
//! thrown away, since opening recovers it. A reading that could not be taken is `unknown`, never
//! `held`.

mod command;
mod counts;
mod database;
mod expression;
mod file;
mod probe;
mod reader;
mod request;
mod vain;

pub use command::{Ended, How, in_words, run_unless, shown};
pub use counts::Names;
pub use database::Database;
pub use expression::check as check_expression;
pub use file::File;
pub use probe::{Answered, Written, is_answered, written};
pub use reader::{Reader, Told};
pub use request::ask;
pub use vain::why_vain;

use super::checker::{self, Expectation};
use super::history::Promise;
use killpoint_model::invariant::Invariant;
use killpoint_model::verdict::{Class, Judgement, Reason};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was read for an invariant at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// A store, by its checker, and how long the ack journal was.
    Store {
        /// What the checker did.
        reading: checker::Reading,
        /// The journal's length; none where it grew at each try to read the store.
        upto: Option<u64>,
    },
    /// A database.
    Database(Database),
    /// A file.
    File(File),
    /// A probe.
    Probe(Answered),
    /// A command.
    Command(Ended),
    /// What is there, and what has to be; none where only doubles are looked for.
    Lists {
        /// What the one command printed.
        listed: Ended,
        /// What the other did.
        expected: Option<Ended>,
    },
    /// The sequences of the checkpoints of each process, in the order in which they were told.
    Checkpoints(BTreeMap<String, Vec<u64>>),
    /// The collected values.
    Values(serde_json::Value),
    /// The names of all files of the state.
    Names(Names),
    /// It could not be read.
    Failed(String),
}

/// What an invariant is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What was read now.
    pub reading: &'a Reading,
    /// What was read before the workload; for files that must not change.
    pub before: Option<&'a Reading>,
    /// What was read at the end of the control; for what is left over.
    pub control: Option<&'a Reading>,
    /// Whether it may be that the target has not made yet what is asked for.
    pub may_be_unmade: bool,
    /// What the ack journal promises, and of what a plain `A` promises survival.
    pub promised: Option<(&'a Expectation, Promise)>,
}

impl<'a> Evidence<'a> {
    /// A reading, and nothing that it is held against.
    pub fn of(reading: &'a Reading) -> Self {
        Evidence { reading, before: None, control: None, may_be_unmade: false, promised: None }
    }
}

/// Judges an invariant.
pub fn judge(invariant: &Invariant, evidence: &Evidence<'_>) -> Judgement {
    match (invariant, evidence.reading) {
        (_, Reading::Failed(problem)) => Judgement::unknown(Reason::JudgeFailed, sentence(problem)),
        (_, reading) if evidence.may_be_unmade && is_missing(reading) => Judgement::held(),
        (Invariant::AckedIsDurable(asked), Reading::Store { reading, upto }) => {
            judge_store(asked.semantics, reading, *upto, evidence)
        }
        (Invariant::Sqlite(asked), Reading::Database(database)) => {
            let control = match evidence.control {
                Some(Reading::Database(control)) => Some(control),
                _ => None,
            };
            database.judge(asked, control)
        }
        (Invariant::File(asked), Reading::File(file)) => {
            let before = match evidence.before {
                Some(Reading::File(before)) => Some(before),
                _ => None,
            };
            file.judge(asked, before)
        }
        (Invariant::ProbeAnswers(asked), Reading::Probe(answered)) => {
            answered.judge(&asked.by, asked.timeout, Class::Bricked)
        }
        (Invariant::RecoveryShown(asked), Reading::Probe(answered)) => {
            answered.judge(&asked.by, asked.timeout, Class::RecoveryNotShown)
        }
        (Invariant::CommandEnds(asked), Reading::Command(ended)) => {
            named(asked.name.as_deref(), ended.judge(&asked.tolerance))
        }
        (Invariant::RequestAnswered(asked), Reading::Command(ended)) => {
            named(asked.name.as_deref(), ended.judge(&asked.tolerance))
        }
        (Invariant::Expression(asked), Reading::Values(values)) => {
            expression::judge(&asked.cel, values)
        }
        (Invariant::MonotonicCheckpoints(_), Reading::Checkpoints(sequences)) => {
            counts::judge_checkpoints(sequences)
        }
        (Invariant::ExactlyOnce(asked), Reading::Lists { listed, expected }) => {
            counts::judge_lists(listed, expected.as_ref(), asked.semantics)
        }
        (Invariant::NoLitter(asked), Reading::Names(names)) => {
            let control = match evidence.control {
                Some(Reading::Names(control)) => Some(control),
                _ => None,
            };
            names.judge(&asked.allow, control)
        }
        (invariant, _) => {
            let kind = invariant.kind();
            let problem = format!("What was read is no reading for the invariant {kind}.");
            Judgement::unknown(Reason::JudgeFailed, problem)
        }
    }
}

/// Whether there is no file to read, or no database in it yet.
fn is_missing(reading: &Reading) -> bool {
    match reading {
        Reading::Database(database) => !database.exists || database.is_empty,
        Reading::File(file) => file.length.is_none(),
        _ => false,
    }
}

/// A judgement that says which question it answers, where that has a name.
fn named(name: Option<&str>, judgement: Judgement) -> Judgement {
    match name.filter(|_| !judgement.detail.is_empty()) {
        Some(name) => Judgement { detail: format!("{name}: {}", judgement.detail), ..judgement },
        None => judgement,
    }
}

fn judge_store(
    semantics: killpoint_model::invariant::Semantics,
    reading: &checker::Reading,
    upto: Option<u64>,
    evidence: &Evidence<'_>,
) -> Judgement {
    let Some((expectation, promise)) = evidence.promised else {
        let problem = "Nothing says what the store has to hold: there is no ack journal.";
        return Judgement::unknown(Reason::NoOracle, problem);
    };
    let Some(upto) = upto else {
        let problem = "Operations went on at each try to read the store.";
        return Judgement::unknown(Reason::NeverSteady, problem);
    };
    checker::judge_under(reading, expectation, upto, promise, semantics)
}

/// A text as a sentence.
fn sentence(text: &str) -> String {
    let mut characters = text.trim_end_matches('.').chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), characters.as_str())
}

#[cfg(test)]
mod tests;
