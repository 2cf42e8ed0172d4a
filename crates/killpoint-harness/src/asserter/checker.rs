//! Checkers: programs that reopen a store and print what it holds.
//!
//! [`Checker::read`] runs inside a worker, where the crash state is mounted; it yields a [`Reading`],
//! plain data. [`judge`] turns readings into verdicts and is pure.

use super::history::{
    History, Promise, Store, StoreError, judge_again, judge_between, parse_store, unjudged_between,
};
use killpoint_engine::recording::Exit;
use killpoint_engine::spawn::{self, Finished, Launch};
use killpoint_model::invariant::Semantics;
use killpoint_model::verdict::{Class, Judgement, Reason};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

mod plain;
mod stream;

pub use stream::StreamChecker;

/// Most bytes of a checker's output that are kept.
pub const OUTPUT_BYTES_MAX: usize = 16 << 20;
/// Most bytes of a checker's complaint that are shown.
const COMPLAINT_BYTES_MAX: usize = 2_000;

/// How a state is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Checker {
    /// A command for the shell, once for each state.
    Command(String),
    /// A command that stays alive and is told one state after another.
    Stream(String),
    /// No checker: the built-in oracle.
    BuiltIn,
}

/// What reading a state gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
    /// Exit status 0, and what it printed.
    Printed(String),
    /// It ended otherwise.
    Refused {
        /// How, in words.
        how: String,
        /// What it said, bounded.
        said: String,
    },
    /// It did not end in time, twice.
    Hung(Duration),
    /// It could not be run, or did not keep to the protocol.
    NotRun(String),
    /// The built-in oracle has judged.
    Judged(Judgement),
}

/// Where a checker runs.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The first state directory as the program sees it.
    pub state: PathBuf,
    /// The ack journal as the program sees it.
    pub journal: PathBuf,
    /// The working directory.
    pub directory: PathBuf,
    /// The environment, without the two variables above.
    pub environment: Vec<(OsString, OsString)>,
    /// How long a state may take.
    pub timeout: Duration,
}

impl Surroundings {
    /// A command for the shell, in the surroundings of another program.
    pub fn shell(command: &str, like: &Launch) -> Launch {
        Launch {
            program: PathBuf::from("/bin/sh"),
            arguments: ["sh".into(), "-c".into(), OsString::from(command)].to_vec(),
            ..like.clone()
        }
    }

    fn launch(&self, command: &str) -> Launch {
        let mut environment = self.environment.clone();
        environment.retain(|(name, _)| name != "KILLPOINT_STATE" && name != "KILLPOINT_JOURNAL");
        environment.push(("KILLPOINT_STATE".into(), self.state.clone().into()));
        environment.push(("KILLPOINT_JOURNAL".into(), self.journal.clone().into()));
        Launch {
            program: PathBuf::from("/bin/sh"),
            arguments: ["sh".into(), "-c".into(), OsString::from(command)].to_vec(),
            environment,
            directory: self.directory.clone(),
        }
    }

    /// Runs a command of the shell, without the shell where that is the same and costs less.
    fn run(&self, command: &str) -> io::Result<Finished> {
        let shell = self.launch(command);
        if let Some(plain) = plain::launch(command, &shell) {
            let finished = spawn::run(&plain, self.timeout, OUTPUT_BYTES_MAX)?;
            // What the kernel cannot execute, a shell may, or says why not.
            if !matches!(finished.exit, Exit::NotStarted(_)) {
                return Ok(finished);
            }
        }
        spawn::run(&shell, self.timeout, OUTPUT_BYTES_MAX)
    }
}

