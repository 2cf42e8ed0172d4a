//! Resume: an interrupted run goes on from its event log.
//!
//! A resumed run goes the same way as a new one. Whatever its log already holds is taken from there
//! instead of being done again: recordings (if the file still has the digest that the log names),
//! judged states (if their digests are those of the plan), live kills, findings. An event that comes
//! up again and stands in the log is not written a second time, so the log, and the report that is
//! folded from it, become those of a run that was never interrupted.

use super::ExploreError;
use super::pinned::Pinned;
use super::prepare::Prepared;
use super::{Explored, Interrupt, Options, go_on, prepare};
use crate::environment::local::Local;
use crate::journalist::{Journalist, Watch};
use crate::recover::{announce_with_scratch, recover};
use crate::store::{EventLog, RunFolder};
use killpoint_engine::arena::Containment;
use killpoint_engine::record::Root;
use killpoint_model::event::Event;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

/// Version of `setup.json`.
const SETUP_VERSION: u32 = 2;

/// All that a run was begun with, but for values of the environment: `setup.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct SetupFile {
    version: u32,
    killpoint: String,
    options: Options,
    #[serde(with = "killpoint_engine::any_path")]
    roots: Vec<(PathBuf, String)>,
    #[serde(with = "killpoint_engine::any_path")]
    real_roots: Vec<PathBuf>,
    journal: Vec<u8>,
    intents_start: u64,
    acknowledgements: Vec<u8>,
    steps: Option<Vec<String>>,
    scratch_bytes: u64,
    containment: Containment,
    pin: Option<usize>,
    pinned: Pinned,
}

impl SetupFile {
    pub(super) fn write(options: &Options, prepared: &Prepared) -> Result<(), ExploreError> {
        let local = &prepared.local;
        let setup = SetupFile {
            version: SETUP_VERSION,
            killpoint: env!("CARGO_PKG_VERSION").to_owned(),
            options: options.clone(),
            roots: local.roots.iter().map(|r| (r.path.clone(), r.prefix.clone())).collect(),
            real_roots: prepared.roots.clone(),
            journal: local.journal.clone(),
            intents_start: local.intents_start,
            acknowledgements: local.acknowledgements.clone(),
            steps: local.steps.clone(),
            scratch_bytes: local.scratch_bytes,
            containment: local.containment,
            pin: local.pin,
            pinned: Pinned::of(options),
        };
        let text = serde_json::to_vec_pretty(&setup).expect("plain data");
        prepared.folder.write("setup.json", &text)?;
        Ok(())
    }

    fn read(folder: &RunFolder) -> Result<Self, ExploreError> {
        let path = folder.join("setup.json");
        let bytes = fs::read(&path).map_err(|_| {
            ExploreError::Usage(format!(
                "run {} was interrupted before it began to record: there is nothing to go on from, \
                 start it anew",
                folder.id()
            ))
        })?;
        let setup: SetupFile = serde_json::from_slice(&bytes).map_err(|error| {
            let problem = format!("not written by this version of killpoint: {error}");
            ExploreError::Malformed { path: path.clone(), problem }
        })?;
        if setup.version != SETUP_VERSION || setup.killpoint != env!("CARGO_PKG_VERSION") {
            let problem = format!(
                "the run was begun by killpoint {}; resume it with that version, or start it anew",
                setup.killpoint
            );
            return Err(ExploreError::Malformed { path, problem });
        }
        Ok(setup)
    }

    fn local(&self, options: &Options, folder: &RunFolder) -> Result<Local, ExploreError> {
        let roots = self.roots.iter();
        let roots = roots.map(|(path, prefix)| Root { path: path.clone(), prefix: prefix.clone() });
        Ok(Local {
            acknowledgements: self.acknowledgements.clone(),
            steps: self.steps.clone(),
            scratch_bytes: self.scratch_bytes,
            containment: self.containment,
            pin: self.pin,
            ..prepare::local(options, folder, roots.collect(), &self.journal, self.intents_start)?
        })
    }
}

/// Goes on with an interrupted run. `environment` is this process's: a run keeps no secrets.
///
/// # Errors
/// If the run is complete, still going on, or was interrupted before it began to record; and all
/// that a new run may fail by.
pub fn resume(
    folder: RunFolder,
    environment: Vec<(OsString, OsString)>,
    interrupt: Interrupt,
    watch: Watch<'_>,
) -> Result<Explored, ExploreError> {
    let setup = SetupFile::read(&folder)?;
    // Refuses where the tool still works on the run, and ends what it left behind.
    recover(&folder)?;
    let (log, events) = EventLog::reopen(&folder)?;
    if events.iter().any(|event| matches!(event, Event::RunEnded { .. })) {
        return Err(ExploreError::Usage(format!(
            "run {id} is complete: `killpoint report {id}` shows it again",
            id = folder.id()
        )));
    }
    let mut options = setup.options.clone();
    options.environment = environment;
    setup.pinned.restore(&mut options);
    options.interrupt = interrupt;
    announce_with_scratch(&folder)?;
    let mut journalist = Journalist::go_on(log, events);
    journalist.tell(Event::Resumed { resumed: jiff::Timestamp::now().to_string() })?;
    let local = setup.local(&options, &folder)?;
    let roots = setup.real_roots.clone();
    go_on(&options, Prepared { local, folder, journalist, roots }, watch)
}

/// The folder of a run that was interrupted, for the message that says so.
pub(super) fn interrupted(folder: &RunFolder) -> ExploreError {
    ExploreError::Interrupted {
        folder: folder.path().to_owned(),
        resumable: folder.join("setup.json").exists(),
    }
}
