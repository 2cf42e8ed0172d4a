//! This machine: launches targets and judges in arenas of their own.
//!
//! `trials` runs a target, `crew` several of them side by side; `judges` are workers that read crash
//! states, each on a `bench` of its own.

mod bench;
mod crew;
mod judges;
mod question;
mod trials;

pub use crew::Crew;
pub use judges::Judges;
pub use question::{Answer, LeftBy, Question, Subject};
pub use trials::{RunningTrial, Trial, TrialResult};

use super::home;
use crate::asserter::built_in::promises::Promises;
use crate::asserter::checker::{Checker, Reading, StreamChecker, Surroundings, read_once};
use crate::asserter::journal::Journal;
use crate::interrupt::{Interrupt, NOTICE_INTERVAL};
use crate::store::RunFolder;
use killpoint_engine::arena::{
    Arena, ArenaError, Channel, ChannelError, Containment, Plan, Received, Worker,
};
use killpoint_engine::image::Image;
use killpoint_engine::materialise::Materialised;
use killpoint_engine::record::{Mechanism, Root};
use killpoint_engine::spawn::Launch;
use killpoint_model::Roles;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Most bytes of a target's output that are kept.
const TARGET_OUTPUT_MAX: usize = 64 << 10;

/// Everything that workers need to know of a target; the same for every trial of a run.
#[derive(Clone, Debug)]
pub struct Local {
    /// The folder of the run.
    pub folder: RunFolder,
    /// How workers are cut off.
    pub containment: Containment,
    /// Size limit of a worker's scratch space in bytes.
    pub scratch_bytes: u64,
    /// Directories that are seen copy-on-write.
    pub views: Vec<PathBuf>,
    /// The program, its arguments (`{state}` stands for the first state directory), environment and
    /// working directory.
    pub launch: Launch,
    /// What drives it; none where it drives itself.
    pub driver: Option<Launch>,
    /// The steps of the workload, where it is a list of steps: the command reads them from a file
    /// (KILLPOINT_STEPS, and `{steps}` in its arguments).
    pub steps: Option<Vec<String>>,
    /// The state directories.
    pub roots: Vec<Root>,
    /// Which snapshot in the folder of the run the target starts from.
    pub snapshot: String,
    /// Who reads states.
    pub checker: Checker,
    /// The journal at the start of the workload: what was there, and intents.
    pub journal: Vec<u8>,
    /// Where in the journal the lines of this workload begin.
    pub intents_start: u64,
    /// What is appended to the journal when the command exits with status 0.
    pub acknowledgements: Vec<u8>,
    /// Whether a plain acknowledgement survives a loss of power, too.
    pub acks_survive_power_loss: bool,
    /// For one run of the target.
    pub target_timeout: Duration,
    /// For one state.
    pub checker_timeout: Duration,
    /// How long nothing may move until the driver is started, and until what a workload leaves is
    /// asked to end.
    pub quiet: Duration,
    /// How long that is given to end.
    pub stop: Duration,
    /// The roles of the target's processes.
    pub roles: Roles,
    /// By what means calls are intercepted.
    pub mechanism: Mechanism,
    /// Process ids of the target start above this one.
    pub process_ids_above: u32,
    /// The last process id that the recording, of which states are judged, has used: those of
    /// judges start above it. 0 before there is one.
    pub last_process_id: u32,
    /// The name of the machine that the target sees.
    pub host_name: OsString,
    /// The processor to record on, if it is to be one.
    pub pin: Option<usize>,
    /// Most threads of the target.
    pub threads_max: usize,
    /// A request to stop.
    pub interrupt: Interrupt,
}

/// Why a trial could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The worker could not be made or is gone.
    #[error(transparent)]
    Arena(#[from] ArenaError),
    /// Somebody asked for it.
    #[error("stopped")]
    Interrupted,
    /// The worker said what went wrong.
    #[error("{0}")]
    Worker(String),
}

