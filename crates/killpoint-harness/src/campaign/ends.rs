//! What the ends of supervised processes say about the target, whatever its data look like: a stop that
//! was ignored, one that hung, a process that was given up, and in the control any end that nobody
//! asked for.

use super::state::State;
use killpoint_model::lifecycle::End;
use killpoint_model::supervision::RestartPolicy;
use killpoint_model::verdict::{Class, Judgement, Reason};

/// The worst that they say; none if they say nothing bad.
pub(super) fn judge(state: &State, is_control: bool) -> Option<Judgement> {
    let given_up = state.gave_up().map(|why| Judgement::violated(Class::Bricked, why));
    let ends = state.ends.iter().filter_map(|(name, end)| {
        let policy = state.processes.get(name).map(|process| process.policy).unwrap_or_default();
        judge_end(name, *end, is_control, policy)
    });
    // The first of the worst: what came first explains what came after it.
    given_up.into_iter().chain(ends).reduce(
        |worst, next| {
            if next.verdict > worst.verdict { next } else { worst }
        },
    )
}

fn judge_end(name: &str, end: End, is_control: bool, policy: RestartPolicy) -> Option<Judgement> {
    let hung = |what: &str| {
        let why = format!(
            "{name} {what} and had to be killed ({end}); one that is meant to be killed has \
             `stop: {{ signal: KILL }}`."
        );
        Some(Judgement::violated(Class::Hung, why))
    };
    match end {
        End::Stopped => None,
        // Whoever is started again whatever comes is not meant to end by itself.
        End::Finished if !(is_control && policy == RestartPolicy::Always) => None,
        End::IgnoredStop => hung("ignored its stop"),
        End::HungAtExit => hung("took its stop, did not end"),
        _ if is_control => {
            let why = format!("{name} ended ({end}) though nothing was done to it.");
            Some(Judgement::unknown(Reason::ForeignDeath, why))
        }
        // Whoever depends on what was struck may fail with it.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use killpoint_model::supervision::{Process, Supervision};
    use killpoint_model::verdict::Verdict;

    fn verdict(ends: &[End], is_control: bool) -> Option<Verdict> {
        verdict_of(ends, is_control, RestartPolicy::OnFailure)
    }

    fn verdict_of(ends: &[End], is_control: bool, policy: RestartPolicy) -> Option<Verdict> {
        let ends = ends.iter().map(|end| ("main".to_owned(), *end)).collect();
        let mut process = Process::new(vec!["true".to_owned()]);
        process.restart = policy;
        let state = State { ends, ..State::of(&Supervision::of("main", process)) };
        judge(&state, is_control).map(|it| it.verdict)
    }

    #[test]
    fn who_is_always_started_again_must_not_end_in_the_control() {
        let foreign = Some(Verdict::Unknown(Reason::ForeignDeath));
        assert_eq!(verdict_of(&[End::Finished], true, RestartPolicy::Always), foreign);
        assert_eq!(verdict_of(&[End::Finished], false, RestartPolicy::Always), None);
        assert_eq!(verdict_of(&[End::Finished], true, RestartPolicy::Never), None);
    }

    #[test]
    fn a_stop_that_needs_a_kill_is_hung_and_any_end_of_the_control_is_foreign() {
        let hung = Some(Verdict::Violated(Class::Hung));
        let foreign = Some(Verdict::Unknown(Reason::ForeignDeath));
        for is_control in [true, false] {
            assert_eq!(verdict(&[End::Finished, End::Stopped], is_control), None);
            assert_eq!(verdict(&[End::Killed, End::IgnoredStop], is_control), hung);
            assert_eq!(verdict(&[End::HungAtExit, End::Failed], is_control), hung);
        }
        for end in [End::Failed, End::Killed, End::Detached, End::TooManyProcesses, End::Hung] {
            assert_eq!(verdict(&[end], true), foreign);
            assert_eq!(verdict(&[end], false), None);
        }
    }
}
