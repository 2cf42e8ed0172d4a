//! This machine: launches targets and judges in arenas of their own.

use super::home;
use super::opened::Opened;
use crate::asserter::built_in::BuiltIn;
use crate::asserter::checker::{Checker, Reading, StreamChecker, Surroundings, read_once};
use crate::interrupt::{Interrupt, NOTICE_INTERVAL};
use crate::store::RunFolder;
use killpoint_engine::arena::{
    self, Arena, ArenaError, Channel, ChannelError, Containment, Plan, Received, Worker,
    process_ids,
};
use killpoint_engine::compare::{self, Difference};
use killpoint_engine::image::{Image, Inode};
use killpoint_engine::materialise::Materialised;
use killpoint_engine::record::discover::{Discovered, discover};
use killpoint_engine::record::{Mechanism, Output, Request, Root, StrikeAt, record};
use killpoint_engine::recording::{Ending, Exit};
use killpoint_engine::spawn::{self, Drain, Launch, null};
use killpoint_engine::states::{Models, StateName, Walk};
use killpoint_model::{FileKind, Profile, Reason, Roles, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
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

/// What one run of the target is for.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Name of the recording's files.
    pub name: String,
    /// Names that every recording before gave birth to.
    pub stable: Option<BTreeSet<String>>,
    /// Where to strike.
    pub strike: Option<StrikeAt>,
    /// Whether to read the state before the workload.
    pub read_before: bool,
    /// Whether to read the state afterwards.
    pub read_after: bool,
    /// Whether a [`JudgeWorker`] reads what was left, so that no stream checker is started for it.
    pub has_reader: bool,
    /// Whether to copy what was left into the snapshot of the trial's name where the recording does
    /// not say it and no checker reads it here.
    pub keep_left: bool,
}

