//! Recover: undoes what an interrupted run left behind, as its undo log says, and nothing else.

use crate::store::{RunFolder, StoreError, has_ended};
use killpoint_engine::arena::empty_directory;
use killpoint_engine::identity::{self, Identity, Status};
use killpoint_engine::rollback;
use killpoint_engine::undo::{self, Fault, Made, tool_at_work};
use killpoint_engine::{descendants, guardian};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The variable in which a supervisor marks what it starts.
const MARK: &str = "KILLPOINT_SUPERVISOR";
/// The variable in which a run marks its workload and its checkers: the folder of the run.
pub const RUN_MARK: &str = "KILLPOINT_RUN";

/// What was found and done, in plain words, one sentence each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Whether the run's log has its end.
    pub ended: bool,
    /// What was undone.
    pub undone: Vec<String>,
    /// What was left as it is, and why.
    pub left: Vec<String>,
    /// What was tried, failed, and is not tried again.
    failed: Vec<String>,
}

/// Why nothing was undone.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The tool is at work.
    #[error("run {run} is still going on in process {pid}: nothing was touched; stop that first")]
    GoingOn {
        /// The run.
        run: String,
        /// The tool.
        pid: i32,
    },
    /// The run's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes down that this process works on a run, and by what mark it knows what it starts itself.
///
/// # Errors
/// If the undo log cannot be written.
pub fn announce_tool(folder: &RunFolder) -> Result<(), StoreError> {
    let mut variable = format!("{RUN_MARK}=").into_bytes();
    variable.extend(folder.path().as_os_str().as_bytes());
    announce(folder, Made::Marked { variable })
}

/// Writes down that this process works on a run, and that it works in the folder `scratch`, which is
/// made.
///
/// # Errors
/// If the undo log cannot be written, or the folder cannot be made.
pub fn announce_with_scratch(folder: &RunFolder) -> Result<(), StoreError> {
    announce(folder, Made::Scratch { name: "scratch".to_owned() })?;
    let scratch = folder.join("scratch");
    fs::create_dir_all(&scratch).map_err(|source| StoreError::Io {
        action: "make the directory",
        path: scratch,
        source,
    })
}

/// Writes down, before anything else is made, this process and what could outlive it.
fn announce(folder: &RunFolder, made: Made) -> Result<(), StoreError> {
    let path = folder.join(undo::FILE_NAME);
    let fail = |source| StoreError::Io { action: "write", path: path.clone(), source };
    let process = Identity::current().map_err(fail)?;
    for made in [Made::Tool { process, boot: identity::boot() }, made] {
        undo::append(folder.path(), &made).map_err(fail)?;
    }
    Ok(())
}

/// Undoes what stands in the undo log of a run. Doing it twice does nothing more.
///
/// # Errors
/// If the run is still going on, or its undo log cannot be read or written.
pub fn recover(folder: &RunFolder) -> Result<Recovered, RecoverError> {
    let path = folder.join(undo::FILE_NAME);
    let fail = |action| move |source| StoreError::Io { action, path: path.clone(), source };
    let records = undo::read(folder.path()).map_err(fail.clone()("read"))?;
    let mut recovered = Recovered { ended: has_ended(folder.path()), ..Recovered::default() };
    if records.is_empty() {
        return Ok(recovered);
    }
    let own = Identity::current().map_err(fail.clone()("look into /proc for"))?;
    if let Some(tool) = tool_at_work(&records).filter(|tool| *tool != own) {
        return Err(RecoverError::GoingOn { run: folder.id().to_owned(), pid: tool.pid });
    }
    let same_boot = records.iter().rev().find_map(|record| match record {
        Made::Tool { boot, .. } => Some(*boot == identity::boot()),
        _ => None,
    });
    if same_boot == Some(true) {
        // First those who would go on doing what is to be undone.
        for member in descendants::by_environment(&undo::marks(&records)) {
            end(member, "what the run started", &mut recovered);
        }
    }
    lift_faults(folder, &records, same_boot != Some(false), &mut recovered)
        .map_err(fail.clone()("write"))?;
    if same_boot == Some(true) {
        end_processes(folder, &records, &mut recovered);
    }
    for record in &records {
        if let Made::Supervisor { scratch } = record
            && !guardian::clear(scratch)
        {
            let left: Vec<String> = scratch.iter().map(|path| path.display().to_string()).collect();
            recovered.left.push(format!("a supervisor's {} cannot be removed", left.join(", ")));
        }
        if let Made::Scratch { name } = record {
            clear(&folder.join(name), &mut recovered);
        }
    }
    let is_undone = recovered.left.is_empty();
    recovered.left.append(&mut recovered.failed);
    if is_undone {
        undo::append(folder.path(), &Made::Undone).map_err(fail("write"))?;
    }
    Ok(recovered)
}

/// Undoes what there is to undo when a run is over. What cannot be undone now stays in the undo log for
/// `killpoint recover`.
pub(crate) fn clear_up(folder: &RunFolder) {
    let _ = recover(folder);
}

/// The process that works on a run, if one does.
pub fn at_work(folder: &RunFolder) -> Option<i32> {
    tool_at_work(&undo::read(folder.path()).ok()?).map(|tool| tool.pid)
}

