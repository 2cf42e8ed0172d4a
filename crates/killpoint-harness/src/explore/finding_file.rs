//! What is kept with a finding so that it can be replayed: `run.json`, and a file for each finding.

use super::findings::Defect;
use super::options::Options;
use super::pinned::Pinned;
use super::plan::Plan;
use super::recordings::Recorded;
use crate::asserter::checker::{Checker, Expectation};
use crate::asserter::history::Store;
use crate::environment::local::Local;
use crate::store::{RunFolder, StoreError};
use killpoint_engine::record::{Mechanism, Scope};
use killpoint_engine::states::StateName;
use killpoint_model::report::{Finding, REPORT_VERSION};
use killpoint_model::{Address, CrashModel, Profile, Roles};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What every finding of a run needs to be replayed: `run.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunFile {
    /// Version of the format.
    pub version: u32,
    pub(super) command: Vec<OsString>,
    pub(super) driver: Option<String>,
    #[serde(with = "killpoint_engine::any_path")]
    pub(super) directory: PathBuf,
    #[serde(with = "killpoint_engine::any_path")]
    pub(super) roots: Vec<(PathBuf, String)>,
    pub(super) checker: Checker,
    pub(super) intents_start: u64,
    pub(super) journal: Vec<u8>,
    pub(super) acknowledgements: Vec<u8>,
    pub(super) steps: Option<Vec<String>>,
    pub(super) recording: String,
    pub(super) stable: BTreeSet<String>,
    pub(super) races: bool,
    pub(super) roles: Roles,
    pub(super) initial: Option<Store>,
    pub(super) ends: Option<(Store, Store)>,
    /// The store after the undisturbed command, for findings about running it again.
    pub(super) after: Option<Store>,
    /// Whether the recording does not say all that happens to the state.
    pub(super) unseen: bool,
    pub(super) has_journal: bool,
    pub(super) models: Vec<CrashModel>,
    pub(super) profile: Profile,
    pub(super) acks_survive_power_loss: bool,
    pub(super) timeout: Duration,
    pub(super) checker_timeout: Duration,
    pub(super) mechanism: Mechanism,
    pub(super) pin: bool,
    pub(super) redirect: bool,
    pub(super) scope: Scope,
    pub(super) pinned: Pinned,
    /// The last process id that the recording has used.
    pub(super) last_process_id: u32,
}

impl RunFile {
    pub(super) fn of(options: &Options, local: &Local, recorded: &Recorded) -> Self {
        RunFile {
            version: REPORT_VERSION,
            command: options.command.clone(),
            driver: options.driver.clone(),
            directory: options.directory.clone(),
            roots: local.roots.iter().map(|r| (r.path.clone(), r.prefix.clone())).collect(),
            checker: local.checker.clone(),
            intents_start: local.intents_start,
            journal: local.journal.clone(),
            acknowledgements: local.acknowledgements.clone(),
            steps: local.steps.clone(),
            recording: recorded.name.clone(),
            stable: recorded.stable.clone(),
            races: recorded.result.ending.callers > 1,
            roles: options.roles.clone(),
            initial: recorded.initial.clone(),
            ends: match &recorded.expectation {
                Expectation::Between { ends } => ends.clone(),
                _ => None,
            },
            after: recorded.after.clone(),
            unseen: recorded.has_unseen_changes(),
            has_journal: matches!(recorded.expectation, Expectation::Journal(_)),
            models: options.models.clone(),
            profile: options.profile,
            acks_survive_power_loss: options.acks_survive_power_loss,
            timeout: options.timeout,
            checker_timeout: local.checker_timeout,
            mechanism: options.mechanism,
            pin: options.pin,
            redirect: options.redirect,
            scope: options.scope,
            pinned: Pinned::of(options),
            last_process_id: local.last_process_id,
        }
    }

    pub(super) fn write(&self, folder: &RunFolder) -> Result<(), StoreError> {
        let text = serde_json::to_vec_pretty(self).expect("plain data");
        folder.write("run.json", &text).map(|_| ())
    }
}

/// One finding of a run: `findings/<n>/finding.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FindingFile {
    /// Version of the format.
    pub version: u32,
    /// The finding.
    pub finding: Finding,
    /// The state that shows it.
    pub state: StateName,
    /// Length of the journal there.
    pub journal_length: u64,
    /// The addresses before it.
    pub before: Vec<Address>,
    /// Where it is struck.
    pub address: Address,
    /// What it is replayed with, where that is not the run's own: a shrunk workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunFile>,
    /// The recovery inside which the crash happens, by its name in the folder of the run.
    #[serde(default)]
    pub recovery: Option<String>,
}

impl FindingFile {
    pub(super) fn of(finding: &Finding, defect: &Defect, plan: &Plan) -> Self {
        let (index, name) = &defect.example;
        let addresses: Vec<Address> =
            plan.operations.iter().map(|operation| operation.address.clone()).collect();
        let journal_length = plan.states[*index].journal_length;
        let file = Self::of_state(finding, name, journal_length, &addresses);
        match finding.confirmed_live {
            true => file,
            false => FindingFile { state: defect.rebuilt(plan).clone(), ..file },
        }
    }

    pub(super) fn of_state(
        finding: &Finding,
        state: &StateName,
        journal_length: u64,
        addresses: &[Address],
    ) -> Self {
        let length = usize::try_from(state.point - 1).unwrap_or(usize::MAX).min(addresses.len());
        FindingFile {
            version: REPORT_VERSION,
            finding: finding.clone(),
            state: state.clone(),
            journal_length,
            before: addresses[..length].to_vec(),
            address: finding.address.clone(),
            run: None,
            recovery: None,
        }
    }

    pub(super) fn write(&self, folder: &RunFolder) -> Result<(), StoreError> {
        let text = serde_json::to_vec_pretty(self).expect("plain data");
        folder.write(&format!("findings/{}/finding.json", self.finding.number), &text).map(|_| ())
    }
}