/// What one run of the target gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrialResult {
    /// The recording's last record.
    pub ending: Ending,
    /// How many operations were carried out.
    pub operations: u64,
    /// How long the target ran.
    pub elapsed: Duration,
    /// Where the state that the log says differs from the real one.
    pub differences: Vec<Difference>,
    /// The reading before the workload.
    pub before: Option<Reading>,
    /// The reading afterwards.
    pub after: Option<Reading>,
    /// Of what the command changed through links out of the state, what the reading afterwards opened;
    /// all of it where there was no such reading.
    pub links_read: Vec<String>,
    /// The end of what the target printed.
    pub output: String,
    /// Remarks of the arena.
    pub notes: Vec<String>,
    /// How long the slower of the readings took.
    pub reading: Duration,
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

    /// Runs the target once.
    ///
    /// # Errors
    /// If the worker fails; what the target does is no error.
    pub fn run(&self, trial: &Trial) -> Result<TrialResult, LocalError> {
        let body = |arena: &mut Arena, channel: &mut Channel| {
            let result = self.run_inside(arena, channel, trial).map_err(|text| text.0);
            let _ = channel.send(&result);
        };
        let mut worker = arena::start(&self.plan(), body)?;
        // The worker bounds itself; this bound only meets a worker that is stuck.
        let limit =
            self.target_timeout + self.stop + 4 * self.checker_timeout + Duration::from_secs(60);
        let result: Result<TrialResult, String> = receive(&mut worker, limit, &self.interrupt)?;
        result.map_err(LocalError::Worker)
    }

    /// Runs the target once to see where it writes.
    ///
    /// # Errors
    /// If the worker fails.
    pub fn discover(&self) -> Result<Discovered, LocalError> {
        let body = |arena: &mut Arena, channel: &mut Channel| {
            let result = self.discover_inside(arena, channel).map_err(|text| text.0);
            let _ = channel.send(&result);
        };
        let mut worker = arena::start(&self.plan(), body)?;
        let limit = self.target_timeout + Duration::from_secs(60);
        let result: Result<Discovered, String> = receive(&mut worker, limit, &self.interrupt)?;
        result.map_err(LocalError::Worker)
    }

    fn discover_inside(
        &self,
        arena: &mut Arena,
        channel: &mut Channel,
    ) -> Result<Discovered, Problem> {
        fs::write(arena.in_scratch("journal"), b"")?;
        self.write_steps(arena)?;
        let seen = self.surroundings(arena)?;
        let (mut drain, output) = Drain::pipe(TARGET_OUTPUT_MAX)?;
        let error = output.try_clone()?;
        let mut launch = self.resolved_launch(&seen);
        launch.environment.retain(|(name, _)| name != "KILLPOINT_STATE");
        let discovered = discover(
            &launch,
            Output { input: null()?, output, error },
            self.mechanism,
            arena.keeps_paths(),
            self.target_timeout,
            self.quiet,
            self.stop,
            || {
                let _ = drain.drain();
                channel.is_closed()
            },
        )?;
        Ok(Discovered {
            written: discovered
                .written
                .into_iter()
                .filter(|path| !path.starts_with(arena.shown("")))
                .collect(),
            exit: discovered.exit,
        })
    }

    fn run_inside(
        &self,
        arena: &mut Arena,
        channel: &mut Channel,
        trial: &Trial,
    ) -> Result<TrialResult, Problem> {
        let snapshot = self.snapshots(arena);
        let initial = Image::scan(&snapshot)?;
        let since = Instant::now();
        let before = match trial.read_before && self.checker != Checker::BuiltIn {
            true => Some(self.read_before(arena, &initial)?),
            false => None,
        };
        let reading_before = since.elapsed();
        let roots = self.mount_copy(arena, "live", &initial)?;
        let journal = arena.in_scratch("journal");
        fs::write(&journal, &self.journal)?;
        self.write_steps(arena)?;
        let seen = self.surroundings(arena)?;
        let (mut drain, output) = Drain::pipe(TARGET_OUTPUT_MAX)?;
        let error = output.try_clone()?;
        let mut contained = arena.contained();
        if !contained.is_empty() {
            contained.extend(roots.iter().map(|root| root.path.clone()));
        }
        let request = Request {
            contained,
            launch: self.resolved_launch(&seen),
            driver: self.driver.as_ref().map(|driver| self.resolved(driver, &seen)),
            roots,
            snapshot,
            journal: journal.clone(),
            acknowledgements: self.acknowledgements.clone(),
            recording: arena.in_run(&format!("recordings/{}.rec", trial.name)),
            stable: trial.stable.clone(),
            strike: trial.strike.clone(),
            roles: self.roles.clone(),
            mechanism: self.mechanism,
            pin: self.pin,
            keep_privileges: arena.keeps_paths(),
            timeout: self.target_timeout,
            quiet: self.quiet,
            stop: self.stop,
            threads_max: self.threads_max,
        };
        // Arenas in which this fails have said so.
        let _ = process_ids::start_above(self.process_ids_above);
        let since = Instant::now();
        let recorded = record(&request, Output { input: null()?, output, error }, || {
            let _ = drain.drain();
            channel.is_closed()
        })?;
        let elapsed = since.elapsed();
        drain.drain()?;
        fs::copy(&journal, arena.in_run(&format!("recordings/{}.journal", trial.name)))?;
        let paths: Vec<PathBuf> = request.roots.iter().map(|root| root.path.clone()).collect();
        let differences = compare::with_reality(&recorded.image.without_nameless(), &paths)?;
        if trial.keep_left && !differences.is_empty() && self.checker == Checker::BuiltIn {
            self.copy_left(arena, &trial.name, &paths)?;
        }
        let linked: Vec<String> =
            recorded.ending.linked.iter().map(|(_, path)| path.clone()).collect();
        let opened = Opened::watch(&linked)?;
        let since = Instant::now();
        // What stores into mappings have left is not in the recording: only here can it be read.
        let elsewhere = trial.has_reader && differences.is_empty();
        let after = match &self.checker {
            Checker::Stream(_) if elsewhere => None,
            // A second try would see what the first left: no fresh copy is kept of a live state.
            Checker::Command(_) | Checker::Stream(_) if trial.read_after => {
                Some(self.read_here(&seen, || Ok(()))?)
            }
            _ => None,
        };
        let links_read = match after {
            Some(_) => opened.seen()?,
            None => linked,
        };
        Ok(TrialResult {
            links_read,
            ending: recorded.ending,
            operations: recorded.operations,
            elapsed,
            differences,
            before,
            after,
            output: String::from_utf8_lossy(drain.kept()).into_owned(),
            notes: arena.notes().to_vec(),
            reading: since.elapsed().max(reading_before),
        })
    }

    /// Copies what is in the directories of the state now into the folder of the run.
    fn copy_left(&self, arena: &Arena, name: &str, paths: &[PathBuf]) -> Result<(), Problem> {
        let mut copies = Vec::new();
        for index in 0..paths.len() {
            let copy = arena.in_run(&snapshot_name(name, index));
            if copy.exists() {
                fs::remove_dir_all(&copy)?;
            }
            fs::create_dir_all(&copy)?;
            copies.push(copy);
        }
        Materialised::create(copies, &Image::scan(paths)?)?;
        Ok(())
    }

    fn read_before(&self, arena: &mut Arena, initial: &Image) -> Result<Reading, Problem> {
        // Without namespaces the checker is told where the copy is, which is always the same place.
        let name = if arena.keeps_paths() { "before" } else { "live" };
        let mounted = self.mount_copy(arena, name, initial)?;
        fs::write(arena.in_scratch("journal"), &self.journal)?;
        let seen = self.surroundings(arena)?;
        let reading = self.read_here(&seen, || Ok(()))?;
        if arena.keeps_paths() {
            for root in mounted.iter().rev() {
                arena.unmount(&root.path)?;
            }
        }
        fs::remove_dir_all(arena.in_scratch(name))?;
        Ok(reading)
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

/// A problem inside a worker, as text.
#[derive(Debug)]
struct Problem(String);

impl<E: std::error::Error + 'static> From<E> for Problem {
    fn from(error: E) -> Self {
        Problem(chain(&error))
    }
}

