//! The operations of a journal, sorted by key for the judges.

use super::store::text_of;
use crate::asserter::journal::{Change, Journal, Operation, Value, as_list, at_length};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What an acknowledgement promises under the crash that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Promise {
    /// A process was killed: every `A` and `A!` counts.
    Kill,
    /// The machine lost power: `A!` counts.
    PowerLoss {
        /// Whether a plain `A` counts, too: `--acks power-loss`.
        plain_acks_count: bool,
    },
}

/// Which lines count and what they promise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) upto: u64,
    pub(super) promise: Promise,
}

impl Moment {
    /// Whether plain acknowledgements count.
    fn takes_plain(self) -> bool {
        !matches!(self.promise, Promise::PowerLoss { plain_acks_count: false })
    }

    fn has(self, end: Option<u64>) -> bool {
        end.is_some_and(|end| end <= self.upto)
    }
}

/// An operation that was not over when the workload started.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) is_short: bool,
    /// The end of its first intent.
    pub(super) intent: u64,
    pub(super) effects: Vec<Effect>,
    acknowledged: Option<u64>,
    durable: Option<u64>,
    failed: Option<u64>,
    /// It was open at the start and adds or appends: the initial store may hold it already.
    is_carried: bool,
}

/// What an operation does to one key.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    pub(super) end: u64,
    pub(super) key: usize,
    pub(super) change: Change,
}

impl Act {
    /// It is intended, and nothing says that it was not applied.
    pub(super) fn may_apply(&self, moment: Moment) -> bool {
        self.intent <= moment.upto && !moment.has(self.failed)
    }

    pub(super) fn is_failed(&self, moment: Moment) -> bool {
        self.intent <= moment.upto && moment.has(self.failed)
    }

    /// The end of its first acknowledgement: what is intended later comes later.
    pub(super) fn settled(&self, moment: Moment) -> Option<u64> {
        self.acknowledged.filter(|end| *end <= moment.upto)
    }

    /// Its acknowledgement is a promise.
    pub(super) fn is_required(&self, moment: Moment) -> bool {
        let end = if moment.takes_plain() { self.acknowledged } else { self.durable };
        !self.is_carried && moment.has(end)
    }

    /// What it does to a key in the lines that count, in their order.
    pub(super) fn effects_on(
        &self,
        key: usize,
        moment: Moment,
    ) -> impl DoubleEndedIterator<Item = &Change> {
        self.effects
            .iter()
            .filter(move |effect| effect.key == key && effect.end <= moment.upto)
            .map(|effect| &effect.change)
    }
}

/// How a key is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Sum,
    List,
}

/// A key of the journal.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Its operations by their first intent.
    pub(super) acts: Vec<usize>,
    /// Values that it had, or may have had, before the start.
    pub(super) past: Vec<Value>,
    /// By value, or deletion, the positions in `acts` of the operations that set it, ascending.
    pub(super) by_value: HashMap<Option<Value>, Vec<usize>>,
    pub(super) has_ids: bool,
    pub(super) has_digests: bool,
    plain: Frontier,
    durable: Frontier,
}

/// After each acknowledgement: its end, and the greatest position in `acts` acknowledged by then.
#[derive(Clone, Debug, Default)]
struct Frontier {
    all: Vec<(u64, usize)>,
    short: Vec<(u64, usize)>,
}

impl Frontier {
    fn new(mut acknowledged: Vec<(u64, usize, bool)>) -> Frontier {
        acknowledged.sort_unstable();
        let mut frontier = Frontier::default();
        for (end, position, is_short) in acknowledged {
            push_greatest(&mut frontier.all, end, position);
            if is_short {
                push_greatest(&mut frontier.short, end, position);
            }
        }
        frontier
    }
}

fn push_greatest(table: &mut Vec<(u64, usize)>, end: u64, position: usize) {
    let greatest = table.last().map_or(position, |(_, last)| position.max(*last));
    table.push((end, greatest));
}

impl Key {
    fn frontier(&self, moment: Moment) -> &Frontier {
        if moment.takes_plain() { &self.plain } else { &self.durable }
    }

    /// The position in `acts` of the required operation that was intended last.
    pub(super) fn last_required(&self, moment: Moment) -> Option<usize> {
        at_length(&self.frontier(moment).all, moment.upto)
    }

    /// The same among operations of the short form.
    pub(super) fn last_required_short(&self, moment: Moment) -> Option<usize> {
        at_length(&self.frontier(moment).short, moment.upto)
    }
}

/// The operations and keys of a journal since the start.
#[derive(Clone, Debug)]
pub(super) struct Records {
    pub(super) acts: Vec<Act>,
    pub(super) keys: Vec<Key>,
    pub(super) by_name: BTreeMap<String, usize>,
    /// Groups of keys, and their operations, that transactions bind together.
    pub(super) groups: Vec<Group>,
}

/// Keys bound together by transactions, and all operations on them.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) keys: Vec<usize>,
    pub(super) acts: Vec<usize>,
    /// The end of the first line by which two keys are bound.
    pub(super) bound: u64,
}

impl Records {
    /// `are_decided`: operations that were open at the start are over, because the initial store was read
    /// after a crash.
    pub(super) fn new(journal: &Journal, start: u64, are_decided: bool) -> Records {
        let mut records = Records {
            acts: Vec::new(),
            keys: Vec::new(),
            by_name: BTreeMap::new(),
            groups: Vec::new(),
        };
        let over = over_before(journal, start, are_decided);
        for (operation, is_over) in journal.operations().iter().zip(over) {
            let is_open_at_start = operation.intents[0].end <= start;
            let is_past = is_open_at_start && operation.failed.is_none_or(|end| end > start);
            let effects: Vec<Effect> = operation
                .intents
                .iter()
                .map(|intent| Effect {
                    end: intent.end,
                    key: records.key(&intent.key),
                    change: intent.change.clone(),
                })
                .collect();
            for effect in &effects {
                records.keys[effect.key].note(&effect.change, is_past);
            }
            if !is_over {
                records.add(operation, effects, is_open_at_start);
            }
        }
        records.index();
        records.bind();
        records
    }

