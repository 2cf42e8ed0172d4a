//! Judges a key that is set and deleted, without a search.
//!
//! The last operation on such a key decides its value. An operation can be the last if no promised one
//! must come after it: none whose intent follows its acknowledgement, and in the short form, which
//! has one writer, none intended later.

use super::finding::{Due, Finding, Symptom};
use super::problem::Problem;
use super::records::{Key, Moment};
use super::store::{matches, same, text_of};
use crate::asserter::journal::{Change, Value};
use killpoint_model::verdict::Class;
use serde_json::Value as Json;

impl<'a> Problem<'a> {
    /// What is bad about a key, looked at by itself.
    pub(super) fn judge_text(&self, key_index: usize) -> Option<Finding<'a>> {
        let key = &self.records.keys[key_index];
        let text = TextKey {
            problem: *self,
            key_index,
            key,
            initial: self.initial.get(&key.name),
            shown: self.store.get(&key.name),
            last: key.last_required(self.moment),
        };
        if text.is_legal() { None } else { Some(text.finding()) }
    }
}

struct TextKey<'a> {
    problem: Problem<'a>,
    key_index: usize,
    key: &'a Key,
    initial: Option<&'a Json>,
    shown: Option<&'a Json>,
    /// The position of the promised operation that was intended last.
    last: Option<usize>,
}

impl<'a> TextKey<'a> {
    fn moment(&self) -> Moment {
        self.problem.moment
    }

    fn is_legal(&self) -> bool {
        let is_initial = match (self.initial, self.shown) {
            (None, None) => true,
            (Some(initial), Some(shown)) => same(initial, shown),
            _ => false,
        };
        if is_initial && self.last.is_none() {
            return true;
        }
        let Some(shown) = self.shown else { return self.any_may_be_last(&None) };
        let text = text_of(shown);
        if self.key.has_digests {
            let stated = Value::digest_from(&text);
            let digest = Value::digest_of(&text);
            if stated.is_some_and(|stated| self.any_may_be_last(&Some(stated)))
                || self.any_may_be_last(&Some(digest))
            {
                return true;
            }
        }
        // Numbers, arrays and stated digests may equal a value that is written otherwise.
        let may_differ = !shown.is_string() || text.starts_with("sha256:");
        self.any_may_be_last(&Some(Value::Text(text.into_owned())))
            || (may_differ
                && self.values().any(|(position, value)| {
                    matches(value, shown) && self.may_be_last(position, Some(value))
                }))
    }

    /// Whether an operation with this value, or a deletion, can be the last.
    fn any_may_be_last(&self, value: &Option<Value>) -> bool {
        let Some(positions) = self.key.by_value.get(value) else { return false };
        let acts = &self.problem.records.acts;
        let count = positions.partition_point(|position| {
            acts[self.key.acts[*position]].intent <= self.moment().upto
        });
        let mut candidates = positions[..count].iter().rev();
        if self.key.has_ids {
            candidates.any(|position| self.may_be_last(*position, value.as_ref()))
        } else {
            // If the latest of equal values cannot be the last, no earlier one can.
            candidates.next().is_some_and(|position| self.may_be_last(*position, value.as_ref()))
        }
    }

    fn may_be_last(&self, position: usize, value: Option<&Value>) -> bool {
        let act = &self.problem.records.acts[self.key.acts[position]];
        let change = act.effects_on(self.key_index, self.moment()).next_back();
        let is_value = match change {
            Some(Change::Set(set)) => value == Some(set),
            Some(Change::Delete) => value.is_none(),
            _ => false,
        };
        if !is_value || !act.may_apply(self.moment()) {
            return false;
        }
        let is_before_promised = act.settled(self.moment()).is_some_and(|settled| {
            self.last
                .is_some_and(|last| settled < self.problem.records.acts[self.key.acts[last]].intent)
        });
        let is_superseded = act.is_short
            && self.key.last_required_short(self.moment()).is_some_and(|last| position < last);
        !is_before_promised && !is_superseded
    }

    /// The values intended so far, with the positions of their operations.
    fn values(&self) -> impl Iterator<Item = (usize, &'a Value)> {
        let (records, moment, key_index) = (self.problem.records, self.moment(), self.key_index);
        self.key.acts.iter().enumerate().flat_map(move |(position, act)| {
            records.acts[*act].effects_on(key_index, moment).filter_map(
                move |change| match change {
                    Change::Set(value) => Some((position, value)),
                    _ => None,
                },
            )
        })
    }

