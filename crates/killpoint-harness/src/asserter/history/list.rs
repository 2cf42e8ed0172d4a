//! Judges a key that holds a list.

use super::finding::{Due, Finding, Symptom};
use super::problem::{Bend, Problem, elements_of};
use super::search::TooConcurrent;
use super::store::{matches, text_of};
use super::text::is_torn;
use crate::asserter::journal::{Change, Value, as_list};
use killpoint_model::verdict::Class;
use serde_json::Value as Json;
use std::collections::{HashMap, HashSet};

impl<'a> Problem<'a> {
    /// What is bad about a list, looked at by itself.
    pub(super) fn judge_list(
        &self,
        key_index: usize,
    ) -> Result<Option<Finding<'a>>, TooConcurrent> {
        let records = self.records;
        let key = &records.keys[key_index];
        if self.is_legal(&key.acts, &[key_index], Bend::Not)? {
            return Ok(None);
        }
        let (initial, shown) = (self.initial.get(&key.name), self.store.get(&key.name));
        let (class, symptom, remark) = self.classify_list(key_index, shown);
        let missing = self.missing_elements(key_index, shown);
        let due = match initial {
            _ if missing.promised > 0 => Due::Parts,
            Some(initial) if missing.initial > 0 => Due::Before(initial),
            _ if self.intended(key_index).any(|act| act.is_required(self.moment)) => Due::Parts,
            Some(initial) => Due::Before(initial),
            None => Due::Nothing,
        };
        let finding = Finding::new(&key.name, class, symptom);
        Ok(Some(Finding { due, shown, bytes: missing.bytes, remark, ..finding }))
    }

    fn classify_list(&self, key: usize, shown: Option<&Json>) -> (Class, Symptom, String) {
        let plain = |class, symptom| (class, symptom, String::new());
        let Some(shown) = shown else { return plain(Class::Lost, Symptom::Gone) };
        let Some(elements) = elements_of(shown) else {
            return match shown.as_str() {
                Some("") => plain(Class::Lost, Symptom::Emptied),
                _ => plain(Class::Wrong, Symptom::Foreign),
            };
        };
        if elements.is_empty() {
            return plain(Class::Lost, Symptom::Gone);
        }
        let initial = self.initial.get(&self.records.keys[key].name);
        if initial.is_none() && self.intended(key).next().is_none() {
            let is_past = !self.records.keys[key].past.is_empty();
            return match is_past {
                true => plain(Class::Lost, Symptom::Undeleted),
                false => plain(Class::Extra, Symptom::Unknown),
            };
        }
        let acts = &self.records.keys[key].acts;
        if self.is_legal(acts, &[key], Bend::Missing).unwrap_or(false) {
            let missing = self.missing_elements(key, Some(shown));
            return (Class::Lost, Symptom::Fewer, missing.said());
        }
        let known = self.known_elements(key);
        let literal: HashSet<&str> = known
            .iter()
            .filter_map(|value| match value {
                Value::Text(text) => Some(text.as_str()),
                Value::Digest(_) => None,
            })
            .collect();
        let is_known = |element: &Json| {
            literal.contains(&*text_of(element))
                || known.iter().any(|value| matches(value, element))
        };
        let foreign = elements.iter().find(|element| !is_known(element));
        if let Some(foreign) = foreign {
            let text = text_of(foreign);
            return match is_torn(&text, &Vec::from_iter(literal)) {
                true => plain(Class::Torn, Symptom::Partial),
                false => plain(Class::Wrong, Symptom::Foreign),
            };
        }
        let missing = self.missing_elements(key, Some(shown));
        if missing.promised + missing.initial > 0 {
            return (Class::Lost, Symptom::Fewer, missing.said());
        }
        if has_more(&elements, &known) {
            return plain(Class::Duplicated, Symptom::Repeated);
        }
        let remark = "its elements stand in an order that no order of the operations gives";
        (Class::Wrong, Symptom::Foreign, remark.to_owned())
    }

    /// Every element that may stand in the list, as often as it may have been put there.
    fn known_elements(&self, key: usize) -> Vec<Value> {
        let plain = |element: &Json| Value::Text(text_of(element).into_owned());
        let initial = self.initial.get(&self.records.keys[key].name).and_then(elements_of);
        let mut known: Vec<Value> = initial.unwrap_or_default().iter().map(plain).collect();
        for change in self.intended(key).flat_map(|act| act.effects_on(key, self.moment)) {
            match change {
                Change::Append(value) => known.push(value.clone()),
                Change::Set(value) => {
                    known.extend(as_list(value).unwrap_or_default().iter().map(plain));
                }
                Change::Delete | Change::Add(_) => {}
            }
        }
        known
    }

    /// What is promised and not there; a list that is also set or deleted is not looked at.
    fn missing_elements(&self, key: usize, shown: Option<&Json>) -> Missing {
        let mut missing = Missing::default();
        let only_grows = self
            .intended(key)
            .flat_map(|act| act.effects_on(key, self.moment))
            .all(|change| matches!(change, Change::Append(_)));
        if !only_grows {
            return missing;
        }
        let elements = shown.and_then(elements_of).unwrap_or_default();
        let mut there: HashMap<Value, usize> = HashMap::new();
        for element in &elements {
            let text = text_of(element).into_owned();
            let value = match self.records.keys[key].has_digests {
                true => Value::digest_from(&text).unwrap_or_else(|| Value::digest_of(&text)),
                false => Value::Text(text),
            };
            *there.entry(value).or_default() += 1;
        }
        let mut take = |value: &Value| {
            let value = match value {
                Value::Text(text) if self.records.keys[key].has_digests => Value::digest_of(text),
                other => other.clone(),
            };
            match there.get_mut(&value) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    true
                }
                _ => false,
            }
        };
        let initial = self.initial.get(&self.records.keys[key].name).and_then(elements_of);
        for element in initial.unwrap_or_default() {
            let value = Value::Text(text_of(&element).into_owned());
            if !take(&value) {
                missing.initial += 1;
                missing.bytes += value.byte_count();
            }
        }
        for act in self.intended(key).filter(|act| act.is_required(self.moment)) {
            for change in act.effects_on(key, self.moment) {
                if let Change::Append(value) = change
                    && !take(value)
                {
                    missing.promised += 1;
                    missing.bytes += value.byte_count();
                }
            }
        }
        missing
    }
}

/// Whether some element stands there more often than it may have been put there.
fn has_more(elements: &[Json], known: &[Value]) -> bool {
    let mut counts = HashMap::new();
    for element in elements {
        counts.entry(text_of(element)).or_insert((element, 0)).1 += 1;
    }
    counts.values().any(|(element, count)| {
        *count > 1 && *count > known.iter().filter(|value| matches(value, element)).count()
    })
}

/// Elements that should be there.
#[derive(Default)]
struct Missing {
    promised: u64,
    initial: u64,
    bytes: u64,
}

impl Missing {
    fn said(&self) -> String {
        let elements = |count: u64, kind: &str| match count {
            0 => None,
            1 => Some(format!("1 {kind} element is missing")),
            count => {
                Some(format!("{} {kind} elements are missing", crate::numbers::thousands(count)))
            }
        };
        let parts = [elements(self.promised, "acknowledged"), elements(self.initial, "older")];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}