/// Runs a one-shot checker on the state that is mounted now. `fresh` restores the state before a
/// second try.
///
/// # Errors
/// If the state cannot be restored.
pub fn read_once(
    command: &str,
    surroundings: &Surroundings,
    mut fresh: impl FnMut() -> io::Result<()>,
) -> io::Result<Reading> {
    for attempt in 1..=2 {
        let finished = surroundings.run(command);
        spawn::end_all();
        let finished = match finished {
            Ok(finished) => finished,
            Err(error) => return Ok(Reading::NotRun(format!("cannot start /bin/sh: {error}"))),
        };
        let said = || {
            let bytes = if finished.error.is_empty() { &finished.output } else { &finished.error };
            let from = bytes.len().saturating_sub(COMPLAINT_BYTES_MAX);
            String::from_utf8_lossy(&bytes[from..]).trim().to_owned()
        };
        return Ok(match finished.exit {
            Exit::Status(0) if finished.cut => {
                Reading::NotRun(format!("the checker printed more than {OUTPUT_BYTES_MAX} bytes"))
            }
            Exit::Status(0) => {
                Reading::Printed(String::from_utf8_lossy(&finished.output).into_owned())
            }
            Exit::Status(code @ (126 | 127)) => Reading::NotRun(format!(
                "exit status {code}: the shell found no such program, or could not run it: {}",
                said()
            )),
            Exit::Status(code) => {
                Reading::Refused { how: format!("exit status {code}"), said: said() }
            }
            Exit::Signal(number) => {
                Reading::Refused { how: format!("death by signal {number}"), said: said() }
            }
            Exit::TimedOut if attempt == 1 => {
                fresh()?;
                continue;
            }
            Exit::TimedOut => Reading::Hung(surroundings.timeout),
            Exit::NotStarted(number) => {
                Reading::NotRun(io::Error::from_raw_os_error(number).to_string())
            }
            Exit::Running => Reading::NotRun("it did not end".to_owned()),
        });
    }
    unreachable!("the second attempt returns")
}

/// What readings are held against.
#[derive(Debug)]
pub enum Expectation {
    /// An ack journal says what was promised.
    Journal(Box<History>),
    /// No journal: what the checker showed both before and after the undisturbed workload must be
    /// there, and not empty; and it must exit with status 0.
    Between {
        /// What it showed, if it printed stores.
        ends: Option<(Store, Store)>,
    },
    /// The built-in oracle judges by itself.
    BuiltIn,
}

impl Expectation {
    /// Keys of a reading with values that nothing speaks of.
    pub fn unjudged(&self, reading: &Reading) -> Vec<String> {
        let (Expectation::Between { ends: Some((before, after)) }, Reading::Printed(text)) =
            (self, reading)
        else {
            return Vec::new();
        };
        parse_store(text).map_or_else(|_| Vec::new(), |it| unjudged_between(before, after, &it))
    }
}

/// Why a control cannot serve as the starting point.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The reading is no store.
    #[error("{when}, with no fault injected, the checker failed: {problem}")]
    Failed {
        /// Before or after the workload.
        when: &'static str,
        /// What happened.
        problem: String,
    },
}

/// A store from a control reading.
///
/// # Errors
/// If the reading is not what a checker should print.
pub fn control_store(reading: &Reading, when: &'static str) -> Result<Store, ControlError> {
    let failed = |problem: String| ControlError::Failed { when, problem };
    match reading {
        Reading::Printed(text) => parse_store(text).map_err(|error: StoreError| {
            failed(format!("it must print one JSON object, key to value: {error}"))
        }),
        Reading::Refused { how, said } => Err(failed(match said.is_empty() {
            true => how.clone(),
            false => format!("{how}: {said}"),
        })),
        Reading::Hung(limit) => Err(failed(format!("it did not end within {limit:?}, twice"))),
        Reading::NotRun(problem) => Err(failed(problem.clone())),
        Reading::Judged(judgement) => Err(failed(judgement.detail.clone())),
    }
}

/// Judges a reading taken after a crash at which the journal was `upto` bytes long.
pub fn judge(
    reading: &Reading,
    expectation: &Expectation,
    upto: u64,
    promise: Promise,
) -> Judgement {
    judge_under(reading, expectation, upto, promise, Semantics::ExactlyOnce)
}