    fn due(&self) -> Due<'a> {
        let Some(last) = self.last else {
            return self.initial.map_or(Due::Nothing, Due::Before);
        };
        let act = &self.problem.records.acts[self.key.acts[last]];
        match act.effects_on(self.key_index, self.moment()).next_back() {
            Some(Change::Set(value)) => Due::Value(value),
            _ => Due::Deletion,
        }
    }

    fn finding(&self) -> Finding<'a> {
        let due = self.due();
        let (class, symptom) = self.classify(due);
        let bytes = match due {
            Due::Value(value) => value.byte_count(),
            Due::Before(json) => text_of(json).len() as u64,
            _ => 0,
        };
        let finding = Finding::new(&self.key.name, class, symptom);
        Finding { due, shown: self.shown, bytes, ..finding }
    }

    fn classify(&self, due: Due<'a>) -> (Class, Symptom) {
        let Some(shown) = self.shown else { return (Class::Lost, Symptom::Gone) };
        let records = self.problem.records;
        let is_intended = self.values().next().is_some();
        if self.initial.is_none() && self.key.past.is_empty() && !is_intended {
            return (Class::Extra, Symptom::Unknown);
        }
        let is_known =
            |position: usize| !records.acts[self.key.acts[position]].is_failed(self.moment());
        let is_older = self.initial.is_some_and(|initial| same(initial, shown))
            || self.key.past.iter().any(|value| matches(value, shown))
            || self.values().any(|(position, value)| is_known(position) && matches(value, shown));
        let is_deleted = match due {
            Due::Deletion => true,
            Due::Nothing => self.initial.is_none() && !self.key.past.is_empty(),
            _ => false,
        };
        if is_older {
            let symptom = if is_deleted { Symptom::Undeleted } else { Symptom::Older };
            return (Class::Lost, symptom);
        }
        if self.values().any(|(_, value)| matches(value, shown)) {
            return (Class::Wrong, Symptom::Unapplied);
        }
        let text = text_of(shown);
        if text.is_empty() {
            let is_promised = matches!(due, Due::Value(_) | Due::Before(_));
            let class = if is_promised { Class::Lost } else { Class::Wrong };
            return (class, Symptom::Emptied);
        }
        let mut whole: Vec<&str> = self.values().filter_map(|(_, value)| literal(value)).collect();
        whole.extend(self.key.past.iter().filter_map(literal));
        whole.extend(self.initial.and_then(Json::as_str));
        if is_torn(&text, &whole) {
            return (Class::Torn, Symptom::Partial);
        }
        (Class::Wrong, Symptom::Foreign)
    }
}

fn literal(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Digest(_) => None,
    }
}

/// Whether a text is a part of one of the whole ones, or one of them with something attached, or the
/// beginning of one and the end of another; zero bytes at the end count as missing.
pub(super) fn is_torn(shown: &str, whole: &[&str]) -> bool {
    let body = shown.trim_end_matches('\0');
    let is_part = |whole: &&str| whole.len() > body.len() && whole.starts_with(body);
    let is_longer = |whole: &&str| !whole.is_empty() && shown.starts_with(*whole);
    if body.is_empty() {
        return shown.len() > body.len();
    }
    if whole.iter().any(|whole| is_part(whole) || is_longer(whole)) {
        return true;
    }
    let same_length = || whole.iter().filter(|whole| whole.len() == shown.len());
    let begins = same_length().map(|whole| common(shown.bytes(), whole.bytes())).max();
    let ends = same_length().map(|whole| common(shown.bytes().rev(), whole.bytes().rev())).max();
    begins.zip(ends).is_some_and(|(begin, end)| begin + end >= shown.len())
}

fn common(one: impl Iterator<Item = u8>, other: impl Iterator<Item = u8>) -> usize {
    one.zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::is_torn;

    #[test]
    fn a_torn_text_is_a_part_or_has_something_attached_or_mixes_two() {
        let whole = ["hello world", "HELLO WORLD", "bye"];
        for (shown, expect) in [
            ("hello", true),
            ("hello worldrld", true),
            ("hello\0\0\0\0\0\0", true),
            ("\0\0\0", true),
            ("bye\0", true),
            ("HELLO world", true),
            ("HELlo", false),
            ("world", false),
            ("good", false),
        ] {
            assert_eq!(is_torn(shown, &whole), expect, "{shown:?}");
        }
    }
}
