//! Which phase of the target's life each crash point of a recording lies in.

use super::options::Options;
use super::problem::ExploreError;
use crate::environment::local::Local;
use killpoint_engine::recording::{Ending, Exit, Turns};
use killpoint_model::Phase;
use std::collections::BTreeMap;

/// Where the phases of one recording begin.
#[derive(Clone, Copy, Debug)]
pub struct Phases {
    /// What its beginning is called.
    first: Phase,
    turns: Turns,
    /// Up to this length of the journal the target starts; none where the journal does not say.
    starts_up_to: Option<u64>,
}

impl Phases {
    /// The phases of a recording, by its turns and its journal. With a driver of its own the target
    /// starts until that is started; without one until the workload's first line in the journal.
    pub fn of(options: &Options, local: &Local, ending: &Ending) -> Self {
        let begin = local.journal.len() as u64;
        let appended = match ending.exit {
            Exit::Status(0) => local.acknowledgements.len() as u64,
            _ => 0,
        };
        let has_lines = ending.journal_length > begin + appended;
        Phases {
            first: if options.from_empty { Phase::FirstStart } else { Phase::Start },
            turns: ending.turns,
            starts_up_to: (local.driver.is_none() && has_lines).then_some(begin),
        }
    }

    /// The phase of an operation, by its position from 1 and the length of the journal at its entry.
    pub fn at(&self, ordinal: u64, journal_length: u64) -> Phase {
        let is_after = |turn: Option<u64>| turn.is_some_and(|begun| ordinal > begun);
        let starts = match self.turns.driver_started {
            Some(begun) => ordinal <= begun,
            None => self.starts_up_to.is_some_and(|length| journal_length <= length),
        };
        match () {
            () if is_after(self.turns.asked_to_stop) => Phase::Shutdown,
            () if is_after(self.turns.driver_ended) => Phase::Idle,
            () if starts => self.first,
            () => Phase::Work,
        }
    }

    /// The phase of the end: nothing moves any more.
    pub fn at_end(&self) -> Phase {
        match self.turns.asked_to_stop {
            Some(_) => Phase::Shutdown,
            None => Phase::Idle,
        }
    }
}

/// Says no to phases that this run cannot have.
///
/// # Errors
/// What does not go together.
pub fn check(options: &Options) -> Result<(), ExploreError> {
    let usage = |text: &str| Err(ExploreError::Usage(text.to_owned()));
    let has = |phase| options.phases.contains(&phase);
    if options.phases == Phase::ALL {
        return Ok(());
    }
    if has(Phase::Recovery) && options.recovery_depth == 0 {
        return usage("--phase recovery needs --recovery-depth 1");
    }
    if options.phases == [Phase::Recovery] {
        return usage("a recovery begins at a crash in another phase: add one to --phase recovery");
    }
    if has(Phase::FirstStart) && !has(Phase::Start) && !options.from_empty {
        return usage("--phase first-start needs --from-empty");
    }
    Ok(())
}

/// How many operations each phase has, in words; none where all is work.
pub fn summary(phases: &[Phase]) -> Option<String> {
    let mut counts: BTreeMap<Phase, u64> = BTreeMap::new();
    for phase in phases {
        *counts.entry(*phase).or_default() += 1;
    }
    if counts.keys().all(|phase| *phase == Phase::Work) {
        return None;
    }
    let parts: Vec<String> =
        counts.iter().map(|(phase, count)| format!("{phase} {count}")).collect();
    Some(format!("operations by phase: {}", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(driver_started: Option<u64>, ended: u64, asked_to_stop: Option<u64>) -> Turns {
        Turns { driver_started, driver_ended: Some(ended), asked_to_stop, asked: 1, asked_users: 0 }
    }

    fn all(phases: Phases, journal_lengths: &[u64]) -> Vec<Phase> {
        (1..).zip(journal_lengths).map(|(ordinal, length)| phases.at(ordinal, *length)).collect()
    }

    #[test]
    fn without_a_driver_the_first_line_of_the_journal_ends_the_start() {
        use Phase::{Idle, Shutdown, Start, Work};
        let (first, turns) = (Start, turns(None, 4, Some(5)));
        let phases = Phases { first, turns, starts_up_to: Some(10) };
        assert_eq!(
            all(phases, &[10, 10, 25, 40, 40, 40]),
            [Start, Start, Work, Work, Idle, Shutdown]
        );
        assert_eq!(phases.at_end(), Shutdown);
        let phases = Phases { starts_up_to: None, ..phases };
        assert_eq!(all(phases, &[10, 10]), [Work, Work], "no journal says when it has started");
    }

    #[test]
    fn with_a_driver_its_start_ends_the_start_whatever_the_journal_says() {
        use Phase::{FirstStart, Idle, Work};
        let (first, turns) = (FirstStart, turns(Some(1), 2, None));
        let phases = Phases { first, turns, starts_up_to: None };
        assert_eq!(all(phases, &[99, 99, 99]), [FirstStart, Work, Idle]);
        assert_eq!(phases.at_end(), Idle);
    }

    #[test]
    fn operations_are_counted_by_phase_unless_all_is_work() {
        assert_eq!(summary(&[Phase::Work, Phase::Work]), None);
        let text = summary(&[Phase::Start, Phase::Work, Phase::Work]).expect("a start");
        assert_eq!(text, "operations by phase: start 1, work 2");
    }
}
