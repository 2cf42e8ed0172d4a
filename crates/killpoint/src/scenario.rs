//! `killpoint import` and `killpoint schema`, and scenarios as flags change them.

use crate::arguments::{Import, ScenarioFlags};
use crate::failure::Failure;
use crate::output;
use killpoint_harness::scenario::{FileError, Given, import, read, schema};
use killpoint_model::{Outcome, Scenario};

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Failure { error: error.into(), outcome: Outcome::Usage }
    }
}

/// What is given for variables.
fn given(set: &[String]) -> Result<Given, Failure> {
    let mut given = Given::parse(set)?;
    given.environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    Ok(given)
}

/// Reads the scenario that flags name, as they change it.
///
/// # Errors
/// If it is none.
pub fn load(flags: &ScenarioFlags) -> Result<Scenario, Failure> {
    let mut scenario = read(&flags.scenario, &given(&flags.set)?)?;
    if let Some(seed) = flags.seed {
        scenario.seed = seed;
    }
    Ok(match flags.tier {
        Some(tier) => scenario.at_tier(tier),
        None => scenario,
    })
}

/// `killpoint import`.
///
/// # Errors
/// If the file is no experiment, or holds what cannot be carried out.
pub fn print_import(flags: &Import) -> Result<Outcome, Failure> {
    let imported = import(&flags.experiment, &given(&flags.set)?)?;
    for note in &imported.notes {
        output::say(&format!("killpoint: note: {note}"));
    }
    let text = serde_json::to_string_pretty(&imported.scenario).expect("plain data") + "\n";
    output::result(&text)?;
    Ok(Outcome::Pass)
}

/// `killpoint schema`.
///
/// # Errors
/// If nobody takes the text.
pub fn print_schema() -> Result<Outcome, Failure> {
    output::result(&schema())?;
    Ok(Outcome::Pass)
}
