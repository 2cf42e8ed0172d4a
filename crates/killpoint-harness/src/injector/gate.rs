//! The gate: who may be struck. Nobody else can make a permit.

use crate::processes;
use killpoint_engine::identity::{Handle, Identity};
use std::fs;
use std::io;
use std::path::PathBuf;

/// Some processes that may be struck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// What was launched: all that descends from this process, which is not among it.
    Below(Identity),
    /// A process that was found running.
    Process(Identity),
    /// The same, as long as it executes this file and one of these allows it, too (if there are any).
    Attached {
        /// Who it is.
        process: Identity,
        /// What it executed when it was found.
        executable: PathBuf,
        /// The allowlist.
        listed: Vec<Allow>,
    },
    /// Whoever is in a control group or below it, as `/proc/PID/cgroup` names it.
    Cgroup(String),
}

/// The allowlist of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Who may be struck.
    pub allow: Vec<Allow>,
    /// Whether everything but the strike itself is done: nobody gets a permit.
    pub leashed: bool,
}

/// The right to strike one process once. It holds that process: nobody else can be met.
#[derive(Debug)]
pub struct Permit(Handle);

/// Why a process may not be struck.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is no more, or another process has its number now.
    #[error("process {0} has ended")]
    Ended(i32),
    /// It is this process, or one that it descends from.
    #[error("process {0} is Killpoint itself, or one that it runs under")]
    Harness(i32),
    /// The allowlist does not name it.
    #[error("process {0} was not launched by this run and is not on its allowlist")]
    NotAllowed(i32),
    /// The same process executes another file than it did when it was found.
    #[error(
        "process {pid} executes {now} now, and executed {found} when it was named: it is another program; attach to it \
         anew if it may be struck"
    )]
    OtherProgram {
        /// Its number.
        pid: i32,
        /// What it executed when it was found.
        found: PathBuf,
        /// What it executes now.
        now: PathBuf,
    },
    /// All is well, but nobody is struck.
    #[error("process {0} would be struck: leashed (--unleash strikes it)")]
    Leashed(i32),
    /// It cannot be held.
    #[error("cannot hold process {pid}")]
    Hold {
        /// Its number.
        pid: i32,
        /// What the system says.
        source: io::Error,
    },
}

impl Allow {
    /// Whether a process may be struck. It is read by its number: true of the process only while that is
    /// held.
    pub fn allows(&self, process: Identity) -> bool {
        match self {
            Allow::Below(root) => processes::is_below(*root, process),
            Allow::Process(allowed) => *allowed == process,
            Allow::Attached { process: found, executable, listed } => {
                *found == process
                    && executed(process).is_ok_and(|now| now == *executable)
                    && (listed.is_empty() || listed.iter().any(|allow| allow.allows(process)))
            }
            Allow::Cgroup(path) => processes::is_in_cgroup(process, path),
        }
    }

    /// Why a process that this one names may not be struck for all that: it executes another file by now.
    fn other_program(&self, process: Identity) -> Option<Refusal> {
        let Allow::Attached { process: found, executable, .. } = self else { return None };
        let now = executed(process).ok()?;
        (*found == process && now != *executable).then(|| Refusal::OtherProgram {
            pid: process.pid,
            found: executable.clone(),
            now,
        })
    }
}

/// The file that a process executes.
fn executed(process: Identity) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{}/exe", process.pid))
}

impl Gate {
    /// For what was launched below a process.
    pub fn launched(root: Identity) -> Self {
        Gate { allow: vec![Allow::Below(root)], leashed: false }
    }

    /// The right to strike a process: it is held first, and asked about while it is held.
    ///
    /// # Errors
    /// Why not.
    pub fn permit(&self, process: Identity) -> Result<Permit, Refusal> {
        let pid = process.pid;
        let held = process.hold().map_err(|source| Refusal::Hold { pid, source })?;
        let handle = held.ok_or(Refusal::Ended(pid))?;
        if processes::is_untouchable(pid) {
            return Err(Refusal::Harness(pid));
        }
        let is_allowed = self.allow.iter().any(|allow| allow.allows(process));
        match is_allowed {
            // What was read by its number was read of this process, if it is still the same.
            _ if !process.is_alive() => Err(Refusal::Ended(pid)),
            false => {
                let other = self.allow.iter().find_map(|allow| allow.other_program(process));
                Err(other.unwrap_or(Refusal::NotAllowed(pid)))
            }
            true if self.leashed => Err(Refusal::Leashed(pid)),
            true => Ok(Permit(handle)),
        }
    }
}

impl Permit {
    /// Whom it is for.
    pub fn process(&self) -> Identity {
        self.0.identity()
    }

    pub(super) fn use_up(self) -> Handle {
        self.0
    }
}