/// Text of an error with its causes, for the way out of a worker.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl Local {
    fn plan(&self) -> Plan {
        Plan {
            containment: self.containment,
            run: self.folder.path().to_owned(),
            scratch: self.scratch(),
            scratch_bytes: self.scratch_bytes,
            views: self.views.clone(),
            process_ids_above: self.last_process_id,
            host_name: Some(self.host_name.clone()),
        }
    }

    /// Over which directory the scratch space is mounted: an empty one that no program needs, so
    /// that it cannot lie inside a state directory; else one in the folder of the run.
    fn scratch(&self) -> PathBuf {
        const MOSTLY_EMPTY: [&str; 6] =
            ["/mnt", "/media", "/srv", "/opt", "/usr/local/src", "/usr/src"];
        let is_empty = |directory: &&str| {
            fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
        };
        match MOSTLY_EMPTY.iter().find(|directory| is_empty(directory)) {
            Some(unused) if self.containment != Containment::Redirect => PathBuf::from(unused),
            _ => self.folder.join("scratch"),
        }
    }

    /// To be called wherever the harness waits.
    ///
    /// # Errors
    /// If somebody asked for the run to be stopped.
    pub fn check_interrupt(&self) -> Result<(), LocalError> {
        match self.interrupt.is_requested() {
            true => Err(LocalError::Interrupted),
            false => Ok(()),
        }
    }

    /// What a journal promises.
    pub(crate) fn promises(&self, journal: &Journal) -> Promises {
        Promises::of(journal, self.acks_survive_power_loss, self.intents_start)
    }

    fn read_here(
        &self,
        seen: &Surroundings,
        fresh: impl FnMut() -> io::Result<()>,
    ) -> io::Result<Reading> {
        match &self.checker {
            Checker::Command(command) => read_once(command, seen, fresh),
            Checker::Stream(command) => {
                let reading = StreamChecker::new(command).read(seen);
                killpoint_engine::spawn::end_all();
                Ok(reading)
            }
            Checker::BuiltIn => Ok(Reading::NotRun("there is no checker".to_owned())),
        }
    }

    /// Paths of the initial state, which nobody changes.
    fn snapshots(&self, arena: &Arena) -> Vec<PathBuf> {
        (0..self.roots.len())
            .map(|index| arena.in_run(&snapshot_name(&self.snapshot, index)))
            .collect()
    }

    /// Makes an image real in the scratch space and mounts it over the paths of the state. Returns
    /// the roots as the target sees them.
    fn mount_copy(&self, arena: &Arena, name: &str, image: &Image) -> Result<Vec<Root>, Problem> {
        let directories = self.make_directories(arena, name)?;
        Materialised::create(directories.clone(), image)?;
        let mut roots = Vec::new();
        for (index, (root, directory)) in self.roots.iter().zip(&directories).enumerate() {
            let path = self.seen_root(arena, name, index);
            if arena.keeps_paths() {
                self.make_mount_point(&path)?;
                arena.bind(directory, &path).map_err(|error| {
                    Problem(format!("cannot mount over {}: {error}", path.display()))
                })?;
            }
            roots.push(Root { path, prefix: root.prefix.clone() });
        }
        Ok(roots)
    }

    /// A state directory that is not here: made in a copy-on-write view, never in the real place.
    fn make_mount_point(&self, path: &Path) -> Result<(), Problem> {
        if path.is_dir() {
            return Ok(());
        }
        if !self.views.iter().any(|view| path.starts_with(view)) {
            let text = format!("{} does not exist here: make it, empty if need be", path.display());
            return Err(Problem(text));
        }
        Ok(fs::create_dir_all(path)?)
    }

    fn make_directories(&self, arena: &Arena, name: &str) -> Result<Vec<PathBuf>, Problem> {
        let mut directories = Vec::new();
        for index in 0..self.roots.len() {
            let directory = arena.in_scratch(&format!("{name}/{index}"));
            fs::create_dir_all(&directory)?;
            directories.push(directory);
        }
        Ok(directories)
    }

    /// A state directory as the target sees it.
    fn seen_root(&self, arena: &Arena, name: &str, index: usize) -> PathBuf {
        match arena.keeps_paths() {
            true => self.roots[index].path.clone(),
            false => arena.shown(&format!("{name}/{index}")),
        }
    }

    fn surroundings(&self, arena: &Arena) -> io::Result<Surroundings> {
        let state = match self.roots.is_empty() {
            true => arena.shown(""),
            false => self.seen_root(arena, "live", 0),
        };
        let environment = match arena.keeps_paths() {
            true => self.launch.environment.clone(),
            false => {
                let copy = |(index, root): (usize, &Root)| {
                    (root.path.clone(), arena.shown(&format!("live/{index}")))
                };
                let copies: Vec<(PathBuf, PathBuf)> =
                    self.roots.iter().enumerate().map(copy).collect();
                home::redirected(&self.launch.environment, &copies, &arena.shown("home"))?
            }
        };
        Ok(Surroundings {
            state,
            journal: arena.shown("journal"),
            directory: self.launch.directory.clone(),
            environment,
            timeout: self.checker_timeout,
        })
    }

    fn resolved_launch(&self, seen: &Surroundings) -> Launch {
        let mut launch = self.resolved(&self.launch, seen);
        let steps = steps_beside(&seen.journal);
        for argument in &mut launch.arguments {
            *argument = replace(argument, b"{state}", &seen.state);
            if self.steps.is_some() {
                *argument = replace(argument, b"{steps}", &steps);
            }
        }
        launch
    }

    /// Writes the steps where the command finds them.
    fn write_steps(&self, arena: &Arena) -> io::Result<()> {
        let Some(steps) = &self.steps else { return Ok(()) };
        let text: String = steps.iter().map(|step| format!("{step}\n")).collect();
        fs::write(steps_beside(&arena.in_scratch("journal")), text)
    }

    /// A program that is told where its state, its journal and its steps are.
    fn resolved(&self, launch: &Launch, seen: &Surroundings) -> Launch {
        let mut launch = launch.clone();
        launch.environment.clone_from(&seen.environment);
        launch.environment.push(("KILLPOINT_STATE".into(), seen.state.clone().into()));
        launch.environment.push(("KILLPOINT_JOURNAL".into(), seen.journal.clone().into()));
        if self.steps.is_some() {
            launch.environment.retain(|(name, _)| name != "KILLPOINT_STEPS");
            let steps = steps_beside(&seen.journal);
            launch.environment.push(("KILLPOINT_STEPS".into(), steps.into()));
        }
        launch
    }
}

