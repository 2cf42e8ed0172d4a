//! `killpoint triage` and `killpoint compare`: what several runs say together.

use crate::arguments::{Compare, Format, Triage};
use crate::failure::Failure;
use crate::{output, runs};
use killpoint_harness::comparison::{self, Comparison};
use killpoint_harness::triage;
use killpoint_model::Outcome;
use killpoint_model::report::Report;
use std::collections::BTreeSet;

/// `killpoint triage`.
///
/// # Errors
/// If there is no such run, or its log cannot be read.
pub fn triage(flags: &Triage) -> Result<Outcome, Failure> {
    let mut folders = Vec::new();
    let mut seen = BTreeSet::new();
    for run in &flags.runs {
        let folder = runs::find(run, &flags.out)?;
        // One that is named twice went wrong once.
        if seen.insert(folder.id().to_owned()) {
            folders.push(folder);
        }
    }
    for folder in &folders {
        runs::report(folder)?;
    }
    let triage = triage::triage(&folders)?;
    output::result(&match flags.format {
        Format::Human => triage::human(&triage),
        Format::Json => serde_json::to_string_pretty(&triage).expect("plain data") + "\n",
    })?;
    Ok(Outcome::Pass)
}

/// `killpoint compare`.
///
/// # Errors
/// If there is no such run, or the two cannot be compared.
pub fn compare(flags: &Compare) -> Result<Outcome, Failure> {
    let report =
        |run: &str| -> Result<Report, Failure> { runs::report(&runs::find(run, &flags.out)?) };
    let (before, after) = (report(&flags.before)?, report(&flags.after)?);
    let comparison = Comparison::of(&before, &after).map_err(anyhow::Error::from)?;
    output::result(&match flags.format {
        Format::Human => comparison::human(&comparison),
        Format::Json => serde_json::to_string_pretty(&comparison).expect("plain data") + "\n",
    })?;
    Ok(if comparison.is_worse() { Outcome::Violated } else { Outcome::Pass })
}