/// [`judge`] where operations may be missing, or be there twice.
pub fn judge_under(
    reading: &Reading,
    expectation: &Expectation,
    upto: u64,
    promise: Promise,
    semantics: Semantics,
) -> Judgement {
    let text = match reading {
        Reading::Judged(judgement) => return judgement.clone(),
        Reading::Refused { how, said } => {
            let said = complaint(said);
            let detail = match said.is_empty() {
                true => format!("The store does not open: the checker ended with {how}."),
                false => format!(
                    "The store does not open: the checker ended with {how}, saying \"{said}\"."
                ),
            };
            return Judgement::violated(Class::Unopenable, detail);
        }
        Reading::Hung(limit) => {
            let detail = format!("Opening the store did not end within {limit:?}, twice.");
            return Judgement::violated(Class::Hung, detail);
        }
        Reading::NotRun(problem) => return Judgement::unknown(Reason::JudgeFailed, problem),
        Reading::Printed(text) => text,
    };
    match expectation {
        Expectation::BuiltIn => Judgement::held(),
        Expectation::Between { ends: None } => Judgement::held(),
        Expectation::Between { ends: Some((before, after)) } => match parse_store(text) {
            Ok(store) => judge_between(before, after, &store),
            Err(error) => Judgement::unknown(Reason::JudgeFailed, error.to_string()),
        },
        Expectation::Journal(history) => match parse_store(text) {
            Ok(store) => history.judge_under(&store, upto, promise, semantics),
            Err(error) => Judgement::unknown(
                Reason::JudgeFailed,
                format!("the checker exited with status 0 and printed no store: {error}"),
            ),
        },
    }
}

/// The line of a program's last words that says most: the last one that is no hint about the others. Node.js ends
/// with its version, after the error, what it holds, and where it was thrown.
pub fn complaint(said: &str) -> &str {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let panic = lines().skip_while(|line| !line.contains("panicked at")).nth(1);
    let of_node = lines().any(|line| line.starts_with("Node.js v"));
    let thrown = lines().rfind(|line| of_node && names_an_error(line));
    let last = || lines().rfind(|line| !is_hint(line)).or_else(|| lines().next_back());
    panic.or(thrown).or_else(last).unwrap_or_default()
}

/// Whether a line begins as `SyntaxError: ...` or `Error [ERR_CODE]: ...` do.
fn names_an_error(line: &str) -> bool {
    let line = line.strip_prefix("Uncaught ").unwrap_or(line);
    let Some((name, _)) = line.split_once(':') else { return false };
    let name = name.split_once(" [").map_or(name, |(name, _)| name);
    name.ends_with("Error") && name.chars().all(|letter| letter.is_ascii_alphanumeric())
}

/// Whether a line is about others: a place, a mark below one, a version.
fn is_hint(line: &str) -> bool {
    const STARTS: [&str; 4] = ["note:", "stack backtrace", "at ", "Node.js v"];
    let is_mark = line.chars().all(|mark| matches!(mark, '^' | '~' | '{' | '}'));
    is_mark || STARTS.iter().any(|start| line.starts_with(start))
}

/// Judges the second reading of a recovered store against the first.
pub fn judge_second(first: &Reading, second: &Reading) -> Judgement {
    match (first, second) {
        (Reading::Printed(first), Reading::Printed(second)) => {
            match (parse_store(first), parse_store(second)) {
                (Ok(first), Ok(second)) => judge_again(&first, &second),
                _ => Judgement::held(),
            }
        }
        (Reading::Printed(_), other) => {
            let nothing = Expectation::Between { ends: None };
            judge(other, &nothing, 0, Promise::Kill)
        }
        _ => Judgement::held(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_complains_of_is_not_its_version_nor_a_place() {
        let node = "node:internal/x:1\n    throw new X\n    ^\n\nSyntaxError: Unexpected end\n    at JSON.parse                     (<anonymous>) {\n  code: 'E'\n}\n\nNode.js v20.20.2\n";
        let python =
            "Traceback (most recent call last):\n  File \"a\"\n    f(\n    ^^\nValueError: no\n";
        for (said, expected) in [
            (node, "SyntaxError: Unexpected end"),
            ("Error [ERR_X]: gone\n    at a\nNode.js v20.1.0", "Error [ERR_X]: gone"),
            ("cannot open\n\nNode.js v20.1.0", "cannot open"),
            (python, "ValueError: no"),
            ("error: one\ncannot go on", "cannot go on"),
            ("Node.js v20.1.0", "Node.js v20.1.0"),
            ("", ""),
        ] {
            assert_eq!(complaint(said), expected, "{said}");
        }
    }
}
