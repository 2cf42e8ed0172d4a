//! Judges a key that holds a sum.
//!
//! Where the key is only added to, the order does not matter: the sum is what was there, all that was
//! promised, and some of what is undecided.

use super::finding::{Due, Finding, Symptom};
use super::problem::{Bend, Problem};
use super::search::TooConcurrent;
use super::store::amount_of;
use crate::asserter::journal::{Amount, Change};
use killpoint_model::verdict::Class;
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashSet};

/// How many different sums one search may look at.
const SUMS_MAX: usize = 200_000;

impl<'a> Problem<'a> {
    /// What is bad about a sum, looked at by itself.
    pub(super) fn judge_sum(&self, key: usize) -> Result<Option<Finding<'a>>, TooConcurrent> {
        if self.is_sum_legal(key, Bend::Not)? {
            return Ok(None);
        }
        // Which rule is broken is said only where a search can tell.
        let would_be_legal = |bend| self.is_sum_legal(key, bend).unwrap_or(false);
        let records = self.records;
        let name = &records.keys[key].name;
        let (initial, shown) = (self.initial.get(name), self.store.get(name));
        let is_number = shown.is_none_or(|shown| amount_of(shown).is_some());
        let are_missing = is_number && would_be_legal(Bend::Missing);
        let (class, symptom) = if shown.is_none() {
            (Class::Lost, Symptom::Gone)
        } else if are_missing || (is_number && self.is_less_than_initial(key)) {
            (Class::Lost, Symptom::Fewer)
        } else if is_number && would_be_legal(Bend::Twice) {
            (Class::Duplicated, Symptom::Repeated)
        } else if initial.is_none() && self.intended(key).next().is_none() {
            (Class::Extra, Symptom::Unknown)
        } else {
            (Class::Wrong, Symptom::Foreign)
        };
        let is_promised = self.intended(key).any(|act| act.is_required(self.moment));
        let due = match initial {
            Some(initial) if !are_missing && class == Class::Lost => Due::Before(initial),
            _ if is_promised => Due::Parts,
            Some(initial) => Due::Before(initial),
            None => Due::Nothing,
        };
        let finding = Finding::new(name, class, symptom);
        Ok(Some(Finding { due, shown, remark: self.sum_remark(key, shown), ..finding }))
    }

    fn is_sum_legal(&self, key: usize, bend: Bend) -> Result<bool, TooConcurrent> {
        if !self.is_only_added_to(key) {
            return self.is_legal(&self.records.keys[key].acts, &[key], bend);
        }
        let name = &self.records.keys[key].name;
        let shown = match self.store.get(name).map(amount_of) {
            None => Default::default(),
            Some(Some(shown)) => shown,
            Some(None) => return Ok(false),
        };
        let mut total = self.initial.get(name).and_then(amount_of).unwrap_or_default().0;
        let mut optional: BTreeMap<i128, i128> = BTreeMap::new();
        for act in self.intended(key) {
            let amount = self.added(act, key);
            let is_required = act.is_required(self.moment) && bend != Bend::Missing;
            if is_required {
                total = total.plus(amount);
            }
            let count = i128::from(!is_required) + i128::from(bend == Bend::Twice);
            if count > 0 && amount.0 != 0 {
                *optional.entry(amount.0).or_default() += count;
            }
        }
        is_reachable(shown.0.0 - total.0, shown.1, optional)
    }

    fn is_only_added_to(&self, key: usize) -> bool {
        self.intended(key).all(|act| {
            act.effects_on(key, self.moment).all(|change| matches!(change, Change::Add(_)))
        })
    }

    fn added(&self, act: &super::records::Act, key: usize) -> Amount {
        act.effects_on(key, self.moment).fold(Amount::default(), |sum, change| match change {
            Change::Add(amount) => sum.plus(*amount),
            _ => sum,
        })
    }

    fn is_less_than_initial(&self, key: usize) -> bool {
        let name = &self.records.keys[key].name;
        let amount = |json: Option<&Json>| json.and_then(amount_of).unwrap_or_default().0;
        self.is_only_added_to(key)
            && self.intended(key).all(|act| self.added(act, key).0 >= 0)
            && amount(self.store.get(name)) < amount(self.initial.get(name))
    }

    fn sum_remark(&self, key: usize, shown: Option<&Json>) -> String {
        if !self.is_only_added_to(key) {
            return String::new();
        }
        let name = &self.records.keys[key].name;
        let mut total = self.initial.get(name).and_then(amount_of).unwrap_or_default().0;
        let (mut required, mut undecided) = (0u64, 0u64);
        for act in self.intended(key) {
            if act.is_required(self.moment) {
                total = total.plus(self.added(act, key));
                required += 1;
            } else {
                undecided += 1;
            }
        }
        let (additions, make) =
            if required == 1 { ("addition", "makes") } else { ("additions", "make") };
        let held = match shown.and_then(amount_of) {
            Some((amount, _)) => format!("it is {amount}, "),
            None => String::new(),
        };
        format!(
            "{held}{required} acknowledged {additions} {make} it {total}, {undecided} undecided"
        )
    }

    /// The operations on a key that are intended and not known to have failed.
    pub(super) fn intended(&self, key: usize) -> impl Iterator<Item = &'a super::records::Act> {
        let (records, moment) = (self.records, self.moment);
        records.keys[key].acts.iter().map(|act| &records.acts[*act]).filter(move |act| {
            act.may_apply(moment) && act.effects_on(key, moment).next().is_some()
        })
    }
}

/// Whether some of the amounts, each at most as often as counted, make the target.
fn is_reachable(
    target: i128,
    slack: i128,
    mut optional: BTreeMap<i128, i128>,
) -> Result<bool, TooConcurrent> {
    let is_near = |rest: i128| rest.abs() <= slack;
    let most = optional.iter().max_by_key(|(_, count)| **count).map(|(amount, _)| *amount);
    let Some(most) = most else { return Ok(is_near(target)) };
    // The amount that occurs most often is solved for, not tried.
    let most_count = optional.remove(&most).expect("it was just found");
    let mut sums = HashSet::from([0i128]);
    for (amount, count) in optional {
        let mut following = HashSet::new();
        for sum in &sums {
            for times in 0..=count {
                following.insert(sum + amount * times);
                if following.len() > SUMS_MAX {
                    return Err(TooConcurrent);
                }
            }
        }
        sums = following;
    }
    Ok(sums.iter().any(|sum| {
        let rest = target - sum;
        let times = rest.div_euclid(most);
        (times - 1..=times + 1)
            .any(|times| (0..=most_count).contains(&times) && is_near(rest - times * most))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sum_is_reachable_exactly_if_some_subset_makes_it(
            amounts in proptest::collection::vec(-4i128..5, 0..8),
            target in -12i128..12,
        ) {
            let mut optional = BTreeMap::new();
            for amount in amounts.iter().filter(|amount| **amount != 0) {
                *optional.entry(*amount).or_default() += 1;
            }
            let expect = (0u32..1 << amounts.len()).any(|subset| {
                let chosen = amounts.iter().enumerate().filter(|(index, _)| subset >> index & 1 == 1);
                chosen.map(|(_, amount)| amount).sum::<i128>() == target
            });
            prop_assert_eq!(is_reachable(target, 0, optional), Ok(expect));
        }
    }

    #[test]
    fn thousands_of_equal_amounts_need_no_search() {
        assert_eq!(is_reachable(3_999, 0, BTreeMap::from([(3, 5_000)])), Ok(true));
        assert_eq!(is_reachable(4_000, 0, BTreeMap::from([(3, 5_000)])), Ok(false));
    }
}
