//! The supervisor: starts the processes of a target, watches them, starts them again and stops them,
//! and tells all of it as lifecycle events.
//!
//! Threads wait for what may happen (an end, a message, a line, an answer) and send it, as an
//! [`Occurrence`], into one channel. The dispatcher owns all state and has one method for each.

mod bounds;
mod control;
mod dispatcher;
mod life;
mod message;
mod output;
mod probe;
mod process;
mod recorder;
mod schema;
mod starter;

use bounds::Bounds;
use dispatcher::Dispatcher;
use killpoint_engine::children::Children;
use killpoint_engine::guardian::{self, Side};
use killpoint_engine::identity::{self, Identity};
use killpoint_engine::regular_file;
use killpoint_engine::undo::{self, Made};
use killpoint_model::Nonsense;
use killpoint_model::Outcome;
use killpoint_model::lifecycle::{Exit, Stream};
use killpoint_model::supervision::Supervision;
use std::error::Error as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Occurrences that may wait for the dispatcher; who sends more has to wait.
const OCCURRENCES_WAITING_MAX: usize = 1_024;

/// The exit status by which a supervisor tells its guardian that it could not begin.
const SETUP_FAILED: i32 = 2;

/// How a supervisor is set up, besides its processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// The file that lifecycle events are appended to.
    pub events: Option<PathBuf>,
    /// A directory for the standard output and error of the processes, one file for each life.
    pub output: Option<PathBuf>,
    /// Whether output is also passed on to the supervisor's standard error.
    pub pass_output: bool,
    /// The Unix socket of the control protocol.
    pub control: Option<PathBuf>,
    /// Whether the control protocol is also spoken over the standard input, whose end means a stop.
    pub control_input: bool,
    /// A directory: as long as it holds a file with the name of a process, that is kept down.
    pub keep_down: Option<PathBuf>,
    /// The folder of a run, in whose undo log the processes are announced.
    pub run: Option<PathBuf>,
    /// Most bytes of a core that a process may leave (RLIMIT_CORE); the inherited limit where none is given.
    pub core_bytes_max: Option<u64>,
    /// Whether nothing is started before somebody traces this process, who then traces all that it starts.
    pub await_tracer: bool,
}

/// How long is waited for a tracer.
const TRACER_LIMIT: Duration = Duration::from_secs(5);
/// How often it is looked whether there is one.
const TRACER_INTERVAL: Duration = Duration::from_millis(1);
/// Most bytes of a file that describes processes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a file that describes processes: TOML if its name ends so, else JSON.
///
/// # Errors
/// If it cannot be read, or describes none.
pub fn read_supervision(path: &Path) -> Result<Supervision, SuperviseError> {
    let text = regular_file::read_text_handed_over(path, FILE_BYTES_MAX, &|| false)
        .map_err(fail("read", path))?;
    let is_toml = path.extension().is_some_and(|extension| extension == "toml");
    let read: Result<Supervision, String> = if is_toml {
        toml::from_str(&text).map_err(|error| error.to_string())
    } else {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    };
    read.map_err(|problem| SuperviseError::File { path: path.to_owned(), problem })
}

/// Why nothing was supervised.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// The processes.
    #[error(transparent)]
    Supervision(#[from] Nonsense),
    /// A file that describes no processes.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// A file or directory that is named.
    #[error("cannot {action} {path}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A directory that a process is to work in.
    #[error("process {process}: there is no directory {directory}")]
    NoDirectory {
        /// The process.
        process: String,
        /// The directory.
        directory: PathBuf,
    },
    /// The machine does not allow it.
    #[error("a supervisor cannot be set up here")]
    System(#[from] io::Error),
    /// The supervisor died, and its guardian has cleared up.
    #[error(
        "the supervisor died ({how}); its guardian killed what it left: {left} processes. \
         Nothing is running"
    )]
    Died {
        /// How.
        how: String,
        /// How many processes it left.
        left: u32,
    },
}