/// A state to be judged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Question {
    /// Which.
    pub state: StateName,
    /// Length of the journal at the crash.
    pub journal_length: u64,
    /// Whether to read the recovered store a second time.
    pub again: bool,
    /// Whether to run the target again on the state, and read it then.
    pub rerun: bool,
    /// A live kill at the state: what that has left is read in place of the state.
    pub left_by: Option<LeftBy>,
}

/// A live kill that has left something to read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeftBy {
    /// The name of its recording.
    pub recording: String,
    /// Whether its operations came in another order than those of the recording that judges.
    pub other_order: bool,
    /// Whether its recording does not say what it left, which is a snapshot of that name instead.
    pub unseen: bool,
}

/// What reading a state gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The reading.
    pub reading: Reading,
    /// The reading of the recovered store.
    pub again: Option<Reading>,
    /// The reading after the target was run again.
    pub rerun: Option<Reading>,
    /// Files that the built-in oracle takes for left over, some of them.
    pub litter: Vec<String>,
    /// Whether an equal image reads alike, whatever the journal says: the checker did not look at it.
    pub is_of_image: bool,
}

/// A worker that builds states of a recording and reads them. It goes over the recording once if
/// questions come in ascending order of their points.
#[derive(Debug)]
pub struct JudgeWorker {
    worker: Worker,
    interrupt: Interrupt,
}

impl JudgeWorker {
    /// Sends a question.
    ///
    /// # Errors
    /// If the worker is gone.
    pub fn ask(&mut self, question: &Question) -> Result<(), LocalError> {
        Ok(self.worker.channel().send(question).map_err(ArenaError::from)?)
    }

    /// The answer, if it comes within the limit.
    ///
    /// # Errors
    /// If the worker is gone or failed.
    pub fn answer(&mut self, limit: Duration) -> Result<Answer, LocalError> {
        let answer: Result<Answer, String> = receive(&mut self.worker, limit, &self.interrupt)?;
        answer.map_err(LocalError::Worker)
    }

    /// To wait for several workers at once.
    pub fn channel(&self) -> &Channel {
        self.worker.channel_ref()
    }
}

impl Local {
    /// Starts a worker that judges states of a recording.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn judge_worker(
        &self,
        recording: &str,
        models: &Models,
    ) -> Result<JudgeWorker, LocalError> {
        let body = |arena: &mut Arena, channel: &mut Channel| {
            if let Err(Problem(text)) = self.judge_inside(arena, channel, recording, models) {
                let _ = channel.send(&Err::<Answer, String>(text));
            }
        };
        let worker = arena::start(&self.plan(), body)?;
        Ok(JudgeWorker { worker, interrupt: self.interrupt.clone() })
    }

    fn judge_inside(
        &self,
        arena: &mut Arena,
        channel: &mut Channel,
        recording: &str,
        models: &Models,
    ) -> Result<(), Problem> {
        let initial = Image::scan(&self.snapshots(arena))?;
        let path = arena.in_run(&format!("recordings/{recording}.rec"));
        let journal = fs::read(arena.in_run(&format!("recordings/{recording}.journal")))?;
        let mut walk = Walk::start(&path, initial.clone(), models.clone())?;
        let mut bench = Bench::new(self, arena, &initial, journal)?;
        if self.checker == Checker::BuiltIn {
            let built_in = BuiltIn::learn(&path, &initial, &mut |image| bench.place(arena, image))?;
            bench.take_off_if_laid(arena)?;
            bench.built_in = Some(built_in);
        }
        while let Ok(received) = channel.receive::<Question>(None) {
            let Ok(question) = received.expect_message() else { break };
            let answer = if let Some(left_by) = &question.left_by {
                bench.read_left(arena, &initial, left_by, &question)?
            } else {
                if question.state.point < walk.point() {
                    walk = Walk::start(&path, initial.clone(), models.clone())?;
                }
                walk.step_to(question.state.point)?;
                let image = walk.build(&question.state);
                bench.read(arena, &image, &question)?
            };
            channel.send(&Ok::<Answer, String>(answer))?;
        }
        Ok(())
    }
}

