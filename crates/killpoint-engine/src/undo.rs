//! The undo log, `undo.jsonl` in the folder of a run: what was made that could outlive the tool.
//!
//! One record a line, written before the thing is made. Records of files are synced; those of
//! processes need not be, since what loses an unsynced record (a power cut) ends the process, too.
//! With namespaces of their own the kernel ends workers with the tool, so only the tool itself and
//! the scratch directory stand here; without them, every worker and every program does. A fault that
//! lasts stands here before it is carried out.

use crate::identity::{self, Identity};
use crate::regular_file;
use crate::rollback::Rollback;
use crate::suspend::Suspension;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The file's name in the folder of a run.
pub const FILE_NAME: &str = "undo.jsonl";

/// Something that could outlive the tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "made")]
pub enum Made {
    /// The tool itself, as long as it works on the run.
    Tool {
        /// Who it is.
        process: Identity,
        /// The machine's run that it belongs to.
        boot: String,
    },
    /// A directory in the folder of the run that may hold copies of the state.
    Scratch {
        /// Its name.
        name: String,
    },
    /// A worker without namespaces of its own.
    Worker {
        /// Who it is.
        process: Identity,
    },
    /// A program that a worker without namespaces started; it leads a session of its own.
    Program {
        /// Who it is.
        process: Identity,
    },
    /// A process that stands still: it is to go on.
    Suspended {
        /// Who it is.
        process: Identity,
        /// How it is suspended.
        by: Suspension,
    },
    /// A file that inhibits a restart: it is to be removed.
    KeptDown {
        /// Its path below the folder of the run.
        file: PathBuf,
    },
    /// Commands of a scenario that change something: these are to be run.
    Activities {
        /// What undoes them, in order.
        rollbacks: Vec<Rollback>,
    },
    /// Not made but undone: the fault above that says the same.
    Lifted(Fault),
    /// A supervisor, and the directories outside the run's folder that it works with, the deepest first.
    Supervisor {
        /// The control groups and the temporary directory.
        scratch: Vec<PathBuf>,
    },
    /// A program of a supervisor; it and what it starts have the mark in their environment.
    Supervised {
        /// Who it is.
        process: Identity,
        /// The value of `KILLPOINT_SUPERVISOR`.
        mark: String,
    },
    /// Programs that the tool itself starts: a workload, checkers. The tool's death is theirs.
    Marked {
        /// The variable, `NAME=value`, that they have in their environment.
        variable: Vec<u8>,
    },
    /// A command of the scenario's own that is about to be carried out. What it leaves running once it has
    /// ended is meant to be there.
    Activity {
        /// The variable, `NAME=value`, that it has in its environment.
        variable: Vec<u8>,
    },
    /// Not made but over: that command has ended.
    ActivityEnded {
        /// [`Made::Activity`]'s.
        variable: Vec<u8>,
    },
    /// Not made but undone: everything above.
    Undone,
}

/// A fault that lasts until its inverse is carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fault")]
pub enum Fault {
    /// [`Made::Suspended`].
    Suspended {
        /// Who it is.
        process: Identity,
        /// How it is suspended.
        by: Suspension,
    },
    /// [`Made::KeptDown`].
    KeptDown {
        /// Its path below the folder of the run.
        file: PathBuf,
    },
    /// [`Made::Activities`].
    Activities {
        /// What undoes them, in order.
        rollbacks: Vec<Rollback>,
    },
}

impl Fault {
    /// What stands in the log before the fault.
    pub fn made(&self) -> Made {
        match self.clone() {
            Fault::Suspended { process, by } => Made::Suspended { process, by },
            Fault::KeptDown { file } => Made::KeptDown { file },
            Fault::Activities { rollbacks } => Made::Activities { rollbacks },
        }
    }

    /// Carries out the inverse. True if there was something to undo; doing it twice does no harm.
    ///
    /// # Errors
    /// What the system says.
    pub fn lift(&self, run: &Path) -> io::Result<bool> {
        match self {
            Fault::Suspended { process, by } => by.resume(*process),
            Fault::KeptDown { file } => match fs::remove_file(run.join(file)) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            },
            // Each is tried, whatever became of the one before; what failed is not repeated for ever.
            Fault::Activities { rollbacks } => {
                let done: Vec<bool> = rollbacks.iter().map(|it| it.run(run)).collect();
                Ok(done.iter().all(|done| *done))
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Suspended { process, .. } => write!(f, "the suspended process {}", process.pid),
            Fault::KeptDown { file } => write!(f, "the inhibited restart ({})", file.display()),
            Fault::Activities { rollbacks } => {
                let names: Vec<&str> = rollbacks.iter().map(|it| it.name.as_str()).collect();
                write!(f, "the scenario's activities, by {}", names.join(", then "))
            }
        }
    }
}

