//! All that was judged in one trial, so that nothing milder, and nothing that is known, hides what is worse.

use killpoint_model::verdict::{Class, Judgement, Verdict};
use std::collections::BTreeMap;

/// What was judged in a trial and did not hold.
#[derive(Debug, Default)]
pub(super) struct Judgements {
    /// The first of each verdict.
    bad: Vec<Judgement>,
    /// The most keys that each invariant, by its index, has seen lost at once.
    lost: BTreeMap<usize, u64>,
}

/// What a trial ends with.
#[derive(Debug)]
pub(super) struct Conclusion {
    /// The worst judgement that the baseline does not excuse; if it excuses all, the worst.
    pub(super) judgement: Judgement,
    /// The classes of all other violations, the worst first.
    pub(super) also: Vec<Class>,
}

impl Judgements {
    /// Whether nothing was bad so far.
    pub(super) fn have_held(&self) -> bool {
        self.bad.is_empty()
    }

    /// Whether a promise was broken so far.
    pub(super) fn are_violated(&self) -> bool {
        self.bad.iter().any(|it| matches!(it.verdict, Verdict::Violated(_)))
    }

    /// Takes one in.
    pub(super) fn add(&mut self, judgement: Judgement) {
        let is_new = |other: &Judgement| other.verdict != judgement.verdict;
        if judgement.verdict != Verdict::Held && self.bad.iter().all(is_new) {
            self.bad.push(judgement);
        }
    }

    /// Takes one of an invariant in. What is lost at one moment is lost at the next, too: it is not added
    /// up.
    pub(super) fn add_of(&mut self, invariant: usize, judgement: Judgement) {
        let lost = self.lost.entry(invariant).or_default();
        *lost = (*lost).max(judgement.keys_lost);
        self.add(judgement);
    }

    /// What follows from them, with all keys that were lost; `is_known` says what the baseline excuses.
    pub(super) fn conclude(&self, is_known: impl Fn(Class) -> bool) -> Conclusion {
        let excused = |judgement: &Judgement| match judgement.verdict {
            Verdict::Violated(class) => is_known(class),
            _ => false,
        };
        let worst = self.bad.iter().max_by_key(|it| (!excused(it), it.verdict.clone()));
        let Some(worst) = worst else {
            return Conclusion { judgement: Judgement::held(), also: Vec::new() };
        };
        let others = self.bad.iter().filter(|it| it.verdict != worst.verdict);
        let mut also: Vec<Class> = others
            .filter_map(|it| match it.verdict {
                Verdict::Violated(class) => Some(class),
                _ => None,
            })
            .collect();
        also.sort_by(|one, other| other.cmp(one));
        let judgement = Judgement { keys_lost: self.lost.values().sum(), ..worst.clone() };
        Conclusion { judgement, also }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use killpoint_model::verdict::Reason;

    fn violated(class: Class, keys_lost: u64) -> Judgement {
        Judgement { keys_lost, ..Judgement::violated(class, "bad") }
    }

    #[test]
    fn the_worst_that_is_not_excused_is_what_a_trial_ends_with() {
        let mut judgements = Judgements::default();
        let concluded = |judgements: &Judgements, known: &[Class]| {
            let Conclusion { judgement, also } =
                judgements.conclude(|class| known.contains(&class));
            (judgement.verdict, judgement.keys_lost, also)
        };
        assert_eq!(concluded(&judgements, &[]), (Verdict::Held, 0, vec![]));
        judgements.add_of(1, violated(Class::Extra, 0));
        judgements.add_of(0, violated(Class::Lost, 1));
        judgements.add_of(0, violated(Class::Lost, 3));
        judgements.add_of(2, violated(Class::Lost, 2));
        let (lost, extra) = (Verdict::Violated(Class::Lost), Verdict::Violated(Class::Extra));
        assert_eq!(concluded(&judgements, &[]), (lost.clone(), 5, vec![Class::Extra]));
        assert_eq!(concluded(&judgements, &[Class::Lost]), (extra, 5, vec![Class::Lost]));
        let both = [Class::Lost, Class::Extra];
        assert_eq!(concluded(&judgements, &both), (lost, 5, vec![Class::Extra]));
        judgements.add(Judgement::unknown(Reason::JudgeFailed, "?"));
        let unknown = Verdict::Unknown(Reason::JudgeFailed);
        assert_eq!(concluded(&judgements, &both), (unknown, 5, vec![Class::Lost, Class::Extra]));
    }
}