/// Lets go on what is suspended and allows restarts again. Processes of an earlier run of the machine
/// are no more.
fn lift_faults(
    folder: &RunFolder,
    records: &[Made],
    is_same_boot: bool,
    recovered: &mut Recovered,
) -> io::Result<()> {
    for fault in undo::faults(records) {
        if matches!(fault, Fault::Suspended { .. }) && !is_same_boot {
            continue;
        }
        match fault.lift(folder.path()) {
            Ok(true) => recovered.undone.push(format!("lifted {fault}")),
            Ok(false) => {
                // A second time need not mean the same: what was tried is not tried again.
                if let Fault::Activities { .. } = fault {
                    undo::append(folder.path(), &Made::Lifted(fault.clone()))?;
                    let words = folder.join(rollback::OUTPUT_NAME);
                    recovered.failed.push(format!(
                        "{fault}: not all of them ended with exit status 0; see {}",
                        words.display()
                    ));
                }
            }
            Err(error) => recovered.left.push(format!("{fault} cannot be lifted: {error}")),
        }
    }
    Ok(())
}

/// Workers first, so that none starts another program; then programs and who is in their sessions.
fn end_processes(folder: &RunFolder, records: &[Made], recovered: &mut Recovered) {
    for record in records {
        if let Made::Worker { process } = record {
            end(*process, "a worker", recovered);
        }
    }
    end_supervised(records, recovered);
    let programs = records.iter().any(|record| matches!(record, Made::Program { .. }));
    let running = if programs { identity::all() } else { Vec::new() };
    for record in records {
        let Made::Program { process } = record else { continue };
        end(*process, "a program", recovered);
        let members = running.iter().filter(|it| it.session == process.pid && !it.ended);
        for member in members.filter(|it| it.identity != *process) {
            end_member(folder, member, recovered);
        }
    }
}

/// What a supervisor started, where its guardian died with it: the programs, and whoever has the
/// supervisor's mark, which names one supervisor and no other.
fn end_supervised(records: &[Made], recovered: &mut Recovered) {
    let mut marks: BTreeSet<Vec<u8>> = undo::marks(records).into_iter().collect();
    for record in records {
        if let Made::Supervised { process, mark } = record {
            end(*process, "a supervised process", recovered);
            marks.insert(format!("{MARK}={mark}").into_bytes());
        }
    }
    let marks: Vec<Vec<u8>> = marks.into_iter().collect();
    for member in descendants::by_environment(&marks) {
        end(member, "what the run started", recovered);
    }
}

/// The session's number may have been given to others since: only who was told the run's own
/// state directory was started by it.
fn end_member(folder: &RunFolder, member: &Status, recovered: &mut Recovered) {
    let identity = member.identity;
    let environment = fs::read(format!("/proc/{}/environ", identity.pid)).unwrap_or_default();
    let mark = format!("KILLPOINT_STATE={}/", folder.path().display()).into_bytes();
    if environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(&mark)) {
        end(identity, "a child of a program", recovered);
    }
}

fn end(process: Identity, what: &str, recovered: &mut Recovered) {
    match process.kill() {
        Ok(true) => recovered.undone.push(format!("ended {what} (process {})", process.pid)),
        Ok(false) => {}
        Err(error) => {
            recovered.left.push(format!("{what} (process {}) goes on: {error}", process.pid));
        }
    }
}

fn clear(path: &Path, recovered: &mut Recovered) {
    let filled = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    let cleared = if filled { empty_directory(path) } else { Ok(()) };
    match cleared {
        Ok(()) if filled => {
            recovered.undone.push(format!("removed copies of the state from {}", path.display()));
        }
        Ok(()) => {}
        Err(error) => {
            let text = format!("{} cannot be emptied ({error}): remove it", path.display());
            recovered.left.push(text);
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            recovered.left.push(format!("{} cannot be removed: {error}", path.display()));
        }
        _ => {}
    }
}

/// Runs below `out` that have no end and are not going on, oldest first, with whether what they left
/// behind was already undone. One without an event log is among them until it is.
pub fn interrupted_runs(out: &Path) -> Vec<(RunFolder, bool)> {
    let Ok(entries) = fs::read_dir(out.join("runs")) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| !has_ended(path))
        .collect();
    paths.sort_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok());
    let folders = paths.iter().filter_map(|path| RunFolder::open_to_undo(path).ok());
    let mut runs = Vec::new();
    for folder in folders {
        let records = undo::read(folder.path()).unwrap_or_default();
        let is_undone = records.is_empty();
        if tool_at_work(&records).is_none() && (folder.has_log() || !is_undone) {
            runs.push((folder, is_undone));
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use killpoint_engine::rollback::Rollback;

    #[test]
    fn a_rollback_that_failed_is_said_once_and_not_tried_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let folder = RunFolder::create(directory.path()).expect("a folder");
        let tool = Identity { pid: i32::MAX, start: 1 };
        let script = ["/bin/sh", "-c", "echo tried >> tried; exit 1"];
        let rollback = Rollback {
            name: "undo".to_owned(),
            through: Vec::new(),
            command: script.map(str::to_owned).to_vec(),
            environment: std::collections::BTreeMap::new(),
            directory: directory.path().to_owned(),
            timeout_ms: 60_000,
        };
        for made in [
            Made::Tool { process: tool, boot: identity::boot() },
            Made::Activities { rollbacks: vec![rollback] },
        ] {
            undo::append(folder.path(), &made).expect("written");
        }
        let first = recover(&folder).expect("nobody is at work");
        assert!(first.left[0].contains(rollback::OUTPUT_NAME), "{first:?}");
        let words = fs::read_to_string(folder.join(rollback::OUTPUT_NAME)).expect("written");
        assert!(words.contains("rollback undo: ended with exit status: 1"), "{words}");
        let second = recover(&folder).expect("nobody is at work");
        assert_eq!(second.left, Vec::<String>::new());
        let tried = fs::read_to_string(directory.path().join("tried")).expect("written");
        assert_eq!(tried, "tried\n");
    }
}
