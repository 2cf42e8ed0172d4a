//! The commands around a run: report, recover, audit, doctor, completions, man.

use crate::arguments::{
    Arguments, Completions, Doctor, Format, Man, Recover, Report as ReportFlags, Verify,
};
use crate::failure::Failure;
use crate::output::print_line;
use crate::output::{self, shown_path};
use crate::runs;
use anyhow::Context;
use clap::CommandFactory;
use killpoint_harness::attach::is_attached;
use killpoint_harness::campaign::{clear_recordings, is_campaign};
use killpoint_harness::doctor::{examine, page};
use killpoint_harness::explore::resume::is_resumable;
use killpoint_harness::recover::{RecoverError, interrupted_runs};
use killpoint_harness::store::{Audited, RunFolder, StoreError, audit};
use killpoint_model::Outcome;
use std::path::Path;

/// Interrupted runs that are named before a new one; the others are counted.
const INTERRUPTED_NAMED_MAX: usize = 3;

/// Says, before a new run, which older ones were interrupted.
pub fn mention_interrupted(out: &Path) {
    let mut interrupted = interrupted_runs(out);
    // Of one that was attached and is undone, nothing is left to be done.
    interrupted.retain(|(folder, undone)| !undone || !is_attached(folder));
    for (folder, undone) in interrupted.iter().take(INTERRUPTED_NAMED_MAX) {
        let (id, run) = (folder.id(), shown_path(folder.path()));
        let recover = if *undone { "" } else { "; `killpoint recover` clears up after it" };
        output::say(&match is_attached(folder) {
            true => format!("killpoint: run {id}, which was attached, was interrupted{recover}"),
            false if !folder.has_log() => format!("killpoint: run {id} was interrupted{recover}"),
            false => match obstacle(folder) {
                None => format!(
                    "killpoint: run {id} was interrupted: `killpoint resume {run}` goes on{recover}"
                ),
                Some(why) => format!("killpoint: run {id} cannot be resumed: {why}{recover}"),
            },
        });
    }
    let others = interrupted.len().saturating_sub(INTERRUPTED_NAMED_MAX);
    if others > 0 {
        output::say(&format!("killpoint: {others} earlier runs were interrupted, too"));
    }
}

/// Why a run whose log has no end cannot be gone on with; nothing where it can.
fn obstacle(folder: &RunFolder) -> Option<String> {
    let run = shown_path(folder.path());
    if audit(folder).is_err() {
        return Some(format!(
            "its event log is damaged or has no record (`killpoint audit verify {run}` says more); \
             start it anew, and remove the folder once nobody needs it"
        ));
    }
    match is_campaign(folder) || is_resumable(folder) {
        true => None,
        false => Some("it was interrupted before it began to record; start it anew".to_owned()),
    }
}

/// `killpoint report`.
///
/// # Errors
/// If there is no such run, or its log cannot be read.
pub fn report(flags: &ReportFlags) -> Result<Outcome, Failure> {
    let folder = runs::find(&flags.run, &flags.out)?;
    let report = runs::report(&folder)?;
    killpoint_harness::report::write_all(&folder, &report)?;
    output::report(&report, &folder, flags.format)?;
    Ok(report.result)
}

impl From<RecoverError> for Failure {
    fn from(error: RecoverError) -> Self {
        Failure { error: error.into(), outcome: Outcome::Usage }
    }
}

/// `killpoint recover`.
///
/// # Errors
/// If a run that was named is not there or still going on.
pub fn recover(flags: &Recover) -> Result<Outcome, Failure> {
    let out = std::env::current_dir().unwrap_or_default().join(&flags.out);
    let folders = match &flags.run {
        Some(run) => vec![runs::find_to_undo(run, &out)?],
        None => interrupted_runs(&out).into_iter().map(|(folder, _)| folder).collect(),
    };
    let cleared = match flags.run {
        None => clear_recordings(),
        Some(_) => Vec::new(),
    };
    for recording in &cleared {
        print_line!(
            "A recording of crash points was interrupted: {} is cleared away.",
            shown_path(recording)
        );
    }
    if folders.is_empty() && cleared.is_empty() {
        print_line!("No run in {} was interrupted: there is nothing to undo.", shown_path(&out));
    }
    let mut outcome = Outcome::Pass;
    for folder in &folders {
        if !recover_one(folder)? {
            outcome = Outcome::Unknown;
        }
    }
    Ok(outcome)
}

