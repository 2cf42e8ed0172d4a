//! Turns keys, their operations and the store that is judged into a search.

use super::records::{Act, Kind, Moment, Records};
use super::search::{Cell, Edit, Goal, Search, Step, TooConcurrent};
use super::store::{Store, amount_of, matches, same, text_of};
use crate::asserter::journal::{Change, Value, as_amount, as_list};
use serde_json::Value as Json;
use std::collections::{HashMap, HashSet};

/// How the rules are bent, to tell in which way they are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bend {
    /// The rules as they are.
    Not,
    /// Any operation may be missing.
    Missing,
    /// Any operation that adds or appends may be applied twice.
    Twice,
}

/// A text key that is absent.
const ABSENT: u32 = u32::MAX;
/// A text key as it was at the start.
const INITIAL: u32 = u32::MAX - 1;
/// An element that no operation appends.
const FOREIGN: u32 = u32::MAX;

/// Two stores and the operations between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Problem<'a> {
    pub(super) records: &'a Records,
    pub(super) initial: &'a Store,
    pub(super) store: &'a Store,
    pub(super) moment: Moment,
}

impl Problem<'_> {
    /// Whether some serial order of the operations leaves these keys as the store has them. What the
    /// operations do to other keys is not looked at.
    pub(super) fn is_legal(
        &self,
        acts: &[usize],
        keys: &[usize],
        bend: Bend,
    ) -> Result<bool, TooConcurrent> {
        let mut builders: Vec<CellBuilder<'_>> = Vec::new();
        let mut cell_by_key = HashMap::new();
        for (cell, key) in keys.iter().enumerate() {
            cell_by_key.insert(*key, cell);
            match self.builder(*key) {
                Some(builder) => builders.push(builder),
                None => return Ok(false),
            }
        }
        let mut steps = Vec::new();
        for act in acts.iter().map(|act| &self.records.acts[*act]) {
            if !act.may_apply(self.moment) {
                continue;
            }
            let mut edits = Vec::new();
            for effect in act.effects.iter().filter(|effect| effect.end <= self.moment.upto) {
                if let Some(cell) = cell_by_key.get(&effect.key) {
                    edits.push((*cell, builders[*cell].edit(&effect.change)));
                }
            }
            if !edits.is_empty() {
                self.push(&mut steps, act, edits, bend);
            }
        }
        let (cells, goals) = builders.into_iter().map(CellBuilder::finish).unzip();
        Search { steps, cells, goals }.succeeds()
    }

    fn push(&self, steps: &mut Vec<Step>, act: &Act, edits: Vec<(usize, Edit)>, bend: Bend) {
        let accumulates =
            edits.iter().any(|(_, edit)| matches!(edit, Edit::Add(_) | Edit::Append(_)));
        let step = Step {
            intent: act.intent,
            settled: act.settled(self.moment),
            is_required: act.is_required(self.moment) && bend != Bend::Missing,
            chain: act.is_short.then_some(edits[0].0),
            edits,
        };
        if bend == Bend::Twice && accumulates {
            steps.push(Step { settled: None, is_required: false, ..step.clone() });
        }
        steps.push(step);
    }

    /// Nothing if the store's value can be none of this key's kind.
    fn builder(&self, key: usize) -> Option<CellBuilder<'_>> {
        let key = &self.records.keys[key];
        let (initial, shown) = (self.initial.get(&key.name), self.store.get(&key.name));
        let mut builder = CellBuilder {
            kind: key.kind,
            shown,
            has_digests: key.has_digests,
            tokens: HashMap::new(),
            accepted: HashSet::new(),
            cell: Cell::Token(ABSENT),
            between: (0, 0),
        };
        match key.kind {
            Kind::Text => {
                if shown.is_none() {
                    builder.accepted.insert(ABSENT);
                }
                if let Some(initial) = initial {
                    builder.cell = Cell::Token(INITIAL);
                    if shown.is_some_and(|shown| same(initial, shown)) {
                        builder.accepted.insert(INITIAL);
                    }
                }
            }
            Kind::Sum => {
                let initial = initial.and_then(amount_of).unwrap_or_default().0;
                builder.cell = Cell::Amount(initial.0);
                let (amount, slack) = match shown {
                    Some(shown) => amount_of(shown)?,
                    None => Default::default(),
                };
                builder.between = (amount.0 - slack, amount.0 + slack);
            }
            Kind::List => {
                let initial = initial.and_then(elements_of).unwrap_or_default();
                builder.cell = Cell::List(builder.list(&initial));
                if shown.is_some_and(|shown| elements_of(shown).is_none()) {
                    return None;
                }
            }
        }
        Some(builder)
    }
}

