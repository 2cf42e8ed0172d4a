//! Why an undisturbed workload cannot serve as a control.

use super::Control;
use super::barred::Barriers;
use crate::asserter::checker::complaint;
use crate::environment::local::{Local, TrialResult};
use killpoint_engine::recording::Exit;
use killpoint_model::verdict::Reason;
use rustix::process::Signal;

/// Signals that programs do not raise in themselves by mistake: somebody sent them.
const FOREIGN_SIGNALS: [Signal; 5] =
    [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// Why the undisturbed workload cannot serve as a control, if it cannot.
pub(super) fn workload_failure(local: &Local, result: &TrialResult) -> Option<Control> {
    let barred = Barriers::of(local, &result.ending);
    match (failure(local, result), barred.hint()) {
        (Some(Control::Failed(why)), Some(hint)) => {
            Some(Control::Failed(format!("{why}; before that, {hint}")))
        }
        (None, _) => barred.in_state().map(|why| {
            let why = format!("what was recorded is not what the command really does: {why}");
            Control::Unknown(Reason::NotCovered, why)
        }),
        (failure, _) => failure,
    }
}

/// Why it cannot, whatever mounts may have been in its way.
fn failure(local: &Local, result: &TrialResult) -> Option<Control> {
    if let Some(why) = never_quiet(local, result) {
        return Some(Control::Unknown(Reason::NeverSteady, why));
    }
    let command = if local.driver.is_some() { "driver" } else { "command" };
    let said = complaint(&result.output);
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let why = match result.ending.exit {
        Exit::Status(0) => return target_failure(result, &said).map(Control::Failed),
        Exit::Status(code) => format!("the {command} ended with exit status {code}{said}"),
        Exit::Signal(_) if result.ending.gaps.iter().any(|(file, _)| file == "*") => {
            let (_, reason) =
                result.ending.gaps.iter().find(|(file, _)| file == "*").expect("found");
            format!("the command was stopped: {reason}")
        }
        Exit::Signal(number)
            if FOREIGN_SIGNALS.iter().any(|foreign| foreign.as_raw() == number) =>
        {
            let why = format!(
                "the {command} was killed by signal {number}, which killpoint did not send{said}"
            );
            return Some(Control::Unknown(Reason::ForeignDeath, why));
        }
        Exit::Signal(number) => format!("the {command} was killed by signal {number}{said}"),
        Exit::NotStarted(number) => format!(
            "the {command} could not be started: {}",
            std::io::Error::from_raw_os_error(number)
        ),
        Exit::TimedOut => {
            format!("the {command} did not end in time; give it longer with --timeout{said}")
        }
        Exit::Running => match result.ending.gaps.iter().find(|(file, _)| file == "*") {
            Some((_, reason)) => format!("the command was stopped: {reason}"),
            None => "the command was stopped before it ended".to_owned(),
        },
    };
    Some(Control::Failed(why))
}

/// Why the target never became steady, if it did not.
fn never_quiet(local: &Local, result: &TrialResult) -> Option<String> {
    let (quiet, timeout) = (local.quiet.as_millis(), local.target_timeout.as_secs());
    let is_driven = result.ending.turns.driver_ended.is_some();
    match result.ending.exit {
        _ if !result.ending.never_quiet => None,
        Exit::Status(0) => Some(format!(
            "what the workload left behind went on working: there were never {quiet} ms in which it \
             mostly slept and changed nothing, within {timeout} s"
        )),
        _ if is_driven => None,
        _ => Some(format!(
            "the command never became quiet, so that its driver was not started: there were never \
             {quiet} ms in which it slept and changed nothing, within {timeout} s"
        )),
    }
}

/// Why a target that has a driver cannot serve as a control: it may end by itself, but not fail.
fn target_failure(result: &TrialResult, said: &str) -> Option<String> {
    let how = match result.ending.target {
        Exit::Running | Exit::Status(0) => return None,
        Exit::Status(code) => format!("ended with exit status {code}"),
        Exit::Signal(number) => format!("was killed by signal {number}"),
        Exit::NotStarted(number) => {
            let why = std::io::Error::from_raw_os_error(number);
            return Some(format!("the command could not be started: {why}"));
        }
        Exit::TimedOut => "was stopped".to_owned(),
    };
    Some(format!("the command {how} before it was asked to end{said}"))
}
