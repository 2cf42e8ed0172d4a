//! The file of a scenario: YAML (and so JSON), strict. An unknown or doubled key, a wrong type, or a
//! part that makes no sense is shown with its line, column and a caret, and the nearest right name.
//!
//! `${NAME}` stands for a variable that the file declares (`$${` for `${` itself), `!include FILE` for
//! another file below the scenario's directory.

mod chaos_toolkit;
mod include;
mod place;
mod show;
mod variables;

pub use chaos_toolkit::Imported;

use crate::asserter::invariants::check_expression;
use killpoint_engine::regular_file;
use killpoint_model::fault::Fault;
use killpoint_model::invariant::Invariant;
use killpoint_model::scenario::FaultRule;
use killpoint_model::{Nonsense, Scenario, Who};
use serde_saphyr::{Budget, Options};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Most bytes of a file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most nodes of a file, its aliases expanded.
const NODES_MAX: usize = 50_000;

/// What is given for the variables that a file declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// By `--set`.
    pub set: BTreeMap<String, String>,
    /// The environment, of which only declared variables are looked up.
    pub environment: BTreeMap<String, String>,
}

impl Given {
    /// Reads `--set key=value`.
    ///
    /// # Errors
    /// If one is of another form, or a key is given twice.
    pub fn parse(set: &[String]) -> Result<Self, FileError> {
        let mut given = Given::default();
        for text in set {
            let (key, value) = text
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| FileError::Set { text: text.clone(), problem: "write KEY=VALUE" })?;
            if given.set.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(FileError::Set { text: text.clone(), problem: "it is set twice" });
            }
        }
        Ok(given)
    }
}

/// Why a file is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the scenario {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is too long.
    #[error("{0} is longer than {FILE_BYTES_MAX} bytes: no scenario needs that")]
    Long(PathBuf),
    /// It is not UTF-8.
    #[error("{path}:{line}: not UTF-8: save the scenario in this encoding")]
    NoText {
        /// The file.
        path: PathBuf,
        /// The line of the first bytes that are none.
        line: usize,
    },
    /// Something in it is wrong; the text shows where.
    #[error("{0}")]
    Shown(String),
    /// A `--set` is wrong.
    #[error("--set {text}: {problem}")]
    Set {
        /// As it was given.
        text: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// Reads and checks a scenario, its variables filled in. An experiment of the Chaos Toolkit is read as
/// one.
///
/// # Errors
/// If it cannot be read, or is not one.
pub fn read(path: &Path, given: &Given) -> Result<Scenario, FileError> {
    let text = text_of(path)?;
    match chaos_toolkit::is_experiment(&text) {
        true => Ok(chaos_toolkit::parse(&text, path, given)?.scenario),
        false => parse(&text, path, given),
    }
}

/// Reads an experiment of the Chaos Toolkit as a scenario.
///
/// # Errors
/// If it cannot be read, or holds what cannot be carried out.
pub fn import(path: &Path, given: &Given) -> Result<Imported, FileError> {
    chaos_toolkit::parse(&text_of(path)?, path, given)
}

fn text_of(path: &Path) -> Result<String, FileError> {
    // It may come from another command: `killpoint run <(generate)`. A signal ends the waiting for it.
    let bytes =
        regular_file::read_handed_over(path, FILE_BYTES_MAX, &|| false).map_err(fail(path))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::Long(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        FileError::NoText { path: path.to_owned(), line }
    })
}

fn fail(path: &Path) -> impl Fn(io::Error) -> FileError + '_ {
    move |source| FileError::Io { path: path.to_owned(), source }
}

fn parse(text: &str, path: &Path, given: &Given) -> Result<Scenario, FileError> {
    let name = path.display().to_string();
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let problem = include::Problem::default();
    let options = |values| {
        let resolver = include::resolver(directory, values, problem.clone());
        Ok::<_, FileError>(options().with_include_resolver(resolver.map_err(fail(directory))?))
    };
    let shown = |error: &serde_saphyr::Error, text: &str| {
        let included = problem.borrow_mut().take();
        FileError::Shown(included.unwrap_or_else(|| show::parse_error(error, text, &name)))
    };
    variables::check_closed(text)
        .map_err(|wrong| FileError::Shown(show::variable(&wrong, text, &name)))?;
    // The variables first, with everything else passed over: what they stand for is not known yet.
    let declared: variables::Declared =
        serde_saphyr::from_str_with_options(text, options(None)?).map_err(|it| shown(&it, text))?;
    let values = variables::resolve(&declared, given)
        .map_err(|error| FileError::Shown(show::nonsense(&error, text, &name)))?;
    let text = &variables::fill(text, &values)
        .map_err(|wrong| FileError::Shown(show::variable(&wrong, text, &name)))?;
    let mut scenario: Scenario = serde_saphyr::from_str_with_options(text, options(Some(values))?)
        .map_err(|it| shown(&it, text))?;
    scenario.variables.clear();
    scenario
        .validate()
        .and_then(|()| refuse_nobody(&scenario, text))
        .and_then(|()| refuse_expressions(&scenario))
        .map_err(|error| FileError::Shown(show::nonsense(&error, text, &name)))?;
    Ok(scenario)
}

/// Refuses `who: {}`. It means whom nothing at all means, so that what was read does not show it any more.
/// Beside activities, which strike nobody, it may stand, as in what `import` prints.
fn refuse_nobody(scenario: &Scenario, text: &str) -> Result<(), Nonsense> {
    let is_everybody = |(_, rule): &(usize, &FaultRule)| {
        rule.who == Who::default() && !matches!(rule.r#do, Fault::Activities(_))
    };
    let mut said = scenario.faults.iter().enumerate().filter(is_everybody);
    match said.find(|(index, _)| place::is_there(text, &format!("faults[{index}].who"))) {
        Some((index, _)) => {
            let why = "it names nobody: write a `role`, or leave it out to strike every process";
            Err(Nonsense::new(format!("faults[{index}].who"), why))
        }
        None => Ok(()),
    }
}

/// Refuses expressions that cannot be judged.
fn refuse_expressions(scenario: &Scenario) -> Result<(), Nonsense> {
    scenario.invariants.iter().enumerate().try_for_each(|(index, invariant)| {
        let Invariant::Expression(it) = invariant else { return Ok(()) };
        let at = format!("invariants[{index}].{}.cel", invariant.kind());
        check_expression(&it.cel).map_err(|problem| Nonsense::new(at, problem))
    })
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_nodes = NODES_MAX;
    budget.max_reader_input_bytes = usize::try_from(FILE_BYTES_MAX).ok();
    let mut options = Options::default();
    options.budget = Some(budget);
    options.strict_booleans = true;
    options
}

/// The JSON Schema of the file, for editors.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Scenario);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain data");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
