//! What is to be recorded, and why it could not be.

use crate::image::{Image, ScanError};
use crate::intercept::Mechanism;
use crate::recording::RecordingError;
use crate::spawn::Launch;
use killpoint_model::{Address, Roles};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

/// A directory whose changes are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Where it is, as the target sees it.
    pub path: PathBuf,
    /// What stands before its paths in addresses; empty for an only root.
    pub prefix: String,
}

/// Which processes a strike kills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The process that makes the call; others go on.
    Process,
    /// That process and its descendants; others go on.
    Tree,
    /// Everything that was launched.
    #[default]
    All,
}

impl Scope {
    /// The name used on the command line, in reports and in files.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Process => "process",
            Scope::Tree => "tree",
            Scope::All => "all",
        }
    }
}

/// Where to strike.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StrikeAt {
    /// At the entry of this call.
    pub address: Address,
    /// Let a write happen up to this many bytes first (a torn write).
    pub after_bytes: Option<u64>,
    /// Which processes die.
    pub scope: Scope,
}

/// What to record.
#[derive(Debug)]
pub struct Request {
    /// The program.
    pub launch: Launch,
    /// What drives it, started once it has become quiet; without one the program is its own driver,
    /// and the workload is over when it ends.
    pub driver: Option<Launch>,
    /// The state.
    pub roots: Vec<Root>,
    /// The state as it is now, read off a copy that nobody changes.
    pub initial: Image,
    /// The ack journal, which exists.
    pub journal: PathBuf,
    /// What is appended to the journal when the driver ends with exit status 0.
    pub acknowledgements: Vec<u8>,
    /// Where the recording is written.
    pub recording: PathBuf,
    /// Names that every recording before gave birth to; none for the first.
    pub stable: Option<BTreeSet<String>>,
    /// Where to strike; none to let it end.
    pub strike: Option<StrikeAt>,
    /// The roles of its processes, which stand in addresses.
    pub roles: Roles,
    /// By what means calls are intercepted.
    pub mechanism: Mechanism,
    /// Directories of which the target sees copies; what it changes elsewhere is named.
    pub contained: Vec<PathBuf>,
    /// Whether to keep the tracer and the target on one processor.
    pub pin: Option<usize>,
    /// Whether the worker has the right to install filters without giving up setuid programs.
    pub keep_privileges: bool,
    /// For everything.
    pub timeout: Duration,
    /// How long no call on the state may come until the driver is started and, after it has ended,
    /// until those who are left are asked to end.
    pub quiet: Duration,
    /// How long those are given to end.
    pub stop: Duration,
    /// Most threads alive at one time.
    pub threads_max: usize,
}

/// Standard streams of the target.
#[derive(Debug)]
pub struct Output {
    /// Read by the target.
    pub input: OwnedFd,
    /// Written by the target.
    pub output: OwnedFd,
    /// Written by the target.
    pub error: OwnedFd,
}

/// Why a program could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The state cannot be read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The recording cannot be written.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The target cannot be started under interception.
    #[error(
        "cannot start `{program}` under interception (seccomp and ptrace); `killpoint doctor` says what is missing"
    )]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The journal cannot be read.
    #[error("cannot read the ack journal {path}")]
    Journal {
        /// The journal.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
