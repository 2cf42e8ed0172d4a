//! The judge: whether a reopened store can be what the ack journal allows.
//!
//! A pure function of the journal's operations, the store at the start of the workload, the journal's
//! length at the crash, and the store that a checker read afterwards. The rules are specified in
//! `docs/ack-journal.md`. A key that is only set and deleted is judged by itself, without a search; sums, lists
//! and transactions are searched for a serial order, within a bound.

mod drafts;
mod finding;
mod list;
mod problem;
mod records;
mod search;
mod store;
mod sum;
mod text;

pub use records::Promise;
pub use store::{Store, StoreError, check_store, parse_store};

use super::journal::{Journal, Pending, at_length};
use drafts::Drafts;
use finding::{Due, Finding, Symptom};
use killpoint_model::invariant::Semantics;
use killpoint_model::verdict::{Class, Judgement, Reason};
use problem::{Bend, Problem, elements_of};
use records::{Kind, Moment, Records};
use serde_json::Value as Json;
use store::{amount_of, same, text_of};
use text::is_torn;

/// A store at the start that the journal cannot go on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A key that the journal adds to.
    #[error(
        "the journal adds to key {key}, and at the start the checker showed no decimal number for it"
    )]
    NotANumber {
        /// The key.
        key: String,
    },
    /// A key that the journal appends to.
    #[error(
        "the journal appends to key {key}, and at the start the checker showed no array for it"
    )]
    NotAList {
        /// The key.
        key: String,
    },
}

/// What was promised, from a known store on.
#[derive(Clone, Debug)]
pub struct History {
    start: u64,
    initial: Store,
    records: Records,
    drafts: Drafts,
    pending: Vec<(u64, Pending)>,
}

impl History {
    /// The history of a workload that began when the journal was `start` bytes long and the store held
    /// `initial`. Lines before the start tell only how the initial store came about; what they leave
    /// undecided may still be applied.
    ///
    /// # Errors
    /// A sum that starts as no number, or a list that starts as no array.
    pub fn new(journal: &Journal, start: u64, initial: Store) -> Result<History, HistoryError> {
        History::from(journal, start, initial, false)
    }

    /// The history after a crash at this length of the journal. The first reading decides what was
    /// undecided: each such operation is in it or is never applied.
    ///
    /// # Errors
    /// As for [`History::new`].
    pub fn after_crash(
        journal: &Journal,
        length: u64,
        first_reading: Store,
    ) -> Result<History, HistoryError> {
        History::from(journal, length, first_reading, true)
    }

    fn from(
        journal: &Journal,
        start: u64,
        initial: Store,
        are_decided: bool,
    ) -> Result<History, HistoryError> {
        let records = Records::new(journal, start, are_decided);
        for key in &records.keys {
            let Some(value) = initial.get(&key.name) else { continue };
            match key.kind {
                Kind::Sum if amount_of(value).is_none() => {
                    return Err(HistoryError::NotANumber { key: key.name.clone() });
                }
                Kind::List if elements_of(value).is_none() => {
                    return Err(HistoryError::NotAList { key: key.name.clone() });
                }
                _ => {}
            }
        }
        let pending = journal.pending_by_length().to_vec();
        let drafts = Drafts::new(journal, start, are_decided);
        Ok(History { start, initial, records, drafts, pending })
    }

    /// What was acknowledged, failed and undecided at this length. Equal bytes on disk with equal
    /// `Pending` get the same judgement.
    pub fn pending(&self, upto: u64) -> Pending {
        at_length(&self.pending, upto.max(self.start)).unwrap_or(Pending([0; 32]))
    }

    /// Whether at this length no store could be missing anything: none of what was there at the start, of
    /// what is promised, and of unsaved work.
    pub fn promises_nothing(&self, upto: u64, promise: Promise) -> bool {
        let moment = Moment { upto: upto.max(self.start), promise };
        let is_promised = |key: &records::Key| key.last_required(moment).is_some();
        self.initial.is_empty()
            && !self.records.keys.iter().any(is_promised)
            && self.drafts.open(moment.upto).next().is_none()
    }

