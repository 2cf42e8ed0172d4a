//! Why a plan could not be carried out.

use crate::baseline::BaselineError;
use crate::injector::StrikeError;
use crate::processes::FindError;
use crate::recover::RecoverError;
use crate::store::StoreError;
use killpoint_engine::spawn::ProgramError;
use killpoint_model::Outcome;
use killpoint_model::plan::PlanError;
use std::io;
use std::path::{Path, PathBuf};

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
    /// The control of a recording.
    #[error("the target cannot be recorded: its control did not hold: {0}")]
    Control(String),
    /// The kernel would write a core over it.
    #[error("a core would be written over {0}: move it away, or leave out `collect.cores`")]
    CoreInTheWay(PathBuf),
    /// There is no such trial.
    #[error("the plan has no trial {0}: it has 1 to {1}")]
    NoTrial(u64, usize),
    /// The folder of the run or its log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A state directory.
    #[error("the state of the scenario cannot be copied: {0}")]
    State(String),
    /// A strike.
    #[error(transparent)]
    Strike(#[from] StrikeError),
    /// A search for processes.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The baseline.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// What an interrupted run left behind.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// A file of an earlier run.
    #[error("{path}: not written by this version of killpoint: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A run that is to be resumed has its end.
    #[error("run {0} is complete: `killpoint report {0}` shows it again")]
    Complete(String),
    /// A trial that is to be replayed was not carried out.
    #[error("run {0} has no trial {1} that ended: `killpoint report {0}` shows those that did")]
    NotTried(String, u64),
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
    /// A program of the scenario.
    #[error("{whose} cannot be started")]
    Program {
        /// Whose.
        whose: String,
        /// Why.
        source: ProgramError,
    },
    /// The supervisor did not do what it has to.
    #[error("the supervisor {0}; its words are in {1}; `killpoint resume` goes on with the run")]
    Supervisor(String, PathBuf),
    /// The supervisor did not do what it has to, or somebody asked for it to be stopped, while crash points
    /// were recorded.
    #[error(
        "{0} while crash points were recorded: nothing was struck yet, and nothing is kept; start it anew"
    )]
    Recording(String, Outcome),
    /// Somebody asked for it to be stopped.
    #[error("interrupted; `killpoint resume {0}` goes on from there")]
    Interrupted(PathBuf),
}

pub(super) fn fail<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> CampaignError + 'a {
    move |source| CampaignError::Io { action, path: path.to_owned(), source }
}

impl CampaignError {
    /// The same of a recording, whose folder is thrown away.
    pub(super) fn of_recording(self) -> Self {
        let outcome = self.outcome();
        match self {
            CampaignError::Interrupted(_) => {
                CampaignError::Recording("interrupted".to_owned(), outcome)
            }
            CampaignError::Supervisor(what, words) => {
                let words = std::fs::read_to_string(words).unwrap_or_default();
                let words = words.trim().lines().last().map(|it| format!(" ({it})"));
                let what = format!("the supervisor {what}{}", words.unwrap_or_default());
                CampaignError::Recording(what, outcome)
            }
            other => other,
        }
    }

    /// What to exit with.
    pub fn outcome(&self) -> Outcome {
        match self {
            CampaignError::Interrupted(_) => Outcome::Interrupted,
            CampaignError::Control(_) => Outcome::BaselineFailed,
            CampaignError::Supervisor(..) => Outcome::InternalError,
            CampaignError::Recording(_, outcome) => *outcome,
            _ => Outcome::Usage,
        }
    }
}
