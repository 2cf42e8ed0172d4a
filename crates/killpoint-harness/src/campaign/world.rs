//! One trial's world: copies of the state, a journal, the supervision with its places filled in, what
//! the target printed, and the command that drives it.

use super::judging::Marks;
use super::options::Options;
use super::prepare;
use super::problem::{CampaignError, fail};
use crate::injector::Surroundings;
use crate::own_paths::{self, OwnPaths};
use crate::recover::RUN_MARK;
use crate::store::RunFolder;
use killpoint_engine::own_mounts::Bind;
use killpoint_engine::sparse;
use killpoint_model::Scenario;
use killpoint_model::supervision::Supervision;
use rustix::process::{WaitId, WaitIdOptions};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};

/// Most files and directories of a state.
const ENTRIES_MAX: usize = 1_000_000;
/// Most bytes of a command's output that are read.
const OUTPUT_BYTES_MAX: u64 = 16 << 20;

/// Where a trial takes place.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// The folder of the run.
    pub(super) run: PathBuf,
    /// Its folder.
    pub(super) folder: PathBuf,
    /// The copies of the state directories.
    pub(super) states: Vec<PathBuf>,
    /// Where programs see them.
    pub(super) own_paths: OwnPaths,
    /// The ack journal.
    pub(super) journal: PathBuf,
    /// Where the target, its workload and its checkers work.
    pub(super) directory: PathBuf,
}

impl World {
    /// Makes one in this folder of the run, from the snapshot of the state that the run began with.
    pub(super) fn make(
        scenario: &Scenario,
        options: &Options,
        mounts: bool,
        run: &RunFolder,
        name: &str,
    ) -> Result<Self, CampaignError> {
        let folder = run.join(name);
        // What an interrupted try left behind must not stand in the way of the next one.
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(fail("empty the folder", &folder)(error));
            }
            _ => {}
        }
        let make = |path: &Path| fs::create_dir_all(path).map_err(fail("make the directory", path));
        make(&folder)?;
        make(&folder.join("output"))?;
        let (mut states, mut binds) = (Vec::new(), Vec::new());
        for (index, own) in prepare::own_states(scenario, options).into_iter().enumerate() {
            let (from, to) = (snapshot(run, index), folder.join(format!("state-{}", index + 1)));
            copy(&from, &to).map_err(fail("copy the state", &from))?;
            if mounts {
                binds.push(Bind { copy: to.clone(), own });
            }
            states.push(to);
        }
        if states.is_empty() {
            let state = folder.join("state-1");
            make(&state)?;
            states.push(state);
        }
        let journal = folder.join("journal");
        File::create(&journal).map_err(fail("make the journal", &journal))?;
        let directory = match &scenario.target.directory {
            Some(directory) => options.directory.join(directory),
            None => options.directory.clone(),
        };
        let own_paths = OwnPaths::new(&options.supervisor, binds);
        Ok(World { run: run.path().to_owned(), folder, states, own_paths, journal, directory })
    }

    /// The supervision with the places of this trial filled in.
    pub(super) fn supervision(&self, scenario: &Scenario) -> Supervision {
        let mut supervision = scenario.target.supervision(scenario.seed);
        for process in supervision.processes.values_mut() {
            process.fill_in(|text| self.fill(text));
            let directory = process
                .directory
                .take()
                .map_or_else(|| self.directory.clone(), |directory| self.directory.join(directory));
            process.directory = Some(directory.display().to_string());
            for (name, value) in self.variables() {
                process.environment.insert(name.to_owned(), value.display().to_string());
            }
        }
        supervision
    }

    /// Where programs see the state directories.
    pub(super) fn shown(&self) -> Vec<PathBuf> {
        self.states.iter().map(|state| self.own_paths.shown(state)).collect()
    }

    /// Where a file of the state really is.
    pub(super) fn place(&self, path: &str) -> PathBuf {
        self.own_paths.real(&self.shown()[0].join(self.fill(path)))
    }

    pub(super) fn variables(&self) -> [(&'static str, PathBuf); 2] {
        let state = self.own_paths.shown(&self.states[0]);
        [("KILLPOINT_STATE", state), ("KILLPOINT_JOURNAL", self.journal.clone())]
    }

    /// A text with `{state}`, `{state:2}`, ... filled in.
    pub(super) fn fill(&self, text: &str) -> String {
        own_paths::fill(text, &self.shown())
    }

    /// What the scenario's commands see.
    pub(super) fn surroundings(&self) -> Surroundings {
        let run = (RUN_MARK, self.run.clone());
        Surroundings {
            own_paths: self.own_paths.clone(),
            directory: Some(self.directory.clone()),
            variables: self.variables().into_iter().chain([run]).collect(),
        }
    }

    /// Starts a command in a process group of its own, its output in files of this name.
    pub(super) fn start(&self, command: &[String], name: &str) -> io::Result<Running> {
        let file = |kind: &str| File::create(self.folder.join(format!("{name}.{kind}")));
        let filled: Vec<String> = command.iter().map(|word| self.fill(word)).collect();
        let (program, arguments) = filled.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = self.surroundings().command(program);
        command
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file("stdout")?)
            .stderr(file("stderr")?);
        Ok(Running { child: command.spawn()? })
    }

    /// The lengths of the output files now.
    pub(super) fn output_lengths(&self) -> BTreeMap<PathBuf, u64> {
        let files = self.output_files(None).into_iter();
        files.filter_map(|path| Some((path.clone(), fs::metadata(&path).ok()?.len()))).collect()
    }

    /// The lines that a process, or all of them, printed since these marks.
    pub(super) fn lines(&self, process: Option<&str>, since: &Marks) -> Vec<String> {
        let mut lines = Vec::new();
        for path in self.output_files(process) {
            let Ok(mut file) = File::open(&path) else { continue };
            let start = since.output.get(&path).copied().unwrap_or(0);
            let mut bytes = Vec::new();
            let read = file
                .seek(SeekFrom::Start(start))
                .and_then(|_| file.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes));
            if read.is_ok() {
                lines.extend(String::from_utf8_lossy(&bytes).lines().map(str::to_owned));
            }
        }
        lines
    }

    /// The output files of a process, or of all; the supervisor names them NAME.LIFE.STREAM.
    fn output_files(&self, process: Option<&str>) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.join("output")).into_iter().flatten();
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                process.is_none_or(|process| name.split('.').next() == Some(process))
            })
            .collect();
        files.sort();
        files
    }
}

