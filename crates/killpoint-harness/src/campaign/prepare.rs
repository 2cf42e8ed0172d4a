//! What can be carried out here, the folder of the run, and how it begins.

use super::judging::VALUES;
use super::tell;
use crate::asserter::invariants::check_expression;
use crate::explore::Journalist;
use crate::injector::StrikeError;
use crate::interrupt::Interrupt;
use crate::processes::FindError;
use crate::store::{RunFolder, StoreError};
use killpoint_model::event::Event;
use killpoint_model::invariant::{Invariant, JudgeAt};
use killpoint_model::plan::{Plan, PlanError};
use killpoint_model::report::{NotCovered, Setting};
use killpoint_model::trial::TrialEvent;
use killpoint_model::trigger::Trigger;
use killpoint_model::{Outcome, Profile};
use std::io;
use std::path::{Path, PathBuf};

/// How a plan is carried out.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory that paths of the scenario start from.
    pub directory: PathBuf,
    /// Where the folder of the run is made.
    pub out: PathBuf,
    /// The program whose `supervise` keeps the target up: killpoint itself.
    pub supervisor: PathBuf,
    /// Only this trial, besides the control.
    pub only: Option<u64>,
    /// How often each trial is carried out.
    pub repeat: u32,
    /// A request to stop.
    pub interrupt: Interrupt,
}

/// Why a plan could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Something that this version cannot do.
    #[error("{what} cannot be carried out by this killpoint: {instead}")]
    NotSupported {
        /// What.
        what: String,
        /// What to do about it.
        instead: &'static str,
    },
    /// An expression cannot be judged.
    #[error("an expression of the scenario cannot be judged: {0}")]
    Expression(String),
    /// There is no such trial.
    #[error("the plan has no trial {0}: it has 1 to {1}")]
    NoTrial(u64, usize),
    /// The folder of the run or its log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A strike.
    #[error(transparent)]
    Strike(#[from] StrikeError),
    /// A search for processes.
    #[error(transparent)]
    Find(#[from] FindError),
    /// A file, directory or program of a trial.
    #[error("cannot {action} {path}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The supervisor did not do what it has to.
    #[error("the supervisor {0}; its words are in {1}")]
    Supervisor(String, PathBuf),
    /// Somebody asked for it to be stopped.
    #[error("stopped; the log of the run is kept in {0}")]
    Interrupted(PathBuf),
}

pub(super) fn fail<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> CampaignError + 'a {
    move |source| CampaignError::Io { action, path: path.to_owned(), source }
}

impl CampaignError {
    /// What to exit with.
    pub fn outcome(&self) -> Outcome {
        match self {
            CampaignError::Interrupted(_) => Outcome::Interrupted,
            CampaignError::Supervisor(..) => Outcome::InternalError,
            _ => Outcome::Usage,
        }
    }
}

/// Whether everything in a plan can be done by this version: before anything is touched.
pub(super) fn check(plan: &Plan, options: &Options) -> Result<(), CampaignError> {
    plan.verify()?;
    if let Some(only) = options.only
        && plan.trials.iter().all(|trial| trial.ordinal != only)
    {
        return Err(CampaignError::NoTrial(only, plan.trials.len()));
    }
    let not_supported = |what: String, instead| CampaignError::NotSupported { what, instead };
    for (index, rule) in plan.scenario.faults.iter().enumerate() {
        let name = plan.scenario.rule_name(index);
        match &rule.when {
            Trigger::Points(_) | Trigger::Point(_) => {
                let instead = "use `killpoint explore`, which kills at every crash point";
                return Err(not_supported(format!("the crash points of rule {name}"), instead));
            }
            Trigger::Phase(_) | Trigger::Probe(_) => {
                let instead = "use an interval, a time, a lifecycle event, a log line or a file";
                return Err(not_supported(format!("the trigger of rule {name}"), instead));
            }
            _ => {}
        }
    }
    for invariant in &plan.scenario.invariants {
        let continuously = invariant.asked_for().contains(&JudgeAt::Continuously);
        if continuously {
            let what = format!("judging {} continuously", invariant.kind());
            return Err(not_supported(what, "judge it after-strike and at the end"));
        }
        if let Invariant::Expression(it) = invariant {
            check_expression(&it.cel, &VALUES).map_err(CampaignError::Expression)?;
        }
    }
    for state in &plan.scenario.target.state {
        let path = options.directory.join(state);
        if path.exists() && !path.is_dir() {
            let error = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(fail("take as a state directory", &path)(error));
        }
    }
    Ok(())
}

/// Makes the folder of the run, with the plan in it.
pub(super) fn make_folder(plan: &Plan, options: &Options) -> Result<RunFolder, CampaignError> {
    let folder = RunFolder::create(&options.out.join("runs"))?;
    let text = serde_json::to_string_pretty(plan).expect("a plan is plain data") + "\n";
    folder.write("plan.json", text.as_bytes())?;
    // A plan names no directory of a machine; whoever carries it out again from here needs it.
    folder.write("directory", format!("{}\n", options.directory.display()).as_bytes())?;
    Ok(folder)
}

/// The first events.
pub(super) fn begin(
    plan: &Plan,
    options: &Options,
    folder: &RunFolder,
) -> Result<Journalist, CampaignError> {
    let mut journalist = Journalist::start(folder)?;
    let scenario = &plan.scenario;
    let supervision = scenario.target.supervision(scenario.seed);
    let commands = supervision.processes.values().map(|process| process.command.join(" "));
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let setting = Setting {
        command: commands.collect(),
        state: scenario.target.state.clone(),
        models: Vec::new(),
        profile: Profile::Ext4,
        acks: "kill".to_owned(),
        scope: "as each fault says".to_owned(),
        driver: scenario.workload.as_ref().map(|workload| workload.command.join(" ")),
        roles: scenario.target.roles.iter().map(|(name, it)| format!("{name}: {it}")).collect(),
        oracle: scenario.invariants.iter().map(Invariant::kind).collect::<Vec<_>>().join(", "),
        mechanism: "signals, under killpoint's supervisor".to_owned(),
        containment: "each trial works on copies of the state directories".to_owned(),
        seed: plan.seed.clone(),
        jobs: 1,
    };
    journalist.tell(Event::RunStarted {
        run: folder.id().to_owned(),
        killpoint: env!("CARGO_PKG_VERSION").to_owned(),
        started: jiff::Timestamp::now().to_string(),
        commit: variable("GITHUB_SHA").or_else(|| variable("CI_COMMIT_SHA")),
        job_url: variable("CI_JOB_URL"),
        setting: Box::new(setting),
    })?;
    journalist.tell(Event::NotCovered(NotCovered {
        file: "*".to_owned(),
        reason: "the target sees its state at another path (KILLPOINT_STATE, {state}); what it \
                 writes elsewhere is neither contained nor judged"
            .to_owned(),
        needed: false,
    }))?;
    let only = options.only.map(|only| format!("only trial {only} of the plan"));
    tell(
        &mut journalist,
        TrialEvent::Planned {
            title: scenario.title.clone(),
            digest: plan.digest.clone(),
            trials: plan.trials.len() as u64,
            strikes: plan.strikes() as u64,
            remarks: only.into_iter().collect(),
        },
    )?;
    Ok(journalist)
}
