//! Searches for a serial order of operations that leads to a given store.
//!
//! The operations are swept in the order of the journal's lines. A configuration is a store and the
//! open operations that led to it; between two acknowledgements any open operations may be applied,
//! in any order, and none is applied before it must be (every order can be rearranged like that). So a long
//! history with few operations open at a time costs one configuration per line, however long it is.

use std::collections::{HashMap, HashSet};

/// How many configurations one search may look at. One of many keys costs more and counts as more: once for
/// each eight keys begun.
pub(super) const CONFIGURATIONS_MAX: usize = 200_000;
/// How many operations may be open at once.
pub(super) const OPEN_MAX: usize = 128;

/// The search would exceed one of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooConcurrent;

/// An operation of a search. One that was reported as not applied is no part of it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The end of its first intent.
    pub(super) intent: u64,
    /// The end of its first acknowledgement.
    pub(super) settled: Option<u64>,
    pub(super) is_required: bool,
    /// The cell that it writes as its only writer: of such operations an earlier one never follows a
    /// later one.
    pub(super) chain: Option<usize>,
    /// What it does, in order, to which cell.
    pub(super) edits: Vec<(usize, Edit)>,
}

/// What an operation does to a cell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Edit {
    Token(u32),
    Amount(i128),
    Add(i128),
    List(Vec<u32>),
    Append(u32),
}

/// The value of a key during a search. Values stand as numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cell {
    Token(u32),
    Amount(i128),
    List(Vec<u32>),
    /// A list that only grows: how much of the goal it holds.
    Matched(usize),
}

/// What a cell must hold in the end.
#[derive(Clone, Debug)]
pub(super) enum Goal {
    Tokens(HashSet<u32>),
    Between(i128, i128),
    List(Vec<u32>),
}

/// A search.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) steps: Vec<Step>,
    pub(super) cells: Vec<Cell>,
    pub(super) goals: Vec<Goal>,
}

impl Search {
    /// Whether some serial order leads to the goals: all required operations, any of the others, each whole.
    pub(super) fn succeeds(mut self) -> Result<bool, TooConcurrent> {
        if !self.narrow_growing_lists() {
            return Ok(false);
        }
        Sweep::new(&self).run()
    }

    /// A list that only grows must be a prefix of the goal at any time; and where the goal needs as many
    /// of an element as there are, each of them is required.
    fn narrow_growing_lists(&mut self) -> bool {
        for cell in 0..self.cells.len() {
            let (Cell::List(list), Goal::List(goal)) = (&self.cells[cell], &self.goals[cell])
            else {
                continue;
            };
            let edits = self.steps.iter().flat_map(|step| &step.edits);
            let only_grows =
                edits.filter(|edit| edit.0 == cell).all(|edit| matches!(edit.1, Edit::Append(_)));
            if !only_grows {
                continue;
            }
            if !goal.starts_with(list) {
                return false;
            }
            let mut needed: HashMap<u32, usize> = HashMap::new();
            for element in &goal[list.len()..] {
                *needed.entry(*element).or_default() += 1;
            }
            self.cells[cell] = Cell::Matched(list.len());
            if !self.narrow(cell, &needed) {
                return false;
            }
        }
        true
    }

    fn narrow(&mut self, cell: usize, needed: &HashMap<u32, usize>) -> bool {
        let appended = |step: &Step| -> Vec<u32> {
            let edits = step.edits.iter().filter(|edit| edit.0 == cell);
            edits
                .filter_map(|edit| match edit.1 {
                    Edit::Append(element) => Some(element),
                    _ => None,
                })
                .collect()
        };
        let mut available: HashMap<u32, usize> = HashMap::new();
        for element in self.steps.iter().flat_map(appended) {
            *available.entry(element).or_default() += 1;
        }
        let count = |table: &HashMap<u32, usize>, element: &u32| *table.get(element).unwrap_or(&0);
        if needed.iter().any(|(element, needed)| *needed > count(&available, element)) {
            return false;
        }
        let mut is_possible = true;
        self.steps.retain_mut(|step| {
            let elements = appended(step);
            let is_useless = elements.iter().any(|element| count(needed, element) == 0);
            is_possible &= !(is_useless && step.is_required);
            step.is_required |=
                elements.iter().any(|element| count(needed, element) == count(&available, element));
            !is_useless
        });
        is_possible
    }
}

