//! Runs that were made: found by what the command line says of them, and read.

use crate::failure::Failure;
use anyhow::anyhow;
use killpoint_harness::recover::at_work;
use killpoint_harness::store::{RunFolder, read_events};
use killpoint_model::report::Report;
use std::path::{Path, PathBuf};

/// The folder of a run: a path, or an id below `runs`.
///
/// # Errors
/// If there is none.
pub fn find(run: &str, out: &Path) -> Result<RunFolder, Failure> {
    Ok(RunFolder::open(&place(run, out)?)?)
}

/// The same, also if there is nothing in it but what has to be undone.
///
/// # Errors
/// If there is none.
pub fn find_to_undo(run: &str, out: &Path) -> Result<RunFolder, Failure> {
    Ok(RunFolder::open_to_undo(&place(run, out)?)?)
}

fn place(run: &str, out: &Path) -> Result<PathBuf, Failure> {
    if run.is_empty() {
        let text = "the run has no name: write its id, as in `killpoint report 7f3a`, or the path of \
                    its folder";
        return Err(anyhow!(text).into());
    }
    let here = std::env::current_dir().unwrap_or_default();
    let below = here.join(out).join("runs").join(run);
    let is_run = ["events.jsonl", "undo.jsonl"].iter().any(|name| below.join(name).exists());
    Ok(if is_run { below } else { PathBuf::from(run) })
}

/// The folder of the run and the number in `RUN/N`, which names a finding or a trial.
///
/// # Errors
/// If there is no such run, or no number.
pub fn find_numbered(text: &str, out: &Path) -> Result<(RunFolder, u32), Failure> {
    let usage =
        || anyhow!("`{text}` names no finding: write RUN/N, as in `killpoint replay 7f3a/1`");
    let (run, number) = text.rsplit_once('/').ok_or_else(usage)?;
    let number = number.parse().map_err(|_| usage())?;
    Ok((find(run, out)?, number))
}

/// The report of a run, folded anew from its log.
///
/// # Errors
/// If its log cannot be read, or says nothing.
pub fn report(folder: &RunFolder) -> Result<Report, Failure> {
    // Asked first: a run that ends meanwhile has its end in the log.
    let at_work = at_work(folder);
    let events = read_events(folder)?;
    if events.is_empty() {
        return Err(anyhow!("the event log of run {} has no events", folder.id()).into());
    }
    Ok(match at_work {
        Some(process) => Report::of_growing_log(&events, process),
        None => Report::of_log(&events),
    })
}