/// The elements of a list in a store: an array, or a string that is one in JSON.
pub(super) fn elements_of(json: &Json) -> Option<Vec<Json>> {
    match json {
        Json::Array(elements) => Some(elements.clone()),
        Json::String(text) => as_list(&Value::Text(text.clone())),
        _ => None,
    }
}

/// One key of a search in the making. Equal values get equal numbers.
struct CellBuilder<'a> {
    kind: Kind,
    shown: Option<&'a Json>,
    has_digests: bool,
    tokens: HashMap<Value, u32>,
    /// The numbers of a text key's values that are what the store has.
    accepted: HashSet<u32>,
    cell: Cell,
    between: (i128, i128),
}

impl CellBuilder<'_> {
    fn edit(&mut self, change: &Change) -> Edit {
        match (self.kind, change) {
            (Kind::Text, Change::Delete) => Edit::Token(ABSENT),
            (Kind::Text, Change::Set(value)) => {
                let token = self.token(value);
                if self.shown.is_some_and(|shown| matches(value, shown)) {
                    self.accepted.insert(token);
                }
                Edit::Token(token)
            }
            (Kind::Sum, Change::Delete) => Edit::Amount(0),
            (Kind::Sum, Change::Set(value)) => Edit::Amount(
                as_amount(value).expect("a journal whose sums are set to texts is refused").0,
            ),
            (Kind::Sum, Change::Add(amount)) => Edit::Add(amount.0),
            (Kind::List, Change::Delete) => Edit::List(Vec::new()),
            (Kind::List, Change::Set(value)) => {
                let list =
                    as_list(value).expect("a journal whose lists are set to texts is refused");
                Edit::List(self.list(&list))
            }
            (Kind::List, Change::Append(value)) => Edit::Append(self.token(value)),
            (kind, change) => unreachable!("{change:?} makes a key more than {kind:?}"),
        }
    }

    fn list(&mut self, elements: &[Json]) -> Vec<u32> {
        elements
            .iter()
            .map(|element| self.token(&Value::Text(text_of(element).into_owned())))
            .collect()
    }

    fn token(&mut self, value: &Value) -> u32 {
        let next = u32::try_from(self.tokens.len()).expect("a journal has fewer lines");
        *self.tokens.entry(canonical(value, self.has_digests)).or_insert(next)
    }

    fn finish(self) -> (Cell, Goal) {
        let goal = match self.kind {
            Kind::Text => Goal::Tokens(self.accepted),
            Kind::Sum => Goal::Between(self.between.0, self.between.1),
            Kind::List => {
                let elements = self.shown.and_then(elements_of).unwrap_or_default();
                Goal::List(elements.iter().map(|element| self.find(element)).collect())
            }
        };
        (self.cell, goal)
    }

    fn find(&self, element: &Json) -> u32 {
        let text = text_of(element);
        let value = Value::digest_from(&text)
            .filter(|_| self.has_digests)
            .unwrap_or_else(|| canonical(&Value::Text(text.into_owned()), self.has_digests));
        let token = self.tokens.get(&value).copied();
        let similar = || self.tokens.iter().find(|(value, _)| matches(value, element));
        token.or_else(|| similar().map(|(_, token)| *token)).unwrap_or(FOREIGN)
    }
}

/// Where a key has digests, its texts are compared by digest, too.
fn canonical(value: &Value, has_digests: bool) -> Value {
    match value {
        Value::Text(text) if has_digests => Value::digest_of(text),
        other => other.clone(),
    }
}