/// A store on the way, and the open operations that are done with: applied, or given up because a later
/// operation of the same chain is applied. Which of both makes no difference to what can follow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Configuration {
    done: u128,
    cells: Vec<Cell>,
}

impl Configuration {
    fn is_done(&self, bit: u128) -> bool {
        self.done & bit != 0
    }

    fn without(mut self, bit: u128) -> Self {
        self.done &= !bit;
        self
    }
}

struct Sweep<'a> {
    search: &'a Search,
    /// By slot the open operation.
    slots: Vec<Option<usize>>,
    /// By operation an earlier one that does the same and is never acknowledged either: it goes first.
    twins: Vec<Option<usize>>,
    current: Vec<Configuration>,
    seen: usize,
}

impl<'a> Sweep<'a> {
    fn new(search: &'a Search) -> Self {
        let mut latest = HashMap::new();
        let mut order: Vec<usize> = (0..search.steps.len()).collect();
        order.sort_by_key(|step| search.steps[*step].intent);
        let mut twins = vec![None; search.steps.len()];
        for index in order {
            let step = &search.steps[index];
            if step.settled.is_none() && step.chain.is_none() {
                twins[index] = latest.insert((step.is_required, step.edits.as_slice()), index);
            }
        }
        let start = Configuration { done: 0, cells: search.cells.clone() };
        Sweep { search, slots: Vec::new(), twins, current: vec![start], seen: 0 }
    }

    fn run(mut self) -> Result<bool, TooConcurrent> {
        let mut events: Vec<(u64, bool, usize)> = Vec::new();
        for (index, step) in self.search.steps.iter().enumerate() {
            events.push((step.intent, false, index));
            events.extend(step.settled.map(|end| (end, true, index)));
        }
        events.sort_unstable();
        for (_, is_settled, step) in events {
            if !is_settled {
                self.open(step)?;
            } else {
                self.settle(step)?;
                if self.current.is_empty() {
                    return Ok(false);
                }
            }
        }
        self.finish()
    }

    fn open(&mut self, step: usize) -> Result<(), TooConcurrent> {
        if let Some(slot) = self.slots.iter().position(Option::is_none) {
            self.slots[slot] = Some(step);
            return Ok(());
        }
        if self.slots.len() == OPEN_MAX && !self.close_what_is_done() {
            return Err(TooConcurrent);
        }
        match self.slots.iter().position(Option::is_none) {
            Some(slot) => self.slots[slot] = Some(step),
            None => self.slots.push(Some(step)),
        }
        Ok(())
    }

    /// Closes operations that are never acknowledged and are applied or given up in every configuration.
    fn close_what_is_done(&mut self) -> bool {
        let everywhere = self
            .current
            .iter()
            .fold(u128::MAX, |everywhere, configuration| everywhere & configuration.done);
        let mut closed = 0;
        for (slot, open) in self.slots.iter_mut().enumerate() {
            let bit = 1 << slot;
            if open.is_some_and(|step| self.search.steps[step].settled.is_none())
                && everywhere & bit != 0
            {
                *open = None;
                closed |= bit;
            }
        }
        let current: HashSet<_> = self.current.drain(..).map(|one| one.without(closed)).collect();
        self.current = current.into_iter().collect();
        closed != 0
    }

    /// The operation is acknowledged: from here on it is applied, or never will be if it may be missing.
    fn settle(&mut self, step: usize) -> Result<(), TooConcurrent> {
        let slot = self.slot_of(step).expect("an operation is intended before it is acknowledged");
        let bit = 1 << slot;
        if self.settle_alone(step) {
            self.slots[slot] = None;
            return Ok(());
        }
        let mut next = HashSet::new();
        let mut stack = Vec::new();
        for configuration in std::mem::take(&mut self.current) {
            if configuration.is_done(bit) {
                next.insert(configuration.without(bit));
                continue;
            }
            if !self.search.steps[step].is_required {
                next.insert(configuration.clone());
            }
            stack.push(configuration);
        }
        let mut visited = HashSet::new();
        while let Some(configuration) = stack.pop() {
            for other in 0..self.slots.len() {
                let Some(following) = self.apply(&configuration, other) else { continue };
                self.count()?;
                if other == slot {
                    next.insert(following.without(bit));
                } else if !following.is_done(bit) && visited.insert(following.clone()) {
                    stack.push(following);
                }
            }
        }
        self.slots[slot] = None;
        self.current = next.into_iter().collect();
        Ok(())
    }