/// Where the steps are, beside the journal.
fn steps_beside(journal: &Path) -> PathBuf {
    journal.with_file_name("steps")
}

/// The name of the snapshot that every run has.
pub const INITIAL: &str = "initial";
/// Waits for a message of a worker, and notices a request to stop.
fn receive<T: serde::de::DeserializeOwned>(
    worker: &mut Worker,
    limit: Duration,
    interrupt: &Interrupt,
) -> Result<T, LocalError> {
    let deadline = Instant::now() + limit;
    loop {
        if interrupt.is_requested() {
            return Err(LocalError::Interrupted);
        }
        let rest = deadline.saturating_duration_since(Instant::now());
        let slice = rest.min(NOTICE_INTERVAL);
        match worker.channel().receive(Some(slice)).map_err(ArenaError::from)? {
            Received::Message(message) => return Ok(message),
            Received::Nothing(_) if rest.is_zero() => {
                return Err(ArenaError::from(ChannelError::TimedOut(limit)).into());
            }
            Received::Nothing(_) => {}
        }
    }
}

/// Where the copy of a state directory lies in the folder of the run.
pub fn snapshot_name(snapshot: &str, index: usize) -> String {
    format!("snapshots/{snapshot}/{index}")
}

/// Replaces a pattern in an argument by a path.
fn replace(argument: &OsString, pattern: &[u8], path: &Path) -> OsString {
    let bytes = argument.as_bytes();
    let mut result = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(pattern.len()).position(|window| window == pattern) {
        result.extend_from_slice(&rest[..at]);
        result.extend_from_slice(path.as_os_str().as_bytes());
        rest = &rest[at + pattern.len()..];
    }
    result.extend_from_slice(rest);
    OsString::from_vec(result)
}

/// Which of several workers has something to say; none if nobody has for a moment.
fn ready(channels: &[&Channel], interrupt: &Interrupt) -> Result<Option<usize>, LocalError> {
    if interrupt.is_requested() {
        return Err(LocalError::Interrupted);
    }
    let mut polled: Vec<PollFd<'_>> = channels
        .iter()
        .map(|channel| PollFd::from_borrowed_fd(channel.as_fd(), PollFlags::IN))
        .collect();
    let moment = Timespec { tv_sec: 0, tv_nsec: i64::from(NOTICE_INTERVAL.subsec_nanos()) };
    match poll(&mut polled, Some(&moment)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(None),
        Ok(_) => Ok(polled.iter().position(|fd| !fd.revents().is_empty())),
        Err(error) => Err(LocalError::Worker(format!("cannot wait for a worker: {error}"))),
    }
}

/// A problem inside a worker, as text.
#[derive(Debug)]
struct Problem(String);

impl<E: std::error::Error + 'static> From<E> for Problem {
    fn from(error: E) -> Self {
        Problem(chain(&error))
    }
}
