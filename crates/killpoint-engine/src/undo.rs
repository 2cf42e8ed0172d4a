//! The undo log, `undo.jsonl` in the folder of a run: what was made that could outlive the tool.
//!
//! One record a line, written before the thing is made. Records of files are synced; those of
//! processes need not be, since what loses an unsynced record (a power cut) ends the process, too.
//! With namespaces of their own the kernel ends workers with the tool, so only the tool itself and
//! the scratch directory stand here; without them, every worker and every program does.

use crate::identity::{self, Identity};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
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
    /// Not made but undone: everything above.
    Undone,
}

/// Appends a record.
///
/// # Errors
/// If it cannot be written, or synced where that is asked for.
pub fn append(run: &Path, made: &Made) -> io::Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(run.join(FILE_NAME))?;
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
    let text = match fs::read_to_string(run.join(FILE_NAME)) {
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
    let file = OpenOptions::new().create(true).append(true).open(run.join(FILE_NAME))?;
    write(&file, &Made::Worker { process: Identity::current()? })?;
    let _ = PROGRAMS.set(file);
    Ok(())
}

/// Announces a program that is about to be executed by, or was just started as, this process.
///
/// # Errors
/// If the log cannot be written.
pub fn announce_program(pid: u32) -> io::Result<()> {
    let Some(file) = PROGRAMS.get() else { return Ok(()) };
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    write(file, &Made::Program { process: identity::status(pid)?.identity })
}
