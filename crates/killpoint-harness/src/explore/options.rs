//! What `explore` is asked to do.

use crate::asserter::checker::Checker;
use crate::interrupt::Interrupt;
use killpoint_engine::arena::Containment;
use killpoint_engine::record::{Mechanism, Scope};
use killpoint_model::seed::Seed;
use killpoint_model::{CrashModel, Phase, Profile, Roles};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The options of a run. [`Options::new`] has the defaults.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// A shell command that drives the command, started once that has become quiet; without one the
    /// command drives itself.
    pub driver: Option<String>,
    /// A file with the steps of the workload, one a line; the command reads a copy.
    pub steps: Option<PathBuf>,
    /// Find out which of the steps each finding needs.
    pub shrink: bool,
    /// State directories; none to find out.
    #[serde(with = "killpoint_engine::any_path")]
    pub state: Vec<PathBuf>,
    /// An ack journal from before, to start from.
    #[serde(with = "killpoint_engine::any_path")]
    pub journal: Option<PathBuf>,
    /// Intents of a one-shot command, acknowledged by exit status 0.
    pub intents: Vec<String>,
    /// Whether a plain acknowledgement promises survival of a power cut.
    pub acks_survive_power_loss: bool,
    /// Who reads states.
    pub checker: Checker,
    /// The crash models.
    pub models: Vec<CrashModel>,
    /// The phases whose crash points are judged.
    pub phases: Vec<Phase>,
    /// The file system whose promises the power-loss models keep.
    pub profile: Profile,
    /// How many recordings are made.
    pub recordings: u32,
    /// How many judges work side by side.
    pub jobs: usize,
    /// Where random choices come from.
    pub seed: Seed,
    /// Where `.killpoint` lies.
    #[serde(with = "killpoint_engine::any_path")]
    pub out: PathBuf,
    /// Begin with empty state directories.
    pub from_empty: bool,
    /// Time-out of one run of the command.
    pub timeout: Duration,
    /// Time-out of one reading of the store by the checker.
    pub checker_timeout: Duration,
    /// Environment variables whose values finding files may keep.
    pub keep_environment: Vec<String>,
    /// Findings that do not fail the run.
    #[serde(with = "killpoint_engine::any_path")]
    pub baseline: Option<PathBuf>,
    /// Where to write the findings of this run as a baseline.
    #[serde(with = "killpoint_engine::any_path")]
    pub write_baseline: Option<PathBuf>,
    /// How many runs are kept.
    pub keep: usize,
    /// Live kills for each finding.
    pub confirmations: u32,
    /// How many held points are killed live as well.
    pub live_sample: usize,
    /// The roles of the command's processes.
    pub roles: Roles,
    /// By what means calls are intercepted.
    pub mechanism: Mechanism,
    /// Which processes a strike kills.
    pub scope: Scope,
    /// Read each recovered store a second time.
    pub second_checks: bool,
    /// Run the command again on each crash state: it must then end as if nothing had happened.
    pub idempotent: bool,
    /// How deep crashes inside recovery are enumerated: 0 or 1.
    pub recovery_depth: u32,
    /// Keep tracer and target on one processor.
    pub pin: bool,
    /// Forbid namespaces, as a hardened container does.
    pub redirect: bool,
    /// The working directory; empty where it is gone, which no run is begun with.
    #[serde(with = "killpoint_engine::any_path")]
    pub directory: PathBuf,
    /// The name of the machine that the command sees; none for this one's.
    pub host_name: Option<OsString>,
    /// The environment. It is kept nowhere.
    #[serde(skip)]
    pub environment: Vec<(OsString, OsString)>,
    /// A request to stop.
    #[serde(skip)]
    pub interrupt: Interrupt,
}

impl Options {
    /// How many judges can work side by side: without namespaces they would share their state.
    pub fn jobs_in(&self, containment: Containment) -> usize {
        match containment {
            Containment::Namespaces { .. } => self.jobs,
            Containment::Redirect => 1,
        }
    }

    /// The defaults for a command, in this process's working directory and environment.
    pub fn new<T: Into<OsString>>(command: impl IntoIterator<Item = T>) -> Self {
        let directory = std::env::current_dir().unwrap_or_default();
        Options {
            command: command.into_iter().map(Into::into).collect(),
            driver: None,
            steps: None,
            shrink: false,
            state: Vec::new(),
            journal: None,
            intents: Vec::new(),
            acks_survive_power_loss: false,
            checker: Checker::BuiltIn,
            models: vec![CrashModel::Kill, CrashModel::TornWrite],
            phases: Phase::ALL.to_vec(),
            profile: Profile::Ext4,
            recordings: 2,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            seed: Seed(42),
            out: directory.join(".killpoint"),
            from_empty: false,
            timeout: Duration::from_secs(60),
            checker_timeout: Duration::from_secs(30),
            keep_environment: Vec::new(),
            baseline: None,
            write_baseline: None,
            keep: 20,
            confirmations: 1,
            live_sample: 5,
            roles: Roles::default(),
            mechanism: Mechanism::Ptrace,
            scope: Scope::All,
            second_checks: true,
            idempotent: false,
            recovery_depth: 0,
            pin: true,
            redirect: false,
            directory,
            host_name: None,
            environment: std::env::vars_os().collect(),
            interrupt: Interrupt::new(),
        }
    }
}
