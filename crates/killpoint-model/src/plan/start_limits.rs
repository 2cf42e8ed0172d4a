//! Whether the strikes of a plan alone can use up the start limit of what they strike.

use super::{Moment, Plan, PlannedTrial};
use crate::fault::Fault;
use crate::selector::Who;
use crate::supervision::{AtLimit, Process};

impl Plan {
    /// Start limits that the strikes alone can use up, one text for each rule and process: its first
    /// trial that can.
    pub(super) fn used_up(&self) -> Vec<String> {
        let supervision = self.scenario.target.supervision(self.scenario.seed);
        let mut texts = Vec::new();
        for rule in (0..self.scenario.faults.len()).map(|index| self.scenario.rule_name(index)) {
            for (name, process) in &supervision.processes {
                let mut trials = self.trials.iter().filter(|trial| trial.rule == rule);
                let first =
                    trials.find_map(|trial| Some((trial, strike_at_limit(trial, process)?)));
                let Some((trial, strike)) = first else { continue };
                let limit = process.start_limit;
                let then = match limit.then {
                    AtLimit::GiveUp => "is given up",
                    AtLimit::SafeMode => "gets its fallback",
                };
                texts.push(format!(
                    "{rule}: strike {strike} of trial {} can be the one after which {name} {then}: {} \
                     starts within {} are its limit, and starts after strikes count; strike less \
                     often, or write a larger `start-limit`",
                    trial.ordinal, limit.count, limit.within
                ));
            }
        }
        texts
    }
}

/// The first strike, from 1, after which a process may not start again, though it starts as soon as its
/// back-off lets it and never ends by itself; none if there is none, or nobody can tell.
fn strike_at_limit(trial: &PlannedTrial, process: &Process) -> Option<usize> {
    let limit = process.start_limit;
    if limit.count == 0 {
        return None;
    }
    let mut starts = vec![0];
    let (mut started, mut attempt) = (0_u64, 0_u32);
    for (index, strike) in trial.strikes.iter().enumerate() {
        if strike.who != Who::default()
            || !matches!(strike.fault, Fault::Kill | Fault::Terminate | Fault::Ladder(_))
        {
            return None;
        }
        let struck = match &strike.when {
            Moment::After(span) => started.saturating_add(span.as_ms()),
            Moment::At(span) => span.as_ms().max(started),
            Moment::When(_) => return None,
        };
        if struck - started >= process.backoff.reset_after.as_ms() {
            attempt = 0;
        }
        attempt = attempt.saturating_add(1);
        started = struck.saturating_add(process.backoff.shortest_wait(attempt).as_ms());
        starts.retain(|start| started - start <= limit.within.as_ms());
        if starts.len() >= limit.count as usize {
            return Some(index + 1);
        }
        starts.push(started);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::plan::{CrashPoints, Plan};
    use crate::scenario::tests::read;

    fn remarks(when: &str, rest: &str, supervisor: &str) -> Vec<String> {
        let text = format!(
            r#"{{"version": 1, "target": {{"command": ["store"], "supervisor": {{{supervisor}}}}},
                "faults": [{{"when": {when}, "do": "kill"{rest}}}]}}"#
        );
        Plan::make(read(&text), CrashPoints::default()).expect("a plan").remarks()
    }

    #[test]
    fn strikes_that_can_use_up_a_start_limit_are_said() {
        let often = r#"{"interval": "100ms..200ms"}"#;
        let said = remarks(often, r#", "duration": "5s""#, "");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("fault-1: strike 5 of trial 1 "), "{said:?}");
        assert!(said[0].contains("main is given up: 5 starts within 10s"), "{said:?}");
        let at = r#"{"at": ["1s", "2s", "3s"]}"#;
        let limit = r#""start-limit": {"count": 3, "within": "10s"}"#;
        assert!(remarks(at, "", limit)[0].starts_with("fault-1: strike 3 of trial 1 "));
    }

    #[test]
    fn strikes_that_cannot_are_not() {
        let often = r#"{"interval": "100ms..200ms"}"#;
        let long = r#", "duration": "5s""#;
        let none = r#""start-limit": {"count": 0, "within": "10s"}"#;
        let slow = r#""backoff": {"first": "4s", "factor": 1, "jitter": 0}"#;
        assert_eq!(remarks(often, long, none), [""; 0]);
        assert_eq!(remarks(often, long, slow), [""; 0]);
        assert_eq!(remarks(r#"{"interval": "3s..4s"}"#, r#", "duration": "1m""#, ""), [""; 0]);
        assert_eq!(remarks(r#"{"at": ["1s", "2s", "3s"]}"#, "", ""), [""; 0]);
    }
}
