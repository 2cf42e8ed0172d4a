//! Replay: one finding again, from what the folder of its run holds.

use super::finding_file::{FindingFile, RunFile};
use super::judging::{judge_answer, promise};
use super::live::{Expected, strike, strike_at};
use super::options::Options;
use super::prepare;
use super::problem::ExploreError;
use crate::asserter::checker::{Checker, Expectation, Reading, judge};
use crate::asserter::history::History;
use crate::environment::local::{INITIAL, Judges, Local, Question, Subject};
use crate::recover::{announce_with_scratch, clear_up};
use crate::store::RunFolder;
use killpoint_engine::record::Root;
use killpoint_engine::regular_file;
use killpoint_engine::states::Models;
use killpoint_model::report::{Confirmation, Finding};
use killpoint_model::verdict::Verdict;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// What replaying gave.
#[derive(Debug)]
pub struct Replayed {
    /// The finding.
    pub finding: Finding,
    /// How often it showed again.
    pub confirmation: Confirmation,
    /// For each try that did not show it, why.
    pub misses: Vec<String>,
    /// Variables that the command had then and has not now.
    pub missing_variables: Vec<String>,
}

/// Replays one finding of a run. `environment` is this process's; `directory` its working directory.
///
/// # Errors
/// If the run's folder is not whole, or workers cannot be made here.
pub fn replay(
    folder: &RunFolder,
    number: u32,
    times: u32,
    environment: Vec<(OsString, OsString)>,
) -> Result<Replayed, ExploreError> {
    let path = folder.join(&format!("findings/{number}/finding.json"));
    if !path.exists() {
        return Err(ExploreError::Usage(no_such_finding(folder, number)));
    }
    let mut file: FindingFile = read_json(&path)?;
    let run = match file.run.take() {
        Some(run) => run,
        None => read_json(&folder.join("run.json"))?,
    };
    let mut options = Options::new(run.command.clone());
    options.driver.clone_from(&run.driver);
    options.directory.clone_from(&run.directory);
    options.environment = environment;
    let missing_variables = run.pinned.restore(&mut options);
    options.models.clone_from(&run.models);
    options.profile = run.profile;
    options.acks_survive_power_loss = run.acks_survive_power_loss;
    options.timeout = run.timeout;
    options.mechanism = run.mechanism;
    options.roles.clone_from(&run.roles);
    options.pin = run.pin;
    options.redirect = run.redirect;
    options.checker = run.checker.clone();
    announce_with_scratch(folder)?;
    let roots =
        run.roots.iter().map(|(path, prefix)| Root { path: path.clone(), prefix: prefix.clone() });
    let local = prepare::local(&options, folder, roots.collect(), &run.journal, run.intents_start)?;
    let local = Local {
        acknowledgements: run.acknowledgements.clone(),
        steps: run.steps.clone(),
        checker_timeout: run.checker_timeout,
        last_process_id: run.last_process_id,
        ..local
    };
    let mut replayed = Replayed {
        finding: file.finding.clone(),
        confirmation: Confirmation::default(),
        misses: Vec::new(),
        missing_variables,
    };
    let mut judges = judges_of(&local, &run, &run.recording)?;
    for attempt in 0..times {
        replayed.confirmation.tries += 1;
        match once(&options, &local, &run, &file, attempt, &mut judges)? {
            Ok(()) => replayed.confirmation.hits += 1,
            Err(why) => replayed.misses.push(why),
        }
    }
    clear_up(folder);
    Ok(replayed)
}

/// What to say of a number that no finding has.
fn no_such_finding(folder: &RunFolder, number: u32) -> String {
    let id = folder.id();
    let entries = fs::read_dir(folder.join("findings")).into_iter().flatten().flatten();
    let has = match entries.filter(|entry| entry.path().join("finding.json").exists()).count() {
        0 => return format!("the run {id} has no findings: there is nothing to replay"),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    format!(
        "the run {id} has {has}, and none has the number {number}: `killpoint report {id}` shows them"
    )
}

fn judges_of(local: &Local, run: &RunFile, recording: &str) -> Result<Judges, ExploreError> {
    let models = Models { models: run.models.clone(), profile: run.profile };
    let mut judges = Judges::new(local);
    judges.begin(Subject::of(recording, models, local))?;
    Ok(judges)
}

fn once(
    options: &Options,
    local: &Local,
    run: &RunFile,
    file: &FindingFile,
    attempt: u32,
    judges: &mut Judges,
) -> Result<Result<(), String>, ExploreError> {
    let wanted = Verdict::Violated(file.finding.judged);
    let expectation = expectation(local, run)?;
    let live = strike_at(&file.state, &file.address, run.scope);
    let judgement = match live.filter(|_| file.finding.confirmed_live) {
        Some(at) => {
            let expected = Expected {
                before: &file.before,
                stable: &run.stable,
                races: run.races,
                all: &super::recordings::read_addresses(local, &run.recording)?,
                initial: run.initial.as_ref(),
                expectation: &expectation,
                look: file.finding.look,
                after: run.after.as_ref(),
                unseen: run.unseen,
            };
            let name = format!("replay-{}-{attempt}", std::process::id());
            let strike = strike(local, judges, &name, at, &file.state, &expected)?;
            for suffix in ["rec", "journal"] {
                let _ = fs::remove_file(local.folder.join(&format!("recordings/{name}.{suffix}")));
            }
            match strike.exact {
                Ok(()) => strike.judgement,
                Err((reason, detail)) => return Ok(Err(format!("{reason}: {detail}"))),
            }
        }
        None => {
            // A crash inside a recovery is rebuilt from that recovery's own start and recording.
            let snapshot = file.recovery.clone().unwrap_or_else(|| INITIAL.to_owned());
            let recording = file.recovery.as_ref().unwrap_or(&run.recording);
            let last_process_id = super::recordings::read_ending(local, recording)?.last_process_id;
            let inner = Local { snapshot, last_process_id, ..local.clone() };
            let journal_length = file.journal_length;
            let question = Question::once(&file.state, journal_length).looked_at(file.finding.look);
            let answer = judges_of(&inner, run, recording)?.read(&question, None)?;
            let promise = promise(file.state.model, options);
            let judge = |reading: &Reading| judge(reading, &expectation, journal_length, promise);
            judge_answer(&answer, judge, run.after.as_ref()).0
        }
    };
    Ok(match judgement.verdict == wanted {
        true => Ok(()),
        false => Err(format!("{}: {}", judgement.verdict, judgement.detail)),
    })
}

fn expectation(local: &Local, run: &RunFile) -> Result<Expectation, ExploreError> {
    if run.checker == Checker::BuiltIn {
        return Ok(Expectation::BuiltIn);
    }
    if !run.has_journal {
        return Ok(Expectation::Between { ends: run.ends.clone() });
    }
    let path = local.folder.join(&format!("recordings/{}.journal", run.recording));
    let malformed = |problem: String| ExploreError::Malformed { path: path.clone(), problem };
    let journal = super::recordings::read_journal(local, &run.recording).map_err(malformed)?;
    let initial = run.initial.clone().unwrap_or_default();
    let history = History::new(&journal, run.intents_start, initial)
        .map_err(|error| malformed(error.to_string()))?;
    Ok(Expectation::Journal(Box::new(history)))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ExploreError> {
    let bytes = regular_file::read(path)
        .map_err(|source| ExploreError::Input { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|error| ExploreError::Malformed {
        path: path.to_owned(),
        problem: format!("not written by this version of killpoint: {error}"),
    })
}