/// Something that happened, for the dispatcher.
#[derive(Debug)]
enum Occurrence {
    /// A child or an adopted orphan ended and was reaped.
    Ended { pid: i32, exit: Exit },
    /// A datagram to a process's socket.
    Message { process: usize, sender: Option<message::Sender>, text: String },
    /// A line of a process's named pipe.
    Line { process: usize, pid: i32, text: String },
    /// All that was said to a process's socket or pipe before this mark was put there has been heard.
    Heard { process: usize, mark: u32 },
    /// A line that was looked for.
    LineSeen { process: usize, life: u32 },
    /// A probe was answered.
    Probed { process: usize, life: u32, purpose: probe::Purpose },
    /// Output is thrown away from here on.
    OutputCut { process: usize, life: u32, stream: Stream, kept: u64 },
    /// A stream was closed.
    OutputEnded { process: usize, life: u32, stream: Stream, kept: u64, dropped: u64 },
    /// A signal to the supervisor.
    Signalled { number: i32 },
    /// A request of the control protocol.
    Asked { request: control::Request, answer: Sender<control::Answer> },
    /// The standard input is at its end.
    OwnerGone,
    /// The guardian is gone.
    GuardianGone,
}

/// The way into the dispatcher.
#[derive(Clone, Debug)]
pub struct Sink(SyncSender<Occurrence>);

impl Sink {
    /// False if there is no dispatcher any more.
    fn send(&self, occurrence: Occurrence) -> bool {
        self.0.send(occurrence).is_ok()
    }

    /// Tells of a signal to the supervisor. False if it is gone.
    pub fn signal(&self, number: i32) -> bool {
        self.send(Occurrence::Signalled { number })
    }
}

/// What this process starts may leave cores as large as this, or as the hard limit allows.
fn allow_cores(bytes: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Core).maximum;
    let current = Some(maximum.map_or(bytes, |maximum| maximum.min(bytes)));
    Ok(setrlimit(Resource::Core, Rlimit { current, maximum })?)
}

/// Waits until this process is traced; not for long, since who would trace it may have failed.
fn await_tracer() {
    let since = Instant::now();
    let is_traced = || {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.is_some_and(|number| number.trim() != "0")
    };
    while !is_traced() && since.elapsed() < TRACER_LIMIT {
        thread::sleep(TRACER_INTERVAL);
    }
}

/// Supervises until everything is down. Must be called while this process has one thread only: it
/// splits into a guardian, which returns when all is over, and the supervisor, in which `listen` is
/// called to pass signals on.
///
/// # Errors
/// If the processes cannot be supervised as described; nothing was started then.
pub fn supervise(
    supervision: &Supervision,
    setup: &Setup,
    listen: impl FnOnce(Sink) -> io::Result<()>,
) -> Result<Outcome, SuperviseError> {
    supervision.check()?;
    check_directories(supervision)?;
    if let Some(bytes) = setup.core_bytes_max {
        allow_cores(bytes)?;
    }
    if setup.await_tracer {
        await_tracer();
    }
    let events =
        setup.events.as_deref().map(|path| recorder::open(path).map_err(fail("write", path)));
    let events = events.transpose()?;
    for (directory, action) in [(&setup.output, "make"), (&setup.keep_down, "make")] {
        if let Some(path) = directory {
            fs::create_dir_all(path).map_err(fail(action, path))?;
        }
    }
    let runtime = tempfile::Builder::new().prefix("killpoint-").tempdir()?;
    let name = runtime.path().file_name().expect("a name").to_string_lossy().into_owned();
    let is_root = rustix::process::geteuid().is_root();
    let mut bounds = Bounds::find(&name, is_root);
    let limits =
        || supervision.processes.iter().map(|(name, it)| (name.as_str(), it.limits.processes_max));
    let mut scratch = bounds.directories(supervision.processes.keys().map(String::as_str));
    if !bounds.prepare(limits()) {
        scratch.iter().for_each(|path| drop(fs::remove_dir(path)));
        scratch.clear();
        bounds = if is_root { Bounds::Counting } else { Bounds::Rlimit };
    }
    // From here on the guardian removes it.
    let runtime = runtime.keep();
    scratch.push(runtime);
    let mut is_undone_by_guardian = false;
    if let Some(run) = &setup.run {
        is_undone_by_guardian =
            announce(run, &scratch).map_err(fail("write the undo log in", run))?;
    }
    match guardian::split(&scratch)? {
        Side::Guardian { exit, left } => {
            let is_clear = scratch.iter().all(|path| !path.exists());
            if let Some(run) = setup.run.as_ref().filter(|_| is_undone_by_guardian && is_clear) {
                let _ = undo::append(run, &Made::Undone);
            }
            outcome(exit, left)
        }
        Side::Supervisor(leash) => {
            let clean = work(supervision, setup, events, &scratch, bounds, leash, listen);
            // The guardian tells the outcome; this side has nothing to return to.
            std::process::exit(match clean {
                Ok(clean) => i32::from(!clean),
                Err(error) => {
                    let why = error.source().map(|why| format!(": {why}")).unwrap_or_default();
                    eprintln!("killpoint: {error}{why}");
                    SETUP_FAILED
                }
            })
        }
    }
}