/// Whether nothing was left as it was.
fn recover_one(folder: &RunFolder) -> Result<bool, Failure> {
    let recovered = killpoint_harness::recover::recover(folder)?;
    let run = folder.id();
    match recovered.ended {
        true => print_line!("Run {run} is complete."),
        false if !folder.has_log() => {
            print_line!("Run {run} has no event log: there is nothing to resume.");
        }
        false if is_attached(folder) => {
            print_line!("Run {run}, which was attached, was interrupted; it is not resumed.");
        }
        false => match obstacle(folder) {
            None => print_line!(
                "Run {run} was interrupted; `killpoint resume {}` goes on with it.",
                shown_path(folder.path())
            ),
            Some(why) => print_line!("Run {run} cannot be resumed: {why}."),
        },
    }
    if recovered.undone.is_empty() && recovered.left.is_empty() {
        print_line!("  nothing was left behind");
    }
    for text in &recovered.undone {
        print_line!("  {text}");
    }
    for text in &recovered.left {
        print_line!("  NOT UNDONE: {text}");
    }
    Ok(recovered.left.is_empty())
}

/// `killpoint audit verify`.
///
/// # Errors
/// If the run is not there.
pub fn verify(flags: &Verify) -> Result<Outcome, Failure> {
    let folder = runs::find(&flags.run, &flags.out)?;
    match audit(&folder) {
        Ok(Audited { records, seal: Some(seal), .. }) => {
            print_line!("{records} records, chain whole, sealed as {}", seal.last);
            Ok(Outcome::Pass)
        }
        Ok(Audited { records, has_end: true, seal: None }) => {
            print_line!(
                "{records} records, chain whole\n\
                 The log has its end and no seal, so nothing shows that its last record is as it \
                 was written: the seal was removed, the run was killed at its very end, or an older \
                 killpoint made it. Take seal.json from a copy, or run it again."
            );
            Ok(Outcome::Violated)
        }
        Ok(Audited { records, .. }) => {
            print_line!(
                "{records} records, chain whole\n\
                 The log has no end: the run was interrupted (`killpoint resume {}` goes on with \
                 it), still goes on, or records were cut off.",
                flags.run
            );
            Ok(Outcome::Unknown)
        }
        Err(StoreError::Broken { path, line, problem }) => {
            print_line!("{}:{line}: {problem}", shown_path(&path));
            Ok(Outcome::Violated)
        }
        Err(error) => Err(error.into()),
    }
}

/// `killpoint doctor`.
///
/// # Errors
/// If there is no temporary directory to try mounts on.
pub fn doctor(flags: &Doctor) -> Result<Outcome, Failure> {
    let examination = examine(&std::env::current_dir().unwrap_or_default())?;
    let text = match flags.format {
        Format::Human => page(&examination),
        Format::Json => {
            let text = serde_json::to_string_pretty(&examination).expect("plain data");
            text + "\n"
        }
    };
    output::bytes(text.as_bytes())?;
    Ok(if examination.can_explore { Outcome::Pass } else { Outcome::Unknown })
}

/// `killpoint completions`.
///
/// # Errors
/// Never.
pub fn completions(flags: &Completions) -> Result<Outcome, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(flags.shell, &mut Arguments::command(), "killpoint", &mut text);
    output::bytes(&text)?;
    Ok(Outcome::Pass)
}

/// `killpoint man`.
///
/// # Errors
/// If the directory cannot be written.
pub fn man(flags: &Man) -> Result<Outcome, Failure> {
    match &flags.directory {
        Some(directory) => {
            let pages = std::fs::create_dir_all(directory)
                .and_then(|()| clap_mangen::generate_to(Arguments::command(), directory));
            pages.with_context(|| {
                let directory = directory.display();
                format!("cannot write the pages to {directory}; name a directory for them")
            })?;
            print_line!("The pages are in {}.", shown_path(directory));
        }
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut text)?;
            output::bytes(&text)?;
        }
    }
    Ok(Outcome::Pass)
}