/// Where states are made real and read, one after another.
struct Bench<'a> {
    local: &'a Local,
    cursor: Materialised,
    directories: Vec<PathBuf>,
    layers: Vec<PathBuf>,
    journal: Vec<u8>,
    /// How much of it the file has; more than there is if that is another one.
    journal_written: u64,
    stream: Option<StreamChecker>,
    built_in: Option<BuiltIn>,
    overlays: bool,
    /// Whether a state is shown over its paths now.
    laid: bool,
    /// Where small images are copied; mounted over the paths of the state from the first on.
    copies: Vec<PathBuf>,
    /// Whether a checker looked at the journal, so that what it prints may depend on it.
    journal_may_matter: bool,
    /// Above this process id nobody in the state has one.
    last_process_id: u32,
}

/// Whether an image is sooner copied than mounted, and anybody may remove the copy.
fn is_small(image: &Image) -> bool {
    const BYTES_MAX: u64 = 1 << 20;
    const FILES_MAX: usize = 32;
    let bytes: u64 = image.inodes().map(|(_, inode)| inode.content.size()).sum();
    let is_open = |inode: &Inode| {
        !matches!(inode.kind, FileKind::Directory) || inode.attributes.mode & 0o700 == 0o700
    };
    bytes <= BYTES_MAX
        && image.inodes().count() <= FILES_MAX
        && image.inodes().all(|(_, inode)| is_open(inode))
}

/// Sets a file's time of access back, so that [`was_accessed`] can tell.
fn never_accessed(path: &Path) -> io::Result<()> {
    let times = fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH);
    fs::File::options().write(true).open(path)?.set_times(times)
}

/// Whether a file was read or mapped since.
fn was_accessed(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.accessed()? != std::time::UNIX_EPOCH)
}

/// Whether the file system of a file keeps times of access at all.
fn keeps_access_times(path: &Path) -> io::Result<bool> {
    fs::write(path, b"?")?;
    never_accessed(path)?;
    fs::read(path)?;
    was_accessed(path)
}

impl<'a> Bench<'a> {
    fn new(
        local: &'a Local,
        arena: &Arena,
        initial: &Image,
        journal: Vec<u8>,
    ) -> Result<Self, Problem> {
        let directories = local.make_directories(arena, "cursor")?;
        let layers = local.make_directories(arena, "layer")?;
        let cursor = Materialised::create(directories.clone(), initial)?;
        let stream = match &local.checker {
            Checker::Stream(command) => Some(StreamChecker::new(command)),
            _ => None,
        };
        let journal_may_matter = !keeps_access_times(&arena.in_scratch("journal")).unwrap_or(false);
        fs::write(arena.in_scratch("journal"), b"")?;
        local.write_steps(arena)?;
        Ok(Bench {
            local,
            cursor,
            directories,
            layers,
            journal,
            journal_written: 0,
            stream,
            built_in: None,
            overlays: arena.keeps_paths(),
            laid: false,
            copies: Vec::new(),
            journal_may_matter,
            last_process_id: local.last_process_id,
        })
    }

