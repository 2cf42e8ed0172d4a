//! Attached runs: processes that somebody else started are struck, on a machine that is marked for it, if
//! they are on the allowlist, and only unleashed. Leashed, everything is done but the strike.
//!
//! The rooms: `machine` (its mark), `allowlist`, `group` (names of control groups), `targets` (whom, looked for anew at each strike), `course`
//! (the strikes and what came of them), `returned` (who came back, and whether he stays).

mod allowlist;
mod course;
mod group;
mod machine;
mod returned;
mod targets;

pub use allowlist::AllowlistError;
pub use group::GroupError;
pub use machine::{MARK, MachineError};
pub use targets::{Named, TargetError};

use crate::injector::{Injector, StrikeError};
use crate::interrupt::Interrupt;
use crate::job::Job;
use crate::journalist::{Journalist, Watch};
use crate::recover::{announce_tool, clear_up};
use crate::store::{RunFolder, StoreError};
use course::Course;
use killpoint_model::event::Event;
use killpoint_model::invariant::Invariant;
use killpoint_model::plan::{AttachedPlan, PlanError};
use killpoint_model::report::{NotCovered, Report, Setting};
use killpoint_model::scenario::FaultRule;
use killpoint_model::seed::Seed;
use killpoint_model::span::Span;
use killpoint_model::trial::TrialEvent;
use killpoint_model::{Outcome, Profile};
use std::path::PathBuf;
use std::time::Instant;
use targets::Targets;

/// The file that says that a run was attached.
const PLAN: &str = "attached.json";

/// Whom, what and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who is named.
    pub named: Named,
    /// Who may be struck at all; without one, who is named.
    pub allowlist: Option<PathBuf>,
    /// Another mark of the machine than [`MARK`].
    pub machine: Option<PathBuf>,
    /// Whether strikes are carried out.
    pub unleash: bool,
    /// When, what, how many of them.
    pub rule: FaultRule,
    /// Where everything random comes from.
    pub seed: Seed,
    /// What must be true before, after each strike and at the end.
    pub invariants: Vec<Invariant>,
    /// How long a process may take to come back.
    pub recovery: Span,
    /// The working directory of commands.
    pub directory: PathBuf,
    /// Where the folder of the run is made.
    pub out: PathBuf,
    /// How many runs are kept.
    pub keep: usize,
    /// A request to stop.
    pub interrupt: Interrupt,
}

/// Why processes could not be struck.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Whom.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The folder of the run or its log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A strike.
    #[error(transparent)]
    Strike(#[from] StrikeError),
    /// Somebody asked for it to be stopped.
    #[error("interrupted: every fault was lifted; an attached run is not resumed, begin anew")]
    Interrupted,
}

impl AttachError {
    /// What to exit with.
    pub fn outcome(&self) -> Outcome {
        match self {
            AttachError::Interrupted => Outcome::Interrupted,
            _ => Outcome::Usage,
        }
    }
}

/// A finished run.
#[derive(Debug)]
pub struct Ended {
    /// Its folder.
    pub folder: RunFolder,
    /// Its report.
    pub report: Report,
}

/// Whether the folder is that of an attached run.
pub fn is_attached(folder: &RunFolder) -> bool {
    folder.join(PLAN).exists()
}

/// Strikes processes that somebody else started. Everything that can be refused is refused before the
/// folder of the run is made.
///
/// # Errors
/// If the machine, a process or the user does not allow it, or the run's folder cannot be written. What
/// is found is no error.
pub fn run(options: &Options, watch: Watch<'_>) -> Result<Ended, AttachError> {
    machine::check(options.machine.as_deref())?;
    let targets = Targets::find(options.named.clone(), options.allowlist.as_deref())?;
    let plan = AttachedPlan::make(targets.stable()?, options.rule.clone(), options.seed)?;
    let folder = RunFolder::create(&options.out.join("runs"))?;
    announce_tool(&folder)?;
    let text = serde_json::to_string_pretty(&plan).expect("a plan is plain data") + "\n";
    folder.write(PLAN, text.as_bytes())?;
    // Before there are threads: the watchdog is forked.
    let injector = Injector::start(folder.path())?;
    let mut journalist = Journalist::start(&folder)?;
    introduce(options, &plan, &folder, &mut journalist)?;
    let since = Instant::now();
    let mut course = Course {
        options,
        plan: &plan,
        targets,
        folder: &folder,
        journalist: &mut journalist,
        injector,
        returned: Vec::new(),
    };
    let result = course.carry_out(watch);
    let _ = course.injector.rollback();
    drop(course);
    let (outcome, explanation) = match result {
        Ok(ended) => ended,
        Err(error) => {
            journalist.sync()?;
            clear_up(&folder);
            return Err(error);
        }
    };
    journalist.stage("trials", since)?;
    journalist.remove_older(&folder, options.keep)?;
    journalist.tell(Event::RunEnded { result: outcome, explanation })?;
    let report = journalist.into_report();
    crate::report::write_all(&folder, &report)?;
    clear_up(&folder);
    Ok(Ended { folder, report })
}

/// The first events.
fn introduce(
    options: &Options,
    plan: &AttachedPlan,
    folder: &RunFolder,
    journalist: &mut Journalist,
) -> Result<(), StoreError> {
    let job = Job::here();
    let setting = Setting {
        command: plan.targets.iter().map(ToString::to_string).collect(),
        state: Vec::new(),
        models: Vec::new(),
        profile: Profile::Ext4,
        acks: "kill".to_owned(),
        scope: "as the fault says".to_owned(),
        driver: None,
        roles: Vec::new(),
        oracle: options.invariants.iter().map(Invariant::kind).collect::<Vec<_>>().join(", "),
        mechanism: "signals and the freezer, on processes that were running".to_owned(),
        containment: "none: the processes are somebody else's".to_owned(),
        seed: plan.seed.clone(),
        jobs: 1,
    };
    journalist.begin_run(folder.id(), job, setting)?;
    journalist.tell(Event::NotCovered(NotCovered {
        file: "*".to_owned(),
        reason:
            "the data of processes that were running is read by nobody but the given probe and \
                 check"
                .to_owned(),
        needed: false,
    }))?;
    let leashed = "a rehearsal: leashed, so nobody is struck (--unleash strikes)".to_owned();
    journalist.tell(Event::Trial(Box::new(TrialEvent::Planned {
        title: format!("Roulette, attached: {}", options.rule.r#do),
        digest: plan.digest.clone(),
        trials: 1,
        strikes: plan.strikes.len() as u64,
        rounds: Some(1),
        remarks: if options.unleash { Vec::new() } else { vec![leashed] },
    })))
}