/// A command at work; what is left of its process group is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
}

impl Running {
    /// Whether it has ended. It is not reaped, so that its number stays that of its group.
    pub(super) fn has_ended(&self) -> io::Result<bool> {
        let pid = rustix::process::Pid::from_child(&self.child);
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(rustix::process::waitid(WaitId::Pid(pid), options)?.is_some())
    }

    /// Why it cannot be said to have done its work; none while it goes on, and where it succeeded.
    pub(super) fn failure(&self) -> Option<String> {
        let pid = rustix::process::Pid::from_child(&self.child);
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = rustix::process::waitid(WaitId::Pid(pid), options).ok()??;
        match (ended.exit_status(), ended.terminating_signal()) {
            (Some(0), _) => None,
            (Some(status), _) => Some(format!("ended with exit status: {status}")),
            (_, signal) => Some(format!("ended with signal: {}", signal.unwrap_or_default())),
        }
    }

    /// Kills what is left of its group; how it ended.
    pub(super) fn finish(&mut self) -> io::Result<ExitStatus> {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Once it was waited for, its number may be that of somebody else.
        if self.has_ended().is_ok() {
            let _ = self.finish();
        }
    }
}

/// Where the state directory of this index is kept as the run found it.
pub(super) fn snapshot(run: &RunFolder, index: usize) -> PathBuf {
    run.join(&format!("snapshots/state-{}", index + 1))
}

/// Keeps the state directories as they are now, or as an earlier run found them. What is not there is
/// empty.
pub(super) fn take_snapshots(
    scenario: &Scenario,
    directory: &Path,
    earlier: Option<&RunFolder>,
    run: &RunFolder,
) -> Result<(), CampaignError> {
    for (index, state) in scenario.target.state.iter().enumerate() {
        let from = earlier.map_or_else(|| directory.join(state), |it| snapshot(it, index));
        let to = snapshot(run, index);
        let taken = if from.is_dir() { copy(&from, &to) } else { fs::create_dir_all(&to) };
        taken.map_err(fail("copy the state", &from))?;
    }
    Ok(())
}

/// Copies a directory: directories, files with their modes, symbolic links; with their owners, where we
/// may give files away. Sockets and pipes are left out: nobody is at their other end.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut open = vec![(from.to_owned(), to.to_owned())];
    let mut entries = 0;
    while let Some((from, to)) = open.pop() {
        fs::create_dir_all(&to)?;
        let metadata = fs::metadata(&from)?;
        keep_owner(&metadata, &to)?;
        fs::set_permissions(&to, metadata.permissions())?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            entries += 1;
            if entries > ENTRIES_MAX {
                return Err(io::Error::other(format!("it has more than {ENTRIES_MAX} entries")));
            }
            let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
            if kind.is_dir() {
                open.push((entry.path(), to));
            } else if kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(entry.path())?, &to)?;
                keep_owner(&entry.metadata()?, &to)?;
            } else if kind.is_file() {
                sparse::copy(&entry.path(), &to)?;
                keep_owner(&entry.metadata()?, &to)?;
                fs::set_permissions(&to, entry.metadata()?.permissions())?;
            }
        }
    }
    Ok(())
}

/// A server that root starts as another user must be able to read the copy of its state. Only root can
/// give files away.
fn keep_owner(metadata: &fs::Metadata, to: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    // Before the mode is set: to give a file away takes its set-user-ID bit.
    std::os::unix::fs::lchown(to, Some(metadata.uid()), Some(metadata.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_copy_has_the_modes_of_the_original_and_its_owners_where_root_makes_it() {
        let world = tempfile::tempdir().expect("a directory");
        let (from, to) = (world.path().join("from"), world.path().join("to"));
        fs::create_dir(&from).expect("made");
        fs::write(from.join("data"), "x").expect("written");
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        mode(&from.join("data"), 0o600).expect("ours");
        mode(&from, 0o700).expect("ours");
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            for path in [from.join("data"), from.clone()] {
                std::os::unix::fs::lchown(path, Some(4_711), Some(4_712)).expect("we are root");
            }
        }
        copy(&from, &to).expect("copied");
        for (path, mode) in [(to.join("data"), 0o600), (to.clone(), 0o700)] {
            let metadata = fs::metadata(&path).expect("it is there");
            assert_eq!(metadata.mode() & 0o7777, mode, "{}", path.display());
            let owner = fs::metadata(&from).expect("it is there").uid();
            assert_eq!(metadata.uid(), owner, "{}", path.display());
            assert!(!is_root || metadata.gid() == 4_712, "{}", path.display());
        }
    }
}