    fn read(
        &mut self,
        arena: &mut Arena,
        image: &Image,
        question: &Question,
    ) -> Result<Answer, Problem> {
        if let Some(built_in) = self.built_in.take() {
            let beyond = !question.left_by.as_ref().is_some_and(|left_by| left_by.unseen);
            let (judgement, litter) =
                built_in.judge(image, &question.state, beyond, &mut || self.place(arena, image));
            self.built_in = Some(built_in);
            self.take_off_if_laid(arena)?;
            return Ok(Answer {
                reading: Reading::Judged(judgement),
                again: None,
                rerun: None,
                litter,
                is_of_image: false,
            });
        }
        self.cursor.change_to(image)?;
        self.write_journal(arena, question.journal_length)?;
        if !self.journal_may_matter {
            never_accessed(&arena.in_scratch("journal"))?;
        }
        self.lay_over(arena)?;
        // Anew for each state, so that the ids never run out and begin again from the lowest.
        let _ = process_ids::start_above(self.last_process_id);
        let seen = self.local.surroundings(arena)?;
        let reading = match &mut self.stream {
            Some(stream) => stream.read(&seen),
            None => {
                let command = match &self.local.checker {
                    Checker::Command(command) => command.clone(),
                    _ => return Err(Problem("there is no checker".to_owned())),
                };
                let this = &*self;
                let arena = &*arena;
                read_once(&command, &seen, || {
                    this.take_off(arena).map_err(|problem| io::Error::other(problem.0))?;
                    this.lay_over(arena).map_err(|problem| io::Error::other(problem.0))
                })?
            }
        };
        let again = match (question.again, &reading) {
            (true, Reading::Printed(_)) => Some(match &mut self.stream {
                Some(stream) => stream.read(&seen),
                None => self.local.read_here(&seen, || Ok(()))?,
            }),
            _ => None,
        };
        self.take_off(arena)?;
        let mut rerun = None;
        if question.rerun {
            self.lay_over(arena)?;
            rerun = Some(self.rerun(&seen)?);
            self.take_off(arena)?;
        }
        if self.stream.is_none() && arena.views_touched() {
            arena.renew_views()?;
        }
        let hung = matches!(reading, Reading::Hung(_));
        let is_of_image = !hung && !question.rerun && !self.journal_looked_at(arena)?;
        Ok(Answer { reading, again, rerun, litter: Vec::new(), is_of_image })
    }

    /// Whether the checker has looked at the journal in this worker, now or ever; also where that
    /// cannot be told.
    fn journal_looked_at(&mut self, arena: &Arena) -> io::Result<bool> {
        self.journal_may_matter =
            self.journal_may_matter || was_accessed(&arena.in_scratch("journal"))?;
        Ok(self.journal_may_matter)
    }

    /// Reads what a live kill has left: its recording says it, and that was compared with reality.
    fn read_left(
        &mut self,
        arena: &mut Arena,
        initial: &Image,
        left_by: &LeftBy,
        question: &Question,
    ) -> Result<Answer, Problem> {
        let name = &left_by.recording;
        let path = arena.in_run(&format!("recordings/{name}.rec"));
        let none = Models { models: Vec::new(), profile: Profile::Strict };
        let mut walk = Walk::start(&path, initial.clone(), none)?;
        while walk.step()? {}
        let image = match left_by.unseen && self.built_in.is_some() {
            true => {
                let copy = |index| arena.in_run(&snapshot_name(name, index));
                let copies: Vec<PathBuf> = (0..self.local.roots.len()).map(copy).collect();
                Image::scan(&copies)?
            }
            false => walk.image().without_nameless(),
        };
        if self.built_in.is_some() {
            let answer = self.read(arena, &image, question)?;
            let Reading::Judged(judgement) = &answer.reading else { return Ok(answer) };
            let held = judgement.verdict == Verdict::Held;
            let other_order = left_by.other_order && !held;
            if judgement.verdict != Verdict::Unknown(Reason::NoOracle) && !other_order {
                return Ok(answer);
            }
            // Where bytes vary from run to run, or threads came in another order, the kill's own
            // recording knows the versions.
            let own = BuiltIn::learn(&path, initial, &mut |image| self.place(arena, image))?;
            let (judgement, litter) =
                own.judge(&image, &question.state, false, &mut || self.place(arena, &image));
            self.take_off_if_laid(arena)?;
            return Ok(Answer {
                reading: Reading::Judged(judgement),
                again: None,
                rerun: None,
                litter,
                is_of_image: false,
            });
        }
        let journal = fs::read(arena.in_run(&format!("recordings/{name}.journal")))?;
        let recorded = std::mem::replace(&mut self.journal, journal);
        self.journal_written = u64::MAX;
        let used = walk.ending().map_or(0, |ending| ending.last_process_id);
        let before = self.last_process_id;
        self.last_process_id = before.max(used);
        let answer = self.read(arena, &image, question);
        self.last_process_id = before;
        self.journal = recorded;
        self.journal_written = u64::MAX;
        answer
    }