/// Writes down what could outlive guardian and supervisor. Where they stand alone, and are no part of a
/// run that somebody else works on or worked on until just now, this process works on it: it becomes the
/// guardian. True if nothing else stands there, so that the guardian leaves nothing to be undone.
fn announce(run: &Path, scratch: &[PathBuf]) -> io::Result<bool> {
    let records = undo::read(run)?;
    let is_of_a_run = |made: &Made| matches!(made, Made::Marked { .. } | Made::Scratch { .. });
    if !records.iter().any(is_of_a_run) {
        let process = Identity::current()?;
        undo::append(run, &Made::Tool { process, boot: identity::boot() })?;
    }
    undo::append(run, &Made::Supervisor { scratch: scratch.to_vec() })?;
    Ok(records.is_empty())
}

/// What the supervisor's end means.
fn outcome(exit: Exit, left: u32) -> Result<Outcome, SuperviseError> {
    match exit {
        Exit::Status(0) => Ok(Outcome::Pass),
        Exit::Status(1) => Ok(Outcome::Violated),
        Exit::Status(SETUP_FAILED) => Ok(Outcome::Usage),
        Exit::Status(_) => Ok(Outcome::InternalError),
        Exit::Signal { number, .. } => {
            Err(SuperviseError::Died { how: format!("signal {number}"), left })
        }
    }
}

fn fail<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> SuperviseError + use<'a> {
    move |source| SuperviseError::Io { action, path: path.to_owned(), source }
}

fn check_directories(supervision: &Supervision) -> Result<(), SuperviseError> {
    for (name, process) in &supervision.processes {
        if let Some(directory) = process.directory.as_deref().map(PathBuf::from)
            && !directory.is_dir()
        {
            return Err(SuperviseError::NoDirectory { process: name.clone(), directory });
        }
    }
    Ok(())
}

/// Whether every process ended as it should.
fn work(
    supervision: &Supervision,
    setup: &Setup,
    events: Option<fs::File>,
    scratch: &[PathBuf],
    bounds: Bounds,
    leash: guardian::Leash,
    listen: impl FnOnce(Sink) -> io::Result<()>,
) -> Result<bool, SuperviseError> {
    let (sender, occurrences) = sync_channel(OCCURRENCES_WAITING_MAX);
    let sink = Sink(sender);
    listen(sink.clone())?;
    let gone = sink.clone();
    thread::spawn(move || {
        leash.wait();
        gone.send(Occurrence::GuardianGone);
    });
    let children = Arc::new(Children::new());
    start_reaper(Arc::clone(&children), sink.clone());
    let recorder = recorder::Recorder::new(events);
    if setup.control_input {
        control::listen_to_input(recorder.printer(), sink.clone());
    }
    if let Some(path) = &setup.control {
        control::listen(path, sink.clone()).map_err(fail("listen at", path))?;
    }
    let mut dispatcher =
        Dispatcher::new(supervision, setup, recorder, children, bounds, scratch, sink)?;
    let clean = dispatcher.run(&occurrences);
    if let Some(path) = &setup.control {
        let _ = fs::remove_file(path);
    }
    dispatcher.finish();
    Ok(clean)
}

fn start_reaper(children: Arc<Children>, sink: Sink) {
    thread::spawn(move || {
        loop {
            match children.wait_next() {
                Ok(Some((pid, exit))) => {
                    if !sink.send(Occurrence::Ended { pid, exit }) {
                        return;
                    }
                }
                Ok(None) => {}
                // Nothing but a defect of ours: without ends nothing can be supervised.
                Err(error) => panic!("children cannot be waited for: {error}"),
            }
        }
    });
}

/// The mark in the environment of everything that a supervisor starts.
pub const MARK: &str = "KILLPOINT_SUPERVISOR";

fn mark(own: Identity) -> String {
    format!("{}-{}", own.pid, own.start)
}

/// So that the receiver's type is named once.
type Occurrences = Receiver<Occurrence>;
