//! Takes readings of a target.

use super::probe::is_there;
use super::{Answered, Database, Ended, File, Names, Reading, command, request};
use crate::asserter::checker;
use crate::own_paths::{self, OwnPaths};
use killpoint_model::activity::filled;
use killpoint_model::invariant::Invariant;
use killpoint_model::selector::Pattern;
use killpoint_model::span::Span;
use killpoint_model::supervision::Probe;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tries to read a store between two acknowledgements.
const STORE_TRIES_MAX: u32 = 5;

/// Where and how a target is read.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The state directories; relative paths begin at the first.
    pub states: Vec<PathBuf>,
    /// All state directories as commands see them, for `{state}` and `{state:2}`.
    pub shown: Vec<PathBuf>,
    /// Where commands see it.
    pub own_paths: OwnPaths,
    /// The ack journal.
    pub journal: PathBuf,
    /// The working directory of commands.
    pub directory: PathBuf,
    /// The environment of commands, without KILLPOINT_STATE and KILLPOINT_JOURNAL.
    pub environment: Vec<(OsString, OsString)>,
    /// Whether the target runs.
    pub is_live: bool,
}

/// What others have collected from the target.
pub struct Told<'a> {
    /// The sequences of the checkpoints of each process, in the order in which they were told.
    pub checkpoints: &'a BTreeMap<String, Vec<u64>>,
    /// Values by name, for expressions.
    pub values: &'a serde_json::Value,
    /// Whether a line of its output matches; only lines since the last strike count.
    pub has_line: &'a dyn Fn(&Pattern) -> bool,
    /// Whether the file that is to show a recovery was written since the last strike.
    pub is_written: &'a dyn Fn() -> bool,
}

impl Reader {
    /// Takes the reading for an invariant. Probes are asked again and again until they answer or
    /// their time is over.
    pub fn read(&self, invariant: &Invariant, told: &Told<'_>) -> Reading {
        self.read_unless(invariant, told, &|| false)
    }

    /// The same; a command is ended when somebody stops it.
    pub fn read_unless(
        &self,
        invariant: &Invariant,
        told: &Told<'_>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Reading {
        match &self.filled_in(invariant) {
            Invariant::AckedIsDurable(asked) => self.store(asked.check.as_deref(), asked.timeout),
            Invariant::Sqlite(asked) => {
                match Database::read(&self.place(&asked.file), asked, self.is_live) {
                    Ok(database) => Reading::Database(database),
                    Err(problem) => Reading::Failed(problem),
                }
            }
            Invariant::File(asked) => match File::read(&self.place(&asked.path), asked) {
                Ok(file) => Reading::File(file),
                Err(error) => Reading::Failed(format!("cannot read {}: {error}", asked.path)),
            },
            Invariant::ProbeAnswers(asked) => {
                let (by, limit) = (&asked.by, asked.timeout);
                Reading::Probe(Answered::wait(by, limit, told, &self.directory, &is_there))
            }
            Invariant::RecoveryShown(asked) => {
                let (by, limit) = (&asked.by, asked.timeout);
                let ask_file = |path: &Path| match (told.is_written)() {
                    true => Ok(()),
                    false => Err(format!("{} was not written after it", path.display())),
                };
                Reading::Probe(Answered::wait(by, limit, told, &self.directory, &ask_file))
            }
            Invariant::CommandEnds(asked) => match self.filled(&asked.run) {
                Ok(command) => {
                    let limit = asked.timeout.duration();
                    Reading::Command(command::run_unless(command, limit, is_stopped))
                }
                Err(problem) => Reading::Failed(problem),
            },
            Invariant::RequestAnswered(asked) => {
                match asked.ask.filled(&|name| self.variable(name)) {
                    Ok(made) => Reading::Command(request::ask(&made, asked.timeout.duration())),
                    Err(missing) => Reading::Failed(missing.to_string()),
                }
            }
            Invariant::Expression(_) => Reading::Values(told.values.clone()),
            Invariant::MonotonicCheckpoints(_) => Reading::Checkpoints(told.checkpoints.clone()),
            Invariant::ExactlyOnce(asked) => Reading::Lists {
                // The one that has to be there first: what arrives meanwhile is none too few.
                expected: asked.expected.as_ref().map(|line| self.shell(line, asked.timeout)),
                listed: self.shell(&asked.list, asked.timeout),
            },
            Invariant::NoLitter(_) => match Names::read(&self.states) {
                Ok(names) => Reading::Names(names),
                Err(error) => Reading::Failed(format!("cannot list the state: {error}")),
            },
        }
    }