/// The faults that were announced and not lifted.
pub fn faults(records: &[Made]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for record in records {
        match record.clone() {
            Made::Suspended { process, by } => faults.push(Fault::Suspended { process, by }),
            Made::KeptDown { file } => faults.push(Fault::KeptDown { file }),
            Made::Activities { rollbacks } => faults.push(Fault::Activities { rollbacks }),
            Made::Lifted(lifted) => faults.retain(|fault| *fault != lifted),
            _ => {}
        }
    }
    faults
}

/// The variables by which the tool's own programs are known, and the commands that were not over.
pub fn marks(records: &[Made]) -> Vec<Vec<u8>> {
    let mut marks = Vec::new();
    for record in records {
        match record {
            Made::Marked { variable } | Made::Activity { variable } => marks.push(variable.clone()),
            Made::ActivityEnded { variable } => marks.retain(|mark| mark != variable),
            _ => {}
        }
    }
    marks
}

/// The process that works on a run, if one does.
pub fn tool_at_work(records: &[Made]) -> Option<Identity> {
    records.iter().find_map(|record| match record {
        Made::Tool { process, boot } if *boot == identity::boot() && process.is_alive() => {
            Some(*process)
        }
        _ => None,
    })
}

/// Lifts every fault of a run that was not lifted; each with what came of it.
///
/// # Errors
/// If the log cannot be read or written. Faults that cannot be lifted stay in the log.
pub fn lift_all(run: &Path) -> io::Result<Vec<(Fault, io::Result<bool>)>> {
    let mut lifted = Vec::new();
    for fault in faults(&read(run)?) {
        let result = fault.lift(run);
        if result.is_ok() {
            append(run, &Made::Lifted(fault.clone()))?;
        }
        lifted.push((fault, result));
    }
    Ok(lifted)
}

/// Appends a record.
///
/// # Errors
/// If it cannot be written, or synced where that is asked for.
pub fn append(run: &Path, made: &Made) -> io::Result<()> {
    let file = regular_file::open_to_append(&run.join(FILE_NAME))?;
    write(&file, made)?;
    file.sync_data()
}

fn write(mut file: &File, made: &Made) -> io::Result<()> {
    let mut line = serde_json::to_vec(made)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// The records since the last [`Made::Undone`]; none if there is no undo log. A last line that a
/// crash cut short is left out: what it announced was not made.
///
/// # Errors
/// If the log cannot be read, or a whole line is no record.
pub fn read(run: &Path) -> io::Result<Vec<Made>> {
    let text = match regular_file::read_to_string(&run.join(FILE_NAME)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut records = Vec::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        match serde_json::from_str(line)? {
            Made::Undone => records.clear(),
            made => records.push(made),
        }
    }
    Ok(records)
}

/// Where a worker without namespaces announces the programs that it starts.
static PROGRAMS: OnceLock<File> = OnceLock::new();

/// Announces this worker, and from now on every program that it starts.
pub(crate) fn announce_worker(run: &Path) -> io::Result<()> {
    let file = regular_file::open_to_append(&run.join(FILE_NAME))?;
    write(&file, &Made::Worker { process: Identity::current()? })?;
    let _ = PROGRAMS.set(file);
    Ok(())
}

/// Announces a program that this process is about to become.
///
/// # Errors
/// If the log cannot be written.
pub(crate) fn announce_program(pid: u32) -> io::Result<()> {
    let Some(file) = PROGRAMS.get() else { return Ok(()) };
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    write(file, &Made::Program { process: identity::status(pid)?.identity })
}

/// Has a program of a worker stand by itself, so that no signal for the worker's group meets it: in a
/// process group of its own, or, where programs are announced, in a session of its own, by which its
/// descendants are found.
#[expect(unsafe_code, reason = "what a child does before it executes its program")]
pub fn set_apart(command: &mut Command) {
    if PROGRAMS.get().is_none() {
        command.process_group(0);
        return;
    }
    let announce = || {
        nix::unistd::setsid()?;
        announce_program(std::process::id())
    };
    // SAFETY: workers are single-threaded, so the child may do anything.
    unsafe { command.pre_exec(announce) };
}