    /// Where one required operation is open and one configuration is left, nothing is tried.
    fn settle_alone(&mut self, step: usize) -> bool {
        let is_alone = self.slots.iter().flatten().count() == 1;
        let [configuration] = &mut self.current[..] else { return false };
        if !is_alone || !self.search.steps[step].is_required || configuration.done != 0 {
            return false;
        }
        let edits = &self.search.steps[step].edits;
        let can_meet_goals = edits.iter().all(|(cell, edit)| {
            change(edit, &mut configuration.cells[*cell], &self.search.goals[*cell])
        });
        if !can_meet_goals {
            self.current.clear();
        }
        true
    }

    /// Applies what is still open, until a configuration meets the goals. What was acknowledged is
    /// settled by now, and what a growing list requires is in its goal.
    fn finish(mut self) -> Result<bool, TooConcurrent> {
        let mut stack = std::mem::take(&mut self.current);
        let mut visited: HashSet<Configuration> = stack.iter().cloned().collect();
        while let Some(configuration) = stack.pop() {
            if self.is_goal(&configuration.cells) {
                return Ok(true);
            }
            for slot in 0..self.slots.len() {
                let Some(following) = self.apply(&configuration, slot) else { continue };
                self.count()?;
                if visited.insert(following.clone()) {
                    stack.push(following);
                }
            }
        }
        Ok(false)
    }

    fn count(&mut self) -> Result<(), TooConcurrent> {
        self.seen += self.search.cells.len().div_ceil(8);
        if self.seen > CONFIGURATIONS_MAX { Err(TooConcurrent) } else { Ok(()) }
    }

    fn slot_of(&self, step: usize) -> Option<usize> {
        self.slots.iter().position(|open| *open == Some(step))
    }

    /// The configuration after one more operation, if it may be applied there.
    fn apply(&self, configuration: &Configuration, slot: usize) -> Option<Configuration> {
        let bit = 1 << slot;
        let index = self.slots[slot]?;
        if configuration.is_done(bit) {
            return None;
        }
        let twin = self.twins[index].and_then(|twin| self.slot_of(twin));
        if twin.is_some_and(|twin| !configuration.is_done(1 << twin)) {
            return None;
        }
        let step = &self.search.steps[index];
        let mut following = configuration.clone();
        following.done |= bit;
        if step.chain.is_some() {
            for (other, open) in self.slots.iter().enumerate() {
                let Some(earlier) = open.map(|open| &self.search.steps[open]) else { continue };
                let is_before = earlier.chain == step.chain && earlier.intent < step.intent;
                if is_before && !configuration.is_done(1 << other) {
                    // `A key` names the latest intent, so an earlier one is settled by now.
                    assert!(!earlier.is_required, "an acknowledged operation is passed over");
                    following.done |= 1 << other;
                }
            }
        }
        for (cell, edit) in &step.edits {
            if !change(edit, &mut following.cells[*cell], &self.search.goals[*cell]) {
                return None;
            }
        }
        Some(following)
    }

    fn is_goal(&self, cells: &[Cell]) -> bool {
        cells.iter().zip(&self.search.goals).all(|(cell, goal)| match (cell, goal) {
            (Cell::Token(token), Goal::Tokens(tokens)) => tokens.contains(token),
            (Cell::Amount(amount), Goal::Between(low, high)) => (low..=high).contains(&amount),
            (Cell::List(list), Goal::List(goal)) => list == goal,
            (Cell::Matched(count), Goal::List(goal)) => *count == goal.len(),
            (cell, goal) => unreachable!("{goal:?} is no goal of {cell:?}"),
        })
    }
}

/// Changes a cell, and says whether the goal can still be met.
fn change(edit: &Edit, cell: &mut Cell, goal: &Goal) -> bool {
    match (cell, edit) {
        (Cell::Token(token), Edit::Token(new)) => *token = *new,
        (Cell::Amount(amount), Edit::Amount(new)) => *amount = *new,
        (Cell::Amount(amount), Edit::Add(more)) => *amount = amount.saturating_add(*more),
        (Cell::List(list), Edit::List(new)) => list.clone_from(new),
        (Cell::List(list), Edit::Append(element)) => list.push(*element),
        (Cell::Matched(count), Edit::Append(element)) => {
            let is_next = matches!(goal, Goal::List(goal) if goal.get(*count) == Some(element));
            *count += 1;
            return is_next;
        }
        (cell, edit) => unreachable!("{edit:?} is no edit of {cell:?}"),
    }
    true
}