    /// An invariant with `{state}` filled in, its probes' places where they really are.
    pub fn filled_in(&self, invariant: &Invariant) -> Invariant {
        let fill = |text: &mut String| *text = own_paths::fill(text, &self.shown);
        let fill_probe = |probe: &mut Probe| *probe = self.real_probe(probe);
        let mut invariant = invariant.clone();
        match &mut invariant {
            Invariant::AckedIsDurable(asked) => asked.check.iter_mut().for_each(fill),
            Invariant::Sqlite(asked) => fill(&mut asked.file),
            Invariant::File(asked) => fill(&mut asked.path),
            Invariant::ProbeAnswers(asked) => fill_probe(&mut asked.by),
            Invariant::RecoveryShown(asked) => fill_probe(&mut asked.by),
            Invariant::CommandEnds(asked) => asked.run.iter_mut().for_each(fill),
            Invariant::ExactlyOnce(asked) => {
                fill(&mut asked.list);
                asked.expected.iter_mut().for_each(fill);
            }
            Invariant::RequestAnswered(_)
            | Invariant::Expression(_)
            | Invariant::MonotonicCheckpoints(_)
            | Invariant::NoLitter(_) => {}
        }
        invariant
    }

    /// Whether the file is there that an invariant is about, for a database with something in it that is
    /// committed; no if it is about no file.
    pub fn has_file_of(&self, invariant: &Invariant) -> bool {
        match self.filled_in(invariant) {
            Invariant::Sqlite(asked) => Database::has_committed(&self.place(&asked.file)),
            Invariant::File(asked) => self.place(&asked.path).exists(),
            _ => false,
        }
    }

    /// A probe with `{state}` filled in, its place where it really is.
    pub fn real_probe(&self, probe: &Probe) -> Probe {
        let fill = |text: &str| own_paths::fill(text, &self.shown);
        let real = |path: &str| {
            let shown = self.directory.join(fill(path));
            self.own_paths.real(&shown).display().to_string()
        };
        match probe {
            Probe::File(path) => Probe::File(real(path)),
            Probe::Socket(path) if path.contains('/') => Probe::Socket(path.map(real)),
            _ => probe.filled_in(fill),
        }
    }

    /// Where a file really is that an invariant names: from the state on, or by its whole path.
    fn place(&self, path: &str) -> PathBuf {
        match Path::new(path).is_absolute() {
            true => self.own_paths.real(Path::new(path)),
            false => self.states[0].join(path),
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        let mut variables = self.environment.iter();
        variables.find(|(known, _)| known == name)?.1.clone().into_string().ok()
    }

    /// A command with the variables of the environment filled in.
    fn filled(&self, words: &[String]) -> Result<Command, String> {
        let words = words.iter().map(|word| filled(word, &|name| self.variable(name)));
        let words = words.collect::<Result<Vec<_>, _>>().map_err(|missing| missing.to_string())?;
        let (program, arguments) =
            words.split_first().ok_or_else(|| "the command is empty".to_owned())?;
        let mut command = self.command(program);
        command.args(arguments);
        Ok(command)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.own_paths.command(program);
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("KILLPOINT_STATE", self.own_paths.shown(&self.states[0]))
            .env("KILLPOINT_JOURNAL", &self.journal)
            .current_dir(&self.directory);
        command
    }

    fn shell(&self, line: &str, timeout: Span) -> Ended {
        let mut command = self.command("/bin/sh");
        command.args(["-c", line]);
        command::run(command, timeout.duration())
    }

    fn store(&self, check: Option<&str>, timeout: Span) -> Reading {
        let Some(check) = check else {
            let problem = "a running target needs a checker: give acked-is-durable a `check`";
            return Reading::Failed(problem.to_owned());
        };
        let length = || fs::metadata(&self.journal).map_or(0, |metadata| metadata.len());
        let mut reading = checker::Reading::NotRun("it was not read".to_owned());
        for _ in 0..STORE_TRIES_MAX {
            let before = length();
            reading = self.shell(check, timeout).into_store(timeout.duration());
            if length() == before {
                return Reading::Store { reading, upto: Some(before) };
            }
        }
        Reading::Store { reading, upto: None }
    }
}