    /// Runs the target on the state that is mounted now, and reads what it leaves.
    fn rerun(&mut self, seen: &Surroundings) -> Result<Reading, Problem> {
        let launch = self.local.resolved_launch(seen);
        let finished = spawn::run(&launch, self.local.target_timeout, TARGET_OUTPUT_MAX)?;
        let said = String::from_utf8_lossy(&finished.error).trim().to_owned();
        let how = match finished.exit {
            Exit::Status(0) => None,
            Exit::Status(code) => Some(format!("exit status {code}")),
            Exit::Signal(number) => Some(format!("death by signal {number}")),
            Exit::TimedOut => return Ok(Reading::Hung(self.local.target_timeout)),
            Exit::NotStarted(_) | Exit::Running => {
                return Ok(Reading::NotRun("the command could not be started".to_owned()));
            }
        };
        if let Some(how) = how {
            return Ok(Reading::Refused { how, said });
        }
        Ok(match &mut self.stream {
            Some(stream) => stream.read(seen),
            None => self.local.read_here(seen, || Ok(()))?,
        })
    }

    /// Makes an image real at its own paths, to be thrown away; for the built-in oracle. A small one
    /// is copied: that costs less than a mount and what is copied into its layer.
    fn place(&mut self, arena: &Arena, image: &Image) -> io::Result<Vec<PathBuf>> {
        let other = |problem: Problem| io::Error::other(problem.0);
        self.take_off_if_laid(arena).map_err(other)?;
        if self.overlays && is_small(image) {
            self.lay_copy(arena, image).map_err(other)?;
        } else {
            self.cursor.change_to(image).map_err(|error| io::Error::other(chain(&error)))?;
            self.lay_over(arena).map_err(other)?;
            self.laid = true;
        }
        Ok((0..self.layers.len()).map(|index| self.local.seen_root(arena, "live", index)).collect())
    }

    /// Fills directories that are mounted over the paths of the state, once for all.
    fn lay_copy(&mut self, arena: &Arena, image: &Image) -> Result<(), Problem> {
        if self.copies.is_empty() {
            let copies = self.local.make_directories(arena, "copy")?;
            for (index, copy) in copies.iter().enumerate() {
                let target = self.local.seen_root(arena, "live", index);
                self.local.make_mount_point(&target)?;
                arena.bind(copy, &target)?;
            }
            self.copies = copies;
        }
        for copy in &self.copies {
            arena::empty_directory(copy)?;
        }
        Materialised::create(self.copies.clone(), image)?;
        Ok(())
    }

    fn take_off_if_laid(&mut self, arena: &Arena) -> Result<(), Problem> {
        match std::mem::take(&mut self.laid) {
            true => self.take_off(arena),
            false => Ok(()),
        }
    }

    /// Shows the state over its own path, so that what the checker writes is thrown away.
    fn lay_over(&self, arena: &Arena) -> Result<(), Problem> {
        for (index, directory) in self.directories.iter().enumerate() {
            let layer = &self.layers[index];
            let target = self.local.seen_root(arena, "live", index);
            if self.overlays {
                self.local.make_mount_point(&target)?;
                arena.overlay(directory, layer, &target)?;
            } else {
                fs::create_dir_all(arena.in_scratch(&format!("live/{index}")))?;
            }
        }
        if !self.overlays {
            let live: Vec<PathBuf> = (0..self.directories.len())
                .map(|index| arena.in_scratch(&format!("live/{index}")))
                .collect();
            Materialised::create(live, self.cursor.image())?;
        }
        Ok(())
    }

    fn take_off(&self, arena: &Arena) -> Result<(), Problem> {
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let target = self.local.seen_root(arena, "live", index);
            if self.overlays {
                arena.unmount(&target)?;
                arena::empty_directory(layer)?;
            } else {
                arena::empty_directory(&arena.in_scratch(&format!("live/{index}")))?;
            }
        }
        Ok(())
    }

    /// The journal as it was at the crash. Points ascend, so mostly a few bytes are added.
    fn write_journal(&mut self, arena: &Arena, length: u64) -> io::Result<()> {
        let path = arena.in_scratch("journal");
        let real = fs::metadata(&path).map(|metadata| metadata.len());
        let end = usize::try_from(length).unwrap_or(usize::MAX).min(self.journal.len());
        let written = usize::try_from(self.journal_written).unwrap_or(0);
        if real.ok() == Some(self.journal_written) && written <= end {
            let mut file = fs::OpenOptions::new().append(true).open(&path)?;
            file.write_all(&self.journal[written..end])?;
        } else {
            fs::write(&path, &self.journal[..end])?;
        }
        self.journal_written = end as u64;
        Ok(())
    }
}