    fn key(&mut self, name: &str) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let index = self.keys.len();
        self.by_name.insert(name.to_owned(), index);
        self.keys.push(Key {
            name: name.to_owned(),
            kind: Kind::Text,
            acts: Vec::new(),
            past: Vec::new(),
            by_value: HashMap::new(),
            has_ids: false,
            has_digests: false,
            plain: Frontier::default(),
            durable: Frontier::default(),
        });
        index
    }

    fn add(&mut self, operation: &Operation, effects: Vec<Effect>, is_open_at_start: bool) {
        let act_index = self.acts.len();
        for effect in &effects {
            let key = &mut self.keys[effect.key];
            key.has_ids |= operation.id.is_some();
            if key.acts.last() != Some(&act_index) {
                key.acts.push(act_index);
            }
        }
        let accumulates = effects
            .iter()
            .any(|effect| matches!(effect.change, Change::Add(_) | Change::Append(_)));
        self.acts.push(Act {
            is_short: operation.id.is_none(),
            intent: operation.intents[0].end,
            effects,
            acknowledged: operation.acknowledged,
            durable: operation.durable,
            failed: operation.failed,
            is_carried: is_open_at_start && accumulates,
        });
    }

    /// Fills what lets a text key be judged without a search.
    fn index(&mut self) {
        for (key_index, key) in self.keys.iter_mut().enumerate() {
            let (mut plain, mut durable) = (Vec::new(), Vec::new());
            for (position, act_index) in key.acts.iter().enumerate() {
                let act = &self.acts[*act_index];
                for effect in act.effects.iter().filter(|effect| effect.key == key_index) {
                    let value = match &effect.change {
                        Change::Set(value) => Some(value.clone()),
                        Change::Delete => None,
                        Change::Append(element) => {
                            key.has_digests |= matches!(element, Value::Digest(_));
                            continue;
                        }
                        Change::Add(_) => continue,
                    };
                    key.has_digests |= matches!(value, Some(Value::Digest(_)));
                    let positions = key.by_value.entry(value).or_default();
                    if positions.last() != Some(&position) {
                        positions.push(position);
                    }
                }
                if act.is_carried {
                    continue;
                }
                plain.extend(act.acknowledged.map(|end| (end, position, act.is_short)));
                durable.extend(act.durable.map(|end| (end, position, act.is_short)));
            }
            key.plain = Frontier::new(plain);
            key.durable = Frontier::new(durable);
        }
    }

    /// Finds the groups of keys that transactions bind together.
    fn bind(&mut self) {
        let mut parents: Vec<usize> = (0..self.keys.len()).collect();
        for act in &self.acts {
            for pair in act.effects.windows(2) {
                let (one, other) =
                    (root(&mut parents, pair[0].key), root(&mut parents, pair[1].key));
                parents[one] = other;
            }
        }
        let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
        for key in 0..self.keys.len() {
            groups.entry(root(&mut parents, key)).or_default().keys.push(key);
        }
        groups.retain(|_, group| group.keys.len() > 1);
        for group in groups.values_mut() {
            group.bound = u64::MAX;
        }
        for (index, act) in self.acts.iter().enumerate() {
            let first = act.effects[0].key;
            let Some(group) = groups.get_mut(&root(&mut parents, first)) else { continue };
            group.acts.push(index);
            if let Some(effect) = act.effects.iter().find(|effect| effect.key != first) {
                group.bound = group.bound.min(effect.end);
            }
        }
        self.groups = groups.into_values().collect();
    }
}

impl Key {
    fn note(&mut self, change: &Change, is_past: bool) {
        match change {
            Change::Add(_) => self.kind = Kind::Sum,
            Change::Append(element) => {
                self.kind = Kind::List;
                if is_past {
                    self.past.push(element.clone());
                }
            }
            Change::Set(value) if is_past => {
                self.past.push(value.clone());
                let elements = as_list(value).unwrap_or_default();
                self.past.extend(
                    elements.iter().map(|element| Value::Text(text_of(element).into_owned())),
                );
            }
            Change::Set(_) | Change::Delete => {}
        }
    }
}

fn root(parents: &mut [usize], mut key: usize) -> usize {
    while parents[key] != key {
        parents[key] = parents[parents[key]];
        key = parents[key];
    }
    key
}

/// For each operation, whether the initial store already tells all about it.
fn over_before(journal: &Journal, start: u64, are_decided: bool) -> Vec<bool> {
    let is_before = |end: Option<u64>| end.is_some_and(|end| end <= start);
    let mut over: Vec<bool> = journal
        .operations()
        .iter()
        .map(|operation| {
            is_before(operation.acknowledged) || (are_decided && operation.intents[0].end <= start)
        })
        .collect();
    // One writer per key: an intent of the short form is over when a later one was acknowledged.
    let mut superseded: HashSet<&str> = HashSet::new();
    for (index, operation) in journal.operations().iter().enumerate().rev() {
        if operation.id.is_some() {
            continue;
        }
        let key = operation.intents[0].key.as_str();
        if superseded.contains(key) {
            over[index] = true;
        } else if is_before(operation.acknowledged) {
            superseded.insert(key);
        }
    }
    over
}