    /// Judges a store that was read after a crash at which the journal was `upto` bytes long. Only lines
    /// that end by then count.
    pub fn judge(&self, store: &Store, upto: u64, promise: Promise) -> Judgement {
        self.judge_under(store, upto, promise, Semantics::ExactlyOnce)
    }

    /// [`History::judge`] for operations that may be missing, acknowledged or not (at most once), or
    /// of which additions and elements may be there twice (at least once): each by itself, and
    /// transactions whole.
    pub fn judge_under(
        &self,
        store: &Store,
        upto: u64,
        promise: Promise,
        semantics: Semantics,
    ) -> Judgement {
        let bend = match semantics {
            Semantics::ExactlyOnce => Bend::Not,
            Semantics::AtMostOnce => Bend::Missing,
            Semantics::AtLeastOnce => Bend::Twice,
        };
        let moment = Moment { upto: upto.max(self.start), promise };
        let problem = Problem { records: &self.records, initial: &self.initial, store, moment };
        let mut findings = Vec::new();
        let mut too_concurrent = Vec::new();
        let mut is_good = vec![true; self.records.keys.len()];
        for (index, key) in self.records.keys.iter().enumerate() {
            let finding = match key.kind {
                Kind::Text => Ok(problem.judge_text(index)),
                Kind::Sum => problem.judge_sum(index),
                Kind::List => problem.judge_list(index),
            };
            match finding {
                Ok(None) => continue,
                // Behind a draft nobody sees what was saved.
                Ok(Some(_)) if self.shows_draft(&key.name, store, moment) => {}
                Ok(Some(finding)) if bend == Bend::Not => findings.push(finding),
                Ok(Some(finding)) => match problem.is_legal(&key.acts, &[index], bend) {
                    Ok(true) => continue,
                    Ok(false) => findings.push(finding),
                    Err(_) => too_concurrent.push(key.name.as_str()),
                },
                Err(_) => too_concurrent.push(key.name.as_str()),
            }
            is_good[index] = false;
        }
        for group in &self.records.groups {
            if group.bound > moment.upto || group.keys.iter().any(|key| !is_good[*key]) {
                continue;
            }
            let names = || group.keys.iter().map(|key| self.records.keys[*key].name.as_str());
            match problem.is_legal(&group.acts, &group.keys, bend) {
                Ok(true) => {}
                Ok(false) => findings.push(mixed(names(), &self.records.keys[group.keys[0]].name)),
                Err(_) => too_concurrent.extend(names()),
            }
        }
        self.judge_unnamed(store, moment, &mut findings);
        if findings.is_empty() && !too_concurrent.is_empty() {
            return Judgement::unknown(Reason::TooConcurrent, too_much(&too_concurrent));
        }
        if matches!(promise, Promise::PowerLoss { .. }) {
            for finding in &mut findings {
                finding.blame_power_loss();
            }
        }
        let open: Vec<&str> = self.drafts.open(moment.upto).collect();
        let restored = open.iter().filter(|key| self.shows_draft(key, store, moment)).count();
        Judgement {
            drafts_open: open.len() as u64,
            drafts_restored: restored as u64,
            ..finding::judgement(&findings)
        }
    }

    /// How many keys had unsaved work when the journal was so long, and how many of them a store that is
    /// read later shows with it, unsaved or saved.
    pub fn drafts_restored(&self, store: &Store, at: u64) -> (u64, u64) {
        self.drafts.restored(store, at.max(self.start))
    }

    /// Whether a key shows a draft that no promised operation has replaced.
    fn shows_draft(&self, key: &str, store: &Store, moment: Moment) -> bool {
        let promised = self.records.by_name.get(key).and_then(|index| {
            let key = &self.records.keys[*index];
            key.last_required(moment).map(|last| self.records.acts[key.acts[last]].intent)
        });
        let shown = store.get(key);
        shown.is_some_and(|shown| self.drafts.shows(key, shown, moment.upto, promised.unwrap_or(0)))
    }

