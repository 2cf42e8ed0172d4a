//! `setup.json`: all that a run was begun with, from which an interrupted one goes on.

use super::options::Options;
use super::pinned::Pinned;
use super::prepare::{self, Prepared};
use super::problem::ExploreError;
use crate::environment::local::Local;
use crate::store::RunFolder;
use killpoint_engine::arena::Containment;
use killpoint_engine::record::Root;
use killpoint_engine::regular_file;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The name of the file.
const FILE_NAME: &str = "setup.json";
/// Its version.
const SETUP_VERSION: u32 = 2;

/// All that a run was begun with, but for values of the environment.
#[derive(Debug, Serialize, Deserialize)]
pub struct SetupFile {
    version: u32,
    killpoint: String,
    pub(super) options: Options,
    #[serde(with = "killpoint_engine::any_path")]
    roots: Vec<(PathBuf, String)>,
    #[serde(with = "killpoint_engine::any_path")]
    pub(super) real_roots: Vec<PathBuf>,
    journal: Vec<u8>,
    intents_start: u64,
    acknowledgements: Vec<u8>,
    steps: Option<Vec<String>>,
    scratch_bytes: u64,
    containment: Containment,
    pin: Option<usize>,
    pub(super) pinned: Pinned,
}

impl SetupFile {
    /// Writes it.
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
        prepared.folder.write(FILE_NAME, &text)?;
        Ok(())
    }

    /// Whether it is there: without it a run cannot be resumed.
    pub(super) fn is_in(folder: &RunFolder) -> bool {
        folder.join(FILE_NAME).exists()
    }

    /// Reads it back.
    pub(super) fn read(folder: &RunFolder) -> Result<Self, ExploreError> {
        let path = folder.join(FILE_NAME);
        let bytes = regular_file::read(&path).map_err(|_| {
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

    /// Where its targets ran.
    pub(super) fn local(
        &self,
        options: &Options,
        folder: &RunFolder,
    ) -> Result<Local, ExploreError> {
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
