//! Drafts: unsaved work. Nothing is promised about them; a store may show one all the same, until an
//! operation that was intended after it is promised. How many are shown again is counted.

use super::store::matches;
use crate::asserter::journal::{Change, Entry, Journal, Operation, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The drafts of a journal that a store may still show, by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Drafts {
    by_key: BTreeMap<String, Vec<Draft>>,
}

#[derive(Clone, Debug)]
struct Draft {
    /// The end of its line.
    end: u64,
    value: Value,
    /// The end of the first intent of its key after it: from there on the work is being saved.
    saved: Option<u64>,
}

impl Drafts {
    /// `are_decided`: a store that was read after a crash at the start says which of those before it
    /// are still there.
    pub(super) fn new(journal: &Journal, start: u64, are_decided: bool) -> Self {
        let mut drafts = Drafts::default();
        for line in journal.lines() {
            // A deletion that is only drafted shows nothing.
            let Entry::Draft { key, change: Change::Set(value) } = &line.entry else { continue };
            let end = line.end;
            let is_before = end <= start;
            let later = || journal.operations().iter().filter(|it| intended(it, key) > Some(end));
            let is_over = later().any(|it| it.acknowledged.is_some_and(|end| end <= start));
            if is_before && (are_decided || is_over) {
                continue;
            }
            let saved = later().filter_map(|it| intended(it, key)).min();
            let draft = Draft { end, value: value.clone(), saved };
            drafts.by_key.entry(key.clone()).or_default().push(draft);
        }
        drafts
    }

    /// Whether a key shows a draft, at this length of the journal; `promised` is the end of the intent
    /// of the latest promised operation on it.
    pub(super) fn shows(&self, key: &str, shown: &Json, upto: u64, promised: u64) -> bool {
        let drafts = self.by_key.get(key).into_iter().flatten();
        let mut allowed = drafts.filter(|draft| draft.end <= upto && draft.end > promised);
        allowed.any(|draft| matches(&draft.value, shown))
    }

    /// The keys with a draft that was not being saved at this length of the journal.
    pub(super) fn open(&self, upto: u64) -> impl Iterator<Item = &str> {
        let is_open = move |draft: &Draft| {
            draft.end <= upto && draft.saved.is_none_or(|intended| intended > upto)
        };
        let by_key = self.by_key.iter();
        by_key.filter(move |(_, drafts)| drafts.iter().any(is_open)).map(|(key, _)| key.as_str())
    }
}

impl Drafts {
    /// How many keys had a draft open when the journal was so long, and how many of them a store shows,
    /// whether as the draft or saved since.
    pub(super) fn restored(&self, store: &super::Store, at: u64) -> (u64, u64) {
        let (mut open, mut restored) = (0, 0);
        for key in self.open(at) {
            open += 1;
            let last = self.by_key[key].iter().rfind(|draft| draft.end <= at);
            let shown = store.get(key);
            let is_shown =
                shown.zip(last).is_some_and(|(shown, draft)| matches(&draft.value, shown));
            restored += u64::from(is_shown);
        }
        (open, restored)
    }
}

/// The end of an operation's first intent on a key.
fn intended(operation: &Operation, key: &str) -> Option<u64> {
    operation.intents.iter().find(|intent| intent.key == key).map(|intent| intent.end)
}