    /// Keys that no line of the journal names stay as they were.
    fn judge_unnamed<'a>(
        &'a self,
        store: &'a Store,
        moment: Moment,
        findings: &mut Vec<Finding<'a>>,
    ) {
        let is_named = |key: &String| {
            self.records.by_name.contains_key(key) || self.shows_draft(key, store, moment)
        };
        let unnamed = self.initial.iter().filter(|(key, _)| !is_named(key));
        findings.extend(unnamed.filter_map(|(key, value)| changed(key, value, store.get(key))));
        for (key, shown) in store {
            if !self.initial.contains_key(key) && !is_named(key) {
                let finding = Finding::new(key, Class::Extra, Symptom::Unknown);
                findings.push(Finding { shown: Some(shown), ..finding });
            }
        }
    }
}

/// Judges a store of which is known what stood there before and after the workload: what was there at both
/// ends is there in between, and is not empty. Whether another value is right nobody knows: the workload
/// may change it and change it back, and it may tell a time.
pub fn judge_between(before: &Store, after: &Store, store: &Store) -> Judgement {
    let is_empty = |value: &Json| text_of(value).is_empty();
    let lost = before.iter().filter_map(|(key, old)| {
        let (new, shown) = (after.get(key)?, store.get(key));
        let symptom = match shown {
            None => Symptom::Gone,
            Some(shown) if is_empty(shown) && !is_empty(old) && !is_empty(new) => Symptom::Emptied,
            Some(_) => return None,
        };
        let bytes = text_of(old).len() as u64;
        let finding = Finding::new(key, Class::Lost, symptom);
        Some(Finding { due: Due::Before(old), shown, bytes, ..finding })
    });
    finding::judgement(&lost.collect::<Vec<_>>())
}

/// The keys that are in the store with a value that they have neither before nor after the workload.
pub fn unjudged_between(before: &Store, after: &Store, store: &Store) -> Vec<String> {
    let is_known = |key: &String, value: &Json| {
        [before.get(key), after.get(key)].into_iter().flatten().any(|known| same(known, value))
    };
    store.iter().filter(|(key, value)| !is_known(key, value)).map(|(key, _)| key.clone()).collect()
}

/// Judges a later reading of a recovered store: it must agree with the first.
pub fn judge_again(first: &Store, later: &Store) -> Judgement {
    let mut findings: Vec<Finding<'_>> =
        first.iter().filter_map(|(key, value)| changed(key, value, later.get(key))).collect();
    findings = findings.into_iter().map(Finding::not_by_intents).collect();
    for (key, shown) in later.iter().filter(|(key, _)| !first.contains_key(*key)) {
        let finding = Finding::new(key, Class::Extra, Symptom::Unknown);
        findings.push(Finding { shown: Some(shown), ..finding });
    }
    let mut judgement = finding::judgement(&findings);
    if !findings.is_empty() {
        judgement.detail =
            format!("the second opening differs from the first: {}", judgement.detail);
    }
    judgement
}

/// What is bad about a key that should be as it was.
fn changed<'a>(key: &'a str, before: &'a Json, shown: Option<&'a Json>) -> Option<Finding<'a>> {
    let text = text_of(before);
    let (class, symptom) = match shown {
        None => (Class::Lost, Symptom::Gone),
        Some(shown) if same(before, shown) => return None,
        Some(shown) if text_of(shown).is_empty() => (Class::Lost, Symptom::Emptied),
        Some(shown) if is_torn(&text_of(shown), &[&text]) => (Class::Torn, Symptom::Partial),
        Some(_) => (Class::Wrong, Symptom::Foreign),
    };
    let bytes = text.len() as u64;
    let finding = Finding::new(key, class, symptom);
    Some(Finding { due: Due::Before(before), shown, bytes, ..finding })
}

/// Each key by itself is right, and together they are not.
fn mixed<'a>(names: impl Iterator<Item = &'a str>, key: &'a str) -> Finding<'a> {
    let remark =
        format!("no order of whole transactions leaves these keys so: {}", finding::names(names));
    Finding { remark, ..Finding::new(key, Class::Torn, Symptom::Mixed) }
}

fn too_much(keys: &[&str]) -> String {
    format!(
        "the operations on {} need a search of more than {} configurations, or more than {} are open \
         at once",
        finding::names(keys.iter().copied()),
        crate::numbers::thousands(search::CONFIGURATIONS_MAX as u64),
        search::OPEN_MAX,
    )
}

#[cfg(test)]
mod tests;
