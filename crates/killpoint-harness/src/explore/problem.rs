//! Why a run could not be made.

use crate::asserter::checker::ControlError;
use crate::asserter::journal::JournalError;
use crate::baseline::BaselineError;
use crate::environment::local::LocalError;
use crate::store::StoreError;
use killpoint_engine::arena::ArenaError;
use killpoint_engine::image::ScanError;
use killpoint_engine::materialise::MaterialiseError;
use killpoint_engine::recording::RecordingError;
use killpoint_engine::spawn::ProgramError;
use killpoint_model::Outcome;
use std::io;
use std::path::PathBuf;

/// Why a run could not be made. What a run finds is no error.
#[derive(Debug, thiserror::Error)]
pub enum ExploreError {
    /// No command was given.
    #[error("no command was given: write it after `--`, as in `killpoint explore -- ./save.py`")]
    NoCommand,
    /// The program is not there.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A state directory cannot be used.
    #[error("the state directory {path} {problem}")]
    State {
        /// The directory.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// It cannot be read.
    #[error("the state cannot be copied; run killpoint as a user who may read it")]
    Scan(#[from] ScanError),
    /// The copy failed.
    #[error("the state cannot be copied")]
    Copy(#[from] MaterialiseError),
    /// The journal is no journal.
    #[error("{path}")]
    Journal {
        /// The journal.
        path: PathBuf,
        /// What is wrong with it.
        source: JournalError,
    },
    /// Somebody asked for it to be stopped.
    #[error("stopped; the log of the run is kept in {folder}")]
    Interrupted {
        /// The folder of the run.
        folder: PathBuf,
        /// Whether the run can be resumed.
        resumable: bool,
    },
    /// What an interrupted run left behind cannot be undone.
    #[error(transparent)]
    Recover(#[from] crate::recover::RecoverError),
    /// A file that was named cannot be read.
    #[error("cannot read {path}")]
    Input {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that was named makes no sense.
    #[error("{path}: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// An intent is wrong.
    #[error(transparent)]
    Intent(#[from] crate::asserter::journal::OneShotError),
    /// The command changes nothing, so there is nothing to strike.
    #[error("{0}")]
    Vacuous(String),
    /// Options that do not go together.
    #[error("{0}")]
    Usage(String),
    /// The baseline.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// The run's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A worker.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// A recording.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The control.
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl ExploreError {
    /// The outcome that a process exits with.
    pub fn outcome(&self) -> Outcome {
        match self {
            ExploreError::Vacuous(_) => Outcome::Vacuous,
            _ if self.is_interruption() => Outcome::Interrupted,
            _ if self.is_usage() => Outcome::Usage,
            _ => Outcome::InternalError,
        }
    }

    /// Whether the user can mend it by another command line or machine set-up, rather than us.
    pub fn is_usage(&self) -> bool {
        let of_a_worker = matches!(
            self,
            ExploreError::Local(LocalError::Worker(_) | LocalError::Arena(ArenaError::Channel(_)))
        );
        !of_a_worker && !matches!(self, ExploreError::Recording(_))
    }

    /// Whether somebody asked for it.
    pub fn is_interruption(&self) -> bool {
        matches!(
            self,
            ExploreError::Interrupted { .. } | ExploreError::Local(LocalError::Interrupted)
        )
    }
}
