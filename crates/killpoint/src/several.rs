//! `killpoint triage` and `killpoint compare`: what several runs say together.

use crate::arguments::{Compare, Format, Triage};
use crate::commands::Failure;
use crate::output;
use anyhow::anyhow;
use killpoint_harness::comparison::{self, Comparison};
use killpoint_harness::explore::replay::locate_run;
use killpoint_harness::store::{RunFolder, read_events};
use killpoint_harness::triage;
use killpoint_model::Outcome;
use killpoint_model::report::Report;
use std::collections::BTreeSet;
use std::path::Path;

/// `killpoint triage`.
///
/// # Errors
/// If there is no such run, or its log cannot be read.
pub fn triage(flags: &Triage) -> Result<Outcome, Failure> {
    let mut folders = Vec::new();
    let mut seen = BTreeSet::new();
    for run in &flags.runs {
        let folder = locate(run, &flags.out)?;
        // One that is named twice went wrong once.
        if seen.insert(folder.id().to_owned()) {
            folders.push(folder);
        }
    }
    for folder in &folders {
        if read_events(folder)?.is_empty() {
            return Err(no_events(folder));
        }
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
    let report = |run: &str| -> Result<Report, Failure> {
        let folder = locate(run, &flags.out)?;
        let events = read_events(&folder)?;
        if events.is_empty() {
            return Err(no_events(&folder));
        }
        Ok(Report::of_log(&events))
    };
    let (before, after) = (report(&flags.before)?, report(&flags.after)?);
    let comparison = Comparison::of(&before, &after).map_err(anyhow::Error::from)?;
    output::result(&match flags.format {
        Format::Human => comparison::human(&comparison),
        Format::Json => serde_json::to_string_pretty(&comparison).expect("plain data") + "\n",
    })?;
    Ok(if comparison.is_worse() { Outcome::Violated } else { Outcome::Pass })
}

fn locate(run: &str, out: &Path) -> Result<RunFolder, Failure> {
    let here = std::env::current_dir().unwrap_or_default();
    Ok(locate_run(run, &here.join(out))?)
}

fn no_events(folder: &RunFolder) -> Failure {
    anyhow!("the event log of run {} has no events", folder.id()).into()
}
