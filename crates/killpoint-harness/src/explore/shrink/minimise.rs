//! Which steps are needed: the shortest beginning that shows a finding, then delta debugging (ddmin,
//! Zeller and Hildebrandt 2002) of that.

use std::collections::HashMap;

/// Asks whether some of the steps, by their places, show it. Each set is tried once.
pub struct Trials<F> {
    shows: F,
    known: HashMap<Vec<usize>, bool>,
    limit: u64,
}

/// What is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimised {
    /// The places of the steps that are kept.
    pub kept: Vec<usize>,
    /// Whether every step of them is needed; else the limit of trials came first.
    pub is_minimal: bool,
    /// How many sets were tried.
    pub trials: u64,
}

impl<F, E> Trials<F>
where
    F: FnMut(&[usize]) -> Result<bool, E>,
{
    /// At most `limit` sets are tried; what would be tried beyond shows nothing.
    pub fn new(limit: u64, shows: F) -> Self {
        Trials { shows, known: HashMap::new(), limit }
    }

    fn count(&self) -> u64 {
        self.known.len() as u64
    }

    fn is_over(&self) -> bool {
        self.count() >= self.limit
    }

    fn shows(&mut self, places: &[usize]) -> Result<bool, E> {
        if let Some(answer) = self.known.get(places) {
            return Ok(*answer);
        }
        if self.is_over() {
            return Ok(false);
        }
        let answer = (self.shows)(places)?;
        self.known.insert(places.to_vec(), answer);
        Ok(answer)
    }

    /// Reduces the steps `0..steps`, all of which together show it.
    ///
    /// # Errors
    /// The first of a trial.
    pub fn minimise(mut self, steps: usize) -> Result<Minimised, E> {
        if self.shows(&[])? {
            let trials = self.count();
            return Ok(Minimised { kept: Vec::new(), is_minimal: true, trials });
        }
        let beginning = self.beginning(steps)?;
        let kept = self.ddmin((0..beginning).collect())?;
        let is_minimal = !self.is_over();
        Ok(Minimised { kept, is_minimal, trials: self.count() })
    }

    /// The length of a beginning that shows it and is not one step too long. What comes after the
    /// crash is dropped here.
    fn beginning(&mut self, steps: usize) -> Result<usize, E> {
        let (mut without, mut with) = (0, steps);
        while with - without > 1 {
            let middle = without + (with - without) / 2;
            let places: Vec<usize> = (0..middle).collect();
            match self.shows(&places)? {
                true => with = middle,
                false => without = middle,
            }
        }
        Ok(with)
    }

    fn ddmin(&mut self, mut kept: Vec<usize>) -> Result<Vec<usize>, E> {
        let mut parts = 2;
        while kept.len() >= 2 && !self.is_over() {
            let length = kept.len().div_ceil(parts);
            match self.smaller(&kept, length)? {
                Some((smaller, is_part)) => {
                    parts = if is_part { 2 } else { (parts - 1).max(2) };
                    kept = smaller;
                }
                None if parts >= kept.len() => break,
                None => parts = (2 * parts).min(kept.len()),
            }
        }
        Ok(kept)
    }

    /// A part of this length, or all but such a part, that shows it; and whether it is a part.
    fn smaller(&mut self, kept: &[usize], length: usize) -> Result<Option<(Vec<usize>, bool)>, E> {
        for part in kept.chunks(length) {
            if self.shows(part)? {
                return Ok(Some((part.to_vec(), true)));
            }
        }
        for part in kept.chunks(length) {
            let rest: Vec<usize> =
                kept.iter().copied().filter(|place| !part.contains(place)).collect();
            if self.shows(&rest)? {
                return Ok(Some((rest, false)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn minimise(steps: usize, limit: u64, shows: impl Fn(&[usize]) -> bool) -> Minimised {
        let trials = Trials::new(limit, |places: &[usize]| Ok::<_, Infallible>(shows(places)));
        let Ok(minimised) = trials.minimise(steps);
        minimised
    }

    #[test]
    fn two_steps_of_twenty_are_found_in_few_trials() {
        let found = minimise(20, 200, |places| places.contains(&4) && places.contains(&13));
        assert_eq!((found.kept, found.is_minimal), (vec![4, 13], true));
        assert!(found.trials < 40, "{} trials", found.trials);
    }

    #[test]
    fn what_needs_no_step_or_all_of_them_is_told() {
        let none = minimise(20, 200, |_| true);
        assert_eq!((none.kept, none.trials), (Vec::new(), 1));
        let all = minimise(5, 200, |places| places.len() == 5);
        assert_eq!((all.kept, all.is_minimal), (vec![0, 1, 2, 3, 4], true));
    }

    #[test]
    fn a_limit_of_trials_leaves_a_set_that_shows_it() {
        let shows = |places: &[usize]| [3, 9, 31].iter().all(|place| places.contains(place));
        let found = minimise(64, 9, shows);
        assert!(shows(&found.kept) && !found.is_minimal && found.trials == 9, "{found:?}");
    }

    proptest! {
        #[test]
        fn what_is_kept_shows_it_and_no_step_of_it_can_go(
            steps in 1_usize..24,
            wanted in prop::collection::btree_set(0_usize..24, 0..5),
            needs_a_pair in any::<bool>(),
        ) {
            // Also where it is not monotone: an odd number of steps besides hides it.
            let shows = |places: &[usize]| {
                let has_all = wanted.iter().all(|place| places.contains(place));
                has_all && (!needs_a_pair || places.len() == steps || places.len() % 2 == wanted.len() % 2)
            };
            prop_assume!(wanted.iter().all(|place| *place < steps));
            let found = minimise(steps, 10_000, shows);
            prop_assert!(shows(&found.kept));
            for place in &found.kept {
                let rest: Vec<usize> =
                    found.kept.iter().copied().filter(|other| other != place).collect();
                prop_assert!(found.kept.len() < 2 || !shows(&rest), "{found:?} without {place}");
            }
        }
    }
}
